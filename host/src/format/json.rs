//! The JSON shapes of lines, pages, faults and documents. Coordinates are in pixels of the page image, rounded to a
//! tenth; confidences are rounded to four decimals; times are in milliseconds.

use std::time::Duration;

use lector_core::call::RunRecord;
use lector_core::port::BatchComposition;
use lector_core::{
    Blame, Block, BlockKind, Cell, Direction, Fault, Finding, Line, LineSource, Quad, Timing, Transcript,
    Word,
};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use lector_serving::{DocumentResult, PageResult};

/// The JSON form of a page, read or failed. It is serialized directly from the result, because a tree of
/// [`Value`]s takes ten times the memory.
#[derive(Debug)]
pub struct Page<'a>(pub &'a PageResult);

/// The JSON form of a document. `text` is the summary of the guest if there is one, otherwise the texts of the pages.
#[derive(Debug)]
pub struct Document<'a>(pub &'a DocumentResult);

impl Serialize for Page<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let PageResult { index, outcome, timing } = self.0;
        page_members(&mut map, *index, outcome.as_ref().map(|page| &***page), timing)?;
        map.end()
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        members(&mut map, &facts(self.0))?;
        map.serialize_entry("text", &super::text::document(self.0))?;
        members(&mut map, &summary(self.0))?;
        map.serialize_entry("pages", &Seq(|| self.0.pages.iter().map(Page)))?;
        map.end()
    }
}

/// A sequence whose elements are created during serialization.
struct Seq<F>(F);

impl<F: Fn() -> I, I: IntoIterator<Item: Serialize>> Serialize for Seq<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

fn members<M: SerializeMap>(map: &mut M, members: &Map<String, Value>) -> Result<(), M::Error> {
    members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))
}

/// Writes the members of a page, read or failed. `index` counts from 0, `page` in the output from 1.
pub(super) fn page_members<M: SerializeMap>(
    map: &mut M,
    index: u32,
    outcome: Result<&Transcript, &Fault>,
    timing: &Timing,
) -> Result<(), M::Error> {
    map.serialize_entry("page", &(u64::from(index) + 1))?;
    match outcome {
        Ok(transcript) => transcript_members(map, transcript)?,
        Err(fault) => map.serialize_entry("error", &self::fault(fault))?,
    }
    map.serialize_entry("timing_ms", &self::timing(timing))?;
    match explain(timing) {
        Some(explanation) => map.serialize_entry("explain", &explanation),
        None => Ok(()),
    }
}

fn transcript_members<M: SerializeMap>(map: &mut M, page: &Transcript) -> Result<(), M::Error> {
    map.serialize_entry("size", &json!({ "width": page.size.width, "height": page.size.height }))?;
    map.serialize_entry("dpi", &tenth(page.dpi))?;
    map.serialize_entry("rotation", &page.rotation.degrees())?;
    map.serialize_entry("text", &page.text())?;
    map.serialize_entry("lines", &Seq(|| page.lines.iter().map(LineShape::from)))?;
    if !page.blocks.is_empty() {
        map.serialize_entry("blocks", &Seq(|| page.blocks.iter().map(BlockShape::from)))?;
    }
    if !page.findings.is_empty() {
        map.serialize_entry("findings", &Seq(|| page.findings.iter().map(FindingShape::from)))?;
    }
    if !page.warnings.is_empty() {
        map.serialize_entry("warnings", &page.warnings)?;
    }
    match &page.properties {
        Some(json) => map.serialize_entry("properties", &properties(json)),
        None => Ok(()),
    }
}

type Corners = [[f64; 2]; 4];

#[derive(Serialize)]
struct LineShape<'a> {
    text: &'a str,
    confidence: f64,
    quad: Corners,
    source: LineSource,
    #[serde(skip_serializing_if = "Direction::is_ltr")]
    direction: Direction,
    block_id: u32,
    #[serde(skip_serializing_if = "<[Word]>::is_empty", serialize_with = "words")]
    words: &'a [Word],
}

impl<'a> From<&'a Line> for LineShape<'a> {
    fn from(line: &'a Line) -> Self {
        Self {
            text: &line.text,
            confidence: confidence(line.confidence),
            quad: corners(&line.quad),
            source: line.source,
            direction: line.direction,
            block_id: line.block_id,
            words: &line.words,
        }
    }
}

fn words<S: Serializer>(words: &[Word], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shape<'a> {
        text: &'a str,
        confidence: f64,
        quad: Corners,
    }
    serializer.collect_seq(words.iter().map(|word| Shape {
        text: &word.text,
        confidence: confidence(word.confidence),
        quad: corners(&word.quad),
    }))
}

#[derive(Serialize)]
struct FindingShape<'a> {
    kind: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    confidence: f64,
    lines: &'a [u32],
    quad: Corners,
}

impl<'a> From<&'a Finding> for FindingShape<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            kind: &finding.kind,
            text: &finding.text,
            value: finding.value.as_deref(),
            confidence: confidence(finding.confidence),
            lines: &finding.lines,
            quad: corners(&finding.quad),
        }
    }
}

