//! The white space between two columns of running text.

use super::cells::{Cell, alignment, bands, bands_apart, common_rows, middle, rows};
use crate::statistics::quantile;

/// Maximum number of left edges tried as the start of a column, those of the most boxes: a page of running text has a few dozen,
/// a plan with thousands of separate words has as many as fit on it.
const EDGES_MAX: usize = 128;
/// Minimum lines of a column.
const LINES_MIN: usize = 3;
/// Minimum median width of a column's lines in em; a narrower column is part of a table.
const PROSE_WIDTH: f32 = 7.0;
/// Fraction of the longest lines' length from which a line fills its column.
const FULL_LINE: f32 = 0.8;
/// Fraction of the lines of running text that fill their column, or end where a neighbor ends.
const PROSE_FILL: f32 = 0.5;
/// Fraction of a column's height that lines take; the cells of a table are farther apart.
const PROSE_DENSITY: f32 = 0.45;
/// Maximum overlap of boxes over an edge of a gutter, in em: detectors extend boxes beyond the ends of lines.
const REACH: f32 = 0.4;
/// Height from which a box, in em, is a picture that was detected as text; it may overlap a gutter by a fraction of its
/// width.
const TALL: f32 = 3.0;
const PICTURE_REACH: f32 = 0.2;
/// Distance in em from other boxes that cross a gutter, from which a box is two merged lines rather than part of a
/// table.
const ISOLATED_EM: f32 = 3.0;
/// Distance between the rows of different cells of a table column, in typical distances of its rows; lines of one paragraph are
/// nearer.
const WIDER: f32 = 1.15;

/// Columns side by side, and the cells above and below them.
pub(super) struct Columns {
    pub above: Vec<Cell>,
    pub left: Vec<Cell>,
    pub right: Vec<Cell>,
    pub below: Vec<Cell>,
}

/// Returns the gutter of running text with the longest columns, if any.
pub(super) fn split(cells: &[Cell], em: f32) -> Option<Columns> {
    let mut sorted: Vec<Cell> = cells.to_vec();
    sorted.sort_by(|a, b| a.center_y().total_cmp(&b.center_y()));
    let mut best: Option<(f32, f32, usize, usize)> = None;
    for x in edges(&sorted, em) {
        for (from, to) in stretches(&sorted, x, em) {
            let extent = shared_extent(&sorted[from..to], x);
            if extent > best.map_or(2.5 * em, |b| b.0) && separates(&sorted[from..to], x, em) {
                best = Some((extent, x, from, to));
            }
        }
    }
    let (_, x, from, to) = best?;
    let (left, right) = sorted[from..to].iter().partition(|c| c.center_x() < x);
    Some(Columns { above: sorted[..from].to_vec(), left, right, below: sorted[to..].to_vec() })
}

/// Returns the left edges that several lines share, from the left: columns begin there.
fn edges(cells: &[Cell], em: f32) -> Vec<f32> {
    let mut classes: Vec<i32> = cells.iter().map(|c| (c.left / (0.5 * em)).floor() as i32).collect();
    classes.sort_unstable();
    let mut edges: Vec<(usize, i32)> = Vec::new();
    let mut from = 0;
    for same in classes.chunk_by(|a, b| a == b) {
        // Lines of one column may fall into two neighboring classes.
        let near = classes[from..].iter().take_while(|&&class| class <= same[0].saturating_add(1)).count();
        if near >= LINES_MIN {
            edges.push((near, same[0]));
        }
        from += same.len();
    }
    edges.sort_by_key(|edge| std::cmp::Reverse(edge.0));
    edges.truncate(EDGES_MAX);
    edges.sort_unstable_by_key(|edge| edge.1);
    edges.into_iter().map(|(_, class)| class as f32 * 0.5 * em).collect()
}

/// Returns the longest stretches of cells, in order from the top, none of which spans `x`.
fn stretches(sorted: &[Cell], x: f32, em: f32) -> Vec<(usize, usize)> {
    let crosses = |c: &Cell| {
        // A picture's box may overlap the gutter; it is not a heading.
        let reach = if c.height() > TALL * em { PICTURE_REACH * c.width() } else { REACH * em };
        c.left < x - reach && c.right > x + reach
    };
    let crossing: Vec<usize> = (0..sorted.len()).filter(|&i| crosses(&sorted[i])).collect();
    let mut found = Vec::new();
    let mut from = 0;
    for (k, &i) in crossing.iter().enumerate() {
        let cell = &sorted[i];
        let lonely = |other: Option<&usize>| {
            other.is_none_or(|&j| (sorted[j].center_y() - cell.center_y()).abs() > ISOLATED_EM * em)
        };
        let alone = lonely(k.checked_sub(1).and_then(|p| crossing.get(p))) && lonely(crossing.get(k + 1));
        if alone && shares_row(sorted, i) {
            continue;
        }
        if i > from {
            found.push((from, i));
        }
        from = i + 1;
    }
    if from < sorted.len() {
        found.push((from, sorted.len()));
    }
    found
}

