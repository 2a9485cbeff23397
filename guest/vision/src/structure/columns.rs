//! Columns of a table: the stretches of a level axis that segments cover, with white corridors between them.

use super::tokens::{Row, Segment};
use crate::statistics::quantile;

/// Minimum width of a corridor, in em.
const CORRIDOR_EM: f32 = 0.35;
/// Least gap between words of a segment that may be a corridor, in em.
const WORD_GAP_EM: f32 = 0.4;
/// Distance of a word from the left edge of its column, in em.
const EDGE_EM: f32 = 0.35;
/// Distance of the middle of a heading from that of its two columns, in em.
const HEADING_EM: f32 = 0.6;
/// Farthest edge of a neighbor beside a gap that other rows have, in em.
const NEAR_EM: f32 = 1.5;
/// Bins of an em.
const BINS_PER_EM: f32 = 16.0;
/// Most bins of an axis; a page has some 1,600.
const BINS_MAX: usize = 1 << 16;
/// Fraction of rows that may cross a corridor (a heading of several columns, a title).
const CROSSING_SHARE: f32 = 0.08;
/// Fraction of the narrower one of a segment and a column that they share where the segment is in the column.
const IN_COLUMN: f32 = 0.25;

/// Returns the columns of these rows from the left, as start and end.
pub(super) fn columns(rows: &[Row<'_>], em: f32) -> Vec<(f32, f32)> {
    let most = rows.iter().map(|row| row.segments.len()).max().unwrap_or(0);
    let least = (most / 2).max(2);
    let mut used: Vec<&Segment<'_>> =
        rows.iter().filter(|row| row.segments.len() >= least).flat_map(|row| &row.segments).collect();
    if used.is_empty() {
        used = rows.iter().flat_map(|row| &row.segments).collect();
    }
    let mut widths: Vec<f32> = used.iter().map(|segment| segment.area.width).collect();
    let widest = quantile(&mut widths, 0.97);
    used.retain(|segment| segment.area.width <= widest);
    let Some(left) = used.iter().map(|segment| segment.area.x).reduce(f32::min) else { return Vec::new() };
    let right = used.iter().map(|segment| segment.area.right()).fold(left, f32::max);
    let bin = em / BINS_PER_EM;
    let count = (((right - left) / bin).ceil() as usize + 2).min(BINS_MAX);
    let mut steps = vec![0i32; count + 1];
    let at = |x: f32| (((x - left) / bin).floor().max(0.0) as usize).min(count.saturating_sub(1));
    for (start, end) in used.iter().flat_map(|segment| runs(segment, rows, em)) {
        if let Some(step) = steps.get_mut(at(start)) {
            *step += 1;
        }
        if let Some(step) = steps.get_mut(at(end) + 1) {
            *step -= 1;
        }
    }
    let allowed = (CROSSING_SHARE * rows.len() as f32).round() as i32;
    let mut columns: Vec<(f32, f32)> = Vec::new();
    let (mut depth, mut start) = (0, None);
    for (i, step) in steps.iter().enumerate() {
        depth += step;
        let x = left + i as f32 * bin;
        match (depth > allowed, start) {
            (true, None) => start = Some(x),
            (false, Some(from)) => {
                match columns.last_mut() {
                    Some(last) if from - last.1 < CORRIDOR_EM * em => last.1 = x,
                    _ => columns.push((from, x)),
                }
                start = None;
            }
            _ => {}
        }
    }
    without_headings(rows, merged(rows, columns, em), em)
}

/// Leaves out the column that a heading makes by itself where it stands in the middle of two columns, between their cells.
fn without_headings(rows: &[Row<'_>], mut columns: Vec<(f32, f32)>, em: f32) -> Vec<(f32, f32)> {
    let has = |row: &Row<'_>, column: (f32, f32)| {
        row.segments.iter().any(|s| (column.0..=column.1).contains(&s.area.center().x))
    };
    let mut k = 1;
    while let (Some(&left), Some(&own), Some(&right)) =
        (columns.get(k - 1), columns.get(k), columns.get(k + 1))
    {
        let middle = ((left.0 + right.1) - (own.0 + own.1)).abs() / 2.0;
        let mut with = rows.iter().enumerate().filter(|(_, row)| has(row, own));
        let is_heading = match (with.next(), with.next()) {
            (Some((at, _)), None) => rows.get(at + 1).is_some_and(|row| has(row, left) && has(row, right)),
            _ => false,
        };
        if is_heading && middle <= HEADING_EM * em {
            columns.remove(k);
        } else {
            k += 1;
        }
    }
    columns
}

/// Returns the stretches that a segment covers: it ends at a gap between its words where other rows end segments, because
/// cells that stand close to each other are read as one text in some rows.
fn runs(segment: &Segment<'_>, rows: &[Row<'_>], em: f32) -> Vec<(f32, f32)> {
    let mut out: Vec<(f32, f32)> = Vec::new();
    for word in &segment.words {
        let (start, end) = (word.area.x, word.area.right());
        match out.last_mut() {
            Some(last) if start - last.1 < WORD_GAP_EM * em || !parts_elsewhere(rows, last.1, start, em) => {
                last.1 = last.1.max(end);
            }
            _ => out.push((start, end)),
        }
    }
    out
}

