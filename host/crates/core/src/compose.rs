//! The text layer that is put into a searchable PDF, and the finished file.
//!
//! `lector-export` makes a [`PageText`] from a page of the document model; `lector-document` puts it into the document.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::geometry::{Quad, Size};
use crate::text::Direction;

/// The standard of a searchable PDF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PdfStandard {
    /// That of the document itself, whatever it is.
    #[default]
    Own,
    /// PDF/A-2b: ISO 19005-2, level B.
    A2b,
}

/// The text that is put on one page, invisibly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageText {
    /// Position of the page in the document, from 0.
    pub index: u32,
    /// Size of the page image, in whose pixels the words are placed.
    pub size: Size,
    /// The words in reading order.
    pub words: Vec<WordText>,
}

/// A word and its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WordText {
    /// The characters, in logical order.
    pub text: String,
    /// Corners in pixels of the page image.
    pub quad: Quad,
    /// Direction of the characters.
    pub direction: Direction,
    /// Whether a space follows, so that the next word of the list is on the same line.
    pub space_follows: bool,
}

/// A finished file: its size, and its bytes in chunks of bounded size.
pub struct Composed {
    bytes: u64,
    chunks: Box<dyn Iterator<Item = Result<Vec<u8>, Fault>> + Send>,
}

impl Composed {
    /// Creates a file of `bytes` bytes that `chunks` return.
    pub fn new(bytes: u64, chunks: impl Iterator<Item = Result<Vec<u8>, Fault>> + Send + 'static) -> Self {
        Self { bytes, chunks: Box::new(chunks) }
    }

    /// Returns the size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Iterator for Composed {
    type Item = Result<Vec<u8>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.chunks.next()
    }
}

impl fmt::Debug for Composed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Composed").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
