//! What a guest answered, checked before anybody else sees it: finite, in range, within its budget.

use lector_core::{Complaint, Declaration, Fault, Kind, Quad, Summary, Transcript};

/// Most lines of one page; the densest real page has some 2,000.
const LINES_MAX: usize = 100_000;
/// Most words of one page.
const WORDS_MAX: usize = 500_000;
/// Most findings of one page.
const FINDINGS_MAX: usize = 100_000;
/// Most warnings of one page.
const WARNINGS_MAX: usize = 1_000;
/// Bytes that a line, a word or a finding costs beside its text: numbers and separators in an answer.
const RECORD_BYTES: u64 = 64;
/// How far a probability may be off by rounding.
const CONFIDENCE_SLACK: f32 = 1e-3;
/// Most models, batching wishes and features of a declaration.
const DECLARED_MAX: usize = 64;
/// Longest name in a declaration, and longest complaint, in bytes.
const NAME_BYTES_MAX: usize = 256;
const COMPLAINT_BYTES_MAX: usize = 4096;
/// Longest message of a guest's error, in bytes; the rest is cut off.
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

/// Counts the bytes of an answer.
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

/// A page. Confidences within rounding of their range are put into it.
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
    let lines = page.lines.len();
    for (index, finding) in page.findings.iter().enumerate() {
        size.add(&finding.text)?;
        size.add(&finding.kind)?;
        finite(finding.quad, || format!("finding {index}"))?;
        if finding.line as usize >= lines {
            return Err(invalid(format!("finding {index} is in line {}, there are {lines}", finding.line)));
        }
    }
    for warning in &page.warnings {
        size.add(warning)?;
    }
    Ok(page)
}

/// A document.
pub fn summary(summary: Summary, bytes_max: u64) -> Result<Summary, Fault> {
    let mut size = Size { bytes: 0, max: bytes_max };
    size.add(&summary.text)?;
    size.add(summary.extra.as_deref().unwrap_or_default())?;
    Ok(summary)
}

/// A declaration: short lists of short names, wishes only for models that it names, one each.
pub fn declaration(declaration: Declaration) -> Result<Declaration, Fault> {
    few("models", declaration.models.len(), DECLARED_MAX)?;
    few("batching wishes", declaration.batching.len(), DECLARED_MAX)?;
    few("features", declaration.features.len(), DECLARED_MAX)?;
    let names = declaration.models.iter().chain(&declaration.features);
    if let Some(long) = names.into_iter().find(|name| name.len() > NAME_BYTES_MAX) {
        return Err(invalid(format!("a name of {} bytes in its declaration", long.len())));
    }
    for (index, wish) in declaration.batching.iter().enumerate() {
        if !declaration.models.contains(&wish.model) {
            return Err(invalid(format!(
                "a batching wish for `{}`, which it does not open",
                cut(&wish.model, 64)
            )));
        }
        if declaration.batching.iter().take(index).any(|other| other.model == wish.model) {
            return Err(invalid(format!("two batching wishes for `{}`", cut(&wish.model, 64))));
        }
        few("preferred widths", wish.preferred_widths.len(), DECLARED_MAX)?;
    }
    Ok(declaration)
}

/// A complaint, cut to a readable length.
pub fn complaint(complaint: Complaint) -> Complaint {
    Complaint {
        pointer: cut(&complaint.pointer, COMPLAINT_BYTES_MAX),
        message: cut(&complaint.message, COMPLAINT_BYTES_MAX),
    }
}

/// A message cut to a readable length.
pub fn message(text: &str) -> String {
    cut(text, MESSAGE_BYTES_MAX)
}

fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    format!("{}...", text.get(..end).unwrap_or_default())
}

fn few(what: &str, count: usize, max: usize) -> Result<(), Fault> {
    if count > max { Err(invalid(format!("{count} {what}, at most {max} make sense"))) } else { Ok(()) }
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
    use lector_core::{Finding, Line, Origin, Point, Turn};

    fn page(change: impl FnOnce(&mut Transcript)) -> Result<Transcript, Fault> {
        let line = Line {
            text: "text".into(),
            confidence: 1.0,
            quad: Quad::default(),
            words: Vec::new(),
            origin: Origin::Ocr,
            block: 0,
        };
        let mut page = Transcript {
            size: lector_core::Size { width: 10, height: 10 },
            dpi: 72.0,
            turn: Turn::None,
            lines: vec![line],
            findings: vec![Finding { kind: "k".into(), text: "t".into(), line: 0, quad: Quad::default() }],
            warnings: Vec::new(),
        };
        change(&mut page);
        transcript(page, 1000)
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
        check(|p| p.findings[0].line = 1, bad);
        check(|p| p.findings[0].quad.0[0].y = f32::NAN, bad);
        check(|p| p.warnings = vec![String::new(); WARNINGS_MAX + 1], bad);
        check(|p| p.lines[0].text = "x".repeat(1000), Some("guest_result_too_large"));
        assert_eq!(page(|p| p.lines[0].confidence = 1.0005).unwrap().lines[0].confidence, 1.0);
    }
}
