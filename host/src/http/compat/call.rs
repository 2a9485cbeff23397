//! A request in a dialect: its parts, and the translation of faults into the errors of the dialect.

use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};
use lector_control::Principal;
use lector_core::{DeploymentName, Fault, Kind};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Dialect;
use crate::http::AppState;
use crate::http::auth;
use crate::http::middleware::RequestCtx;
use crate::http::problem::{self, Code};
use crate::http::proxy::Forwarded;

/// The error of a dialect: its status and its body, for a fault with its status in Lector's own API.
pub(super) type Shape = fn(&Fault, StatusCode, &RequestCtx) -> (StatusCode, Value);

/// A request in a dialect.
pub(super) struct Call {
    pub(super) state: AppState,
    pub(super) ctx: RequestCtx,
    pub(super) head: Parts,
    pub(super) body: Body,
}

/// Returns the route of a handler whose faults become errors of the dialect.
pub(super) fn on<F, Fut>(method: MethodFilter, shape: Shape, handler: F) -> MethodRouter<AppState>
where
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Fault>> + Send + 'static,
{
    axum::routing::on(
        method,
        move |State(state): State<AppState>, Extension(ctx): Extension<RequestCtx>, request: Request| {
            let handler = handler.clone();
            async move {
                let (head, body) = request.into_parts();
                let called = handler(Call { state, ctx: ctx.clone(), head, body }).await;
                called.unwrap_or_else(|fault| error(&fault, shape, &ctx))
            }
        },
    )
}

/// Returns the response to a fault.
fn error(fault: &Fault, shape: Shape, ctx: &RequestCtx) -> Response {
    let usual = problem::status(fault);
    if usual.is_server_error() && fault.kind != Kind::Busy {
        tracing::warn!(%fault, status = usual.as_u16(), "error of a compatible API");
    } else if fault.detail.is_some() {
        tracing::info!(%fault, status = usual.as_u16(), "error of a compatible API");
    }
    let (status, body) = shape(fault, usual, ctx);
    let mut response = (status, problem::bytes(&body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(after_s) = problem::retry_after_s(fault) {
        headers.insert(header::RETRY_AFTER, after_s.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lector\""));
    }
    response.extensions_mut().insert(Code(fault.code));
    response
}

impl Call {
    /// Authenticates the request.
    pub(super) fn principal(&self) -> Result<Principal, Fault> {
        auth::dialect_principal(&self.head, &self.state)
    }

    /// Returns the parameters in the path.
    pub(super) async fn path<T: DeserializeOwned + Send>(&mut self) -> Result<T, Fault> {
        let extracted = Path::<T>::from_request_parts(&mut self.head, &()).await;
        let Path(value) = extracted.map_err(|error| {
            problem::option_invalid(format!("The path is invalid: {}.", error.body_text()))
        })?;
        Ok(value)
    }

    /// Returns the first value of a parameter in the query.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&self.head.uri).ok()?.0;
        pairs.into_iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value)
    }

    /// Returns the address under which the client reached the server, without a trailing slash.
    pub(super) fn base_url(&self) -> String {
        if let Some(url) = &self.state.config.compat.public_url {
            return url.clone();
        }
        let text = |name: &str| {
            let value = self.head.headers.get(name).and_then(|value| value.to_str().ok());
            value.and_then(|value| value.split(',').next()).map(str::trim).filter(|value| !value.is_empty())
        };
        let is_host = |host: &&str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
        let host = text("x-forwarded-host").or_else(|| text("host")).filter(is_host);
        let host = host.or(self.head.uri.authority().map(|authority| authority.as_str()));
        // A client that invents the header gets its own invention back.
        let secure = self.head.extensions.get::<Forwarded>().is_some_and(|forwarded| forwarded.secure);
        let scheme = if secure || text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
        format!("{scheme}://{}", host.unwrap_or("localhost"))
    }
}

/// Returns the deployment for the client's name of a model: the configured one, else the deployment of that name, else
/// the default.
pub(super) fn deployment(
    state: &AppState,
    principal: &Principal,
    dialect: Dialect,
    model: Option<&str>,
) -> Option<DeploymentName> {
    let model = model?;
    if let Some(named) = state.config.compat.models.get(&(dialect, model.to_owned())) {
        return Some(named.clone());
    }
    let own = lector_control::is_name(model).then(|| DeploymentName::from(model))?;
    state.control.lease(principal, Some(&own)).is_ok().then_some(own)
}

/// Returns the fault of a request for something that Lector does not do.
pub(super) fn unsupported(message: impl Into<String>) -> Fault {
    Fault::new(Kind::Invalid, "compat_unsupported", message)
}
