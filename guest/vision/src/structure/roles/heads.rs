//! Running heads and feet without white space between them and the text: the row of the page number, apart from the paragraph
//! that the layout has put it into.

use super::super::frame::{Frame, Line};
use super::super::paragraphs::Draft;
use super::super::patterns;
use super::super::tokens::around;
use super::furniture;
use crate::geometry::Rect;

/// Minimum white space between a page number and the texts beside it, in em: the spaces of justified text are narrower.
const APART_EM: f32 = 2.5;
/// Minimum distance of a number without text beside it from the start of the text, in em: an indent is less.
const ALONE_EM: f32 = 4.0;
/// Most texts of a head.
const TEXTS_MAX: usize = 6;
/// Rows next to a head that tell whether it stands over running text, and how many of them must fill its width.
const TEXT_ROWS: usize = 3;
const FULL_ROWS: usize = 2;
/// Fraction of the width of the text that a row fills, and of a column that a text above it has where it is a line of the column.
const FULL: f32 = 0.8;
/// How far a page number reaches beyond the text, in em; farther out it stands in the margin, beside a line of the text.
const BEYOND_EM: f32 = 0.5;
/// Most height of a head, as a multiple of the typical line.
const HEIGHT_MAX: f32 = 1.6;

/// Takes the lines of running heads and feet out of the paragraphs: each becomes one of its own.
pub(super) fn split(frame: &Frame<'_>, drafts: Vec<Draft>) -> Vec<Draft> {
    let mut is_free = vec![false; frame.lines.len()];
    // The rows of a table of contents have numbers, too.
    for piece in drafts.iter().filter(|d| !d.rowed || d.rows.len() == 1).flat_map(|d| d.rows.iter().flatten())
    {
        if let Some(place) = is_free.get_mut(*piece) {
            *place = true;
        }
    }
    let mut lines: Vec<(usize, &Line<'_>)> =
        frame.lines.iter().enumerate().filter(|(_, line)| furniture::is_text(frame, line)).collect();
    if !furniture::may_have(frame, lines.len()) {
        return drafts;
    }
    lines.sort_by(|a, b| a.1.area.center().y.total_cmp(&b.1.area.center().y));
    let mut is_head = vec![false; frame.lines.len()];
    let rows = [outermost(lines.iter().copied()), outermost(lines.iter().rev().copied())];
    for rows in rows {
        let Some((head, text)) = rows.split_first() else { continue };
        if head.iter().all(|(at, _)| is_free.get(*at) == Some(&true)) && is_running(frame, head, text) {
            for (at, _) in head {
                if let Some(place) = is_head.get_mut(*at) {
                    *place = true;
                }
            }
        }
    }
    if !is_head.contains(&true) {
        return drafts;
    }
    drafts.into_iter().flat_map(|draft| without(frame, draft, &is_head)).collect()
}

/// A printed row: lines with their indices, from the left.
type Row<'f, 'a> = Vec<(usize, &'f Line<'a>)>;

/// Returns the first rows of lines that are sorted by their middles, and as many more as tell what stands beside it.
fn outermost<'f, 'a: 'f>(lines: impl Iterator<Item = (usize, &'f Line<'a>)>) -> Vec<Row<'f, 'a>> {
    let mut rows: Vec<Row<'f, 'a>> = Vec::new();
    for (at, line) in lines {
        let same = rows.last().and_then(|row| row.first()).is_some_and(|(_, first)| {
            let apart = (first.area.center().y - line.area.center().y).abs();
            apart < 0.5 * first.area.height.max(line.area.height)
        });
        let is_last = rows.len() > TEXT_ROWS;
        match rows.last_mut() {
            Some(row) if same => row.push((at, line)),
            _ if is_last => break,
            _ => rows.push(vec![(at, line)]),
        }
    }
    for row in &mut rows {
        row.sort_by(|a, b| a.1.area.x.total_cmp(&b.1.area.x));
    }
    rows
}

