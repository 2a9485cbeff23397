//! The arguments of tesseract: options and file names in any order, then names of configuration files.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::output::{Kind, Target};
use super::refusal::refused;
use super::variables::{Variables, resolution};

/// Languages if no option names any.
const DEFAULT_LANGUAGE: &str = "eng";

/// What the command was called for.
#[derive(Debug)]
pub(super) enum Invocation {
    Help,
    Version,
    Languages,
    Read(Box<Arguments>),
}

/// The arguments of a reading.
#[derive(Debug)]
pub(super) struct Arguments {
    /// `-`: standard input.
    pub(super) input: PathBuf,
    pub(super) output: Target,
    pub(super) languages: Vec<String>,
    /// Page segmentation mode.
    pub(super) mode: u8,
    pub(super) dpi: Option<f32>,
    /// Outputs in the order in which tesseract writes them; one or more.
    pub(super) kinds: Vec<Kind>,
    pub(super) page_separator: String,
    /// Options that have no effect, one sentence each.
    pub(super) notes: Vec<String>,
}

/// Returns whether the argument means standard input or output.
fn is_stream(argument: &OsStr, name: &str) -> bool {
    argument == name || argument == "-"
}

/// Parses the arguments.
pub(super) fn parse(arguments: &[OsString]) -> anyhow::Result<Invocation> {
    let mut words: Vec<&OsString> = Vec::new();
    let mut variables = Variables::default();
    let (mut languages, mut mode, mut dpi) = (DEFAULT_LANGUAGE.to_owned(), 3, None);
    let mut rest = arguments.iter();
    let mut list_languages = false;
    while let Some(argument) = rest.next() {
        let Some(option) = argument.to_str().filter(|text| text.starts_with('-') && text.len() > 1) else {
            words.push(argument);
            continue;
        };
        let mut value = || -> anyhow::Result<&str> {
            let value = rest.next().with_context(|| format!("the option {option} needs a value"))?;
            value.to_str().with_context(|| format!("the value of {option} is not UTF-8"))
        };
        match option {
            "--help" | "-h" | "--help-extra" | "--help-psm" | "--help-oem" => return Ok(Invocation::Help),
            "--version" | "-v" => return Ok(Invocation::Version),
            "--list-langs" => list_languages = true,
            "-l" => value()?.clone_into(&mut languages),
            "--psm" | "-psm" => mode = page_mode(value()?)?,
            "--oem" | "-oem" => engine_mode(value()?)?,
            "--dpi" => dpi = Some(resolution(value()?)?),
            "-c" => variables.set(value()?)?,
            "--user-words" | "--user-patterns" => {
                let file = value()?;
                variables.notes.push(format!("{option} {file} has no effect: Lector has no dictionary"));
            }
            "--tessdata-dir" | "--loglevel" => {
                value()?;
            }
            "--print-parameters" | "--print-fonts-table" => return refused(option, ""),
            _ => bail!("unknown command line argument '{option}'"),
        }
    }
    if list_languages {
        return Ok(Invocation::Languages);
    }
    let mut words = words.into_iter();
    let Some(input) = words.next() else { return Ok(Invocation::Help) };
    let output = words
        .next()
        .context("the output is missing: add the name of a file without its extension, or stdout")?;
    for word in words {
        variables.config_file(word)?;
    }
    if let Some(stated) = variables.dpi {
        dpi = dpi.or(Some(stated));
    }
    let kinds = variables.kinds(mode)?;
    Ok(Invocation::Read(Box::new(Arguments {
        input: if is_stream(input, "stdin") { PathBuf::from("-") } else { PathBuf::from(input) },
        output: if is_stream(output, "stdout") { Target::Stdout } else { Target::Base(output.clone()) },
        languages: languages.split('+').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        mode,
        dpi,
        kinds,
        page_separator: variables.page_separator,
        notes: variables.notes,
    })))
}

fn page_mode(text: &str) -> anyhow::Result<u8> {
    text.parse().ok().filter(|mode| *mode <= 13).with_context(|| format!("--psm {text}: it must be 0 to 13"))
}

