//! Tables without a drawn grid: rows of segments that stand in columns.
//!
//! Candidates are runs of rows between prose and wide gaps, inside one zone of the layout. A candidate without columns is
//! cut at the row that fills most of its corridors, and both parts are tried again. A table needs three rows with text in
//! two columns, edges that align, and no sign of prose, of a list, of a form or of a table of contents.

use super::cells::{self, Draft, Slot};
use super::columns::{columns, hit, nearest, split};
use super::frame::{Found, Frame};
use super::numbers::is_value;
use super::patterns;
use super::spans;
use super::tokens::{Line, Row, Segment, around, rows, segments, segments_read};
use crate::statistics::quantile;

/// Most cuts of one candidate.
const DEPTH_MAX: u32 = 16;
/// Minimum rows with text in two columns.
const ROWS_MIN: usize = 3;
/// White space between rows that ends a candidate, in em.
const GAP_EM: f32 = 2.2;
/// The same between two rows of several segments each.
const ROW_GAP_EM: f32 = 3.5;
/// Words and width (as a fraction of the zone) from which a line alone in its row is prose.
const PROSE_WORDS: usize = 7;
const PROSE_WIDTH: f32 = 0.55;
/// Most lines of a header.
const HEADER_LINES_MAX: usize = 6;
/// Most lines of a cell of the last row below its first one.
const WRAPPED_MAX: usize = 8;
/// Most rows in a sequence with one segment.
const SINGLES_MAX: usize = 4;
/// Minimum fraction of the slots of the rows that have text.
const FILLED_MIN: f32 = 0.35;
/// The same where there is no word.
const FILLED_OF_NUMBERS: f32 = 0.8;
/// Minimum fraction of segments at the common edge of their column.
const ALIGNED_MIN: f32 = 0.6;
/// Distance from the common edge, in em.
const EDGE_EM: f32 = 0.6;

/// Columns from which two rows of values are a table.
const WIDE_COLUMNS: usize = 4;

fn rows_needed(columns: usize) -> usize {
    if columns >= WIDE_COLUMNS { 2 } else { ROWS_MIN }
}

/// Returns the aligned tables among the lines that are not taken.
pub(super) fn tables(frame: &Frame<'_>, taken: &[bool]) -> Vec<Found> {
    let mut found = Vec::new();
    for (width, parts) in zones(frame, taken) {
        for candidate in candidates(frame, rows(parts), width) {
            grow(frame, &candidate, &mut found, 0);
        }
    }
    // The parts of a line may be in two of them; the line is in the first one as a whole.
    let mut claimed = vec![false; frame.lines.len()];
    found.retain(|table| {
        let is_free = !table.lines.iter().any(|line| claimed.get(*line).copied().unwrap_or(true));
        for line in table.lines.iter().filter(|_| is_free) {
            if let Some(place) = claimed.get_mut(*line) {
                *place = true;
            }
        }
        is_free
    });
    found
}

/// Returns whether there are rows that are tried as a table.
pub(super) fn has_candidates(frame: &Frame<'_>) -> bool {
    zones(frame, &[]).into_iter().any(|(width, parts)| !candidates(frame, rows(parts), width).is_empty())
}