/// Returns whether other cells are on the row of cell `i`. A heading that spans columns is alone on its row; two lines
/// of neighboring columns that a detector merged are not.
fn shares_row(sorted: &[Cell], i: usize) -> bool {
    let cell = &sorted[i];
    let near = |other: &&Cell| (other.center_y() - cell.center_y()).abs() < 0.5 * cell.height();
    let beside = |other: &Cell| other.left >= cell.center_x() || other.right <= cell.center_x();
    sorted[..i].iter().rev().take_while(near).any(beside)
        || sorted[i + 1..].iter().take_while(near).any(beside)
}

/// Returns the height over which there is text on both sides of `x`.
fn shared_extent(cells: &[Cell], x: f32) -> f32 {
    let extent = |left: bool| {
        cells
            .iter()
            .filter(|c| (c.center_x() < x) == left)
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(t, b), c| (t.min(c.top), b.max(c.bottom)))
    };
    let ((left_top, left_bottom), (right_top, right_bottom)) = (extent(true), extent(false));
    left_bottom.min(right_bottom) - left_top.max(right_top)
}

/// Returns whether columns of running text, rather than cells of a table, are on both sides of `x`.
fn separates(cells: &[Cell], x: f32, em: f32) -> bool {
    // Half of the lines of a column of running text are wide; the cells of a table are told apart by this alone.
    let wide = |left: bool| {
        let is_wide = |c: &&Cell| (c.center_x() < x) == left && c.width() >= PROSE_WIDTH * em;
        cells.iter().filter(is_wide).take(LINES_MIN / 2 + 1).count() > LINES_MIN / 2
    };
    if !wide(true) && !wide(false) {
        return false;
    }
    let (left, right): (Vec<Cell>, Vec<Cell>) = cells.iter().partition(|c| c.center_x() < x);
    if left.len() < LINES_MIN || right.len() < LINES_MIN {
        return false;
    }
    let (near_left, near_right) = (nearest(&left, true), nearest(&right, false));
    let prose_left = is_prose(&near_left, em) && !has_companions(&left, &near_left, em);
    let prose_right = is_prose(&near_right, em) && !has_companions(&right, &near_right, em);
    match (prose_left, prose_right) {
        (true, true) => !is_banded(cells, x, em),
        // Text beside a picture with labels, a sidebar or a table of another pitch.
        (true, false) | (false, true) => alignment(&near_left, &near_right) < 0.5,
        (false, false) => false,
    }
}

/// Returns the cells of a side that no other cell of the side separates from the gutter. `cells` are sorted from the
/// top.
fn nearest(cells: &[Cell], gutter_at_right: bool) -> Vec<Cell> {
    let hidden = |i: usize, cell: &Cell| {
        let nearer = |other: &Cell| {
            let shared = other.bottom.min(cell.bottom) - other.top.max(cell.top);
            let ahead =
                if gutter_at_right { other.left >= cell.center_x() } else { other.right <= cell.center_x() };
            ahead && shared > 0.5 * other.height().min(cell.height())
        };
        // Sorted by their middles: only neighbors can share a row.
        let within = |other: &&Cell| (other.center_y() - cell.center_y()).abs() < cell.height();
        cells[..i].iter().rev().take_while(within).any(nearer)
            || cells[i + 1..].iter().take_while(within).any(nearer)
    };
    cells.iter().enumerate().filter(|(i, cell)| !hidden(*i, cell)).map(|(_, cell)| *cell).collect()
}

/// Returns whether most lines of a column share their rows with narrow cells farther from the gutter: then it is the
/// widest column of a table.
fn has_companions(side: &[Cell], near: &[Cell], em: f32) -> bool {
    let mut known: Vec<usize> = near.iter().map(|c| c.index).collect();
    known.sort_unstable();
    let far: Vec<Cell> = side.iter().filter(|c| known.binary_search(&c.index).is_err()).copied().collect();
    let mut widths: Vec<f32> = far.iter().map(Cell::width).collect();
    far.len() * 2 >= near.len() && quantile(&mut widths, 0.5) < PROSE_WIDTH * em && {
        let rows = rows(near).len();
        rows > 0 && common_rows(near, &far) * 10 >= rows * 7
    }
}

