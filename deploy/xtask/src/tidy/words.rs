//! Finds private words in public text: documents, configuration, the API description, command-line help, problem
//! messages. Each word of the project's list of terms without an ordinary meaning is listed with its replacement. A
//! scope excludes texts in which the word is an ordinary one.

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
const EXEMPT: &[&str] =
    &["CHANGELOG.md", "host/adr/", "host/src/config/renamed.rs", "host/src/cli/renamed.rs", "tests/corpus/"];

/// Returns every private word in the public texts among `files`.
pub(super) fn violations(places: &Places, files: &[String]) -> Vec<String> {
    let texts = files.iter().filter(|path| is_public(path));
    texts
        .filter_map(|path| Some((path, fs::read_to_string(places.repo(path)).ok()?)))
        .flat_map(|(path, text)| of_text(path, &text))
        .collect()
}

fn is_public(path: &str) -> bool {
    if EXEMPT.iter().any(|exempt| path.starts_with(exempt)) || path.ends_with("Cargo.toml") {
        return false;
    }
    let is_help = path.starts_with("host/src/cli") && path.ends_with(".rs");
    let is_faults = path.starts_with("host/") && path.contains("/src/") && path.ends_with(".rs");
    let endings = [".md", ".toml", ".yml", ".wit", "openapi.json", ".html", "grafana.json"];
    is_help || is_faults || endings.iter().any(|ending| path.ends_with(ending))
}

/// Returns the part of a line that a user reads: of Rust, help (`///` in the command line) and string literals; of
/// other files, the whole line.
fn public_part(path: &str, line: &str) -> String {
    if !path.ends_with(".rs") {
        return line.to_owned();
    }
    let trimmed = line.trim_start();
    if trimmed.starts_with("//") {
        let is_help = trimmed.starts_with("///") && path.starts_with("host/src/cli");
        return if is_help { trimmed.to_owned() } else { String::new() };
    }
    // The name of a stored member stays as older versions wrote it.
    if trimmed.starts_with("#[serde(") {
        return String::new();
    }
    // Every second piece between quotes is in a literal; a multi-line literal begins or ends at one of them.
    line.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(" ")
}

fn of_text(path: &str, text: &str) -> Vec<String> {
    // Unit tests are at the end of a Rust file; their literals are inputs, not messages.
    let shown = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let shown = if path.ends_with(".rs") { shown } else { text };
    let mut found = Vec::new();
    for (n, line) in shown.lines().enumerate() {
        let part = public_part(path, line).to_lowercase();
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
        check("host/src/http/a.rs", "    /// One rung of the list", 0);
        check("host/src/http/a.rs", "let rung = \"a variant\";", 0);
        check("host/src/http/a.rs", "let message = \"the house is full\";", 1);
        check(
            "host/src/a.rs",
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    const A: &str = \"house\";\n}\n",
            0,
        );
    }

    #[test]
    fn public_texts() {
        let public = [
            "README.md",
            "wit/types.wit",
            "deploy/lector.toml",
            "host/src/cli.rs",
            "host/src/http/openapi.json",
        ];
        assert!(public.iter().all(|path| is_public(path)));
        let exempt = [
            "CHANGELOG.md",
            "host/adr/0001-a.md",
            "Cargo.toml",
            "guest/sdk/src/lib.rs",
            "host/src/cli/renamed.rs",
        ];
        assert!(!exempt.iter().any(|path| is_public(path)));
    }
}
