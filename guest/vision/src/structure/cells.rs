//! From words in a grid to the cells of a table: text, header rows, empty cells.

use std::collections::HashMap;

use super::frame::Frame;
use super::model::{Cell, Table};
use super::numbers::is_value;
use super::tokens::{self, Word, around, rows, segments};
use super::wording::join;
use crate::geometry::{Quad, Rect};
use crate::script::number;
use crate::statistics::quantile;

/// Most header rows of a table.
const HEADER_ROWS_MAX: usize = 4;
/// Fraction of the cells beside the first column that are values in a row of data.
const VALUES_IN_ROW: f32 = 0.5;

/// The place of a cell in the grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    /// First row.
    pub row: usize,
    /// First column.
    pub column: usize,
    /// Number of rows.
    pub row_span: usize,
    /// Number of columns.
    pub column_span: usize,
}

impl Slot {
    /// Returns the slot of one row and one column.
    pub fn single(row: usize, column: usize) -> Self {
        Self { row, column, row_span: 1, column_span: 1 }
    }

    /// Returns the slot around both.
    pub fn union(self, other: Self) -> Self {
        let (row, column) = (self.row.min(other.row), self.column.min(other.column));
        let row_end = (self.row + self.row_span).max(other.row + other.row_span);
        let column_end = (self.column + self.column_span).max(other.column + other.column_span);
        Self { row, column, row_span: row_end - row, column_span: column_end - column }
    }

    /// Returns the rows and columns that it covers, row by row.
    pub fn singles(self) -> impl Iterator<Item = (usize, usize)> {
        let columns = self.column..self.column + self.column_span;
        (self.row..self.row + self.row_span)
            .flat_map(move |row| columns.clone().map(move |column| (row, column)))
    }
}

/// A cell before its text is composed.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft<'a> {
    pub slot: Slot,
    pub area: Option<Rect>,
    pub words: Vec<Word<'a>>,
}

/// Makes a table of cells that do not overlap; slots that no cell covers become empty cells at the place of their row
/// and column.
pub(super) fn table(frame: &Frame<'_>, drafts: Vec<Draft<'_>>, size: (usize, usize), area: Rect) -> Table {
    let (row_count, column_count) = size;
    let mut covered = vec![false; row_count * column_count];
    let mut cells: Vec<Cell> = Vec::with_capacity(drafts.len());
    for draft in drafts {
        for (row, column) in
            draft.slot.singles().filter(|(row, column)| *row < row_count && *column < column_count)
        {
            if let Some(slot) = covered.get_mut(row * column_count + column) {
                *slot = true;
            }
        }
        cells.push(cell(frame, draft, area));
    }
    let (bands, strips) =
        (extents(&cells, row_count, true, area), extents(&cells, column_count, false, area));
    for row in 0..row_count {
        for column in 0..column_count {
            if covered.get(row * column_count + column).copied().unwrap_or(true) {
                continue;
            }
            let (band, strip) = (bands.get(row), strips.get(column));
            let place = band.zip(strip).map_or(area, |(b, s)| Rect::from_edges(s.0, b.0, s.1, b.1));
            let quad = Quad::from_rect(&place);
            cells.push(Cell { row, column, row_span: 1, column_span: 1, quad, ..Cell::default() });
        }
    }
    cells.sort_by_key(|cell| (cell.row, cell.column));
    let mut table = Table { rows: row_count, columns: column_count, cells };
    mark_header(&mut table);
    table
}

/// Gives the words of these lines that no cell has to the cell of the word before them, or of the next one: a line is in a
/// table as a whole.
pub(super) fn complete<'a>(frame: &Frame<'a>, drafts: &mut [Draft<'a>], lines: &[usize]) {
    let mut places = HashMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        places.extend(draft.words.iter().map(|word| ((word.line, word.at), at)));
    }
    for &index in lines {
        let Some(line) = frame.lines.get(index) else { continue };
        let own: Vec<Option<usize>> =
            line.words.iter().map(|word| places.get(&(word.line, word.at)).copied()).collect();
        let mut last = own.iter().flatten().next().copied();
        for (word, place) in line.words.iter().zip(own) {
            if place.is_some() {
                last = place;
            } else if let Some(draft) = last.and_then(|at| drafts.get_mut(at)) {
                draft.words.push(*word);
            }
        }
    }
}

