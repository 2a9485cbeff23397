//! Chunks for retrieval (RAG): one JSON object per line. A chunk is a heading with the blocks below it, up to a size; its
//! text is Markdown. It states the headings above it, its pages and the boxes of its blocks, so that an answer can show
//! where it was found. Page numbers are left out, and headers and footers that repeat an earlier one.

use std::io::Write;

use lector_core::{BlockKind, BlockView, DocumentView, PageView};
use serde::Serialize;

use crate::joined::joined;
use crate::layout::{self, Bounds};
use crate::markdown::Heads;
use crate::{ExportError, Format, Info, Several, Writer, json, markdown};

static INFO: Info = Info {
    name: "chunks",
    about: "Chunks for retrieval, by heading and size, one JSON object per line",
    content_type: "application/x-ndjson",
    accepts: &[],
    extension: "chunks.ndjson",
    needs_words: false,
    streams: true,
    has_preface: false,
    reports_failures: false,
    several: Several::Never,
    composed: None,
};

/// Most bytes of the text of a chunk: some 500 tokens of English, the window of common embedding models.
const TEXT_BYTES_MAX: usize = 2000;
/// Fewest bytes behind headings for the beginning of a block that must be divided: with less, the headings are a chunk alone.
const PART_BYTES_MIN: usize = 500;
/// Between the blocks of a chunk: one blank line.
const BETWEEN_BLOCKS: &str = "\n\n";

/// Chunks for retrieval. A failed page is not in them.
#[derive(Debug)]
pub(crate) struct Chunks;

impl Format for Chunks {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(ChunkWriter::default())
    }
}

#[derive(Debug, Serialize)]
struct Place {
    page: u64,
    /// Left, top, right, bottom in pixels of the page image.
    #[serde(rename = "box")]
    corners: [u32; 4],
}

#[derive(Debug, Default)]
struct ChunkWriter {
    count: u64,
    /// The open headings with their levels; a title has level 0.
    headings: Vec<(u8, String)>,
    text: String,
    places: Vec<Place>,
    heads: Heads,
    /// Whether the text has more than headings.
    has_content: bool,
}

impl Writer for ChunkWriter {
    fn page(
        &mut self,
        _document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        let Ok(transcript) = page.outcome else { return Ok(()) };
        for view in transcript.block_views() {
            self.block(u64::from(page.index) + 1, &view, out)?;
        }
        Ok(())
    }

    fn tail(&mut self, _document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        self.flush(out)
    }
}

impl ChunkWriter {
    fn block(&mut self, page: u64, view: &BlockView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        if self.heads.repeats(view) {
            return Ok(());
        }
        let text = markdown::of_block(view);
        let text = text.trim_end();
        if text.is_empty() {
            return Ok(());
        }
        let level = match view.block.map(|block| &block.kind) {
            Some(BlockKind::Title) => Some(0),
            Some(BlockKind::Heading { level }) => Some((*level).max(1)),
            _ => None,
        };
        if let Some(level) = level {
            // Headings without content stay with what follows, where both fit into a chunk.
            if self.has_content {
                self.flush(out)?;
            }
            self.headings.retain(|(above, _)| *above < level);
            self.headings.push((level, joined(view)));
        }
        let bounds = Bounds::of(layout::corners(view));
        let corners = [bounds.x0, bounds.y0, bounds.x1, bounds.y1];
        if text.len() > self.room() && (self.has_content || self.room() < PART_BYTES_MIN) {
            self.flush(out)?;
        }
        let parts = match self.room() {
            room if text.len() <= room => vec![text.to_owned()],
            room => divided(view, text, room),
        };
        for (nth, part) in parts.iter().enumerate() {
            if nth > 0 {
                self.flush(out)?;
            }
            if part.is_empty() {
                continue;
            }
            if !self.text.is_empty() {
                self.text.push_str(BETWEEN_BLOCKS);
            }
            self.text.push_str(part);
            self.places.push(Place { page, corners });
            self.has_content |= level.is_none();
        }
        Ok(())
    }

    /// Returns the bytes that a block may have to fit into the chunk.
    fn room(&self) -> usize {
        let separator = if self.text.is_empty() { "" } else { BETWEEN_BLOCKS };
        TEXT_BYTES_MAX.saturating_sub(self.text.len() + separator.len())
    }

    /// Writes the chunk, if it has text.
    fn flush(&mut self, out: &mut dyn Write) -> Result<(), ExportError> {
        #[derive(Serialize)]
        struct Chunk<'a> {
            index: u64,
            text: &'a str,
            headings: Vec<&'a str>,
            pages: Vec<u64>,
            places: &'a [Place],
        }
        if self.text.is_empty() {
            return Ok(());
        }
        let mut pages: Vec<u64> = self.places.iter().map(|place| place.page).collect();
        pages.dedup();
        let headings = self.headings.iter().map(|(_, text)| text.as_str()).collect();
        let chunk = Chunk { index: self.count, text: &self.text, headings, pages, places: &self.places };
        writeln!(out, "{}", json::compact(&chunk))?;
        self.count += 1;
        self.text.clear();
        self.places.clear();
        self.has_content = false;
        Ok(())
    }
}

