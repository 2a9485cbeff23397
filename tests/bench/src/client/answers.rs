//! Results that the benchmarks read: pages of documents, text, times, and the runs that `explain=true` lists.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use xtask::gateway::{Gateway, Upload};

/// Reads documents as one batch and returns the events of their pages; a failed page or document is an error.
pub fn pages(gateway: &Gateway, uploads: &[Upload], query: &str) -> Result<Vec<Value>> {
    let mut pages = Vec::new();
    gateway.batch(uploads, query, |event| {
        match event["event"].as_str() {
            Some("page") => pages.push(event),
            Some("page_error" | "document_error") => bail!("a page was not read: {}", event["error"]),
            _ => {}
        }
        Ok(())
    })?;
    Ok(pages)
}

/// Returns the text of a page of a response or an event; of a failed page, its code.
pub fn text(page: &Value) -> String {
    match page["text"].as_str() {
        Some(text) => text.to_owned(),
        None => page["error"]["code"].to_string(),
    }
}

/// Returns text and confidence of a page's lines.
pub fn lines(page: &Value) -> Result<Vec<(String, f64)>> {
    let line = |line: &Value| Some((line["text"].as_str()?.to_owned(), line["confidence"].as_f64()?));
    let lines = page["lines"].as_array().context("a page without lines")?;
    lines.iter().map(line).collect::<Option<_>>().context("a line without text or confidence")
}

/// Adds the times of a page to those of the stages, in milliseconds; a stage listed by part counts as their sum.
pub fn add_stages(page: &Value, stages_ms: &mut BTreeMap<String, f64>) {
    for (stage, time) in page["timing_ms"].as_object().into_iter().flatten() {
        let parts = time.as_object().into_iter().flatten().filter_map(|(_, ms)| ms.as_f64());
        let ms = time.as_f64().unwrap_or_else(|| parts.sum());
        *stages_ms.entry(stage.clone()).or_default() += ms;
    }
}

/// A run of a model that included items of a page.
#[derive(Deserialize)]
pub struct Run {
    pub model: String,
    pub provider: String,
    pub precision: String,
    /// Shape of one row.
    pub bucket: Vec<Value>,
    pub batch: Batch,
}

/// The items of a run.
#[derive(Deserialize)]
pub struct Batch {
    /// Number of the run, from 1; 0: an item that ran alone after its batch had failed.
    pub run: u64,
    pub rows: u64,
    pub items: u64,
    pub tenants: u64,
}

/// Returns the runs of a page requested with `explain=true`.
pub fn runs(page: &Value) -> Result<Vec<Run>> {
    Vec::deserialize(&page["explain"]["runs"]).context("a page does not list its runs")
}
