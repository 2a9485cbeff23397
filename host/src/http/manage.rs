//! The management API: deployments and their routes, keys, tenants, usage, the audit log.
//!
//! Owns the shapes of these requests; the responses are the API types of the control plane as JSON. Does not depend on
//! the store or on guests. Every handler first takes a proof of access (`auth.rs`).

pub(super) mod deployments;
pub(super) mod keys;
pub(super) mod queries;
pub(super) mod tenants;

use std::time::{Duration, Instant};

use axum::extract::{Query, Request};
use axum::http::Uri;
use axum::http::request::Parts;
use futures::StreamExt;
use lector_control::store::DamagedRow;
use lector_core::Fault;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::AppState;
use super::body::{BodyLimits, LimitedBody};
use super::json::{self, JsonBody};
use super::problem::option_invalid;

/// Maximum time to receive a JSON body.
const JSON_TIME_MAX: Duration = Duration::from_secs(30);

/// Reads and parses a JSON body; `T::default()` for an empty body.
pub(super) async fn json<T: JsonBody>(state: &AppState, request: Request) -> Result<(Parts, T), Fault> {
    let (parts, body) = request.into_parts();
    let limits = BodyLimits {
        // The bound of all management requests; `T::BYTES_MAX` is checked below, with its own code.
        bytes_max: json::OPTIONS_BYTES_MAX,
        idle_max: state.config.body_idle_timeout,
        rate_min: state.config.transfer_rate_min,
        waits_max: JSON_TIME_MAX,
        until: Instant::now() + JSON_TIME_MAX,
    };
    let mut body = LimitedBody::new(&parts.headers, body, limits)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        if (bytes.len() + chunk.len()) as u64 > T::BYTES_MAX {
            return Err(json::too_large("body", T::BYTES_MAX));
        }
        bytes.extend_from_slice(&chunk);
    }
    if bytes.is_empty() {
        return Ok((parts, T::default()));
    }
    Ok((parts, json::parse("body", &bytes, T::BYTES_MAX)?))
}

/// Parses the query. Unknown options are an error.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Fault> {
    let Query(query) = Query::<T>::try_from_uri(uri)
        .map_err(|error| option_invalid(format!("The query is invalid: {}.", error.body_text())))?;
    Ok(query)
}

/// Adds the member `damaged` to a response if rows could not be read.
fn with_damaged(mut answer: Value, damaged: &[DamagedRow]) -> Value {
    if let (Value::Object(members), false) = (&mut answer, damaged.is_empty()) {
        members.insert("damaged".to_owned(), serde_json::json!(damaged));
    }
    answer
}
