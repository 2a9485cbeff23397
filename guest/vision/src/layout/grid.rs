//! Cuts along drawn lines: a form or a ruled table is read from rule to rule, and inside a row cell by cell.
//!
//! A rule counts only if it spans all of the text beside it and crosses none of it. Underlines, frames of figures and
//! false lines therefore make no cut that the white space between the lines would not make.

use super::cells::{Cell, alignment, rows};
use crate::geometry::Point;
use crate::strokes::{Stroke, strokes};

/// Fraction of a region's extent that a rule must span.
const SPAN: f32 = 0.9;
/// Maximum distance of rules that are treated as one (a double line, pieces of a line), in em.
const SAME_EM: f32 = 0.25;
/// Maximum overlap of boxes over an upright rule, in em.
const REACH_EM: f32 = 0.4;
/// Maximum rows within the cells of one grid row on common baselines; with more rows it is a table without lines
/// between its rows.
const CELL_ROWS_MAX: usize = 3;
/// Minimum number of bands between level rules that make a region a grid.
const GRID_BANDS: usize = 3;
/// Fraction of common baselines below which neighbors are not rows of one table.
const ALIGNED: f32 = 0.5;
/// Fraction of a column's width that a level rule inside it must span.
const INNER_SPAN: f32 = 0.8;

/// The lines drawn on a level page, each list sorted by position.
#[derive(Clone, Debug, Default)]
pub(super) struct Grid {
    level: Vec<Stroke>,
    upright: Vec<Stroke>,
}

impl Grid {
    /// Makes a grid from the ends of lines; lines that are neither level nor upright are left out.
    pub fn of(ends: impl Iterator<Item = (Point, Point)>) -> Self {
        let (level, upright) = strokes(ends);
        Self { level, upright }
    }

    /// Returns the lines of the mirrored page.
    pub fn mirrored(&self) -> Self {
        let level =
            self.level.iter().map(|line| Stroke { from: -line.to, to: -line.from, ..*line }).collect();
        let upright = self.upright.iter().rev().map(|line| Stroke { at: -line.at, ..*line }).collect();
        Self { level, upright }
    }
}

/// Returns the parts into which rules cut the cells, in reading order; `None` without such rules.
pub(super) fn cut(cells: &[Cell], grid: &Grid, em: f32) -> Option<Vec<Vec<Cell>>> {
    let (left, right) = extent(cells, |c| (c.left, c.right));
    let (top, bottom) = extent(cells, |c| (c.core_top(), c.core_bottom()));
    let level = spanning(&grid.level, (left, right), em);
    let level = passing(level, cells, |cell| (cell.core_top(), cell.core_bottom()));
    if let Some(bands) = parts(cells, &level, Cell::center_y) {
        return Some(bands);
    }
    let upright = spanning(&grid.upright, (top, bottom), em);
    let reach = REACH_EM * em;
    let upright = passing(upright, cells, |cell| (cell.left + reach, cell.right - reach));
    let columns = parts(cells, &upright, Cell::center_x)?;
    are_cells(cells, &columns, grid, (top, bottom)).then_some(columns)
}

/// Returns the extent of the cells.
fn extent(cells: &[Cell], ends: impl Fn(&Cell) -> (f32, f32)) -> (f32, f32) {
    cells
        .iter()
        .map(ends)
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), (from, to)| (low.min(from), high.max(to)))
}

/// Returns the positions of the lines that span most of an extent; pieces at the same position are joined.
fn spanning(lines: &[Stroke], (low, high): (f32, f32), em: f32) -> Vec<f32> {
    let mut places = Vec::new();
    for group in lines.chunk_by(|a, b| b.at - a.at <= SAME_EM * em) {
        let mut pieces: Vec<(f32, f32)> =
            group.iter().map(|line| (line.from.max(low), line.to.min(high))).collect();
        pieces.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut covered, mut end) = (0.0, low);
        for (from, to) in pieces {
            covered += (to - from.max(end)).max(0.0);
            end = end.max(to);
        }
        if covered >= SPAN * (high - low) && high > low {
            let sum: f32 = group.iter().map(|line| line.at).sum();
            places.push(sum / group.len() as f32);
        }
    }
    places
}

/// Returns the positions that lie in no cell.
fn passing(mut places: Vec<f32>, cells: &[Cell], inside: impl Fn(&Cell) -> (f32, f32)) -> Vec<f32> {
    places.retain(|&at| {
        !cells.iter().any(|cell| {
            let (from, to) = inside(cell);
            from < at && at < to
        })
    });
    places
}

/// Splits the cells at ascending positions; `None` if all lie between the same two.
fn parts(cells: &[Cell], places: &[f32], middle: impl Fn(&Cell) -> f32) -> Option<Vec<Vec<Cell>>> {
    let mut parts: Vec<Vec<Cell>> = vec![Vec::new(); places.len() + 1];
    for cell in cells {
        let at = middle(cell);
        if let Some(part) = parts.get_mut(places.partition_point(|&place| place <= at)) {
            part.push(*cell);
        }
    }
    parts.retain(|part| !part.is_empty());
    (parts.len() > 1).then_some(parts)
}

/// Returns whether the parts between upright rules are read cell by cell. A table without lines between its rows is
/// not.
fn are_cells(cells: &[Cell], columns: &[Vec<Cell>], grid: &Grid, (top, bottom): (f32, f32)) -> bool {
    let apart = |pair: &[Vec<Cell>]| match pair {
        [a, b] => alignment(a, b) < ALIGNED,
        _ => false,
    };
    if columns.windows(2).any(apart) || columns.iter().any(|column| is_divided(column, grid)) {
        return true;
    }
    let height = bottom - top;
    let near: Vec<&Stroke> = grid
        .level
        .iter()
        .filter(|line| line.at > top - 4.0 * height && line.at < bottom + 4.0 * height)
        .collect();
    rows(cells).len() <= CELL_ROWS_MAX && near.len() >= GRID_BANDS
}

/// Returns whether a level rule lies inside a column, crosses none of its cells, and spans most of its width.
fn is_divided(column: &[Cell], grid: &Grid) -> bool {
    let (left, right) = extent(column, |c| (c.left, c.right));
    let (top, bottom) = extent(column, |c| (c.center_y(), c.center_y()));
    grid.level.iter().any(|line| {
        let shared = line.to.min(right) - line.from.max(left);
        line.at > top
            && line.at < bottom
            && shared >= INNER_SPAN * (right - left)
            && !column.iter().any(|c| c.core_top() < line.at && line.at < c.core_bottom())
    })
}
