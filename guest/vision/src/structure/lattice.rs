//! Tables with a drawn grid: rules that cross, with a closed frame around them.

use super::cells::{self, Draft, Slot};
use super::frame::{Found, Frame, Line};
use super::tokens::{Word, around, rows, segments};
use crate::geometry::Rect;
use crate::statistics::quantile;
use crate::strokes::Stroke;

/// Distance of rules that are one, in em.
const SAME_EM: f32 = 0.35;
/// Distance between rules that meet, in em.
const MEET_EM: f32 = 0.6;
/// Fraction of each side of the frame that must be drawn.
const FRAMED: f32 = 0.9;
/// Fraction of the side of a slot from which it is drawn.
const SIDE: f32 = 0.6;
/// Most lines of a grid along one axis.
const LINES_MAX: usize = 400;
/// Cells for each one with text, at most.
const FILLED: usize = 3;
/// How far a line in a cell reaches beyond the frame, in em, and the most characters beyond it where that is most of the line.
const BEYOND_EM: f32 = 3.0;
const MARK_MAX: usize = 3;
/// Minimum distance of neighboring grid lines, in em: less is a double line.
const STEP_EM: f32 = 0.5;

/// Returns the framed tables of the page.
pub(super) fn tables(frame: &Frame<'_>) -> Vec<Found> {
    let em = frame.em;
    let across = joined(&frame.across, em);
    let down = joined(&frame.down, em);
    if across.len() < 2 || down.len() < 2 {
        return Vec::new();
    }
    let mut found: Vec<Found> = components(&across, &down, em)
        .into_iter()
        .filter_map(|(level, upright)| grid(frame, &level, &upright))
        .collect();
    // A grid in a cell of another one stays part of that cell.
    found.sort_by(|a, b| b.area.area().total_cmp(&a.area.area()));
    let mut kept: Vec<Found> = Vec::new();
    for table in found {
        if !kept.iter().any(|other| other.lines.iter().any(|line| table.lines.contains(line))) {
            kept.push(table);
        }
    }
    kept
}

/// Joins the pieces of one rule.
fn joined(strokes: &[Stroke], em: f32) -> Vec<Stroke> {
    let mut out: Vec<Stroke> = Vec::new();
    for stroke in strokes {
        let near = out.iter_mut().rev().take_while(|last| stroke.at - last.at <= SAME_EM * em);
        let meets = |last: &&mut Stroke| {
            stroke.from <= last.to + MEET_EM * em && stroke.to >= last.from - MEET_EM * em
        };
        match near.into_iter().find(meets) {
            Some(last) => (last.from, last.to) = (last.from.min(stroke.from), last.to.max(stroke.to)),
            None => out.push(*stroke),
        }
    }
    out
}

/// Returns the groups of rules that cross or meet each other.
fn components(across: &[Stroke], down: &[Stroke], em: f32) -> Vec<(Vec<Stroke>, Vec<Stroke>)> {
    let mut parent: Vec<usize> = (0..across.len() + down.len()).collect();
    let reach = MEET_EM * em;
    for (i, level) in across.iter().enumerate() {
        let start = down.partition_point(|upright| upright.at < level.from - reach);
        for (j, upright) in down.iter().enumerate().skip(start) {
            if upright.at > level.to + reach {
                break;
            }
            if upright.from - reach <= level.at && level.at <= upright.to + reach {
                let (a, b) = (root(&mut parent, i), root(&mut parent, across.len() + j));
                if let Some(place) = parent.get_mut(a) {
                    *place = b;
                }
            }
        }
    }
    let mut groups: std::collections::BTreeMap<usize, (Vec<Stroke>, Vec<Stroke>)> =
        std::collections::BTreeMap::new();
    for (i, stroke) in across.iter().chain(down).enumerate() {
        let group = groups.entry(root(&mut parent, i)).or_default();
        if i < across.len() { group.0.push(*stroke) } else { group.1.push(*stroke) }
    }
    groups.into_values().filter(|(level, upright)| level.len() >= 2 && upright.len() >= 2).collect()
}

