//! Text as read from a page.

use serde::{Deserialize, Serialize};

use crate::geometry::{Quad, Rect, Size, Turn};

/// Where a text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Read from pixels.
    Ocr,
    /// Taken from the text embedded in the document.
    TextLayer,
}

/// A run of characters between spaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The characters.
    pub text: String,
    /// Mean probability of its characters, 0 to 1.
    pub confidence: f32,
    /// Corners in pixels of the page image.
    pub quad: Quad,
}

/// One line of text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The characters, spaces included.
    pub text: String,
    /// Mean probability of its characters, 0 to 1.
    pub confidence: f32,
    /// Corners in pixels of the page image.
    pub quad: Quad,
    /// Words, where the request asked for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
    /// Where the text comes from.
    pub origin: Origin,
    /// Lines of one paragraph, column or cell share a number; numbers rise in reading order.
    pub block: u32,
}

/// Something that a guest reports beside the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is, in the guest's vocabulary.
    pub kind: String,
    /// A rendition that is safe to show.
    pub text: String,
    /// Index of the line that it was found in.
    pub line: u32,
    /// Corners in pixels of the page image.
    pub quad: Quad,
}

/// One page as read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// Size of the page image, in pixels.
    pub size: Size,
    /// Resolution of the page image, dots per inch.
    pub dpi: f32,
    /// How the page image must be turned for its text to stand upright.
    pub turn: Turn,
    /// Lines in reading order.
    pub lines: Vec<Line>,
    /// What else was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What the reader of the result must know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Bytes that an allocation takes at least, and beside what was asked for.
const ALLOCATION_BYTES: u64 = 16;

/// Memory of a text of its own.
fn text_bytes(text: &String) -> u64 {
    text.capacity() as u64 + ALLOCATION_BYTES
}

/// Memory of a list, without what its elements own.
fn list_bytes<T>(list: &Vec<T>) -> u64 {
    (list.capacity() * size_of::<T>()) as u64 + ALLOCATION_BYTES
}

impl Transcript {
    /// Returns the bytes of memory that the page takes.
    pub fn memory_bytes(&self) -> u64 {
        let words = |words: &Vec<Word>| -> u64 {
            list_bytes(words) + words.iter().map(|word| text_bytes(&word.text)).sum::<u64>()
        };
        let lines: u64 = self.lines.iter().map(|line| text_bytes(&line.text) + words(&line.words)).sum();
        let findings: u64 = self.findings.iter().map(|f| text_bytes(&f.kind) + text_bytes(&f.text)).sum();
        let warnings: u64 = self.warnings.iter().map(text_bytes).sum();
        let lists = list_bytes(&self.lines) + list_bytes(&self.findings) + list_bytes(&self.warnings);
        size_of::<Self>() as u64 + lists + lines + findings + warnings
    }

    /// The text: a line feed after each line, an empty line between blocks.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut block = None;
        for line in &self.lines {
            if block.is_some_and(|b| b != line.block) {
                out.push('\n');
            }
            block = Some(line.block);
            out.push_str(&line.text);
            out.push('\n');
        }
        out
    }
}

/// A document as a whole, as a guest sums it up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The text of all pages.
    pub text: String,
    /// A JSON object of the guest's own.
    pub extra: Option<String>,
}

impl Summary {
    /// Returns the bytes of memory that it takes.
    pub fn memory_bytes(&self) -> u64 {
        text_bytes(&self.text) + self.extra.as_ref().map_or(0, text_bytes)
    }
}

/// A word of embedded text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextSpan {
    /// The characters, without spaces.
    pub text: String,
    /// Points (1/72 inch) of the page as displayed, origin top left.
    pub area: Rect,
    /// Points, as displayed.
    pub font_size: f32,
    /// False for text drawn invisibly (render mode 3).
    pub visible: bool,
    /// True where a line break or a clear gap follows in the document's own order.
    pub ends_line: bool,
}

/// What a page says of itself without a look at its pixels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TextLayer {
    /// Words in the document's own order.
    pub spans: Vec<TextSpan>,
    /// Areas covered by pictures, in points as displayed, origin top left.
    pub pictures: Vec<Rect>,
    /// Characters without a meaning in Unicode.
    pub unmapped: u32,
}

impl TextLayer {
    /// Returns the bytes of memory that it takes.
    pub fn memory_bytes(&self) -> u64 {
        let texts: u64 = self.spans.iter().map(|span| text_bytes(&span.text)).sum();
        list_bytes(&self.spans) + texts + list_bytes(&self.pictures)
    }
}
