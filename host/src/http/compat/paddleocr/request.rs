//! The bodies of requests.

use std::borrow::Cow;

use lector_core::Fault;
use serde::Deserialize;

use super::super::inline::{self, Text};
use crate::http::problem::option_invalid;

/// The body of `/ocr` and `/layout-parsing`. The client's `fileType` is not needed: the bytes decide.
#[derive(Debug, Deserialize)]
pub(super) struct SyncRequest<'a> {
    #[serde(borrow)]
    pub(super) file: Cow<'a, str>,
}

impl<'a> SyncRequest<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Fault> {
        serde_json::from_slice(body).map_err(|error| {
            option_invalid(format!("The body is not a request in JSON with the document in `file`: {error}."))
        })
    }

    /// Returns the document.
    pub(super) fn document(&self) -> Result<Vec<u8>, Fault> {
        of_text(&self.file)
    }
}

/// Returns the document of a text in base64.
pub(super) fn of_text(text: &str) -> Result<Vec<u8>, Fault> {
    if inline::is_remote(text) { Err(inline::remote_refused()) } else { inline::decode(text) }
}

/// The body of a job in JSON.
#[derive(Debug, Deserialize)]
pub(super) struct JobRequest<'a> {
    #[serde(borrow, default, rename = "fileUrl")]
    file_url: Option<Text<'a>>,
    /// The document in base64, which some clients send in place of a URL.
    #[serde(borrow, default)]
    file: Option<Text<'a>>,
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(default, rename = "pageRanges")]
    pub(super) page_ranges: Option<String>,
    #[serde(default, rename = "batchId")]
    pub(super) batch_id: Option<String>,
}

impl<'a> JobRequest<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Fault> {
        serde_json::from_slice(body).map_err(|error| {
            option_invalid(format!("The body is neither a form nor a job in JSON: {error}."))
        })
    }

    /// Returns the document.
    pub(super) fn document(&self) -> Result<Vec<u8>, Fault> {
        let text = self.file.as_ref().or(self.file_url.as_ref());
        let Text(text) =
            text.ok_or_else(|| option_invalid("The job has neither a `file` nor a `fileUrl`."))?;
        of_text(text)
    }
}
