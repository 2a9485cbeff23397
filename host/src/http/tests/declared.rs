//! Checks each response against the OpenAPI document: the operation declares its status, and its problem code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use axum::http::Method;
use serde_json::Value;

use super::app::Answer;
use crate::http::router;

/// An operation of the document: the segments of its path, and the problem codes of each declared status; `None` for a
/// status that is no problem, or an answer of its own beside problems.
struct Operation {
    method: String,
    path: String,
    statuses: BTreeMap<u16, Option<BTreeSet<String>>>,
}

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(router::document()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| Operation {
            method: method.to_uppercase(),
            path: path.clone(),
            statuses: statuses(&operation["responses"]),
        })
    });
    operations.collect()
});

fn statuses(responses: &Value) -> BTreeMap<u16, Option<BTreeSet<String>>> {
    let responses = responses.as_object().unwrap().iter();
    responses.map(|(status, response)| (status.parse().unwrap(), codes(response))).collect()
}

/// Returns the codes that a response names: its description is "Problem: `CODE`, `CODE`."
fn codes(response: &Value) -> Option<BTreeSet<String>> {
    let listed = response["description"].as_str()?.strip_prefix("Problem: ")?;
    Some(listed.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

impl Operation {
    /// Returns whether a path is of this operation, and how many of its segments are parameters.
    fn parameters(&self, path: &str) -> Option<usize> {
        let (own, given): (Vec<_>, Vec<_>) = (self.path.split('/').collect(), path.split('/').collect());
        let fits = |(own, given): (&&str, &&str)| own == given || own.starts_with('{');
        let all = own.len() == given.len() && own.iter().zip(&given).all(fits);
        all.then(|| own.iter().filter(|segment| segment.starts_with('{')).count())
    }
}

/// Returns the codes that some operation declares.
pub(super) fn all_codes() -> BTreeSet<&'static str> {
    let statuses = OPERATIONS.iter().flat_map(|operation| operation.statuses.values().flatten());
    statuses.flatten().map(String::as_str).collect()
}

/// Fails if the operation does not declare the response.
#[track_caller]
pub(super) fn check(method: &Method, path: &str, answer: &Answer) {
    if method == Method::HEAD {
        return;
    }
    let path = path.split('?').next().unwrap_or_default();
    let is_problem = answer.header("content-type") == "application/problem+json";
    let code = is_problem.then(|| answer.json()["code"].as_str().unwrap().to_owned());
    let of_path = OPERATIONS.iter().filter(|operation| operation.method == method.as_str());
    let found = of_path
        .filter_map(|operation| Some((operation.parameters(path)?, operation)))
        .min_by_key(|(parameters, _)| *parameters);
    let Some((_, operation)) = found else {
        let code = code.as_deref();
        assert!(
            code == Some("route_not_found") || code == Some("method_not_allowed"),
            "{method} {path} is no operation, and responds {}: {}",
            answer.status,
            answer.text()
        );
        return;
    };
    let declared = operation.statuses.get(&answer.status);
    assert!(declared.is_some(), "{method} {} does not declare the status {}", operation.path, answer.status);
    if let (Some(Some(codes)), Some(code)) = (declared, &code) {
        assert!(codes.contains(code), "{method} {} does not declare the problem `{code}`", operation.path);
    }
}
