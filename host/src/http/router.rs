//! The table of routes, and the OpenAPI document that is generated from it: the attribute `utoipa::path` at a handler has
//! the method, the path and the description of its operation.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use lector_core::{Fault, Kind};
use tower::ServiceExt;
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::Path;
use utoipa::openapi::path::HttpMethod;

use super::jobs::{self, results, stream, submit, webhooks};
use super::manage::{configuration, deployments, keys, logs, queries, routes, status, tenants};
use super::openapi as api;
use super::openapi::document::{self, Described};
use super::problem::{self, Problem};
use super::{AppState, batch, compat, engines, files, health, middleware, ocr, problem_pages};

/// A route with the description of its operation.
struct Route {
    described: Described,
    handler: MethodRouter<AppState>,
}

/// Returns the route of a handler. `P` is the description that `utoipa::path` makes of the attribute at the handler; it
/// has the method and the path.
fn route<P, H, T>(handler: H) -> Route
where
    P: Path + SchemaReferences + Tags<'static>,
    H: Handler<T, AppState>,
    T: 'static,
{
    let (method, handler) = match P::methods().first() {
        Some(HttpMethod::Put) => ("put", put(handler)),
        Some(HttpMethod::Post) => ("post", post(handler)),
        Some(HttpMethod::Delete) => ("delete", delete(handler)),
        _ => ("get", get(handler)),
    };
    let mut schemas = Vec::new();
    P::schemas(&mut schemas);
    let mut operation = P::operation();
    operation.tags = Some(P::tags().into_iter().map(str::to_owned).collect());
    Route { described: Described { method, path: P::path(), operation, schemas }, handler }
}

fn table() -> Vec<Route> {
    vec![
        route::<ocr::__path_ocr, _, _>(ocr::ocr),
        route::<batch::__path_batch, _, _>(batch::batch),
        route::<ocr::__path_ocr_by_deployment, _, _>(ocr::ocr_by_deployment),
        route::<batch::__path_batch_by_deployment, _, _>(batch::batch_by_deployment),
        // Uploaded files, and jobs.
        route::<files::__path_upload, _, _>(files::upload),
        route::<files::__path_list, _, _>(files::list),
        route::<files::__path_get, _, _>(files::get),
        route::<files::__path_delete, _, _>(files::delete),
        route::<submit::__path_submit, _, _>(submit::submit),
        route::<jobs::__path_list, _, _>(jobs::list),
        route::<jobs::__path_get, _, _>(jobs::get),
        route::<jobs::__path_delete, _, _>(jobs::delete),
        route::<stream::__path_events, _, _>(stream::events),
        route::<results::__path_result, _, _>(results::result),
        route::<results::__path_page, _, _>(results::page),
        route::<webhooks::__path_deliveries, _, _>(webhooks::deliveries),
        route::<webhooks::__path_secret, _, _>(webhooks::secret),
        route::<webhooks::__path_rotate, _, _>(webhooks::rotate),
        // Tenant API.
        route::<tenants::__path_own, _, _>(tenants::own),
        route::<deployments::__path_list, _, _>(deployments::list),
        route::<deployments::__path_deploy, _, _>(deployments::deploy),
        route::<deployments::__path_get, _, _>(deployments::get),
        route::<deployments::__path_delete, _, _>(deployments::delete),
        route::<deployments::__path_revisions, _, _>(deployments::revisions),
        route::<deployments::__path_revision, _, _>(deployments::revision),
        route::<logs::__path_logs, _, _>(logs::logs),
        route::<routes::__path_promote, _, _>(routes::promote),
        route::<routes::__path_canary, _, _>(routes::canary),
        route::<routes::__path_shadow, _, _>(routes::shadow),
        route::<routes::__path_rollback, _, _>(routes::rollback),
        route::<keys::__path_list, _, _>(keys::list),
        route::<keys::__path_create, _, _>(keys::create),
        route::<keys::__path_rotate, _, _>(keys::rotate),
        route::<keys::__path_revoke, _, _>(keys::revoke),
        route::<queries::__path_usage, _, _>(queries::usage),
        route::<queries::__path_audit, _, _>(queries::audit),
        route::<queries::__path_events, _, _>(queries::events),
        route::<engines::__path_engines, _, _>(engines::engines),
        // Administrator API.
        route::<tenants::__path_list, _, _>(tenants::list),
        route::<tenants::__path_get, _, _>(tenants::get),
        route::<tenants::__path_update, _, _>(tenants::update),
        route::<tenants::__path_delete, _, _>(tenants::delete),
        route::<keys::__path_list_all, _, _>(keys::list_all),
        route::<keys::__path_create_any, _, _>(keys::create_any),
        route::<keys::__path_rotate_any, _, _>(keys::rotate_any),
        route::<keys::__path_revoke_any, _, _>(keys::revoke_any),
        route::<engines::__path_retry, _, _>(engines::retry),
        route::<configuration::__path_reload, _, _>(configuration::reload),
        route::<status::__path_status, _, _>(status::status),
        route::<queries::__path_all_usage, _, _>(queries::all_usage),
        route::<queries::__path_all_audit, _, _>(queries::all_audit),
        route::<queries::__path_all_events, _, _>(queries::all_events),
        route::<queries::__path_background_tasks, _, _>(queries::background_tasks),
        route::<queries::__path_quarantine, _, _>(queries::quarantine),
        // Operations and documentation, without a key.
        route::<health::__path_healthz, _, _>(health::healthz),
        route::<health::__path_livez, _, _>(health::livez),
        route::<health::__path_readyz, _, _>(health::readyz),
        route::<health::__path_metrics, _, _>(health::metrics),
        route::<__path_openapi, _, _>(openapi),
        route::<problem_pages::__path_list, _, _>(problem_pages::list),
        route::<problem_pages::__path_get, _, _>(problem_pages::get),
        route::<api::__path_page, _, _>(api::page),
        route::<api::__path_index, _, _>(api::index),
    ]
}

