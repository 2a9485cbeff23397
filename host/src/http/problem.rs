//! The one translation of faults into answers: problem details (RFC 9457) with a stable code.
//!
//! Owns the status of every fault and the gateway's own faults (a wrong option, a stalled body ...).
//! Knows no handler. Every answer of the gateway that is not a success is made here.

use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lector_control::Reservation;
use lector_core::{Blame, Fault, Kind, RequestId};
use lector_serving::PageResult;
use serde_json::{Map, Value};

use crate::format::pieces::{self, Piece};

/// Media type of a problem.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

/// The codes that the gateway itself makes, with their status; the other rooms' follow from their kind.
/// A test holds them against the list in `openapi.json`.
pub(crate) const OWN: &[(&str, StatusCode)] = &[
    ("option_invalid", StatusCode::BAD_REQUEST),
    ("unknown_option", StatusCode::BAD_REQUEST),
    ("multipart_invalid", StatusCode::BAD_REQUEST),
    ("file_missing", StatusCode::BAD_REQUEST),
    ("too_many_files", StatusCode::BAD_REQUEST),
    ("body_invalid", StatusCode::BAD_REQUEST),
    ("json_too_deep", StatusCode::BAD_REQUEST),
    ("json_too_large", StatusCode::PAYLOAD_TOO_LARGE),
    ("body_incomplete", StatusCode::BAD_REQUEST),
    ("body_stalled", StatusCode::REQUEST_TIMEOUT),
    ("body_too_slow", StatusCode::REQUEST_TIMEOUT),
    ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE),
    ("pages_failed", StatusCode::UNPROCESSABLE_ENTITY),
    ("not_acceptable", StatusCode::NOT_ACCEPTABLE),
    ("route_not_found", StatusCode::NOT_FOUND),
    ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
    ("connections_full", StatusCode::SERVICE_UNAVAILABLE),
    ("internal", StatusCode::INTERNAL_SERVER_ERROR),
];

