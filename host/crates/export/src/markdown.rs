//! Markdown (GitHub Flavored): headings, lists, tables, code and paragraphs, a rule between pages.
//!
//! Page numbers are left out, and headers and footers that repeat an earlier one (`markdown/heads.rs`). A table is a pipe table, or HTML where cells span or where more than
//! one row is a header. URLs and e-mail addresses stay as they are (`markdown/escape.rs`). A footnote is a paragraph: readers drop
//! a footnote definition without a reference, and the
//! model does not state the reference. Words that are hyphenated at the end of a line stay so unless the guest joins them
//! (see `joined.rs`): the format cannot determine whether the hyphen belongs to the word.

mod divided;
mod escape;
mod heads;
pub(crate) mod places;

use std::fmt::Write as _;
use std::io::Write;
use std::ops::Range;

use lector_core::{BlockKind, BlockView, DocumentView, PageView, Table, Transcript};

use crate::code::code_lines;
use crate::grid::{Grid, Slot};
use crate::joined::{joined, rows, spaced};
use crate::list::{Marker, split};
use crate::xml::one_line;
use crate::{ExportError, Format, Info, Several, Writer, html};
pub(crate) use divided::{divided, rows_as_text};
use escape::escape;
pub(crate) use heads::Heads;

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
    heads: Heads,
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
            Ok(transcript) => Ok(out.write_all(of_page(transcript, Some(&mut self.heads)).as_bytes())?),
            Err(fault) => {
                let (number, message) = (u64::from(page.index) + 1, escape(&one_line(&fault.message), false));
                Ok(writeln!(out, "*Page {number} was not read: {message}*")?)
            }
        }
    }
}

/// Returns one page. It ends in a line feed unless it is empty. Without `heads` all headers and footers are left out.
pub(crate) fn of_page(page: &Transcript, heads: Option<&mut Heads>) -> String {
    written(page, heads, |_, _, _| {})
}

/// Returns one page, and reports each block with the text so far and the block's place in it, which is empty for a block that
/// is left out.
fn written(
    page: &Transcript,
    mut heads: Option<&mut Heads>,
    mut report: impl FnMut(&BlockView<'_>, &str, Range<usize>),
) -> String {
    let mut out = String::new();
    let mut previous = Kind::Other;
    for view in page.block_views() {
        let is_left_out = match &mut heads {
            Some(heads) => heads.repeats(&view),
            None => is_head(&view),
        };
        let (text, kind) = if is_left_out { (String::new(), Kind::Other) } else { block(&view) };
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

/// Returns whether a block is a header or footer.
pub(crate) fn is_head(view: &BlockView<'_>) -> bool {
    view.block.is_some_and(|block| matches!(block.kind, BlockKind::Header | BlockKind::Footer))
}

/// Returns a block as Markdown; nothing for page numbers.
pub(crate) fn of_block(view: &BlockView<'_>) -> String {
    block(view).0
}

/// Returns a block with a line feed at its end, or nothing.
fn block(view: &BlockView<'_>) -> (String, Kind) {
    let text = joined(view);
    let whole = |text: String| (if text.is_empty() { text } else { text + "\n" }, Kind::Other);
    let Some(record) = view.block else { return whole(paragraph(&text)) };
    match &record.kind {
        BlockKind::PageNumber => whole(String::new()),
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

/// Returns the lines between fences.
fn code(view: &BlockView<'_>) -> String {
    let text = code_text(view);
    let fence = fence(&text);
    format!("{fence}\n{text}{fence}")
}

/// Returns the lines of code, each with a line feed.
fn code_text(view: &BlockView<'_>) -> String {
    code_lines(view).into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// Returns a fence that is longer than every run of grave accents in a text.
fn fence(text: &str) -> String {
    let longest = text.split(|c: char| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// Returns a table without a line feed at its end. A pipe table always has a header row; where the table has none, it is
/// empty.
fn table(table: &Table) -> String {
    let grid = Grid::of(table);
    if grid.columns == 0 || grid.rows == 0 {
        return String::new();
    }
    if table_is_html(table, &grid) {
        let mut out = html::table(table);
        out.truncate(out.trim_end().len());
        return out;
    }
    pipe_rows(&grid).join("\n")
}

/// Returns whether a table cannot be a pipe table.
fn table_is_html(table: &Table, grid: &Grid<'_>) -> bool {
    let headers = grid.header_rows();
    let any_other = table.cells.iter().any(|cell| cell.header && cell.row >= headers);
    grid.has_spans() || headers > 1 || any_other
}

/// Returns the lines of a pipe table: its header, the rule below it, its rows.
fn pipe_rows(grid: &Grid<'_>) -> Vec<String> {
    let headers = grid.header_rows();
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
    std::iter::once(head).chain([rule]).chain((headers..grid.rows).map(row)).collect()
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