/// Returns the segments of the free lines of each zone, with the width of the zone.
fn zones<'a>(frame: &Frame<'a>, taken: &[bool]) -> Vec<(f32, Vec<Segment<'a>>)> {
    let mut by_zone: std::collections::BTreeMap<u32, Vec<Segment<'a>>> = std::collections::BTreeMap::new();
    for (index, line) in frame.lines.iter().enumerate() {
        if line.level && !taken.get(index).copied().unwrap_or(false) {
            let size = line.area.height.min(line.size * 1.3);
            let parts = if line.embedded {
                segments(index, &line.words, size)
            } else {
                segments_read(index, &line.words, size)
            };
            by_zone.entry(line.zone).or_default().extend(parts);
        }
    }
    let width =
        |parts: &[Segment<'a>]| around(parts.iter().map(|part| part.area)).map_or(0.0, |area| area.width);
    by_zone.into_values().map(|parts| (width(&parts), parts)).collect()
}

/// Splits the rows of a zone at prose, captions, wide gaps and runs of single lines.
fn candidates<'a>(frame: &Frame<'_>, rows: Vec<Row<'a>>, width: f32) -> Vec<Vec<Row<'a>>> {
    let em = frame.em;
    let mut out: Vec<Vec<Row<'a>>> = Vec::new();
    let mut open: Vec<Row<'a>> = Vec::new();
    let mut singles = 0;
    for row in rows {
        let single = row.segments.len() == 1;
        let prose = single && row.segments.first().is_some_and(|segment| is_prose(segment, width));
        let caption = row
            .segments
            .first()
            .is_some_and(|s| patterns::caption(&s.text()).is_some_and(|caption| caption.is_marked));
        let gap = open.last().map_or(0.0, |last| row.area.y - last.area.bottom());
        let both = !single && open.last().is_some_and(|last| last.segments.len() > 1);
        let far = gap > em * if both { ROW_GAP_EM } else { GAP_EM };
        singles = if single { singles + 1 } else { 0 };
        let note =
            row.segments.first().is_some_and(|s| patterns::is_note(&s.text())) && open.len() >= ROWS_MIN;
        if prose || caption || far || note || singles > SINGLES_MAX {
            out.push(std::mem::take(&mut open));
        }
        if !(prose || caption || note) {
            open.push(row);
        }
    }
    out.push(open);
    let mut out: Vec<Vec<Row<'a>>> = out.into_iter().flat_map(|rows| stacked(frame, rows)).collect();
    out.retain(|rows| enough(rows));
    out
}

/// Returns whether there are rows enough for a table.
fn enough(rows: &[Row<'_>]) -> bool {
    let many = |least: usize| rows.iter().filter(|row| row.segments.len() >= least).count();
    many(2) >= ROWS_MIN || many(WIDE_COLUMNS) >= 2
}

/// Separates tables above each other: the heading of the next one begins after rows of values, behind a gap or a title.
fn stacked<'a>(frame: &Frame<'_>, rows: Vec<Row<'a>>) -> Vec<Vec<Row<'a>>> {
    let em = frame.em;
    let gap = |i: usize| match (i.checked_sub(1).and_then(|at| rows.get(at)), rows.get(i)) {
        (Some(above), Some(row)) => row.area.y - above.area.bottom(),
        _ => 0.0,
    };
    let mut gaps: Vec<f32> = (1..rows.len()).map(gap).collect();
    let typical = quantile(&mut gaps, 0.5).max(0.0);
    let wide = |i: usize| gap(i) >= (0.5 * em).max(1.6 * typical + 0.2 * em);
    let single = |i: usize| rows.get(i).is_some_and(|row| row.segments.len() == 1);
    let kind = |i: usize| rows.get(i).map_or((0, 0), |row| has_values(row));
    let mut cuts = Vec::new();
    let mut values = 0;
    for i in 0..rows.len() {
        if single(i) {
            continue;
        }
        let (numbers, all) = kind(i);
        if numbers > 0 {
            values += 1;
            continue;
        }
        // The first of the rows with one segment before this one.
        let title = (0..i).rev().take_while(|j| single(*j)).last().unwrap_or(i);
        if values >= 2 && all >= 2 && (title..=i).any(wide) {
            cuts.push((title..=i).find(|j| wide(*j)).unwrap_or(i));
            values = 0;
        }
    }
    let mut parts = Vec::new();
    let mut open = Vec::new();
    for (i, row) in rows.into_iter().enumerate() {
        if cuts.contains(&i) {
            parts.push(std::mem::take(&mut open));
        }
        open.push(row);
    }
    parts.push(open);
    parts
}

/// Returns the number of values beside the first segment, and of all segments.
fn has_values(row: &Row<'_>) -> (usize, usize) {
    let values = row.segments.iter().skip(1).filter(|s| is_value(&s.text())).count();
    (values, row.segments.len())
}

fn is_prose(segment: &Segment<'_>, width: f32) -> bool {
    segment.words.len() >= PROSE_WORDS && segment.area.width >= PROSE_WIDTH * width
}

/// Tries rows as a table; where they are none, cuts them and tries both parts.
fn grow(frame: &Frame<'_>, rows: &[Row<'_>], found: &mut Vec<Found>, depth: u32) {
    let rows = trimmed(rows);
    if !enough(rows) {
        return;
    }
    if let Some(table) = assess(frame, rows) {
        found.push(table);
        return;
    }
    if depth >= DEPTH_MAX {
        return;
    }
    let Some(at) = cut(rows, frame.em) else { return };
    let (above, below) = rows.split_at(at);
    grow(frame, above, found, depth + 1);
    grow(frame, below.get(1..).unwrap_or_default(), found, depth + 1);
}

/// Returns the rows without those of one segment at both ends, except for a heading over the other columns.
fn trimmed<'r, 'a>(rows: &'r [Row<'a>]) -> &'r [Row<'a>] {
    let many = |row: &Row<'a>| row.segments.len() > 1;
    let Some(first) = rows.iter().position(many) else { return &[] };
    let last = rows.iter().rposition(many).unwrap_or(first);
    let heads = |row: &Row<'a>| {
        let below = rows.get(first).and_then(|row| row.segments.get(1));
        below.is_some_and(|second| {
            row.area.x >= second.area.x - 0.5 * row.area.height && row.segments.len() == 1
        })
    };
    let start =
        rows.get(..first).unwrap_or_default().iter().rposition(|row| !heads(row)).map_or(0, |at| at + 1);
    let mut end = last + 1;
    while end - last <= WRAPPED_MAX
        && rows
            .get(last)
            .zip(rows.get(end))
            .is_some_and(|(full, row)| rows.get(end - 1).is_some_and(|above| wraps_below(full, above, row)))
    {
        end += 1;
    }
    rows.get(start..end).unwrap_or_default()
}