/// Returns whether more rows part two texts at this stretch, one with the same edge, than have one text across it.
fn parts_elsewhere(rows: &[Row<'_>], from: f32, to: f32, em: f32) -> bool {
    let middle = (from + to) / 2.0;
    let (mut parted, mut across) = (0, 0);
    for row in rows {
        let areas = || row.segments.iter().map(|segment| segment.area);
        if areas().any(|area| area.x < middle && area.right() > middle) {
            across += 1;
            continue;
        }
        let left = areas().map(|area| area.right()).filter(|right| *right <= middle).reduce(f32::max);
        let right = areas().map(|area| area.x).filter(|x| *x >= middle).reduce(f32::min);
        let Some((left, right)) = left.zip(right) else { continue };
        let (before, behind) = ((from - left).abs(), (right - to).abs());
        let is_near = before.max(behind) <= NEAR_EM * em && before.min(behind) <= EDGE_EM * em;
        parted += usize::from(is_near);
    }
    parted >= 2 && parted >= across
}

/// Fraction of rows with text in a column below which it may be a wide space inside its neighbor.
const SPARSE: f32 = 0.3;
/// Widest space inside a cell of justified text, in em.
const SPACE_EM: f32 = 1.6;

/// Joins a sparse column with the neighbor that it always follows, or comes before, closely: a wide space in a cell.
fn merged(rows: &[Row<'_>], mut columns: Vec<(f32, f32)>, em: f32) -> Vec<(f32, f32)> {
    let mut k = 0;
    while columns.len() > 2 && k + 1 < columns.len() {
        let (Some(&left), Some(&right)) = (columns.get(k), columns.get(k + 1)) else { break };
        let inside = |s: &Segment<'_>, c: (f32, f32)| (c.0..=c.1).contains(&s.area.center().x);
        let (mut lefts, mut rights, mut close, mut apart) = (0, 0, 0, 0);
        for row in rows {
            let a = row.segments.iter().rev().find(|s| inside(s, left));
            let b = row.segments.iter().find(|s| inside(s, right));
            lefts += usize::from(a.is_some());
            rights += usize::from(b.is_some());
            if let (Some(a), Some(b)) = (a, b) {
                let near = b.area.x - a.area.right() <= SPACE_EM * em;
                close += usize::from(near);
                apart += usize::from(!near);
            }
        }
        let fewer = lefts.min(rights);
        if apart == 0 && close == fewer && (fewer as f32) <= SPARSE * rows.len() as f32 {
            if let Some(place) = columns.get_mut(k) {
                *place = (left.0, right.1);
            }
            columns.remove(k + 1);
        } else {
            k += 1;
        }
    }
    columns
}

/// Returns the first and last column that a segment lies in.
pub(super) fn hit(segment: &Segment<'_>, columns: &[(f32, f32)], em: f32) -> (usize, usize) {
    let area = segment.area;
    let mut found: Option<(usize, usize)> = None;
    for (k, column) in columns.iter().enumerate() {
        let shared = area.right().min(column.1) - area.x.max(column.0);
        let needed = (IN_COLUMN * area.width.min(column.1 - column.0)).max(0.1 * em);
        if shared > needed {
            found = Some(found.map_or((k, k), |(first, _)| (first, k)));
        }
    }
    found.unwrap_or_else(|| {
        let k = nearest(area.center().x, columns);
        (k, k)
    })
}

/// Returns the column whose interval is nearest to a position.
pub(super) fn nearest(x: f32, columns: &[(f32, f32)]) -> usize {
    let distance = |column: &(f32, f32)| (column.0 - x).max(x - column.1).max(0.0);
    let mut best = (f32::INFINITY, 0);
    for (k, column) in columns.iter().enumerate() {
        if distance(column) < best.0 {
            best = (distance(column), k);
        }
    }
    best.1
}

/// A part of a segment, with its column.
type Part<'a> = (usize, Segment<'a>);

/// Splits a segment whose words lie in several columns, with a visible gap at each boundary; the parts with their columns.
/// `None` where it is one text.
pub(super) fn split<'a>(segment: &Segment<'a>, columns: &[(f32, f32)], em: f32) -> Option<Vec<Part<'a>>> {
    split_inside(segment, columns, em).or_else(|| split_at_edges(segment, columns, em))
}

