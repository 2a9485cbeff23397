//! `lector ocr`: reads files, here or on a server, and writes what they say.
//!
//! Owns the order of the results (that of the arguments), where they go, and the exit code. The two
//! ways to read are `ocr/local.rs` and `ocr/remote.rs`.

mod local;
mod output;
mod progress;
pub(super) mod remote;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use lector_core::{DeploymentName, Fault, PageRequest, TextLayerPolicy};
use lector_serving::PageSelection;

use super::{Failure, block_on, terminal};
use crate::config::Config;
use crate::format::Format;
use output::Output;
pub(super) use output::write_whole;
use progress::Progress;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Documents; `-` reads one from standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to write what was read
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Pages, counted from 1: `1-3,7`, `5-`
    #[arg(long)]
    pages: Option<String>,
    /// Resolution to read at, in dots per inch
    #[arg(long, value_parser = dpi)]
    dpi: Option<f32>,
    /// Use of text that is embedded in a PDF
    #[arg(long, value_enum)]
    text_layer: Option<TextLayer>,
    /// With the words of each line
    #[arg(long)]
    words: bool,
    /// The pipeline that reads
    #[arg(long)]
    deployment: Option<String>,
    /// Password of encrypted PDFs
    #[arg(long, env = "LECTOR_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Reads on this server instead of here, e.g. http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Writes one file a document into this folder instead of standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum TextLayer {
    /// Taken where it is real, the rest read from pixels
    Auto,
    /// Everything is read from pixels
    Never,
    /// Nothing is read from pixels
    Only,
}

fn dpi(text: &str) -> Result<f32, String> {
    // The same bounds as at the HTTP door.
    text.parse::<f32>()
        .ok()
        .filter(|dpi| (18.0..=2400.0).contains(dpi))
        .ok_or_else(|| "give a number from 18 to 2400".to_owned())
}

/// What every document is read with.
#[derive(Clone, Debug)]
struct Request {
    format: Format,
    pages: PageSelection,
    /// The selection as it was written, for a server.
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
                words: args.words || args.format.wants_words(),
                ..PageRequest::default()
            },
            deployment: args.deployment.as_deref().map(DeploymentName::from),
            password: args.password.clone(),
        })
    }
}

/// One document that was read, or not.
struct Read {
    /// In the format asked for; `None` where there is nothing to write, or it is written already.
    text: Option<String>,
    /// What failed, sentence by sentence.
    complaints: Vec<String>,
}

pub(super) fn run(args: Args, config: Config) -> Result<ExitCode, Failure> {
    let usage = |error: anyhow::Error| Failure::Usage(error);
    let request = Request::of(&args).map_err(|fault| usage(fault.into()))?;
    if args.files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err(usage(anyhow::anyhow!("`-` is given twice, and there is one standard input")));
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

/// The name that a file is called by in results and complaints.
fn name_of(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// The bytes of a file or of standard input, at most `bytes_max`.
pub(super) async fn bytes_of(file: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt;
    let too_large = || format!("holds more than {bytes_max} bytes: raise platform.held_bytes_max");
    let mut bytes = Vec::new();
    if is_stdin(file) {
        // One byte more than allowed tells "too much" from "just enough".
        let mut input = tokio::io::stdin().take(bytes_max.saturating_add(1));
        input.read_to_end(&mut bytes).await.context("reading standard input")?;
    } else {
        let file = tokio::fs::File::open(file).await.context("opening it")?;
        let length = file.metadata().await.context("asking for its size")?.len();
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

/// Says what failed; whether anything did.
fn complain(read: &Read, progress: &Progress) -> bool {
    for config_error in &read.complaints {
        progress.pause(|| terminal::complain(config_error));
    }
    !read.complaints.is_empty()
}