/// The JSON form of a block. `kind` is flattened: the members are `kind`, and `level` or `name`.
#[derive(Serialize)]
struct BlockShape<'a> {
    id: u32,
    #[serde(flatten)]
    kind: &'a BlockKind,
    quad: Corners,
    confidence: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<TableShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Value>,
}

#[derive(Serialize)]
struct TableShape<'a> {
    rows: u32,
    columns: u32,
    cells: Vec<CellShape<'a>>,
}

#[derive(Serialize)]
struct CellShape<'a> {
    row: u32,
    column: u32,
    row_span: u32,
    column_span: u32,
    header: bool,
    quad: Corners,
    text: &'a str,
    lines: &'a [u32],
}

impl<'a> From<&'a Block> for BlockShape<'a> {
    fn from(block: &'a Block) -> Self {
        Self {
            id: block.id,
            kind: &block.kind,
            quad: corners(&block.quad),
            confidence: confidence(block.confidence),
            table: block.table.as_ref().map(|table| TableShape {
                rows: table.rows,
                columns: table.columns,
                cells: table.cells.iter().map(CellShape::from).collect(),
            }),
            properties: block.properties.as_deref().map(properties),
        }
    }
}

impl<'a> From<&'a Cell> for CellShape<'a> {
    fn from(cell: &'a Cell) -> Self {
        Self {
            row: cell.row,
            column: cell.column,
            row_span: cell.row_span,
            column_span: cell.column_span,
            header: cell.header,
            quad: corners(&cell.quad),
            text: &cell.text,
            lines: &cell.lines,
        }
    }
}

/// Returns the member `explain` if the request asked for it.
fn explain(timing: &Timing) -> Option<Value> {
    let explanation = timing.explanation.as_ref()?;
    let queue: Duration = timing.models.values().map(|model| model.queue).sum();
    let run = |record: &RunRecord| {
        let BatchComposition { run, rows, items, tenants } = record.composition;
        json!({
            "model": record.model, "provider": record.variant.0, "precision": record.variant.1,
            "batch": { "run": run, "rows": rows, "items": items, "tenants": tenants },
            "rows": record.rows, "bucket": record.bucket, "padding": confidence(record.padding),
            "queue_ms": ms(record.queue), "run_ms": ms(record.run),
        })
    };
    Some(json!({
        "revision": explanation.revision, "queue_ms": ms(queue), "guest_ms": ms(timing.guest),
        "guest_memory_bytes": timing.memory_bytes, "host_calls": timing.host_calls,
        "runs": explanation.runs.iter().map(run).collect::<Vec<_>>(), "runs_omitted": explanation.runs_omitted,
    }))
}

/// Returns the public JSON form of a fault. Its detail is only in the log.
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

/// Returns the JSON form of a document that failed as a whole.
pub fn document_error(name: Option<&str>, fault: &Fault) -> Value {
    let mut out = json!({});
    if let Some(name) = name {
        put(&mut out, "name", name.into());
    }
    put(&mut out, "error", self::fault(fault));
    out
}

/// Returns the members of a document that precede `text`.
pub(super) fn facts(result: &DocumentResult) -> Map<String, Value> {
    let name = result.name.as_deref().map(|name| ("name", name.into()));
    let members = [("request_id", result.request.as_str().into())].into_iter().chain(name).chain([
        ("deployment", result.deployment.as_str().into()),
        ("content_type", result.content_type.into()),
        ("page_count", result.page_count.into()),
        ("pages_ok", result.pages_ok.into()),
        ("pages_failed", result.pages_failed.into()),
        ("total_ms", ms(result.total)),
    ]);
    members.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns `properties` of the summary, and `summary_error` if the summary failed.
pub(super) fn summary(result: &DocumentResult) -> Map<String, Value> {
    let json = result.summary.as_ref().and_then(|summary| summary.properties.as_deref());
    let additions = json.map(|json| ("properties".to_owned(), properties(json)));
    let error = result.summary_fault.as_ref().map(|fault| ("summary_error".to_owned(), self::fault(fault)));
    additions.into_iter().chain(error).collect()
}

/// Returns the times of a page in milliseconds. The parts overlap; only `total` is elapsed time.
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

/// Parses the properties that a guest added. The runtime has checked that they are a JSON object.
pub(super) fn properties(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| Value::from(json))
}

fn corners(quad: &Quad) -> Corners {
    quad.0.map(|point| [tenth(point.x), tenth(point.y)])
}

/// Rounds to one decimal.
fn tenth(value: f32) -> f64 {
    (f64::from(value) * 10.0).round() / 10.0
}

/// Rounds to four decimals.
fn confidence(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}

/// Returns a time in milliseconds, rounded to a thousandth.
pub fn ms(time: Duration) -> Value {
    json!((time.as_secs_f64() * 1e6).round() / 1e3)
}

/// Adds a member to an object.
pub(super) fn put(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(key.to_owned(), value);
    }
}
