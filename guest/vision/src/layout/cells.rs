//! Level boxes of text, and measurements on sets of them: rows, gaps between bands, gaps between columns.

use crate::geometry::Quad;
use crate::rows;
use crate::statistics::quantile;

/// Fraction of a box's height that is trimmed above and below before boxes are compared: detectors return boxes that
/// include ascenders, descenders and some margin, so that boxes of tight lines overlap.
const TRIM: f32 = 0.15;

/// Maximum distance of the middles of boxes on one baseline, in heights of the lower box. Lines of unrelated columns
/// meet this in one of three cases by chance.
const SAME_BASELINE: f32 = 0.2;

/// A box of text on a level page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    pub index: usize,
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
    /// Height across the text, for vertical cells less than `bottom - top`.
    line: f32,
}

/// A printed row: cells that share a baseline, left to right.
pub(super) type Row = Vec<Cell>;

impl Cell {
    /// Makes a cell from the bounds of a level quad.
    pub fn new(index: usize, quad: &Quad) -> Self {
        let bounds = quad.bounds();
        // A residual tilt of a long line makes its bounds higher than the line is.
        let (height, center) = (quad.height().min(bounds.height), bounds.center());
        let (top, bottom) = if quad.angle().abs() < 0.5 {
            (center.y - height / 2.0, center.y + height / 2.0)
        } else {
            (bounds.y, bounds.bottom())
        };
        Self { index, left: bounds.x, top, right: bounds.right(), bottom, line: height }
    }

    /// Returns the cell of the mirrored page.
    pub fn mirrored(&self) -> Self {
        Self { left: -self.right, right: -self.left, ..*self }
    }

    pub fn height(&self) -> f32 {
        self.line
    }

    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    pub fn center_x(&self) -> f32 {
        (self.left + self.right) / 2.0
    }

    pub fn center_y(&self) -> f32 {
        (self.top + self.bottom) / 2.0
    }

    /// Returns the upper edge of its core.
    pub fn core_top(&self) -> f32 {
        self.top + TRIM * self.line
    }

    /// Returns the lower edge of its core.
    pub fn core_bottom(&self) -> f32 {
        self.bottom - TRIM * self.line
    }
}

/// Returns the typical line height of the cells, the unit of every threshold here ("em"); 1 for none.
pub(super) fn em(cells: &[Cell]) -> f32 {
    let mut heights: Vec<f32> = cells.iter().map(Cell::height).collect();
    let em = quantile(&mut heights, 0.5);
    if em > 0.0 { em } else { 1.0 }
}

/// Returns the rows from top to bottom, left to right. Cells of a row overlap in their heights, and none lies under most of
/// another: those of a wrapped cell are rows of their own.
pub(super) fn rows(cells: &[Cell]) -> Vec<Row> {
    let is_stacked = |a: &Cell, b: &Cell| {
        let shared = a.right.min(b.right) - a.left.max(b.left);
        shared > 0.5 * a.width().min(b.width()) && b.core_top() > a.center_y()
    };
    let mut rows = rows::rows(cells.to_vec(), |cell| (cell.center_y(), cell.height()), is_stacked);
    for row in &mut rows {
        row.sort_by(|a, b| a.left.total_cmp(&b.left));
    }
    rows
}

/// Returns the maximal groups of cells between which a level line cuts no core, top to bottom, each with the white
/// space above it (0 for the first).
pub(super) fn bands(cells: &[Cell]) -> Vec<(f32, Vec<Cell>)> {
    let mut sorted: Vec<Cell> = cells.to_vec();
    sorted.sort_by(|a, b| a.core_top().total_cmp(&b.core_top()));
    let mut bands: Vec<(f32, Vec<Cell>)> = Vec::new();
    let mut end = f32::NEG_INFINITY;
    for cell in sorted {
        let gap = cell.core_top() - end;
        match bands.last_mut() {
            Some((_, band)) if gap < 0.0 => band.push(cell),
            Some(_) => bands.push((gap, vec![cell])),
            None => bands.push((0.0, vec![cell])),
        }
        end = end.max(cell.core_bottom());
    }
    bands
}

/// Joins bands with at most `gap` of white space between them.
pub(super) fn bands_apart(bands: Vec<(f32, Vec<Cell>)>, gap: f32) -> Vec<Vec<Cell>> {
    let mut joined: Vec<Vec<Cell>> = Vec::new();
    for (white, band) in bands {
        match joined.last_mut() {
            Some(last) if white <= gap => last.extend(band),
            _ => joined.push(band),
        }
    }
    joined
}

/// Returns the groups of cells with at least `gap` of white space between them horizontally, left to right.
pub(super) fn columns(cells: &[Cell], gap: f32) -> Vec<Vec<Cell>> {
    let mut sorted: Vec<Cell> = cells.to_vec();
    sorted.sort_by(|a, b| a.left.total_cmp(&b.left));
    let mut columns: Vec<Vec<Cell>> = Vec::new();
    let mut end = f32::NEG_INFINITY;
    for cell in sorted {
        match columns.last_mut() {
            Some(column) if cell.left - end < gap => column.push(cell),
            _ => columns.push(vec![cell]),
        }
        end = end.max(cell.right);
    }
    columns
}

/// Returns the middle height of a row.
pub(super) fn middle(row: &Row) -> f32 {
    row.iter().map(Cell::center_y).sum::<f32>() / row.len().max(1) as f32
}

/// Returns the number of rows of `a` that share a baseline with a row of `b`.
pub(super) fn common_rows(a: &[Cell], b: &[Cell]) -> usize {
    let height = |row: &Row| row.iter().map(Cell::height).fold(f32::INFINITY, f32::min);
    let mut others: Vec<f32> = rows(b).iter().map(middle).collect();
    others.sort_unstable_by(f32::total_cmp);
    rows(a)
        .iter()
        .filter(|row| {
            let (own, reach) = (middle(row), SAME_BASELINE * height(row));
            // The nearest at either side.
            let at = others.partition_point(|other| *other < own);
            others[at.saturating_sub(1)..].iter().take(2).any(|other| (own - other).abs() <= reach)
        })
        .count()
}

/// Returns the fraction, 0 to 1, of the rows of the side with fewer rows that share a baseline with a row of the other
/// side.
pub(super) fn alignment(a: &[Cell], b: &[Cell]) -> f32 {
    let (rows_a, rows_b) = (rows(a).len(), rows(b).len());
    let common = if rows_a <= rows_b { common_rows(a, b) } else { common_rows(b, a) };
    common as f32 / rows_a.min(rows_b).max(1) as f32
}
