//! TSV with the columns of tesseract: one row for each page, block, paragraph, line and word. A block has one paragraph.
//! Tabs and line feeds in a text become spaces; nothing else is escaped, as in tesseract.

use std::io::Write;

use lector_core::{DocumentView, PageView};

use crate::layout::{self, Bounds};
use crate::xml::one_line;
use crate::{ExportError, Format, Info, Several, Writer};

static INFO: Info = Info {
    name: "tsv",
    about: "Words with boxes, in the columns of tesseract",
    content_type: "text/tab-separated-values; charset=utf-8",
    accepts: &["text/tab-separated-values"],
    extension: "tsv",
    needs_words: true,
    streams: true,
    has_preface: false,
    reports_failures: false,
    several: Several::Never,
    composed: None,
};

/// TSV. A failed page has no rows.
#[derive(Debug)]
pub(crate) struct Tsv;

impl Format for Tsv {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(Self)
    }
}

impl Writer for Tsv {
    fn head(&mut self, _document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let columns = b"level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n";
        Ok(out.write_all(columns)?)
    }

    fn page(
        &mut self,
        _document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        let Ok(transcript) = page.outcome else { return Ok(()) };
        let number = u64::from(page.index) + 1;
        let size = transcript.size;
        let whole = Bounds { x0: 0, y0: 0, x1: size.width, y1: size.height };
        row(out, number, [0; 4], whole, None)?;
        let mut block = 0;
        for view in transcript.block_views() {
            let lines = layout::placed(&view);
            if lines.is_empty() {
                continue;
            }
            block += 1;
            let bounds = Bounds::of(layout::corners(&view));
            row(out, number, [block, 0, 0, 0], bounds, None)?;
            row(out, number, [block, 1, 0, 0], bounds, None)?;
            for (line, at) in lines.iter().zip(1..) {
                row(out, number, [block, 1, at, 0], Bounds::of(line.quad.0), None)?;
                for (word, word_at) in line.words().iter().zip(1..) {
                    let text = Some((word.confidence, word.text));
                    row(out, number, [block, 1, at, word_at], Bounds::of(word.quad.0), text)?;
                }
            }
        }
        Ok(())
    }
}

/// Writes a row; its level follows from the numbers of block, paragraph, line and word that are not 0.
fn row(
    out: &mut dyn Write,
    page: u64,
    numbers: [u32; 4],
    bounds: Bounds,
    word: Option<(f32, &str)>,
) -> Result<(), ExportError> {
    let level = 1 + numbers.iter().filter(|number| **number > 0).count();
    let [block, paragraph, line, at] = numbers;
    let (left, top, width, height) = (bounds.x0, bounds.y0, bounds.width(), bounds.height());
    write!(out, "{level}\t{page}\t{block}\t{paragraph}\t{line}\t{at}\t{left}\t{top}\t{width}\t{height}\t")?;
    match word {
        None => out.write_all(b"-1\t\n")?,
        Some((confidence, text)) => {
            writeln!(out, "{:.2}\t{}", confidence.clamp(0.0, 1.0) * 100.0, one_line(text))?;
        }
    }
    Ok(())
}
