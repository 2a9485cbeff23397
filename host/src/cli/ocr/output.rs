//! Where results go: standard output in the order of the arguments, or one file each.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::super::terminal;
use super::{is_stdin, name_of};
use crate::format::Format;

/// Takes results one after the other.
pub(super) struct Output {
    format: Format,
    several: bool,
    /// Where each document's file goes; empty: to standard output.
    files: Vec<PathBuf>,
    written: usize,
}

impl Output {
    /// Checks that the results have a place before anything is read.
    pub(super) fn new(format: Format, inputs: &[PathBuf], dir: Option<&Path>) -> anyhow::Result<Self> {
        let several = inputs.len() > 1;
        let files = match dir {
            None if several && format == Format::Hocr => {
                bail!("several hOCR documents do not fit into one output: give a folder with --out")
            }
            None => Vec::new(),
            Some(dir) => files_in(dir, inputs, format)?,
        };
        Ok(Self { format, several, files, written: 0 })
    }

    /// Whether events go out as they happen instead of documents when they are done.
    pub(super) fn is_stream(&self) -> bool {
        self.format == Format::Ndjson && self.files.is_empty()
    }

    /// The next document.
    pub(super) fn document(&mut self, number: usize, name: &str, text: &str) -> anyhow::Result<()> {
        if let Some(file) = self.files.get(number) {
            return write_whole(file, text.as_bytes());
        }
        let first = self.written == 0;
        self.written += 1;
        if !self.several {
            return terminal::print(text);
        }
        let gap = if first { "" } else { "\n" };
        terminal::print(&match self.format {
            Format::Text => format!("{gap}==> {name} <==\n{text}"),
            Format::Markdown => format!("{gap}# {name}\n\n{text}"),
            // One array, so that the whole output is JSON.
            Format::Json => format!("{}{}", if first { "[\n" } else { ",\n" }, text.trim_end()),
            Format::Hocr | Format::Ndjson => text.to_owned(),
        })
    }

    /// Everything was written.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        if self.several && self.format == Format::Json && self.files.is_empty() {
            terminal::print(if self.written == 0 { "[]\n" } else { "\n]\n" })?;
        }
        Ok(())
    }
}

/// `DIR/scan.pdf.txt` for `scan.pdf`; two inputs of one name are refused.
fn files_in(dir: &Path, inputs: &[PathBuf], format: Format) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir).with_context(|| format!("making the folder {}", dir.display()))?;
    let mut taken: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    let mut files = Vec::with_capacity(inputs.len());
    for input in inputs {
        let name = if is_stdin(input) {
            "stdin".into()
        } else {
            input.file_name().unwrap_or_default().to_string_lossy()
        };
        let file = dir.join(format!("{name}.{}", format.extension()));
        if let Some(other) = taken.insert(file.clone(), input) {
            bail!(
                "{} and {} would both become {}: read them one after the other",
                name_of(other),
                name_of(input),
                file.display()
            );
        }
        files.push(file);
    }
    Ok(files)
}

/// Writes a file that is either whole or not there.
pub(in super::super) fn write_whole(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> anyhow::Result<()> {
        let mut whole = tempfile::NamedTempFile::new_in(dir)?;
        whole.write_all(content)?;
        whole.persist(file)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", file.display()))
}
