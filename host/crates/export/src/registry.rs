//! The registry: the list of formats, and the choice of one by its name or by `Accept`.

use lector_core::{Fault, Kind};

use crate::{
    Format, accept, alto, chunks, csv, docling, doctags, hocr, html, json, markdown, ndjson, page_xml, pdf,
    text, tsv, xlsx,
};

/// The format of a request that names none.
pub const DEFAULT: &dyn Format = &json::Json;
/// Plain text, the format of the command line.
pub const TEXT: &dyn Format = &text::Text;

/// All formats, in the order of the documentation. Where two accept the same media type, the first one has it.
static ALL: [&dyn Format; 16] = [
    DEFAULT,
    TEXT,
    &markdown::Markdown,
    &html::Html,
    &hocr::Hocr,
    &alto::Alto,
    &page_xml::PageXml,
    &tsv::Tsv,
    &csv::Csv,
    &xlsx::Xlsx,
    &pdf::Pdf,
    &pdf::PdfA,
    &docling::Docling,
    &doctags::DocTags,
    &chunks::Chunks,
    &ndjson::Ndjson,
];

/// Returns all formats, in the order of the documentation.
pub fn all() -> &'static [&'static dyn Format] {
    &ALL
}

/// Returns the format with this name. The fault `unknown_format` lists the known names.
pub fn by_name(name: &str) -> Result<&'static dyn Format, Fault> {
    ALL.iter().copied().find(|format| format.info().name == name).ok_or_else(|| {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
        let known: Vec<&str> = ALL.iter().map(|format| format.info().name).collect();
        let known = known.join(", ");
        let message = format!("The format `{shown}` does not exist: use one of {known}.");
        Fault::new(Kind::Invalid, "unknown_format", message)
    })
}

/// Returns the format for the values of the header `Accept` (RFC 9110, section 12.5.1). Without a value it is
/// [`DEFAULT`]. The fault `not_acceptable` lists the media types.
///
/// The weight of a format is that of the most specific range that matches one of its types. The highest weight wins;
/// among equal weights the range that the client states first, then the order of the registry.
pub fn by_accept<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<&'static dyn Format, Fault> {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return Ok(DEFAULT);
    }
    let ranges = accept::ranges(values);
    let types = ALL.iter().flat_map(|&format| format.info().accepts.iter().map(move |&name| (format, name)));
    let ranked = types.filter_map(|(format, name)| Some((format, accept::weight(&ranges, name)?)));
    // `reduce` keeps the first of equals.
    let best = ranked.reduce(|best, next| if next.1.is_better_than(&best.1) { next } else { best });
    best.map(|(format, _)| format).ok_or_else(|| {
        let mut types: Vec<&str> =
            ALL.iter().filter_map(|format| format.info().accepts.first().copied()).collect();
        types.dedup();
        let types = types.join(", ");
        let message = format!(
            "The server cannot produce any type in `Accept`: accept one of {types}, or set `format=`."
        );
        Fault::new(Kind::Invalid, "not_acceptable", message)
    })
}
