//! The JSON shapes of lines, pages, faults and documents. Coordinates are pixels of the page image,
//! rounded to a tenth; confidences are rounded to four digits; times are milliseconds.

use std::time::Duration;

use lector_core::call::RunNote;
use lector_core::port::Company;
use lector_core::{Blame, Block, Cell, Fault, Finding, Line, Quad, Timing, Transcript, Word};
use serde_json::{Map, Value, json};

use super::{DocumentResult, PageResult};

/// A page as it was answered: [`page`] or [`page_error`].
pub fn page_result(result: &PageResult) -> Value {
    match &result.outcome {
        Ok(transcript) => page(result.index, transcript, &result.timing),
        Err(fault) => page_error(result.index, fault, &result.timing),
    }
}

/// A page that was read. `index` counts from 0, the `page` in the answer from 1.
pub fn page(index: u32, transcript: &Transcript, timing: &Timing) -> Value {
    let mut out = json!({
        "page": u64::from(index) + 1,
        "size": { "width": transcript.size.width, "height": transcript.size.height },
        "dpi": tenth(transcript.dpi),
        "turn": transcript.turn.degrees(),
        "text": transcript.text(),
        "lines": transcript.lines.iter().map(line).collect::<Vec<_>>(),
    });
    if !transcript.blocks.is_empty() {
        put(&mut out, "blocks", transcript.blocks.iter().map(block).collect::<Vec<_>>().into());
    }
    if !transcript.findings.is_empty() {
        put(&mut out, "findings", transcript.findings.iter().map(finding).collect::<Vec<_>>().into());
    }
    if !transcript.warnings.is_empty() {
        put(&mut out, "warnings", transcript.warnings.clone().into());
    }
    if let Some(json) = &transcript.properties {
        put(&mut out, "properties", properties(json));
    }
    put(&mut out, "timing_ms", self::timing(timing));
    explain(&mut out, timing);
    out
}

/// A page that was not read.
pub fn page_error(index: u32, fault: &Fault, timing: &Timing) -> Value {
    let mut out = json!({ "page": u64::from(index) + 1, "error": self::fault(fault), "timing_ms": self::timing(timing) });
    explain(&mut out, timing);
    out
}

/// How a page came to be, where that was asked for.
fn explain(out: &mut Value, timing: &Timing) {
    let Some(explanation) = &timing.explanation else { return };
    let queue: Duration = timing.models.values().map(|model| model.queue).sum();
    let run = |note: &RunNote| {
        let Company { run, rows, items, tenants } = note.company;
        json!({
            "model": note.model, "provider": note.rung.0, "precision": note.rung.1,
            "batch": { "run": run, "rows": rows, "items": items, "tenants": tenants },
            "rows": note.rows, "bucket": note.bucket, "padding": confidence(note.padding),
            "queue_ms": ms(note.queue), "run_ms": ms(note.run),
        })
    };
    let told = json!({
        "revision": explanation.revision, "queue_ms": ms(queue), "guest_ms": ms(timing.guest),
        "guest_memory_bytes": timing.memory_bytes, "host_calls": timing.host_calls,
        "runs": explanation.runs.iter().map(run).collect::<Vec<_>>(), "runs_left_out": explanation.runs_left_out,
    });
    put(out, "explain", told);
}

/// A fault as clients see it; its detail stays in the log.
pub fn fault(fault: &Fault) -> Value {
    let blame = match fault.blame {
        Blame::Client => "client",
        Blame::Guest => "guest",
        Blame::Host => "host",
    };
    let mut out = json!({ "code": fault.code, "message": fault.message, "blame": blame });
    if let Some(code) = &fault.guest_code {
        put(&mut out, "guest_code", code.as_ref().into());
    }
    if let Some(after) = fault.retry_after {
        put(&mut out, "retry_after_s", json!(after.as_secs_f64().ceil()));
    }
    out
}

/// A whole document. `text` is the guest's summary where there is one, else the pages' texts.
pub fn document(result: &DocumentResult) -> Value {
    let mut out = head(result);
    put(&mut out, "pages", result.pages.iter().map(page_result).collect::<Vec<_>>().into());
    out
}

/// A document that failed as a whole.
pub fn document_error(name: Option<&str>, fault: &Fault) -> Value {
    let mut out = json!({});
    if let Some(name) = name {
        put(&mut out, "name", name.into());
    }
    put(&mut out, "error", self::fault(fault));
    out
}