fn root(parent: &mut [usize], mut i: usize) -> usize {
    while let Some(&up) = parent.get(i).filter(|up| **up != i) {
        let over = parent.get(up).copied().unwrap_or(up);
        if let Some(place) = parent.get_mut(i) {
            *place = over;
        }
        i = up;
    }
    i
}

/// Returns the positions of grid lines, ascending.
fn positions(strokes: &[Stroke], em: f32) -> Vec<f32> {
    let mut at: Vec<f32> = strokes.iter().map(|stroke| stroke.at).collect();
    at.sort_unstable_by(f32::total_cmp);
    let mut out: Vec<f32> = Vec::new();
    for x in at {
        if out.last().is_none_or(|last| x - last > STEP_EM * em) {
            out.push(x);
        }
    }
    out
}

/// Returns the fraction of `from..to` that strokes near `at` cover.
fn drawn(strokes: &[Stroke], at: f32, from: f32, to: f32, em: f32) -> f32 {
    let start = strokes.partition_point(|stroke| stroke.at < at - STEP_EM * em);
    let mut parts: Vec<(f32, f32)> = strokes
        .iter()
        .skip(start)
        .take_while(|stroke| stroke.at <= at + STEP_EM * em)
        .map(|stroke| (stroke.from.max(from), stroke.to.min(to)))
        .filter(|(a, b)| b > a)
        .collect();
    parts.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut covered, mut end) = (0.0, from);
    for (a, b) in parts {
        covered += (b - a.max(end)).max(0.0);
        end = end.max(b);
    }
    if to > from { covered / (to - from) } else { 0.0 }
}

/// Makes the table of crossing rules; `None` where they are no closed grid, or a form or a layout rather than a table.
fn grid<'a>(frame: &Frame<'a>, across: &[Stroke], down: &[Stroke]) -> Option<Found> {
    let em = frame.em;
    let (ys, xs) = (positions(across, em), positions(down, em));
    let (rows_drawn, columns) = (ys.len().checked_sub(1)?, xs.len().checked_sub(1)?);
    if rows_drawn * columns < 2 || columns < 2 || ys.len() > LINES_MAX || xs.len() > LINES_MAX {
        return None;
    }
    let (left, right, top, bottom) = (*xs.first()?, *xs.last()?, *ys.first()?, *ys.last()?);
    let area = Rect::from_edges(left, top, right, bottom);
    let sides = [
        drawn(across, top, left, right, em),
        drawn(across, bottom, left, right, em),
        drawn(down, left, top, bottom, em),
        drawn(down, right, top, bottom, em),
    ];
    if sides.iter().any(|side| *side < FRAMED) {
        return None;
    }
    let (mut words, mut outside) = (Vec::new(), Vec::new());
    let mut lines = Vec::new();
    for (index, line) in frame.lines.iter().enumerate().filter(|(_, line)| line.level) {
        let is_inside = |word: &&Word<'_>| area.contains(word.area.center());
        if !line.words.iter().any(|word| is_inside(&word)) {
            continue;
        }
        let (own, other): (Vec<Word<'_>>, Vec<Word<'_>>) = line.words.iter().partition(is_inside);
        if own.len() * 2 > line.words.len() || sticks_out(line, &own, &other, &area, em) {
            lines.push(index);
            words.extend(own);
            outside.extend(other);
        }
    }
    let ys = divided(frame, &ys, &xs, &words);
    let row_count = ys.len() - 1;
    if row_count < 2 {
        return None;
    }
    let groups = slots(across, down, &ys, &xs, em);
    let mut drafts: Vec<Draft<'a>> = groups
        .iter()
        .filter_map(|&slot| {
            let (x0, x1) = (*xs.get(slot.column)?, *xs.get(slot.column + slot.column_span)?);
            let (y0, y1) = (*ys.get(slot.row)?, *ys.get(slot.row + slot.row_span)?);
            let area = Some(Rect::from_edges(x0, y0, x1, y1));
            Some(Draft { slot, area, words: Vec::new() })
        })
        .collect();
    let owner = owners(&groups, row_count, columns);
    let put = |drafts: &mut Vec<Draft<'a>>, words: Vec<Word<'a>>| {
        for word in words {
            let center = word.area.center();
            let row = ys.partition_point(|y| *y <= center.y).saturating_sub(1).min(row_count - 1);
            let column = xs.partition_point(|x| *x <= center.x).saturating_sub(1).min(columns - 1);
            if let Some(draft) = owner.get(row * columns + column).and_then(|at| drafts.get_mut(*at)) {
                draft.words.push(word);
            }
        }
    };
    put(&mut drafts, words);
    if !is_table(frame, &drafts, row_count * columns) {
        return None;
    }
    // The line of these words is in the table as a whole: they are in the nearest cells of their rows.
    put(&mut drafts, outside);
    let table = cells::table(frame, drafts, (row_count, columns), area);
    Some(Found { area, table, lines, confidence: 0.95 })
}

