//! The query and the body of `:analyze`.

use lector_core::Fault;
use lector_serving::PageSelection;
use serde::Deserialize;

use super::super::call::{Call, unsupported};
use super::super::inline;
use super::super::json_body::JsonBody;
use super::super::tasks::Labels;
use super::spans::Unit;
use crate::http::problem::option_invalid;

/// Features without an effect here: formulas and small print are read in any case, as text.
const IGNORED_FEATURES: [&str; 1] = ["ocrHighResolution"];

/// The options of an analysis.
#[derive(Clone, Debug)]
pub(super) struct Analyze {
    pub(super) pages: PageSelection,
    markdown: bool,
    unit: Unit,
    /// Whether the client wants the document as a searchable PDF, too.
    pdf: bool,
}

impl Analyze {
    pub(super) fn of_query(call: &Call) -> Result<Self, Fault> {
        let pages = match call.query("pages") {
            None => PageSelection::All,
            Some(text) => {
                PageSelection::parse(&text).map_err(|fault| Fault { code: "option_invalid", ..fault })?
            }
        };
        let features = call.query("features").unwrap_or_default();
        let unknown = features
            .split(',')
            .map(str::trim)
            .find(|name| !name.is_empty() && !IGNORED_FEATURES.contains(name));
        if let Some(name) = unknown {
            let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
            return Err(unsupported(format!(
                "The feature `{name}` is not offered: remove it from `features`."
            )));
        }
        if call.query("queryFields").is_some() {
            return Err(unsupported("`queryFields` is not offered: remove it."));
        }
        let mut pdf = false;
        for output in call.query("output").unwrap_or_default().split(',').map(str::trim) {
            if output == "pdf" {
                pdf = true;
            } else if !output.is_empty() {
                let output: String = output.chars().filter(|c| !c.is_control()).take(40).collect();
                return Err(unsupported(format!(
                    "The output `{output}` is not offered: remove it from `output`."
                )));
            }
        }
        let markdown = match call.query("outputContentFormat").as_deref() {
            None | Some("text") => false,
            Some("markdown") => true,
            Some(_) => return Err(option_invalid("`outputContentFormat` is neither `text` nor `markdown`.")),
        };
        let unit = match call.query("stringIndexType") {
            None => Unit::TextElement,
            Some(name) => Unit::parse(&name).ok_or_else(|| {
                option_invalid("`stringIndexType` is none of textElements, unicodeCodePoint, utf16CodeUnit.")
            })?,
        };
        Ok(Self { pages, markdown, unit, pdf })
    }

    /// Returns the options that the result depends on.
    pub(super) fn labels(&self) -> Labels {
        let format = if self.markdown { "markdown" } else { "text" };
        let mut labels = Labels::from([("format", format.to_owned()), ("unit", self.unit.name().to_owned())]);
        if self.pdf {
            labels.insert("output", "pdf".to_owned());
        }
        labels
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default, rename = "base64Source")]
    base64_source: Option<String>,
    #[serde(default, rename = "urlSource")]
    url_source: Option<String>,
}

/// Returns whether a body is JSON with a document, and not the document itself.
pub(super) fn is_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
}

/// Returns the document of a JSON body.
pub(super) fn base64_document(body: &JsonBody) -> Result<Vec<u8>, Fault> {
    let raw: Raw = body.parse("The body is neither a document nor JSON")?;
    match (raw.base64_source, raw.url_source) {
        (Some(text), _) => body.document(&text),
        (None, Some(url)) => match body.text(&url)? {
            url if url.starts_with("data:") => inline::decode(&url),
            _ => Err(inline::remote_refused()),
        },
        (None, None) => Err(option_invalid("The body has no `base64Source`.")),
    }
}
