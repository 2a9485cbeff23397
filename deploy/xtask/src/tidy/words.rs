//! Finds private words in public text (documents, configuration, the API description, command-line help, problem
//! messages) and in comments of Rust. Each word of the project's list of terms without an ordinary meaning is listed with
//! its replacement. A scope excludes texts in which the word is an ordinary one.

use std::fs;

use crate::places::Places;

/// Texts that are searched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Every public text.
    All,
    /// Every public text except documents.
    NotDocuments,
}

/// Word (forms separated by `|`), scope, replacement. Written in halves if Rust files are searched too.
const WORDS: &[(&str, Scope, &str)] = &[
    ("house", Scope::All, "server"),
    ("house_full|tenant_backlog_full|tenant_bytes_full", Scope::All, "the problem codes of 0.2"),
    ("rung|rungs", Scope::All, "engine variant"),
    ("ladder|ladders", Scope::All, "provider preference list"),
    ("lent|lend|lends", Scope::All, "shared"),
    ("rehearsed|rehearsal", Scope::All, "smoke test"),
    ("passed_over", Scope::All, "skipped"),
    ("absurd", Scope::All, "invalid"),
    ("misjudged|misjudges", Scope::All, "prediction error"),
    ("complaint|complaints", Scope::All, "config error"),
    ("whoever|somebody|nobody", Scope::All, "the name of the actor"),
    ("stood in|stands in for", Scope::All, "replaced"),
    ("reads along|read along", Scope::All, "shadow traffic"),
    ("takes back|taken back", Scope::All, "rolls back"),
    ("engine_linger_s", Scope::All, "engine_idle_ttl_s"),
    ("golden page|golden pages", Scope::All, "smoke-test page"),
    ("set aside", Scope::All, "quarantined"),
    ("x-lector-request-key", Scope::All, "X-Lector-Routing-Key"),
    (
        "quantise|quantised|normalise|normalised|normalisation|recogniser|recognisers",
        Scope::All,
        "American spelling",
    ),
    (
        "licence|licences|colour|colours|behaviour|grey|catalogue|initialise|honour",
        Scope::All,
        "American spelling",
    ),
    ("improver|improving", Scope::NotDocuments, "upgrader, upgrading"),
    ("keeper|keepers", Scope::All, "worker supervisor"),
];

/// Texts that must name old words: changes, decisions, and the tables of old and new names.
const EXEMPT: &[&str] = &[
    "CHANGELOG.md",
    "host/src/config/renamed.rs",
    "host/src/cli/renamed.rs",
    "tests/corpus/",
    "deploy/xtask/src/tidy/words.rs",
];

/// Returns every private word in the public texts and the comments among `files`.
pub(super) fn violations(places: &Places, files: &[String]) -> Vec<String> {
    let texts = files.iter().filter(|path| is_searched(path));
    texts
        .filter_map(|path| Some((path, fs::read_to_string(places.repo(path)).ok()?)))
        .flat_map(|(path, text)| of_text(path, &text))
        .collect()
}

fn is_searched(path: &str) -> bool {
    let endings = [".rs", ".md", ".toml", ".yml", ".wit", "openapi.json", ".html", "grafana.json"];
    !EXEMPT.iter().any(|exempt| path.starts_with(exempt))
        && endings.iter().any(|ending| path.ends_with(ending))
}

/// Returns the part of a line that is searched: of Rust, comments, and literals in sources of the host, which can be
/// messages; of other files, the whole line.
fn searched_part(path: &str, line: &str) -> String {
    if !path.ends_with(".rs") {
        return line.to_owned();
    }
    let trimmed = line.trim_start();
    // The name of a stored member stays as older versions wrote it.
    if trimmed.starts_with("#[serde(") {
        return String::new();
    }
    let (code, comment) = with_comment(trimmed);
    if !(path.starts_with("host/") && path.contains("/src/")) {
        return comment.to_owned();
    }
    // Every second piece between quotes is in a literal; a multi-line literal begins or ends at one of them.
    let literals = code.split('"').skip(1).step_by(2);
    literals.chain([comment]).collect::<Vec<_>>().join(" ")
}

/// Returns the code of a line, and its comment: two slashes that are not within a literal.
fn with_comment(line: &str) -> (&str, &str) {
    let is_outside = |at: &usize| line[..*at].matches('"').count().is_multiple_of(2);
    let at = line.match_indices("//").map(|(at, _)| at).find(is_outside).unwrap_or(line.len());
    line.split_at(at)
}

fn of_text(path: &str, text: &str) -> Vec<String> {
    // Unit tests are at the end of a Rust file; their literals are inputs, not messages.
    let shown = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let shown = if path.ends_with(".rs") { shown } else { text };
    let mut found = Vec::new();
    for (n, line) in shown.lines().enumerate() {
        let part = searched_part(path, line).to_lowercase();
        for (word, scope, instead) in WORDS {
            if *scope == Scope::NotDocuments && path.ends_with(".md") {
                continue;
            }
            if let Some(form) = word.split('|').find(|form| holds(&part, form)) {
                found.push(format!("{path}:{}: `{form}` is a private word: write {instead}", n + 1));
            }
        }
    }
    found
}

/// Returns whether a text contains a word as a whole word.
fn holds(text: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (text.get(..at), text.get(at + word.len()..));
        !before.unwrap_or_default().ends_with(joins) && !after.unwrap_or_default().starts_with(joins)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn words_are_found_in_what_users_read() {
        let check = |path: &str, text: &str, count: usize| {
            assert_eq!(of_text(path, text).len(), count, "{path}: {text}: {:?}", of_text(path, text));
        };
        check("README.md", "The House is full.", 1);
        check("README.md", "a warehouse, a greyhound", 0);
        check("README.md", "The improver", 0);
        check("deploy/lector.toml", "# the improver", 1);
        check("deploy/lector.toml", "engine_linger_s = 60", 1);
        check("host/src/cli/a.rs", "    /// One rung of the list", 1);
        check("host/src/http/a.rs", "    /// One rung of the list", 1);
        check("guest/sdk/src/a.rs", "let a = 1; // One rung of the list", 1);
        check("guest/sdk/src/a.rs", "let a = \"https://house\"; let rung = 1;", 0);
        check("host/src/http/a.rs", "let rung = \"a variant\";", 0);
        check("host/src/http/a.rs", "let message = \"the house is full\";", 1);
        check(
            "host/src/a.rs",
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    const A: &str = \"house\";\n}\n",
            0,
        );
    }

    #[test]
    fn searched_files() {
        let searched = [
            "README.md",
            "guest/sdk/src/lib.rs",
            "wit/types.wit",
            "deploy/lector.toml",
            "host/src/cli.rs",
            "host/src/http/openapi.json",
        ];
        assert!(searched.iter().all(|path| is_searched(path)));
        let exempt = ["CHANGELOG.md", "deploy/xtask/src/tidy/words.rs", "host/src/cli/renamed.rs"];
        assert!(!exempt.iter().any(|path| is_searched(path)));
    }
}
