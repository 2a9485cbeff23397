//! `lector tesseract`: the command line of tesseract 5, so that programs that start it read with Lector. The program is
//! also this command when it is started under the name `tesseract`.
//!
//! Owns tesseract's options, the names of its output files, and its messages that callers parse. Reads on a server where
//! one is set, otherwise in this process (`tesseract/reading.rs`). What tesseract does and Lector cannot do is an error;
//! an option that only tunes tesseract is reported on standard error and ignored.

mod arguments;
mod languages;
mod measures;
mod orientation;
mod output;
mod reading;
mod refusal;
mod transcripts;
mod variables;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::failure::Failure;
use super::settings::{Settings, ephemeral, errors_only, sources_of};
use super::terminal;
use crate::config::{Config, Origin, TesseractVariables};
use arguments::{Arguments, Invocation};
use output::{Kind, Outputs};
use reading::Reader;

/// The version that is reported: callers require a minimum, and OCRmyPDF refuses 5.4.0.
const VERSION: &str = "5.5.0";
/// Longest time for a document if `LECTOR_TIMEOUT` is not set. OCRmyPDF kills the program after 180 s, and then leaves the page
/// unturned or without text, with a line in its log alone: an error comes before that.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(170);

const USAGE: &str = "\
Usage:
  tesseract --version | --list-langs | --help
  tesseract IMAGE|stdin OUTPUT|stdout [OPTIONS] [txt|hocr|tsv|pdf|alto|page ...]

Options:
  -l LANG[+LANG]   Checked against --list-langs; the models read all of their languages at once
  --psm N          0: orientation and script; 2: skew; other modes: the whole image is read
  --oem N          1, 2 or 3; the legacy engine (0) does not exist
  --dpi N          Resolution that hOCR states
  -c NAME=VALUE    A variable: tessedit_create_*, page_separator

Without LECTOR_URL (and LECTOR_KEY) or `client.server` in the configuration, each run loads the models into its own
process.
";

/// Arguments of the subcommand; tesseract's own, which are not parsed by clap.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Args {
    /// Arguments of tesseract
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

impl Args {
    pub(super) fn new(arguments: Vec<OsString>) -> Self {
        Self { arguments }
    }
}

/// Returns the arguments if this program was started under the name `tesseract`.
///
/// A copy of the program also starts its helper processes under that name; they have their role as the first argument, and
/// most of them no other.
pub(super) fn called_as_tesseract(mut command_line: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let program = command_line.next()?;
    let is_named = std::path::Path::new(&program).file_stem().is_some_and(|name| name == "tesseract");
    let arguments: Vec<OsString> = command_line.collect();
    let roles = ["render-worker", "engine-builder", "component-compiler"];
    let is_role = match &arguments[..] {
        [only] => roles.iter().any(|role| only == role),
        [first, _folder, ..] => first == "tesseract-worker",
        [] => false,
    };
    (is_named && !is_role).then_some(arguments)
}

pub(super) fn run(args: &Args, settings: Settings) -> Result<ExitCode, Failure> {
    let variables = TesseractVariables::of_process();
    match arguments::parse(&args.arguments).map_err(Failure::Work)? {
        Invocation::Help => terminal::print(USAGE)?,
        Invocation::Version => {
            let own = env!("CARGO_PKG_VERSION");
            terminal::print(&format!("tesseract {VERSION}\n lector {own}\n"))?;
        }
        Invocation::Languages => terminal::print(&languages::list(&variables.languages))?,
        Invocation::Read(arguments) => read(*arguments, variables, settings)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn read(arguments: Arguments, variables: TesseractVariables, settings: Settings) -> Result<(), Failure> {
    languages::check(&arguments.languages, &variables.languages)?;
    arguments.notes.iter().for_each(|note| terminal::print_error(note));
    let mut sources = sources_of(settings)?;
    let named =
        [("client.server", &variables.url, "LECTOR_URL"), ("client.key", &variables.key, "LECTOR_KEY")];
    for (key, value, variable) in named {
        sources.flags.extend(value.as_ref().map(|value| (key.to_owned(), value.clone(), variable)));
    }
    let (config, effective) = Config::load(&sources)?;
    let on_server = effective.origin("client.server") != Origin::Default;
    let config = ephemeral(errors_only(config, &effective));
    let reader = Reader {
        server: on_server.then(|| config.client.server.clone()),
        deployment: variables.deployment,
        timeout: timeout(variables.timeout.as_deref()).map_err(Failure::Usage)?,
        input: arguments.input.clone(),
    };
    let read = super::runtime::block_on(&config, async {
        let wants_pdf = arguments.kinds.contains(&Kind::Pdf);
        reader.read(&config, wants_pdf).await.map_err(Failure::Work)
    })?;
    let mut document = read.document;
    measures::scale(&mut document, &read.sizes, arguments.dpi);
    if document.transcripts().all(|(_, page)| page.lines.is_empty()) {
        terminal::print_error("Empty page!!");
    }
    match arguments.mode {
        0 => orientation::write(&document, &arguments.output)?,
        2 => orientation::print_skew(&document, &arguments.output)?,
        _ => {
            let outputs = Outputs { kinds: &arguments.kinds, page_separator: &arguments.page_separator };
            output::write(&outputs, &arguments.output, &document, read.pdf.as_deref())?;
        }
    }
    Ok(())
}

/// Returns the longest time for a document.
fn timeout(seconds: Option<&str>) -> anyhow::Result<Duration> {
    let Some(text) = seconds else { return Ok(TIMEOUT_DEFAULT) };
    let seconds = text.parse().ok().filter(|seconds: &f64| (0.001..1e6).contains(seconds));
    let seconds = seconds.with_context(|| format!("LECTOR_TIMEOUT is {text}: use a number of seconds"))?;
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn called(line: &[&str]) -> Option<usize> {
        called_as_tesseract(line.iter().map(OsString::from)).map(|arguments| arguments.len())
    }

    #[test]
    fn a_wrong_timeout_is_an_error() {
        assert_eq!(timeout(None).unwrap(), TIMEOUT_DEFAULT);
        assert_eq!(timeout(Some("0.5")).unwrap(), Duration::from_millis(500));
        for wrong in ["x", "0", "-1", "inf", "NaN"] {
            assert!(timeout(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_name_of_the_program_selects_the_command() {
        assert_eq!(called(&["lector", "tesseract", "a.png", "b"]), None);
        assert_eq!(called(&["/usr/bin/tesseract", "a.png", "stdout"]), Some(2));
        assert_eq!(called(&["tesseract"]), Some(0));
        // A copy of the program under that name starts its helpers.
        assert_eq!(called(&["/usr/bin/tesseract", "render-worker"]), None);
        assert_eq!(called(&["tesseract", "render-worker", "out"]), Some(2));
        assert_eq!(called(&["tesseract", "tesseract-worker", "/lib", "rus"]), None);
    }
}
