//! The API description: for programs (`/openapi.json`) and for people (`/` and `/docs`), with a form to try the API.
//! Both are files in this folder, embedded in the binary. The page loads nothing from other servers.

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

/// The OpenAPI 3.1 document, written by hand.
pub(super) const OPENAPI: &str = include_str!("openapi.json");
const PAGE: &str = include_str!("page.html");

/// The `Content-Security-Policy` of the page: inline script and style, and requests to this server.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
     img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Handles `GET /openapi.json`.
pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], OPENAPI)
        .into_response()
}

/// Handles `GET /` and `GET /docs`.
pub(super) async fn page() -> Response {
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, PAGE).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::BTreeMap;

    use super::*;
    use crate::http::problem;

    fn codes() -> BTreeMap<String, u64> {
        let openapi: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let list =
            openapi["components"]["schemas"]["Problem"]["properties"]["code"]["oneOf"].as_array().unwrap();
        list.iter()
            .map(|c| (c["const"].as_str().unwrap().to_owned(), c["x-status"].as_u64().unwrap()))
            .collect()
    }

    #[test]
    fn every_code_of_the_gateway_is_described_with_its_status() {
        let codes = codes();
        for (code, status) in problem::OWN {
            assert_eq!(codes.get(*code), Some(&u64::from(status.as_u16())), "{code}");
        }
    }

    /// Faults of the start of the server, which no request receives, and two that are sent as `option_invalid`.
    const NOT_SENT: [&str; 13] = [
        "invalid_page_selection",
        "unknown_format",
        "component_unreadable",
        "component_too_large",
        "component_invalid",
        "component_is_core_module",
        "component_import_unknown",
        "component_world_mismatch",
        "platform_config",
        "settings_refused",
        "grant_missing",
        "engine_probe_timeout",
        "engine_probe_impossible",
    ];

    /// Returns the codes that are literals in calls of `Fault::new` outside of tests. (Most are; a code that a function
    /// returns is not found.)
    fn codes_in(source: &str) -> Vec<String> {
        let source = source.split("#[cfg(test)]").next().unwrap();
        let calls =
            source.split("Fault::new(").skip(1).filter(|call| call.trim_start().starts_with("Kind::"));
        let second =
            calls.filter_map(|call| call.split_once(',')?.1.trim_start().strip_prefix('"')?.split_once('"'));
        second.map(|(code, _)| code.to_owned()).collect()
    }

    #[test]
    fn every_code_of_the_other_crates_is_described() {
        let described = codes();
        let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
        let mut folders: Vec<_> =
            std::fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().path().join("src")).collect();
        let mut seen = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry.file_stem().is_some_and(|stem| stem != "tests" && stem != "fakes") {
                    for code in codes_in(&std::fs::read_to_string(&entry).unwrap()) {
                        seen += 1;
                        let known = described.contains_key(&code) || NOT_SENT.contains(&code.as_str());
                        assert!(known, "{code} ({}) is not in openapi.json", entry.display());
                    }
                }
            }
        }
        assert!(seen > 10, "only {seen} codes were found: does the search still match the source?");
    }

    #[test]
    fn every_reference_resolves() {
        let openapi: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        for reference in OPENAPI.split("\"$ref\": \"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(openapi.pointer(reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn the_page_loads_nothing_from_other_servers() {
        for outside in ["src=\"http", "href=\"http", "url(http", "@import", "stylesheet"] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
    }
}
