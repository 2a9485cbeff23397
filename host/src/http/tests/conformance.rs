//! The comparison of an answer with the OpenAPI document: its status, its content type, its headers, and the shape of its
//! body. Every answer of these tests is compared, so that each test of a behavior is also one of the contract.

mod schema;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::http::{Method, header};
use serde_json::Value;

use super::app::Answer;

/// The committed document. A test in `router.rs` compares it with the handlers.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../openapi.json")).unwrap());

/// Asserts that the answer to a request is one that the document describes. A request that matches no operation must get
/// a problem.
#[track_caller]
pub(super) fn check(method: &Method, uri: &str, answer: &Answer) {
    if method == Method::HEAD {
        return;
    }
    let path = uri.split('?').next().unwrap_or_default();
    if let Err(difference) = compare(method, path, answer) {
        panic!("{method} {uri}: {difference}\nstatus {}: {}", answer.status, answer.text());
    }
}

fn compare(method: &Method, path: &str, answer: &Answer) -> Result<(), String> {
    let method = method.as_str().to_lowercase();
    let operation = item(path).map(|item| &item[method.as_str()]).filter(|operation| operation.is_object());
    let Some(operation) = operation else {
        let problem = answer.json();
        return match (answer.status, problem["code"].as_str()) {
            (404, Some("route_not_found")) | (405, Some("method_not_allowed")) => {
                schema::validate(&DOCUMENT, &DOCUMENT["components"]["schemas"]["Problem"], &problem)
            }
            (status, code) => {
                Err(format!("a request without an operation has status {status}, code {code:?}"))
            }
        };
    };
    let status = answer.status.to_string();
    let response = operation["responses"].get(&status);
    let response = response.ok_or_else(|| format!("status {status} is not described"))?;
    if answer.header("content-type") == "application/problem+json"
        && let Some(declared) = codes(response)
    {
        let problem = answer.json();
        let code = problem["code"].as_str().ok_or("a problem without a code")?;
        if !declared.contains(&code) {
            return Err(format!("the problem `{code}` is not declared"));
        }
    }
    let empty = serde_json::Map::new();
    for (name, described) in response["headers"].as_object().unwrap_or(&empty) {
        let Some(value) = answer.headers.get(name.as_str()) else { continue };
        let text = value.to_str().map_err(|_| format!("header {name}: {value:?}"))?;
        let described = schema::resolved(&DOCUMENT, described);
        let value = match described["schema"]["type"].as_str() {
            Some("integer") => text.parse().map(|number: u64| number.into()).unwrap_or(Value::Null),
            _ => Value::from(text),
        };
        schema::validate(&DOCUMENT, &described["schema"], &value)
            .map_err(|why| format!("header {name}: {why}"))?;
    }
    let Some(content) = response["content"].as_object().filter(|content| !content.is_empty()) else {
        return if answer.body.is_empty() { Ok(()) } else { Err("the body is not described".to_owned()) };
    };
    let content_type = answer.header(header::CONTENT_TYPE.as_str());
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let media =
        content.get(essence).ok_or_else(|| format!("content type `{content_type}` is not described"))?;
    match essence {
        "application/json" | "application/problem+json" => {
            schema::validate(&DOCUMENT, &media["schema"], &answer.json())
        }
        // Described as text: lines of several shapes.
        "application/x-ndjson" if media["schema"]["type"] == "string" => Ok(()),
        "application/x-ndjson" => answer
            .text()
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}")))
            .try_for_each(|event| schema::validate(&DOCUMENT, &media["schema"], &event?)),
        _ => Ok(()),
    }
}

/// Returns the path item of a path.
fn item(path: &str) -> Option<&'static Value> {
    let items = DOCUMENT["paths"].as_object().unwrap();
    let matches = |template: &str| {
        let (mut wanted, mut found) = (template.split('/'), path.split('/'));
        loop {
            match (wanted.next(), found.next()) {
                (None, None) => return true,
                (Some(wanted), Some(found))
                    if wanted == found || (wanted.starts_with('{') && !found.is_empty()) => {}
                _ => return false,
            }
        }
    };
    items.get(path).or_else(|| items.iter().find(|(template, _)| matches(template)).map(|(_, item)| item))
}

/// Returns the codes that a response names: its description is "Problem: `CODE`, `CODE`."
fn codes(response: &Value) -> Option<Vec<&str>> {
    let listed = response["description"].as_str()?.strip_prefix("Problem: ")?;
    Some(listed.split('`').skip(1).step_by(2).collect())
}

/// Returns the codes that some operation declares.
pub(super) fn all_codes() -> BTreeSet<&'static str> {
    let operations =
        DOCUMENT["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let responses = operations.flat_map(|operation| operation["responses"].as_object().unwrap().values());
    responses.filter_map(codes).flatten().collect()
}
