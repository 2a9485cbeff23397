//! The cells of a table by row and column.

use lector_sdk::{Cell, Table};

/// A table by row and column.
#[derive(Debug)]
pub struct Grid<'a> {
    rows: Vec<Vec<Option<&'a Cell>>>,
}

/// Returns the grid of a table: a cell that spans several rows or columns is at each of its places.
pub fn grid(table: &Table) -> Grid<'_> {
    let mut rows = vec![vec![None; table.columns as usize]; table.rows as usize];
    for cell in &table.cells {
        let (top, left) = (cell.row as usize, cell.column as usize);
        for row in rows.iter_mut().skip(top).take(cell.row_span as usize) {
            row.iter_mut().skip(left).take(cell.column_span as usize).for_each(|place| *place = Some(cell));
        }
    }
    Grid { rows }
}

impl<'a> Grid<'a> {
    /// Returns the rows from top to bottom, each from left to right; a place without a cell is `None`.
    pub fn rows(&self) -> impl Iterator<Item = &[Option<&'a Cell>]> {
        self.rows.iter().map(Vec::as_slice)
    }

    /// Returns the cell at a place.
    pub fn at(&self, row: usize, column: usize) -> Option<&'a Cell> {
        *self.rows.get(row)?.get(column)?
    }

    /// Returns the index of the first column with a header cell, or a cell of the first row, that contains `header`, in any
    /// case.
    pub fn column(&self, header: &str) -> Option<usize> {
        let wanted = header.to_lowercase();
        let width = self.rows.first().map_or(0, Vec::len);
        (0..width).find(|column| {
            let heads =
                self.rows.iter().enumerate().filter_map(|(row, cells)| Some((row, (*cells.get(*column)?)?)));
            heads
                .filter(|(row, cell)| *row == 0 || cell.header)
                .any(|(_, cell)| cell.text.to_lowercase().contains(&wanted))
        })
    }

    /// Returns the texts of a column below its headers, from top to bottom; an empty place is an empty text.
    pub fn texts_of(&self, column: usize) -> Vec<&'a str> {
        let cells = self.rows.iter().enumerate().filter_map(|(row, cells)| Some((row, *cells.get(column)?)));
        cells
            .filter(|(row, cell)| *row > 0 && !cell.is_some_and(|cell| cell.header))
            .map(|(_, cell)| cell.map_or("", |cell| cell.text.as_str()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use lector_sdk::{Quad, Rect};

    use super::*;

    #[test]
    fn cells_are_found_by_place_and_header() {
        let quad = Quad::from_rect(Rect { x: 0.0, y: 0.0, width: 1.0, height: 1.0 });
        let cell = |row, column, text: &str| Cell::new(row, column, text, quad);
        let table = Table::new(3, 3)
            .with(cell(0, 0, "Item").spanning(1, 2).as_header())
            .with(cell(0, 2, "Net Price").as_header())
            .with(cell(1, 0, "Bolt"))
            .with(cell(1, 1, "M8"))
            .with(cell(1, 2, "1.20"))
            .with(cell(2, 2, "0.80"));
        let grid = grid(&table);
        assert_eq!((grid.column("price"), grid.column("item"), grid.column("tax")), (Some(2), Some(0), None));
        assert_eq!(grid.texts_of(2), ["1.20", "0.80"]);
        assert_eq!(grid.texts_of(1), ["M8", ""]);
        assert_eq!(grid.at(0, 1).map(|cell| cell.text.as_str()), Some("Item"));
        assert!(grid.at(2, 0).is_none() && grid.at(9, 9).is_none());
        assert_eq!(grid.rows().count(), 3);
    }
}
