//! Composition of the lines and blocks of a transcript, in reading order, from pieces of text of any source. Called once
//! per page.

use std::f32::consts::FRAC_PI_2;
use std::ops::Range;

use lector_sdk::{Block, BlockKind, Cell, Direction, Line, Size, Source, Table, Transcript, Word, span};
use lector_vision::bidi;
use lector_vision::geometry::{Quad, Rect, Rotation};
use lector_vision::layout;
use lector_vision::rules::Rule;
use lector_vision::script;
use lector_vision::statistics::weighted_median;
use lector_vision::structure::{self, Analysis, Kind, Piece, Sheet, Token, Vocabulary};

use crate::convert::to_sdk_quad;
use crate::fragment::Fragment;

/// Most tilt of a column against the page, in radians.
const COLUMN_TILT: f32 = 0.3;

/// The rotation of the page while its pieces were read, and its upright size.
struct Frame {
    /// Size in pixels of the upright page, the coordinate space of the pieces.
    size: Size,
    /// Rotation of the page image that makes it upright.
    rotation: Rotation,
}

impl Frame {
    /// Maps a quad of the upright page back to the page image as rendered.
    fn back(&self, quad: &Quad) -> Quad {
        quad.turned(self.rotation.inverse(), self.size.width as f32, self.size.height as f32)
    }
}

/// What the transcript of a page holds beside plain lines.
pub(crate) struct Wanted<'a> {
    /// Words with boxes.
    pub(crate) words: bool,
    /// Blocks; `None` for lines only.
    pub(crate) blocks: Option<Blocks<'a>>,
}

/// What the blocks of a page are found from, in the coordinates of the pieces.
pub(crate) struct Blocks<'a> {
    /// Of [`Layout::analysis`].
    pub(crate) analysis: Analysis<'a>,
    /// Lines drawn on the page.
    pub(crate) rules: &'a [Rule],
    /// Points per pixel of the page image.
    pub(crate) points: f32,
}

/// A printed line: its fragments, and its place in the layout.
struct Printed<'a> {
    members: Vec<&'a Fragment>,
    block: u32,
    zone: u32,
}

impl Printed<'_> {
    fn text(&self) -> String {
        joined(&self.members)
    }
}

/// Returns the font size of most characters of a line; `None` for text read from pixels.
fn main_size(members: &[&Fragment]) -> Option<f32> {
    let sized = members.iter().filter_map(|fragment| Some((fragment.font_size?, characters(fragment))));
    Some(weighted_median(sized)).filter(|size| *size > 0.0)
}

fn characters(fragment: &Fragment) -> f32 {
    fragment.text.chars().count().max(1) as f32
}

fn joined(members: &[&Fragment]) -> String {
    let texts: Vec<&str> = members.iter().map(|fragment| fragment.text.as_str()).collect();
    texts.join(" ")
}

/// Returns the printed lines in reading order. `rules` are the lines drawn on the page that guide the order.
fn printed<'a>(fragments: &'a [Fragment], rules: &[Rule], size: Size) -> Vec<Printed<'a>> {
    let quads: Vec<Quad> = fragments.iter().map(|fragment| fragment.quad).collect();
    let page = (size.width as f32, size.height as f32);
    let from_right = bidi::are_right_to_left(fragments.iter().map(|fragment| fragment.text.as_str()));
    let placed = if from_right {
        layout::reading_order_from_right(&quads, rules, page)
    } else {
        layout::reading_order(&quads, rules, page)
    };
    let group = |group: &[layout::Placed]| {
        let mut members: Vec<&Fragment> =
            group.iter().filter_map(|place| fragments.get(place.index)).collect();
        if from_right {
            members.reverse();
        }
        bidi::to_reading_order(&mut members, |fragment| &fragment.text);
        Printed {
            members,
            block: group.first().map_or(0, |place| place.block),
            zone: group.first().map_or(0, |place| place.zone),
        }
    };
    placed.chunk_by(|a, b| a.line == b.line).map(group).collect()
}

/// The printed lines of a page in reading order, and their texts.
pub(crate) struct Layout<'a> {
    lines: Vec<Printed<'a>>,
    texts: Vec<String>,
    size: Size,
}

impl<'a> Layout<'a> {
    /// Sorts the fragments of an upright page of `size` pixels. `rules` are the lines drawn on the page that guide the order.
    pub(crate) fn of(fragments: &'a [Fragment], rules: &[Rule], size: Size) -> Self {
        let _span = span("layout");
        let lines = printed(fragments, rules, size);
        let texts = lines.iter().map(Printed::text).collect();
        Self { lines, texts, size }
    }

