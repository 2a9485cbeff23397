//! The grid of a table: its slots by row and column.

use std::collections::BTreeMap;

use lector_core::{Cell, Table};

/// A slot of the grid.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slot<'a> {
    /// The first slot of a cell.
    Cell(&'a Cell),
    /// Another slot of a cell that spans several.
    Covered(&'a Cell),
    /// No cell.
    Empty,
}

/// A table by rows. Cells outside the grid are left out; the runtime rejects them, and bounds the number of slots.
#[derive(Debug)]
pub(crate) struct Grid<'a> {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    cells: BTreeMap<(u32, u32), &'a Cell>,
}

impl<'a> Grid<'a> {
    pub(crate) fn of(table: &'a Table) -> Self {
        let mut cells = BTreeMap::new();
        for cell in &table.cells {
            let last = |first: u32, span: u32, most: u32| first.saturating_add(span.max(1)).min(most);
            for row in cell.row..last(cell.row, cell.row_span, table.rows) {
                for column in cell.column..last(cell.column, cell.column_span, table.columns) {
                    cells.insert((row, column), cell);
                }
            }
        }
        Self { rows: table.rows, columns: table.columns, cells }
    }

    pub(crate) fn slot(&self, row: u32, column: u32) -> Slot<'a> {
        match self.cells.get(&(row, column)) {
            Some(cell) if (row, column) == (cell.row, cell.column) => Slot::Cell(cell),
            Some(cell) => Slot::Covered(cell),
            None => Slot::Empty,
        }
    }

    /// Returns the slots of a row.
    pub(crate) fn row(&self, row: u32) -> impl Iterator<Item = Slot<'a>> + '_ {
        (0..self.columns).map(move |column| self.slot(row, column))
    }

    /// Returns the cells in the order of their first slots, row by row.
    pub(crate) fn cells(&self) -> impl Iterator<Item = &'a Cell> + '_ {
        let is_first = |&(place, cell): &(&(u32, u32), &&'a Cell)| *place == (cell.row, cell.column);
        self.cells.iter().filter(is_first).map(|(_, cell)| *cell)
    }

    /// Returns whether a cell spans more than one slot.
    pub(crate) fn has_spans(&self) -> bool {
        self.cells.values().any(|cell| cell.row_span > 1 || cell.column_span > 1)
    }

    /// Returns whether all cells of the row are header cells, and there is one.
    pub(crate) fn is_header_row(&self, row: u32) -> bool {
        let mut any = false;
        for slot in self.row(row) {
            if let Slot::Cell(cell) = slot {
                any = true;
                if !cell.header {
                    return false;
                }
            }
        }
        any
    }

    /// Returns the number of header rows at the top.
    pub(crate) fn header_rows(&self) -> u32 {
        (0..self.rows).take_while(|row| self.is_header_row(*row)).count() as u32
    }
}
