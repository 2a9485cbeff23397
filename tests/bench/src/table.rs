//! Prints rows of JSON as a table.

use serde_json::Value;

/// Prints a heading and a line for each row. Columns are members, as in `pages cer:4 score/all`: a path into the row,
/// and the number of decimals. A missing member is printed as a dash.
pub fn print(columns: &str, rows: &[Value]) {
    println!();
    let mut lines = vec![String::new(); rows.len() + 1];
    for column in columns.split_whitespace() {
        let (path, digits) = column.split_once(':').unwrap_or((column, "0"));
        let digits = digits.parse().unwrap_or(0);
        let cell = |row: &Value| match row.pointer(&format!("/{path}")) {
            Some(Value::Number(number)) if number.is_f64() => {
                format!("{:.digits$}", number.as_f64().unwrap_or(f64::NAN))
            }
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => "-".to_owned(),
            Some(other) => other.to_string(),
        };
        let heading = path.rsplit('/').next().unwrap_or(path).to_owned();
        let cells: Vec<String> = [heading].into_iter().chain(rows.iter().map(cell)).collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(cells) {
            let cell = if line.is_empty() { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
            line.push_str(&format!("  {cell}"));
        }
    }
    lines.iter().for_each(|line| println!("{line}"));
}
