//! Output in pieces: the part before the pages, each page, the part after the pages.
//!
//! A page is dropped when it is written, so that the whole result and the whole output are never in memory together.

use std::vec;

use lector_control::Reservation;

use lector_serving::{DocumentResult, PageResult};

use super::{Format, hocr, json, markdown, ndjson, text};

/// A piece of output with its memory reservation.
#[derive(Debug)]
pub struct Piece {
    /// The output in UTF-8.
    pub bytes: String,
    /// The reservation for `bytes`.
    pub reservation: Reservation,
}

/// An iterator over the pieces of a document in one format. JSON has no white space.
#[derive(Debug)]
pub struct Pieces {
    format: Format,
    /// The result; its pages are moved out when they are written.
    result: Box<DocumentResult>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Head,
    /// The text before the pages, with the position of the next page.
    Text(usize, text::Parts),
    Pages(vec::IntoIter<PageResult>, usize),
    End,
}

impl Pieces {
    /// Creates the pieces of a finished document.
    pub fn new(format: Format, result: Box<DocumentResult>) -> Self {
        Self { format, result, step: Step::Head }
    }

    fn pages(&mut self) -> Step {
        Step::Pages(std::mem::take(&mut self.result.pages).into_iter(), 0)
    }

    fn head(&mut self) -> String {
        let head = match self.format {
            Format::Json => open_object(&json::facts(&self.result)) + ",\"text\":\"",
            Format::Text | Format::Markdown => String::new(),
            Format::Hocr => hocr::head(&self.result),
            Format::Ndjson => ndjson::head(&self.result),
        };
        self.step = match self.format {
            Format::Json | Format::Text => Step::Text(0, text::Parts::default()),
            Format::Markdown | Format::Hocr | Format::Ndjson => self.pages(),
        };
        head
    }

    fn text(&mut self, at: usize, mut parts: text::Parts) -> String {
        let as_json = self.format == Format::Json;
        let text = |text: String| if as_json { in_string(&text) } else { text };
        if at < self.result.pages.len() {
            let page = parts.page(&self.result, at);
            self.step = Step::Text(at + 1, parts);
            return text(page);
        }
        let end = text(parts.end(&self.result));
        if !as_json {
            self.step = Step::End;
            return end;
        }
        self.step = self.pages();
        let summary = json::summary(&self.result);
        let members =
            if summary.is_empty() { String::new() } else { open_object(&summary).replacen('{', ",", 1) };
        format!("{end}\"{members},\"pages\":[")
    }

    fn page(&self, at: usize, page: &PageResult) -> String {
        match self.format {
            Format::Json => {
                let comma = if at == 0 { "" } else { "," };
                format!("{comma}{}", compact(&json::Page(page)))
            }
            Format::Text => String::new(),
            Format::Markdown => markdown::page_result(at, page),
            Format::Hocr => hocr::page_result(self.result.name.as_deref(), page),
            Format::Ndjson => {
                let outcome = page.outcome.as_ref().map(|page| &***page);
                ndjson::page(0, page.index, outcome, &page.timing).to_string()
            }
        }
    }

    fn tail(&self) -> String {
        match self.format {
            Format::Json => "]}\n".to_owned(),
            Format::Text | Format::Markdown => String::new(),
            Format::Hocr => hocr::TAIL.to_owned(),
            Format::Ndjson => ndjson::tail(&self.result),
        }
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let mut reservation = Reservation::default();
        let bytes = match std::mem::replace(&mut self.step, Step::End) {
            Step::Head => self.head(),
            Step::Text(at, parts) => self.text(at, parts),
            Step::Pages(mut pages, at) => match pages.next() {
                Some(page) => {
                    self.step = Step::Pages(pages, at + 1);
                    let bytes = self.page(at, &page);
                    if let Ok(page) = &page.outcome {
                        reservation = page.reservation().another(bytes.len() as u64);
                    }
                    bytes
                }
                None => self.tail(),
            },
            Step::End => return None,
        };
        Some(Piece { bytes, reservation })
    }
}

/// Returns the pages of a document as the elements of a JSON array.
pub fn json_pages(pages: Vec<PageResult>) -> impl Iterator<Item = Piece> {
    pages.into_iter().enumerate().map(|(at, page)| {
        let bytes = format!("{}{}", if at == 0 { "" } else { "," }, compact(&json::Page(&page)));
        let bytes_len = bytes.len() as u64;
        let reservation = page.outcome.map(|page| page.reservation().another(bytes_len)).unwrap_or_default();
        Piece { bytes, reservation }
    })
}

fn compact(shape: &impl serde::Serialize) -> String {
    // Cannot fail: all keys are strings.
    serde_json::to_string(shape).unwrap_or_default()
}

/// Returns a JSON object without its closing brace.
fn open_object(members: &serde_json::Map<String, serde_json::Value>) -> String {
    let mut object = compact(members);
    object.truncate(object.len().saturating_sub(1));
    object
}

/// Escapes a text for a JSON string, without the quotes.
fn in_string(text: &str) -> String {
    let quoted = compact(&text);
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}