/// Splits a segment whose words begin at the left edges of columns: a text may be wider than the others of its column.
fn split_at_edges<'a>(segment: &Segment<'a>, columns: &[(f32, f32)], em: f32) -> Option<Vec<Part<'a>>> {
    let edge = |x: f32| columns.iter().position(|column| (x - column.0).abs() <= EDGE_EM * em);
    let mut parts: Vec<(usize, Vec<super::tokens::Word<'a>>)> = Vec::new();
    for word in &segment.words {
        let Some((last, words)) = parts.last_mut() else {
            parts.push((edge(word.area.x)?, vec![*word]));
            continue;
        };
        let gap = words.last().map_or(0.0, |before| word.area.x - before.area.right());
        match edge(word.area.x).filter(|k| k > last && gap >= WORD_GAP_EM * em) {
            Some(k) => parts.push((k, vec![*word])),
            None => words.push(*word),
        }
    }
    if parts.len() < 2 {
        return None;
    }
    parts.into_iter().map(|(k, words)| Some((k, Segment::of(segment.line, words)?))).collect()
}

/// Splits a segment whose words lie wholly inside their columns.
fn split_inside<'a>(segment: &Segment<'a>, columns: &[(f32, f32)], em: f32) -> Option<Vec<Part<'a>>> {
    let mut parts: Vec<(usize, Vec<super::tokens::Word<'a>>)> = Vec::new();
    for word in &segment.words {
        let k = nearest(word.area.center().x, columns);
        match parts.last_mut() {
            Some((last, words)) if *last == k => words.push(*word),
            _ => parts.push((k, vec![*word])),
        }
    }
    let ascending = parts.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if parts.len() < 2 || !ascending {
        return None;
    }
    let made: Vec<Part<'a>> =
        parts.into_iter().filter_map(|(k, words)| Some((k, Segment::of(segment.line, words)?))).collect();
    let apart = made.windows(2).all(|pair| pair[1].1.area.x - pair[0].1.area.right() > 0.3 * em);
    let inside = made.iter().all(|(k, part)| {
        let boundary =
            |a: Option<&(f32, f32)>, b: Option<&(f32, f32)>| a.zip(b).map(|(a, b)| (a.1 + b.0) / 2.0);
        let left = boundary(k.checked_sub(1).and_then(|p| columns.get(p)), columns.get(*k));
        let right = boundary(columns.get(*k), columns.get(k + 1));
        left.is_none_or(|x| part.area.x > x - 0.1 * em)
            && right.is_none_or(|x| part.area.right() < x + 0.1 * em)
    });
    (apart && inside).then_some(made)
}
