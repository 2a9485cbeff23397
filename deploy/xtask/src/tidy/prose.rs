//! Finds lines of prose in documents that are not wrapped. Tables, code and the targets of links may be longer.

use std::fs;

use crate::places::Places;

/// Maximum length of a line, in characters. Documents wrap at about 130.
const WIDTH_MAX: usize = 140;
/// The document for readers who do not know the code yet. Its lines have a bound, and wrap at `OVERVIEW_WIDTH_MAX`.
pub(super) const OVERVIEW: &str = "host/ARCHITECTURE.md";
const OVERVIEW_WIDTH_MAX: usize = 150;

/// Returns a message for each long line of the Markdown files among `files`.
pub(super) fn violations(places: &Places, files: &[String]) -> Vec<String> {
    let documents = files.iter().filter(|path| path.ends_with(".md"));
    documents
        .filter_map(|path| Some((path, fs::read_to_string(places.repo(path)).ok()?)))
        .flat_map(|(path, text)| of_text(path, &text))
        .collect()
}

/// Returns the lines of a document outside blocks of code, with their numbers from 1.
pub(super) fn outside_code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

fn of_text(path: &str, text: &str) -> Vec<String> {
    let width_max = if path == OVERVIEW { OVERVIEW_WIDTH_MAX } else { WIDTH_MAX };
    let prose = outside_code(text).filter(|(_, line)| !line.trim_start().starts_with('|'));
    prose
        .map(|(n, line)| (n, width(line)))
        .filter(|(_, width)| *width > width_max)
        .map(|(n, width)| format!("{path}:{n}: {width} characters; wrap prose at {width_max}"))
        .collect()
}

/// Returns the number of characters of a line without those of addresses and code, which cannot be broken.
fn width(line: &str) -> usize {
    let without_targets = line.split("](").enumerate().map(|(n, part)| match (n, part.split_once(')')) {
        (0, _) | (_, None) => part,
        (_, Some((_, rest))) => rest,
    });
    let words = without_targets.flat_map(|part| part.split_inclusive(' '));
    words.filter(|word| !word.contains("://")).map(|word| word.chars().count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_of_prose() {
        let check = |text: &str, count: usize| assert_eq!(of_text("a.md", text).len(), count, "{text}");
        let long = "word ".repeat(WIDTH_MAX / 5 + 1);
        check(&long, 1);
        check(&long[..WIDTH_MAX], 0);
        check(&format!("- {long}"), 1);
        check(&format!("| {long} |"), 0);
        check(&format!("```\n{long}\n```\n{long}"), 1);
        check(&format!("[text]({})", long.replace(' ', "-")), 0);
        check(&format!("[text](a.md) {long}"), 1);
        check(&format!("see https://x.org/{}", long.replace(' ', "-")), 0);
    }
}
