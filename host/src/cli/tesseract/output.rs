//! The outputs: their names, and their files or standard output.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;

use super::super::files::write_whole;
use super::super::terminal;
use super::transcripts::Document;

/// An output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Hocr,
    Alto,
    PageXml,
    Tsv,
    Pdf,
}

impl Kind {
    /// All, in the order in which tesseract writes them.
    pub(super) const ALL: [Self; 6] =
        [Self::Hocr, Self::Alto, Self::PageXml, Self::Tsv, Self::Pdf, Self::Text];

    /// Returns the output of a configuration file of tesseract.
    pub(super) fn of_config(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.names().0 == name)
    }

    /// Returns the output of a variable `tessedit_create_NAME`.
    pub(super) fn of_variable(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.names().1 == name)
    }

    /// Returns the name of the configuration file, that in the variable, the extension, and the format of Lector.
    fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Text => ("txt", "txt", "txt", "text"),
            Self::Hocr => ("hocr", "hocr", "hocr", "hocr"),
            Self::Alto => ("alto", "alto", "xml", "alto"),
            Self::PageXml => ("page", "page_xml", "page.xml", "page-xml"),
            Self::Tsv => ("tsv", "tsv", "tsv", "tsv"),
            Self::Pdf => ("pdf", "pdf", "pdf", "pdf"),
        }
    }
}

/// The place of the outputs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    Stdout,
    /// The path of each file without its extension.
    Base(OsString),
}

impl Target {
    /// Writes one output.
    pub(super) fn write(&self, extension: &str, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Stdout => terminal::print(bytes),
            Self::Base(base) => {
                let mut file = base.clone();
                file.push(".");
                file.push(extension);
                write_whole(&PathBuf::from(file), bytes)
            }
        }
    }
}

/// The outputs that are wanted.
pub(super) struct Outputs<'a> {
    /// In the order in which tesseract writes them.
    pub(super) kinds: &'a [Kind],
    /// Text between the pages of a text output.
    pub(super) page_separator: &'a str,
}

/// Writes all outputs.
pub(super) fn write(
    outputs: &Outputs<'_>,
    target: &Target,
    document: &Document,
    pdf: Option<&[u8]>,
) -> anyhow::Result<()> {
    let made = outputs.kinds.iter().map(|kind| {
        let bytes = match kind {
            Kind::Text => text(document, outputs.page_separator).into_bytes(),
            Kind::Pdf => pdf.context("the PDF was not composed")?.to_vec(),
            _ => lector_export::document(lector_export::by_name(kind.names().3)?, document)?,
        };
        Ok((*kind, bytes))
    });
    // All or none: an output that cannot be made leaves no other behind.
    for (kind, bytes) in made.collect::<anyhow::Result<Vec<_>>>()? {
        target.write(kind.names().2, &bytes)?;
    }
    Ok(())
}

/// Returns the text of all pages, each with the separator after it.
fn text(document: &Document, separator: &str) -> String {
    document.transcripts().map(|(_, page)| page.text() + separator).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::transcripts::document;
    use super::super::transcripts::tests::{blank, line, quad};
    use super::*;

    #[test]
    fn every_output_has_its_file() {
        let mut page = blank();
        page.lines = vec![
            line("Hello world", quad(0.0, 0.0, 100.0, 10.0), 0),
            line("again", quad(0.0, 30.0, 100.0, 10.0), 1),
        ];
        let read = document(Some("a.png".into()), vec![page]);
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("out.b");
        let outputs = Outputs { kinds: &Kind::ALL, page_separator: "\u{c}" };
        let target = Target::Base(base.into());
        // A missing output leaves none behind.
        assert!(write(&outputs, &target, &read, None).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        write(&outputs, &target, &read, Some(b"%PDF")).unwrap();
        let content =
            |extension: &str| std::fs::read_to_string(dir.path().join(format!("out.b.{extension}"))).unwrap();
        assert_eq!(content("txt"), "Hello world\n\nagain\n\u{c}");
        assert!(content("hocr").contains("ocrx_word"));
        assert!(content("xml").contains("<alto"));
        assert!(content("page.xml").contains("PcGts"));
        assert_eq!(content("tsv").lines().next().map(|line| line.split('\t').count()), Some(12));
        assert_eq!(content("pdf"), "%PDF");
        assert_eq!(text(&read, ""), "Hello world\n\nagain\n");
    }
}
