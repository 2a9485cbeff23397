//! JSON responses, page by page where documents are large.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use lector_core::{Fault, Transcript};
use serde_json::Value;

use super::reading::Reading;
use crate::http::pieces::{self, Piece};
use crate::http::problem;

/// Bytes of page results beyond which a response is written page by page, without a `Content-Length`.
const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// Memory of a page in another form, for each byte of the page: its JSON, and the values that it is written from.
pub(super) const MEMORY_PER_HELD: u64 = 8;

/// Returns a JSON response.
pub(super) fn json(value: &Value) -> Response {
    with_type(problem::bytes(value).into(), "application/json")
}

fn with_type(body: Body, content_type: &'static str) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
}

/// Returns a response of `head`, the JSON of each page with `between` between them, and `tail`.
pub(super) async fn by_page<F>(
    reading: Arc<Reading>,
    content_type: &'static str,
    [head, between, tail]: [String; 3],
    page: F,
) -> Result<Response, Fault>
where
    F: Fn(u32, &Transcript) -> String + Send + 'static,
{
    let (count, bytes) = (reading.result.pages.len(), reading.held_bytes());
    let pages = (0..count).filter_map(move |at| {
        let (index, transcript) = reading.page(at)?;
        let held = reading.result.pages.get(at)?.outcome.as_ref().ok()?.reservation();
        // Counted before there is any.
        let mut reservation = held.another(held.bytes().saturating_mul(MEMORY_PER_HELD));
        let text = page(index, transcript);
        let text = if at == 0 { text } else { format!("{between}{text}") };
        reservation.set(text.len() as u64);
        Some(Piece { bytes: text.into_bytes(), reservation })
    });
    let once = |text: String| std::iter::once(Piece::from(text));
    let pieces = once(head).chain(pages).chain(once(tail)).map(Ok::<_, io::Error>);
    if bytes > WHOLE_BYTES_MAX {
        return Ok(with_type(pieces::body(pieces), content_type));
    }
    // Serializing some megabytes takes tens of milliseconds and must not block other connections.
    let body = tokio::task::spawn_blocking(move || pieces::whole(pieces)).await.map_err(problem::internal)?;
    Ok(with_type(body.map_err(problem::internal)?, content_type))
}

/// Returns a response of JSON that is made of the whole document. Waits for its memory before it is made; fault
/// `tenant_memory_exceeded`.
pub(super) async fn whole<F>(reading: Arc<Reading>, json: F) -> Result<Response, Fault>
where
    F: FnOnce(&Reading) -> Result<Vec<u8>, Fault> + Send + 'static,
{
    let mut reservation = reading.room(reading.held_bytes().saturating_mul(MEMORY_PER_HELD)).await?;
    let made = tokio::task::spawn_blocking(move || {
        let bytes = json(&reading)?;
        reservation.set(bytes.len() as u64);
        Ok::<_, Fault>(Body::from(pieces::held(bytes, reservation)))
    });
    Ok(with_type(made.await.map_err(problem::internal)??, "application/json"))
}

/// A JSON array that is written element by element: a value of all of them would take many times the memory of its text.
#[derive(Debug, Default)]
pub(super) struct Array(Vec<u8>);

impl Array {
    /// Adds an element in JSON.
    pub(super) fn push(&mut self, element: &[u8]) {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        self.0.extend_from_slice(element);
    }

    /// Returns the array.
    pub(super) fn end(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'[');
        }
        self.0.push(b']');
        self.0
    }
}

/// Writes an array of values, each of which is made when its turn comes.
impl FromIterator<Value> for Array {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        let mut array = Self::default();
        values.into_iter().for_each(|value| array.push(&problem::bytes(&value)));
        array
    }
}

/// Returns the JSON of an object, which has a member, with more members, whose values are JSON.
pub(super) fn with<const N: usize>(object: &Value, members: [(&str, Vec<u8>); N]) -> Vec<u8> {
    let mut json = problem::bytes(object);
    json.pop();
    for (name, value) in members {
        json.extend_from_slice(format!(",\"{name}\":").as_bytes());
        json.extend_from_slice(&value);
    }
    json.push(b'}');
    json
}

/// Returns the head and the tail of a JSON object around the value that replaces `null` in `slot` of `object`.
///
/// The members before the slot are in the head, the others in the tail.
pub(super) fn around(mut object: Value, slot: &str) -> [String; 2] {
    const MARK: &str = "\u{1}pages\u{1}";
    if let Some(value) = object.pointer_mut(slot) {
        *value = MARK.into();
    }
    let text = object.to_string();
    let mark = Value::from(MARK).to_string();
    let (head, tail) = text.split_once(&mark).unwrap_or((&text, ""));
    [head.to_owned(), tail.to_owned()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    #[test]
    fn json_in_parts_is_that_of_the_whole() {
        for values in [vec![], vec![json!(1)], vec![json!({ "a": "\"," }), json!([]), json!(null)]] {
            let array: Array = values.iter().cloned().collect();
            let whole = with(&json!({ "a": 1 }), [("list", array.end()), ("last", b"null".to_vec())]);
            let parsed: Value = serde_json::from_slice(&whole).unwrap();
            assert_eq!(parsed, json!({ "a": 1, "list": values, "last": null }));
        }
    }
}
