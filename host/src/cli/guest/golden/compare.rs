//! What counts as a difference between what was expected and what was read, and how it is told.
//!
//! Lines are matched by their text (Myers' algorithm, crate `similar`). Lines that stayed are compared in place,
//! confidence and words; lines that went or came are told as a diff, and weighed by the characters they differ in.

use std::fmt::Write as _;

use anyhow::ensure;
use lector_core::{Block, BlockKind, Cell, Finding, Line, Quad, Transcript};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::expected::{Document, Expected, Page};

/// Above this many pairs of characters two stretches of text count as wholly different: nobody waits for the exact
/// figure, and nobody needs it.
const DISTANCE_PAIRS_MAX: usize = 100_000_000;
/// Differences that are told of one page; a page with more is another page.
const TOLD_MAX: usize = 40;

/// How far a reading may be from what is expected.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::cli::guest) struct Tolerance {
    /// Share of a page's characters that may differ.
    pub(in crate::cli::guest) characters: f64,
    /// Pixels by which a corner may be off.
    pub(in crate::cli::guest) position_px: f32,
    /// By which a confidence may be off.
    pub(in crate::cli::guest) confidence: f32,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { characters: 0.0, position_px: 3.0, confidence: 0.05 }
    }
}

impl Tolerance {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!((0.0..=1.0).contains(&self.characters), "tolerance.characters is a share: 0 to 1");
        ensure!(self.position_px >= 0.0, "tolerance.position_px is a distance: 0 or more");
        ensure!((0.0..=1.0).contains(&self.confidence), "tolerance.confidence lies between 0 and 1");
        Ok(())
    }
}

/// What came of a comparison.
#[derive(Debug, Default, PartialEq)]
pub(in crate::cli::guest) struct Comparison {
    /// Lines for people; empty: as expected.
    pub(in crate::cli::guest) report: String,
    /// Whether it is beyond the tolerance. A report without it tells what was tolerated.
    pub(in crate::cli::guest) differs: bool,
}

impl Comparison {
    fn beyond(&mut self, line: impl std::fmt::Display) {
        self.differs = true;
        let _ = writeln!(self.report, "{line}");
    }
}

/// Holds what was read against what was expected.
pub(in crate::cli::guest) fn compare(
    expected: &Expected,
    read: &Expected,
    tolerance: &Tolerance,
) -> Comparison {
    let mut told = Comparison::default();
    match (expected, read) {
        (Expected::Error(expected), Expected::Error(read)) if expected == read => {}
        (Expected::Error(expected), Expected::Error(read)) => {
            told.beyond(format_args!("fails with `{read}`, not with `{expected}`"));
        }
        (Expected::Error(expected), Expected::Document(_)) => {
            told.beyond(format_args!("is read; expected was the fault `{expected}`"));
        }
        (Expected::Document(_), Expected::Error(read)) => told.beyond(format_args!("fails with `{read}`")),
        (Expected::Document(expected), Expected::Document(read)) => {
            documents(expected, read, tolerance, &mut told);
        }
    }
    told
}

fn documents(expected: &Document, read: &Document, tolerance: &Tolerance, told: &mut Comparison) {
    if expected.pages.len() != read.pages.len() {
        told.beyond(format_args!("has {} pages, not {}", read.pages.len(), expected.pages.len()));
    }
    for (number, (expected, read)) in expected.pages.iter().zip(&read.pages).enumerate() {
        let mut of_page = Comparison::default();
        match (expected, read) {
            (Page::Error(expected), Page::Error(read)) if expected == read => {}
            (Page::Error(expected), Page::Error(read)) => {
                of_page.beyond(format_args!("fails with `{read}`, not with `{expected}`"));
            }
            (Page::Error(expected), Page::Transcript(_)) => {
                of_page.beyond(format_args!("is read; expected was the fault `{expected}`"));
            }
            (Page::Transcript(_), Page::Error(read)) => of_page.beyond(format_args!("fails with `{read}`")),
            (Page::Transcript(expected), Page::Transcript(read)) => {
                page(expected, read, tolerance, &mut of_page);
            }
        }
        told.differs |= of_page.differs;
        let count = of_page.report.lines().count();
        if count > 0 {
            let _ = writeln!(told.report, "page {}", number + 1);
        }
        for line in of_page.report.lines().take(TOLD_MAX) {
            let _ = writeln!(told.report, "  {line}");
        }
        if count > TOLD_MAX {
            let _ = writeln!(told.report, "  ... and {} lines more", count - TOLD_MAX);
        }
    }
    let of_document =
        |document: &Document| document.summary.as_ref().and_then(|summary| summary.properties.clone());
    let text = |document: &Document| document.summary.as_ref().map(|summary| summary.text.clone());
    properties("summary", of_document(expected).as_deref(), of_document(read).as_deref(), told);
    // Where pages may differ in letters the summary, which repeats them, differs as well.
    if text(expected) != text(read) && tolerance.characters == 0.0 && !told.differs {
        told.beyond(format_args!("summary: its text is {:?}, not {:?}", text(read), text(expected)));
    }
}

