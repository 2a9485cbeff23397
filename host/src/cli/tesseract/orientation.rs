//! `--psm 0`: orientation and script of the page. `--psm 2`: its skew.

use std::collections::BTreeMap;

use anyhow::Context;
use lector_core::Transcript;

use super::output::Target;
use super::transcripts::Document;

/// Confidence that callers expect for a page of clear text: OCRmyPDF turns a page from 14 on.
const CONFIDENCE_MAX: f32 = 20.0;
/// Characters from which their number no longer lowers the confidence.
const CHARACTERS_SURE: f32 = 30.0;

/// Writes the report of orientation and script of the first page.
pub(super) fn write(document: &Document, output: &Target) -> anyhow::Result<()> {
    let (_, page) = document.transcripts().next().context("the document has no page")?;
    // The words of tesseract, which exits with status 1: callers look for them.
    let report = report(page).context("Too few characters. Skipping this page")?;
    output.write("osd", report.as_bytes())
}

fn report(page: &Transcript) -> Option<String> {
    let characters = || page.lines.iter().flat_map(|line| line.text.chars()).filter(|c| c.is_alphanumeric());
    let count = characters().count();
    if count == 0 {
        return None;
    }
    let mut scripts: BTreeMap<&'static str, usize> = BTreeMap::new();
    characters().filter_map(script).for_each(|script| *scripts.entry(script).or_default() += 1);
    let (script, of_script) = scripts.into_iter().max_by_key(|(_, count)| *count).unwrap_or(("Latin", 0));
    let mean = page.lines.iter().map(|line| line.confidence).sum::<f32>() / page.lines.len().max(1) as f32;
    let sure = CONFIDENCE_MAX * mean * (count as f32 / CHARACTERS_SURE).min(1.0);
    let rotate = page.rotation.degrees();
    Some(format!(
        "Page number: 0\nOrientation in degrees: {}\nRotate: {rotate}\nOrientation confidence: {sure:.2}\nScript: \
         {script}\nScript confidence: {:.2}\n",
        (360 - rotate) % 360,
        sure * of_script as f32 / count as f32,
    ))
}

/// Returns tesseract's name for the script of a letter; digits have none. The ranges are blocks of the Unicode Standard.
fn script(character: char) -> Option<&'static str> {
    match u32::from(character) {
        0x41..=0x5a | 0x61..=0x7a | 0xc0..=0x24f | 0x1e00..=0x1eff => Some("Latin"),
        0x370..=0x3ff | 0x1f00..=0x1fff => Some("Greek"),
        0x400..=0x52f => Some("Cyrillic"),
        0x590..=0x5ff => Some("Hebrew"),
        0x600..=0x6ff => Some("Arabic"),
        0x3040..=0x30ff => Some("Japanese"),
        0x3400..=0x4dbf | 0x4e00..=0x9fff => Some("Han"),
        0xac00..=0xd7a3 => Some("Hangul"),
        _ => None,
    }
}

/// Writes the skew of the first page, as tesseract's log has it.
pub(super) fn print_skew(document: &Document, output: &Target) -> anyhow::Result<()> {
    let (_, page) = document.transcripts().next().context("the document has no page")?;
    let radians = skew(page);
    let orientation = page.rotation.degrees() / 90;
    let report = format!(
        "Orientation: {orientation}\nWritingDirection: 0\nTextlineOrder: 2\nDeskew angle: {radians:.4}\n"
    );
    output.write("txt", report.as_bytes())
}

/// Returns the angle in radians by which the page is turned clockwise: the median of its lines, weighted by their length.
/// Quarter turns do not count.
fn skew(page: &Transcript) -> f32 {
    let angle = |line: &lector_core::Line| {
        let [left, right, ..] = line.quad.0;
        let (x, y) = (right.x - left.x, right.y - left.y);
        let angle = y.atan2(x);
        let quarter = std::f32::consts::FRAC_PI_2;
        (angle - quarter * (angle / quarter).round(), x.hypot(y))
    };
    let mut angles: Vec<(f32, f32)> =
        page.lines.iter().map(angle).filter(|(_, length)| *length > 0.0).collect();
    angles.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = angles.iter().map(|(_, length)| length).sum::<f32>() / 2.0;
    let mut passed = 0.0;
    let median = angles.iter().find(|(_, length)| {
        passed += length;
        passed >= half
    });
    median.map_or(0.0, |(angle, _)| *angle)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::{Point, Quad, Rotation};

    use super::super::transcripts::tests::{blank, line, quad};
    use super::*;

    fn page(text: &str, rotation: Rotation) -> Transcript {
        let mut page = blank();
        page.rotation = rotation;
        page.lines = vec![line(text, quad(0.0, 0.0, 100.0, 10.0), 0)];
        page
    }

    #[test]
    fn the_report_has_the_members_of_tesseract() {
        let text = report(&page("A page with more than thirty letters on it", Rotation::Quarter)).unwrap();
        let lines: Vec<(&str, &str)> = text.lines().map(|line| line.split_once(": ").unwrap()).collect();
        assert_eq!(
            lines,
            [
                ("Page number", "0"),
                ("Orientation in degrees", "270"),
                ("Rotate", "90"),
                ("Orientation confidence", "18.00"),
                ("Script", "Latin"),
                ("Script confidence", "18.00"),
            ]
        );
        assert_eq!(report(&page("...", Rotation::None)), None);
        assert_eq!(report(&blank()), None);
    }

    #[test]
    fn scripts_are_counted() {
        let check = |text: &str, expect: &str| {
            let report = report(&page(text, Rotation::None)).unwrap();
            assert!(report.contains(&format!("Script: {expect}\n")), "{text}: {report}");
        };
        check("Straße", "Latin");
        check("Ελληνικά 12 ab", "Greek");
        check("中文字符 abc", "Han");
        check("123", "Latin");
    }

    #[test]
    fn the_skew_is_the_median_of_the_lines() {
        let turned = |degrees: f32, length: f32| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let corner = |x: f32, y: f32| Point { x: x * cos - y * sin, y: x * sin + y * cos };
            Quad([corner(0.0, 0.0), corner(length, 0.0), corner(length, 9.0), corner(0.0, 9.0)])
        };
        let mut page = blank();
        page.lines = [(2.0, 300.0), (2.0, 200.0), (40.0, 20.0), (92.0, 50.0)]
            .map(|(degrees, length)| line("x", turned(degrees, length), 0))
            .into();
        assert!((skew(&page).to_degrees() - 2.0).abs() < 1e-3);
        assert_eq!(skew(&blank()), 0.0);
    }
}
