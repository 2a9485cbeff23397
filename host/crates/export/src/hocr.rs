//! hOCR 1.2 (<http://kba.github.io/hocr-spec/1.2/>): XHTML with bounding boxes.
//! `ocr_page` > `ocr_carea` (one per block) > `ocr_par` > `ocr_line` > `ocrx_word`.
//!
//! OCRmyPDF 17 reads words only below `p.ocr_par`, and only from lines of the classes that are used here.

use std::io::Write;

use lector_core::{BlockKind, BlockView, Direction, DocumentView, PageView, Transcript};

use crate::layout::{self, Bounds, Placed, percent};
use crate::xml::{comment, escape, one_line};
use crate::{ExportError, Format, Info, Several, Writer};

static INFO: Info = Info {
    name: "hocr",
    about: "hOCR 1.2: HTML with boxes",
    // hOCR is XHTML, and its readers expect `text/html`.
    content_type: "text/html; charset=utf-8",
    accepts: &["text/vnd.hocr+html", "application/xhtml+xml"],
    extension: "hocr.html",
    needs_words: true,
    streams: true,
    has_preface: false,
    reports_failures: false,
    several: Several::Never,
    composed: None,
};

/// hOCR 1.2. A failed page is a comment.
#[derive(Debug)]
pub(crate) struct Hocr;

impl Format for Hocr {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(Self)
    }
}

/// The name of a document without a name.
const UNNAMED: &str = "document";
/// Least angle, in degrees, from which a line is not horizontal: such a line has a `textangle` and no `baseline`.
const ANGLE_MIN: f32 = 45.0;

impl Writer for Hocr {
    fn head(&mut self, document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let name = escape(&one_line(document.name.unwrap_or(UNNAMED)));
        Ok(write!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" \
             \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n\
             <html xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n\
             <meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\"/>\n\
             <title>{name}</title>\n<meta name=\"ocr-system\" content=\"lector {}\"/>\n\
             <meta name=\"ocr-number-of-pages\" content=\"{}\"/>\n\
             <meta name=\"ocr-capabilities\" content=\"ocr_page ocr_carea ocr_par ocr_line ocr_header ocr_footer \
             ocr_caption ocr_photo ocrx_word ocrp_dir ocrp_wconf\"/>\n</head>\n<body>\n",
            env!("CARGO_PKG_VERSION"),
            document.pages_ok,
        )?)
    }

    fn page(
        &mut self,
        document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        match page.outcome {
            Ok(transcript) => write_page(out, document.name.unwrap_or(UNNAMED), page.index, transcript),
            Err(fault) => {
                let (number, message) = (u64::from(page.index) + 1, comment(&fault.message));
                Ok(writeln!(out, "<!-- page {number} was not read: {message} -->")?)
            }
        }
    }

    fn tail(&mut self, _document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(out.write_all(b"</body>\n</html>\n")?)
    }
}

fn write_page(out: &mut dyn Write, name: &str, index: u32, page: &Transcript) -> Result<(), ExportError> {
    let number = u64::from(index) + 1;
    let dpi = page.dpi.round();
    writeln!(
        out,
        "<div class=\"ocr_page\" id=\"page_{number}\" title=\"image &quot;{}&quot;; bbox 0 0 {} {}; ppageno {index}; \
         scan_res {dpi} {dpi}\">",
        escape(&one_line(name).replace(['"', ';'], "_")),
        page.size.width,
        page.size.height,
    )?;
    let (mut block_number, mut line_number) = (0, 0);
    for view in page.block_views() {
        let lines = layout::placed(&view);
        let is_figure = view.block.is_some_and(|block| block.kind == BlockKind::Figure);
        if lines.is_empty() && !is_figure {
            continue;
        }
        block_number += 1;
        let at = format!("{number}_{block_number}");
        let title = bbox(Bounds::of(layout::corners(&view)));
        if lines.is_empty() {
            writeln!(out, " <div class=\"ocr_photo\" id=\"photo_{at}\" title=\"{title}\"></div>")?;
            continue;
        }
        let is_rtl = lines.iter().all(|line| line.direction == Direction::Rtl);
        let dir = if is_rtl { " dir=\"rtl\"" } else { "" };
        writeln!(out, " <div class=\"ocr_carea\" id=\"block_{at}\" title=\"{title}\">")?;
        writeln!(out, "  <p class=\"ocr_par\" id=\"par_{at}\"{dir} title=\"{title}\">")?;
        for line in lines {
            line_number += 1;
            write_line(out, class(&view), &format!("{number}_{line_number}"), &line)?;
        }
        out.write_all(b"  </p>\n </div>\n")?;
    }
    Ok(out.write_all(b"</div>\n")?)
}

/// Returns the class of the lines of a block.
fn class(view: &BlockView<'_>) -> &'static str {
    match view.block.map(|block| &block.kind) {
        Some(BlockKind::Header) => "ocr_header",
        Some(BlockKind::Footer | BlockKind::PageNumber) => "ocr_footer",
        Some(BlockKind::Caption) => "ocr_caption",
        _ => "ocr_line",
    }
}

fn write_line(out: &mut dyn Write, class: &str, at: &str, line: &Placed<'_>) -> Result<(), ExportError> {
    let bounds = Bounds::of(line.quad.0);
    write!(
        out,
        "   <span class=\"{class}\" id=\"line_{at}\" title=\"{}{}; x_wconf {}\">",
        bbox(bounds),
        baseline(line, bounds),
        percent(line.confidence),
    )?;
    for (number, word) in line.words().into_iter().enumerate() {
        write!(
            out,
            "{}<span class=\"ocrx_word\" id=\"word_{at}_{}\" title=\"{}; x_wconf {}\">{}</span>",
            if number == 0 { "" } else { " " },
            number + 1,
            bbox(Bounds::of(word.quad.0)),
            percent(word.confidence),
            escape(&one_line(word.text)),
        )?;
    }
    Ok(out.write_all(b"</span>\n")?)
}

fn bbox(bounds: Bounds) -> String {
    format!("bbox {} {} {} {}", bounds.x0, bounds.y0, bounds.x1, bounds.y1)
}

/// Returns the property `baseline`: the lower edge of the line, relative to the lower left corner of its box. A line
/// that is not horizontal has the property `textangle` instead, in degrees counter-clockwise.
fn baseline(line: &Placed<'_>, bounds: Bounds) -> String {
    let degrees = line.degrees();
    if degrees.abs() >= ANGLE_MIN {
        return format!("; textangle {degrees:.1}");
    }
    let [_, _, right, left] = line.quad.0;
    let width = right.x - left.x;
    let slope = if width > 0.0 { (right.y - left.y) / width } else { 0.0 };
    let at_left = left.y + slope * (bounds.x0 as f32 - left.x);
    let intercept = (at_left - bounds.y1 as f32).round();
    // Readers expect an integer; `as` saturates.
    format!("; baseline {:.3} {}", if slope == 0.0 { 0.0 } else { slope }, intercept as i32)
}
