//! Compares a result with the expected one, and describes the differences.
//!
//! Lines are matched by their text (Myers' algorithm, crate `similar`). Matched lines are compared by confidence and
//! words; added and removed lines are shown as a diff, and counted by the number of different characters.

use std::fmt::Write as _;

use anyhow::ensure;
use lector_core::{Block, Finding, Line, Quad, Transcript};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::expected::{Document, Expected, Page};
use super::records::{self, difference, json_difference, name_of};

/// Above this number of character pairs two texts count as wholly different: the exact distance would take long and is
/// not needed.
const DISTANCE_PAIRS_MAX: usize = 100_000_000;
/// Maximum number of differences shown for a page.
const TOLD_MAX: usize = 40;

/// Allowed differences between a result and the expected one.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::cli::guest) struct Tolerance {
    /// Share of the characters of a page that may differ.
    pub(in crate::cli::guest) characters: f64,
    /// Distance that a corner may be off, in pixels.
    pub(in crate::cli::guest) position_px: f32,
    /// Difference of confidence.
    pub(in crate::cli::guest) confidence: f32,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { characters: 0.0, position_px: 3.0, confidence: 0.05 }
    }
}

impl Tolerance {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!((0.0..=1.0).contains(&self.characters), "tolerance.characters must be a share from 0 to 1");
        ensure!(self.position_px >= 0.0, "tolerance.position_px must be 0 or more");
        ensure!((0.0..=1.0).contains(&self.confidence), "tolerance.confidence must be from 0 to 1");
        Ok(())
    }
}

/// The outcome of a comparison.
#[derive(Debug, Default, PartialEq)]
pub(in crate::cli::guest) struct Comparison {
    /// Lines to print; empty: as expected.
    pub(in crate::cli::guest) report: String,
    /// Whether a difference exceeds the tolerance. Otherwise the report lists tolerated differences.
    pub(in crate::cli::guest) differs: bool,
}

impl Comparison {
    /// Adds lines, each a difference.
    fn beyond_all(&mut self, lines: &str) {
        lines.lines().for_each(|line| self.beyond(line));
    }

    fn beyond(&mut self, line: impl std::fmt::Display) {
        self.differs = true;
        let _ = writeln!(self.report, "{line}");
    }
}

/// Compares a result with the expected one.
pub(in crate::cli::guest) fn compare(
    expected: &Expected,
    read: &Expected,
    tolerance: &Tolerance,
) -> Comparison {
    let mut outcome = Comparison::default();
    match (expected, read) {
        (Expected::Error(expected), Expected::Error(read)) if expected == read => {}
        (Expected::Error(expected), Expected::Error(read)) => {
            outcome.beyond(format_args!("fails with `{read}`, not with `{expected}`"));
        }
        (Expected::Error(expected), Expected::Document(_)) => {
            outcome.beyond(format_args!("was read; expected the fault `{expected}`"));
        }
        (Expected::Document(_), Expected::Error(read)) => outcome.beyond(format_args!("fails with `{read}`")),
        (Expected::Document(expected), Expected::Document(read)) => {
            documents(expected, read, tolerance, &mut outcome);
        }
    }
    outcome
}

fn documents(expected: &Document, read: &Document, tolerance: &Tolerance, outcome: &mut Comparison) {
    if expected.pages.len() != read.pages.len() {
        outcome.beyond(format_args!("has {} pages, not {}", read.pages.len(), expected.pages.len()));
    }
    for (number, (expected, read)) in expected.pages.iter().zip(&read.pages).enumerate() {
        let mut of_page = Comparison::default();
        match (expected, read) {
            (Page::Error(expected), Page::Error(read)) if expected == read => {}
            (Page::Error(expected), Page::Error(read)) => {
                of_page.beyond(format_args!("fails with `{read}`, not with `{expected}`"));
            }
            (Page::Error(expected), Page::Transcript(_)) => {
                of_page.beyond(format_args!("was read; expected the fault `{expected}`"));
            }
            (Page::Transcript(_), Page::Error(read)) => of_page.beyond(format_args!("fails with `{read}`")),
            (Page::Transcript(expected), Page::Transcript(read)) => {
                page(expected, read, tolerance, &mut of_page);
            }
        }
        outcome.differs |= of_page.differs;
        let count = of_page.report.lines().count();
        if count > 0 {
            let _ = writeln!(outcome.report, "page {}", number + 1);
        }
        for line in of_page.report.lines().take(TOLD_MAX) {
            let _ = writeln!(outcome.report, "  {line}");
        }
        if count > TOLD_MAX {
            let _ = writeln!(outcome.report, "  ... and {} lines more", count - TOLD_MAX);
        }
    }
    let of_document =
        |document: &Document| document.summary.as_ref().and_then(|summary| summary.properties.clone());
    let text = |document: &Document| document.summary.as_ref().map(|summary| summary.text.clone());
    properties("summary", of_document(expected).as_deref(), of_document(read).as_deref(), outcome);
    // If characters may differ on pages, the summary, which repeats them, differs too.
    if text(expected) != text(read) && tolerance.characters == 0.0 && !outcome.differs {
        let lines = |document| -> Vec<String> {
            text(document).unwrap_or_default().lines().map(str::to_owned).collect()
        };
        let changed = difference("summary:", &lines(expected), &lines(read));
        // Texts that differ in their line ends alone.
        let changed = if changed.is_empty() { "summary: its line ends differ".to_owned() } else { changed };
        outcome.beyond_all(&changed);
    }
}

