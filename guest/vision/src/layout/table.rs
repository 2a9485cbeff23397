//! Cells on common baselines: tables, forms, lists with their numbers.

use super::cells::{Cell, Row, columns, rows};
use crate::statistics::quantile;

/// Minimum white space between columns of a table, in em.
const COLUMN_GAP_EM: f32 = 0.5;
/// Maximum white space between two lines of one cell, in em.
const CELL_GAP_EM: f32 = 0.5;

/// Minimum median width of the lines of a wrapped cell, in em.
const WRAPPED_WIDTH_EM: f32 = 6.0;

/// Close lines of one column: a cell, if the table has white space between its rows.
struct Stack {
    column: usize,
    top: f32,
    bottom: f32,
    cells: Vec<Cell>,
}

/// Reads a table row by row. If cells have several lines, each cell is read to its end before the next one.
pub(super) fn read(cells: &[Cell], em: f32) -> Vec<Row> {
    let mut block: Vec<Row> = Vec::new();
    for group in groups(stacks(cells, em)) {
        if is_row_of_cells(&group, em) {
            block.extend(group.iter().flat_map(|stack| rows(&stack.cells)));
        } else {
            read_rows(&group, &mut block);
        }
    }
    block
}

/// Returns the stacks of every column.
fn stacks(cells: &[Cell], em: f32) -> Vec<Stack> {
    let mut stacks: Vec<Stack> = Vec::new();
    for (column, mut members) in columns(cells, COLUMN_GAP_EM * em).into_iter().enumerate() {
        members.sort_by(|a, b| a.center_y().total_cmp(&b.center_y()));
        let mut gaps: Vec<f32> = members.windows(2).map(|w| w[1].core_top() - w[0].core_bottom()).collect();
        // White space of 1.5 times that between the tightest lines separates cells.
        let limit = (1.5 * quantile(&mut gaps, 0.1)).clamp(0.1 * em, CELL_GAP_EM * em);
        for cell in members {
            match stacks.last_mut() {
                Some(stack) if stack.column == column && cell.core_top() - stack.bottom <= limit => {
                    stack.bottom = stack.bottom.max(cell.core_bottom());
                    stack.cells.push(cell);
                }
                _ => stacks.push(Stack {
                    column,
                    top: cell.core_top(),
                    bottom: cell.core_bottom(),
                    cells: vec![cell],
                }),
            }
        }
    }
    stacks
}

/// Returns the groups of stacks side by side, from the top; inside a group from the left.
fn groups(mut stacks: Vec<Stack>) -> Vec<Vec<Stack>> {
    stacks.sort_by(|a, b| a.top.total_cmp(&b.top));
    let mut groups: Vec<Vec<Stack>> = Vec::new();
    let mut end = f32::NEG_INFINITY;
    for stack in stacks {
        let bottom = stack.bottom;
        match groups.last_mut() {
            Some(group) if stack.top < end => group.push(stack),
            _ => groups.push(vec![stack]),
        }
        end = end.max(bottom);
    }
    for group in &mut groups {
        group.sort_by(|a, b| a.column.cmp(&b.column).then(a.top.total_cmp(&b.top)));
    }
    groups
}

/// Returns whether a group of stacks is one row of a table whose cells have different numbers of lines. Several tight
/// rows look similar, but then most columns have the same number of lines, or one has gaps.
fn is_row_of_cells(group: &[Stack], em: f32) -> bool {
    let lines: Vec<usize> = group.iter().map(|stack| rows(&stack.cells).len()).collect();
    let most = lines.iter().copied().max().unwrap_or(0);
    let one_each = group.windows(2).all(|w| w[0].column != w[1].column);
    // Fragments of a line are accepted; merged columns are not a cell.
    let one_wide = group.iter().zip(&lines).all(|(stack, &n)| stack.cells.len() * 2 <= n * 3);
    let fullest = lines.iter().filter(|&&n| n == most).count();
    // Short lines below each other are more likely rows than wrapped text.
    let wrapped = |stack: &Stack| {
        let mut widths: Vec<f32> = stack.cells.iter().map(Cell::width).collect();
        quantile(&mut widths, 0.5) >= WRAPPED_WIDTH_EM * em
    };
    let single = lines.iter().filter(|&&n| n == 1).count();
    one_each
        && one_wide
        && most > 1
        && fullest * 2 <= lines.len()
        && (single * 2 >= lines.len() || group.iter().zip(&lines).all(|(stack, &n)| n == 1 || wrapped(stack)))
}

/// Reads stacks whose line spacing equals the row spacing of the table: printed row by printed row, except that a
/// single column that continues below a row starting in the first column is read to its end before the rest of that
/// row.
fn read_rows(group: &[Stack], block: &mut Vec<Row>) {
    let cells: Vec<Cell> = group.iter().flat_map(|stack| stack.cells.iter().copied()).collect();
    let first_column = group.iter().map(|stack| stack.column).min();
    let mut places: Vec<(usize, usize)> =
        group.iter().flat_map(|stack| stack.cells.iter().map(|cell| (cell.index, stack.column))).collect();
    places.sort_unstable();
    let column_of = |cell: &Cell| {
        let at = places.binary_search_by_key(&cell.index, |place| place.0).ok()?;
        places.get(at).map(|place| place.1)
    };
    let mut entry: Vec<Vec<(Option<usize>, Cell)>> = Vec::new();
    for row in rows(&cells) {
        let row: Vec<(Option<usize>, Cell)> = row.into_iter().map(|cell| (column_of(&cell), cell)).collect();
        if row.first().is_some_and(|(column, _)| *column == first_column) {
            settle(&mut entry, block);
        }
        entry.push(row);
    }
    settle(&mut entry, block);
}

/// Ends an entry: printed rows, the first of which begins in the first column.
fn settle(entry: &mut Vec<Vec<(Option<usize>, Cell)>>, block: &mut Vec<Row>) {
    let entry = std::mem::take(entry);
    let Some((first, below)) = entry.split_first() else { return };
    let mut continued: Vec<Option<usize>> = below.iter().flatten().map(|(column, _)| *column).collect();
    continued.sort_unstable();
    continued.dedup();
    let strip = |row: &[(Option<usize>, Cell)]| row.iter().map(|(_, cell)| *cell).collect::<Row>();
    match continued.as_slice() {
        [column] if first.iter().any(|(c, _)| c == column) => {
            let after = first.partition_point(|(c, _)| c <= column);
            let (head, tail) = first.split_at(after);
            block.push(strip(head));
            block.extend(below.iter().map(|row| strip(row)));
            if !tail.is_empty() {
                block.push(strip(tail));
            }
        }
        _ => block.extend(entry.iter().map(|row| strip(row))),
    }
}