/// A document without its pages: for those who have them already.
pub fn head(result: &DocumentResult) -> Value {
    let mut out = json!({ "request_id": result.request.as_str() });
    if let Some(name) = &result.name {
        put(&mut out, "name", name.as_str().into());
    }
    put(&mut out, "deployment", result.deployment.as_str().into());
    put(&mut out, "content_type", result.content_type.into());
    put(&mut out, "page_count", result.page_count.into());
    put(&mut out, "pages_ok", result.pages_ok.into());
    put(&mut out, "pages_failed", result.pages_failed.into());
    put(&mut out, "total_ms", ms(result.total));
    put(&mut out, "text", super::text::document(result).into());
    if let Some(json) = result.summary.as_ref().and_then(|summary| summary.properties.as_deref()) {
        put(&mut out, "properties", properties(json));
    }
    if let Some(fault) = &result.summary_fault {
        put(&mut out, "summary_error", self::fault(fault));
    }
    out
}

/// Where the time of a page went. The parts overlap; only `total` is a duration by the clock.
pub fn timing(timing: &Timing) -> Value {
    let queue: Duration = timing.models.values().map(|model| model.queue).sum();
    let inference: Map<String, Value> =
        timing.models.iter().map(|(name, model)| (name.to_string(), ms(model.run))).collect();
    let mut out = json!({
        "total": ms(timing.total),
        "start": ms(timing.start),
        "guest": ms(timing.guest),
        "render": ms(timing.render),
        "text_layer": ms(timing.text_layer),
        "image": ms(timing.image),
        "queue": ms(queue),
        "inference": inference,
    });
    if !timing.spans.is_empty() {
        let spans: Map<String, Value> =
            timing.spans.iter().map(|(name, (_, time))| (name.clone(), ms(*time))).collect();
        put(&mut out, "spans", spans.into());
    }
    out
}

/// The additions of a guest. The runtime checked that they are a JSON object.
pub(super) fn properties(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| Value::from(json))
}

fn line(line: &Line) -> Value {
    let mut out = json!({
        "text": line.text,
        "confidence": confidence(line.confidence),
        "quad": quad(&line.quad),
        "source": line.origin,
        "block": line.block,
    });
    if !line.direction.is_ltr() {
        put(&mut out, "direction", json!(line.direction));
    }
    if !line.words.is_empty() {
        put(&mut out, "words", line.words.iter().map(word).collect::<Vec<_>>().into());
    }
    out
}

fn word(word: &Word) -> Value {
    json!({ "text": word.text, "confidence": confidence(word.confidence), "quad": quad(&word.quad) })
}

fn finding(finding: &Finding) -> Value {
    let mut out = json!({
        "kind": finding.kind, "text": finding.text, "confidence": confidence(finding.confidence),
        "lines": finding.lines, "quad": quad(&finding.quad),
    });
    if let Some(value) = &finding.value {
        put(&mut out, "value", value.as_str().into());
    }
    out
}

fn block(block: &Block) -> Value {
    // The kind with what belongs to it: `kind`, and `level` or `name`.
    let mut out = json!(block.kind);
    put(&mut out, "id", block.id.into());
    put(&mut out, "quad", quad(&block.quad));
    put(&mut out, "confidence", confidence(block.confidence).into());
    if let Some(table) = &block.table {
        let cells: Vec<Value> = table.cells.iter().map(cell).collect();
        put(&mut out, "table", json!({ "rows": table.rows, "columns": table.columns, "cells": cells }));
    }
    if let Some(json) = &block.properties {
        put(&mut out, "properties", properties(json));
    }
    out
}

fn cell(cell: &Cell) -> Value {
    json!({
        "row": cell.row, "column": cell.column, "row_span": cell.row_span, "column_span": cell.column_span,
        "header": cell.header, "quad": quad(&cell.quad), "text": cell.text, "lines": cell.lines,
    })
}

fn quad(quad: &Quad) -> Value {
    quad.0.iter().map(|point| json!([tenth(point.x), tenth(point.y)])).collect::<Vec<_>>().into()
}

/// Rounded to one decimal.
fn tenth(value: f32) -> f64 {
    (f64::from(value) * 10.0).round() / 10.0
}

/// Rounded to four digits.
fn confidence(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}

/// Milliseconds to a thousandth.
pub fn ms(time: Duration) -> Value {
    json!((time.as_secs_f64() * 1e6).round() / 1e3)
}

/// Adds a member to an object.
pub(super) fn put(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(key.to_owned(), value);
    }
}