/// Returns whether a row below the last one of several segments is a wrapped line of one of its cells.
fn wraps_below(full: &Row<'_>, above: &Row<'_>, row: &Row<'_>) -> bool {
    let near = 0.5 * row.area.height;
    let second = full.segments.get(1).map_or(f32::INFINITY, |s| s.area.x);
    let below = above.segments.iter().any(|s| (s.area.x - row.area.x).abs() < near);
    // A word, and not the letter of a formula.
    let is_word = |text: &str| {
        text.starts_with(char::is_lowercase) && text.chars().take_while(|c| c.is_alphabetic()).count() > 1
    };
    let goes_on = || row.segments.first().is_some_and(|s| is_word(&s.text()));
    let inside = if row.area.x >= second - near {
        below || above.segments.len() > 1
    } else {
        below && row.area.right() < second && goes_on()
    };
    inside && row.area.y - above.area.bottom() < near
}

/// Returns the row at which rows without common columns are cut: the one whose segments cover most of the white space of
/// the others, or the widest gap.
fn cut(rows: &[Row<'_>], em: f32) -> Option<usize> {
    let inner = rows.get(1..rows.len().saturating_sub(1)).unwrap_or_default();
    let widest = |row: &Row<'_>| row.segments.iter().map(|s| s.area.width).fold(0.0, f32::max);
    let mut best: Option<(f32, usize)> = None;
    for (i, row) in inner.iter().enumerate() {
        let gap = rows.get(i).map_or(0.0, |above| row.area.y - above.area.bottom()).max(0.0);
        let single = if row.segments.len() == 1 { 1.5 } else { 1.0 };
        let weight = single * widest(row) + 4.0 * gap.max(0.5 * em);
        if best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, i + 1));
        }
    }
    best.map(|(_, at)| at)
}