fn engine_mode(text: &str) -> anyhow::Result<()> {
    match text {
        "1" | "2" | "3" => Ok(()),
        "0" => refused("the legacy engine (--oem 0)", ": use --oem 1"),
        _ => bail!("--oem {text}: it must be 0 to 3"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn of(line: &str) -> anyhow::Result<Invocation> {
        parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn read(line: &str) -> Arguments {
        match of(line).unwrap() {
            Invocation::Read(arguments) => *arguments,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn error(line: &str) -> String {
        format!("{:#}", of(line).unwrap_err())
    }

    #[test]
    fn the_forms_of_known_callers() {
        let check = |line: &str, mode: u8, kinds: &[Kind]| {
            let read = read(line);
            assert_eq!((read.mode, &read.kinds[..]), (mode, kinds), "{line}");
        };
        // pytesseract
        check("a.png /tmp/t -l eng txt", 3, &[Kind::Text]);
        check("a.png /tmp/t -c tessedit_create_tsv=1", 3, &[Kind::Tsv]);
        check("a.png /tmp/t -c tessedit_create_hocr=1 hocr", 3, &[Kind::Hocr]);
        check("a.png /tmp/t -c tessedit_create_alto=1", 3, &[Kind::Alto]);
        check("a.png /tmp/t -l osd --psm 0", 0, &[Kind::Text]);
        check(
            "a.png /tmp/t -c tessedit_create_hocr=1 tessedit_create_tsv=1 hocr",
            3,
            &[Kind::Hocr, Kind::Tsv],
        );
        check("a.png /tmp/t pdf", 3, &[Kind::Pdf]);
        // OCRmyPDF
        check(
            "-l eng+deu --oem 1 --psm 6 -c thresholding_method=1 --user-words w in.png out hocr txt",
            6,
            &[Kind::Hocr, Kind::Text],
        );
        check("-l osd --psm 0 in.png stdout", 0, &[Kind::Text]);
        check("-l eng --psm 2 in.png stdout", 2, &[Kind::Text]);
        // Tika
        check(
            "in out --psm 1 -l eng -c page_separator= -c preserve_interword_spaces=0 txt",
            1,
            &[Kind::Text],
        );
        // node-tesseract-ocr
        check("stdin stdout -l eng --oem 1 --psm 3", 3, &[Kind::Text]);
        // Stirling-PDF, pdfsandwich
        check("in.png out -l a+b pdf", 3, &[Kind::Pdf]);
    }

    #[test]
    fn parts_of_the_arguments() {
        let read_one = read("- - -l eng+deu --dpi 300 -c page_separator=END");
        assert_eq!(read_one.input, PathBuf::from("-"));
        assert_eq!(read_one.output, Target::Stdout);
        assert_eq!(read_one.languages, ["eng", "deu"]);
        assert_eq!((read_one.dpi, read_one.page_separator.as_str()), (Some(300.0), "END"));
        assert_eq!(read("a.png b").page_separator, "\u{c}");
        assert_eq!(read("a.png b").languages, ["eng"]);
        assert_eq!(read("a.png b -c user_defined_dpi=150").dpi, Some(150.0));
    }

    #[test]
    fn calls_that_read_nothing() {
        assert!(matches!(of("--version").unwrap(), Invocation::Version));
        assert!(matches!(of("-v").unwrap(), Invocation::Version));
        assert!(matches!(of("--list-langs --tessdata-dir /x").unwrap(), Invocation::Languages));
        assert!(matches!(of("").unwrap(), Invocation::Help));
    }

    #[test]
    fn what_cannot_be_done_is_an_error() {
        let check = |line: &str, part: &str| {
            let error = error(line);
            assert!(error.contains(part), "{line}: {error}");
        };
        check("a.png b --oem 0", "legacy engine");
        check("a.png b --psm 14", "0 to 13");
        check("a.png", "output is missing");
        check("a.png b -l", "needs a value");
        check("a.png b --nothing", "--nothing");
        check("a.png b -c tessedit_create_boxfile=1 batch.nochop makebox", "boxes of characters");
        check("a.png b -c textonly_pdf=1 pdf txt", "textonly_pdf");
        check("a.png b -c nothing", "NAME=VALUE");
    }

    #[test]
    fn options_without_effect_are_reported() {
        let notes = read("a.png b -c tessedit_char_whitelist=0123 --user-words w.txt no-such-config").notes;
        let found = |part: &str| notes.iter().filter(|note| note.contains(part)).count();
        assert_eq!(found("tessedit_char_whitelist"), 1, "{notes:?}");
        assert_eq!(found("--user-words"), 1, "{notes:?}");
        assert_eq!(found("read_params_file: Can't open no-such-config"), 1, "{notes:?}");
        assert!(read("a.png b -c preserve_interword_spaces=1 quiet").notes.is_empty());
    }
}
