//! Structure of a page: its lines as blocks in reading order (headings, paragraphs, list items, tables, captions,
//! footnotes, furniture), from positions, sizes and a few patterns of the text.
//!
//! Input is the result of [`crate::layout`] and [`crate::rules`]. [`Analysis`] first finds tables: lattices of drawn lines
//! ([`lattice`]), then words aligned in columns ([`aligned`]). The other lines become paragraphs ([`paragraphs`]), and
//! each gets a role from its size and place ([`roles`]). Tables are vetoed by default: a false table destroys running
//! text, and a missed one only loses its grid. No dictionary, no model, no pixels. The cost is about `n log n` in the lines of
//! the page, and the lines times the paragraphs that may be headings or footnotes, and times the pictures.

mod aligned;
mod cells;
mod columns;
mod frame;
mod lattice;
mod levels;
mod model;
mod numbers;
mod paragraphs;
mod patterns;
mod roles;
mod spans;
mod tokens;
mod wording;

pub use levels::{HeadingSize, SizeRanks};
pub use model::{Block, Cell, Kind, Piece, Sheet, Table, Token};
pub use patterns::{is_page_number, numbering, without_numbers};
pub use wording::{Vocabulary, goes_on, join};

use crate::rules::Rule;
use frame::Frame;

/// The lines of a page, ready to be analyzed.
pub struct Analysis<'a> {
    pieces: Vec<Piece<'a>>,
    sheet: Sheet<'a>,
    /// The page without rules, once it was needed.
    plain: Option<Frame<'a>>,
}

impl<'a> Analysis<'a> {
    /// Takes the lines of a page in reading order, as [`crate::layout::reading_order`] gives them.
    pub fn of(pieces: Vec<Piece<'a>>, sheet: Sheet<'a>) -> Self {
        Self { pieces, sheet, plain: None }
    }

    /// Returns whether the page has rows of words side by side that may be tables. Where a rendering gives the drawn rules, it
    /// is worth its cost on such a page only.
    pub fn may_have_tables(&mut self) -> bool {
        let frame = self.plain.get_or_insert_with(|| Frame::of(&self.pieces, &[], &self.sheet));
        aligned::has_candidates(frame)
    }

    /// Returns the blocks of the page in reading order, and its words for [`join`]. Every piece belongs to exactly one block;
    /// `rules` are the lines drawn on the page.
    pub fn blocks(self, rules: &[Rule]) -> (Vec<Block>, Vocabulary) {
        let plain = self.plain.filter(|_| rules.is_empty());
        let frame = plain.unwrap_or_else(|| Frame::of(&self.pieces, rules, &self.sheet));
        analyze(frame)
    }
}

fn analyze(mut frame: Frame<'_>) -> (Vec<Block>, Vocabulary) {
    let mut tables = lattice::tables(&frame);
    let taken = frame.taken(&tables);
    tables.extend(aligned::tables(&frame, &taken));
    let taken = frame.taken(&tables);
    frame.measure_body(&taken);
    let blocks = paragraphs::blocks(&frame, &taken);
    let mut blocks = roles::assign(&frame, blocks, tables);
    for block in &mut blocks {
        frame.place_back(block);
    }
    (blocks, frame.vocabulary)
}

#[cfg(test)]
mod tests;
