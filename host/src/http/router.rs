//! The table of contents. `openapi.json` describes the same; a test holds the two together.

use axum::extract::Request;
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};
use axum::{Router, middleware};
use lector_core::{Fault, Kind};

use super::problem::Problem;
use super::{AppState, batch, describe, engines, frame, health, ocr};

type Route = (Method, &'static str, MethodRouter<AppState>);

fn table() -> [Route; 11] {
    [
        (Method::POST, "/api/v1/ocr", post(ocr::ocr)),
        (Method::POST, "/api/v1/ocr/batch", post(batch::batch)),
        (Method::POST, "/api/v1/deployments/{name}/ocr", post(ocr::ocr)),
        (Method::POST, "/api/v1/deployments/{name}/ocr/batch", post(batch::batch)),
        (Method::GET, "/api/v1/engines", get(engines::engines)),
        (Method::GET, "/healthz", get(health::healthz)),
        (Method::GET, "/readyz", get(health::readyz)),
        (Method::GET, "/metrics", get(health::metrics)),
        (Method::GET, "/openapi.json", get(describe::openapi)),
        (Method::GET, "/docs", get(describe::page)),
        (Method::GET, "/", get(describe::page)),
    ]
}

/// All routes, within their frame.
pub(super) fn router(state: AppState) -> Router {
    let routes =
        table().into_iter().fold(Router::new(), |router, (_, path, handler)| router.route(path, handler));
    routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(state.clone(), frame::frame))
        .with_state(state)
}

async fn no_route(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(100).collect();
    let message = format!("There is nothing at `{path}`: GET / shows what there is.");
    Fault::new(Kind::NotFound, "route_not_found", message).into()
}

async fn no_method(request: Request) -> Problem {
    let method: String = request.method().as_str().chars().take(20).collect();
    let message = format!("`{method}` is not for this path: the header `Allow` says what is.");
    Fault::new(Kind::Invalid, "method_not_allowed", message).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_description_describes_every_route() {
        let described: serde_json::Value = serde_json::from_str(describe::OPENAPI).unwrap();
        let paths = described["paths"].as_object().unwrap().iter();
        let methods = |item: &serde_json::Value| {
            let methods = ["get", "put", "post", "delete", "patch", "head", "options"];
            methods.into_iter().filter(|m| item.get(m).is_some()).map(str::to_uppercase).collect::<Vec<_>>()
        };
        let described: BTreeSet<(String, String)> = paths
            .flat_map(|(path, item)| methods(item).into_iter().map(move |m| (m, path.clone())))
            .collect();
        let routed = table().map(|(method, path, _)| (method.to_string(), path.to_owned()));
        assert_eq!(BTreeSet::from(routed), described);
    }
}