/// Returns the table of these rows, unless something speaks against it.
fn assess(frame: &Frame<'_>, rows: &[Row<'_>]) -> Option<Found> {
    let em = frame.em;
    let columns = columns(rows, em);
    if columns.len() < 2 {
        return None;
    }
    let grid: Vec<Line<'_>> = rows.iter().map(|row| placed(row, &columns, em)).collect();
    let mut logical = joined(frame, rows, grid.clone(), &columns);
    // Cells of many lines leave most lines with one cell: such a table shows when their lines are joined.
    if !is_table(frame, &grid, &columns, grid.len()) && !is_table(frame, &grid, &columns, logical.len()) {
        return None;
    }
    let area = around(rows.iter().map(|row| row.area))?;
    spans::widen(frame, &mut logical, &columns);
    let confidence = (0.5 + 0.05 * (logical.len().min(5) + columns.len().min(5)) as f32).min(0.95);
    let size = (logical.len(), columns.len());
    let mut lines: Vec<usize> = rows.iter().flat_map(|row| row.segments.iter().map(|s| s.line)).collect();
    lines.sort_unstable();
    lines.dedup();
    let mut drafts = drafts(logical, &columns);
    cells::complete(frame, &mut drafts, &lines);
    let table = cells::table(frame, drafts, size, area);
    (table.rows >= 2).then_some(Found { area, table, lines, confidence })
}

/// Returns the segments of a row by their columns.
fn placed<'a>(row: &Row<'a>, columns: &[(f32, f32)], em: f32) -> Line<'a> {
    let mut line: Line<'a> = Vec::new();
    let mut put = |first: usize, last: usize, segment: Segment<'a>| {
        // Two segments in one column are one text; a segment never reaches back over its neighbor's columns.
        if let Some((_, end, before)) = line.last_mut()
            && first <= *end
        {
            *end = (*end).max(last);
            before.area = before.area.union(&segment.area);
            before.words.extend(segment.words);
            return;
        }
        line.push((first, last, segment));
    };
    for segment in &row.segments {
        let (first, last) = hit(segment, columns, em);
        match (first < last).then(|| split(segment, columns, em)).flatten() {
            Some(parts) => parts.into_iter().for_each(|(k, part)| put(k, k, part)),
            None => put(first, last, segment.clone()),
        }
    }
    line
}

