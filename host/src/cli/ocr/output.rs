//! Output of results: to standard output in the order of the arguments, or one file each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use lector_export::{Format, Several};

use super::super::files::{is_stdin, name_of, write_whole};
use super::super::terminal;

/// Writer of results.
pub(super) struct Output {
    format: &'static dyn Format,
    several: bool,
    /// Output file of each document; empty: standard output.
    files: Vec<PathBuf>,
    written: usize,
}

impl Output {
    /// Checks the output before anything is read.
    pub(super) fn new(
        format: &'static dyn Format,
        inputs: &[PathBuf],
        dir: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let several = inputs.len() > 1;
        let files = match dir {
            None if several && format.info().several == Several::Never => {
                let name = format.info().name;
                bail!(
                    "several documents of the format {name} cannot share one output: set a folder with --out"
                )
            }
            None => Vec::new(),
            Some(file) if is_file_for(file, inputs, format) => vec![file.to_owned()],
            Some(dir) => files_in(dir, inputs, format)?,
        };
        Ok(Self { format, several, files, written: 0 })
    }

    /// Returns whether events are written as they happen, instead of documents when they are complete.
    pub(super) fn is_stream(&self) -> bool {
        self.format.info().several == Several::Events && self.files.is_empty()
    }

    /// Writes the next document.
    pub(super) fn document(&mut self, number: usize, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        if let Some(file) = self.files.get(number) {
            return write_whole(file, bytes);
        }
        let first = self.written == 0;
        self.written += 1;
        if !self.several {
            return terminal::print(bytes);
        }
        let gap = if first { "" } else { "\n" };
        let (before, bytes) = match self.format.info().several {
            Several::Named { before, after } => (format!("{gap}{before}{name}{after}"), bytes),
            // One array, so that the whole output is JSON.
            Several::JsonArray => (if first { "[\n" } else { ",\n" }.to_owned(), bytes.trim_ascii_end()),
            Several::Events | Several::Never => (String::new(), bytes),
        };
        terminal::print(&[before.as_bytes(), bytes].concat())
    }

    /// Writes the end of the output.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        if self.several && self.format.info().several == Several::JsonArray && self.files.is_empty() {
            terminal::print(if self.written == 0 { "[]\n" } else { "\n]\n" })?;
        }
        Ok(())
    }
}

/// Returns whether `--out` names the file of the only document, such as `out.pdf`, and not a folder.
fn is_file_for(path: &Path, inputs: &[PathBuf], format: &dyn Format) -> bool {
    let extension = path.extension().is_some_and(|found| found == format.info().extension);
    extension && inputs.len() == 1 && !path.is_dir()
}

/// Returns `DIR/scan.pdf.txt` for `scan.pdf`. Fails if two inputs have the same name.
fn files_in(dir: &Path, inputs: &[PathBuf], format: &dyn Format) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir).with_context(|| format!("creating the folder {}", dir.display()))?;
    let mut taken: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    let mut files = Vec::with_capacity(inputs.len());
    for input in inputs {
        let name = if is_stdin(input) {
            "stdin".into()
        } else {
            input.file_name().unwrap_or_default().to_string_lossy()
        };
        let file = dir.join(format!("{name}.{}", format.info().extension));
        if let Some(other) = taken.insert(file.clone(), input) {
            bail!(
                "{} and {} would both be written to {}: read them in separate commands",
                name_of(other),
                name_of(input),
                file.display()
            );
        }
        files.push(file);
    }
    Ok(files)
}
