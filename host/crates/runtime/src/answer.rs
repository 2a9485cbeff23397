//! Validation of guest answers before any other code uses them: values are finite, in range, and within the budget.

use std::collections::HashSet;

use lector_core::{
    BlockKind, ConfigError, Fault, Kind, OptionsSchema, PipelineInfo, Quad, Summary, Table, Transcript,
    check_json, json_depth,
};

use crate::log::printable;

/// Maximum lines of one page; the densest real page has about 2,000.
const LINES_MAX: usize = 100_000;
/// Maximum words of one page.
const WORDS_MAX: usize = 500_000;
/// Maximum findings of one page.
const FINDINGS_MAX: usize = 100_000;
/// Maximum warnings of one page.
const WARNINGS_MAX: usize = 1_000;
/// Maximum blocks of one page.
const BLOCKS_MAX: usize = 100_000;
/// Maximum cells of all tables of a page, and maximum slots of one grid.
const CELLS_MAX: usize = 200_000;
/// Maximum nesting depth of a guest's own JSON.
const PROPERTIES_DEPTH_MAX: usize = 32;
/// Bytes counted for a line, a word or a finding in addition to its text: its numbers and separators in an answer.
const RECORD_BYTES: u64 = 64;
/// Tolerance for rounding errors of a probability.
const CONFIDENCE_SLACK: f32 = 1e-3;
/// Maximum models, batching hints and features of a pipeline info.
const DECLARED_MAX: usize = 64;
/// Maximum length of a name in a pipeline info, and of a config error, in bytes.
const NAME_BYTES_MAX: usize = 256;
const COMPLAINT_BYTES_MAX: usize = 4096;
/// Maximum length of the message of a guest's error, in bytes; the rest is cut off.
const MESSAGE_BYTES_MAX: usize = 2048;

fn invalid(message: String) -> Fault {
    Fault::new(
        Kind::GuestFault,
        "guest_answer_invalid",
        format!("the guest's answer is malformed: {message}"),
    )
}

fn too_large(bytes: u64, max: u64) -> Fault {
    Fault::new(
        Kind::GuestFault,
        "guest_result_too_large",
        format!("the guest's answer has {bytes} bytes, more than the {max} of its budget"),
    )
}

/// Counter of the bytes of an answer.
struct Size {
    bytes: u64,
    max: u64,
}

impl Size {
    fn add(&mut self, text: &str) -> Result<(), Fault> {
        self.bytes = self.bytes.saturating_add(text.len() as u64).saturating_add(RECORD_BYTES);
        if self.bytes > self.max { Err(too_large(self.bytes, self.max)) } else { Ok(()) }
    }
}

/// Reads the schema of the guest's options.
pub fn options_schema(text: &str) -> Result<OptionsSchema, Fault> {
    OptionsSchema::parse(text).map_err(|error| {
        invalid(format!("the schema of its options is refused {}", message(&error.to_string())))
    })
}

/// Validates a page. Confidences outside of their range by a rounding error are clamped.
pub fn transcript(mut page: Transcript, bytes_max: u64) -> Result<Transcript, Fault> {
    if !page.dpi.is_finite() || page.dpi <= 0.0 {
        return Err(invalid(format!("a resolution of {} dpi", page.dpi)));
    }
    if page.size.pixels() == 0 {
        return Err(invalid("a page image without pixels".into()));
    }
    few("lines", page.lines.len(), LINES_MAX)?;
    few("words", page.lines.iter().map(|line| line.words.len()).sum(), WORDS_MAX)?;
    few("findings", page.findings.len(), FINDINGS_MAX)?;
    few("warnings", page.warnings.len(), WARNINGS_MAX)?;
    let mut size = Size { bytes: 0, max: bytes_max };
    for (index, line) in page.lines.iter_mut().enumerate() {
        size.add(&line.text)?;
        let place = || format!("line {index}");
        finite(line.quad, place)?;
        line.confidence = probability(line.confidence, place)?;
        for word in &mut line.words {
            size.add(&word.text)?;
            finite(word.quad, || format!("a word of line {index}"))?;
            word.confidence = probability(word.confidence, || format!("a word of line {index}"))?;
        }
    }
    blocks(&mut page, &mut size)?;
    findings(&mut page, &mut size)?;
    properties(page.properties.as_deref(), &mut size, || "the page".to_owned())?;
    for warning in &page.warnings {
        size.add(warning)?;
    }
    Ok(page)
}