/// The OpenAPI document of the table, as text.
static DOCUMENT: LazyLock<Result<String, String>> =
    LazyLock::new(|| document::text(table().into_iter().map(|route| route.described).collect()));

/// Returns this API description.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getOpenApi",
    tag = "About",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)),
    security(())
)]
async fn openapi() -> Result<Response, Problem> {
    let text = DOCUMENT.as_ref().map_err(problem::internal)?;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, text.as_str()).into_response())
}

/// Returns all routes, wrapped in the request middleware.
pub(super) fn router(state: AppState) -> Router {
    let private = state.config.private_operations;
    let routes = table()
        .into_iter()
        .filter(|route| !(private && PRIVATE.contains(&route.described.path.as_str())))
        .fold(Router::new(), |router, route| router.route(&route.described.path, route.handler));
    let compat = compat::routes(&state.config.compat);
    let compat = if private { compat } else { compat.merge(compat::readiness(&state.config.compat)) };
    let again = compat.clone().fallback(no_route).method_not_allowed_fallback(no_method);
    let again = again.with_state(state.clone());
    let elsewhere = move |request: Request| elsewhere(again.clone(), request);
    wrapped(routes.merge(compat).fallback(elsewhere), state)
}

/// Routes a request for an API of other software again whose path has empty segments: some of its clients join their
/// address and the path with two slashes, or end the path with one.
async fn elsewhere(compat: Router, mut request: Request) -> Response {
    match compat::normal_path(request.uri()) {
        Some(uri) => {
            *request.uri_mut() = uri;
            compat.oneshot(request).await.into_response()
        }
        None => no_route(request).await.into_response(),
    }
}

/// Returns the routes of a connection beyond `http.connections_max`: those of probes. Others get `connections_full`.
pub(super) fn overflow(state: AppState) -> Router {
    let private = state.config.private_operations;
    let routes = if private { probes() } else { probes().route("/readyz", get(health::readyz)) };
    wrapped(routes.fallback(connections_full), state)
}