/// Returns whether cells below each other are lines of running text.
fn is_prose(cells: &[Cell], em: f32) -> bool {
    if cells.len() < LINES_MIN {
        return false;
    }
    let mut widths: Vec<f32> = cells.iter().map(Cell::width).collect();
    let (median, longest) = (quantile(&mut widths, 0.5), quantile(&mut widths, 0.95));
    let top = cells.iter().map(|c| c.top).fold(f32::INFINITY, f32::min);
    let bottom = cells.iter().map(|c| c.bottom).fold(f32::NEG_INFINITY, f32::max);
    let taken: f32 = cells.iter().map(Cell::height).sum();
    if median < PROSE_WIDTH * em || taken < PROSE_DENSITY * (bottom - top) {
        return false;
    }
    // Flush at both sides with the line above or below: justified text, also if it flows around a picture.
    let flush =
        |a: &Cell, b: &Cell| (a.left - b.left).abs() < 0.4 * em && (a.right - b.right).abs() < 0.4 * em;
    let full = (0..cells.len())
        .filter(|&i| {
            let cell = &cells[i];
            let above = i.checked_sub(1).and_then(|j| cells.get(j));
            cell.width() >= FULL_LINE * longest
                || above.is_some_and(|c| flush(c, cell))
                || cells.get(i + 1).is_some_and(|c| flush(c, cell))
        })
        .count();
    full as f32 >= PROSE_FILL * cells.len() as f32
}

/// Returns whether the text at both sides of `x` forms many short bands that both sides share: rows of a table whose
/// cells have several lines.
fn is_banded(cells: &[Cell], x: f32, em: f32) -> bool {
    let split = bands(cells);
    let mut gaps: Vec<f32> = split.iter().skip(1).map(|(gap, _)| *gap).collect();
    let typical = quantile(&mut gaps, 0.3);
    let (left, right): (Vec<Cell>, Vec<Cell>) = cells.iter().partition(|c| c.center_x() < x);
    let sides = [Pitch::of(&left), Pitch::of(&right)];
    let mut bands: Vec<Vec<Cell>> = Vec::new();
    for band in bands_apart(split, (0.45 * em).max(1.6 * typical)) {
        // Two columns of different pitch have common white space where neither has more of it than between its other lines.
        match bands.last_mut() {
            Some(last) if !sides.iter().any(|side| side.is_wider_at(halfway(last, &band))) => {
                last.extend(band)
            }
            _ => bands.push(band),
        }
    }
    let both = bands
        .iter()
        .filter(|b| b.iter().any(|c| c.center_x() < x) && b.iter().any(|c| c.center_x() >= x))
        .count();
    let lines_a_band = cells.len() as f32 / 2.0 / bands.len() as f32;
    bands.len() >= 3 && both * 10 >= bands.len() * 6 && lines_a_band <= 4.0
}

/// Returns the height halfway between two bands.
fn halfway(above: &[Cell], below: &[Cell]) -> f32 {
    let end = above.iter().map(Cell::core_bottom).fold(f32::NEG_INFINITY, f32::max);
    let start = below.iter().map(Cell::core_top).fold(f32::INFINITY, f32::min);
    0.5 * (end + start)
}

/// The lines of one side of a gutter.
struct Pitch {
    /// The middles of the rows, from the top.
    rows: Vec<f32>,
    /// The typical distance of rows.
    typical: f32,
}

impl Pitch {
    fn of(side: &[Cell]) -> Self {
        let mut rows: Vec<f32> = rows(side).iter().map(middle).collect();
        rows.sort_unstable_by(f32::total_cmp);
        let mut steps: Vec<f32> = rows.windows(2).map(|pair| pair[1] - pair[0]).collect();
        Self { typical: quantile(&mut steps, 0.3), rows }
    }

    /// Returns whether the rows around this height are farther apart than those of one paragraph.
    fn is_wider_at(&self, y: f32) -> bool {
        let at = self.rows.partition_point(|row| *row < y);
        let (Some(above), Some(below)) =
            (at.checked_sub(1).and_then(|i| self.rows.get(i)), self.rows.get(at))
        else {
            return true;
        };
        below - above > WIDER * self.typical
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Quad, Rect};

    #[test]
    fn of_many_left_edges_those_of_the_most_boxes_are_tried() {
        let cell = |index: usize, x: f32, y: f32| {
            Cell::new(index, &Quad::from_rect(&Rect { x, y, width: 8.0, height: 10.0 }))
        };
        let mut cells: Vec<Cell> =
            (0..900).map(|i| cell(i, 10.0 * (i % 300) as f32, 12.0 * (i / 300) as f32)).collect();
        assert_eq!(edges(&cells, 10.0).len(), EDGES_MAX);
        cells.extend((0..50).map(|i| cell(900 + i, 3005.0, 12.0 * i as f32)));
        let found = edges(&cells, 10.0);
        assert_eq!((found.len(), found.last()), (EDGES_MAX, Some(&3005.0)));
        assert!(found.is_sorted());
    }
}
