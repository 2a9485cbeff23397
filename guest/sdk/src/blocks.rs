//! Builders of blocks, tables and properties, for guests.

use serde_json::{Map, Value};

use crate::{Block, BlockKind, Cell, Quad, Summary, Table, Transcript};

impl Block {
    /// Makes a block of `kind` with confidence 1. Its lines refer to it by `id`.
    pub fn new(id: u32, kind: BlockKind, quad: Quad) -> Self {
        Self { id, kind, quad, confidence: 1.0, table: None, properties: None }
    }

    /// Makes the block of a table.
    pub fn of_table(id: u32, table: Table, quad: Quad) -> Self {
        Self { table: Some(table), ..Self::new(id, BlockKind::Table, quad) }
    }

    /// Returns the block with a confidence in its kind, 0 to 1.
    #[must_use]
    pub fn with_confidence(mut self, confidence: f32) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets a member of its properties.
    pub fn set_property(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        set(&mut self.properties, name.into(), value.into());
    }
}

impl Table {
    /// Makes an empty grid.
    pub fn new(rows: u32, columns: u32) -> Self {
        Self { rows, columns, cells: Vec::new() }
    }

    /// Returns the table with one more cell.
    #[must_use]
    pub fn with(mut self, cell: Cell) -> Self {
        self.cells.push(cell);
        self
    }
}

impl Cell {
    /// Makes a cell that spans one row and one column.
    pub fn new(row: u32, column: u32, text: impl Into<String>, quad: Quad) -> Self {
        Self {
            row,
            column,
            row_span: 1,
            column_span: 1,
            header: false,
            quad,
            text: text.into(),
            lines: Vec::new(),
        }
    }

    /// Returns the cell with a span of that many rows and columns.
    #[must_use]
    pub fn spanning(mut self, rows: u32, columns: u32) -> Self {
        (self.row_span, self.column_span) = (rows, columns);
        self
    }

    /// Returns the cell as a header.
    #[must_use]
    pub fn as_header(mut self) -> Self {
        self.header = true;
        self
    }

    /// Returns the cell with the indices of its lines.
    #[must_use]
    pub fn with_lines(mut self, lines: impl IntoIterator<Item = u32>) -> Self {
        self.lines.extend(lines);
        self
    }
}

impl Transcript {
    /// Sets a member of the page's properties.
    pub fn set_property(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        set(&mut self.properties, name.into(), value.into());
    }
}

impl Summary {
    /// Returns the summary with a member of the document's properties.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        set(&mut self.properties, name.into(), value.into());
        self
    }
}

/// Sets a member of a JSON object; replaces text that is not an object with a new object.
fn set(properties: &mut Option<String>, name: String, value: Value) {
    let mut members: Map<String, Value> =
        properties.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    members.insert(name, value);
    *properties = Some(Value::Object(members).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;

    #[test]
    fn properties_are_an_object_of_all_that_was_set() {
        let mut page = Transcript::blank(Size { width: 1, height: 1 }, 72.0);
        page.set_property("total", 12.5);
        page.set_property("currency", "EUR");
        assert_eq!(page.properties.as_deref(), Some(r#"{"currency":"EUR","total":12.5}"#));
        let summary = Summary::of("x").with_property("n", 1).with_property("n", 2);
        assert_eq!(summary.properties.as_deref(), Some(r#"{"n":2}"#));
    }

    #[test]
    fn a_table_is_built_cell_by_cell() {
        let quad = Quad::from_rect(crate::Rect { x: 0.0, y: 0.0, width: 1.0, height: 1.0 });
        let table = Table::new(2, 2)
            .with(Cell::new(0, 0, "head", quad).spanning(1, 2).as_header())
            .with(Cell::new(1, 0, "a", quad).with_lines([1]));
        let block = Block::of_table(3, table, quad).with_confidence(0.5);
        let table = block.table.as_ref().map(|table| table.cells.len());
        assert_eq!((block.id, block.kind, table), (3, BlockKind::Table, Some(2)));
    }
}
