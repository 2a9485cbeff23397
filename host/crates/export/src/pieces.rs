//! Output in pieces: the part before the pages, each page, the part after the pages.
//!
//! A page of a format that streams is dropped when it is written, so that the whole result and the whole output are
//! never in memory together.

use std::sync::Arc;
use std::vec;

use lector_core::{DocumentResult, PageResult, Summary, Transcript};

use crate::{ExportError, Format, Writer, json};

/// A piece of output.
#[derive(Debug)]
pub struct Piece<T> {
    /// The output.
    pub bytes: Vec<u8>,
    /// The page that `bytes` is made of, so that the caller can count `bytes` as memory of the same document.
    pub page: Option<Arc<T>>,
}

/// An iterator over the pieces of a document in one format. It ends after an error. JSON has no white space.
#[derive(Debug)]
pub struct Pieces<T, S> {
    writer: Box<dyn Writer>,
    has_preface: bool,
    streams: bool,
    /// The result; its pages are moved out when they are written.
    result: Box<DocumentResult<T, S>>,
    selected: Vec<u32>,
    /// Pages of a format that does not stream, so that their memory stays counted.
    kept: Vec<Arc<T>>,
    step: Step<T>,
}

#[derive(Debug)]
enum Step<T> {
    Head,
    /// The position of the next page.
    Preface(usize),
    Pages(vec::IntoIter<PageResult<T>>),
    End,
}

impl<T: AsRef<Transcript>, S: AsRef<Summary>> Pieces<T, S> {
    /// Creates the pieces of a finished document.
    pub fn new(format: &dyn Format, result: Box<DocumentResult<T, S>>) -> Self {
        let info = format.info();
        Self {
            writer: format.writer(),
            has_preface: info.has_preface,
            streams: info.streams,
            selected: result.selected(),
            result,
            kept: Vec::new(),
            step: Step::Head,
        }
    }

    fn pages(&mut self) -> Step<T> {
        Step::Pages(std::mem::take(&mut self.result.pages).into_iter())
    }

    fn piece(&mut self) -> Result<Option<Piece<T>>, ExportError> {
        let mut bytes = Vec::new();
        let step = std::mem::replace(&mut self.step, Step::End);
        let document = self.result.view(&self.selected);
        match step {
            Step::Head => {
                self.writer.head(&document, &mut bytes)?;
                self.step = if self.has_preface { Step::Preface(0) } else { self.pages() };
            }
            Step::Preface(at) => match self.result.pages.get(at) {
                Some(page) => {
                    self.writer.preface(&document, &page.view(), &mut bytes)?;
                    self.step = Step::Preface(at + 1);
                }
                None => {
                    self.writer.preface_end(&document, &mut bytes)?;
                    self.step = self.pages();
                }
            },
            Step::Pages(mut pages) => match pages.next() {
                Some(page) => {
                    self.writer.page(&document, &page.view(), &mut bytes)?;
                    self.step = Step::Pages(pages);
                    let page = page.outcome.ok();
                    if !self.streams {
                        self.kept.extend(page);
                        return Ok(Some(Piece { bytes, page: None }));
                    }
                    return Ok(Some(Piece { bytes, page }));
                }
                None => {
                    self.writer.tail(&document, &mut bytes)?;
                    let page = self.kept.pop();
                    self.kept.clear();
                    return Ok(Some(Piece { bytes, page }));
                }
            },
            Step::End => return Ok(None),
        }
        Ok(Some(Piece { bytes, page: None }))
    }
}

impl<T: AsRef<Transcript>, S: AsRef<Summary>> Iterator for Pieces<T, S> {
    type Item = Result<Piece<T>, ExportError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.piece().transpose()
    }
}

/// Returns the pages of a document as the elements of a JSON array.
pub fn json_pages<T: AsRef<Transcript>>(pages: Vec<PageResult<T>>) -> impl Iterator<Item = Piece<T>> {
    pages.into_iter().enumerate().map(|(at, page)| {
        let comma = if at == 0 { "" } else { "," };
        let bytes = format!("{comma}{}", json::compact(&json::Page::from(page.view()))).into_bytes();
        Piece { bytes, page: page.outcome.ok() }
    })
}