/// Returns whether the outermost row is a head or foot over running text: a page number that stands in the width of the text,
/// far from the texts beside it or from the start of the line. A line of the text would not leave such white space.
fn is_running(frame: &Frame<'_>, head: &Row<'_, '_>, text: &[Row<'_, '_>]) -> bool {
    let em = frame.em;
    let number = |line: &Line<'_>| is_plain_number(line.text);
    let Some(column) = around(text.iter().flatten().map(|(_, line)| line.area)) else { return false };
    let is_full =
        |row: &&Row<'_, '_>| row.iter().map(|(_, line)| line.area.width).sum::<f32>() >= FULL * column.width;
    if head.len() > TEXTS_MAX
        || text.len() < TEXT_ROWS
        || text.iter().filter(is_full).count() < FULL_ROWS
        || text.iter().flatten().any(|(_, line)| patterns::is_page_number(line.text))
    {
        return false;
    }
    let in_place = |line: &Line<'_>| {
        furniture::is_at_edge(frame, &line.area)
            && line.area.height <= HEIGHT_MAX * em
            && !patterns::ends_in_leader(line.text)
    };
    let in_column =
        |area: &Rect| area.x >= column.x - BEYOND_EM * em && area.right() <= column.right() + BEYOND_EM * em;
    let numbers_fit = head.iter().filter(|(_, line)| number(line)).all(|(_, line)| in_column(&line.area));
    if !head.iter().any(|(_, line)| number(line))
        || !numbers_fit
        || !head.iter().all(|(_, line)| in_place(line))
    {
        return false;
    }
    let apart = head.windows(2).all(|pair| match pair {
        [(_, a), (_, b)] => !(number(a) || number(b)) || b.area.x - a.area.right() >= APART_EM * em,
        _ => true,
    });
    let alone = |line: &Line<'_>| line.area.x >= column.x + ALONE_EM * em;
    match head.as_slice() {
        [(_, line)] => alone(line),
        _ => apart && !head.iter().any(|(_, line)| !number(line) && is_of_column(line, text)),
    }
}

/// Returns whether a text is a line of one of several columns: as wide as one of the lines next to it.
fn is_of_column(line: &Line<'_>, text: &[Row<'_, '_>]) -> bool {
    let own = &line.area;
    text.iter().filter(|row| row.len() > 1).flatten().any(|(_, other)| {
        let shared = own.right().min(other.area.right()) - own.x.max(other.area.x);
        shared >= FULL * other.area.width
    })
}

/// Returns whether a text is a page number, and neither the number of an equation nor the end of a sentence.
fn is_plain_number(text: &str) -> bool {
    patterns::is_page_number(text) && !text.contains('(') && !text.trim_end().ends_with(['.', ',', ';', ':'])
}

/// Takes the rows at the start and the end of a paragraph that are nothing but heads.
fn without(frame: &Frame<'_>, draft: Draft, is_head: &[bool]) -> Vec<Draft> {
    let own = |row: &&Vec<usize>| row.iter().all(|piece| is_head.get(*piece) == Some(&true));
    let start = draft.rows.iter().take_while(own).count();
    let end = draft.rows.iter().skip(start).rev().take_while(own).count();
    if start + end == 0 {
        return vec![draft];
    }
    let (before, others) = draft.rows.split_at(start);
    let (rows, behind) = others.split_at(others.len() - end);
    let line = |row: &Vec<usize>| row.first().and_then(|piece| frame.lines.get(*piece));
    let areas = |rows: &[Vec<usize>]| {
        around(rows.iter().flatten().filter_map(|piece| frame.lines.get(*piece)).map(|line| line.area))
    };
    let made = |rows: &[Vec<usize>]| Draft {
        rows: rows.to_vec(),
        area: areas(rows).unwrap_or(draft.area),
        size: rows.first().and_then(line).map_or(draft.size, |line| line.size),
        marker: None,
        bullet: false,
        rowed: false,
        cut_by_marker: false,
        ..draft.clone()
    };
    let single = |rows: &[Vec<usize>]| -> Vec<Draft> {
        rows.iter().flatten().map(|piece| made(&[vec![*piece]])).collect()
    };
    let mut out = single(before);
    if !rows.is_empty() {
        let rest = made(rows);
        out.push(if start == 0 { Draft { rows: rest.rows, area: rest.area, ..draft.clone() } } else { rest });
    }
    out.extend(single(behind));
    out
}
