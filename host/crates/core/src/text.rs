//! Text of a page: transcripts and text layers.

use serde::{Deserialize, Serialize};

use crate::geometry::{Quad, Rect, Rotation, Size};

/// Source of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LineSource {
    /// Read from pixels.
    Ocr,
    /// The text layer of the document.
    TextLayer,
    /// The value of a form field.
    FormField,
    /// An annotation: a note, a stamp.
    Annotation,
}

/// Direction in which the characters of a line follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Left to right.
    #[default]
    Ltr,
    /// Right to left. The text is in logical order, the quad in image order.
    Rtl,
    /// Top to bottom.
    Ttb,
}

impl Direction {
    /// Returns whether the direction is left to right.
    pub fn is_ltr(&self) -> bool {
        *self == Self::Ltr
    }
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
    /// Source of the text.
    #[serde(alias = "origin")]
    pub source: LineSource,
    /// Direction of the text.
    #[serde(default, skip_serializing_if = "Direction::is_ltr")]
    pub direction: Direction,
    /// Id of the block that the line belongs to; ids rise in reading order.
    #[serde(alias = "block")]
    pub block_id: u32,
}

impl Line {
    /// Creates a line that was read from pixels, left to right, in block 0, without words.
    pub fn new(text: impl Into<String>, confidence: f32, quad: Quad) -> Self {
        Self {
            text: text.into(),
            confidence,
            quad,
            words: Vec::new(),
            source: LineSource::Ocr,
            direction: Direction::Ltr,
            block_id: 0,
        }
    }
}

/// Role of a block on the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum BlockKind {
    /// The title of the document.
    Title,
    /// A heading.
    Heading {
        /// Its level, from 1.
        level: u8,
    },
    /// A paragraph.
    Text,
    /// An item of a list.
    ListItem,
    /// A table; its cells are in [`Block::table`].
    Table,
    /// A picture.
    Figure,
    /// The caption of a figure or table.
    Caption,
    /// A formula.
    Formula,
    /// A page header.
    Header,
    /// A page footer.
    Footer,
    /// The number of the page.
    PageNumber,
    /// A footnote.
    Footnote,
    /// Program text.
    Code,
    /// A field of a form.
    FormField,
    /// A stamp or seal.
    Stamp,
    /// A kind from the guest's own vocabulary.
    Other {
        /// Name of the kind in that vocabulary.
        name: String,
    },
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// First row, from 0.
    pub row: u32,
    /// First column, from 0.
    pub column: u32,
    /// Number of rows, 1 or more.
    pub row_span: u32,
    /// Number of columns, 1 or more.
    pub column_span: u32,
    /// Whether it is a header cell.
    pub header: bool,
    /// Corners in pixels of the page image.
    pub quad: Quad,
    /// Its text.
    pub text: String,
    /// Indices of its lines in [`Transcript::lines`].
    pub lines: Vec<u32>,
}

/// The grid of a table block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Number of rows.
    pub rows: u32,
    /// Number of columns.
    pub columns: u32,
    /// The cells, by row and column; they do not overlap.
    pub cells: Vec<Cell>,
}

/// A block: lines that belong together. A line belongs to the block of its `block_id`; a block without a record is
/// text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Id of the block, as its lines state it.
    pub id: u32,
    /// Its role.
    #[serde(flatten)]
    pub kind: BlockKind,
    /// Corners in pixels of the page image.
    pub quad: Quad,
    /// Confidence in its kind, 0 to 1.
    pub confidence: f32,
    /// Its cells, where it is a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// A JSON object with the guest's additions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<String>,
}

/// A result of the guest beside the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its kind, in the guest's vocabulary.
    pub kind: String,
    /// A text that is safe to show.
    pub text: String,
    /// Normalized value, such as an ISO 8601 date; `None` where the text is the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Confidence, 0 to 1.
    pub confidence: f32,
    /// Indices of its lines in [`Transcript::lines`]; at least one.
    pub lines: Vec<u32>,
    /// Corners in pixels of the page image.
    pub quad: Quad,
}

/// Transcript of one page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// Size of the page image, in pixels.
    pub size: Size,
    /// Resolution of the page image, dots per inch.
    pub dpi: f32,
    /// Clockwise rotation of the page image that puts its text upright.
    #[serde(alias = "turn")]
    pub rotation: Rotation,
    /// Lines in reading order.
    pub lines: Vec<Line>,
    /// Blocks in reading order; empty where the pipeline reads lines only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
    /// The guest's own results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Warnings for the reader of the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// A JSON object with the guest's additions for the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<String>,
}

impl Finding {
    /// Creates a finding with confidence 1 in one line.
    pub fn new(kind: impl Into<String>, text: impl Into<String>, line: u32, quad: Quad) -> Self {
        Self { kind: kind.into(), text: text.into(), value: None, confidence: 1.0, lines: vec![line], quad }
    }
}

