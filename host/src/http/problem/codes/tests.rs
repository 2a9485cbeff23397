#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use axum::http::StatusCode;

use super::*;

/// Codes of faults that no response carries: faults of the start of the server or of the command line, and those that a
/// response carries under another code.
const NOT_SENT: [&str; 6] = [
    "engine_probe_impossible",
    "engine_probe_timeout",
    "file_unreadable",
    "invalid_page_selection",
    "platform_config",
    "unknown_format",
];

/// Returns the source files of the host without tests and without the list itself.
fn sources() -> Vec<(PathBuf, String)> {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![host.join("src"), host.join("crates")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_str().unwrap();
            // `problems.rs` declares codes for the OpenAPI document, and sends none.
            let is_test = [
                "tests",
                "tests.rs",
                "fakes",
                "fakes.rs",
                "examples",
                "benches",
                "codes",
                "codes.rs",
                "problems.rs",
            ]
            .contains(&name)
                || name.ends_with("_tests.rs");
            if is_test {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                sources.push((path, text));
            }
        }
    }
    sources
}

/// Returns the codes that are literals in calls of `Fault::new`.
fn literals(source: &str) -> BTreeSet<String> {
    let calls = source.split("Fault::new(").skip(1).filter(|call| call.trim_start().starts_with("Kind::"));
    let second =
        calls.filter_map(|call| call.split_once(',')?.1.trim_start().strip_prefix('"')?.split_once('"'));
    second.map(|(code, _)| code.to_owned()).collect()
}

#[test]
fn codes_are_unique_and_complete() {
    let mut seen = BTreeSet::new();
    for entry in ALL.iter() {
        let ProblemCode { code, statuses, description, action } = entry;
        assert!(seen.insert(code), "{code} is listed twice");
        assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
        assert!(!statuses.is_empty() && statuses.iter().all(|status| (400..600).contains(status)), "{code}");
        for text in [description, action] {
            assert!(text.ends_with('.') && text.len() > 10, "{code}: {text}");
        }
    }
}

/// The list and the source agree in both directions. The second direction makes the first one sound: if the search no
/// longer matched the source, no entry would be found.
#[test]
fn the_list_has_every_code_that_is_sent_and_no_other() {
    let sources = sources();
    let mut unlisted = Vec::new();
    for (path, source) in &sources {
        let missing = literals(source).into_iter().filter(|code| find(code).is_none());
        unlisted.extend(
            missing
                .filter(|code| !NOT_SENT.contains(&code.as_str()))
                .map(|code| format!("{code} in {}", path.display())),
        );
    }
    assert!(unlisted.is_empty(), "add to host/src/http/problem/codes/: {unlisted:#?}");
    let sent = |code: &str| {
        let literal = format!("\"{code}\"");
        sources.iter().any(|(_, source)| source.contains(&literal))
    };
    let unsent: Vec<&str> = ALL.iter().map(|entry| entry.code).filter(|code| !sent(code)).collect();
    assert!(unsent.is_empty(), "nothing sends these codes: {unsent:?}");
    let known: Vec<&&str> = NOT_SENT.iter().filter(|code| !sent(code) || find(code).is_some()).collect();
    assert!(known.is_empty(), "remove from NOT_SENT: {known:?}");
}

#[test]
fn titles() {
    assert_eq!(title("pdf_password_required"), "PDF password required");
    assert_eq!(title("internal"), "Internal");
    assert_eq!(title("json_too_deep"), "JSON too deep");
}

#[test]
fn one_status_wins_over_the_kind() {
    let status =
        |code: &str, derived: u16| find(code).unwrap().status(StatusCode::from_u16(derived).unwrap());
    assert_eq!(status("key_missing", 403), StatusCode::UNAUTHORIZED);
    assert_eq!(status("image_too_large", 500), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(status("image_too_large", 413), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(status("image_too_large", 422), StatusCode::PAYLOAD_TOO_LARGE);
}
