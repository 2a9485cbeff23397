//! PAGE XML, version 2019-07-15 (<https://github.com/PRImA-Research-Lab/PAGE-XML>): regions, lines and words with
//! polygons in pixels. The format holds one page.

use std::io::Write;

use lector_core::{Block, BlockKind, BlockView, Direction, DocumentView, PageView, Point, Quad, Transcript};

use crate::layout::{self, Placed};
use crate::xml::{comment, escape, one_line};
use crate::{ExportError, Format, Info, Several, Writer};

static INFO: Info = Info {
    name: "page-xml",
    about: "PAGE XML of one page",
    content_type: "application/vnd.prima.page+xml",
    accepts: &["application/vnd.prima.page+xml"],
    extension: "page.xml",
    needs_words: true,
    streams: true,
    has_preface: false,
    reports_failures: false,
    several: Several::Never,
    composed: None,
};

/// PAGE XML. A document with more than one selected page is an error.
#[derive(Debug)]
pub(crate) struct PageXml;

impl Format for PageXml {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(Self)
    }
}

impl Writer for PageXml {
    fn head(&mut self, document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let pages = document.selected.len();
        if pages > 1 {
            return Err(ExportError::OnePage { format: INFO.name, pages });
        }
        // The schema demands both times.
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        Ok(write!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <PcGts xmlns=\"http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:schemaLocation=\"http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15 \
             http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15/pagecontent.xsd\">\n\
             <Metadata><Creator>lector {}</Creator><Created>{now}</Created><LastChange>{now}</LastChange></Metadata>\n",
            env!("CARGO_PKG_VERSION"),
        )?)
    }

    fn page(
        &mut self,
        document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        let name = escape(&one_line(document.name.unwrap_or("document")));
        match page.outcome {
            Ok(transcript) => write_page(out, &name, transcript),
            Err(fault) => {
                let message = comment(&fault.message);
                let number = u64::from(page.index) + 1;
                Ok(write!(
                    out,
                    "<!-- page {number} was not read: {message} -->\n\
                     <Page imageFilename=\"{name}\" imageWidth=\"0\" imageHeight=\"0\"/>\n"
                )?)
            }
        }
    }

    fn tail(&mut self, _document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(out.write_all(b"</PcGts>\n")?)
    }
}

fn write_page(out: &mut dyn Write, name: &str, page: &Transcript) -> Result<(), ExportError> {
    let views = page.block_views();
    let has_region = |view: &&BlockView<'_>| {
        let is_figure = view.block.is_some_and(|block| block.kind == BlockKind::Figure);
        is_figure || !layout::placed(view).is_empty()
    };
    let regions: Vec<&BlockView<'_>> = views.iter().filter(has_region).collect();
    let dpi = page.dpi.round();
    writeln!(
        out,
        "<Page imageFilename=\"{name}\" imageWidth=\"{}\" imageHeight=\"{}\" imageXResolution=\"{dpi}\" \
         imageYResolution=\"{dpi}\" imageResolutionUnit=\"PPI\">",
        page.size.width, page.size.height,
    )?;
    if !regions.is_empty() {
        out.write_all(b"<ReadingOrder><OrderedGroup id=\"order\">")?;
        for at in 0..regions.len() {
            write!(out, "<RegionRefIndexed index=\"{at}\" regionRef=\"r{at}\"/>")?;
        }
        out.write_all(b"</OrderedGroup></ReadingOrder>\n")?;
    }
    for (at, view) in regions.into_iter().enumerate() {
        let (id, points) = (format!("r{at}"), points(&layout::corners(view)));
        match view.block {
            Some(block) if block.kind == BlockKind::Table => {
                write!(out, "<TableRegion id=\"{id}\"")?;
                if let Some(table) = &block.table {
                    write!(out, " rows=\"{}\" columns=\"{}\"", table.rows, table.columns)?;
                }
                writeln!(out, ">{points}")?;
                write_cells(out, &id, block, view, page)?;
                out.write_all(b"</TableRegion>\n")?;
            }
            Some(block) if block.kind == BlockKind::Figure && view.lines.is_empty() => {
                writeln!(out, "<ImageRegion id=\"{id}\">{points}</ImageRegion>")?;
            }
            _ => {
                let (type_, custom) = region_type(view);
                writeln!(out, "<TextRegion id=\"{id}\" type=\"{type_}\"{custom}>{points}")?;
                write_lines(out, &id, &layout::placed(view))?;
                out.write_all(b"</TextRegion>\n")?;
            }
        }
    }
    Ok(out.write_all(b"</Page>\n")?)
}

