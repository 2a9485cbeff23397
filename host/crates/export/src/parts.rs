//! Parts of a page in single formats, for APIs of other software that put them into shapes of their own.

use lector_core::{BlockKind, BlockView, Table, Transcript};

use crate::joined::joined;
use crate::{html, markdown};

/// Returns a page as Markdown, without headers, footers and page numbers.
pub fn page_markdown(page: &Transcript) -> String {
    markdown::of_page(page)
}

/// Returns a block as Markdown; nothing for headers, footers and page numbers.
pub fn block_markdown(view: &BlockView<'_>) -> String {
    markdown::of_block(view)
}

/// Returns the text of a block on one line; code keeps its lines.
pub fn block_text(view: &BlockView<'_>) -> String {
    match view.block.map(|block| &block.kind) {
        Some(BlockKind::Code) => {
            let lines: Vec<&str> = view.lines.iter().map(|(_, line)| line.text.trim_end()).collect();
            lines.join("\n")
        }
        _ => joined(view),
    }
}

/// Returns a table as HTML, without styles.
pub fn table_html(table: &Table) -> String {
    html::table(table)
}
