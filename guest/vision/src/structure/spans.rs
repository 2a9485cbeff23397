//! Headings over several columns of an aligned table. Such a heading is narrower than its columns; it is told by the rule
//! drawn between it and their own headings, or by its middle, which is that of its columns.

use super::frame::Frame;
use super::numbers::is_value;
use super::tokens::Line;

/// Distance of pieces of a rule that are one, along it and across it, in em.
const PIECE_EM: f32 = 0.3;
/// Fraction of a column that a rule over it covers.
const COVERED: f32 = 0.6;
/// How far a rule may reach into the box of a text, which is higher than its letters, in em.
const INTO_EM: f32 = 0.35;
/// Distance of the middle of a heading from that of its columns, as a fraction of their width: it stands in the middle of cells
/// that are wider than their texts.
const OFF_MIDDLE: f32 = 0.1;
/// Distance of middles and edges that are the same, in em.
const SAME_EM: f32 = 0.5;

/// Returns whether a line has a value beside its first column.
pub(super) fn has_value(line: &Line<'_>) -> bool {
    line.iter().any(|(first, _, segment)| *first > 0 && is_value(&segment.text()))
}

/// Returns the number of rows above the first row of values; 1 where there are no values.
fn header_rows(lines: &[Line<'_>]) -> usize {
    lines.iter().position(has_value).unwrap_or(1)
}

/// Gives the headings over several columns their columns.
pub(super) fn widen(frame: &Frame<'_>, lines: &mut [Line<'_>], columns: &[(f32, f32)]) {
    for row in 0..header_rows(lines) {
        for (cell, range) in ruled(frame, lines, row, columns) {
            set(lines, row, cell, range);
        }
        let (Some(line), Some(below)) = (lines.get(row), lines.get(row + 1)) else { continue };
        for (cell, range) in centered(line, below, columns, frame.em) {
            set(lines, row, cell, range);
        }
    }
}