/// Checks blocks and tables: unique ids, confidences, positions, cells that lie inside their grid and do not overlap,
/// and indices of existing lines.
fn blocks(page: &mut Transcript, size: &mut Size) -> Result<(), Fault> {
    few("blocks", page.blocks.len(), BLOCKS_MAX)?;
    let cells =
        page.blocks.iter().filter_map(|block| block.table.as_ref()).map(|table| table.cells.len()).sum();
    few("cells", cells, CELLS_MAX)?;
    let mut ids = HashSet::with_capacity(page.blocks.len());
    let lines = page.lines.len();
    for block in &mut page.blocks {
        let id = block.id;
        let place = || format!("block {id}");
        if !ids.insert(id) {
            return Err(invalid(format!("two blocks with id {id}")));
        }
        if let BlockKind::Other { name } = &block.kind {
            size.add(name)?;
        }
        finite(block.quad, place)?;
        block.confidence = probability(block.confidence, place)?;
        properties(block.properties.as_deref(), size, place)?;
        match (&block.kind, &block.table) {
            (BlockKind::Table, Some(found)) => table(found, id, lines, size)?,
            (_, Some(_)) => return Err(invalid(format!("block {id} has cells but is not a table"))),
            (_, None) => {}
        }
    }
    Ok(())
}

fn table(table: &Table, id: u32, lines: usize, size: &mut Size) -> Result<(), Fault> {
    let slots = u64::from(table.rows) * u64::from(table.columns);
    if slots > CELLS_MAX as u64 {
        return Err(invalid(format!("table {id} has {} x {} cells", table.rows, table.columns)));
    }
    let mut taken = vec![false; slots as usize];
    for cell in &table.cells {
        let place = || format!("cell ({}, {}) of table {id}", cell.row, cell.column);
        size.add(&cell.text)?;
        finite(cell.quad, place)?;
        known_lines(&cell.lines, lines, place)?;
        let ends = (
            cell.row.checked_add(cell.row_span).filter(|end| cell.row_span > 0 && *end <= table.rows),
            cell.column
                .checked_add(cell.column_span)
                .filter(|end| cell.column_span > 0 && *end <= table.columns),
        );
        let (Some(last_row), Some(last_column)) = ends else {
            return Err(invalid(format!(
                "{} reaches beyond its {} x {} grid",
                place(),
                table.rows,
                table.columns
            )));
        };
        for row in cell.row..last_row {
            for column in cell.column..last_column {
                let slot = row as usize * table.columns as usize + column as usize;
                match taken.get_mut(slot) {
                    Some(slot) if !*slot => *slot = true,
                    _ => return Err(invalid(format!("{} overlaps another one", place()))),
                }
            }
        }
    }
    Ok(())
}

fn findings(page: &mut Transcript, size: &mut Size) -> Result<(), Fault> {
    let lines = page.lines.len();
    for (index, finding) in page.findings.iter_mut().enumerate() {
        let place = || format!("finding {index}");
        size.add(&finding.text)?;
        size.add(&finding.kind)?;
        size.add(finding.value.as_deref().unwrap_or_default())?;
        finite(finding.quad, place)?;
        finding.confidence = probability(finding.confidence, place)?;
        if finding.lines.is_empty() {
            return Err(invalid(format!("finding {index} is in no line")));
        }
        known_lines(&finding.lines, lines, place)?;
    }
    Ok(())
}

fn known_lines(indices: &[u32], lines: usize, place: impl Fn() -> String) -> Result<(), Fault> {
    few("lines", indices.len(), LINES_MAX)?;
    match indices.iter().find(|index| **index as usize >= lines) {
        Some(index) => Err(invalid(format!("{} is in line {index}, there are {lines}", place()))),
        None => Ok(()),
    }
}

