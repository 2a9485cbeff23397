//! Markdown (GitHub Flavored): headings, lists, tables, code and paragraphs, a rule between pages.
//!
//! Headers, footers and page numbers are left out. A table is a pipe table, or HTML where cells span or where more than
//! one row is a header. URLs and e-mail addresses stay as they are (`markdown/escape.rs`). A footnote is a paragraph: readers drop
//! a footnote definition without a reference, and the
//! model does not state the reference. Words that are hyphenated at the end of a line stay so unless the guest joins them
//! (see `joined.rs`): the format cannot determine whether the hyphen belongs to the word.

mod escape;
pub(crate) mod places;

use std::fmt::Write as _;
use std::io::Write;
use std::ops::Range;

use lector_core::{BlockKind, BlockView, DocumentView, PageView, Table, Transcript};

use crate::grid::{Grid, Slot};
use crate::joined::{joined, rows, spaced};
use crate::list::{Marker, split};
use crate::xml::one_line;
use crate::{ExportError, Format, Info, Several, Writer, html};
use escape::escape;

static INFO: Info = Info {
    name: "markdown",
    about: "Markdown with headings, lists and tables",
    content_type: "text/markdown; charset=utf-8",
    accepts: &["text/markdown"],
    extension: "md",
    needs_words: false,
    streams: true,
    has_preface: false,
    reports_failures: false,
    several: Several::Named { before: "# ", after: "\n\n" },
    composed: None,
};

/// Markdown. A failed page is a note in its place.
#[derive(Debug)]
pub(crate) struct Markdown;

impl Format for Markdown {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(MarkdownWriter::default())
    }
}

#[derive(Debug, Default)]
struct MarkdownWriter {
    any_page: bool,
}

impl Writer for MarkdownWriter {
    fn page(
        &mut self,
        _document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        if std::mem::replace(&mut self.any_page, true) {
            out.write_all(b"\n---\n\n")?;
        }
        match page.outcome {
            Ok(transcript) => Ok(out.write_all(of_page(transcript).as_bytes())?),
            Err(fault) => {
                let (number, message) = (u64::from(page.index) + 1, escape(&one_line(&fault.message), false));
                Ok(writeln!(out, "*Page {number} was not read: {message}*")?)
            }
        }
    }
}

/// Returns one page. It ends in a line feed unless it is empty.
pub(crate) fn of_page(page: &Transcript) -> String {
    written(page, |_, _, _| {})
}

