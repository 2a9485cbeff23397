//! The value of a label: `Invoice no. 4711` in one line, or the value beside or below its label, in a table or on the page.

use lector_sdk::{Cell, Line, Quad, Table, Transcript};

use crate::cells::grid;
use crate::text::{begins, ends, is_space};

/// Where a value stands, seen from its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// In the line of the label, after it.
    After,
    /// In another line or cell to its right.
    Right,
    /// In another line or cell below.
    Below,
}

/// The value of a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Labeled {
    /// The value as written, without white space at its ends.
    pub text: String,
    /// Indices of the lines that it lies in, in `transcript.lines`.
    pub lines: Vec<u32>,
    /// Its corners.
    pub quad: Quad,
    /// Its place.
    pub place: Where,
}

/// Returns the values of the labels on a page, in the order of their lines. A label is compared in any case, as whole words:
/// `total` is not in `Subtotal`. The value stands after its label in the line; otherwise, in a table, in the cell to the right
/// or below; otherwise in the nearest line to the right in the same row, or in the nearest one below. A line that contains a
/// label itself is no value.
pub fn labeled(page: &Transcript, labels: &[&str]) -> Vec<Labeled> {
    let mut found = Vec::new();
    for (index, line) in page.lines.iter().enumerate() {
        let Some(end) = label_end(&line.text, labels) else { continue };
        let value = after(line, index, end)
            .or_else(|| in_table(page, index, labels))
            .or_else(|| whole(page, page.right_of(index)?, Where::Right, labels))
            .or_else(|| whole(page, page.below(index)?, Where::Below, labels));
        found.extend(value);
    }
    found
}

/// Returns the end of the first label in a text, in characters; the longest one where several begin at one place.
fn label_end(text: &str, labels: &[&str]) -> Option<usize> {
    let chars: Vec<char> = text.chars().collect();
    let at = |from: usize| {
        let lengths = labels.iter().filter_map(|label| {
            let wanted: Vec<char> = label.trim().chars().collect();
            let here = chars.get(from..from + wanted.len())?;
            let same = here.iter().zip(&wanted).all(|(a, b)| a.to_lowercase().eq(b.to_lowercase()));
            let bounded = begins(&chars, from)
                && (ends(&chars, from + wanted.len()) || !wanted.last()?.is_alphanumeric());
            (same && bounded).then_some(wanted.len())
        });
        lengths.max().map(|length| from + length)
    };
    (0..chars.len()).find_map(at)
}

/// Returns the rest of the line after its label.
fn after(line: &Line, index: usize, end: usize) -> Option<Labeled> {
    let chars: Vec<char> = line.text.chars().collect();
    let separates = |c: &char| is_space(*c) || c.is_whitespace() || ".:;=_|-–—".contains(*c);
    let from = end + chars.iter().skip(end).take_while(|c| separates(c)).count();
    // A minus before a number belongs to the number.
    let minus = from.checked_sub(1).filter(|minus| {
        *minus >= end && chars.get(*minus) == Some(&'-') && chars.get(from).is_some_and(char::is_ascii_digit)
    });
    let from = minus.filter(|minus| *minus > end).unwrap_or(from);
    let text: String = chars.get(from..)?.iter().collect();
    let text = text.trim_end();
    let range = from..from + text.chars().count();
    (!text.is_empty()).then(|| Labeled {
        text: text.to_owned(),
        lines: vec![u32::try_from(index).unwrap_or(u32::MAX)],
        quad: line.quad_of(range),
        place: Where::After,
    })
}

/// Returns the neighbor of the cell that holds the line and nothing beside the label.
fn in_table(page: &Transcript, index: usize, labels: &[&str]) -> Option<Labeled> {
    let index = u32::try_from(index).ok()?;
    let tables = page.blocks.iter().filter_map(|block| block.table.as_ref());
    let holds = |cell: &&Cell| cell.lines.contains(&index);
    let (table, cell): (&Table, &Cell) =
        tables.filter_map(|table| Some((table, table.cells.iter().find(holds)?))).next()?;
    let grid = grid(table);
    let right = grid.at(cell.row as usize, (cell.column + cell.column_span) as usize);
    let below = grid.at((cell.row + cell.row_span) as usize, cell.column as usize);
    // The cells below a header are its values; beside other labels stand theirs.
    let order = [(right, Where::Right), (below, Where::Below)];
    let order = if cell.header && cell.row == 0 { [order[1], order[0]] } else { order };
    order.into_iter().find_map(|(value, place)| {
        let value = value.filter(|value| !value.text.trim().is_empty())?;
        let is_label = label_end(&value.text, labels).is_some();
        (!is_label).then(|| Labeled {
            text: value.text.trim().to_owned(),
            lines: value.lines.clone(),
            quad: value.quad,
            place,
        })
    })
}

