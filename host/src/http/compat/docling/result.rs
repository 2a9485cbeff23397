//! A document as docling-serve returns it.

use lector_core::{Fault, PageView};
use lector_export::{ExportError, Format};
use serde_json::json;

use super::super::answer::with;
use super::super::reading::Reading;
use super::options::Formats;
use crate::http::problem;

/// Returns the response of a conversion. Its parts are joined as JSON: values of them would take many times their memory.
pub(super) fn json(reading: &Reading, name: &str, formats: Formats) -> Result<Vec<u8>, Fault> {
    let json = |wanted: bool, format: &str| -> Result<Vec<u8>, Fault> {
        if wanted { Ok(written(reading, lector_export::by_name(format)?)?) } else { Ok(b"null".to_vec()) }
    };
    let text = |wanted: bool, format: &str| -> Result<Vec<u8>, Fault> {
        let written = json(wanted, format)?;
        if !wanted {
            return Ok(written);
        }
        let text = std::str::from_utf8(&written).map_err(problem::internal)?;
        serde_json::to_vec(text).map_err(problem::internal)
    };
    let document = with(
        &json!({ "filename": name, "doctags_content": null }),
        [
            ("md_content", text(formats.markdown, "markdown")?),
            ("json_content", json(formats.json, "docling")?),
            ("html_content", text(formats.html, "html")?),
            ("text_content", text(formats.text, "text")?),
        ],
    );
    let about = json!({
        "status": "success",
        "errors": [],
        "processing_time": (reading.result.total.as_secs_f64() * 1e3).round() / 1e3,
        "timings": {},
    });
    Ok(with(&about, [("document", document)]))
}

fn written(reading: &Reading, format: &dyn Format) -> Result<Vec<u8>, ExportError> {
    let (result, selected) = (&reading.result, reading.result.selected());
    let pages: Vec<PageView<'_>> = result.pages.iter().map(|page| page.view()).collect();
    format.document(&result.view(&selected), &pages)
}