/// Returns whether a line without most of its words in the frame belongs to it all the same: the others stand at its side,
/// and are no more text than those inside (the mark of a note behind a number).
fn sticks_out(line: &Line<'_>, own: &[Word<'_>], other: &[Word<'_>], frame: &Rect, em: f32) -> bool {
    let characters = |words: &[Word<'_>]| words.iter().map(|w| w.text.chars().count()).sum::<usize>();
    let beyond = (frame.x - line.area.x).max(line.area.right() - frame.right());
    beyond <= BEYOND_EM * em && characters(other) <= characters(own).max(MARK_MAX)
}

/// Adds lines between the rows of a band that is drawn without them: at least two columns have the same three or more
/// baselines in it.
fn divided(frame: &Frame<'_>, ys: &[f32], xs: &[f32], words: &[Word<'_>]) -> Vec<f32> {
    let em = frame.em;
    let mut out = Vec::with_capacity(ys.len());
    for pair in ys.windows(2) {
        let [top, bottom] = *pair else { continue };
        out.push(top);
        let inside: Vec<&Word<'_>> =
            words.iter().filter(|word| (top..bottom).contains(&word.area.center().y)).collect();
        if bottom - top < 3.0 * em {
            continue;
        }
        let mut by_column: Vec<Vec<f32>> = vec![Vec::new(); xs.len()];
        let mut parts = Vec::new();
        for word in inside {
            let column = xs.partition_point(|x| *x <= word.area.center().x);
            if let Some(middles) = by_column.get_mut(column) {
                middles.push(word.area.center().y);
            }
            parts.extend(segments(word.line, &[*word], f32::INFINITY));
        }
        let baselines = rows(parts);
        let near = |middles: &[f32], y: f32| middles.iter().any(|m| (m - y).abs() < 0.35 * em);
        let used: Vec<&Vec<f32>> = by_column.iter().filter(|middles| !middles.is_empty()).collect();
        let full = baselines.iter().filter(|row| {
            let y = row.area.center().y;
            used.iter().filter(|middles| near(middles, y)).count() * 10 >= used.len() * 7
        });
        if used.len() >= 2 && baselines.len() >= 3 && full.count() * 10 >= baselines.len() * 8 {
            for rows in baselines.windows(2) {
                if let [a, b] = rows {
                    out.push((a.area.bottom() + b.area.y) / 2.0);
                }
            }
        }
    }
    out.extend(ys.last());
    out
}