    /// Returns what the tables and blocks of the page are found by. `first` is true for the first page of a document;
    /// `pictures` are areas beside embedded text, in the coordinates of the fragments.
    pub(crate) fn analysis<'l>(&'l self, first: bool, pictures: &'l [Rect]) -> Analysis<'l> {
        let size = (self.size.width as f32, self.size.height as f32);
        Analysis::of(self.pieces(), Sheet { size, first, pictures })
    }

    fn pieces<'l>(&'l self) -> Vec<Piece<'l>> {
        let piece = |line: &'l Printed<'_>, text: &'l String| {
            let quads: Vec<Quad> = line.members.iter().map(|fragment| fragment.quad).collect();
            let words = line.members.iter().flat_map(|fragment| &fragment.words);
            Piece {
                text,
                quad: layout::join_line(&quads).unwrap_or_default(),
                words: words.map(|word| Token { text: &word.text, quad: word.quad }).collect(),
                font_size: main_size(&line.members),
                block: line.block,
                zone: line.zone,
            }
        };
        self.lines.iter().zip(&self.texts).map(|(line, text)| piece(line, text)).collect()
    }
}

/// Fills in the lines of the page in reading order, in pixels of the page image as rendered, and its blocks where they are
/// wanted.
pub(crate) fn page(transcript: &mut Transcript, layout: &Layout<'_>, rotation: Rotation, wanted: Wanted<'_>) {
    let _span = span("layout");
    let frame = &Frame { size: layout.size, rotation };
    let Layout { lines, texts, .. } = layout;
    let Some(blocks) = wanted.blocks else {
        transcript.lines = lines
            .iter()
            .flat_map(|printed| runs(&printed.members).into_iter().map(|run| (run, printed.block)))
            .filter_map(|(run, block)| line(run, block, frame, wanted.words))
            .collect();
        return;
    };
    let (found, vocabulary) = blocks.analysis.blocks(blocks.rules);
    // Indices in the transcript of the lines of each piece.
    let mut index = vec![0..0; lines.len()];
    let mut counts = Vec::with_capacity(found.len());
    for (id, block) in (0..).zip(&found) {
        let start = transcript.lines.len();
        for row in &block.rows {
            let members: Vec<&Fragment> = row
                .iter()
                .filter_map(|at| lines.get(*at))
                .flat_map(|line| line.members.iter().copied())
                .collect();
            let from = transcript.lines.len() as u32;
            transcript
                .lines
                .extend(runs(&members).into_iter().filter_map(|run| line(run, id, frame, wanted.words)));
            for at in row {
                if let Some(place) = index.get_mut(*at) {
                    *place = from..transcript.lines.len() as u32;
                }
            }
        }
        counts.push(transcript.lines.len() - start);
    }
    for ((id, block), count) in (0..).zip(&found).zip(counts) {
        let rows: Vec<String> = block.rows.iter().map(|row| row_text(row, texts)).collect();
        let mut out = Block::new(id, kind(block.kind), to_sdk_quad(&frame.back(&block.quad)));
        out.confidence = block.confidence;
        out.table = block.table.as_ref().map(|table| grid(table, &index, frame));
        describe(&mut out, block, (&rows, count), &vocabulary, blocks.points);
        transcript.blocks.push(out);
    }
}

fn row_text(row: &[usize], texts: &[String]) -> String {
    let parts: Vec<&str> = row.iter().filter_map(|at| texts.get(*at)).map(String::as_str).collect();
    parts.join(" ")
}

/// Sets the properties of a block: `size_pt` of a heading, `rows` where its lines are rows, `caption_of`, and `text` where
/// the lines do not become the text by a space between them.
fn describe(
    out: &mut Block,
    block: &structure::Block,
    (rows, lines): (&[String], usize),
    vocabulary: &Vocabulary,
    points: f32,
) {
    if matches!(block.kind, Kind::Title | Kind::Heading(_)) {
        out.set_property("size_pt", f64::from((block.size * points * 10.0).round()) / 10.0);
    }
    if block.rowed {
        out.set_property("rows", true);
        if rows.len() != lines {
            // A row of several lines: the value of a form field beside its label.
            out.set_property("text", rows.join("\n"));
        }
        return;
    }
    if let Some(object) = block.caption_of {
        out.set_property("caption_of", object);
    }
    if rows.len() > 1 && !matches!(block.kind, Kind::Table | Kind::Code) {
        let text = structure::join(rows.iter().map(String::as_str), vocabulary);
        if text != rows.join(" ") {
            out.set_property("text", text);
        }
    }
}

