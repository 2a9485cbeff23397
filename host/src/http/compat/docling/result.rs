//! A document as docling-serve returns it.

use lector_core::{Fault, PageView};
use lector_export::{ExportError, Format};
use serde_json::{Value, json};

use super::super::reading::Reading;
use super::options::Formats;
use crate::http::problem;

/// Returns the response of a conversion.
pub(super) fn json(reading: &Reading, name: &str, formats: Formats) -> Result<Value, Fault> {
    let text = |wanted: bool, format: &str| -> Result<Value, Fault> {
        if !wanted {
            return Ok(Value::Null);
        }
        let bytes = written(reading, lector_export::by_name(format)?)?;
        Ok(String::from_utf8(bytes).map_err(problem::internal)?.into())
    };
    let document = if formats.json {
        let bytes = written(reading, lector_export::by_name("docling")?)?;
        serde_json::from_slice(&bytes).map_err(problem::internal)?
    } else {
        Value::Null
    };
    Ok(json!({
        "document": {
            "filename": name,
            "md_content": text(formats.markdown, "markdown")?,
            "json_content": document,
            "html_content": text(formats.html, "html")?,
            "text_content": text(formats.text, "text")?,
            "doctags_content": null,
        },
        "status": "success",
        "errors": [],
        "processing_time": (reading.result.total.as_secs_f64() * 1e3).round() / 1e3,
        "timings": {},
    }))
}

fn written(reading: &Reading, format: &dyn Format) -> Result<Vec<u8>, ExportError> {
    let (result, selected) = (&reading.result, reading.result.selected());
    let pages: Vec<PageView<'_>> = result.pages.iter().map(|page| page.view()).collect();
    format.document(&result.view(&selected), &pages)
}
