//! The lines of program text with their indents and blank lines, which the model states by positions alone.

use lector_core::{BlockView, Line, Point};

use crate::xml::one_line;

/// Characters from which the width of a line tells that of its letters.
const MEASURED_MIN: usize = 4;
/// Most relative deviation of the widths of letters; the text is otherwise not set in letters of one width.
const SPREAD_MAX: f32 = 0.06;
/// Largest indent, and most blank lines between two lines.
const INDENT_MAX: usize = 80;
const BLANK_MAX: usize = 4;
/// Distance of the middles of two parts of one line, as a fraction of its height.
const SAME_LINE: f32 = 0.4;

/// Returns the lines of a block of program text without white space at their ends. Where the guest gives lines without
/// indents and the letters have one width, spaces stand for the distance from the left, and blank lines for that between lines.
pub(crate) fn code_lines(view: &BlockView<'_>) -> Vec<String> {
    let plain =
        |line: &Line| line.text.replace(|c: char| c.is_control() && c != '\t', " ").trim_end().to_owned();
    let lines: Vec<&Line> = view.lines.iter().map(|(_, line)| *line).collect();
    let grid =
        if lines.iter().any(|line| line.text.starts_with([' ', '\t'])) { None } else { Grid::of(&lines) };
    let Some(grid) = grid else { return lines.into_iter().map(plain).collect() };
    let mut out: Vec<String> = Vec::new();
    let mut before: Option<f32> = None;
    for line in lines {
        let (column, row) = grid.place(line);
        let text = one_line(&line.text);
        if let (Some(before), Some(last)) = (before, out.last_mut()) {
            if (row - before).abs() < SAME_LINE * grid.height {
                let spaces = column.saturating_sub(last.chars().count()).max(1);
                last.push_str(&" ".repeat(spaces));
                last.push_str(&text);
                continue;
            }
            let blank = ((row - before) / grid.leading).round() - 1.0;
            let blank = if blank >= 1.0 { (blank as usize).min(BLANK_MAX) } else { 0 };
            out.extend(std::iter::repeat_n(String::new(), blank));
        }
        out.push(format!("{}{text}", " ".repeat(column)));
        before = Some(row);
    }
    out
}

/// The grid of letters of one width.
struct Grid {
    /// Along and across the lines.
    along: Point,
    left: f32,
    advance: f32,
    height: f32,
    /// Distance of two lines.
    leading: f32,
}

impl Grid {
    /// Measures lines; `None` where their letters have no one width, or a corner has no place.
    fn of(lines: &[&Line]) -> Option<Self> {
        let finite = |line: &&Line| line.quad.0.iter().all(|p| p.x.is_finite() && p.y.is_finite());
        let longest = lines.iter().max_by_key(|line| line.text.chars().count())?;
        let [tl, tr, _, bl] = longest.quad.0;
        let (width, height) = ((tr.x - tl.x).hypot(tr.y - tl.y), (bl.x - tl.x).hypot(bl.y - tl.y));
        if !lines.iter().all(finite) || width <= 0.0 || height <= 0.0 {
            return None;
        }
        let along = Point { x: (tr.x - tl.x) / width, y: (tr.y - tl.y) / width };
        let mut grid = Self { along, left: 0.0, advance: 1.0, height, leading: f32::INFINITY };
        let mut advances: Vec<f32> = lines
            .iter()
            .filter(|line| line.text.chars().count() >= MEASURED_MIN)
            .map(|line| grid.width(line) / line.text.chars().count() as f32)
            .collect();
        grid.advance = median(&mut advances).filter(|advance| *advance > 0.0)?;
        let even = |advance: &f32| (advance - grid.advance).abs() <= SPREAD_MAX * grid.advance;
        // A gap of several spaces inside a line widens it.
        if advances.len() < 2
            || advances.iter().filter(|advance| even(advance)).count() * 4 < advances.len() * 3
        {
            return None;
        }
        grid.left = lines.iter().map(|line| grid.at(line).0).fold(f32::INFINITY, f32::min);
        let rows: Vec<f32> = lines.iter().map(|line| grid.at(line).1).collect();
        let steps = rows.windows(2).filter_map(|pair| Some(pair.get(1)? - pair.first()?));
        let mut steps: Vec<f32> = steps.filter(|step| *step >= SAME_LINE * grid.height).collect();
        // Of the smaller half: blank lines are the others.
        steps.sort_by(f32::total_cmp);
        if let Some(step) = steps.get(steps.len().saturating_sub(1) / 4) {
            grid.leading = *step;
        }
        Some(grid)
    }

    /// Returns the beginning of a line along its direction, and its place across it.
    fn at(&self, line: &Line) -> (f32, f32) {
        let [tl, _, _, bl] = line.quad.0;
        let (x, y) = (tl.x, (tl.y + bl.y) / 2.0);
        (x * self.along.x + tl.y * self.along.y, y * self.along.x - (tl.x + bl.x) / 2.0 * self.along.y)
    }

    fn width(&self, line: &Line) -> f32 {
        let [tl, tr, ..] = line.quad.0;
        (tr.x - tl.x) * self.along.x + (tr.y - tl.y) * self.along.y
    }

    /// Returns the column of a line, and its place across the lines.
    fn place(&self, line: &Line) -> (usize, f32) {
        let (along, across) = self.at(line);
        // Negative values and those of no number become 0.
        ((((along - self.left) / self.advance).round() as usize).min(INDENT_MAX), across)
    }
}

fn median(values: &mut [f32]) -> Option<f32> {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use lector_core::{Block, BlockKind, Quad, Size, Transcript};

    use super::*;

    fn lines_of(lines: &[(usize, f32, &str)], turned: bool) -> Vec<String> {
        let mut page = Transcript::blank(Size { width: 400, height: 400 }, 72.0);
        for (column, row, text) in lines {
            let (x0, y0) = (60.0 + 6.0 * *column as f32, 50.0 + 12.0 * row);
            let (x1, y1) = (x0 + 6.0 * text.chars().count() as f32, y0 + 10.0);
            let corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)];
            let point = |(x, y)| if turned { Point { x: 400.0 - y, y: x } } else { Point { x, y } };
            page.lines.push(Line::new(*text, 1.0, Quad(corners.map(point))));
        }
        let (kind, quad) = (BlockKind::Code, Quad::default());
        page.blocks.push(Block { id: 0, kind, quad, confidence: 1.0, table: None, properties: None });
        code_lines(&page.block_views()[0])
    }

    #[test]
    fn indents_and_blank_lines_are_those_of_the_page() {
        let lines = [
            (0, 0.0, "def total(items):"),
            (4, 1.0, "for item in items:"),
            (8, 2.0, "result += item.price"),
            (40, 2.0, "# in cents"),
            (4, 4.0, "return result"),
        ];
        for turned in [false, true] {
            assert_eq!(
                lines_of(&lines, turned),
                [
                    "def total(items):",
                    "    for item in items:",
                    "        result += item.price            # in cents",
                    "",
                    "    return result",
                ],
            );
        }
    }

    #[test]
    fn lines_with_indents_of_their_own_and_without_places_stay() {
        let own = [(0, 0.0, "fn main() {"), (9, 1.0, "    let a = 1;"), (0, 2.0, "}")];
        assert_eq!(lines_of(&own, false), ["fn main() {", "    let a = 1;", "}"]);
        let mut page = Transcript::blank(Size { width: 1, height: 1 }, 72.0);
        page.lines = ["a b c d", "e f g h"].map(|text| Line::new(text, 1.0, Quad::default())).into();
        assert_eq!(code_lines(&page.block_views()[0]), ["a b c d", "e f g h"]);
    }
}
