//! Checks the decision records: their length, their index, and that a record that another one replaces says so.

use std::collections::BTreeMap;
use std::fs;

use crate::places::Places;

/// Folder of the records.
const FOLDER: &str = "host/adr/";
/// Maximum length of a record, which its README names.
const LINES_MAX: usize = 40;

/// Returns every violation of the records among `files`.
pub(super) fn violations(places: &Places, files: &[String]) -> Vec<String> {
    let records: BTreeMap<&str, String> = files
        .iter()
        .filter_map(|path| Some((path.strip_prefix(FOLDER)?, fs::read_to_string(places.repo(path)).ok()?)))
        .collect();
    check(&records)
}

/// Checks texts by name, `README.md` among them.
fn check(texts: &BTreeMap<&str, String>) -> Vec<String> {
    let mut found = Vec::new();
    let index = texts.get("README.md").map(String::as_str).unwrap_or_default();
    let listed: Vec<&str> = index.lines().filter_map(listed).collect();
    if !listed.is_sorted() {
        found.push(format!("{FOLDER}README.md: the index is not in the order of the numbers"));
    }
    let records: BTreeMap<&str, &String> =
        texts.iter().filter(|(name, _)| **name != "README.md").map(|(name, text)| (*name, text)).collect();
    for (name, text) in &records {
        if listed.iter().filter(|listed| *listed == name).count() != 1 {
            found.push(format!("{FOLDER}{name}: the index does not have one line for it"));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            found.push(format!("{FOLDER}{name}: {lines} lines; a record has at most {LINES_MAX}"));
        }
        for old in replaced(status(text)) {
            let number = number(name);
            let other = records.iter().find(|(other, _)| other.starts_with(old));
            if !other.is_some_and(|(_, text)| status(text).contains(number)) {
                found.push(format!(
                    "{FOLDER}{name}: the status of {old} does not name {number}, which replaces it"
                ));
            }
        }
    }
    found
}

/// Returns the file that a line of the index names.
fn listed(line: &str) -> Option<&str> {
    let (_, rest) = line.strip_prefix("| [")?.split_once("](")?;
    Some(rest.split_once(')')?.0)
}

fn number(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
}

/// Returns the line that tells whether a record is in force.
fn status(text: &str) -> &str {
    text.lines().find(|line| line.starts_with("Status:")).unwrap_or_default()
}

/// Returns the numbers in the sentences of a status that begin with "Replaces".
fn replaced(status: &str) -> impl Iterator<Item = &str> {
    let sentences = status.split(". ").filter(|sentence| sentence.starts_with("Replaces"));
    let words = sentences.flat_map(|sentence| sentence.split(|c: char| !c.is_ascii_digit()));
    words.filter(|word| word.len() == 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_their_index() {
        let check = |index: &[&str], records: &[(&'static str, &str)], count: usize| {
            let rows = index.iter().map(|name| format!("| [{}]({name}) | a | b |\n", number(name)));
            let mut texts: BTreeMap<&str, String> =
                records.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
            texts.insert("README.md", rows.collect());
            let found = super::check(&texts);
            assert_eq!(found.len(), count, "{index:?}: {found:?}");
        };
        let (old, new) = ("0001-a.md", "0002-b.md");
        let both = [(old, "Status: accepted."), (new, "Status: accepted.")];
        check(&[old, new], &both, 0);
        check(&[new, old], &both, 1);
        check(&[old], &both, 1);
        check(&[old, new, new], &both, 1);
        check(&[old], &[(old, &"a\n".repeat(LINES_MAX + 1))], 1);
        let replaces = (new, "Status: accepted (0.2.0). Replaces a part of 0001.");
        check(&[old, new], &[(old, "Status: accepted."), replaces], 1);
        check(
            &[old, new],
            &[(old, "Status: accepted. A part is replaced by [0002](0002-b.md)."), replaces],
            0,
        );
    }
}
