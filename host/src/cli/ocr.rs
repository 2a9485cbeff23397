//! `lector ocr`: reads files, here or on a server, and writes their text.
//!
//! Owns the order of the results (that of the arguments), the output files, and the exit code. `ocr/local.rs` reads in
//! this process, `ocr/remote.rs` on a server.

mod local;
mod output;
pub(super) mod progress;
pub(super) mod remote;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use lector_core::{DeploymentName, Fault, PageRequest, TextLayerPolicy};
use lector_export::Format;
use lector_serving::PageSelection;

use super::{Failure, block_on, terminal};
use crate::config::Config;
use output::Output;
pub(super) use output::write_whole;
use progress::Progress;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Documents; `-` reads one from standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Output format
    #[arg(long, default_value = lector_export::TEXT.info().name, value_parser = format())]
    format: &'static dyn Format,
    /// Pages, counted from 1: `1-3,7`, `5-`
    #[arg(long)]
    pages: Option<String>,
    /// Resolution of the rendered pages, in dots per inch
    #[arg(long, value_parser = dpi)]
    dpi: Option<f32>,
    /// Use of the text layer of a PDF
    #[arg(long, value_enum)]
    text_layer: Option<TextLayer>,
    /// Include the words of each line
    #[arg(long)]
    words: bool,
    /// Deployment that reads the documents
    #[arg(long)]
    deployment: Option<String>,
    /// Password of encrypted PDFs
    #[arg(long, env = "LECTOR_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Read on this server instead of in this process, e.g. http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Write one file for each document into this folder instead of standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum TextLayer {
    /// Use embedded text where it is reliable, and read the rest from pixels
    Auto,
    /// Read everything from pixels
    Never,
    /// Use embedded text only
    Only,
}

/// Returns the parser of the names of formats.
fn format() -> impl TypedValueParser<Value = &'static dyn Format> {
    let formats = lector_export::all().iter().map(|format| format.info());
    let names = formats.map(|info| PossibleValue::new(info.name).help(info.about));
    PossibleValuesParser::new(names).try_map(|name| lector_export::by_name(&name))
}

fn dpi(text: &str) -> Result<f32, String> {
    // The same bounds as in the HTTP API.
    text.parse::<f32>()
        .ok()
        .filter(|dpi| (18.0..=2400.0).contains(dpi))
        .ok_or_else(|| "must be a number from 18 to 2400".to_owned())
}

/// The options for every document.
#[derive(Clone, Debug)]
struct Request {
    format: &'static dyn Format,
    pages: PageSelection,
    /// The selection of pages as given, for a server.
    pages_text: Option<String>,
    options: PageRequest,
    deployment: Option<DeploymentName>,
    password: Option<String>,
}

impl Request {
    fn of(args: &Args) -> Result<Self, Fault> {
        let text_layer = args.text_layer.map(|policy| match policy {
            TextLayer::Auto => TextLayerPolicy::Auto,
            TextLayer::Never => TextLayerPolicy::Never,
            TextLayer::Only => TextLayerPolicy::Only,
        });
        Ok(Self {
            format: args.format,
            pages: args.pages.as_deref().map_or(Ok(PageSelection::All), PageSelection::parse)?,
            pages_text: args.pages.clone(),
            options: PageRequest {
                dpi: args.dpi,
                text_layer,
                words: args.words || args.format.info().needs_words,
                ..PageRequest::default()
            },
            deployment: args.deployment.as_deref().map(DeploymentName::from),
            password: args.password.clone(),
        })
    }
}

/// The outcome of one document.
struct Read {
    /// Output in the requested format; `None` if there is nothing to write, or it was written already.
    bytes: Option<Vec<u8>>,
    /// Failures, one message each.
    failures: Vec<String>,
}

pub(super) fn run(args: Args, config: Config) -> Result<ExitCode, Failure> {
    let usage = |error: anyhow::Error| Failure::Usage(error);
    let request = Request::of(&args).map_err(|fault| usage(fault.into()))?;
    if args.files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err(usage(anyhow::anyhow!("`-` is given twice, but standard input can be read once")));
    }
    let output = Output::new(args.format, &args.files, args.out.as_deref()).map_err(usage)?;
    let progress = Progress::new(args.files.len());
    let failed = block_on(&config, async {
        match &args.server {
            Some(server) => {
                remote::read_all(server, &config.client, &args.files, &request, output, &progress).await
            }
            None => local::read_all(&config, &args.files, &request, output, &progress).await,
        }
    })?;
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Returns the name of a file in results and messages.
pub(super) fn name_of(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// Reads a file or standard input, at most `bytes_max` bytes.
pub(super) async fn bytes_of(file: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt;
    let too_large = || format!("holds more than {bytes_max} bytes: raise platform.held_bytes_max");
    let mut bytes = Vec::new();
    if is_stdin(file) {
        // One byte beyond the limit shows that the input is too large.
        let mut input = tokio::io::stdin().take(bytes_max.saturating_add(1));
        input.read_to_end(&mut bytes).await.context("reading standard input")?;
    } else {
        let file = tokio::fs::File::open(file).await.context("opening it")?;
        let length = file.metadata().await.context("reading its size")?.len();
        if length > bytes_max {
            bail!(too_large());
        }
        bytes.reserve_exact(usize::try_from(length).unwrap_or(0));
        file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).await.context("reading it")?;
    }
    if bytes.len() as u64 > bytes_max {
        bail!(too_large());
    }
    Ok(bytes)
}

/// Prints the failures of a document. Returns whether there were any.
fn report(read: &Read, progress: &Progress) -> bool {
    for failure in &read.failures {
        progress.pause(|| terminal::print_error(failure));
    }
    !read.failures.is_empty()
}
