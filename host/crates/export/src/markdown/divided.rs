//! Division of a block that is too large for its reader: a table between rows, with its header before each part, and code
//! between lines, with fences around each part.

use lector_core::{BlockKind, BlockView, Table};

use super::{code_text, fence, paragraph, pipe_rows, table_is_html};
use crate::grid::{Grid, Slot};
use crate::html;
use crate::joined::spaced;
use crate::xml::one_line;

/// Returns a block as Markdown in parts of at most `most` bytes, the first of at most `first`, which may be empty; `None` where
/// the block has no inner bounds, or a row of it is larger than a part.
pub(crate) fn divided(view: &BlockView<'_>, first: usize, most: usize) -> Option<Vec<String>> {
    let record = view.block?;
    let (units, rest) = match &record.kind {
        BlockKind::Code => (of_code(&code_text(view), most)?, String::new()),
        BlockKind::Table => {
            (of_table(record.table.as_ref()?)?, paragraph(&spaced(&view.lines_outside_cells())))
        }
        _ => return None,
    };
    let mut parts = units.filled(first, most)?;
    if rest.len() > most {
        return None;
    }
    if !rest.is_empty() {
        let room = if parts.len() == 1 { first } else { most };
        match parts.last_mut().filter(|last| last.len() + 2 + rest.len() <= room) {
            Some(last) => last.extend(["\n\n", &rest]),
            None => parts.push(rest),
        }
    }
    Some(parts)
}

/// Returns the rows of a table as lines of text, for a table whose rows do not fit into a part.
pub(crate) fn rows_as_text(view: &BlockView<'_>) -> Option<String> {
    let grid = Grid::of(view.block?.table.as_ref()?);
    let row = |row| {
        let cells = grid.row(row).filter_map(|slot| match slot {
            Slot::Cell(cell) => Some(one_line(&cell.text)).filter(|text| !text.is_empty()),
            Slot::Covered(_) | Slot::Empty => None,
        });
        cells.collect::<Vec<_>>().join(" ")
    };
    let rest = spaced(&view.lines_outside_cells());
    let rows = (0..grid.rows).map(row).chain([rest]).filter(|row| !row.is_empty());
    Some(rows.map(|row| paragraph(&row)).collect::<Vec<_>>().join("\n\n"))
}

/// What a block is divided into.
struct Units {
    /// Before the units of each part.
    head: String,
    units: Vec<String>,
    /// Behind the units of each part.
    tail: String,
}

impl Units {
    fn filled(&self, first: usize, most: usize) -> Option<Vec<String>> {
        let around = self.head.len() + self.tail.len();
        let part = |body: &str| match body {
            "" => String::new(),
            body => format!("{}{body}{}", self.head, self.tail).trim_end().to_owned(),
        };
        let (mut parts, mut body, mut room) = (Vec::new(), String::new(), first);
        for unit in &self.units {
            if around + unit.len() > most {
                return None;
            }
            if around + body.len() + unit.len() > room {
                parts.push(part(&body));
                body.clear();
                room = most;
            }
            body.push_str(unit);
        }
        parts.push(part(&body));
        Some(parts)
    }
}

/// Returns the lines of code; a line that is larger than a part is cut.
fn of_code(text: &str, most: usize) -> Option<Units> {
    let fence = fence(text);
    let room = most.checked_sub(2 * fence.len() + 2).filter(|room| *room >= char::MAX_LEN_UTF8)?;
    let mut units = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        while rest.len() > room {
            let (piece, behind) = rest.split_at(rest.floor_char_boundary(room));
            units.push(format!("{piece}\n"));
            rest = behind;
        }
        units.push(format!("{rest}\n"));
    }
    Some(Units { head: format!("{fence}\n"), units, tail: fence })
}

fn of_table(table: &Table) -> Option<Units> {
    let grid = Grid::of(table);
    if grid.columns == 0 || grid.rows == 0 {
        return None;
    }
    if !table_is_html(table, &grid) {
        let mut rows = pipe_rows(&grid).into_iter().map(|row| row + "\n");
        let head: String = rows.by_ref().take(2).collect();
        return Some(Units { head, units: rows.collect(), tail: String::new() });
    }
    let headers = grid.header_rows();
    let row = |row| html::row(&grid, row, headers);
    let head: String = (0..headers).map(row).collect();
    let head = if headers > 0 { format!("<table>\n<thead>\n{head}</thead>\n") } else { "<table>\n".into() };
    let mut units: Vec<String> = Vec::new();
    let mut goes_on = false;
    for at in headers..grid.rows {
        match units.last_mut() {
            // Rows that a cell spans stay together.
            Some(last) if goes_on => last.push_str(&row(at)),
            _ => units.push(row(at)),
        }
        goes_on = grid.row(at).any(|slot| match slot {
            Slot::Cell(cell) | Slot::Covered(cell) => cell.row.saturating_add(cell.row_span) > at + 1,
            Slot::Empty => false,
        });
    }
    if units.is_empty() {
        return None;
    }
    Some(Units { head: head + "<tbody>\n", units, tail: "</tbody>\n</table>".into() })
}
