//! The APIs of other software ("dialects"), so that its clients work with a changed address.
//!
//! Owns one module a dialect. A dialect translates: a request into a call of the document service, the document into its
//! own shape, a fault into its own errors. What a client waits for and Lector does not do is refused; what does not change
//! the meaning of the answer is ignored, because clients send many options.
//!
//! The parts that dialects share: `call` (a request, its credentials and errors), `visit` (from an authenticated request
//! to a read document), `form` (multipart bodies), `json_body` (JSON with a document), `inline` (base64, `data:` URLs,
//! sniffing), `links` (capability URLs of uploaded files), `tasks` (asynchronous calls), `answer` (JSON
//! responses), `path` (normalization).
//!
//! To add a dialect: a module with a function `routes` and a function that shapes errors, a line in [`routes`], and a
//! variant of [`Dialect`].

mod answer;
mod azure;
mod call;
mod docling;
mod form;
mod inline;
mod json_body;
mod links;
mod mcp;
mod mistral;
mod oip;
mod openwebui;
mod paddleocr;
mod path;
mod reading;
pub(super) mod stores;
mod tasks;
mod visit;

use axum::Router;

use super::AppState;
use crate::config::{CompatConfig, Dialect};

pub(super) use path::normal_path;

/// The routes of a dialect.
type Routes = (Dialect, fn() -> Router<AppState>);

/// Returns the routes of the dialects that are switched on, without those of [`readiness`].
pub(super) fn routes(config: &CompatConfig) -> Router<AppState> {
    let all: [Routes; 7] = [
        (Dialect::Mistral, mistral::routes),
        (Dialect::OpenWebUi, openwebui::routes),
        (Dialect::Docling, docling::routes),
        (Dialect::Azure, azure::routes),
        (Dialect::PaddleOcr, paddleocr::routes),
        (Dialect::OpenInference, oip::routes),
        (Dialect::Mcp, mcp::routes),
    ];
    enabled(config, all)
}

/// Returns the routes on which the dialects that are switched on tell whether the server is ready. They are where `/readyz`
/// is: `http.private_operations` moves them.
pub(super) fn readiness(config: &CompatConfig) -> Router<AppState> {
    let all: [Routes; 2] = [(Dialect::Docling, docling::readiness), (Dialect::OpenInference, oip::readiness)];
    enabled(config, all)
}

fn enabled(config: &CompatConfig, all: impl IntoIterator<Item = Routes>) -> Router<AppState> {
    let on = all.into_iter().filter(|(dialect, _)| config.enabled.contains(dialect));
    on.fold(Router::new(), |router, (_, routes)| router.merge(routes()))
}