/// Paths that `http.private_operations` removes from the public address, with those of [`compat::readiness`].
const PRIVATE: [&str; 7] =
    ["/", "/docs", "/metrics", "/openapi.json", "/problems", "/problems/{code}", "/readyz"];

/// Returns the routes of the private address (`http.metrics_listen`).
pub(super) fn private(state: AppState) -> Router {
    let pages = table().into_iter().filter(|route| {
        let path = route.described.path.as_str();
        PRIVATE.contains(&path) && path != "/metrics" && path != "/readyz"
    });
    let routes = pages.fold(probes(), |router, route| router.route(&route.described.path, route.handler));
    let routes = routes.route("/metrics", get(health::private_metrics)).route("/readyz", get(health::readyz));
    let routes = routes.merge(compat::readiness(&state.config.compat));
    wrapped(routes.fallback(no_route), state)
}

fn probes() -> Router<AppState> {
    Router::new().route("/healthz", get(health::healthz)).route("/livez", get(health::livez))
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

    use serde_json::Value;

    use super::*;
    use crate::http::problem::codes;

    /// The committed copy of the document.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/openapi.json");
    /// The variable with which the test below writes the copy.
    const UPDATE: &str = "LECTOR_UPDATE_OPENAPI";

    fn text() -> &'static str {
        DOCUMENT.as_ref().unwrap()
    }

    fn document() -> Value {
        serde_json::from_str(text()).unwrap()
    }

    /// Returns every operation with its id.
    fn operations(document: &Value) -> Vec<(&str, &Value)> {
        let items = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|item| item.as_object().unwrap().values());
        items.map(|operation| (operation["operationId"].as_str().unwrap(), operation)).collect()
    }

    #[test]
    fn the_committed_document_is_the_generated_one() {
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(FILE, text()).unwrap();
        }
        let same = std::fs::read_to_string(FILE).unwrap() == text();
        assert!(
            same,
            "host/src/http/openapi.json differs from the handlers. If the change of the API is intended, run \
             `{UPDATE}=1 cargo test -p lector --lib -- the_committed_document`, and look at the difference."
        );
    }

    #[test]
    fn operations_are_complete() {
        let document = document();
        let operations = operations(&document);
        assert_eq!(operations.len(), table().len());
        let ids: BTreeSet<&str> = operations.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids.len(), operations.len(), "an operation id is used twice");
        for (id, operation) in &operations {
            for member in ["summary", "tags", "responses", "security", "parameters"] {
                assert!(!operation[member].is_null(), "{id} has no {member}");
            }
            let keyed = operation["security"].as_array().is_some_and(|list| !list.is_empty());
            let responses = &operation["responses"];
            let statuses = if keyed { &["400", "401", "429", "500", "503"][..] } else { &["500", "503"] };
            for status in statuses {
                assert!(responses[status].is_object(), "{id} does not describe {status}");
            }
            for (status, response) in responses.as_object().unwrap() {
                assert!(response["headers"]["X-Request-Id"].is_object(), "{id} {status}");
                let retries = ["429", "503"].contains(&status.as_str())
                    && response["content"]["application/json"].is_null();
                assert_eq!(response["headers"]["Retry-After"].is_object(), retries, "{id} {status}");
            }
        }
    }

    #[test]
    fn the_schema_of_a_problem_lists_every_code() {
        let document = document();
        let listed = document["components"]["schemas"]["Problem"]["properties"]["code"]["oneOf"].as_array();
        let listed: Vec<&str> = listed.unwrap().iter().map(|code| code["const"].as_str().unwrap()).collect();
        let all: Vec<&str> = codes::ALL.iter().map(|entry| entry.code).collect();
        assert_eq!(listed, all);
    }

    #[test]
    fn every_reference_resolves() {
        let document = document();
        let references: BTreeSet<&str> =
            text().split("\"$ref\": \"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 30, "only {references:?}: does the search still match the document?");
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