fn page(expected: &Transcript, read: &Transcript, tolerance: &Tolerance, outcome: &mut Comparison) {
    let off_px = |a: u32, b: u32| a.abs_diff(b) as f32 > tolerance.position_px;
    if off_px(expected.size.width, read.size.width) || off_px(expected.size.height, read.size.height) {
        outcome.beyond(format_args!(
            "is {} x {} px, not {} x {}",
            read.size.width, read.size.height, expected.size.width, expected.size.height
        ));
    }
    if (expected.dpi - read.dpi).abs() > 0.01 {
        outcome.beyond(format_args!("was read at {} dpi, not at {}", read.dpi, expected.dpi));
    }
    if expected.rotation != read.rotation {
        outcome.beyond(format_args!(
            "was rotated by {}, not by {}",
            name_of(&read.rotation),
            name_of(&expected.rotation)
        ));
    }
    lines(&expected.lines, &read.lines, tolerance, outcome);
    outcome.beyond_all(&difference("warning", &expected.warnings, &read.warnings));
    blocks(&expected.blocks, &read.blocks, tolerance, outcome);
    findings(&expected.findings, &read.findings, tolerance, outcome);
    properties("page", expected.properties.as_deref(), read.properties.as_deref(), outcome);
}

/// Compares the properties of a guest as JSON values: the order of members is not significant.
fn properties(of: &str, expected: Option<&str>, read: Option<&str>, outcome: &mut Comparison) {
    outcome.beyond_all(&json_difference(&format!("{of} property"), expected, read));
}

fn findings(expected: &[Finding], read: &[Finding], tolerance: &Tolerance, outcome: &mut Comparison) {
    let shown = |findings: &[Finding]| findings.iter().map(records::finding).collect::<Vec<_>>();
    let changed = difference("finding", &shown(expected), &shown(read));
    if !changed.is_empty() {
        outcome.beyond_all(&changed);
        return;
    }
    for (expected, read) in expected.iter().zip(read) {
        place(&expected.quad, &read.quad, &read.text, tolerance, outcome);
        confidence(&read.text, expected.confidence, read.confidence, tolerance, outcome);
    }
}

fn blocks(expected: &[Block], read: &[Block], tolerance: &Tolerance, outcome: &mut Comparison) {
    let shown = |blocks: &[Block]| blocks.iter().flat_map(records::block).collect::<Vec<_>>();
    let changed = difference("block", &shown(expected), &shown(read));
    if !changed.is_empty() {
        outcome.beyond_all(&changed);
        return;
    }
    for (expected, read) in expected.iter().zip(read) {
        let name = format!("block {}", read.id);
        place(&expected.quad, &read.quad, &name, tolerance, outcome);
        confidence(&name, expected.confidence, read.confidence, tolerance, outcome);
        properties(&name, expected.properties.as_deref(), read.properties.as_deref(), outcome);
    }
}

fn confidence(of: &str, expected: f32, read: f32, tolerance: &Tolerance, outcome: &mut Comparison) {
    if (expected - read).abs() > tolerance.confidence {
        outcome.beyond(format_args!("`{of}`: confidence {read:.3}, not {expected:.3}"));
    }
}

fn lines(expected: &[Line], read: &[Line], tolerance: &Tolerance, outcome: &mut Comparison) {
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
        outcome.differs = true;
    } else if distance > 0 {
        let _ = writeln!(changed, "(tolerated: {:.2} % of the characters differ)", share * 100.0);
    }
    outcome.report.push_str(&changed);
    outcome.differs |= stayed.differs;
    outcome.report.push_str(&stayed.report);
}

/// Compares a line whose text is as expected.
fn line(expected: &Line, read: &Line, tolerance: &Tolerance, outcome: &mut Comparison) {
    place(&expected.quad, &read.quad, &read.text, tolerance, outcome);
    confidence(&read.text, expected.confidence, read.confidence, tolerance, outcome);
    if expected.direction != read.direction {
        let (direction, wanted) = (name_of(&read.direction), name_of(&expected.direction));
        outcome.beyond(format_args!("`{}`: runs {direction}, not {wanted}", read.text));
    }
    if expected.source != read.source {
        let (source, wanted) = (name_of(&read.source), name_of(&expected.source));
        outcome.beyond(format_args!("`{}`: comes from {source}, not {wanted}", read.text));
    }
    if expected.block_id != read.block_id {
        outcome.beyond(format_args!(
            "`{}`: is in block {}, not {}",
            read.text, read.block_id, expected.block_id
        ));
    }
    let words = |line: &Line| -> Vec<String> { line.words.iter().map(|word| word.text.clone()).collect() };
    if words(expected) != words(read) {
        let of_line = format!("word of `{}`:", read.text);
        outcome.beyond_all(&difference(&of_line, &words(expected), &words(read)));
    } else {
        for (expected, read) in expected.words.iter().zip(&read.words) {
            place(&expected.quad, &read.quad, &read.text, tolerance, outcome);
        }
    }
}

