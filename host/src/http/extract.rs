//! The extractors of the management API: path, query and JSON body. Every rejection is a problem.

use std::time::{Duration, Instant};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use futures::StreamExt;
use serde::de::DeserializeOwned;

use super::AppState;
use super::body::LimitedBody;
use super::json::{self, JsonBody};
use super::problem::{Problem, option_invalid};

/// Maximum time to receive a JSON body.
const JSON_TIME_MAX: Duration = Duration::from_secs(30);

/// The parameters in the path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let extracted = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let axum::extract::Path(value) = extracted.map_err(|error| {
            option_invalid(format!(
                "The path is invalid: {}. Send names as UTF-8, percent-encoded, and numbers in decimal.",
                error.body_text().trim_end_matches('.')
            ))
        })?;
        Ok(Self(value))
    }
}

/// The parameters in the query. Unknown parameters are an error.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let extracted = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        let axum::extract::Query(value) = extracted.map_err(|error| {
            option_invalid(format!("The query is invalid: {}.", error.body_text().trim_end_matches('.')))
        })?;
        Ok(Self(value))
    }
}

/// The JSON body; `T::default()` for an empty body.
pub(super) struct Body<T>(pub(super) T);

impl<T: JsonBody> FromRequest<AppState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        // The bound of all management requests; `T::BYTES_MAX` is checked below, with its own code.
        let limits =
            state.body_limits(json::OPTIONS_BYTES_MAX, JSON_TIME_MAX, Instant::now() + JSON_TIME_MAX);
        let mut body = LimitedBody::new(&parts.headers, body, limits)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            if (bytes.len() + chunk.len()) as u64 > T::BYTES_MAX {
                return Err(json::too_large("body", T::BYTES_MAX).into());
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        Ok(Self(json::parse("body", &bytes, T::BYTES_MAX)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use serde::Deserialize;
    use tower::ServiceExt;

    use super::*;
    use crate::http::problem::CONTENT_TYPE;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        limit: u32,
    }

    #[tokio::test]
    async fn rejections_are_problems() {
        let handler = async |Path((_, number)): Path<(String, u32)>, Query(options): Query<Options>| {
            format!("{number} {}", options.limit)
        };
        let router: Router = Router::new().route("/{name}/{number}", get(handler));
        for (path, status) in [
            ("/a/7?limit=3", 200),
            ("/a/seven", 400),
            ("/a/-1", 400),
            ("/a/4294967296", 400),
            ("/%ff/7", 400),
            ("/a/7?limit=x", 400),
            ("/a/7?other=1", 400),
        ] {
            let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::from_u16(status).unwrap(), "{path}");
            if status != 200 {
                assert_eq!(response.headers()["content-type"], CONTENT_TYPE, "{path}");
            }
        }
    }
}
