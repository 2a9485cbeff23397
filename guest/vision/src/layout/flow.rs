//! The recursive cut: columns of running text, bands, blocks side by side, rows.

use super::cells::{Cell, Row, alignment, bands, bands_apart, columns, em, rows};
use super::grid::Grid;
use super::{grid, gutter, table};
use crate::statistics::quantile;

/// Maximum recursion depth of cuts; a page needs five or six. Beyond it, the rest is read row by row.
const DEPTH_MAX: u32 = 24;
/// Minimum white space between separate bands, in em and in typical gaps between lines.
const BAND_GAP_EM: f32 = 0.6;
const BAND_GAP_TYPICAL: f32 = 1.8;
/// Minimum white space between blocks side by side, in em.
const BLOCK_GAP_EM: f32 = 1.0;
/// Fraction of common baselines from which neighbors are read row by row.
const ROW_ALIGNMENT: f32 = 0.5;
/// Maximum rows of a band that may be blocks in spite of common baselines.
const SMALL_ROWS: usize = 10;
/// Minimum white space between such blocks, in em.
const APART_EM: f32 = 4.0;
/// Maximum white space between their lines, in em.
const CLOSE_EM: f32 = 0.35;

/// A paragraph, cell or table.
pub(super) struct Block {
    /// Number of the zone: blocks of one zone have no gutter of running text between them.
    pub zone: u32,
    pub rows: Vec<Row>,
}

/// The blocks in reading order, and the zone of the next one.
#[derive(Default)]
struct Out {
    blocks: Vec<Block>,
    zone: u32,
}

impl Out {
    fn push(&mut self, rows: Vec<Row>) {
        self.blocks.push(Block { zone: self.zone, rows });
    }
}

/// Returns the paragraphs, cells or tables of a page in reading order, each as rows.
pub(super) fn blocks(cells: Vec<Cell>, grid: &Grid) -> Vec<Block> {
    let mut out = Out::default();
    flow(cells, grid, &mut out, 0);
    out.blocks
}

fn flow(cells: Vec<Cell>, grid: &Grid, out: &mut Out, depth: u32) {
    if cells.is_empty() {
        return;
    }
    if cells.len() == 1 || depth >= DEPTH_MAX {
        out.push(rows(&cells));
        return;
    }
    let em = em(&cells);
    if let Some(parts) = grid::cut(&cells, grid, em) {
        for part in parts {
            flow(part, grid, out, depth + 1);
        }
        return;
    }
    if let Some(parts) = gutter::split(&cells, em) {
        for part in [parts.above, parts.left, parts.right, parts.below] {
            out.zone += 1;
            flow(part, grid, out, depth + 1);
        }
        out.zone += 1;
        return;
    }
    let split = bands(&cells);
    let mut gaps: Vec<f32> = split.iter().skip(1).map(|(gap, _)| *gap).collect();
    let typical = quantile(&mut gaps, 0.5);
    let apart = bands_apart(split, (BAND_GAP_EM * em).max(BAND_GAP_TYPICAL * typical));
    if apart.len() > 1 {
        for band in apart {
            flow(band, grid, out, depth + 1);
        }
        return;
    }
    side_by_side(cells, em, grid, out, depth);
}

/// Splits a band without wide gaps between its lines: one block, blocks side by side, or a table.
fn side_by_side(cells: Vec<Cell>, em: f32, grid: &Grid, out: &mut Out, depth: u32) {
    let mut parts = columns(&cells, BLOCK_GAP_EM * em);
    if parts.len() < 2 {
        out.push(rows(&cells));
        return;
    }
    let small = rows(&cells).len() <= SMALL_ROWS;
    // Neighbors on common baselines are cells of one table; the other parts are read block by block.
    let mut blocks: Vec<Vec<Cell>> = vec![parts.remove(0)];
    for part in parts {
        match blocks.last_mut() {
            Some(last)
                if alignment(last, &part) >= ROW_ALIGNMENT && !(small && are_blocks(last, &part, em)) =>
            {
                last.extend(part);
            }
            _ => blocks.push(part),
        }
    }
    if blocks.len() == 1 {
        let block = table::read(&cells, em);
        if !block.is_empty() {
            out.push(block);
        }
        return;
    }
    for block in from_the_top(blocks) {
        flow(block, grid, out, depth + 1);
    }
}

/// Sorts blocks from left to right, except that a block that lies wholly above others (a running head above a heading
/// at the other margin) comes before them.
fn from_the_top(blocks: Vec<Vec<Cell>>) -> Vec<Vec<Cell>> {
    let core = |block: &[Cell]| {
        block.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(top, bottom), cell| {
            (top.min(cell.core_top()), bottom.max(cell.core_bottom()))
        })
    };
    let mut placed: Vec<(usize, (f32, f32), Vec<Cell>)> =
        blocks.into_iter().enumerate().map(|(i, block)| (i, core(&block), block)).collect();
    placed.sort_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let mut end = f32::NEG_INFINITY;
    let mut level = 0;
    let mut ordered: Vec<(usize, usize, Vec<Cell>)> = Vec::new();
    for (i, (top, bottom), block) in placed {
        level += usize::from(top >= end);
        end = end.max(bottom);
        ordered.push((level, i, block));
    }
    ordered.sort_by_key(|(level, i, _)| (*level, *i));
    ordered.into_iter().map(|(_, _, block)| block).collect()
}

/// Returns whether two neighbors on common baselines are still read one after the other: a few lines each, flush left,
/// with a wide gap between them and tight lines, such as addresses, or captions over values.
fn are_blocks(left: &[Cell], right: &[Cell], em: f32) -> bool {
    let flush = |cells: &[Cell]| {
        let edge = cells.iter().map(|c| c.left).fold(f32::INFINITY, f32::min);
        let mut widths: Vec<f32> = cells.iter().map(Cell::width).collect();
        let (short, long) = (quantile(&mut widths, 0.1), quantile(&mut widths, 0.9));
        let uneven = quantile(&mut widths, 0.5) >= 4.0 * em && long >= 1.3 * short;
        cells.len() >= 3
            && uneven
            && cells.len() == rows(cells).len()
            && cells.iter().all(|c| c.left - edge < 0.5 * em)
    };
    let close = |cells: &[Cell]| bands(cells).iter().all(|(gap, _)| *gap < CLOSE_EM * em);
    let end = left.iter().map(|c| c.right).fold(f32::NEG_INFINITY, f32::max);
    let start = right.iter().map(|c| c.left).fold(f32::INFINITY, f32::min);
    flush(left) && flush(right) && close(left) && close(right) && start - end >= APART_EM * em
}