/// Returns the slots of the cells: those without a drawn side between them are one, as the rectangle around them.
fn slots(across: &[Stroke], down: &[Stroke], ys: &[f32], xs: &[f32], em: f32) -> Vec<Slot> {
    let (rows, columns) = (ys.len() - 1, xs.len() - 1);
    let y = |i: usize| ys.get(i).copied().unwrap_or(0.0);
    let x = |i: usize| xs.get(i).copied().unwrap_or(0.0);
    let mut parent: Vec<usize> = (0..rows * columns).collect();
    // Grid lines that only `divided` added have no stroke, and separate all the same.
    let added: Vec<bool> = ys.iter().map(|at| drawn(across, *at, x(0), x(columns), em) <= 0.0).collect();
    for row in 0..rows {
        for column in 0..columns {
            let here = row * columns + column;
            if column + 1 < columns && drawn(down, x(column + 1), y(row), y(row + 1), em) < SIDE {
                unite(&mut parent, here, here + 1);
            }
            let line = added.get(row + 1).copied().unwrap_or(false);
            if row + 1 < rows && !line && drawn(across, y(row + 1), x(column), x(column + 1), em) < SIDE {
                unite(&mut parent, here, here + columns);
            }
        }
    }
    let mut groups: Vec<Option<Slot>> = vec![None; rows * columns];
    for here in 0..rows * columns {
        let slot = Slot::single(here / columns, here % columns);
        let at = root(&mut parent, here);
        if let Some(place) = groups.get_mut(at) {
            *place = Some(place.map_or(slot, |group| group.union(slot)));
        }
    }
    let mut taken = vec![false; rows * columns];
    let mut out = Vec::new();
    for group in groups.into_iter().flatten() {
        // The rectangle of a group that is none may run into another group: then its slots stay single.
        let free: Vec<(usize, usize)> = group
            .singles()
            .filter(|(row, column)| taken.get(row * columns + column) == Some(&false))
            .collect();
        if free.len() == group.row_span * group.column_span {
            out.push(group);
        } else {
            out.extend(free.iter().map(|(row, column)| Slot::single(*row, *column)));
        }
        for (row, column) in free {
            if let Some(place) = taken.get_mut(row * columns + column) {
                *place = true;
            }
        }
    }
    out
}

fn unite(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    if let Some(place) = parent.get_mut(a.max(b)) {
        *place = a.min(b);
    }
}

/// Returns for each place of the grid, row by row, the index of its slot.
fn owners(slots: &[Slot], rows: usize, columns: usize) -> Vec<usize> {
    let mut owner = vec![0; rows * columns];
    for (at, slot) in slots.iter().enumerate() {
        for (row, column) in slot.singles() {
            if let Some(place) = owner.get_mut(row * columns + column) {
                *place = at;
            }
        }
    }
    owner
}

/// Returns whether the cells are those of a table: enough of them have text, few are irregular, and the text is not
/// running text in boxes.
fn is_table(frame: &Frame<'_>, drafts: &[Draft<'_>], slots: usize) -> bool {
    let filled: Vec<&Draft<'_>> = drafts.iter().filter(|draft| !draft.words.is_empty()).collect();
    let spanning = drafts.iter().filter(|draft| draft.slot.row_span * draft.slot.column_span > 1).count();
    // The panels of a chart have a word here and there.
    if filled.len() < 3
        || drafts.len() < 4
        || filled.len() * FILLED < drafts.len()
        || (spanning * 2 > drafts.len() && drafts.len() * 3 < slots)
    {
        return false;
    }
    let heights: Vec<(f32, f32)> = filled
        .iter()
        .filter_map(|draft| {
            let area = around(draft.words.iter().map(|word| word.area))?;
            Some((area.height / frame.em, draft.words.len() as f32))
        })
        .collect();
    let all: f32 = heights.iter().map(|(_, count)| count).sum();
    let tall: f32 = heights.iter().filter(|(height, _)| *height > 12.0).map(|(_, count)| count).sum();
    let mut sizes: Vec<f32> = heights.iter().map(|(_, count)| *count).collect();
    tall < 0.5 * all && quantile(&mut sizes, 0.5) <= 40.0
}
