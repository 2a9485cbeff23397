//! The OpenAPI document, generated from the attributes at the handlers, the API types and the list of problem codes.
//!
//! Owns what every operation has in common: request id, credentials, problem responses with their headers. `base.json`
//! has the parts without a Rust type: the shared parameters, and the results of documents, which are written page by
//! page. An attribute names these parts: `x-parameters`, `x-body`, and `x-problems` for the groups of problem codes that
//! the handler can send ([`problems`](super::problems)).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Schema;

use super::problems;
use crate::http::problem::codes;

/// The parts of the document without a Rust type.
const BASE: &str = include_str!("base.json");

/// An operation with the schemas that it refers to.
pub(in crate::http) struct Described {
    /// The method in lower case.
    pub(in crate::http) method: &'static str,
    pub(in crate::http) path: String,
    pub(in crate::http) operation: Operation,
    pub(in crate::http) schemas: Vec<(String, RefOr<Schema>)>,
}

/// Returns the document of these operations as text. Error: the part that is missing or invalid.
pub(in crate::http) fn text(operations: Vec<Described>) -> Result<String, String> {
    let document = document(operations)?;
    serde_json::to_string_pretty(&document).map(|text| text + "\n").map_err(|error| error.to_string())
}

fn document(operations: Vec<Described>) -> Result<Value, String> {
    let mut document: Value = serde_json::from_str(BASE).map_err(|error| format!("base.json: {error}"))?;
    let mut paths = Map::new();
    let mut schemas = BTreeMap::new();
    for described in operations {
        let Described { method, path, operation, schemas: own } = described;
        let id = format!("{method} {path}");
        let mut operation = serde_json::to_value(operation).map_err(|error| format!("{id}: {error}"))?;
        let members = operation.as_object_mut().ok_or_else(|| format!("{id}: not an object"))?;
        complete(&path, members).map_err(|error| format!("{id}: {error}"))?;
        let item = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(method.to_owned(), operation);
        }
        for (name, schema) in own {
            let mut schema = serde_json::to_value(schema).map_err(|error| error.to_string())?;
            absent_not_null(&mut schema);
            describe_u32(&mut schema);
            schemas.insert(name, schema);
        }
    }
    let code = document.pointer_mut("/components/schemas/Problem/properties/code");
    let code = code.and_then(Value::as_object_mut).ok_or("base.json has no schema of the problem code")?;
    code.insert("oneOf".to_owned(), codes::ALL.iter().map(code_schema).collect());
    let all = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    all.ok_or("base.json has no schemas")?.extend(schemas);
    let members = document.as_object_mut().ok_or("base.json is not an object")?;
    members.insert("paths".to_owned(), Value::Object(paths));
    Ok(document)
}

/// Corrects the schema of an optional part that is flattened into an object. `utoipa` writes it as null or the part, and
/// an object is never null: the members are absent.
fn absent_not_null(schema: &mut Value) {
    let Some(parts) = schema.get_mut("allOf").and_then(Value::as_array_mut) else { return };
    for part in parts {
        let optional = part.get("oneOf").and_then(Value::as_array);
        if let Some([null, own]) = optional.map(Vec::as_slice)
            && *null == json!({ "type": "null" })
        {
            *part = json!({ "anyOf": [own, { "type": "object" }] });
        }
    }
}

/// Describes the range of a `u32`. `utoipa` writes its format as `int32`, whose greatest value is half of it, and no
/// maximum, which the server enforces.
fn describe_u32(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let unsigned = members.get("minimum").and_then(Value::as_u64).is_some();
            if unsigned && members.get("format") == Some(&json!("int32")) && !members.contains_key("maximum")
            {
                members.insert("format".to_owned(), json!("int64"));
                members.insert("maximum".to_owned(), json!(u32::MAX));
            }
            members.values_mut().for_each(describe_u32);
        }
        Value::Array(items) => items.iter_mut().for_each(describe_u32),
        _ => {}
    }
}

