//! `lector ocr`: reads files, here or on a server, and writes their text.
//!
//! Owns the order of the results (that of the arguments), the output files, and the exit code. `ocr/local.rs` reads in
//! this process, `ocr/remote.rs` on a server.

pub(super) mod local;
mod output;
pub(super) mod progress;
pub(super) mod remote;
mod request;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use lector_core::{Fault, PageRequest};
use lector_export::Format;

use super::failure::Failure;
use super::files::is_stdin;
use super::reading_options::ReadingOptions;
use super::runtime::block_on;
use super::server_flags::ServerFlags;
use super::settings::only_used;
use crate::config::Config;
use output::Output;
use progress::Progress;
use request::Request;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Documents; `-` reads one from standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Output format
    #[arg(long, default_value = lector_export::TEXT.info().name, value_parser = format())]
    format: &'static dyn Format,
    #[command(flatten)]
    reading: ReadingOptions,
    /// Write one file for each document into this folder instead of standard output; for one document, a path with
    /// the extension of the format is the file itself
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    // With a server, the documents are read there instead of in this process.
    #[command(flatten)]
    server: ServerFlags,
}

impl Args {
    /// Returns the flags if they name a server. A current context does not: documents leave this machine only where the
    /// command says so.
    pub(super) fn remote(&self) -> Option<&ServerFlags> {
        Some(&self.server).filter(|flags| flags.name_a_server())
    }
}

/// Returns the parser of the names of formats.
fn format() -> impl TypedValueParser<Value = &'static dyn Format> {
    let formats = lector_export::all().iter().map(|format| format.info());
    let names = formats.map(|info| PossibleValue::new(info.name).help(info.about));
    PossibleValuesParser::new(names).try_map(|name| lector_export::by_name(&name))
}

/// Returns the request that the arguments describe.
fn request(args: &Args) -> Result<Request, Fault> {
    let reading = &args.reading;
    Ok(Request {
        format: args.format,
        pages: reading.pages()?,
        options: PageRequest {
            dpi: reading.dpi,
            text_layer: reading.text_layer(),
            words: reading.words || args.format.info().needs_words,
            ..PageRequest::default()
        },
        languages: reading.languages()?,
        guest_options: reading.guest_options.object(),
        deployment: reading.deployment(),
        password: reading.password.clone(),
        query: reading.query(),
    })
}

pub(super) fn run(args: Args, config: Config) -> Result<ExitCode, Failure> {
    let usage = |error: anyhow::Error| Failure::Usage(error);
    let request = request(&args).map_err(|fault| usage(fault.into()))?;
    if args.files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err(usage(anyhow::anyhow!("`-` is given twice, but standard input can be read once")));
    }
    if let Some(flag) = args.server.without_server() {
        return Err(usage(anyhow::anyhow!("{flag} is for a server: give --server or --context as well")));
    }
    let output = Output::new(args.format, &args.files, args.out.as_deref()).map_err(usage)?;
    let progress = Progress::new(args.files.len());
    let failed = block_on(&config, async {
        match args.remote() {
            Some(_) => remote::read_all(&config.client, &args.files, &request, output, &progress).await,
            None => {
                let config = only_used(config.clone(), request.deployment.as_ref());
                local::read_all(&config, &args.files, &request, output, &progress).await
            }
        }
    })?;
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