/// Overhead of an allocation, and its smallest size, in bytes.
const ALLOCATION_BYTES: u64 = 16;

/// Returns the heap memory of a text.
fn text_bytes(text: &String) -> u64 {
    text.capacity() as u64 + ALLOCATION_BYTES
}

/// Returns the heap memory of a list, without the memory that its elements own.
fn list_bytes<T>(list: &Vec<T>) -> u64 {
    (list.capacity() * size_of::<T>()) as u64 + ALLOCATION_BYTES
}

impl Transcript {
    /// Creates a page without text.
    pub fn blank(size: Size, dpi: f32) -> Self {
        Self {
            size,
            dpi,
            rotation: Rotation::None,
            lines: Vec::new(),
            blocks: Vec::new(),
            findings: Vec::new(),
            warnings: Vec::new(),
            properties: None,
        }
    }

    /// Returns the bytes of memory that the page occupies.
    pub fn memory_bytes(&self) -> u64 {
        let words = |words: &Vec<Word>| -> u64 {
            list_bytes(words) + words.iter().map(|word| text_bytes(&word.text)).sum::<u64>()
        };
        let lines: u64 = self.lines.iter().map(|line| text_bytes(&line.text) + words(&line.words)).sum();
        let optional = |text: &Option<String>| text.as_ref().map_or(0, text_bytes);
        let findings = self.findings.iter().map(|found| {
            text_bytes(&found.kind)
                + text_bytes(&found.text)
                + optional(&found.value)
                + list_bytes(&found.lines)
        });
        let findings: u64 = findings.sum();
        let cell = |cell: &Cell| text_bytes(&cell.text) + list_bytes(&cell.lines);
        let table = |table: &Table| list_bytes(&table.cells) + table.cells.iter().map(cell).sum::<u64>();
        let blocks = self.blocks.iter().map(|block| {
            let name = match &block.kind {
                BlockKind::Other { name } => text_bytes(name),
                _ => 0,
            };
            name + optional(&block.properties) + block.table.as_ref().map_or(0, table)
        });
        let blocks: u64 = blocks.sum::<u64>() + list_bytes(&self.blocks);
        let warnings: u64 = self.warnings.iter().map(text_bytes).sum();
        let lists = list_bytes(&self.lines) + list_bytes(&self.findings) + list_bytes(&self.warnings);
        size_of::<Self>() as u64 + lists + lines + blocks + findings + warnings + optional(&self.properties)
    }

    /// Returns the text: a line feed after each line, an empty line between blocks.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut block = None;
        for line in &self.lines {
            if block.is_some_and(|b| b != line.block_id) {
                out.push('\n');
            }
            block = Some(line.block_id);
            out.push_str(&line.text);
            out.push('\n');
        }
        out
    }
}

impl AsRef<Transcript> for Transcript {
    fn as_ref(&self) -> &Transcript {
        self
    }
}

impl AsRef<Summary> for Summary {
    fn as_ref(&self) -> &Summary {
        self
    }
}

/// A page with shared ownership, for example by the answer to the client and by the summary.
pub type SharedTranscript = std::sync::Arc<dyn AsRef<Transcript> + Send + Sync>;

/// Result of a guest's `assemble` for a whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The text of all pages.
    pub text: String,
    /// A JSON object with the guest's additions for the whole document.
    pub properties: Option<String>,
}

impl Summary {
    /// Returns the bytes of memory that the summary occupies.
    pub fn memory_bytes(&self) -> u64 {
        text_bytes(&self.text) + self.properties.as_ref().map_or(0, text_bytes)
    }
}

/// A word of embedded text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextSpan {
    /// The characters, without spaces.
    pub text: String,
    /// Points (1/72 inch) of the page as displayed, origin top left.
    pub area: Rect,
    /// Font size in points, as displayed.
    pub font_size: f32,
    /// Whether the text is drawn; false for invisible text (render mode 3).
    pub visible: bool,
    /// Whether a line break or a clear gap follows in the document's own order.
    pub ends_line: bool,
    /// Source of the text.
    #[serde(alias = "origin")]
    pub source: LineSource,
}

/// Text and picture areas of a page, read without rendering.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TextLayer {
    /// Words in the document's own order.
    pub spans: Vec<TextSpan>,
    /// Areas covered by pictures, in points as displayed, origin top left.
    pub pictures: Vec<Rect>,
    /// Number of characters without a Unicode mapping.
    pub unmapped: u32,
    /// Areas of drawn lines, level ones first, in points as above; the longer side is the line's. Empty for a page with
    /// more of them than tables have.
    pub rules: Vec<Rect>,
}

impl TextLayer {
    /// Returns the bytes of memory that the text layer occupies.
    pub fn memory_bytes(&self) -> u64 {
        let texts: u64 = self.spans.iter().map(|span| text_bytes(&span.text)).sum();
        list_bytes(&self.spans) + texts + list_bytes(&self.pictures) + list_bytes(&self.rules)
    }
}