/// Returns the parts of a block that is larger than a chunk, the first of at most `room` bytes: of a table its rows and of code
/// its lines, of other blocks what is between white space.
fn divided(view: &BlockView<'_>, text: &str, room: usize) -> Vec<String> {
    if let Some(parts) = markdown::divided(view, room, TEXT_BYTES_MAX) {
        return parts;
    }
    // A row that is larger than a chunk: its cells as text, because a part of its markup is none.
    let text = markdown::rows_as_text(view).unwrap_or_else(|| text.to_owned());
    let (mut parts, mut rest, mut room) = (Vec::new(), text.as_str(), room);
    while !rest.is_empty() {
        let end = if rest.len() > room { break_before(rest, room) } else { rest.len() };
        let (part, more) = rest.split_at(end);
        parts.push(part.trim_end().to_owned());
        (rest, room) = (more.trim_start(), TEXT_BYTES_MAX);
    }
    parts
}

/// Returns a position of at most `most` bytes: after the last white space, or at a character where there is none.
fn break_before(text: &str, most: usize) -> usize {
    let most = text.floor_char_boundary(most);
    let head = text.get(..most).unwrap_or_default();
    match head.rfind(char::is_whitespace).filter(|at| *at > 0) {
        Some(at) => at,
        // One character at least.
        None if most == 0 => text.chars().next().map_or(0, char::len_utf8),
        None => most,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use lector_core::{Block, Line, Quad, Size, Transcript};
    use serde_json::{Value, json};

    use crate::sample;

    fn chunks(blocks: &[(super::BlockKind, String)]) -> Vec<Value> {
        let mut page = Transcript::blank(Size { width: 100, height: 100 }, 72.0);
        for ((kind, text), id) in blocks.iter().cloned().zip(0..) {
            page.lines.push(Line { block_id: id, ..Line::new(text, 1.0, Quad::default()) });
            let quad = sample::quad(1.0, 2.0, 3.0, 4.0);
            page.blocks.push(Block { id, kind, quad, confidence: 1.0, table: None, properties: None });
        }
        let bytes = crate::document(&super::Chunks, &sample::document_of(vec![page])).unwrap();
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn chunks_follow_headings_and_size() {
        use super::BlockKind::{Heading, PageNumber, Text, Title};
        let long = "word ".repeat(900);
        let found = chunks(&[
            (PageNumber, "7".into()),
            (Title, "The book".into()),
            (Heading { level: 1 }, "One".into()),
            (Text, "first".into()),
            (Text, "second".into()),
            (Heading { level: 2 }, "One one".into()),
            (Text, long.clone()),
            (Heading { level: 1 }, "Two".into()),
        ]);
        assert_eq!(
            found[0],
            json!({
                "index": 0, "text": "# The book\n\n# One\n\nfirst\n\nsecond", "headings": ["The book", "One"], "pages": [1],
                "places": vec![json!({ "page": 1, "box": [1, 2, 4, 6] }); 4],
            })
        );
        let texts: Vec<&str> = found.iter().map(|chunk| chunk["text"].as_str().unwrap()).collect();
        assert!(texts.iter().all(|text| text.len() <= super::TEXT_BYTES_MAX), "{texts:?}");
        assert_eq!(found[1]["headings"], json!(["The book", "One", "One one"]));
        let words: usize = texts.iter().map(|text| text.matches("word").count()).sum();
        assert_eq!(words, 900);
        assert_eq!(texts.last(), Some(&"# Two"));
    }

    fn texts_of(page: Transcript) -> Vec<String> {
        let bytes = crate::document(&super::Chunks, &sample::document_of(vec![page])).unwrap();
        let chunk =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().into();
        String::from_utf8(bytes).unwrap().lines().map(chunk).collect()
    }

    fn table_of(rows: u32, wide: &str, spans: bool) -> Transcript {
        use lector_core::{Cell, Table};
        let mut page = Transcript::blank(Size { width: 100, height: 100 }, 72.0);
        page.lines.push(Line::new("Prices", 1.0, Quad::default()));
        let cell = |row, column, column_span, text: String| Cell {
            row,
            column,
            row_span: 1,
            column_span,
            header: row == 0,
            quad: Quad::default(),
            text,
            lines: Vec::new(),
        };
        let body = (1..rows).flat_map(|row| {
            [
                cell(row, 0, 1, row.to_string()),
                cell(row, 1, 1, wide.to_owned()),
                cell(row, 2, 1, format!("e{row}")),
            ]
        });
        let (number, article) = ("No".to_owned(), "Article & more".to_owned());
        let head = if spans {
            vec![cell(0, 0, 1, number), cell(0, 1, 2, article)]
        } else {
            vec![cell(0, 0, 1, number), cell(0, 1, 1, article), cell(0, 2, 1, "Euro".to_owned())]
        };
        let cells = head.into_iter().chain(body).collect();
        let block = |id, kind, table| Block {
            id,
            kind,
            quad: Quad::default(),
            confidence: 1.0,
            table,
            properties: None,
        };
        let table = Some(Table { rows, columns: 3, cells });
        page.blocks = vec![
            block(0, super::BlockKind::Heading { level: 1 }, None),
            block(1, super::BlockKind::Table, table),
        ];
        page
    }

    #[test]
    fn tables_are_divided_at_rows_with_their_header() {
        let wide = "a word <b> ".repeat(9);
        for spans in [false, true] {
            let texts = texts_of(table_of(60, &wide, spans));
            assert!(texts.len() > 2 && texts[0].starts_with("# Prices\n\n"), "{texts:?}");
            for text in &texts {
                assert!(text.len() <= super::TEXT_BYTES_MAX, "{}", text.len());
                let is_whole = if spans {
                    assert_eq!(text.matches("<tr>").count(), text.matches("</tr>\n").count());
                    text.contains("<thead>\n<tr>") && text.ends_with("</tbody>\n</table>")
                } else {
                    text.contains("| No | Article") && text.lines().skip(2).all(|row| row.ends_with(" |"))
                };
                assert!(is_whole, "{text}");
            }
            let all = texts.concat();
            assert!((1..60).all(|row| all.matches(&format!("e{row}")).count() >= 1));
            assert_eq!(all.matches("a word").count(), 59 * 9);
        }
        // A row that is larger than a chunk is text, without parts of markup.
        let texts = texts_of(table_of(3, &wide.repeat(30), true));
        assert!(texts.iter().all(|text| text.len() <= super::TEXT_BYTES_MAX && !text.contains("<t")));
        assert_eq!(texts.concat().matches("word").count(), 2 * 270);
    }

    #[test]
    fn code_is_divided_at_lines_with_its_fences() {
        let mut page = Transcript::blank(Size { width: 100, height: 100 }, 72.0);
        let lines: Vec<String> = (0..200)
            .map(|at| format!("{}line {at}", " ".repeat(4 * (at % 5))))
            .chain(["x".repeat(5000)])
            .collect();
        page.lines.extend(lines.iter().map(|text| Line::new(text.as_str(), 1.0, Quad::default())));
        let (kind, quad) = (super::BlockKind::Code, Quad::default());
        page.blocks.push(Block { id: 0, kind, quad, confidence: 1.0, table: None, properties: None });
        let texts = texts_of(page);
        let body: String = texts
            .iter()
            .map(|text| {
                assert!(text.len() <= super::TEXT_BYTES_MAX);
                text.strip_prefix("```\n").unwrap().strip_suffix("```").unwrap()
            })
            .collect();
        assert_eq!(body.lines().take(200).collect::<Vec<_>>(), lines[..200]);
        assert_eq!(body.matches('x').count(), 5000);
    }

    #[test]
    fn no_chunk_is_larger_whatever_headings_and_blocks_are() {
        use super::BlockKind::{Heading, Text};
        let words = |count: usize| "word ".repeat(count).trim_end().to_owned();
        for heading in [0, 1, 50, 250, 298, 299, 300, 398, 399, 400, 500, 900] {
            for block in [1, 100, 350, 399, 400, 401, 900] {
                let blocks =
                    [(Heading { level: 1 }, words(heading)), (Text, words(block)), (Text, words(block))];
                let found = chunks(&blocks);
                let texts: Vec<&str> = found.iter().map(|chunk| chunk["text"].as_str().unwrap()).collect();
                assert!(texts.iter().all(|text| text.len() <= super::TEXT_BYTES_MAX), "{heading} {block}");
                let count: usize = texts.iter().map(|text| text.matches("word").count()).sum();
                assert_eq!(count, heading + 2 * block);
            }
        }
    }

    /// The headings of a chunk are those of its text: joined as the guest joins them.
    #[test]
    fn headings_are_joined_like_the_text() {
        for (lines, whole) in
            [(["Wirtschafts-", "politik"], "Wirtschaftspolitik"), (["財政", "政策"], "財政政策")]
        {
            let mut page = Transcript::blank(Size { width: 100, height: 100 }, 72.0);
            page.lines.extend(lines.map(|text| Line::new(text, 1.0, Quad::default())));
            page.lines.push(Line { block_id: 1, ..Line::new("below", 1.0, Quad::default()) });
            page.blocks.push(Block {
                id: 0,
                kind: super::BlockKind::Heading { level: 2 },
                quad: Quad::default(),
                confidence: 1.0,
                table: None,
                properties: Some(json!({ "text": whole }).to_string()),
            });
            let bytes = crate::document(&super::Chunks, &sample::document_of(vec![page])).unwrap();
            let chunk: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(chunk["text"], format!("## {whole}\n\nbelow"));
            assert_eq!(chunk["headings"], json!([whole]));
        }
    }
}