/// Returns one page, and reports each block with the text so far and the block's place in it, which is empty for a block that
/// is left out.
fn written(page: &Transcript, mut report: impl FnMut(&BlockView<'_>, &str, Range<usize>)) -> String {
    let mut out = String::new();
    let mut previous = Kind::Other;
    for view in page.block_views() {
        let (text, kind) = block(&view);
        if text.is_empty() {
            report(&view, &out, out.len()..out.len());
            continue;
        }
        // The items of a list are not divided, so that the list stays tight.
        let is_next_item = kind == previous && kind != Kind::Other;
        if !out.is_empty() && !is_next_item {
            out.push('\n');
        }
        let start = out.len();
        out.push_str(&text);
        report(&view, &out, start..out.len());
        previous = kind;
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bullets,
    Numbers,
    Other,
}

/// Returns a block as Markdown; nothing for headers, footers and page numbers.
pub(crate) fn of_block(view: &BlockView<'_>) -> String {
    block(view).0
}

/// Returns a block with a line feed at its end, or nothing.
fn block(view: &BlockView<'_>) -> (String, Kind) {
    let text = joined(view);
    let whole = |text: String| (if text.is_empty() { text } else { text + "\n" }, Kind::Other);
    let Some(record) = view.block else { return whole(paragraph(&text)) };
    match &record.kind {
        BlockKind::Header | BlockKind::Footer | BlockKind::PageNumber => whole(String::new()),
        _ if text.is_empty() && record.table.is_none() => whole(String::new()),
        BlockKind::Title => whole(heading(1, &text)),
        BlockKind::Heading { level } => whole(heading(*level, &text)),
        BlockKind::ListItem => match split(&text) {
            (Marker::Bullet, rest) => (format!("- {}\n", paragraph(rest)), Kind::Bullets),
            (Marker::Number(number), rest) => (format!("{number}. {}\n", paragraph(rest)), Kind::Numbers),
        },
        BlockKind::Code => whole(code(view)),
        BlockKind::Table => {
            let table = record.table.as_ref().map(self::table).unwrap_or_default();
            // No text is lost, even if the guest left a line out of its table.
            let rest = paragraph(&spaced(&view.lines_outside_cells()));
            let gap = if table.is_empty() || rest.is_empty() { "" } else { "\n\n" };
            whole(format!("{table}{gap}{rest}"))
        }
        _ => match rows(view) {
            // Two spaces at the end of a line are a break.
            Some(rows) => {
                let rows: Vec<String> = rows.iter().map(|row| paragraph(row)).collect();
                whole(rows.join("  \n"))
            }
            None => whole(paragraph(&text)),
        },
    }
}

fn heading(level: u8, text: &str) -> String {
    let marks = "#".repeat(usize::from(level.clamp(1, 6)));
    format!("{marks} {}", escape(text, true))
}

/// Returns the lines between fences that are longer than every run of grave accents in them.
fn code(view: &BlockView<'_>) -> String {
    let mut text = String::new();
    for (_, line) in &view.lines {
        let clean = line.text.replace(|c: char| c.is_control() && c != '\t', " ");
        text.push_str(clean.trim_end());
        text.push('\n');
    }
    let longest = text.split(|c: char| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{text}{fence}")
}

/// Returns a table without a line feed at its end. A pipe table always has a header row; where the table has none, it is
/// empty.
fn table(table: &Table) -> String {
    let grid = Grid::of(table);
    if grid.columns == 0 || grid.rows == 0 {
        return String::new();
    }
    let headers = grid.header_rows();
    let any_other = table.cells.iter().any(|cell| cell.header && cell.row >= headers);
    if grid.has_spans() || headers > 1 || any_other {
        let mut out = html::table(table);
        out.truncate(out.trim_end().len());
        return out;
    }
    let row = |row: u32| {
        let cells = grid.row(row).map(|slot| match slot {
            Slot::Cell(cell) => escape(&one_line(&cell.text), false),
            Slot::Covered(_) | Slot::Empty => String::new(),
        });
        cells.fold("|".to_owned(), |mut line, cell| {
            // Cannot fail: the output is a string.
            let _ = write!(line, " {cell} |");
            line
        })
    };
    let empty = || "|".to_owned() + &"  |".repeat(grid.columns as usize);
    let rule = "|".to_owned() + &" --- |".repeat(grid.columns as usize);
    let head = if headers == 1 { row(0) } else { empty() };
    std::iter::once(head).chain([rule]).chain((headers..grid.rows).map(row)).collect::<Vec<_>>().join("\n")
}

/// Escapes a paragraph so that Markdown readers interpret it as plain text.
fn paragraph(text: &str) -> String {
    let mut escaped = escape(text, false);
    if let Some(at) = marker(&escaped) {
        escaped.insert(at, '\\');
    }
    escaped
}

/// Returns the place of the character that makes the beginning of a line more than text: `# `, `- `, `+ `, `1. ` and `1) ` begin
/// a heading, a list or an item; a line of `-`, `=` or `:` alone is a rule, underlines a heading or makes the line above a table.
fn marker(line: &str) -> Option<usize> {
    let first = line.chars().next()?;
    // White space or the end of the line follows a marker.
    let ends = |rest: &str| rest.chars().next().is_none_or(char::is_whitespace);
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let is_marker = match first {
        '#' => ends(line.trim_start_matches('#')),
        '+' => ends(&line[1..]),
        '-' => ends(&line[1..]) || consists_of(line, "-:"),
        '=' => consists_of(line, "="),
        ':' => consists_of(line, "-:"),
        _ => line.get(digits..)?.strip_prefix(['.', ')']).is_some_and(|rest| digits > 0 && ends(rest)),
    };
    is_marker.then_some(digits)
}

fn consists_of(line: &str, marks: &str) -> bool {
    line.chars().all(|c| c.is_whitespace() || marks.contains(c))
}

#[cfg(test)]
mod tests;