fn code_schema(code: &codes::ProblemCode) -> Value {
    let description = format!("{} {}", code.description, code.action);
    json!({ "const": code.code, "title": code.title(), "x-statuses": code.statuses, "description": description })
}

/// Adds to an operation what its attribute names, and what all operations have.
fn complete(path: &str, operation: &mut Map<String, Value>) -> Result<(), String> {
    if let Some(Value::String(summary)) = operation.get_mut("summary") {
        *summary = summary.trim_end_matches('.').to_owned();
    }
    let open = operation.contains_key("security");
    if open {
        // Served without a key.
        operation.insert("security".to_owned(), json!([]));
    } else {
        // The empty requirement: a server without keys.
        operation.insert("security".to_owned(), json!([{ "bearer": [] }, { "api_key": [] }, {}]));
    }

    let mut parameters = match operation.shift_remove("parameters") {
        Some(Value::Array(own)) => own,
        _ => Vec::new(),
    };
    let named = names(operation.shift_remove("x-parameters"))?;
    let common = ["request_id", "traceparent"].map(str::to_owned).into_iter();
    // Operations of administrators name a tenant in the path or the body, and ignore the header.
    let groups = names(operation.shift_remove("x-problems"))?;
    let tenant = groups.iter().any(|group| group == "tenant").then(|| "tenant_header".to_owned());
    parameters
        .extend(named.into_iter().chain(tenant).chain(common).map(|name| reference("parameters", &name)));
    operation.insert("parameters".to_owned(), parameters.into());

    if let Some(Value::String(body)) = operation.shift_remove("x-body") {
        operation.insert("requestBody".to_owned(), reference("requestBodies", &body));
    } else if let Some(Value::Object(body)) = operation.get_mut("requestBody") {
        // An empty body has the defaults of all members.
        body.insert("required".to_owned(), false.into());
    }

    let mut problems: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    let mut codes = problems::codes(&groups)?;
    if path.contains('{') {
        // A parameter without text makes another path.
        codes.push("route_not_found");
    }
    for code in codes {
        let entry = codes::find(code).ok_or_else(|| format!("there is no problem code `{code}`"))?;
        for status in entry.statuses {
            problems.entry(*status).or_default().push(code);
        }
    }
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    let responses = responses.ok_or("the operation has no responses")?;
    for (status, codes) in problems {
        let known = responses.entry(status.to_string()).or_insert_with(|| problem_response(status, &codes));
        if known.get("content").is_none_or(|content| content.get("application/problem+json").is_none()) {
            // A status that is an answer of its own, too: the readiness check.
            let own = problem_response(status, &codes);
            if let (Some(content), Some(problem)) = (
                known.get_mut("content").and_then(Value::as_object_mut),
                own.pointer("/content/application~1problem+json"),
            ) {
                content.insert("application/problem+json".to_owned(), problem.clone());
            }
        }
    }
    for response in responses.values_mut().filter_map(Value::as_object_mut) {
        let headers = response.entry("headers").or_insert_with(|| json!({}));
        if let Some(headers) = headers.as_object_mut() {
            headers.insert("X-Request-Id".to_owned(), reference("headers", "XRequestId"));
        }
    }
    Ok(())
}

fn problem_response(status: u16, codes: &[&str]) -> Value {
    let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let mut headers = Map::new();
    match status {
        401 => _ = headers.insert("WWW-Authenticate".to_owned(), reference("headers", "WwwAuthenticate")),
        429 | 503 => _ = headers.insert("Retry-After".to_owned(), reference("headers", "RetryAfter")),
        _ => {}
    }
    json!({
        "description": format!("Problem: {}.", codes.join(", ")),
        "headers": headers,
        "content": { "application/problem+json": { "schema": reference("schemas", "Problem") } },
    })
}

fn reference(section: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{section}/{name}") })
}

fn names(list: Option<Value>) -> Result<Vec<String>, String> {
    list.map_or_else(|| Ok(Vec::new()), serde_json::from_value).map_err(|error| error.to_string())
}