fn set(lines: &mut [Line<'_>], row: usize, cell: usize, (first, last): (usize, usize)) {
    if let Some(place) = lines.get_mut(row).and_then(|line| line.get_mut(cell)) {
        (place.0, place.1) = (first, last);
    }
}

/// Returns whether a line is a heading over several columns of the next one, and not the first line of its cells.
pub(super) fn is_over(line: &Line<'_>, below: &Line<'_>, columns: &[(f32, f32)], em: f32) -> bool {
    !centered(line, below, columns, em).is_empty()
}

/// Returns the cells of a row that stand over (or under) a rule over some of the columns, with these columns.
fn ruled(
    frame: &Frame<'_>,
    lines: &[Line<'_>],
    row: usize,
    columns: &[(f32, f32)],
) -> Vec<(usize, (usize, usize))> {
    let em = frame.em;
    let Some((line, (top, bottom))) = lines.get(row).and_then(|line| Some((line, extent(line)?))) else {
        return Vec::new();
    };
    let before = row.checked_sub(1).and_then(|at| extent(lines.get(at)?)).map(|(_, bottom)| bottom);
    let after = lines.get(row + 1).and_then(extent).map(|(top, _)| top);
    let mut found: Vec<(usize, (usize, usize))> = Vec::new();
    for (from_y, to_y, is_below) in [
        (Some(bottom - INTO_EM * em), after.map(|top| top + INTO_EM * em), true),
        (before.map(|bottom| bottom - INTO_EM * em), Some(top + INTO_EM * em), false),
    ] {
        let Some((from_y, to_y)) = from_y.zip(to_y) else { continue };
        for (from, to) in rules_between(frame, from_y, to_y) {
            let Some((first, last)) = covered(from, to, columns) else { continue };
            let mut cells = line.iter().enumerate().filter(|(_, (.., segment))| {
                let middle = segment.area.center().x;
                middle > from && middle < to
            });
            let (Some((cell, (.., segment))), None) = (cells.next(), cells.next()) else { continue };
            // Cells beside the rule keep their columns.
            let first = cell.checked_sub(1).and_then(|p| line.get(p)).map_or(first, |c| first.max(c.1 + 1));
            let last = line.get(cell + 1).map_or(last, |c| last.min(c.0.saturating_sub(1)));
            if first >= last {
                continue;
            }
            let middle = (from + to) / 2.0;
            let is_centered = (segment.area.center().x - middle).abs() <= em.max(0.05 * (to - from));
            let parts = lines
                .get(row + 1)
                .map_or(0, |next| next.iter().filter(|c| c.0 >= first && c.1 <= last).count());
            if (is_centered || (is_below && parts > 1)) && !found.iter().any(|(other, _)| *other == cell) {
                found.push((cell, (first, last)));
            }
        }
    }
    found
}

fn extent(line: &Line<'_>) -> Option<(f32, f32)> {
    let areas = || line.iter().map(|(.., segment)| segment.area);
    Some((areas().map(|area| area.y).reduce(f32::min)?, areas().map(|area| area.bottom()).reduce(f32::max)?))
}

/// Returns the extents of the level rules between two heights; their pieces are joined.
fn rules_between(frame: &Frame<'_>, top: f32, bottom: f32) -> Vec<(f32, f32)> {
    let reach = PIECE_EM * frame.em;
    let mut pieces: Vec<(f32, f32, f32)> = frame
        .across
        .iter()
        .filter(|rule| rule.at > top && rule.at < bottom)
        .map(|rule| (rule.from, rule.to, rule.at))
        .collect();
    pieces.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut out: Vec<(f32, f32, f32)> = Vec::new();
    for (from, to, at) in pieces {
        match out.iter_mut().find(|last| from - last.1 <= reach && (at - last.2).abs() <= reach) {
            Some(last) => last.1 = last.1.max(to),
            None => out.push((from, to, at)),
        }
    }
    out.into_iter().map(|(from, to, _)| (from, to)).collect()
}

/// Returns the columns that a rule covers, where they are several and not all.
fn covered(from: f32, to: f32, columns: &[(f32, f32)]) -> Option<(usize, usize)> {
    let is_covered =
        |column: &(f32, f32)| to.min(column.1) - from.max(column.0) >= COVERED * (column.1 - column.0);
    let first = columns.iter().position(is_covered)?;
    let last = columns.iter().rposition(is_covered)?;
    let count = last - first + 1;
    (count >= 2 && count < columns.len()).then_some((first, last))
}

/// Returns the cells of a row that stand in the middle of several columns with cells of their own below, with these columns.
fn centered(
    line: &Line<'_>,
    below: &Line<'_>,
    columns: &[(f32, f32)],
    em: f32,
) -> Vec<(usize, (usize, usize))> {
    let same = |a: f32, b: f32| (a - b).abs() <= SAME_EM * em;
    let mut found: Vec<(usize, (usize, usize))> = Vec::new();
    for (at, (first, last, segment)) in line.iter().enumerate() {
        let Some(own) = columns.get(*first).filter(|_| first == last) else { continue };
        let area = segment.area;
        let middle = area.center().x;
        if same(area.x, own.0) || same(area.right(), own.1) || same(middle, (own.0 + own.1) / 2.0) {
            continue;
        }
        // The columns that no other cell of the row has, and that have a cell of their own below.
        let left = at.checked_sub(1).and_then(|p| line.get(p)).map_or(0, |before| before.1 + 1);
        let right = line.get(at + 1).map_or(columns.len(), |next| next.0);
        let free = |k: usize| below.iter().any(|(a, b, _)| *a == k && *b == k);
        let mut best: Option<(f32, (usize, usize))> = None;
        for a in left..=*first {
            for b in (*last).max(a + 1)..right {
                let (Some(start), Some(end)) = (columns.get(a), columns.get(b)) else { continue };
                let off = (middle - (start.0 + end.1) / 2.0).abs();
                let near = (SAME_EM * em).max(OFF_MIDDLE * (end.1 - start.0));
                let fits = off <= near && area.x >= start.0 && area.right() <= end.1 && (a..=b).all(free);
                if fits && best.is_none_or(|(least, _)| off < least) {
                    best = Some((off, (a, b)));
                }
            }
        }
        if let Some((_, range)) = best {
            found.push((at, range));
        }
    }
    found
}
