//! The response in a format that is composed from the document itself: the searchable PDF.
//!
//! The file is written by a document worker and sent in chunks. It counts as held by its tenant until the connection has
//! accepted the last one.

use std::time::Instant;

use axum::response::{IntoResponse, Response};
use lector_core::PdfStandard;
use lector_serving::{Composer, DocumentResult};

use super::super::options::Options;
use super::super::pieces;
use super::super::problem::{self, Problem};
use super::success;

/// Composes the file and returns the response; the problems are those of the other formats, and of the composition.
pub(super) async fn answer(
    options: Options,
    result: Box<DocumentResult>,
    (composer, standard): (Composer, PdfStandard),
    began: Instant,
) -> Result<Response, Problem> {
    let result = success::checked(&options, result, began.elapsed()).map_err(|problem| *problem)?;
    let headers = success::headers(&options, &result, began.elapsed());
    // The words of 2,000 pages take some time to copy, and must not block other connections.
    let pages = tokio::task::spawn_blocking(move || lector_export::page_texts(&result)).await;
    let file = composer.searchable_pdf(pages.map_err(problem::internal)?, standard).await?;
    Ok((headers, pieces::file(file)).into_response())
}
