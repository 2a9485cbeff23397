//! HTML: semantic elements without style or script. Every page is a `section`.
//!
//! The caption of a figure or a table is its `figcaption` (`captions.rs`), in the place that reading order gives it: before or
//! after the object. Headers, footers and page numbers are `header` and `footer` elements. The model has no
//! language, so there is no attribute `lang`; blocks whose lines run from right to left have `dir="rtl"`.

use std::fmt::Write as _;
use std::io::Write;

use lector_core::{BlockKind, BlockView, Direction, DocumentView, Line, PageView, Table, Transcript};

use crate::captions::Captions;
use crate::code::code_lines;
use crate::grid::{Grid, Slot};
use crate::joined::{joined, rows, spaced};
use crate::list::{Marker, split};
use crate::xml::{escape, one_line};
use crate::{ExportError, Format, Info, Several, Writer};

static INFO: Info = Info {
    name: "html",
    about: "Semantic HTML",
    content_type: "text/html; charset=utf-8",
    accepts: &["text/html"],
    extension: "html",
    needs_words: false,
    streams: true,
    has_preface: false,
    reports_failures: false,
    several: Several::Never,
    composed: None,
};

/// HTML. A failed page is a note in its section.
#[derive(Debug)]
pub(crate) struct Html;

impl Format for Html {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(Self)
    }
}

impl Writer for Html {
    fn head(&mut self, document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let title = escape(&one_line(document.name.unwrap_or("document")));
        Ok(write!(
            out,
            "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"generator\" content=\"lector {}\">\n<title>{title}</title>\n</head>\n<body>\n<main>\n",
            env!("CARGO_PKG_VERSION"),
        )?)
    }

    fn page(
        &mut self,
        _document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        let number = u64::from(page.index) + 1;
        let body = match page.outcome {
            Ok(transcript) => of_page(transcript),
            Err(fault) => {
                format!("<p role=\"note\">Page {number} was not read: {}</p>\n", escape(&fault.message))
            }
        };
        Ok(write!(out, "<section id=\"page-{number}\" aria-label=\"Page {number}\">\n{body}</section>\n")?)
    }

    fn tail(&mut self, _document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(out.write_all(b"</main>\n</body>\n</html>\n")?)
    }
}

/// The list that is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    None,
    Bullets,
    Numbers,
}

impl List {
    fn close(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bullets => "</ul>\n",
            Self::Numbers => "</ol>\n",
        }
    }
}

fn of_page(page: &Transcript) -> String {
    let views = page.block_views();
    let captions = Captions::of(&views);
    let (mut out, mut list) = (String::new(), List::None);
    for (at, view) in views.iter().enumerate() {
        if captions.has(at) {
            continue;
        }
        if let Some((next, item)) = list_item(view) {
            if next != list {
                out.push_str(list.close());
                out.push_str(if next == List::Numbers { "<ol>\n" } else { "<ul>\n" });
                list = next;
            }
            out.push_str(&item);
            continue;
        }
        out.push_str(std::mem::replace(&mut list, List::None).close());
        if view.block.is_some_and(|block| matches!(block.kind, BlockKind::Figure | BlockKind::Table)) {
            let own = captions.of_object(at).and_then(|own| Some((own < at, caption(views.get(own)?))));
            out.push_str(&match own {
                Some((true, caption)) => figure(view, &caption, ""),
                Some((false, caption)) => figure(view, "", &caption),
                None => figure(view, "", ""),
            });
        } else {
            out.push_str(&block(view));
        }
    }
    out.push_str(list.close());
    out
}

fn list_item(view: &BlockView<'_>) -> Option<(List, String)> {
    view.block.filter(|block| block.kind == BlockKind::ListItem)?;
    let text = joined(view);
    let dir = dir(view);
    Some(match split(&text) {
        (Marker::Bullet, rest) => (List::Bullets, format!("<li{dir}>{}</li>\n", escape(rest))),
        (Marker::Number(number), rest) => {
            (List::Numbers, format!("<li value=\"{number}\"{dir}>{}</li>\n", escape(rest)))
        }
    })
}

