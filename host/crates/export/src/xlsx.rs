//! XLSX of the tables: one worksheet a table, in reading order. Every cell is a text, so that nothing is a formula and
//! no reading is rounded; a cell that spans several slots is merged; header cells are bold.
//!
//! A workbook is a ZIP archive whose parts depend on all sheets, so it is written at the end.

use std::fmt;
use std::io::Write;

use lector_core::{DocumentView, PageView, Table};
use rust_xlsxwriter::{Format as CellFormat, Workbook, Worksheet, XlsxError};

use crate::grid::{Grid, Slot};
use crate::{ExportError, Format, Info, Several, Writer};

static INFO: Info = Info {
    name: "xlsx",
    about: "The tables as an Excel workbook",
    content_type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    accepts: &["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"],
    extension: "xlsx",
    needs_words: false,
    streams: false,
    has_preface: false,
    reports_failures: false,
    several: Several::Never,
    composed: None,
};

/// Rows and columns of a worksheet.
const ROWS_MAX: u32 = 1_048_576;
const COLUMNS_MAX: u32 = 16_384;
/// Characters of a cell, in UTF-16 units.
const CELL_CHARS_MAX: usize = 32_767;

/// XLSX of the tables. A document without tables is a workbook with one empty sheet, because a workbook needs one.
#[derive(Debug)]
pub(crate) struct Xlsx;

impl Format for Xlsx {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(XlsxWriter { workbook: Workbook::new(), sheets: 0 })
    }
}

struct XlsxWriter {
    workbook: Workbook,
    sheets: usize,
}

impl fmt::Debug for XlsxWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XlsxWriter").field("sheets", &self.sheets).finish_non_exhaustive()
    }
}

impl Writer for XlsxWriter {
    fn page(
        &mut self,
        _document: &DocumentView<'_>,
        page: &PageView<'_>,
        _out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        let Ok(transcript) = page.outcome else { return Ok(()) };
        let number = u64::from(page.index) + 1;
        let views = transcript.block_views();
        let tables = views.iter().filter_map(|view| view.block?.table.as_ref());
        for (table, at) in tables.zip(1..) {
            let too_large = |reason: String| ExportError::Worksheet { page: number, reason };
            if table.rows > ROWS_MAX || table.columns > COLUMNS_MAX {
                let (rows, columns) = (table.rows, table.columns);
                return Err(too_large(format!(
                    "it has {rows} x {columns} cells, and the limit is {ROWS_MAX} x {COLUMNS_MAX}"
                )));
            }
            self.sheets += 1;
            let sheet = self.workbook.add_worksheet();
            sheet.set_name(format!("Page {number} Table {at}"))?;
            write_table(sheet, table).map_err(|error| too_large(error.to_string()))?;
        }
        Ok(())
    }

    fn tail(&mut self, _document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        if self.sheets == 0 {
            self.workbook.add_worksheet().set_name("No tables")?;
        }
        let bytes = self.workbook.save_to_buffer()?;
        Ok(out.write_all(&bytes)?)
    }
}

fn write_table(sheet: &mut Worksheet, table: &Table) -> Result<(), XlsxError> {
    let (plain, header) = (CellFormat::new(), CellFormat::new().set_bold());
    let grid = Grid::of(table);
    for row in 0..grid.rows {
        for (slot, column) in grid.row(row).zip(0u16..) {
            let Slot::Cell(cell) = slot else { continue };
            let units = cell.text.encode_utf16().count();
            if units > CELL_CHARS_MAX {
                return Err(XlsxError::ParameterError(format!(
                    "a cell has {units} characters, and the limit is {CELL_CHARS_MAX}"
                )));
            }
            let format = if cell.header { &header } else { &plain };
            let last_row = cell.row.saturating_add(cell.row_span.max(1)).min(grid.rows) - 1;
            let last_column = cell.column.saturating_add(cell.column_span.max(1)).min(grid.columns) - 1;
            let last_column = u16::try_from(last_column).unwrap_or(u16::MAX);
            if (last_row, last_column) == (row, column) {
                sheet.write_string_with_format(row, column, &cell.text, format)?;
            } else {
                sheet.merge_range(row, column, last_row, last_column, &cell.text, format)?;
            }
        }
    }
    Ok(())
}