/// Writes the cells of a table as text regions with their place in the grid, then the lines that are in no cell.
fn write_cells(
    out: &mut dyn Write,
    id: &str,
    block: &Block,
    view: &BlockView<'_>,
    page: &Transcript,
) -> Result<(), ExportError> {
    let cells = block.table.as_ref().map_or(&[][..], |table| &table.cells);
    for (at, cell) in cells.iter().enumerate() {
        let id = format!("{id}c{at}");
        let lines = BlockView::lines_of_cell(cell, page).into_iter().map(|(_, line)| Placed::from(line));
        let lines: Vec<Placed<'_>> = lines.chain(Placed::of_cell(cell, block.confidence)).collect();
        writeln!(
            out,
            "<TextRegion id=\"{id}\">{}<Roles><TableCellRole rowIndex=\"{}\" columnIndex=\"{}\" rowSpan=\"{}\" \
             colSpan=\"{}\" header=\"{}\"/></Roles>",
            points(&cell.quad.0),
            cell.row,
            cell.column,
            cell.row_span,
            cell.column_span,
            cell.header,
        )?;
        write_lines(out, &id, &lines)?;
        out.write_all(b"</TextRegion>\n")?;
    }
    let rest = view.lines_outside_cells();
    if rest.is_empty() {
        return Ok(());
    }
    let rest: Vec<Placed<'_>> = rest.into_iter().map(|(_, line)| Placed::from(line)).collect();
    let corners: Vec<Point> = rest.iter().flat_map(|line| line.quad.0).collect();
    writeln!(out, "<TextRegion id=\"{id}rest\">{}", points(&corners))?;
    write_lines(out, &format!("{id}rest"), &rest)?;
    Ok(out.write_all(b"</TextRegion>\n")?)
}

/// Returns the type of a text region, and the attribute `custom` where PAGE has no type for the kind.
fn region_type(view: &BlockView<'_>) -> (&'static str, String) {
    let custom = |name: &str| format!(" custom=\"structure {{type:{name};}}\"");
    let known = match view.block.map(|block| &block.kind) {
        None | Some(BlockKind::Text) => "paragraph",
        Some(BlockKind::Title | BlockKind::Heading { .. }) => "heading",
        Some(BlockKind::Caption) => "caption",
        Some(BlockKind::Header) => "header",
        Some(BlockKind::Footer) => "footer",
        Some(BlockKind::PageNumber) => "page-number",
        Some(BlockKind::Footnote) => "footnote",
        Some(BlockKind::ListItem) => return ("paragraph", custom("list_item")),
        Some(_) => return ("other", custom(layout::kind_name(view))),
    };
    (known, String::new())
}

fn write_lines(out: &mut dyn Write, region: &str, lines: &[Placed<'_>]) -> Result<(), ExportError> {
    for (at, line) in lines.iter().enumerate() {
        let id = format!("{region}l{at}");
        let direction = match line.direction {
            Direction::Ltr => "left-to-right",
            Direction::Rtl => "right-to-left",
            Direction::Ttb => "top-to-bottom",
        };
        writeln!(out, "<TextLine id=\"{id}\" readingDirection=\"{direction}\">{}", polygon(line.quad))?;
        for (word_at, word) in line.words().into_iter().enumerate() {
            writeln!(
                out,
                "<Word id=\"{id}w{word_at}\">{}{}</Word>",
                polygon(word.quad),
                text(word.confidence, word.text)
            )?;
        }
        writeln!(out, "{}</TextLine>", text(line.confidence, line.text))?;
    }
    Ok(())
}

fn text(confidence: f32, text: &str) -> String {
    let conf = confidence.clamp(0.0, 1.0);
    format!("<TextEquiv conf=\"{conf:.4}\"><Unicode>{}</Unicode></TextEquiv>", escape(&one_line(text)))
}

/// Returns the four corners of a quad as `Coords`.
fn polygon(quad: &Quad) -> String {
    points(&quad.0)
}

/// Returns `Coords`: the corners of one quad, or the box around the corners of several. PAGE has no negative numbers.
fn points(corners: &[Point]) -> String {
    // `as` saturates a float at the range of the integer, and converts NaN to 0.
    let pixel = |value: f32| value.round().max(0.0) as u32;
    let corners: Vec<(u32, u32)> = match corners {
        [_, _, _, _] => corners.iter().map(|point| (pixel(point.x), pixel(point.y))).collect(),
        _ => {
            let bounds = layout::Bounds::of(corners.iter().copied());
            let (x0, y0, x1, y1) = (bounds.x0, bounds.y0, bounds.x1, bounds.y1);
            vec![(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        }
    };
    let corners: Vec<String> = corners.into_iter().map(|(x, y)| format!("{x},{y}")).collect();
    format!("<Coords points=\"{}\"/>", corners.join(" "))
}