fn dir(view: &BlockView<'_>) -> &'static str {
    let is_rtl = |(_, line): &(usize, &Line)| line.direction == Direction::Rtl;
    if !view.lines.is_empty() && view.lines.iter().all(is_rtl) { " dir=\"rtl\"" } else { "" }
}

fn caption(view: &BlockView<'_>) -> String {
    format!("<figcaption{}>{}</figcaption>\n", dir(view), escape(&joined(view)))
}

/// Returns a figure or a table, in a `figure` if it is a picture or has a caption.
fn figure(view: &BlockView<'_>, before: &str, after: &str) -> String {
    let table = view.block.and_then(|block| block.table.as_ref()).map(table).unwrap_or_default();
    let rest = spaced(&view.lines_outside_cells());
    let rest = if rest.is_empty() { rest } else { format!("<p{}>{}</p>\n", dir(view), escape(&rest)) };
    let is_table = view.block.is_some_and(|block| block.kind == BlockKind::Table);
    if is_table && before.is_empty() && after.is_empty() {
        return format!("{table}{rest}");
    }
    format!("<figure>\n{before}{table}{rest}{after}</figure>\n")
}

/// Returns a block that is neither a list item nor a figure nor a table.
fn block(view: &BlockView<'_>) -> String {
    let text = match rows(view) {
        Some(rows) => rows.iter().map(|row| escape(row)).collect::<Vec<_>>().join("<br>\n"),
        None => escape(&joined(view)),
    };
    if text.is_empty() {
        return String::new();
    }
    let dir = dir(view);
    let element = |name: &str, attributes: &str| format!("<{name}{attributes}{dir}>{text}</{name}>\n");
    let class = |class: &str| element("p", &format!(" class=\"{class}\""));
    match view.block.map(|block| &block.kind) {
        Some(BlockKind::Title) => element("h1", ""),
        Some(BlockKind::Heading { level }) => element(&format!("h{}", level.clamp(&1, &6)), ""),
        Some(BlockKind::Header) => element("header", ""),
        Some(BlockKind::Footer) => element("footer", ""),
        Some(BlockKind::PageNumber) => element("footer", " class=\"page-number\""),
        Some(BlockKind::Footnote) => element("aside", " role=\"doc-footnote\""),
        Some(BlockKind::Caption) => class("caption"),
        Some(BlockKind::Formula) => class("formula"),
        Some(BlockKind::FormField) => class("form-field"),
        Some(BlockKind::Stamp) => class("stamp"),
        Some(BlockKind::Other { name }) => {
            element("p", &format!(" data-kind=\"{}\"", escape(&one_line(name))))
        }
        Some(BlockKind::Code) => {
            format!("<pre{dir}><code>{}</code></pre>\n", escape(&code_lines(view).join("\n")))
        }
        _ => element("p", ""),
    }
}

/// Returns a table. Rows of header cells at the top are its `thead`; a header cell below them is the header of its row.
pub(crate) fn table(table: &Table) -> String {
    let grid = Grid::of(table);
    let headers = grid.header_rows();
    let mut out = String::from("<table>\n");
    for row in 0..grid.rows {
        match row {
            0 if headers > 0 => out.push_str("<thead>\n"),
            0 => out.push_str("<tbody>\n"),
            row if row == headers => out.push_str("</thead>\n<tbody>\n"),
            _ => {}
        }
        out.push_str(&self::row(&grid, row, headers));
    }
    out.push_str(match (grid.rows, headers) {
        (0, _) => "",
        (rows, headers) if rows == headers => "</thead>\n",
        _ => "</tbody>\n",
    });
    out.push_str("</table>\n");
    out
}

/// Returns a row of a table that has so many header rows.
pub(crate) fn row(grid: &Grid<'_>, row: u32, headers: u32) -> String {
    let mut out = String::from("<tr>");
    for slot in grid.row(row) {
        match slot {
            Slot::Covered(_) => {}
            Slot::Empty => out.push_str("<td></td>"),
            Slot::Cell(cell) => {
                let (name, scope) = match (cell.header, row < headers) {
                    (false, _) => ("td", ""),
                    (true, true) => ("th", " scope=\"col\""),
                    (true, false) => ("th", " scope=\"row\""),
                };
                let span = |name: &str, span: u32| match span {
                    0 | 1 => String::new(),
                    span => format!(" {name}=\"{span}\""),
                };
                let (rows, columns) = (span("rowspan", cell.row_span), span("colspan", cell.column_span));
                let text = escape(&one_line(&cell.text));
                // Cannot fail: the output is a string.
                let _ = write!(out, "<{name}{scope}{rows}{columns}>{text}</{name}>");
            }
        }
    }
    out.push_str("</tr>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captions::tests::page;

    #[test]
    fn a_caption_is_in_the_figure_of_its_table() {
        let table = |at: u32| format!("<table>\n<tbody>\n<tr><td>cell {at}</td></tr>\n</tbody>\n</table>\n");
        let caption = |at: u32| format!("<figcaption>text {at}</figcaption>\n");
        let html = of_page(&page(&["c1", "t", "c3", "t"]));
        let figures =
            [(0, 1), (2, 3)].map(|(a, b)| format!("<figure>\n{}{}</figure>\n", caption(a), table(b)));
        assert_eq!(html, figures.concat());
        let html = of_page(&page(&["f", "p", "c0"]));
        assert_eq!(html, format!("<figure>\n{}</figure>\n<p>text 1</p>\n", caption(2)));
        assert!(of_page(&page(&["c1", "t", "c1"])).contains("<p class=\"caption\">text 2</p>"));
    }
}