/// Checks the guest's properties: a JSON object of bounded depth, so that every later reader can parse it. Parses no value: a
/// tree of values takes many times the bytes that the budget counts.
fn properties(json: Option<&str>, size: &mut Size, place: impl Fn() -> String) -> Result<(), Fault> {
    let Some(json) = json else { return Ok(()) };
    size.add(json)?;
    let why = if json_depth(json.as_bytes()) > PROPERTIES_DEPTH_MAX {
        format!("nested deeper than {PROPERTIES_DEPTH_MAX}")
    } else {
        match check_json(json) {
            Ok(()) if json.trim_start().starts_with('{') => return Ok(()),
            Ok(()) => "not a JSON object".to_owned(),
            Err(error) => format!("not valid JSON: {error}"),
        }
    };
    Err(invalid(format!("the properties of {} are {why}", place())))
}

/// Validates the summary of a document.
pub fn summary(summary: Summary, bytes_max: u64) -> Result<Summary, Fault> {
    let mut size = Size { bytes: 0, max: bytes_max };
    size.add(&summary.text)?;
    properties(summary.properties.as_deref(), &mut size, || "the document".to_owned())?;
    Ok(summary)
}

/// Validates a pipeline info: short lists of short names, and at most one batching hint for each model that it names.
pub fn pipeline_info(pipeline_info: PipelineInfo) -> Result<PipelineInfo, Fault> {
    few("models", pipeline_info.models.len(), DECLARED_MAX)?;
    few("batching hints", pipeline_info.batching.len(), DECLARED_MAX)?;
    few("features", pipeline_info.features.len(), DECLARED_MAX)?;
    for name in pipeline_info.models.iter().chain(&pipeline_info.features) {
        if name.len() > NAME_BYTES_MAX {
            return Err(invalid(format!("a name of {} bytes in its pipeline info", name.len())));
        }
        let shown = printable(name, NAME_BYTES_MAX);
        if shown != *name {
            return Err(invalid(format!("a name with control characters in its pipeline info: {shown}")));
        }
    }
    for (index, hint) in pipeline_info.batching.iter().enumerate() {
        if !pipeline_info.models.contains(&hint.model) {
            return Err(invalid(format!(
                "a batching hint for `{}`, which it does not open",
                printable(&hint.model, 64)
            )));
        }
        if pipeline_info.batching.iter().take(index).any(|other| other.model == hint.model) {
            return Err(invalid(format!("two batching hints for `{}`", printable(&hint.model, 64))));
        }
        few("preferred widths", hint.preferred_widths.len(), DECLARED_MAX)?;
    }
    Ok(pipeline_info)
}

/// Makes a config error readable: one line each, cut.
pub fn config_error(config_error: ConfigError) -> ConfigError {
    ConfigError {
        pointer: printable(&config_error.pointer, COMPLAINT_BYTES_MAX),
        message: printable(&config_error.message, COMPLAINT_BYTES_MAX),
    }
}

/// Makes a message readable: one line, cut.
pub fn message(text: &str) -> String {
    printable(text, MESSAGE_BYTES_MAX)
}

fn few(what: &str, count: usize, max: usize) -> Result<(), Fault> {
    if count > max { Err(invalid(format!("{count} {what}, at most {max} are allowed"))) } else { Ok(()) }
}

fn finite(quad: Quad, place: impl Fn() -> String) -> Result<(), Fault> {
    if quad.is_finite() { Ok(()) } else { Err(invalid(format!("{} has no finite position", place()))) }
}

