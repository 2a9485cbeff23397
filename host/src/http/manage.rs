//! Managing over HTTP: deployments and their routes, keys, tenants, usage, the audit log.
//!
//! Owns the shapes of these requests; the answers are the platform's views as JSON. Knows no store and no guest. Every
//! handler takes the proof of a right (`auth.rs`) first.

pub(super) mod deployments;
pub(super) mod keys;
pub(super) mod looks;
pub(super) mod tenants;

use std::time::{Duration, Instant};

use axum::extract::{Query, Request};
use axum::http::Uri;
use axum::http::request::Parts;
use futures::StreamExt;
use lector_core::{Fault, Kind};
use serde::de::DeserializeOwned;

use super::AppState;
use super::body::{BodyLimits, Intake};
use super::problem::option_invalid;

/// Largest JSON body of a managing request: settings may have a megabyte.
const JSON_BYTES_MAX: u64 = 2 << 20;
/// Longest time that such a body may take.
const JSON_TIME_MAX: Duration = Duration::from_secs(30);

/// A JSON body; `T::default()` for an empty one.
pub(super) async fn json<T: DeserializeOwned + Default>(
    state: &AppState,
    request: Request,
) -> Result<(Parts, T), Fault> {
    let (parts, body) = request.into_parts();
    let limits = BodyLimits {
        bytes_max: JSON_BYTES_MAX,
        idle_max: state.config.body_idle_timeout,
        until: Instant::now() + JSON_TIME_MAX,
    };
    let bytes = whole(Intake::new(&parts.headers, body, limits)?).await?;
    if bytes.is_empty() {
        return Ok((parts, T::default()));
    }
    Ok((parts, of_json("body", &bytes)?))
}

/// All bytes of a body; its limits are the intake's.
async fn whole(mut intake: Intake) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = intake.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

/// JSON of the client's; `what` names where it stands.
fn of_json<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| {
        let message = format!("The {what} is not the JSON that is expected here: {error}.");
        Fault::new(Kind::Invalid, "body_invalid", message)
    })
}

/// The query, each of its options known.
fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Fault> {
    let Query(query) = Query::<T>::try_from_uri(uri)
        .map_err(|error| option_invalid(format!("The query is not understood: {}.", error.body_text())))?;
    Ok(query)
}