fn page(expected: &Transcript, read: &Transcript, tolerance: &Tolerance, told: &mut Comparison) {
    let off_px = |a: u32, b: u32| a.abs_diff(b) as f32 > tolerance.position_px;
    if off_px(expected.size.width, read.size.width) || off_px(expected.size.height, read.size.height) {
        told.beyond(format_args!(
            "is {} x {} px, not {} x {}",
            read.size.width, read.size.height, expected.size.width, expected.size.height
        ));
    }
    if (expected.dpi - read.dpi).abs() > 0.01 {
        told.beyond(format_args!("was read at {} dpi, not at {}", read.dpi, expected.dpi));
    }
    if expected.rotation != read.rotation {
        told.beyond(format_args!("was turned by {:?}, not by {:?}", read.rotation, expected.rotation));
    }
    lines(&expected.lines, &read.lines, tolerance, told);
    if expected.warnings != read.warnings {
        told.beyond(format_args!("warnings are {:?}, not {:?}", read.warnings, expected.warnings));
    }
    blocks(&expected.blocks, &read.blocks, tolerance, told);
    findings(&expected.findings, &read.findings, tolerance, told);
    properties("page", expected.properties.as_deref(), read.properties.as_deref(), told);
}

/// The additions of a guest, by their JSON value: the order of members is none of its results.
fn properties(of: &str, expected: Option<&str>, read: Option<&str>, told: &mut Comparison) {
    let value = |json: Option<&str>| json.map(|json| serde_json::from_str::<serde_json::Value>(json).ok());
    if value(expected) != value(read) {
        let shown = |json: Option<&str>| json.unwrap_or("none").to_owned();
        told.beyond(format_args!("{of}: properties are {}, not {}", shown(read), shown(expected)));
    }
}

fn findings(expected: &[Finding], read: &[Finding], tolerance: &Tolerance, told: &mut Comparison) {
    let shown = |found: &Finding| {
        let value = found.value.as_ref().map(|value| format!(" = `{value}`")).unwrap_or_default();
        format!("{} `{}`{value} in lines {:?}", found.kind, found.text, found.lines)
    };
    let (old, new): (Vec<_>, Vec<_>) =
        (expected.iter().map(shown).collect(), read.iter().map(shown).collect());
    if old != new {
        told.beyond(format_args!("findings are [{}], not [{}]", new.join("; "), old.join("; ")));
        return;
    }
    for (expected, read) in expected.iter().zip(read) {
        place(&expected.quad, &read.quad, &read.text, tolerance, told);
        confidence(&read.text, expected.confidence, read.confidence, tolerance, told);
    }
}

fn blocks(expected: &[Block], read: &[Block], tolerance: &Tolerance, told: &mut Comparison) {
    let shown = |block: &Block| {
        let kind = match &block.kind {
            BlockKind::Heading { level } => format!("Heading {level}"),
            BlockKind::Other { name } => format!("`{name}`"),
            kind => format!("{kind:?}"),
        };
        let table = block.table.as_ref().map(|table| {
            let cell = |cell: &Cell| {
                let Cell { row, column, row_span, column_span, text, .. } = cell;
                format!("({row}, {column}) {row_span} x {column_span} `{text}`")
            };
            let cells: Vec<String> = table.cells.iter().map(cell).collect();
            format!(" of {} x {}: {}", table.rows, table.columns, cells.join(", "))
        });
        format!("{} {kind}{}", block.id, table.unwrap_or_default())
    };
    let (old, new): (Vec<_>, Vec<_>) =
        (expected.iter().map(shown).collect(), read.iter().map(shown).collect());
    if old != new {
        told.beyond(format_args!("blocks are [{}], not [{}]", new.join("; "), old.join("; ")));
        return;
    }
    for (expected, read) in expected.iter().zip(read) {
        let name = format!("block {}", read.id);
        place(&expected.quad, &read.quad, &name, tolerance, told);
        confidence(&name, expected.confidence, read.confidence, tolerance, told);
        properties(&name, expected.properties.as_deref(), read.properties.as_deref(), told);
    }
}

fn confidence(of: &str, expected: f32, read: f32, tolerance: &Tolerance, told: &mut Comparison) {
    if (expected - read).abs() > tolerance.confidence {
        told.beyond(format_args!("`{of}`: confidence {read:.3}, not {expected:.3}"));
    }
}

