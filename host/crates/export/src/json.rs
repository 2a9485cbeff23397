//! The JSON shapes of lines, pages, faults and documents. Coordinates are in pixels of the page image, rounded to a
//! tenth; confidences are rounded to four decimals; times are in milliseconds. The JSON Schema is in
//! `schema/document.json`.
//!
//! The shapes borrow from the result and are serialized directly, because a tree of values takes ten times the memory. The
//! additions of a guest, whose shape the host does not know, are written as the text that they are.

mod shapes;
mod values;

use std::io::Write;

use lector_core::{DocumentView, Fault, PageView};
use serde::Serialize;

pub use shapes::Page;
pub use values::{FaultShape, TimingShape, ms};
pub(crate) use values::{Properties, properties, tenth};

use crate::text::Parts;
use crate::{ExportError, Format, Info, Several, Writer};

static INFO: Info = Info {
    name: "json",
    about: "One JSON object with the whole result",
    content_type: "application/json",
    accepts: &["application/json"],
    extension: "json",
    needs_words: false,
    streams: true,
    has_preface: true,
    reports_failures: true,
    several: Several::JsonArray,
    composed: None,
};

/// One JSON object with the whole result. `text` is the summary of the guest if there is one, otherwise the texts of
/// the pages.
#[derive(Debug)]
pub(crate) struct Json;

impl Format for Json {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(JsonWriter::default())
    }

    fn document(&self, document: &DocumentView<'_>, pages: &[PageView<'_>]) -> Result<Vec<u8>, ExportError> {
        let mut parts = Parts::default();
        let mut text: String = pages.iter().map(|page| parts.of_page(document, page)).collect();
        text.push_str(&parts.end(document));
        let pages = pages.iter().map(|page| Page::from(*page)).collect();
        let shape =
            Document { facts: Facts::from(document), text, rest: SummaryMembers::from(document), pages };
        let mut out = serde_json::to_vec_pretty(&shape)?;
        out.push(b'\n');
        Ok(out)
    }
}

#[derive(Debug, Default)]
struct JsonWriter {
    text: Parts,
    any_page: bool,
}

impl Writer for JsonWriter {
    fn head(&mut self, document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(write!(out, "{},\"text\":\"", open_object(&Facts::from(document)))?)
    }

    fn preface(
        &mut self,
        document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        Ok(out.write_all(in_string(&self.text.of_page(document, page)).as_bytes())?)
    }

    fn preface_end(&mut self, document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let text = in_string(&self.text.end(document));
        let members = open_object(&SummaryMembers::from(document));
        let members = members.strip_prefix('{').unwrap_or_default();
        let comma = if members.is_empty() { "" } else { "," };
        Ok(write!(out, "{text}\"{comma}{members},\"pages\":[")?)
    }

    fn page(
        &mut self,
        _document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        if std::mem::replace(&mut self.any_page, true) {
            out.write_all(b",")?;
        }
        Ok(serde_json::to_writer(out, &Page::from(*page))?)
    }

    fn tail(&mut self, _document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(out.write_all(b"]}\n")?)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    facts: Facts<'a>,
    text: String,
    #[serde(flatten)]
    rest: SummaryMembers<'a>,
    pages: Vec<Page<'a>>,
}

/// The members of a document that precede `text`.
#[derive(Serialize)]
struct Facts<'a> {
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    deployment: &'a str,
    content_type: &'a str,
    page_count: u32,
    pages_ok: u32,
    pages_failed: u32,
    total_ms: f64,
}

impl<'a> From<&DocumentView<'a>> for Facts<'a> {
    fn from(document: &DocumentView<'a>) -> Self {
        Self {
            request_id: document.request.as_str(),
            name: document.name,
            deployment: document.deployment.as_str(),
            content_type: document.content_type,
            page_count: document.page_count,
            pages_ok: document.pages_ok,
            pages_failed: document.pages_failed,
            total_ms: ms(document.total),
        }
    }
}

/// The members of a document that follow `text`, if there are any.
#[derive(Serialize)]
struct SummaryMembers<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Properties<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_error: Option<FaultShape<'a>>,
}

impl<'a> From<&DocumentView<'a>> for SummaryMembers<'a> {
    fn from(document: &DocumentView<'a>) -> Self {
        let json = document.summary.and_then(|summary| summary.properties.as_deref());
        Self { properties: json.map(properties), summary_error: document.summary_fault.map(FaultShape::from) }
    }
}

/// The JSON form of a document that failed as a whole.
#[derive(Debug, Serialize)]
pub struct DocumentError<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    error: FaultShape<'a>,
}

impl<'a> DocumentError<'a> {
    /// Creates the form of the document `name`.
    pub fn new(name: Option<&'a str>, fault: &'a Fault) -> Self {
        Self { name, error: fault.into() }
    }
}

pub(crate) fn compact(shape: &impl Serialize) -> String {
    // Cannot fail: all keys are strings.
    serde_json::to_string(shape).unwrap_or_default()
}

/// Returns a JSON object without its closing brace.
fn open_object(members: &impl Serialize) -> String {
    let mut object = compact(members);
    object.truncate(object.len().saturating_sub(1));
    object
}

/// Escapes a text for a JSON string, without the quotes.
fn in_string(text: &str) -> String {
    let quoted = compact(&text);
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}
