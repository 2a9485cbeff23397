//! ALTO 4.4 (<https://www.loc.gov/standards/alto/>): pages, blocks, lines and words with boxes in pixels.
//!
//! The kind of a block is a `StructureTag`. A table is a `ComposedBlock` of type `table` around its text block; a figure
//! without text is an `Illustration`.

use std::io::Write;

use lector_core::{BlockKind, Direction, DocumentView, PageView, Transcript};

use crate::layout::{self, Bounds, Placed};
use crate::xml::{comment, escape, one_line};
use crate::{ExportError, Format, Info, Several, Writer};

static INFO: Info = Info {
    name: "alto",
    about: "ALTO 4.4 XML",
    content_type: "application/alto+xml",
    accepts: &["application/alto+xml"],
    extension: "alto.xml",
    needs_words: true,
    streams: true,
    has_preface: false,
    reports_failures: false,
    several: Several::Never,
    composed: None,
};

/// The kinds of blocks, as tags.
const KINDS: [&str; 16] = [
    "text",
    "title",
    "heading",
    "list_item",
    "table",
    "figure",
    "caption",
    "formula",
    "header",
    "footer",
    "page_number",
    "footnote",
    "code",
    "form_field",
    "stamp",
    "other",
];

/// ALTO 4.4. A failed page is a comment.
#[derive(Debug)]
pub(crate) struct Alto;

impl Format for Alto {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(Self)
    }
}

impl Writer for Alto {
    fn head(&mut self, document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let name = escape(&one_line(document.name.unwrap_or("document")));
        write!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <alto xmlns=\"http://www.loc.gov/standards/alto/ns-v4#\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:schemaLocation=\"http://www.loc.gov/standards/alto/ns-v4# \
             http://www.loc.gov/standards/alto/v4/alto-4-4.xsd\" SCHEMAVERSION=\"4.4\">\n\
             <Description>\n<MeasurementUnit>pixel</MeasurementUnit>\n\
             <sourceImageInformation><fileName>{name}</fileName></sourceImageInformation>\n\
             <Processing ID=\"ocr\"><processingSoftware><softwareName>lector</softwareName>\
             <softwareVersion>{}</softwareVersion></processingSoftware></Processing>\n</Description>\n<Tags>\n",
            env!("CARGO_PKG_VERSION"),
        )?;
        for kind in KINDS {
            writeln!(out, "<StructureTag ID=\"kind_{kind}\" LABEL=\"{kind}\"/>")?;
        }
        Ok(out.write_all(b"</Tags>\n<Layout>\n")?)
    }

    fn page(
        &mut self,
        _document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        let number = u64::from(page.index) + 1;
        match page.outcome {
            Ok(transcript) => write_page(out, number, transcript),
            Err(fault) => {
                Ok(writeln!(out, "<!-- page {number} was not read: {} -->", comment(&fault.message))?)
            }
        }
    }

    fn tail(&mut self, _document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(out.write_all(b"</Layout>\n</alto>\n")?)
    }
}

fn write_page(out: &mut dyn Write, number: u64, page: &Transcript) -> Result<(), ExportError> {
    let (width, height) = (page.size.width, page.size.height);
    writeln!(
        out,
        "<Page ID=\"page_{number}\" PHYSICAL_IMG_NR=\"{number}\" WIDTH=\"{width}\" HEIGHT=\"{height}\">\n\
         <PrintSpace HPOS=\"0\" VPOS=\"0\" WIDTH=\"{width}\" HEIGHT=\"{height}\">"
    )?;
    let (mut block_number, mut line_number) = (0, 0);
    for view in page.block_views() {
        // A line without a character has no `String`, which the schema demands.
        let lines = layout::placed(&view).into_iter().filter(|line| !line.words().is_empty());
        let lines: Vec<Placed<'_>> = lines.collect();
        let kind = view.block.map(|block| &block.kind);
        if lines.is_empty() && kind != Some(&BlockKind::Figure) {
            continue;
        }
        block_number += 1;
        let (at, tag) = (format!("{number}_{block_number}"), layout::kind_name(&view));
        let place = place(Bounds::of(layout::corners(&view)));
        let attributes = format!("TAGREFS=\"kind_{tag}\" {place}");
        if lines.is_empty() {
            writeln!(out, "<Illustration ID=\"block_{at}\" {attributes}/>")?;
            continue;
        }
        let is_table = kind == Some(&BlockKind::Table);
        if is_table {
            writeln!(out, "<ComposedBlock ID=\"table_{at}\" {attributes} TYPE=\"table\">")?;
        }
        writeln!(out, "<TextBlock ID=\"block_{at}\" {attributes}>")?;
        for line in &lines {
            line_number += 1;
            write_line(out, &format!("{number}_{line_number}"), line)?;
        }
        out.write_all(b"</TextBlock>\n")?;
        if is_table {
            out.write_all(b"</ComposedBlock>\n")?;
        }
    }
    Ok(out.write_all(b"</PrintSpace>\n</Page>\n")?)
}

fn write_line(out: &mut dyn Write, at: &str, line: &Placed<'_>) -> Result<(), ExportError> {
    let direction = match line.direction {
        Direction::Ltr => "ltr",
        Direction::Rtl => "rtl",
        Direction::Ttb => "ttb",
    };
    let place_of_line = place(Bounds::of(line.quad.0));
    write!(out, "<TextLine ID=\"line_{at}\" {place_of_line} BASEDIRECTION=\"{direction}\">")?;
    for (number, word) in line.words().into_iter().enumerate() {
        write!(
            out,
            "{}<String ID=\"word_{at}_{}\" {} WC=\"{:.4}\" CONTENT=\"{}\"/>",
            if number == 0 { "" } else { "<SP/>" },
            number + 1,
            place(Bounds::of(word.quad.0)),
            word.confidence.clamp(0.0, 1.0),
            escape(&one_line(word.text)),
        )?;
    }
    Ok(out.write_all(b"</TextLine>\n")?)
}

fn place(bounds: Bounds) -> String {
    let (width, height) = (bounds.width(), bounds.height());
    format!("HPOS=\"{}\" VPOS=\"{}\" WIDTH=\"{width}\" HEIGHT=\"{height}\"", bounds.x0, bounds.y0)
}