/// Codes of other rooms whose status is another than their kind's.
const EXCEPTIONS: &[(&str, StatusCode)] = &[
    ("document_unsupported_type", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ("content_type_mismatch", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ("key_missing", StatusCode::UNAUTHORIZED),
    ("key_invalid", StatusCode::UNAUTHORIZED),
    ("auth_throttled", StatusCode::TOO_MANY_REQUESTS),
    ("rate_limited", StatusCode::TOO_MANY_REQUESTS),
    ("quota_exceeded", StatusCode::TOO_MANY_REQUESTS),
    ("tenant_overloaded", StatusCode::TOO_MANY_REQUESTS),
    ("tenant_memory_exceeded", StatusCode::TOO_MANY_REQUESTS),
];

/// The status of a fault: what `code` says where it is listed, else what its kind says.
pub(crate) fn status(fault: &Fault) -> StatusCode {
    let listed = OWN.iter().chain(EXCEPTIONS).find(|(code, _)| *code == fault.code);
    match (listed, fault.kind) {
        (Some(&(_, status)), _) => status,
        // A guest that asks for what it must not have, an operator who granted it what is not there: the one
        // who sent the document cannot help it.
        (None, Kind::Invalid | Kind::Denied | Kind::NotFound | Kind::Conflict | Kind::TooLarge)
            if fault.blame != Blame::Client =>
        {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        // What is wrong with the request is in the list above; the rest is wrong with the document.
        (None, Kind::Invalid) => StatusCode::UNPROCESSABLE_ENTITY,
        (None, Kind::Denied) => StatusCode::FORBIDDEN,
        (None, Kind::NotFound) => StatusCode::NOT_FOUND,
        (None, Kind::Conflict) => StatusCode::CONFLICT,
        (None, Kind::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        (None, Kind::Busy | Kind::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
        (None, Kind::Deadline) => StatusCode::GATEWAY_TIMEOUT,
        // Not 502: to a client the guest is part of the server, and a retry would meet the same guest.
        (None, Kind::GuestFault | Kind::Bug) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The code of a problem, carried on its response for metrics and the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code(pub(crate) &'static str);

/// A fault on its way out.
#[derive(Debug)]
pub(crate) struct Problem {
    // Boxed: it is the error of every handler, and handlers mostly succeed.
    fault: Box<Fault>,
    extensions: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Written after all else, as they are sent; taken by the one who sends them.
    pages: Mutex<Option<Vec<PageResult>>>,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self { fault: Box::new(fault), extensions: Map::new(), headers: Vec::new(), pages: Mutex::new(None) }
    }
}

impl Problem {
    /// The same, with a member of its own (RFC 9457, section 3.2).
    pub(crate) fn with(mut self, member: &str, value: Value) -> Self {
        self.extensions.insert(member.to_owned(), value);
        self
    }

    /// The same, with a header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same, telling what became of these pages.
    pub(crate) fn with_pages(mut self, pages: Vec<PageResult>) -> Self {
        self.pages = Mutex::new(Some(pages));
        self
    }

    /// The body. Pages are written one by one as the connection takes them.
    pub(crate) fn body(&self, request: Option<&RequestId>) -> Body {
        let document = bytes(&self.document(request));
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(pages) = pages else { return document.into() };
        let mut head = String::from_utf8(document).unwrap_or_default();
        head.truncate(head.len().saturating_sub(1));
        let piece = |bytes: String| std::iter::once(Piece { bytes, reservation: Reservation::default() });
        super::pieces::body(
            piece(head + ",\"pages\":[").chain(pieces::json_pages(pages)).chain(piece("]}".to_owned())),
        )
    }

    /// The document without pages. `request` is absent only where a connection is refused before any request was read.
    pub(crate) fn document(&self, request: Option<&RequestId>) -> Value {
        let fault: &Fault = &self.fault;
        let mut members = Map::new();
        members.insert("type".into(), format!("/docs#{}", fault.code).into());
        members.insert("title".into(), title(fault.code).into());
        members.insert("status".into(), status(fault).as_u16().into());
        members.insert("detail".into(), fault.message.clone().into());
        members.insert("code".into(), fault.code.into());
        members.insert("blame".into(), blame(fault.blame).into());
        if let Some(code) = &fault.guest_code {
            members.insert("guest_code".into(), code.as_ref().into());
        }
        if let Some(request) = request {
            members.insert("request_id".into(), request.as_str().into());
        }
        if let Some(after_s) = retry_after_s(fault) {
            members.insert("retry_after".into(), after_s.into());
        }
        members.extend(self.extensions.clone());
        Value::Object(members)
    }
}

/// Without the request id, which the request's frame (`middleware.rs`) puts in: handlers do not have it at hand.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = status(&self.fault);
        if status.is_server_error() && self.fault.kind != Kind::Busy {
            tracing::warn!(fault = %self.fault, status = status.as_u16(), "problem");
        } else if self.fault.detail.is_some() {
            tracing::info!(fault = %self.fault, status = status.as_u16(), "problem");
        }
        let mut response = status.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(after_s) = retry_after_s(&self.fault) {
            headers.insert(header::RETRY_AFTER, after_s.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lector\""));
        }
        headers.extend(self.headers.iter().cloned());
        response.extensions_mut().insert(Code(self.fault.code));
        response.extensions_mut().insert(std::sync::Arc::new(self));
        response
    }
}

/// Whole seconds, rounded up: coming back early finds the same refusal.
fn retry_after_s(fault: &Fault) -> Option<u64> {
    fault.retry_after.map(|after| (after.as_millis() as u64).div_ceil(1000).max(1))
}

fn blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Client => "client",
        Blame::Guest => "guest",
        Blame::Host => "host",
    }
}

/// `pdf_password_required` -> `Pdf password required`.
fn title(code: &str) -> String {
    let mut title = code.replace('_', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

/// The bytes of a problem document.
pub(crate) fn bytes(document: &Value) -> Vec<u8> {
    // A `Value` with string keys always serializes; an empty body would still carry the status.
    serde_json::to_vec(document).unwrap_or_default()
}

/// An option that does not mean anything as it is.
pub(crate) fn option_invalid(message: impl Into<String>) -> Fault {
    Fault::new(Kind::Invalid, "option_invalid", message)
}

/// A defect: the handler panicked, or something that cannot be missing is missing.
pub(crate) fn internal(detail: impl std::fmt::Display) -> Fault {
    Fault::new(
        Kind::Bug,
        "internal",
        "Lector failed on this request through a defect of its own. Try again, and report it with the request id.",
    )
    .with_detail(detail)
}

/// A refusal before any request was read.
pub(crate) fn connections_full() -> Fault {
    Fault::new(
        Kind::Busy,
        "connections_full",
        "The server has as many connections as it takes: try again in a second.",
    )
    .retry_after(std::time::Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn statuses() {
        let check = |kind, code, expect: u16| {
            assert_eq!(status(&Fault::new(kind, code, "x")).as_u16(), expect, "{code}")
        };
        check(Kind::Invalid, "option_invalid", 400);
        check(Kind::Invalid, "pdf_invalid", 422);
        check(Kind::Invalid, "page_out_of_range", 422);
        check(Kind::Denied, "pdf_password_wrong", 403);
        check(Kind::Invalid, "pdf_password_wrong", 422);
        check(Kind::Invalid, "document_unsupported_type", 415);
        check(Kind::NotFound, "deployment_not_found", 404);
        check(Kind::TooLarge, "image_too_large", 413);
        check(Kind::Busy, "server_overloaded", 503);
        check(Kind::Deadline, "deadline_exceeded", 504);
        check(Kind::Invalid, "body_stalled", 408);
        check(Kind::GuestFault, "guest_trap", 500);
        check(Kind::Bug, "internal", 500);
        let guests = Fault::new(Kind::Denied, "model_not_granted", "x").blaming(Blame::Guest);
        assert_eq!(status(&guests).as_u16(), 500);
        let hoarder = Fault::new(Kind::TooLarge, "guest_handles_exceeded", "x").blaming(Blame::Guest);
        assert_eq!(status(&hoarder).as_u16(), 500, "the client cannot send less");
    }

    #[test]
    fn a_problem_says_it_all() {
        let fault = Fault::new(Kind::Busy, "server_overloaded", "Full.")
            .retry_after(Duration::from_millis(1200))
            .with_detail("/secret");
        let document =
            Problem::from(fault.clone()).with("pages", json!([])).document(Some(&RequestId::from("r1")));
        assert_eq!(
            document,
            json!({
                "type": "/docs#server_overloaded", "title": "House full", "status": 503, "detail": "Full.", "code": "server_overloaded",
                "blame": "host", "request_id": "r1", "retry_after": 2, "pages": [],
            })
        );
        let mut guests = Fault::new(Kind::GuestFault, "guest_error_failed", "No total.");
        guests.guest_code = Some("total_missing".into());
        assert_eq!(Problem::from(guests).document(None)["guest_code"], "total_missing");
        let response = Problem::from(fault).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.status(), 503);
    }
}
