//! Managing over HTTP: deployments and their routes, keys, tenants, usage, the audit log.
//!
//! Owns the shapes of these requests; the answers are the platform's views as JSON. Knows no store and no guest. Every
//! handler takes the proof of a right (`auth.rs`) first.

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

/// Longest time that such a body may take.
const JSON_TIME_MAX: Duration = Duration::from_secs(30);

/// A JSON body; `T::default()` for an empty one.
pub(super) async fn json<T: JsonBody>(state: &AppState, request: Request) -> Result<(Parts, T), Fault> {
    let (parts, body) = request.into_parts();
    let limits = BodyLimits {
        // Told apart from a body that is too large for any of them.
        bytes_max: json::OPTIONS_BYTES_MAX,
        idle_max: state.config.body_idle_timeout,
        until: Instant::now() + JSON_TIME_MAX,
    };
    let bytes = whole(LimitedBody::new(&parts.headers, body, limits)?).await?;
    if bytes.is_empty() {
        return Ok((parts, T::default()));
    }
    Ok((parts, json::parse("body", &bytes, T::BYTES_MAX)?))
}

/// All bytes of a body; its limits are the intake's.
async fn whole(mut limited_body: LimitedBody) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = limited_body.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

/// The query, each of its options known.
fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Fault> {
    let Query(query) = Query::<T>::try_from_uri(uri)
        .map_err(|error| option_invalid(format!("The query is not understood: {}.", error.body_text())))?;
    Ok(query)
}

/// An answer of rows, with the rows beside them that cannot be read, where there are any.
fn with_damaged(mut answer: Value, damaged: &[DamagedRow]) -> Value {
    if let (Value::Object(members), false) = (&mut answer, damaged.is_empty()) {
        members.insert("damaged".to_owned(), serde_json::json!(damaged));
    }
    answer
}
