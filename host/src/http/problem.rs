//! Translation of faults into HTTP: problem details (RFC 9457) with a stable code.
//!
//! Owns the HTTP status of every fault ([`codes`] lists them), and the faults of the gateway itself (an invalid option, a stalled body ...).
//! Every error response of the gateway is built here. Does not depend on any handler.

pub(crate) mod codes;

use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lector_core::{Blame, Fault, Kind, RequestId};
use lector_serving::PageResult;
use serde_json::{Map, Value};

use super::pieces::{self, Piece};

/// Media type of a problem.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

/// Returns the path of the page of a code: the `type` of its problems.
pub(crate) fn path(code: &str) -> String {
    format!("/problems/{code}")
}

/// Returns the HTTP status of a fault: the one that [`codes`] lists for its code. If it lists several, the kind and the
/// blame choose.
pub(crate) fn status(fault: &Fault) -> StatusCode {
    let derived = derived(fault);
    codes::find(fault.code).map_or(derived, |entry| entry.status(derived))
}

/// Returns the status that follows from the kind and the blame of a fault.
fn derived(fault: &Fault) -> StatusCode {
    match fault.kind {
        // Such a fault of a guest or of the host (a model that is not granted, or not in the catalog) is not an error
        // of the client.
        Kind::Invalid | Kind::Denied | Kind::NotFound | Kind::Conflict | Kind::TooLarge
            if fault.blame != Blame::Client =>
        {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Busy | Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Deadline => StatusCode::GATEWAY_TIMEOUT,
        // The guest of a deploy is the client's.
        Kind::GuestFault if fault.blame == Blame::Client => StatusCode::UNPROCESSABLE_ENTITY,
        // Not 502: to a client the guest is part of the server, and a retry would run the same guest.
        Kind::GuestFault | Kind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The code of a problem, attached to its response for metrics and the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code(pub(crate) &'static str);

/// A fault as an HTTP response.
#[derive(Debug)]
pub(crate) struct Problem {
    // Boxed to keep the `Result` of every handler small.
    fault: Box<Fault>,
    extensions: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Pages, written as the last member while the body is sent. [`Problem::body`] takes them.
    pages: Mutex<Option<Vec<PageResult>>>,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self { fault: Box::new(fault), extensions: Map::new(), headers: Vec::new(), pages: Mutex::new(None) }
    }
}

impl Problem {
    /// Returns the problem with an extension member (RFC 9457, section 3.2).
    pub(crate) fn with(mut self, member: &str, value: Value) -> Self {
        self.extensions.insert(member.to_owned(), value);
        self
    }

    /// Returns the problem with an additional header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Returns the problem with the member `pages`: the results of these pages.
    pub(crate) fn with_pages(mut self, pages: Vec<PageResult>) -> Self {
        self.pages = Mutex::new(Some(pages));
        self
    }

    /// Returns the response body. Pages are written one by one as the connection accepts them.
    pub(crate) fn body(&self, request: Option<&RequestId>) -> Body {
        let document = bytes(&self.document(request));
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(pages) = pages else { return document.into() };
        let mut head = String::from_utf8(document).unwrap_or_default();
        head.truncate(head.len().saturating_sub(1));
        let piece = |text: String| std::iter::once(Piece::from(text));
        let pages = lector_export::json_pages(pages).map(Piece::from);
        pieces::body(piece(head + ",\"pages\":[").chain(pages).chain(piece("]}".to_owned())).map(Ok))
    }

    /// Returns the problem document without pages. `request` is `None` only for a connection that is rejected before a
    /// request is read.
    pub(crate) fn document(&self, request: Option<&RequestId>) -> Value {
        let fault: &Fault = &self.fault;
        let mut members = Map::new();
        members.insert("type".into(), path(fault.code).into());
        members.insert("title".into(), codes::title(fault.code).into());
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

/// Without the request id: `middleware.rs` adds it, because handlers do not have it at this point.
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

/// Returns the time to wait in whole seconds, rounded up, because an earlier retry would be rejected again.
pub(crate) fn retry_after_s(fault: &Fault) -> Option<u64> {
    fault.retry_after.map(|after| (after.as_millis() as u64).div_ceil(1000).max(1))
}

fn blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Client => "client",
        Blame::Guest => "guest",
        Blame::Host => "host",
    }
}

/// Serializes a problem document.
pub(crate) fn bytes(document: &Value) -> Vec<u8> {
    // A `Value` always serializes; the status would be correct even with an empty body.
    serde_json::to_vec(document).unwrap_or_default()
}

/// Returns the fault of an invalid option.
pub(crate) fn option_invalid(message: impl Into<String>) -> Fault {
    Fault::new(Kind::Invalid, "option_invalid", message)
}

/// Returns the fault of a defect: a panic in a handler, or a violated invariant.
pub(crate) fn internal(detail: impl std::fmt::Display) -> Fault {
    Fault::new(
        Kind::Bug,
        "internal",
        "Lector failed because of an internal error. Try again; if the error persists, report it with the request id.",
    )
    .with_detail(detail)
}

/// Returns the fault of a document with failed pages, of which `first` is the first one, in a format that cannot report them.
pub(crate) fn pages_failed(failed: u32, selected: usize, first: &Fault, format: &str) -> Fault {
    let message = format!(
        "{failed} of {selected} pages failed ({}), and the format {format} cannot report failures: request JSON, or add \
         partial=true to receive the other pages.",
        first.message.trim_end_matches('.'),
    );
    Fault::new(Kind::Invalid, "pages_failed", message).blaming(first.blame)
}

/// Returns the fault of a connection beyond `http.connections_max`. No request has been read.
pub(crate) fn connections_full() -> Fault {
    Fault::new(
        Kind::Busy,
        "connections_full",
        "The server has reached its maximum number of connections: try again in 1 s.",
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
        check(Kind::Invalid, "pdf_password_wrong", 422);
        check(Kind::Invalid, "document_unsupported_type", 415);
        check(Kind::NotFound, "deployment_not_found", 404);
        check(Kind::Conflict, "deployment_not_live", 409);
        check(Kind::Conflict, "precondition_failed", 412);
        check(Kind::TooLarge, "image_too_large", 413);
        check(Kind::Busy, "server_overloaded", 503);
        check(Kind::Deadline, "deadline_exceeded", 504);
        // Faults of documents, as `document/src/faults.rs` makes them.
        check(Kind::Invalid, "page_render_crashed", 422);
        check(Kind::Invalid, "document_abandoned", 422);
        check(Kind::TooLarge, "document_memory_exceeded", 413);
        check(Kind::TooLarge, "page_too_many_pixels", 413);
        for late in [
            "document_open_timeout",
            "page_timeout",
            "page_text_timeout",
            "page_render_timeout",
            "document_compose_timeout",
        ] {
            check(Kind::Deadline, late, 422);
        }
        check(Kind::Invalid, "body_stalled", 408);
        check(Kind::GuestFault, "guest_trapped", 500);
        check(Kind::Bug, "internal", 500);
        let guests = Fault::new(Kind::Denied, "model_not_granted", "x").blaming(Blame::Guest);
        assert_eq!(status(&guests).as_u16(), 500);
        // A page that needs more than the budget of its deployment: the server has no defect, and a retry cannot help.
        let exceeded = ["guest_compute_exceeded", "guest_host_calls_exceeded", "guest_memory_exceeded"];
        for code in exceeded.into_iter().chain(["guest_result_too_large"]) {
            check(Kind::GuestFault, code, 422);
        }
        for exceeded in ["guest_handles_exceeded", "guest_host_memory_exceeded"] {
            let fault = Fault::new(Kind::TooLarge, exceeded, "x").blaming(Blame::Guest);
            assert_eq!(status(&fault).as_u16(), 422, "{exceeded}");
        }
    }

    #[test]
    fn a_problem_has_all_members() {
        let fault = Fault::new(Kind::Busy, "server_overloaded", "Full.")
            .retry_after(Duration::from_millis(1200))
            .with_detail("/secret");
        let document =
            Problem::from(fault.clone()).with("pages", json!([])).document(Some(&RequestId::from("r1")));
        assert_eq!(
            document,
            json!({
                "type": "/problems/server_overloaded", "title": "Server overloaded", "status": 503, "detail": "Full.", "code": "server_overloaded",
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
