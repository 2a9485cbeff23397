//! CSV of the tables (RFC 4180): the tables in reading order, with an empty record between two. The text of a cell that
//! spans several slots is in the first one.
//!
//! A spreadsheet takes a field that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a formula. Such a
//! field gets an apostrophe in front, unless it is a number.

use std::io::Write;

use lector_core::{DocumentView, PageView, Table};

use crate::grid::{Grid, Slot};
use crate::{ExportError, Format, Info, Several, Writer};

static INFO: Info = Info {
    name: "csv",
    about: "The tables as CSV",
    content_type: "text/csv; charset=utf-8; header=absent",
    accepts: &["text/csv"],
    extension: "csv",
    needs_words: false,
    streams: true,
    has_preface: false,
    reports_failures: false,
    several: Several::Never,
    composed: None,
};

/// CSV of the tables.
#[derive(Debug)]
pub(crate) struct Csv;

impl Format for Csv {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(CsvWriter::default())
    }
}

#[derive(Debug, Default)]
struct CsvWriter {
    any_table: bool,
}

impl Writer for CsvWriter {
    fn page(
        &mut self,
        _document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        let Ok(transcript) = page.outcome else { return Ok(()) };
        for view in transcript.block_views() {
            let Some(table) = view.block.and_then(|block| block.table.as_ref()) else { continue };
            if std::mem::replace(&mut self.any_table, true) {
                out.write_all(b"\r\n")?;
            }
            write_table(out, table)?;
        }
        Ok(())
    }
}

fn write_table(out: &mut dyn Write, table: &Table) -> Result<(), ExportError> {
    let grid = Grid::of(table);
    for row in 0..grid.rows {
        for (at, slot) in grid.row(row).enumerate() {
            if at > 0 {
                out.write_all(b",")?;
            }
            if let Slot::Cell(cell) = slot {
                out.write_all(field(&cell.text).as_bytes())?;
            }
        }
        out.write_all(b"\r\n")?;
    }
    Ok(())
}

/// Returns a field, quoted where it has to be.
fn field(text: &str) -> String {
    let text = text.replace('\0', " ");
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number(&text);
    let apostrophe = if is_formula { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n', '\t', ';']) || text.trim() != text {
        format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{apostrophe}{text}")
    }
}

/// Returns whether the text is a sign and digits with separators and an optional percent sign, as in `-1,234.50`.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = digits.strip_suffix('%').unwrap_or(digits);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | ' ' | '\u{a0}' | '\u{202f}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_are_no_formulas() {
        for (text, expect) in [
            ("a", "a"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+2", "'=1+2"),
            ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+49 30 1", "+49 30 1"),
            ("-1,234.50", "\"-1,234.50\""),
            ("-12%", "-12%"),
            ("-", "'-"),
            ("\t=1", "\"'\t=1\""),
            (" =1", "\" =1\""),
        ] {
            assert_eq!(field(text), expect, "{text:?}");
        }
    }
}
