//! Structure of a page: its lines as blocks in reading order (headings, paragraphs, list items, tables, captions,
//! footnotes, furniture), from positions, sizes and a few patterns of the text.
//!
//! Input is the result of [`crate::layout`] and [`crate::rules`]. [`analyze`] first finds tables: lattices of drawn lines
//! ([`lattice`]), then words aligned in columns ([`aligned`]). The other lines become paragraphs ([`paragraphs`]), and
//! each gets a role from its size and place ([`roles`]). Tables are vetoed by default: a false table destroys running
//! text, and a missed one only loses its grid. No dictionary, no model, no pixels; the cost is about `n log n`.

mod aligned;
mod cells;
mod columns;
mod frame;
mod lattice;
mod model;
mod numbers;
mod paragraphs;
mod patterns;
mod roles;
mod spans;
mod tokens;
mod wording;

pub use model::{Block, Cell, Kind, Piece, Sheet, Table, Token};
pub use patterns::{is_page_number, numbering, without_numbers};
pub use wording::{Vocabulary, goes_on, join};

use crate::rules::Rule;
use frame::Frame;

/// Returns the blocks of a page in reading order. Every piece belongs to exactly one block. `pieces` are the lines of
/// the page in reading order, as [`crate::layout::reading_order`] gives them; `rules` are the lines drawn on it.
pub fn analyze(pieces: &[Piece<'_>], rules: &[Rule], sheet: &Sheet<'_>) -> Vec<Block> {
    let mut frame = Frame::of(pieces, rules, sheet);
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
    blocks
}

/// Returns whether the page has rows of words side by side that may be tables. Where a rendering gives the drawn rules, it
/// is worth its cost on such a page only.
pub fn may_have_tables(pieces: &[Piece<'_>], sheet: &Sheet<'_>) -> bool {
    let frame = Frame::of(pieces, &[], sheet);
    aligned::has_candidates(&frame)
}

#[cfg(test)]
mod tests;
