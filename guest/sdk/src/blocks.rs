//! Builders of blocks, tables and properties, for guests.

use serde_json::{Map, Value};

use crate::{Block, BlockKind, Cell, Line, Quad, Summary, Table, Transcript};

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

    /// Returns a member of its properties.
    pub fn property(&self, name: &str) -> Option<Value> {
        let members: Map<String, Value> = serde_json::from_str(self.properties.as_deref()?).ok()?;
        members.get(name).cloned()
    }

    /// Removes a member of its properties.
    pub fn remove_property(&mut self, name: &str) {
        let Some(json) = &self.properties else { return };
        let mut members: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
        members.remove(name);
        self.properties = (!members.is_empty()).then(|| Value::Object(members).to_string());
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

impl Transcript {
    /// Keeps the lines for which `keep` is true, and everything else consistent with them: indices in cells and findings
    /// change, a cell has the text of its remaining lines, findings and blocks that lose all of their lines are removed, and
    /// the property `text` of a block that loses one.
    pub fn retain_lines(&mut self, mut keep: impl FnMut(&Line) -> bool) {
        let kept: Vec<bool> = self.lines.iter().map(&mut keep).collect();
        if kept.iter().all(|kept| *kept) {
            return;
        }
        let mut count = 0;
        let moved: Vec<Option<u32>> = kept
            .iter()
            .map(|kept| {
                count += u32::from(*kept);
                kept.then(|| count - 1)
            })
            .collect();
        let lost: Vec<u32> =
            self.lines.iter().zip(&kept).filter(|(_, kept)| !**kept).map(|(line, _)| line.block_id).collect();
        let mut flags = kept.iter();
        self.lines.retain(|_| flags.next().copied().unwrap_or(true));
        let place = |lines: &mut Vec<u32>| {
            let before = lines.len();
            *lines = lines.iter().filter_map(|at| moved.get(*at as usize).copied().flatten()).collect();
            lines.len() < before
        };
        for finding in &mut self.findings {
            place(&mut finding.lines);
        }
        self.findings.retain(|finding| !finding.lines.is_empty());
        let left = &self.lines;
        self.blocks
            .retain(|block| !lost.contains(&block.id) || left.iter().any(|line| line.block_id == block.id));
        for block in &mut self.blocks {
            for cell in block.table.iter_mut().flat_map(|table| &mut table.cells) {
                if place(&mut cell.lines) {
                    let texts = cell
                        .lines
                        .iter()
                        .filter_map(|at| left.get(*at as usize))
                        .map(|line| line.text.as_str());
                    cell.text = texts.collect::<Vec<_>>().join(" ");
                }
            }
            if lost.contains(&block.id) {
                block.remove_property("text");
            }
        }
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
    fn lines_are_left_out_with_what_refers_to_them() {
        let quad = Quad::from_rect(crate::Rect { x: 0.0, y: 0.0, width: 1.0, height: 1.0 });
        let mut page = Transcript::blank(Size { width: 1, height: 1 }, 72.0);
        for (text, block_id) in [("gone", 0), ("a", 1), ("bad b", 1), ("bad c", 1)] {
            page.lines.push(Line { block_id, ..Line::new(text, 1.0, quad) });
        }
        let cell =
            |column, text: &str, lines: &[u32]| Cell::new(0, column, text, quad).with_lines(lines.to_vec());
        let table = Table::new(1, 2).with(cell(0, "a bad b", &[1, 2])).with(cell(1, "bad c", &[3]));
        page.blocks = vec![Block::new(0, BlockKind::Text, quad), Block::of_table(1, table, quad)];
        page.blocks[1].set_property("text", "x");
        page.findings = vec![crate::Finding::new("k", "t", 0, quad), crate::Finding::new("k", "t", 1, quad)];
        page.retain_lines(|line| line.text == "a");
        assert_eq!((page.lines.len(), page.findings.len()), (1, 1));
        assert_eq!(page.findings[0].lines, [0]);
        assert_eq!(page.blocks.iter().map(|block| block.id).collect::<Vec<_>>(), [1]);
        let cells = &page.blocks[0].table.as_ref().map(|table| table.cells.clone()).unwrap_or_default();
        assert_eq!((cells[0].text.as_str(), cells[1].text.as_str()), ("a", ""));
        assert_eq!((&cells[0].lines, &page.blocks[0].properties), (&vec![0], &None));
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
