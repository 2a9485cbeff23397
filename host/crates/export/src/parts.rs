//! Parts of a page in single formats, for APIs of other software that put them into shapes of their own.

use lector_core::{BlockKind, BlockView, Line, Table, Transcript};

use crate::code::code_lines;
use crate::joined::joined;
pub use crate::markdown::places::LinePlace;
use crate::{html, markdown};

/// Returns a page as Markdown, without headers, footers and page numbers.
pub fn page_markdown(page: &Transcript) -> String {
    markdown::of_page(page, None)
}

/// Returns a page as [`page_markdown`] does, and the place in it of each of its lines. A line of a header, a footer or a page
/// number has an empty place between its neighbors.
pub fn placed_markdown(page: &Transcript) -> (String, Vec<LinePlace>) {
    markdown::places::of_page(page)
}

/// Returns the places of lines that follow each other in a text without escapes.
pub fn places_in<'a>(text: &str, lines: impl IntoIterator<Item = &'a Line>) -> Vec<LinePlace> {
    markdown::places::in_text(text, lines)
}

/// Returns a block as Markdown; nothing for headers, footers and page numbers.
pub fn block_markdown(view: &BlockView<'_>) -> String {
    if markdown::is_head(view) { String::new() } else { markdown::of_block(view) }
}

/// Returns the text of a block on one line; code keeps its lines.
pub fn block_text(view: &BlockView<'_>) -> String {
    match view.block.map(|block| &block.kind) {
        Some(BlockKind::Code) => code_lines(view).join("\n"),
        _ => joined(view),
    }
}

/// Returns a table as HTML, without styles.
pub fn table_html(table: &Table) -> String {
    html::table(table)
}
