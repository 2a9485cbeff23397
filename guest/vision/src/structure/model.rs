//! The types of a structured page.

use crate::geometry::{Quad, Rect};

/// A word and its position.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// Its characters.
    pub text: &'a str,
    /// Its position, in the coordinates of its piece.
    pub quad: Quad,
}

/// A line of text, or the part of a line in one cell of a table.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    /// Its characters.
    pub text: &'a str,
    /// Its position on the upright page.
    pub quad: Quad,
    /// Its words, in any order; empty where they are unknown.
    pub words: Vec<Token<'a>>,
    /// Size of its font in the unit of the page; `None` for text read from pixels.
    pub font_size: Option<f32>,
    /// Block and zone of [`crate::layout::Placed`].
    pub block: u32,
    /// See `block`.
    pub zone: u32,
}

/// What is known of the page beyond its text.
#[derive(Clone, Copy, Debug)]
pub struct Sheet<'a> {
    /// Width and height of the coordinate space.
    pub size: (f32, f32),
    /// True for the first page of a document, which may have a title.
    pub first: bool,
    /// Areas of pictures, in the coordinates of the pieces.
    pub pictures: &'a [Rect],
}

/// Role of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The title of the document.
    Title,
    /// A heading of this level, from 1.
    Heading(u8),
    /// A paragraph.
    Text,
    /// An item of a list.
    ListItem,
    /// A table.
    Table,
    /// A picture, without text of its own.
    Figure,
    /// The caption of a table or figure.
    Caption,
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
}

/// Lines that belong together.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its role.
    pub kind: Kind,
    /// Its lines: each is one piece, or several to be joined (the entry and the page number of a table of contents).
    pub rows: Vec<Vec<usize>>,
    /// Its position on the upright page.
    pub quad: Quad,
    /// Confidence in the role, 0 to 1.
    pub confidence: f32,
    /// Its grid, for a table.
    pub table: Option<Table>,
    /// True where its lines are rows of their own: of a receipt, a form, a table of contents.
    pub rowed: bool,
    /// Index of the block that it is the caption of.
    pub caption_of: Option<usize>,
    /// Size of its text in the unit of the page: of the font, or the height of its lines.
    pub size: f32,
}

/// A grid. Its columns are counted from the left of the page, also where the text runs from right to left: then the labels of
/// the rows are in the last column.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Its cells by row and column. They cover the grid and do not overlap.
    pub cells: Vec<Cell>,
}

/// A cell of a grid.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// First row.
    pub row: usize,
    /// First column.
    pub column: usize,
    /// Number of rows.
    pub row_span: usize,
    /// Number of columns.
    pub column_span: usize,
    /// True for a header cell.
    pub header: bool,
    /// Its position.
    pub quad: Quad,
    /// Its text.
    pub text: String,
    /// Indices of its pieces, each once.
    pub pieces: Vec<usize>,
}