/// Returns whether the rows have the traits of a table, and none of prose, lists, forms and tables of contents.
/// `rows` is their number, where lines may belong to one cell.
fn is_table(frame: &Frame<'_>, grid: &[Line<'_>], columns: &[(f32, f32)], rows: usize) -> bool {
    let em = frame.em;
    let full = grid.iter().filter(|line| line.len() >= 2).count();
    let slots = grid.len() * columns.len();
    let filled: usize = grid.iter().flatten().map(|(first, last, _)| last - first + 1).sum();
    if full < rows_needed(columns.len()) || (filled as f32) < FILLED_MIN * slots as f32 || full * 2 < rows {
        return false;
    }
    // Numbers here and there, without one word, are those at the axes of a chart.
    let has_words = grid.iter().flatten().any(|(.., s)| s.text().chars().any(char::is_alphabetic));
    if !has_words && (filled as f32) < FILLED_OF_NUMBERS * slots as f32 {
        return false;
    }
    let by_column: Vec<Vec<&Segment<'_>>> = (0..columns.len())
        .map(|k| grid.iter().flatten().filter(|(a, b, _)| *a == k && *b == k).map(|(_, _, s)| s).collect())
        .collect();
    if by_column.iter().filter(|column| column.len() >= 2).count() < 2 {
        return false;
    }
    let numbers: usize = grid.iter().flatten().filter(|(a, _, s)| *a > 0 && is_value(&s.text())).count();
    // Of two rows, the first may be the heading of the other.
    let heading: usize =
        grid.first().filter(|line| !line.iter().any(|(_, _, s)| is_value(&s.text()))).map_or(0, Vec::len);
    if full < ROWS_MIN && numbers * 2 < filled.saturating_sub(heading) {
        return false;
    }
    let aligned: usize = by_column.iter().map(|column| common_edge(column, em)).sum();
    let all: usize = by_column.iter().map(Vec::len).sum();
    if (aligned as f32) < ALIGNED_MIN * all as f32 {
        return false;
    }
    let leaders =
        grid.iter().filter(|line| line.iter().any(|(_, _, s)| patterns::ends_in_leader(&s.text()))).count();
    if leaders * 3 >= full || is_list(&by_column) {
        return false;
    }
    let values = |column: &[&Segment<'_>]| column.iter().filter(|s| is_value(&s.text())).count();
    let prose = by_column.iter().filter(|column| is_running_text(column, em)).count();
    if prose >= 2 || (prose == 1 && columns.len() == 2 && !by_column.iter().any(|c| values(c) * 2 > c.len()))
    {
        return false;
    }
    columns.len() > 2 || is_pair_table(&by_column, full, rows)
}

/// Returns whether two columns are a table and not the labels and values of a form.
fn is_pair_table(by_column: &[Vec<&Segment<'_>>], full: usize, rows: usize) -> bool {
    let (Some(left), Some(right)) = (by_column.first(), by_column.get(1)) else { return false };
    let labels = left.iter().filter(|s| patterns::is_label(&s.text())).count();
    let values = right.iter().filter(|s| is_value(&s.text())).count();
    let short = |column: &[&Segment<'_>]| {
        let mut counts: Vec<f32> = column.iter().map(|s| s.words.len() as f32).collect();
        quantile(&mut counts, 0.75) <= 5.0
    };
    // A heading above the values tells a table from a receipt.
    let headed =
        right.first().is_some_and(|s| !is_value(&s.text()) && s.text().chars().any(char::is_alphabetic));
    labels * 2 < left.len()
        && full > ROWS_MIN
        && full * 10 >= rows * 6
        && ((values * 10 >= right.len() * 6 && headed)
            || (short(left) && short(right) && full >= 5 && values == 0))
}

/// Returns the number of segments at the most common of the left, right and middle edges.
fn common_edge(column: &[&Segment<'_>], em: f32) -> usize {
    let at = |edge: fn(&Segment<'_>) -> f32| {
        let mut edges: Vec<f32> = column.iter().map(|s| edge(s)).collect();
        edges.sort_unstable_by(f32::total_cmp);
        let (mut from, mut most) = (0, 0);
        for (to, x) in edges.iter().enumerate() {
            while edges.get(from).is_some_and(|first| x - first > EDGE_EM * em) {
                from += 1;
            }
            most = most.max(to + 1 - from);
        }
        most
    };
    at(|s| s.area.x).max(at(|s| s.area.right())).max(at(|s| s.area.center().x))
}

fn is_list(by_column: &[Vec<&Segment<'_>>]) -> bool {
    by_column.len() == 2
        && by_column.first().is_some_and(|column| {
            let marks =
                column.iter().filter(|s| matches!(patterns::marker(&s.text()), Some((_, true)))).count();
            marks * 3 >= column.len() * 2
        })
}

/// Returns whether a column looks like running text: wide lines of many words that fill it.
fn is_running_text(column: &[&Segment<'_>], em: f32) -> bool {
    let mut widths: Vec<f32> = column.iter().map(|s| s.area.width).collect();
    let longest = quantile(&mut widths, 0.9);
    let full = widths.iter().filter(|width| **width >= 0.8 * longest).count();
    let mut words: Vec<f32> = column.iter().map(|s| s.words.len() as f32).collect();
    column.len() >= 3 && longest >= 8.0 * em && full * 2 >= column.len() && quantile(&mut words, 0.5) >= 4.0
}

/// Joins the lines of cells: rows that overlap, the lines of a header, and a line with text in some of the columns of the line
/// above only, close below it.
fn joined<'a>(
    frame: &Frame<'_>,
    rows: &[Row<'_>],
    grid: Vec<Line<'a>>,
    places: &[(f32, f32)],
) -> Vec<Line<'a>> {
    let columns = places.len();
    let em = frame.em;
    let gaps: Vec<f32> = rows
        .windows(2)
        .map(|pair| match pair {
            [a, b] => b.area.y - a.area.bottom(),
            _ => 0.0,
        })
        .collect();
    let typical = quantile(&mut gaps.clone(), 0.5);
    let close = (0.15 * em).max(if typical > 0.4 * em { 0.6 * typical } else { 0.3 * em });
    let data = grid.iter().position(spans::has_value).unwrap_or(0);
    // Text before a value is a header where most of what follows has values; otherwise it is a table of text.
    let with_values = grid.iter().skip(data).filter(|line| spans::has_value(line)).count();
    let data = if data <= HEADER_LINES_MAX && with_values * 2 >= grid.len() - data { data } else { 0 };
    let shares = bracketed(&grid, columns);
    let mut out: Vec<Line<'a>> = Vec::new();
    let mut last_is_single_line = true;
    for (i, line) in grid.into_iter().enumerate() {
        let gap = i.checked_sub(1).and_then(|at| gaps.get(at)).copied().unwrap_or(f32::INFINITY);
        let ruled = i > 0 && is_ruled(frame, rows.get(i - 1), rows.get(i));
        let low = rows.get(i).map_or(em, |row| row.area.height).min(em);
        let Some(above) = out.last_mut().filter(|_| columns > 1 && !ruled) else {
            out.push(line);
            continue;
        };
        let fits =
            line.iter().all(|(a, b, _)| above.iter().all(|(c, d, _)| (a == c && b == d) || b < c || a > d));
        // Lines of text in the same columns are rows of their own, however close they stand.
        let shared = line.iter().filter(|(a, ..)| above.iter().any(|(c, ..)| a == c)).count();
        let overlaps = gap < -0.25 * low
            && (line.len() == 1 || shared * 2 <= line.len())
            && line.iter().all(|(a, b, _)| a == b)
            && last_is_single_line | (line.len() < columns);
        let header = i < data && gap < close && line.iter().chain(above.iter()).all(|(a, b, _)| a == b);
        let is_own = i <= data && spans::is_over(above, &line, places, em);
        let goes_on = wraps(above, &line, gap < close, gap < 0.5 * typical)
            || (gap < close && completes(above, &line, &shares));
        if fits && !is_own && (overlaps || header || goes_on) {
            last_is_single_line = false;
            absorb(above, line);
        } else {
            last_is_single_line = true;
            out.push(line);
        }
    }
    out
}

/// Returns whether a line continues cells of the line above.
fn wraps(above: &Line<'_>, line: &Line<'_>, close: bool, tight: bool) -> bool {
    let slots = |line: &Line<'_>| -> Vec<usize> { line.iter().flat_map(|(a, b, _)| *a..=*b).collect() };
    let (own, before) = (slots(line), slots(above));
    let inside = own.len() < before.len() && own.iter().all(|k| before.contains(k));
    let exact = line.iter().all(|(a, b, _)| above.iter().any(|(c, d, _)| a == c && b == d));
    // A line in the first column alone is the label of a group of rows, unless its words go on.
    let goes_on = line.first().is_some_and(|(_, _, s)| {
        let text = s.text();
        let first = text.chars().next();
        first.is_some_and(|c| c.is_lowercase() || matches!(c, '(' | '&' | '/')) && !is_letter_label(&text)
    });
    let label = own.contains(&0) && !tight && !goes_on;
    inside && close && exact && !label && !line.iter().any(|(_, _, s)| is_value(&s.text()))
}

/// Returns for each column whether most of its values have a part in brackets: "12 (3.4)".
fn bracketed(grid: &[Line<'_>], columns: usize) -> Vec<bool> {
    let mut counts = vec![(0usize, 0usize); columns];
    for (first, _, segment) in grid.iter().flatten() {
        let text = segment.text();
        if let Some(count) = counts.get_mut(*first).filter(|_| is_value(&text)) {
            count.0 += usize::from(text.contains('(') && !text.starts_with('('));
            count.1 += 1;
        }
    }
    counts.into_iter().map(|(bracketed, all)| bracketed > 0 && bracketed * 2 >= all).collect()
}

/// Returns whether a line has nothing but the bracketed parts of the values above it, in columns whose values have them.
fn completes(above: &Line<'_>, line: &Line<'_>, shares: &[bool]) -> bool {
    line.iter().all(|(a, b, segment)| {
        let whole = above.iter().find(|(c, d, _)| a == c && b == d).map(|(.., s)| s.text());
        segment.text().starts_with(['(', '[', '{'])
            && shares.get(*a).copied().unwrap_or(false)
            && whole.is_some_and(|text| is_value(&text) && !text.contains('('))
    })
}

/// Returns whether a text is nothing but the letter or number of a part: "(b)", "(iv)", "(2)".
fn is_letter_label(text: &str) -> bool {
    let inside = text.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    inside.is_some_and(|part| part.len() <= 4 && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Adds the segments of a line to those of the same columns above; others become segments of their own.
fn absorb<'a>(above: &mut Line<'a>, line: Line<'a>) {
    for (a, b, segment) in line {
        match above.iter_mut().find(|(c, d, _)| a == *c && b == *d) {
            Some((_, _, into)) => {
                into.area = into.area.union(&segment.area);
                into.words.extend(segment.words);
            }
            None => above.push((a, b, segment)),
        }
    }
    above.sort_by_key(|(a, _, _)| *a);
}

/// Returns whether a rule is drawn between two rows.
fn is_ruled(frame: &Frame<'_>, above: Option<&Row<'_>>, below: Option<&Row<'_>>) -> bool {
    let Some((above, below)) = above.zip(below) else { return false };
    let (from, to) = (above.area.center().y, below.area.center().y);
    let width = above.area.width.max(below.area.width);
    frame.across.iter().any(|rule| rule.at > from && rule.at < to && rule.to - rule.from > 0.3 * width)
}

fn drafts<'a>(logical: Vec<Line<'a>>, columns: &[(f32, f32)]) -> Vec<Draft<'a>> {
    let mut out: Vec<Draft<'a>> = Vec::new();
    for (row, line) in logical.into_iter().enumerate() {
        let starts: Vec<usize> = line.iter().map(|(first, ..)| *first).collect();
        // The first column that no cell of the row has taken.
        let mut free_left = 0;
        for (at, (first, last, segment)) in line.into_iter().enumerate() {
            // Lines of a row that were joined may reach over each other's columns: then they are one cell.
            if first < free_left
                && let Some(before) = out.last_mut()
            {
                free_left = free_left.max(last + 1);
                widen(before, last, &segment);
                continue;
            }
            // A heading of two columns stands over the corridor between them, and may be narrower than it.
            let free_right = starts.get(at + 1).copied().unwrap_or(columns.len());
            let (first, last) = if first == last {
                over(&segment, first, (free_left, free_right), columns)
            } else {
                (first, last)
            };
            free_left = last + 1;
            out.push(Draft {
                slot: Slot { row, column: first, row_span: 1, column_span: last - first + 1 },
                area: Some(segment.area),
                words: segment.words,
            });
        }
    }
    out
}

/// Adds a segment, up to a column, to a cell.
fn widen<'a>(cell: &mut Draft<'a>, last: usize, segment: &Segment<'a>) {
    let slot = &mut cell.slot;
    slot.column_span = slot.column_span.max((last + 1).saturating_sub(slot.column));
    cell.area = cell.area.map(|area| area.union(&segment.area));
    cell.words.extend(&segment.words);
}

/// Returns the columns of a segment whose middle is in a corridor with free columns on both sides.
fn over(segment: &Segment<'_>, at: usize, free: (usize, usize), columns: &[(f32, f32)]) -> (usize, usize) {
    let middle = segment.area.center().x;
    let (Some(own), k) = (columns.get(at), nearest(middle, columns)) else { return (at, at) };
    if middle > own.1 && at + 1 < free.1 && k <= at + 1 {
        (at, at + 1)
    } else if middle < own.0 && at > free.0 && k + 1 >= at {
        (at - 1, at)
    } else {
        (at, at)
    }
}