fn probability(value: f32, place: impl Fn() -> String) -> Result<f32, Fault> {
    if (-CONFIDENCE_SLACK..=1.0 + CONFIDENCE_SLACK).contains(&value) {
        Ok(value.clamp(0.0, 1.0))
    } else {
        Err(invalid(format!("{} has a confidence of {value}", place())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use lector_core::{Block, Cell, Direction, Finding, Line, LineSource, Point, Rotation};

    fn page(change: impl FnOnce(&mut Transcript)) -> Result<Transcript, Fault> {
        let line = Line {
            text: "text".into(),
            confidence: 1.0,
            quad: Quad::default(),
            words: Vec::new(),
            source: LineSource::Ocr,
            direction: Direction::Ltr,
            block_id: 0,
        };
        let cell = |row, column| Cell {
            row,
            column,
            row_span: 1,
            column_span: 1,
            header: false,
            quad: Quad::default(),
            text: "c".into(),
            lines: vec![0],
        };
        let table = Table { rows: 2, columns: 2, cells: vec![cell(0, 0), cell(1, 1)] };
        let block = Block {
            id: 0,
            kind: BlockKind::Table,
            quad: Quad::default(),
            confidence: 1.0,
            table: Some(table),
            properties: None,
        };
        let mut page = Transcript {
            size: lector_core::Size { width: 10, height: 10 },
            dpi: 72.0,
            rotation: Rotation::None,
            lines: vec![line],
            blocks: vec![block],
            findings: vec![Finding {
                kind: "k".into(),
                text: "t".into(),
                value: None,
                confidence: 1.0,
                lines: vec![0],
                quad: Quad::default(),
            }],
            warnings: Vec::new(),
            properties: Some("{}".into()),
        };
        change(&mut page);
        transcript(page, 2000)
    }

    fn grid(page: &mut Transcript) -> &mut Table {
        page.blocks[0].table.as_mut().unwrap()
    }

    #[test]
    fn only_sound_pages_pass() {
        let check = |change: fn(&mut Transcript), code: Option<&str>| {
            assert_eq!(page(change).err().map(|fault| fault.code), code);
        };
        let bad = Some("guest_answer_invalid");
        check(|_| {}, None);
        check(|p| p.dpi = f32::NAN, bad);
        check(|p| p.size.width = 0, bad);
        check(|p| p.lines[0].quad.0[1] = Point { x: f32::INFINITY, y: 0.0 }, bad);
        check(|p| p.lines[0].confidence = f32::NAN, bad);
        check(|p| p.lines[0].confidence = 1.2, bad);
        check(|p| p.findings[0].lines = vec![1], bad);
        check(|p| p.findings[0].lines = vec![], bad);
        check(|p| p.findings[0].confidence = -1.0, bad);
        check(|p| p.blocks[0].confidence = 2.0, bad);
        check(|p| p.blocks.push(p.blocks[0].clone()), bad);
        check(|p| p.blocks[0].kind = BlockKind::Text, bad);
        check(|p| grid(p).cells[1].row_span = 2, bad);
        check(|p| grid(p).cells[1].row = u32::MAX, bad);
        check(|p| grid(p).cells[1].column_span = 0, bad);
        check(|p| (grid(p).cells[0].row_span, grid(p).cells[0].column_span) = (2, 2), bad);
        check(|p| grid(p).rows = u32::MAX, bad);
        check(|p| grid(p).cells[0].lines = vec![7], bad);
        check(|p| p.properties = Some("[]".into()), bad);
        check(|p| p.properties = Some("{".into()), bad);
        check(|p| p.properties = Some(format!("{{\"a\":{}{}}}", "[".repeat(31), "]".repeat(31))), None);
        check(|p| p.properties = Some(format!("{{\"a\":{}{}}}", "[".repeat(33), "]".repeat(33))), bad);
        check(|p| p.properties = Some("{\"a\":1e999}".into()), bad);
        check(|p| p.properties = Some("{\"a\":\"\\ud800\"}".into()), bad);
        check(|p| p.blocks[0].properties = Some("1".into()), bad);
        check(|p| p.findings[0].quad.0[0].y = f32::NAN, bad);
        check(|p| p.warnings = vec![String::new(); WARNINGS_MAX + 1], bad);
        check(|p| p.lines[0].text = "x".repeat(2000), Some("guest_result_too_large"));
        assert_eq!(page(|p| p.lines[0].confidence = 1.0005).unwrap().lines[0].confidence, 1.0);
    }
}
