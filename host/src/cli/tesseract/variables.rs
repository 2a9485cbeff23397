//! Tesseract's variables (`-c NAME=VALUE`) and its configuration files, which are lists of variables.

use std::ffi::OsStr;

use anyhow::Context;

use super::output::Kind;
use super::refusal::refused;

/// Maximum size of a configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Variables that Lector needs not know: they tune steps that it does not have.
const TUNING: &[&str] = &[
    "debug_file",
    "edges_",
    "hocr_char_boxes",
    "hocr_font_info",
    "invert_threshold",
    "load_",
    "lstm_",
    "pageseg_",
    "paragraph_text_based",
    "preserve_interword_spaces",
    "segment_penalty_",
    "tessedit_do_invert",
    "tessedit_load_",
    "tessedit_ocr_engine_mode",
    "tessedit_pageseg_mode",
    "textord_",
    "thresholding_",
    "language_model_",
    "classify_",
    "user_words_",
    "user_patterns_",
];

/// Parses a resolution in dots per inch.
pub(super) fn resolution(text: &str) -> anyhow::Result<f32> {
    let dpi = text.parse::<f32>().ok().filter(|dpi| (1.0..=10_000.0).contains(dpi));
    dpi.with_context(|| format!("--dpi {text}: it must be a number of dots per inch"))
}

/// The variables that were set.
#[derive(Debug)]
pub(super) struct Variables {
    wanted: Vec<Kind>,
    text_only_pdf: bool,
    boxes: bool,
    pub(super) page_separator: String,
    pub(super) dpi: Option<f32>,
    pub(super) notes: Vec<String>,
}

impl Default for Variables {
    fn default() -> Self {
        Self {
            wanted: Vec::new(),
            text_only_pdf: false,
            boxes: false,
            page_separator: "\u{c}".to_owned(),
            dpi: None,
            notes: Vec::new(),
        }
    }
}

impl Variables {
    /// Sets a variable from `NAME=VALUE`.
    pub(super) fn set(&mut self, pair: &str) -> anyhow::Result<()> {
        let (name, value) =
            pair.split_once('=').with_context(|| format!("-c {pair}: write it like NAME=VALUE"))?;
        self.assign(name.trim(), value)
    }

    fn assign(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        let on = matches!(value.trim().chars().next(), Some('1' | 't' | 'T' | 'y' | 'Y'));
        if let Some(kind) = name.strip_prefix("tessedit_create_").and_then(Kind::of_variable) {
            self.wanted.retain(|wanted| *wanted != kind);
            self.wanted.extend(on.then_some(kind));
            return Ok(());
        }
        match name {
            "tessedit_create_boxfile" | "tessedit_create_lstmbox" | "tessedit_create_wordstrbox" => {
                self.boxes |= on
            }
            "tessedit_write_unlv" | "tessedit_train_from_boxes" | "tessedit_train_line_recognizer" if on => {
                return refused(name, "");
            }
            "textonly_pdf" => self.text_only_pdf = on,
            "page_separator" => value.clone_into(&mut self.page_separator),
            "user_defined_dpi" => self.dpi = Some(resolution(value)?),
            _ if TUNING.iter().any(|known| name.starts_with(known)) => {}
            _ => self.notes.push(format!("the variable {name} has no effect")),
        }
        Ok(())
    }

    /// Applies a configuration file: one of tesseract's own by its name, or a file of variables.
    pub(super) fn config_file(&mut self, name: &OsStr) -> anyhow::Result<()> {
        let text = name.to_string_lossy();
        if let Some(kind) = Kind::of_config(&text) {
            self.wanted.retain(|wanted| *wanted != kind);
            self.wanted.push(kind);
            return Ok(());
        }
        match &*text {
            "quiet" | "batch" | "batch.nochop" | "logfile" => return Ok(()),
            "digits" => return self.set("tessedit_char_whitelist=0123456789-."),
            "makebox" | "lstmbox" | "wordstrbox" => {
                self.boxes = true;
                return Ok(());
            }
            "unlv" | "box.train" | "box.train.stderr" | "lstm.train" | "linebox" | "get.images" => {
                return refused(&format!("the configuration {text}"), "");
            }
            _ => {}
        }
        let path = std::path::Path::new(name);
        if path.metadata().is_ok_and(|found| found.is_file() && found.len() <= FILE_BYTES_MAX)
            && let Ok(lines) = std::fs::read_to_string(path)
        {
            let lines =
                lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            for line in lines {
                let (name, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
                self.assign(name, value.trim())?;
            }
            return Ok(());
        }
        // pytesseract gives several variables after one `-c`.
        if text.contains('=') {
            return self.set(&text);
        }
        // The words of tesseract: OCRmyPDF looks for them.
        self.notes.push(format!("read_params_file: Can't open {text}"));
        Ok(())
    }

    /// Returns the outputs, in the order in which tesseract writes them.
    pub(super) fn kinds(&self, mode: u8) -> anyhow::Result<Vec<Kind>> {
        if matches!(mode, 0 | 2) {
            return Ok(vec![Kind::Text]);
        }
        if self.boxes {
            return refused("a file with the boxes of characters", ": boxes of words are in tsv and hocr");
        }
        if self.text_only_pdf && self.wanted.contains(&Kind::Pdf) {
            return refused("textonly_pdf", ": use the hOCR renderer, or a PDF with its image");
        }
        if self.wanted.is_empty() {
            return Ok(vec![Kind::Text]);
        }
        Ok(Kind::ALL.into_iter().filter(|kind| self.wanted.contains(kind)).collect())
    }
}
