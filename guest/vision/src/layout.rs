//! Reading order: sorts boxes of text into printed lines, columns, paragraphs and tables, in the order of a human
//! reader. Uses geometry only, not the text of the boxes.
//!
//! The page is leveled by the direction of its lines ([`level`]), then cut recursively (Nagy & Seth, "Hierarchical
//! representation of optically scanned documents", ICPR 1984), similar to Meunier ("Optimized XY-cut for determining a
//! page reading order", ICDAR 2005). A plain XY-cut takes the widest gap first; this one first cuts columns of running
//! text, found as stretches of white between lines that persist from one spanning line to the next (Breuel, "Two
//! geometric algorithms for layout analysis", DAS 2002) ([`gutter`]). Then it cuts bands between wide horizontal gaps.
//! Boxes side by side in a band are read row by row if they share baselines, as in tables, and block by block otherwise
//! ([`flow`], [`table`]). If the page has drawn lines between its parts, as forms do, it is cut along them first
//! ([`grid`]). A page whose text runs from right to left is mirrored before it is cut.
//!
//! Called once per page, with the boxes of detected lines, of embedded lines, or of both together.

mod cells;
mod flow;
mod grid;
mod gutter;
mod level;
mod table;

use crate::geometry::Quad;
use crate::rules::Rule;

/// The position of a box in reading order. `reading_order` returns one for each box, in reading order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Index of the box in the input.
    pub index: usize,
    /// Number of the paragraph, heading, cell or table that it belongs to; ascending in reading order from 0.
    pub block: u32,
    /// Number of the printed line: neighbors with the same number are fragments of one line, to be joined with a space.
    /// Ascending in reading order from 0. Cells of one table row are lines of their own.
    pub line: u32,
    /// Number of its zone: the part of the page without a gutter of running text inside. Ascending in reading order.
    pub zone: u32,
}

/// Maximum gap between fragments of one printed line on one baseline, in line heights.
const FRAGMENT_GAP: f32 = 1.0;

/// Returns the boxes in reading order: columns one after the other, tables row by row, headings that span columns
/// before these columns, cells of a drawn grid one by one. `page` is the width and height of the coordinate space of
/// quads and rules. Every box is returned exactly once; boxes without a finite position come last, in the given order.
pub fn reading_order(boxes: &[Quad], rules: &[Rule], page: (f32, f32)) -> Vec<Placed> {
    placed(boxes, level::level(boxes, rules, page))
}

/// Does the same for a page whose text runs from right to left: the first column is the right one, and the boxes of a
/// printed line are returned from the right.
pub fn reading_order_from_right(boxes: &[Quad], rules: &[Rule], page: (f32, f32)) -> Vec<Placed> {
    placed(boxes, level::level(boxes, rules, page).mirrored())
}

fn placed(boxes: &[Quad], leveled: level::Leveled) -> Vec<Placed> {
    let mut blocks = flow::blocks(leveled.cells, &leveled.grid);
    level::upend(&mut blocks, &leveled.upside_down);
    let zone = blocks.last().map_or(0, |block| block.zone) + 1;
    blocks.extend(leveled.aside.into_iter().map(|cell| flow::Block { zone, rows: vec![vec![cell]] }));
    let mut placed = Vec::with_capacity(boxes.len());
    let mut line = 0u32;
    for (block, flow::Block { zone, rows }) in blocks.iter().enumerate() {
        for row in rows {
            // The extent of the fragments before, and the height of the last one.
            let mut before: Option<(f32, f32, f32)> = None;
            for cell in row {
                let (mut left, mut right) = (cell.left, cell.right);
                if let Some((from, to, height)) = before {
                    // A row that is upside down runs to the left.
                    let gap = (cell.left - to).max(from - cell.right);
                    line += u32::from(gap > FRAGMENT_GAP * cell.height().max(height));
                    (left, right) = (left.min(from), right.max(to));
                }
                placed.push(Placed { index: cell.index, block: block as u32, line, zone: *zone });
                before = Some((left, right, cell.height()));
            }
            line += 1;
        }
    }
    for index in leveled.unplaced {
        placed.push(Placed { index, block: blocks.len() as u32, line, zone: zone + 1 });
        line += 1;
    }
    placed
}

/// Returns the direction of most of the text in radians clockwise from "to the right": the tilt of a scan, and for text
/// down the page a quarter turn.
pub fn direction(boxes: &[Quad], rules: &[Rule]) -> f32 {
    level::direction_of(boxes, rules)
}

/// Returns the quad around fragments of one printed line (the boxes that share a `Placed::line`), in the direction of
/// the longest of them; `None` without any.
pub fn join_line(fragments: &[Quad]) -> Option<Quad> {
    Quad::around(fragments)
}

#[cfg(test)]
mod tests;