fn lines(expected: &[Line], read: &[Line], tolerance: &Tolerance, told: &mut Comparison) {
    let texts = |lines: &[Line]| -> Vec<String> { lines.iter().map(|line| line.text.clone()).collect() };
    let (old, new) = (texts(expected), texts(read));
    let total: usize = old.iter().map(|text| text.chars().count()).sum();
    let mut changed = String::new();
    let mut distance = 0;
    let mut stayed = Comparison::default();
    for change in capture_diff_slices(Algorithm::Myers, &old, &new) {
        let (gone, come) = (change.old_range(), change.new_range());
        if let DiffOp::Equal { .. } = change {
            let pairs = expected.get(gone).into_iter().flatten().zip(read.get(come).into_iter().flatten());
            pairs.for_each(|(expected, read)| line(expected, read, tolerance, &mut stayed));
            continue;
        }
        let (gone, come) =
            (old.get(gone).unwrap_or_default().join("\n"), new.get(come).unwrap_or_default().join("\n"));
        distance += characters_off(&gone, &come);
        for (sign, text) in [('-', &gone), ('+', &come)] {
            text.lines().for_each(|line| {
                let _ = writeln!(changed, "{sign} {line}");
            });
        }
    }
    let share = distance as f64 / total.max(1) as f64;
    if share > tolerance.characters {
        told.differs = true;
    } else if distance > 0 {
        let _ = writeln!(changed, "(tolerated: {:.2} % of the characters differ)", share * 100.0);
    }
    told.report.push_str(&changed);
    told.differs |= stayed.differs;
    told.report.push_str(&stayed.report);
}

/// A line whose text is as expected.
fn line(expected: &Line, read: &Line, tolerance: &Tolerance, told: &mut Comparison) {
    place(&expected.quad, &read.quad, &read.text, tolerance, told);
    confidence(&read.text, expected.confidence, read.confidence, tolerance, told);
    if expected.direction != read.direction {
        told.beyond(format_args!("`{}`: runs {:?}, not {:?}", read.text, read.direction, expected.direction));
    }
    if expected.source != read.source {
        told.beyond(format_args!("`{}`: comes from {:?}, not {:?}", read.text, read.source, expected.source));
    }
    if expected.block_id != read.block_id {
        told.beyond(format_args!(
            "`{}`: is in block {}, not {}",
            read.text, read.block_id, expected.block_id
        ));
    }
    let words = |line: &Line| -> Vec<String> { line.words.iter().map(|word| word.text.clone()).collect() };
    if words(expected) != words(read) {
        told.beyond(format_args!("`{}`: words {:?}, not {:?}", read.text, words(read), words(expected)));
    } else {
        for (expected, read) in expected.words.iter().zip(&read.words) {
            place(&expected.quad, &read.quad, &read.text, tolerance, told);
        }
    }
}

fn place(expected: &Quad, read: &Quad, text: &str, tolerance: &Tolerance, told: &mut Comparison) {
    let distances = expected.0.iter().zip(&read.0).map(|(a, b)| (a.x - b.x).hypot(a.y - b.y));
    let off = distances.fold(0.0, f32::max);
    if off > tolerance.position_px {
        told.beyond(format_args!("`{text}`: a corner is off by {off:.1} px"));
    }
}

/// Characters that must change to make one text of the other (Levenshtein).
fn characters_off(old: &str, new: &str) -> usize {
    let (m, n) = (old.chars().count(), new.chars().count());
    if m.saturating_mul(n) > DISTANCE_PAIRS_MAX { m.max(n) } else { strsim::levenshtein(old, new) }
}

#[cfg(test)]
mod tests {
    use lector_core::{Direction, LineSource, Point, Rotation, Size, Summary, Table, Word};

    use super::*;

    fn quad(x: f32) -> Quad {
        Quad([Point { x, y: 5.0 }; 4])
    }

