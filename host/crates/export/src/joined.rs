//! The text of a block as running text. A guest joins the lines of a block where it knows how (a word that is hyphenated
//! over two lines, lines of a script without spaces), and gives the result as the property `text` of the block; otherwise
//! the lines are joined with spaces. Where the block has the property `rows`, its lines stay rows.

use lector_core::{BlockView, Line};
use serde::Deserialize;

use crate::xml::one_line;

/// The properties of a block that formats read; guests may add others.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Properties {
    text: Option<String>,
    rows: bool,
    caption_of: Option<u32>,
}

fn properties(view: &BlockView<'_>) -> Properties {
    let properties = view.block.and_then(|block| block.properties.as_deref());
    // A member of another type is another guest's own.
    properties.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// Returns the id of the block that a caption belongs to, where the guest states it.
pub(crate) fn caption_of(view: &BlockView<'_>) -> Option<u32> {
    properties(view).caption_of
}

/// Returns the text of a block on one line.
pub(crate) fn joined(view: &BlockView<'_>) -> String {
    match properties(view).text {
        Some(text) => one_line(&text),
        None => spaced(&view.lines),
    }
}

/// Returns the rows of a block whose lines are rows of their own (of a receipt, a form, a table of contents), each on one line;
/// `None` for running text.
pub(crate) fn rows(view: &BlockView<'_>) -> Option<Vec<String>> {
    let properties = properties(view);
    if !properties.rows {
        return None;
    }
    let rows: Vec<String> = match &properties.text {
        Some(text) => text.lines().map(one_line).collect(),
        None => view.lines.iter().map(|(_, line)| one_line(&line.text)).collect(),
    };
    Some(rows.into_iter().filter(|row| !row.is_empty()).collect())
}

/// Returns the text of a block on one line, or its rows on a line each.
pub(crate) fn joined_or_rows(view: &BlockView<'_>) -> String {
    rows(view).map_or_else(|| joined(view), |rows| rows.join("\n"))
}

/// Returns lines on one line, joined with spaces.
pub(crate) fn spaced(lines: &[(usize, &Line)]) -> String {
    let texts: Vec<&str> = lines.iter().map(|(_, line)| line.text.as_str()).collect();
    one_line(&texts.join(" "))
}
