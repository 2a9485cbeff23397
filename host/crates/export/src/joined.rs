//! The text of a block as running text. A guest joins the lines of a block where it knows how (a word that is hyphenated
//! over two lines, lines of a script without spaces), and gives the result as the property `text` of the block; otherwise
//! the lines are joined with spaces.

use lector_core::{BlockView, Line};
use serde::Deserialize;

use crate::xml::one_line;

/// The properties of a block that formats read; guests may add others.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Properties {
    text: Option<String>,
}

/// Returns the text of a block on one line.
pub(crate) fn joined(view: &BlockView<'_>) -> String {
    let properties = view.block.and_then(|block| block.properties.as_deref());
    // A member of another type is another guest's own.
    let properties: Properties =
        properties.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    match properties.text {
        Some(text) => one_line(&text),
        None => spaced(&view.lines),
    }
}

/// Returns lines on one line, joined with spaces.
pub(crate) fn spaced(lines: &[(usize, &Line)]) -> String {
    let texts: Vec<&str> = lines.iter().map(|(_, line)| line.text.as_str()).collect();
    one_line(&texts.join(" "))
}