fn place(expected: &Quad, read: &Quad, text: &str, tolerance: &Tolerance, outcome: &mut Comparison) {
    let distances = expected.0.iter().zip(&read.0).map(|(a, b)| (a.x - b.x).hypot(a.y - b.y));
    let off = distances.fold(0.0, f32::max);
    if off > tolerance.position_px {
        outcome.beyond(format_args!("`{text}`: a corner is off by {off:.1} px"));
    }
}

/// Returns the number of character edits between two texts (Levenshtein distance).
fn characters_off(old: &str, new: &str) -> usize {
    let (m, n) = (old.chars().count(), new.chars().count());
    if m.saturating_mul(n) > DISTANCE_PAIRS_MAX { m.max(n) } else { strsim::levenshtein(old, new) }
}

#[cfg(test)]
mod tests {
    use lector_core::{BlockKind, Cell, Direction, LineSource, Point, Rotation, Size, Summary, Table, Word};

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

    /// Returns the comparison after a change of the page.
    fn outcome(tolerance: Tolerance, change: impl FnOnce(&mut Transcript)) -> Comparison {
        let mut changed = read(&LINES);
        change(&mut changed);
        compare(&document(read(&LINES)), &document(changed), &tolerance)
    }

    #[test]
    fn only_what_is_beyond_the_tolerance_differs() {
        let check = |change: fn(&mut Transcript), expect: Option<&str>| {
            let outcome = outcome(Tolerance::default(), change);
            match expect {
                None => assert_eq!(outcome, Comparison::default()),
                Some(expect) => {
                    assert!(outcome.differs && outcome.report.contains(expect), "{expect}: {outcome:?}")
                }
            }
        };
        check(|_| {}, None);
        check(|page| page.lines[1].quad = quad(12.9), None);
        check(|page| page.lines[1].quad = quad(13.1), Some("`another line`: a corner is off by 3.1 px"));
        check(|page| page.lines[0].confidence = 0.86, None);
        check(|page| page.lines[0].confidence = 0.8, Some("confidence 0.800, not 0.900"));
        check(|page| page.lines[0].block_id = 1, Some("block 1"));
        check(|page| page.lines[0].source = LineSource::TextLayer, Some("comes from text-layer, not ocr"));
        check(|page| page.lines[0].words.clear(), Some("- word of `one line of text`: w"));
        check(|page| page.lines[0].words[0].quad = quad(0.0), Some("`w`: a corner"));
        check(|page| page.size.width = 104, Some("104 x 100 px"));
        check(|page| page.dpi = 144.0, Some("144 dpi"));
        check(|page| page.rotation = Rotation::Half, Some("rotated by half, not by none"));
        check(|page| page.warnings.push("w".into()), Some("+ warning w"));
        check(|page| page.findings.clear(), Some("- finding k `t` in line 0"));
        check(|page| page.findings[0].quad = quad(0.0), Some("`t`: a corner"));
        check(|page| page.findings[0].value = Some("v".into()), Some("+ finding k `t` = `v` in line 0"));
        check(|page| page.findings[0].confidence = 0.2, Some("`t`: confidence 0.200"));
        check(|page| page.blocks.clear(), Some("- block 0 cell (0, 0) `c`"));
        check(|page| page.blocks[0].kind = BlockKind::Heading { level: 2 }, Some("+ block 0 heading 2"));
        check(|page| page.blocks[0].quad = quad(0.0), Some("block 0`: a corner"));
        check(|page| page.properties = Some(r#"{"b":2,"a":1}"#.into()), None);
        check(
            |page| page.properties = Some(r#"{"a":2}"#.into()),
            Some("page property /a: 1 -> 2\n  page property /b: 2 -> none"),
        );
        check(|page| page.lines[0].direction = Direction::Rtl, Some("runs rtl, not ltr"));
        check(|page| page.lines[1].text = "an other line".into(), Some("- another line\n  + an other line"));
        check(|page| page.lines.truncate(2), Some("- the last line"));
        check(|page| page.lines.swap(0, 2), Some("+ the last line"));
    }

    #[test]
    fn characters_may_be_tolerated_and_are_reported_all_the_same() {
        let tolerance = Tolerance { characters: 0.03, ..Tolerance::default() };
        let outcome_of = outcome(tolerance, |page| page.lines[1].text = "anothar line".into());
        assert!(!outcome_of.differs && outcome_of.report.contains("tolerated: 2.44 %"), "{outcome_of:?}");
        let outcome_of = outcome(tolerance, |page| page.lines[1].text = "anathar line".into());
        assert!(outcome_of.differs, "{outcome_of:?}");
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
        let outcome = outcome(Tolerance::default(), |page| {
            page.lines = read(&["x"; 200]).lines;
        });
        assert!(
            outcome.report.contains("lines more") && outcome.report.lines().count() < 50,
            "{}",
            outcome.report
        );
    }
}