fn kind(kind: Kind) -> BlockKind {
    match kind {
        Kind::Title => BlockKind::Title,
        Kind::Heading(level) => BlockKind::Heading(level),
        Kind::Text => BlockKind::Text,
        Kind::ListItem => BlockKind::ListItem,
        Kind::Table => BlockKind::Table,
        Kind::Figure => BlockKind::Figure,
        Kind::Caption => BlockKind::Caption,
        Kind::Header => BlockKind::Header,
        Kind::Footer => BlockKind::Footer,
        Kind::PageNumber => BlockKind::PageNumber,
        Kind::Footnote => BlockKind::Footnote,
        Kind::Code => BlockKind::Code,
    }
}

fn grid(table: &structure::Table, index: &[Range<u32>], frame: &Frame) -> Table {
    let cell = |cell: &structure::Cell| {
        let quad = to_sdk_quad(&frame.back(&cell.quad));
        let lines = cell.pieces.iter().filter_map(|at| index.get(*at).cloned()).flatten();
        let made = Cell::new(cell.row as u32, cell.column as u32, cell.text.clone(), quad)
            .spanning(cell.row_span as u32, cell.column_span as u32)
            .with_lines(lines);
        if cell.header { made.as_header() } else { made }
    };
    Table {
        rows: table.rows as u32,
        columns: table.columns as u32,
        cells: table.cells.iter().map(cell).collect(),
    }
}

/// Returns the parts of a printed line that are lines of their own: the value of a form field, or an annotation, beside the
/// text of the page. The mark of a check box stays with its label.
fn runs<'a, 'b>(members: &'b [&'a Fragment]) -> Vec<&'b [&'a Fragment]> {
    let origin = |fragment: &Fragment| match fragment.source {
        Source::Ocr | Source::TextLayer => 0,
        Source::FormField => 1,
        Source::Annotation => 2,
    };
    let is_mark = |fragment: &Fragment| fragment.text.chars().count() == 1 && origin(fragment) == 1;
    let goes_on = |a: &&Fragment, b: &&Fragment| is_mark(a) || is_mark(b) || origin(a) == origin(b);
    members.chunk_by(goes_on).collect()
}

/// Returns the source of a line: that of its pixels, whose confidence it has, else of its form field, its annotation.
fn source(members: &[&Fragment]) -> Source {
    let has = |source: Source| members.iter().any(|fragment| fragment.source == source);
    [Source::Ocr, Source::FormField, Source::Annotation]
        .into_iter()
        .find(|source| has(*source))
        .unwrap_or(Source::TextLayer)
}

/// Returns whether a line is a column of upright characters: one of full width that runs down the page.
fn is_column(text: &str, quad: &Quad) -> bool {
    let is_down = (quad.angle() - FRAC_PI_2).abs() < COLUMN_TILT && quad.width() > quad.height();
    let (wide, all) = text
        .chars()
        .filter(|c| c.is_alphabetic())
        .fold((0, 0), |(wide, all), c| (wide + usize::from(script::is_full_width(c)), all + 1));
    is_down && wide * 2 > all
}

/// Joins the fragments of one line; `None` without any.
fn line(members: &[&Fragment], block: u32, frame: &Frame, show_words: bool) -> Option<Line> {
    let quads: Vec<Quad> = members.iter().map(|fragment| fragment.quad).collect();
    let quad = layout::join_line(&quads)?;
    let total: f32 = members.iter().map(|fragment| characters(fragment)).sum();
    let sum: f32 = members.iter().map(|fragment| fragment.confidence * characters(fragment)).sum();
    let text = joined(members);
    let is_down = is_column(&text, &quad);
    // The characters of a column stand upright, and so do its corners; those of other turned lines are in reading order.
    let placed = |quad: &Quad| {
        let upright = quad.rotated_corners(Rotation::ThreeQuarters);
        to_sdk_quad(&frame.back(if is_down { &upright } else { quad }))
    };
    let words = members.iter().filter(|_| show_words).flat_map(|fragment| &fragment.words).map(|word| Word {
        text: word.text.clone(),
        confidence: word.confidence.clamp(0.0, 1.0),
        quad: placed(&word.quad),
    });
    let direction = match &text {
        text if bidi::is_right_to_left(text) => Direction::Rtl,
        _ if is_down => Direction::Ttb,
        _ => Direction::Ltr,
    };
    Some(Line {
        text,
        confidence: (sum / total).clamp(0.0, 1.0),
        quad: placed(&quad),
        words: words.collect(),
        source: source(members),
        direction,
        block_id: block,
    })
}
