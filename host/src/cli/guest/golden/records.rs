//! Differences of lists and JSON values of a result, as an author reads them: one line for each thing that was removed or
//! added, and one for each member that changed.

use std::fmt::Write as _;

use lector_core::{Block, BlockKind, Cell, Finding};
use serde::Serialize;
use serde_json::Value;
use similar::{Algorithm, DiffTag, capture_diff_slices};

/// Maximum length of a value in a line, in characters.
const VALUE_CHARS_MAX: usize = 80;

/// Returns `- OLD` and `+ NEW` lines, each after `what`; empty for equal lists.
pub(super) fn difference(what: &str, old: &[String], new: &[String]) -> String {
    let mut report = String::new();
    for change in capture_diff_slices(Algorithm::Myers, old, new) {
        if change.tag() == DiffTag::Equal {
            continue;
        }
        for (sign, list, range) in [('-', old, change.old_range()), ('+', new, change.new_range())] {
            for item in list.get(range).unwrap_or_default() {
                let _ = writeln!(report, "{sign} {what} {item}");
            }
        }
    }
    report
}

/// Returns one line for each member that differs between two JSON values, by its path: `/total: "1" -> "2"`. The order of
/// members is not significant.
pub(super) fn json_difference(what: &str, old: Option<&str>, new: Option<&str>) -> String {
    let value = |json: Option<&str>| {
        json.map(|json| serde_json::from_str(json).unwrap_or_else(|_| Value::from(json)))
    };
    let mut report = String::new();
    members(what, "", value(old).as_ref(), value(new).as_ref(), &mut report);
    report
}

fn members(what: &str, path: &str, old: Option<&Value>, new: Option<&Value>, report: &mut String) {
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                members(what, &format!("{path}/{name}"), old.get(name), new.get(name), report);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                members(what, &format!("{path}/{index}"), Some(old), Some(new), report);
            }
        }
        _ if old == new => {}
        _ => {
            let shown = |value: Option<&Value>| {
                value.map_or_else(|| "none".to_owned(), |value| short(&value.to_string()))
            };
            let at = if path.is_empty() { "" } else { " " };
            let _ = writeln!(report, "{what}{at}{path}: {} -> {}", shown(old), shown(new));
        }
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Returns a finding on one line: kind, text, value, lines.
pub(super) fn finding(found: &Finding) -> String {
    let value = found.value.as_ref().map(|value| format!(" = `{value}`")).unwrap_or_default();
    let lines: Vec<String> = found.lines.iter().map(u32::to_string).collect();
    let unit = if lines.len() == 1 { "line" } else { "lines" };
    format!("{} `{}`{value} in {unit} {}", found.kind, found.text, lines.join(", "))
}

/// Returns a block, and each of its cells, on a line of its own.
pub(super) fn block(block: &Block) -> Vec<String> {
    let kind = match &block.kind {
        BlockKind::Heading { level } => format!("heading {level}"),
        BlockKind::Other { name } => format!("`{name}`"),
        kind => name_of(kind),
    };
    let Some(table) = &block.table else { return vec![format!("{} {kind}", block.id)] };
    let mut lines = vec![format!("{} {kind} of {} x {}", block.id, table.rows, table.columns)];
    lines.extend(table.cells.iter().map(|cell| {
        let Cell { row, column, row_span, column_span, text, .. } = cell;
        let span = match (row_span, column_span) {
            (1, 1) => String::new(),
            _ => format!(", {row_span} x {column_span}"),
        };
        format!("{} cell ({row}, {column}{span}) `{text}`", block.id)
    }));
    lines
}

/// Returns the name of a value as results have it: `text-layer`.
pub(super) fn name_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        // An enum with data, by its tag.
        Ok(Value::Object(members)) => {
            members.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use lector_core::LineSource;

    use super::*;

    #[test]
    fn members_that_changed_are_named_by_their_path() {
        let check = |old: Option<&str>, new: Option<&str>, expect: &str| {
            assert_eq!(json_difference("page", old, new), expect, "{old:?} {new:?}");
        };
        check(Some(r#"{"a": 1, "b": [1, 2]}"#), Some(r#"{"b": [1, 2], "a": 1}"#), "");
        check(Some(r#"{"a": {"b": [1, 2]}}"#), Some(r#"{"a": {"b": [1, 3]}}"#), "page /a/b/1: 2 -> 3\n");
        check(Some(r#"{"a": 1}"#), Some(r#"{"b": "x"}"#), "page /a: 1 -> none\npage /b: none -> \"x\"\n");
        check(Some(r#"{"a": [1]}"#), Some(r#"{"a": [1, 2]}"#), "page /a: [1] -> [1,2]\n");
        check(None, Some("{}"), "page: none -> {}\n");
        let long = format!("{:?}", "x".repeat(500));
        assert!(json_difference("page", None, Some(&long)).chars().count() < 120);
    }

    #[test]
    fn removed_and_added_items_have_a_line_each() {
        let of = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let report = difference("finding", &of(&["a", "b", "c"]), &of(&["a", "d", "c", "e"]));
        assert_eq!(report, "- finding b\n+ finding d\n+ finding e\n");
        assert_eq!(name_of(&LineSource::TextLayer), "text-layer");
        assert_eq!(name_of(&BlockKind::ListItem), "list_item");
    }
}
