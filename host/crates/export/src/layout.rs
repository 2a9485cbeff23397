//! Lines and words of a block for formats that place text on the page: hOCR, ALTO, PAGE, TSV.

use lector_core::{BlockKind, BlockView, Direction, Point, Quad};

/// A line to place: a line of the page, or the text of a table's cell that names no line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) text: &'a str,
    pub(crate) confidence: f32,
    pub(crate) quad: &'a Quad,
    pub(crate) direction: Direction,
    words: &'a [lector_core::Word],
}

/// A word to place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlacedWord<'a> {
    pub(crate) text: &'a str,
    pub(crate) confidence: f32,
    pub(crate) quad: &'a Quad,
}

impl<'a> From<&'a lector_core::Line> for Placed<'a> {
    fn from(line: &'a lector_core::Line) -> Self {
        Self {
            text: &line.text,
            confidence: line.confidence,
            quad: &line.quad,
            direction: line.direction,
            words: &line.words,
        }
    }
}

impl<'a> Placed<'a> {
    /// Returns the text of a cell as a line, unless its lines have it.
    pub(crate) fn of_cell(cell: &'a lector_core::Cell, confidence: f32) -> Option<Self> {
        let has_text = cell.lines.is_empty() && !cell.text.trim().is_empty();
        has_text.then_some(Self {
            text: &cell.text,
            confidence,
            quad: &cell.quad,
            direction: Direction::Ltr,
            words: &[],
        })
    }

    /// Returns the words that have a character. Where the guest gave no words, the line is one word: the format has no
    /// text outside of words, and a division of the line's box would be invented.
    pub(crate) fn words(&self) -> Vec<PlacedWord<'a>> {
        let words = self.words.iter().map(|word| PlacedWord {
            text: word.text.trim(),
            confidence: word.confidence,
            quad: &word.quad,
        });
        let words: Vec<_> = words.filter(|word| !word.text.is_empty()).collect();
        let text = self.text.trim();
        if !words.is_empty() || text.is_empty() {
            return words;
        }
        vec![PlacedWord { text, confidence: self.confidence, quad: self.quad }]
    }

    /// Returns the angle of the line in degrees, counter-clockwise, -180 to 180.
    pub(crate) fn degrees(&self) -> f32 {
        let [left, right, ..] = self.quad.0;
        (left.y - right.y).atan2(right.x - left.x).to_degrees()
    }
}

/// Returns the lines of a block, and the cells of a table whose text is in no line.
pub(crate) fn placed<'a>(view: &BlockView<'a>) -> Vec<Placed<'a>> {
    let lines = view.lines.iter().map(|(_, line)| Placed::from(*line));
    let cells = view.block.into_iter().flat_map(|block| {
        let cells = block.table.as_ref().map_or(&[][..], |table| &table.cells);
        cells.iter().filter_map(move |cell| Placed::of_cell(cell, block.confidence))
    });
    lines.chain(cells).collect()
}

/// Returns the corners around a block: its own, where it has a record, otherwise those of its lines.
pub(crate) fn corners(view: &BlockView<'_>) -> Vec<Point> {
    match view.block {
        Some(block) => block.quad.0.to_vec(),
        None => view.lines.iter().flat_map(|(_, line)| line.quad.0).collect(),
    }
}

/// Returns the left, top, right and bottom edge of the smallest box around the points; `None` without points.
pub(crate) fn edges(points: impl IntoIterator<Item = Point>) -> Option<[f32; 4]> {
    let start = [f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY];
    let [x0, y0, x1, y1] = points
        .into_iter()
        .fold(start, |[x0, y0, x1, y1], p| [x0.min(p.x), y0.min(p.y), x1.max(p.x), y1.max(p.y)]);
    (x0 <= x1).then_some([x0, y0, x1, y1])
}

/// Returns the name of a kind, as in JSON.
pub(crate) fn kind_name(view: &BlockView<'_>) -> &'static str {
    match view.block.map(|block| &block.kind) {
        None | Some(BlockKind::Text) => "text",
        Some(BlockKind::Title) => "title",
        Some(BlockKind::Heading { .. }) => "heading",
        Some(BlockKind::ListItem) => "list_item",
        Some(BlockKind::Table) => "table",
        Some(BlockKind::Figure) => "figure",
        Some(BlockKind::Caption) => "caption",
        Some(BlockKind::Formula) => "formula",
        Some(BlockKind::Header) => "header",
        Some(BlockKind::Footer) => "footer",
        Some(BlockKind::PageNumber) => "page_number",
        Some(BlockKind::Footnote) => "footnote",
        Some(BlockKind::Code) => "code",
        Some(BlockKind::FormField) => "form_field",
        Some(BlockKind::Stamp) => "stamp",
        Some(BlockKind::Other { .. }) => "other",
    }
}

/// A box of whole pixels without negative coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) x0: u32,
    pub(crate) y0: u32,
    pub(crate) x1: u32,
    pub(crate) y1: u32,
}

impl Bounds {
    /// Returns the smallest box around the points; an empty box at the origin without points.
    pub(crate) fn of(points: impl IntoIterator<Item = Point>) -> Self {
        let Some([x0, y0, x1, y1]) = edges(points) else {
            return Self { x0: 0, y0: 0, x1: 0, y1: 0 };
        };
        // `as` saturates a float at the range of the integer.
        Self { x0: x0.floor() as u32, y0: y0.floor() as u32, x1: x1.ceil() as u32, y1: y1.ceil() as u32 }
    }

    pub(crate) fn width(self) -> u32 {
        self.x1 - self.x0
    }

    pub(crate) fn height(self) -> u32 {
        self.y1 - self.y0
    }
}

/// Returns a confidence as whole percent.
pub(crate) fn percent(confidence: f32) -> u32 {
    (confidence.clamp(0.0, 1.0) * 100.0).round() as u32
}
