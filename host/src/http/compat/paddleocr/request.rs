//! The bodies of requests.

use lector_core::Fault;
use serde::Deserialize;

use super::super::inline;
use super::super::json_body::JsonBody;
use crate::http::problem::option_invalid;

/// The body of `/ocr` and `/layout-parsing`. The client's `fileType` is not needed: the bytes decide.
#[derive(Debug, Deserialize)]
struct SyncRequest {
    file: String,
}

/// Returns the document of such a body.
pub(super) fn sync_document(body: &JsonBody) -> Result<Vec<u8>, Fault> {
    let request: SyncRequest = body.parse("The body is not a request in JSON with the document in `file`")?;
    of_text(&body.text(&request.file)?)
}

/// Returns the document of a text in base64.
pub(super) fn of_text(text: &str) -> Result<Vec<u8>, Fault> {
    if inline::is_remote(text) { Err(inline::remote_refused()) } else { inline::decode(text) }
}

/// The body of a job in JSON.
#[derive(Debug, Deserialize)]
pub(super) struct JobRequest {
    #[serde(default, rename = "fileUrl")]
    file_url: Option<String>,
    /// The document in base64, which some clients send in place of a URL.
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(default, rename = "pageRanges")]
    pub(super) page_ranges: Option<String>,
    #[serde(default, rename = "batchId")]
    pub(super) batch_id: Option<String>,
}

impl JobRequest {
    pub(super) fn parse(body: &JsonBody) -> Result<Self, Fault> {
        body.parse("The body is neither a form nor a job in JSON")
    }

    /// Returns the document.
    pub(super) fn document(&self, body: &JsonBody) -> Result<Vec<u8>, Fault> {
        let text = self.file.as_ref().or(self.file_url.as_ref());
        let text = text.ok_or_else(|| option_invalid("The job has neither a `file` nor a `fileUrl`."))?;
        of_text(&body.text(text)?)
    }
}