fn whole(page: &Transcript, index: usize, place: Where, labels: &[&str]) -> Option<Labeled> {
    let line = page.lines.get(index)?;
    let text = line.text.trim();
    (!text.is_empty() && label_end(text, labels).is_none()).then(|| Labeled {
        text: text.to_owned(),
        lines: vec![u32::try_from(index).unwrap_or(u32::MAX)],
        quad: line.quad,
        place,
    })
}

#[cfg(test)]
mod tests {
    use lector_sdk::{Block, Rect, Size};

    use super::*;

    fn quad(x: f32, y: f32, width: f32) -> Quad {
        Quad::from_rect(Rect { x, y, width, height: 20.0 })
    }

    fn page(lines: &[(&str, f32, f32)]) -> Transcript {
        let mut page = Transcript::blank(Size { width: 800, height: 600 }, 72.0);
        for (text, x, y) in lines {
            page.lines.push(Line::new(*text, 1.0, quad(*x, *y, text.chars().count() as f32 * 10.0)));
        }
        page
    }

    fn values(page: &Transcript, labels: &[&str]) -> Vec<(String, Where)> {
        labeled(page, labels).into_iter().map(|one| (one.text, one.place)).collect()
    }

    #[test]
    fn a_value_stands_after_beside_or_below_its_label() {
        let page = page(&[
            ("Invoice No.: 4711 ", 0.0, 0.0),
            ("Subtotal 90,00", 0.0, 40.0),
            ("Total:", 0.0, 80.0),
            ("100,00", 300.0, 82.0),
            ("Due date", 0.0, 120.0),
            ("29.11.2026", 0.0, 150.0),
            ("Balance -5,00", 0.0, 200.0),
        ]);
        assert_eq!(values(&page, &["invoice no.", "invoice"]), [("4711".to_owned(), Where::After)]);
        assert_eq!(values(&page, &["TOTAL"]), [("100,00".to_owned(), Where::Right)]);
        assert_eq!(values(&page, &["due date"]), [("29.11.2026".to_owned(), Where::Below)]);
        assert_eq!(values(&page, &["balance"]), [("-5,00".to_owned(), Where::After)]);
        assert_eq!(values(&page, &["tax"]), []);
        let number = &labeled(&page, &["invoice no."])[0];
        assert_eq!(number.lines, [0]);
        let bounds = number.quad.bounds();
        assert!((bounds.x - 130.0).abs() < 1.0 && (bounds.width - 40.0).abs() < 1.0, "{bounds:?}");
    }

    #[test]
    fn in_a_table_the_neighboring_cell_is_the_value() {
        let mut page =
            page(&[("Net", 0.0, 0.0), ("Gross", 100.0, 0.0), ("10", 0.0, 40.0), ("12", 100.0, 40.0)]);
        let cell = |row, column, text: &str, line| {
            Cell::new(row, column, text, quad(column as f32 * 100.0, row as f32 * 40.0, 50.0))
                .with_lines([line])
        };
        let heads = Table::new(2, 2)
            .with(cell(0, 0, "Net", 0).as_header())
            .with(cell(0, 1, "Gross", 1).as_header())
            .with(cell(1, 0, "10", 2))
            .with(cell(1, 1, "12", 3));
        page.blocks = vec![Block::of_table(0, heads, quad(0.0, 0.0, 200.0))];
        assert_eq!(
            values(&page, &["net", "gross"]),
            [("10".to_owned(), Where::Below), ("12".to_owned(), Where::Below)]
        );
        let pairs = Table::new(1, 2).with(cell(0, 0, "Net", 0)).with(cell(0, 1, "10", 2));
        page.blocks = vec![Block::of_table(0, pairs, quad(0.0, 0.0, 200.0))];
        assert_eq!(values(&page, &["net"]), [("10".to_owned(), Where::Right)]);
    }
}
