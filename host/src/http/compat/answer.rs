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
        let text = page(index, transcript);
        let text = if at == 0 { text } else { format!("{between}{text}") };
        let reservation = reading.reserve(at, text.len());
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

/// Returns a response of one value that is made of the whole document.
pub(super) async fn whole<F>(reading: Arc<Reading>, value: F) -> Result<Response, Fault>
where
    F: FnOnce(&Reading) -> Result<Value, Fault> + Send + 'static,
{
    let made = tokio::task::spawn_blocking(move || {
        let bytes = problem::bytes(&value(&reading)?);
        let reservation = reading.reserve(0, bytes.len());
        Ok::<_, Fault>(Body::from(pieces::held(bytes, reservation)))
    });
    Ok(with_type(made.await.map_err(problem::internal)??, "application/json"))
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
