//! Reading order: boxes of text become printed lines in columns, paragraphs and tables, in the order in which a reader
//! takes them. Geometry only; what the boxes say plays no part.
//!
//! The page is leveled by the direction of its lines ([`level`]), then cut recursively (Nagy & Seth, "Hierarchical
//! representation of optically scanned documents", ICPR 1984), in the spirit of Meunier ("Optimized XY-cut for
//! determining a page reading order", ICDAR 2005): where a plain XY-cut takes the widest gap, columns of running text
//! come first here, found as stretches of white between lines that persist from one spanning line to the next (Breuel,
//! "Two geometric algorithms for layout analysis", DAS 2002) ([`gutter`]); then bands between wide horizontal gaps; then
//! what stands side by side in a band is read row by row where it shares baselines, as tables do, and block by block
//! where it does not ([`flow`], [`table`]). Where a page draws lines between its parts, as forms do, it is cut along
//! them first ([`grid`]).
//!
//! Called once a page, with the boxes of detected lines, of embedded lines, or of both together.

mod cells;
mod flow;
mod grid;
mod gutter;
mod level;
mod table;

use crate::geometry::Quad;
use crate::rules::Rule;

/// Where a box stands in reading order. `reading_order` gives one for each box, in reading order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Index of the box among those given.
    pub index: usize,
    /// Paragraph, heading, cell or table that it belongs to; rises in reading order from 0.
    pub block: u32,
    /// Printed line: neighbours with the same number are fragments of one line, to be joined with a space. Rises in
    /// reading order from 0. Cells of one table row are lines of their own.
    pub line: u32,
}

/// Fragments on one baseline are one printed line where the gap between them is at most this many line heights.
const FRAGMENT_GAP: f32 = 1.0;

/// The order in which the boxes are read: columns one after the other, tables row by row, headings that span columns
/// before what they head, cells of a drawn grid one by one. `page` is the width and height of what the quads and rules
/// lie in. Every box is placed exactly once;
/// boxes without a finite place come last, in the order given.
pub fn reading_order(boxes: &[Quad], rules: &[Rule], page: (f32, f32)) -> Vec<Placed> {
    let leveled = level::level(boxes, rules, page);
    let mut blocks = flow::blocks(leveled.cells, &leveled.grid);
    blocks.extend(leveled.aside.into_iter().map(|cell| vec![vec![cell]]));
    let mut placed = Vec::with_capacity(boxes.len());
    let mut line = 0u32;
    for (block, rows) in blocks.iter().enumerate() {
        for row in rows {
            let mut end: Option<(f32, f32)> = None;
            for cell in row {
                if let Some((right, height)) = end {
                    let apart = cell.left - right > FRAGMENT_GAP * cell.height().max(height);
                    line += u32::from(apart);
                }
                placed.push(Placed { index: cell.index, block: block as u32, line });
                end = Some((end.map_or(cell.right, |e| e.0.max(cell.right)), cell.height()));
            }
            line += 1;
        }
    }
    for index in leveled.unplaced {
        placed.push(Placed { index, block: blocks.len() as u32, line });
        line += 1;
    }
    placed
}

/// The quad around fragments of one printed line (the boxes that share a `Placed::line`), in the direction of the
/// longest of them; `None` without any.
pub fn join_line(fragments: &[Quad]) -> Option<Quad> {
    let longest = fragments.iter().max_by(|a, b| a.width().total_cmp(&b.width()))?;
    if fragments.len() == 1 {
        return Some(*longest);
    }
    let angle = longest.angle();
    let source = longest.center();
    let level = Quad(longest.0.map(|p| p.turned_about(source, -angle))).bounds();
    let bounds = fragments.iter().fold(level, |around, fragment| {
        around.union(&Quad(fragment.0.map(|p| p.turned_about(source, -angle))).bounds())
    });
    Some(Quad(Quad::from_rect(&bounds).0.map(|p| p.turned_about(source, angle))))
}

#[cfg(test)]
mod tests;
