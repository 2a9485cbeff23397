//! CSV of the tables (RFC 4180): the tables in reading order, with an empty record between two. The text of a cell that
//! spans several slots is in the first one.
//!
//! A spreadsheet takes a field that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a formula. Such a
//! field gets an apostrophe in front, unless it is a number, an amount of money, or dashes for "nothing": these have no
//! name, no reference and no operator, and so nothing to evaluate.

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
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number(&text) && !is_nil(&text);
    let apostrophe = if is_formula { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n', '\t', ';']) || text.trim() != text {
        format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{apostrophe}{text}")
    }
}

/// Returns whether the text is dashes, as in `-` and `-,--`, which stand for "nothing" in a table.
fn is_nil(text: &str) -> bool {
    text.starts_with('-') && text.chars().all(|c| matches!(c, '-' | '–' | '—' | ',' | '.' | ' '))
}

/// Returns whether the text is a sign and a number, with an optional percent sign or currency, as in `-1,234.50`, `-$5`,
/// `-5 EUR`.
fn is_number(text: &str) -> bool {
    let amount = text.strip_prefix(['+', '-']).unwrap_or(text).trim_start_matches(SPACES);
    let amount = amount.strip_suffix('%').unwrap_or(amount);
    let number = without_currency(amount).trim_matches(SPACES);
    let separates = |c: char| matches!(c, '.' | ',' | '\'' | '’') || SPACES.contains(&c);
    number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || separates(c))
}

/// Spaces in a number.
const SPACES: [char; 3] = [' ', '\u{a0}', '\u{202f}'];

/// Returns an amount without the currency before or after it. A code before the number counts with a space only: `EUR5` is
/// a cell of a worksheet.
fn without_currency(amount: &str) -> &str {
    let is_code = |c: char| c.is_ascii_uppercase();
    let code = |text: &str| text.len() == 3 && text.chars().all(is_code);
    if let Some(rest) = amount.strip_prefix(is_currency).or_else(|| amount.strip_suffix(is_currency)) {
        return rest;
    }
    match (amount.split_at_checked(3), amount.len().checked_sub(3).and_then(|at| amount.split_at_checked(at)))
    {
        (Some((before, number)), _) if code(before) && number.starts_with(SPACES) => number,
        (_, Some((number, after))) if code(after) => number,
        _ => amount,
    }
}

/// Returns whether the character is a currency sign (Unicode, category Sc).
fn is_currency(c: char) -> bool {
    matches!(
        c,
        '$' | '¢'..='¥' | '֏' | '؋' | '৲' | '৳' | '৻' | '૱' | '௹' | '฿' | '៛' | '\u{20a0}'..='\u{20cf}' | '﷼' | '﹩'
            | '＄' | '￠' | '￡' | '￥' | '￦'
    )
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
            ("-", "-"),
            ("--", "--"),
            ("-,--", "\"-,--\""),
            ("-$1,200", "\"-$1,200\""),
            ("-$ 5", "-$ 5"),
            ("- 5", "- 5"),
            ("-5 EUR", "-5 EUR"),
            ("-EUR 5", "-EUR 5"),
            ("+5€", "+5€"),
            ("-1’200.50 CHF", "-1’200.50 CHF"),
            ("-EUR5", "'-EUR5"),
            ("-A1", "'-A1"),
            ("-$A$1", "'-$A$1"),
            ("-$1$", "'-$1$"),
            ("-5 EUR+A1", "'-5 EUR+A1"),
            ("-5 EUR USD", "'-5 EUR USD"),
            ("-1+cmd|' /c calc'!A0", "'-1+cmd|' /c calc'!A0"),
            ("--1", "'--1"),
            ("-(1)", "'-(1)"),
            ("-€", "'-€"),
            ("+", "'+"),
            ("=", "'="),
            ("\r=1", "\"'\r=1\""),
            ("\t=1", "\"'\t=1\""),
            (" =1", "\" =1\""),
        ] {
            assert_eq!(field(text), expect, "{text:?}");
        }
    }
}