fn cell(frame: &Frame<'_>, draft: Draft<'_>, table: Rect) -> Cell {
    let mut pieces: Vec<usize> = draft.words.iter().map(|word| word.line).collect();
    pieces.sort_unstable();
    pieces.dedup();
    let area = draft.area.or_else(|| around(draft.words.iter().map(|word| word.area))).unwrap_or(table);
    Cell {
        row: draft.slot.row,
        column: draft.slot.column,
        row_span: draft.slot.row_span,
        column_span: draft.slot.column_span,
        header: false,
        quad: Quad::from_rect(&area),
        text: text(frame, &draft.words),
        pieces,
    }
}

/// Returns the words row by row, each row in the direction of its letters.
fn text(frame: &Frame<'_>, words: &[Word<'_>]) -> String {
    let parts = words.iter().flat_map(|word| segments(word.line, &[*word], f32::INFINITY)).collect();
    let lines: Vec<String> = rows(parts)
        .iter()
        .map(|row| {
            let words: Vec<Word<'_>> =
                row.segments.iter().flat_map(|segment| segment.words.iter().copied()).collect();
            tokens::text(&words)
        })
        .collect();
    join(lines.iter().map(String::as_str), &frame.vocabulary)
}

/// Returns the start and end of each row (or column), from the cells that span one.
fn extents(cells: &[Cell], count: usize, by_row: bool, area: Rect) -> Vec<(f32, f32)> {
    let whole = if by_row { (area.y, area.bottom()) } else { (area.x, area.right()) };
    let mut found: Vec<Option<(f32, f32)>> = vec![None; count];
    for cell in cells {
        let (at, span) = if by_row { (cell.row, cell.row_span) } else { (cell.column, cell.column_span) };
        let bounds = cell.quad.bounds();
        let own = if by_row { (bounds.y, bounds.bottom()) } else { (bounds.x, bounds.right()) };
        if let Some(place) = found.get_mut(at).filter(|_| span == 1) {
            *place = Some(place.map_or(own, |all| (all.0.min(own.0), all.1.max(own.1))));
        }
    }
    found.into_iter().map(|extent| extent.unwrap_or(whole)).collect()
}

/// Marks the header: the rows above the first row whose cells are values, or the first row if no cells are.
fn mark_header(table: &mut Table) {
    if table.rows < 2 {
        return;
    }
    let mut counts = vec![(0usize, 0usize); table.rows];
    for cell in table.cells.iter().filter(|cell| cell.column > 0 && !cell.text.is_empty()) {
        if let Some(count) = counts.get_mut(cell.row) {
            count.0 += usize::from(is_value(&cell.text) && !is_year(&cell.text));
            count.1 += 1;
        }
    }
    let is_data = |&(values, all): &(usize, usize)| all > 0 && values as f32 >= VALUES_IN_ROW * all as f32;
    let data = counts.iter().filter(|count| is_data(count)).count();
    let rows = match counts.iter().position(is_data) {
        Some(first) if data * 2 >= table.rows.saturating_sub(first) => first.min(HEADER_ROWS_MAX),
        // Text in most cells: a header is shorter than what stands below it.
        _ => usize::from(first_is_short(table)),
    };
    for cell in &mut table.cells {
        cell.header = cell.row + cell.row_span.saturating_sub(1) < rows;
    }
}

fn is_year(text: &str) -> bool {
    text.chars().count() == 4 && number(text).is_some_and(|year| (1900..2100).contains(&year))
}

fn first_is_short(table: &Table) -> bool {
    let length = |row: usize| {
        table.cells.iter().filter(|cell| cell.row == row).map(|cell| cell.text.chars().count()).sum::<usize>()
            as f32
    };
    let full =
        table.cells.iter().filter(|cell| cell.row == 0).all(|cell| !cell.text.is_empty() || cell.column == 0);
    let mut others: Vec<f32> = (1..table.rows).map(length).collect();
    full && length(0) > 0.0 && length(0) <= 1.2 * quantile(&mut others, 0.5)
}
