//! The table of routes. `openapi.json` describes the same routes; a test compares the two.

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, post, put};
use lector_core::{Fault, Kind};

use super::manage::deployments::Route as To;
use super::manage::{deployments, keys, queries, tenants};
use super::problem::{self, Problem};
use super::{AppState, batch, engines, health, middleware, ocr, openapi};

type Route = (Method, &'static str, MethodRouter<AppState>);

fn table() -> Vec<Route> {
    use Method as M;
    vec![
        (M::POST, "/api/v1/ocr", post(ocr::ocr)),
        (M::POST, "/api/v1/ocr/batch", post(batch::batch)),
        (M::POST, "/api/v1/deployments/{name}/ocr", post(ocr::ocr)),
        (M::POST, "/api/v1/deployments/{name}/ocr/batch", post(batch::batch)),
        // Tenant API.
        (M::GET, "/api/v1/tenant", get(tenants::own)),
        (M::GET, "/api/v1/deployments", get(deployments::list)),
        (M::PUT, "/api/v1/deployments/{name}", put(deployments::deploy)),
        (M::GET, "/api/v1/deployments/{name}", get(deployments::get)),
        (M::DELETE, "/api/v1/deployments/{name}", delete(deployments::delete)),
        (M::GET, "/api/v1/deployments/{name}/revisions", get(deployments::revisions)),
        (M::GET, "/api/v1/deployments/{name}/revisions/{number}", get(deployments::revision)),
        (M::POST, "/api/v1/deployments/{name}/promote", deployments::route(To::Promote)),
        (M::POST, "/api/v1/deployments/{name}/canary", deployments::route(To::Canary)),
        (M::POST, "/api/v1/deployments/{name}/shadow", deployments::route(To::Shadow)),
        (M::POST, "/api/v1/deployments/{name}/rollback", post(deployments::rollback)),
        (M::GET, "/api/v1/keys", get(keys::list)),
        (M::POST, "/api/v1/keys", post(keys::create)),
        (M::POST, "/api/v1/keys/{id}/rotate", post(keys::rotate)),
        (M::DELETE, "/api/v1/keys/{id}", delete(keys::revoke)),
        (M::GET, "/api/v1/usage", get(queries::usage)),
        (M::GET, "/api/v1/audit", get(queries::audit)),
        (M::GET, "/api/v1/events", get(queries::events)),
        (M::GET, "/api/v1/engines", get(engines::engines)),
        // Administrator API.
        (M::GET, "/api/v1/admin/tenants", get(tenants::list)),
        (M::GET, "/api/v1/admin/tenants/{tenant}", get(tenants::get)),
        (M::PUT, "/api/v1/admin/tenants/{tenant}", put(tenants::update)),
        (M::DELETE, "/api/v1/admin/tenants/{tenant}", delete(tenants::delete)),
        (M::GET, "/api/v1/admin/keys", get(keys::list_all)),
        (M::POST, "/api/v1/admin/keys", post(keys::create_any)),
        (M::POST, "/api/v1/admin/keys/{id}/rotate", post(keys::rotate_any)),
        (M::DELETE, "/api/v1/admin/keys/{id}", delete(keys::revoke_any)),
        (M::POST, "/api/v1/admin/engines/retry", post(engines::retry)),
        (M::GET, "/api/v1/admin/usage", get(queries::all_usage)),
        (M::GET, "/api/v1/admin/audit", get(queries::all_audit)),
        (M::GET, "/api/v1/admin/events", get(queries::all_events)),
        (M::GET, "/api/v1/admin/background-tasks", get(queries::background_tasks)),
        (M::GET, "/api/v1/admin/quarantine", get(queries::quarantine)),
        // Operations and documentation, without a key.
        (M::GET, "/healthz", get(health::healthz)),
        (M::GET, "/readyz", get(health::readyz)),
        (M::GET, "/metrics", get(health::metrics)),
        (M::GET, "/openapi.json", get(openapi::openapi)),
        (M::GET, "/docs", get(openapi::page)),
        (M::GET, "/", get(openapi::page)),
    ]
}

/// Returns all routes, wrapped in the request middleware.
pub(super) fn router(state: AppState) -> Router {
    let routes =
        table().into_iter().fold(Router::new(), |router, (_, path, handler)| router.route(path, handler));
    wrapped(routes.fallback(no_route), state)
}

/// Returns the routes of a connection beyond `http.connections_max`: those of probes. Others get `connections_full`.
pub(super) fn overflow(state: AppState) -> Router {
    wrapped(probes().fallback(connections_full), state)
}

/// Returns the routes of the private address for metrics (`http.metrics_listen`).
pub(super) fn private(state: AppState) -> Router {
    wrapped(probes().route("/metrics", get(health::private_metrics)).fallback(no_route), state)
}

fn probes() -> Router<AppState> {
    Router::new().route("/healthz", get(health::healthz)).route("/readyz", get(health::readyz))
}

fn wrapped(routes: Router<AppState>, state: AppState) -> Router {
    routes
        .method_not_allowed_fallback(no_method)
        .layer(axum::middleware::from_fn_with_state(state.clone(), middleware::handle))
        .with_state(state)
}

async fn no_route(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(100).collect();
    let message = format!("The path `{path}` does not exist: see GET / for the API.");
    Fault::new(Kind::NotFound, "route_not_found", message).into()
}

async fn connections_full() -> Problem {
    problem::connections_full().into()
}

async fn no_method(request: Request) -> Problem {
    let method: String = request.method().as_str().chars().take(20).collect();
    let message = format!("This path does not support `{method}`: use a method of the header `Allow`.");
    Fault::new(Kind::Invalid, "method_not_allowed", message).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_openapi_document_describes_every_route() {
        let described: serde_json::Value = serde_json::from_str(openapi::OPENAPI).unwrap();
        let paths = described["paths"].as_object().unwrap().iter();
        let methods = |item: &serde_json::Value| {
            let methods = ["get", "put", "post", "delete", "patch", "head", "options"];
            methods.into_iter().filter(|m| item.get(m).is_some()).map(str::to_uppercase).collect::<Vec<_>>()
        };
        let described: BTreeSet<(String, String)> = paths
            .flat_map(|(path, item)| methods(item).into_iter().map(move |m| (m, path.clone())))
            .collect();
        let routed = table().into_iter().map(|(method, path, _)| (method.to_string(), path.to_owned()));
        assert_eq!(routed.collect::<BTreeSet<_>>(), described);
    }
}