    fn read(lines: &[&str]) -> Transcript {
        let line = |text: &&str| Line {
            words: vec![Word { text: "w".into(), confidence: 0.9, quad: quad(10.0) }],
            ..Line::new(*text, 0.9, quad(10.0))
        };
        let cell = Cell {
            row: 0,
            column: 0,
            row_span: 1,
            column_span: 1,
            header: false,
            quad: quad(10.0),
            text: "c".into(),
            lines: vec![0],
        };
        let table = Block {
            id: 0,
            kind: BlockKind::Table,
            quad: quad(10.0),
            confidence: 0.9,
            table: Some(Table { rows: 1, columns: 1, cells: vec![cell] }),
            properties: None,
        };
        Transcript {
            lines: lines.iter().map(line).collect(),
            blocks: vec![table],
            findings: vec![Finding::new("k", "t", 0, quad(10.0))],
            properties: Some(r#"{"a":1,"b":2}"#.into()),
            ..Transcript::blank(Size { width: 100, height: 100 }, 72.0)
        }
    }

    fn document(page: Transcript) -> Expected {
        let text = page.text();
        let pages = vec![Page::Transcript(page)];
        Expected::Document(Document { pages, summary: Some(Summary { text, properties: None }) })
    }

    const LINES: [&str; 3] = ["one line of text", "another line", "the last line"];

    /// What a change of the page is told as; empty: within the tolerance and nothing to say.
    fn told(tolerance: Tolerance, change: impl FnOnce(&mut Transcript)) -> Comparison {
        let mut changed = read(&LINES);
        change(&mut changed);
        compare(&document(read(&LINES)), &document(changed), &tolerance)
    }

    #[test]
    fn only_what_is_beyond_the_tolerance_differs() {
        let check = |change: fn(&mut Transcript), expect: Option<&str>| {
            let told = told(Tolerance::default(), change);
            match expect {
                None => assert_eq!(told, Comparison::default()),
                Some(expect) => assert!(told.differs && told.report.contains(expect), "{expect}: {told:?}"),
            }
        };
        check(|_| {}, None);
        check(|page| page.lines[1].quad = quad(12.9), None);
        check(|page| page.lines[1].quad = quad(13.1), Some("`another line`: a corner is off by 3.1 px"));
        check(|page| page.lines[0].confidence = 0.86, None);
        check(|page| page.lines[0].confidence = 0.8, Some("confidence 0.800, not 0.900"));
        check(|page| page.lines[0].block_id = 1, Some("block 1"));
        check(|page| page.lines[0].source = LineSource::TextLayer, Some("TextLayer"));
        check(|page| page.lines[0].words.clear(), Some("words"));
        check(|page| page.lines[0].words[0].quad = quad(0.0), Some("`w`: a corner"));
        check(|page| page.size.width = 104, Some("104 x 100 px"));
        check(|page| page.dpi = 144.0, Some("144 dpi"));
        check(|page| page.rotation = Rotation::Half, Some("Half"));
        check(|page| page.warnings.push("w".into()), Some("warnings"));
        check(|page| page.findings.clear(), Some("findings"));
        check(|page| page.findings[0].quad = quad(0.0), Some("`t`: a corner"));
        check(|page| page.findings[0].value = Some("v".into()), Some("k `t` = `v` in lines [0]"));
        check(|page| page.findings[0].confidence = 0.2, Some("`t`: confidence 0.200"));
        check(|page| page.blocks.clear(), Some("blocks are [], not [0 Table of 1 x 1: (0, 0) 1 x 1 `c`]"));
        check(|page| page.blocks[0].kind = BlockKind::Heading { level: 2 }, Some("0 Heading 2"));
        check(|page| page.blocks[0].quad = quad(0.0), Some("block 0`: a corner"));
        check(|page| page.properties = Some(r#"{"b":2,"a":1}"#.into()), None);
        check(|page| page.properties = Some(r#"{"a":2}"#.into()), Some(r#"properties are {"a":2}"#));
        check(|page| page.lines[0].direction = Direction::Rtl, Some("runs Rtl"));
        check(|page| page.lines[1].text = "an other line".into(), Some("- another line\n  + an other line"));
        check(|page| page.lines.truncate(2), Some("- the last line"));
        check(|page| page.lines.swap(0, 2), Some("+ the last line"));
    }

    #[test]
    fn characters_may_be_tolerated_and_are_reported_all_the_same() {
        let tolerance = Tolerance { characters: 0.03, ..Tolerance::default() };
        let told_of = told(tolerance, |page| page.lines[1].text = "anothar line".into());
        assert!(!told_of.differs && told_of.report.contains("tolerated: 2.44 %"), "{told_of:?}");
        let told_of = told(tolerance, |page| page.lines[1].text = "anathar line".into());
        assert!(told_of.differs, "{told_of:?}");
    }

    #[test]
    fn failures_are_compared_by_their_code() {
        let good = document(read(&LINES));
        let bad = |code: &str| Expected::Error(code.into());
        let check = |expected: &Expected, read: &Expected, differs: bool| {
            assert_eq!(compare(expected, read, &Tolerance::default()).differs, differs);
        };
        check(&bad("a"), &bad("a"), false);
        check(&bad("a"), &bad("b"), true);
        check(&bad("a"), &good, true);
        check(&good, &bad("a"), true);
        let page = |code: &str| {
            let pages = vec![Page::Error(code.into())];
            Expected::Document(Document { pages, summary: None })
        };
        check(&page("a"), &page("a"), false);
        check(&page("a"), &page("b"), true);
        check(&good, &page("a"), true);
        let none = Expected::Document(Document { pages: Vec::new(), summary: None });
        check(&none, &page("a"), true);
    }

    #[test]
    fn a_long_report_is_cut() {
        let told = told(Tolerance::default(), |page| {
            page.lines = read(&["x"; 200]).lines;
        });
        assert!(told.report.contains("lines more") && told.report.lines().count() < 50, "{}", told.report);
    }
}
