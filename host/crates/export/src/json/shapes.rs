//! The shapes of a page: lines, words, blocks, tables, findings, and the explanation of its times.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use lector_core::call::RunRecord;
use lector_core::{
    Block, BlockKind, Cell, Direction, Fault, Finding, Line, LineSource, PageView, Quad, Timing, Transcript,
    Word,
};
use serde::{Serialize, Serializer};

use super::values::{FaultShape, Properties, TimingShape, confidence, ms, properties, tenth};

/// The JSON form of a page, read or failed. `page` counts from 1.
#[derive(Debug, Serialize)]
pub struct Page<'a> {
    page: u64,
    #[serde(flatten)]
    outcome: Outcome<'a>,
    timing_ms: TimingShape<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Explain<'a>>,
}

impl<'a> From<PageView<'a>> for Page<'a> {
    fn from(page: PageView<'a>) -> Self {
        let outcome = match page.outcome {
            Ok(transcript) => Outcome::Read(transcript.into()),
            Err(fault) => Outcome::Failed(fault.into()),
        };
        let timing_ms = page.timing.into();
        Self { page: u64::from(page.index) + 1, outcome, timing_ms, explain: explain(page.timing) }
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome<'a> {
    Read(Read<'a>),
    Failed(Failed<'a>),
}

#[derive(Debug, Serialize)]
struct Failed<'a> {
    error: FaultShape<'a>,
}

impl<'a> From<&'a Fault> for Failed<'a> {
    fn from(fault: &'a Fault) -> Self {
        Self { error: fault.into() }
    }
}

#[derive(Debug, Serialize)]
struct Read<'a> {
    size: SizeShape,
    dpi: f64,
    rotation: u32,
    text: String,
    lines: List<'a, Line, LineShape<'a>>,
    #[serde(skip_serializing_if = "List::is_empty")]
    blocks: List<'a, Block, BlockShape<'a>>,
    #[serde(skip_serializing_if = "List::is_empty")]
    findings: List<'a, Finding, FindingShape<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Properties<'a>>,
}

impl<'a> From<&'a Transcript> for Read<'a> {
    fn from(page: &'a Transcript) -> Self {
        Self {
            size: SizeShape { width: page.size.width, height: page.size.height },
            dpi: tenth(page.dpi),
            rotation: page.rotation.degrees(),
            text: page.text(),
            lines: List::of(&page.lines),
            blocks: List::of(&page.blocks),
            findings: List::of(&page.findings),
            warnings: &page.warnings,
            properties: page.properties.as_deref().map(properties),
        }
    }
}

#[derive(Debug, Serialize)]
struct SizeShape {
    width: u32,
    height: u32,
}

/// A list whose elements get their shape when they are serialized.
struct List<'a, T, S>(&'a [T], PhantomData<fn() -> S>);

impl<'a, T, S> List<'a, T, S> {
    fn of(items: &'a [T]) -> Self {
        Self(items, PhantomData)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: fmt::Debug, S> fmt::Debug for List<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a, T, S: From<&'a T> + Serialize> Serialize for List<'a, T, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_seq(self.0.iter().map(S::from))
    }
}

type Corners = [[f64; 2]; 4];

fn corners(quad: &Quad) -> Corners {
    quad.0.map(|point| [tenth(point.x), tenth(point.y)])
}

#[derive(Serialize)]
struct LineShape<'a> {
    text: &'a str,
    confidence: f64,
    quad: Corners,
    source: LineSource,
    #[serde(skip_serializing_if = "Direction::is_ltr")]
    direction: Direction,
    block_id: u32,
    #[serde(skip_serializing_if = "List::is_empty")]
    words: List<'a, Word, WordShape<'a>>,
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
            words: List::of(&line.words),
        }
    }
}

#[derive(Serialize)]
struct WordShape<'a> {
    text: &'a str,
    confidence: f64,
    quad: Corners,
}

impl<'a> From<&'a Word> for WordShape<'a> {
    fn from(word: &'a Word) -> Self {
        Self { text: &word.text, confidence: confidence(word.confidence), quad: corners(&word.quad) }
    }
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
    properties: Option<Properties<'a>>,
}

#[derive(Serialize)]
struct TableShape<'a> {
    rows: u32,
    columns: u32,
    cells: List<'a, Cell, CellShape<'a>>,
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
        let table = block.table.as_ref();
        Self {
            id: block.id,
            kind: &block.kind,
            quad: corners(&block.quad),
            confidence: confidence(block.confidence),
            table: table.map(|table| TableShape {
                rows: table.rows,
                columns: table.columns,
                cells: List::of(&table.cells),
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

/// The member `explain`, if the request asked for it.
#[derive(Debug, Serialize)]
struct Explain<'a> {
    revision: u32,
    queue_ms: f64,
    guest_ms: f64,
    guest_memory_bytes: u64,
    host_calls: u64,
    runs: List<'a, RunRecord, RunShape<'a>>,
    runs_omitted: u64,
}

#[derive(Serialize)]
struct RunShape<'a> {
    model: &'a str,
    provider: &'a str,
    precision: &'a str,
    batch: BatchShape,
    rows: u64,
    bucket: &'a [usize],
    padding: f64,
    queue_ms: f64,
    run_ms: f64,
}

#[derive(Serialize)]
struct BatchShape {
    run: u64,
    rows: u32,
    items: u32,
    tenants: u32,
}

impl<'a> From<&'a RunRecord> for RunShape<'a> {
    fn from(record: &'a RunRecord) -> Self {
        let batch = record.composition;
        Self {
            model: record.model.as_str(),
            provider: record.variant.0,
            precision: record.variant.1,
            batch: BatchShape {
                run: batch.run,
                rows: batch.rows,
                items: batch.items,
                tenants: batch.tenants,
            },
            rows: record.rows,
            bucket: &record.bucket,
            padding: confidence(record.padding),
            queue_ms: ms(record.queue),
            run_ms: ms(record.run),
        }
    }
}

fn explain(timing: &Timing) -> Option<Explain<'_>> {
    let explanation = timing.explanation.as_ref()?;
    let queue: Duration = timing.models.values().map(|model| model.queue).sum();
    Some(Explain {
        revision: explanation.revision,
        queue_ms: ms(queue),
        guest_ms: ms(timing.guest),
        guest_memory_bytes: timing.memory_bytes,
        host_calls: timing.host_calls,
        runs: List::of(&explanation.runs),
        runs_omitted: explanation.runs_omitted,
    })
}
