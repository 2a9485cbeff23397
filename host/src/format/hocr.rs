//! hOCR 1.2 (<http://kba.github.io/hocr-spec/1.2/>): XHTML with bounding boxes.
//! `ocr_page` > `ocr_carea` (one per block) > `ocr_line` > `ocrx_word`.

use std::fmt::Write;

use lector_core::{Line, Quad, Transcript};

use lector_serving::{DocumentResult, PageResult};

/// Returns a document as hOCR. A failed page is a comment.
pub fn document(result: &DocumentResult) -> String {
    let mut out = head(result);
    out.extend(result.pages.iter().map(|page| page_result(result.name.as_deref(), page)));
    out.push_str(TAIL);
    out
}

/// The end of the output, after the last page.
pub(super) const TAIL: &str = "</body>\n</html>\n";
/// The name of a document without a name.
const UNNAMED: &str = "document";

/// Returns the output before the first page.
pub(super) fn head(result: &DocumentResult) -> String {
    let mut out = String::from(concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" ",
        "\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n",
        "<html xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n",
        "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\"/>\n",
    ));
    let name = result.name.as_deref().unwrap_or(UNNAMED);
    let _ = write!(
        out,
        "<title>{}</title>\n<meta name=\"ocr-system\" content=\"lector {}\"/>\n\
         <meta name=\"ocr-number-of-pages\" content=\"{}\"/>\n\
         <meta name=\"ocr-capabilities\" content=\"ocr_page ocr_carea ocr_line ocrx_word ocrp_wconf\"/>\n\
         </head>\n<body>\n",
        escape(name),
        env!("CARGO_PKG_VERSION"),
        result.transcripts().count(),
    );
    out
}

/// Returns a page of the document `name`, read or failed.
pub(super) fn page_result(name: Option<&str>, result: &PageResult) -> String {
    let mut out = String::new();
    match &result.outcome {
        Ok(transcript) => page(&mut out, name.unwrap_or(UNNAMED), result.index, transcript),
        Err(fault) => {
            // Two hyphens are not allowed in a comment.
            let message = escape(&fault.message).replace('-', "&#45;");
            let _ = writeln!(out, "<!-- page {} was not read: {message} -->", u64::from(result.index) + 1);
        }
    }
    out
}

fn page(out: &mut String, name: &str, index: u32, transcript: &Transcript) {
    let number = u64::from(index) + 1;
    let dpi = transcript.dpi.round();
    let _ = writeln!(
        out,
        "<div class=\"ocr_page\" id=\"page_{number}\" title=\"image &quot;{}&quot;; bbox 0 0 {} {}; ppageno {index}; scan_res {dpi} {dpi}\">",
        escape(&name.replace(['"', ';'], "_")),
        transcript.size.width,
        transcript.size.height,
    );
    let mut line_number = 0;
    for (block_number, block) in transcript.lines.chunk_by(|a, b| a.block_id == b.block_id).enumerate() {
        let quads = block.iter().flat_map(|line| line.quad.0);
        let _ = writeln!(
            out,
            " <div class=\"ocr_carea\" id=\"block_{number}_{}\" title=\"{}\">",
            block_number + 1,
            bbox(quads),
        );
        for line in block {
            line_number += 1;
            self::line(out, number, line_number, line);
        }
        out.push_str(" </div>\n");
    }
    out.push_str("</div>\n");
}

fn line(out: &mut String, page: u64, number: usize, line: &Line) {
    let _ = write!(
        out,
        "  <span class=\"ocr_line\" id=\"line_{page}_{number}\" title=\"{}{}; x_wconf {}\">",
        bbox(line.quad.0),
        angle(&line.quad),
        percent(line.confidence),
    );
    if line.words.is_empty() {
        out.push_str(&escape(&line.text));
    }
    for (at, word) in line.words.iter().enumerate() {
        let _ = write!(
            out,
            "{}<span class=\"ocrx_word\" id=\"word_{page}_{number}_{}\" title=\"{}; x_wconf {}\">{}</span>",
            if at == 0 { "" } else { " " },
            at + 1,
            bbox(word.quad.0),
            percent(word.confidence),
            escape(&word.text),
        );
    }
    out.push_str("</span>\n");
}

/// Returns the smallest box of whole pixels around the points. hOCR has no negative coordinates.
fn bbox(points: impl IntoIterator<Item = lector_core::Point>) -> String {
    let start = (f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY);
    let (x0, y0, x1, y1) = points
        .into_iter()
        .fold(start, |(x0, y0, x1, y1), p| (x0.min(p.x), y0.min(p.y), x1.max(p.x), y1.max(p.y)));
    // `as` saturates a float at the range of the integer, and converts NaN to 0.
    format!("bbox {} {} {} {}", x0.floor() as u32, y0.floor() as u32, x1.ceil() as u32, y1.ceil() as u32)
}

/// Returns the property `textangle` in counter-clockwise degrees if the line is not horizontal.
fn angle(quad: &Quad) -> String {
    let [left, right, ..] = quad.0;
    let degrees = (left.y - right.y).atan2(right.x - left.x).to_degrees();
    if degrees.abs() < 1.0 { String::new() } else { format!("; textangle {degrees:.1}") }
}

fn percent(confidence: f32) -> u32 {
    (confidence.clamp(0.0, 1.0) * 100.0).round() as u32
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 does not allow other control characters and these two, even escaped.
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
