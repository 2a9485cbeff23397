//! The options of docling-serve, from a form or from JSON.

use lector_core::{Fault, TextLayerPolicy};
use lector_serving::PageSelection;
use serde::Deserialize;
use serde_json::Value;

use super::super::call::unsupported;
use super::super::form::Form;
use super::super::inline;
use super::super::json_body::JsonBody;
use crate::http::problem::option_invalid;
use crate::http::upload::clean_name;

/// Number of a last page from which it means "to the end": clients send the largest number of their language.
const LAST_PAGE_OPEN: u64 = 1_000_000;

/// The wanted forms of the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Formats {
    pub(super) markdown: bool,
    pub(super) text: bool,
    pub(super) html: bool,
    pub(super) json: bool,
}

impl Formats {
    fn parse<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, Fault> {
        let (mut formats, mut any) = (Self::default(), false);
        for name in names {
            any = true;
            match name {
                "md" => formats.markdown = true,
                "text" => formats.text = true,
                "html" | "html_split_page" => formats.html = true,
                "json" => formats.json = true,
                other => {
                    let other: String = other.chars().filter(|c| !c.is_control()).take(40).collect();
                    let message = format!("The format `{other}` is not offered: use md, text, html or json.");
                    return Err(unsupported(message));
                }
            }
        }
        Ok(if any { formats } else { Self { markdown: true, ..formats } })
    }

    /// Returns a text that [`of_label`](Self::of_label) reads.
    pub(super) fn label(self) -> String {
        let flags =
            [(self.markdown, "md "), (self.text, "text "), (self.html, "html "), (self.json, "json ")];
        flags.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect()
    }

    pub(super) fn of_label(label: &str) -> Self {
        Self::parse(label.split_whitespace()).unwrap_or_default()
    }
}

/// The options that change the result.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) formats: Formats,
    pub(super) pages: PageSelection,
    pub(super) text_layer: Option<TextLayerPolicy>,
    /// The client's name of a pipeline, which the configuration may map to a deployment.
    pub(super) pipeline: Option<String>,
}

impl Options {
    /// Reads the fields of a form: lists are repeated fields, or a JSON list in one field.
    pub(super) fn of_form(form: &Form) -> Result<Self, Fault> {
        let list = |name: &'static str| -> Vec<String> {
            let values = form.all(name).filter(|value| !value.is_empty());
            let parsed = values.flat_map(|value| match serde_json::from_str::<Vec<Value>>(value) {
                Ok(items) => items.iter().map(text_of).collect(),
                Err(_) => vec![value.to_owned()],
            });
            parsed.collect()
        };
        let switch = |name| form.field(name).map(|value| matches!(value, "true" | "True" | "1" | "on"));
        let target = form.field("target_type");
        Self::new(
            &list("to_formats"),
            &list("page_range"),
            (switch("do_ocr"), switch("force_ocr")),
            form.field("pipeline").map(str::to_owned),
            target,
        )
    }

    fn of_json(options: &Value, target: Option<&str>) -> Result<Self, Fault> {
        let list = |name: &str| -> Vec<String> {
            match &options[name] {
                Value::Array(items) => items.iter().map(text_of).collect(),
                Value::String(one) => vec![one.clone()],
                _ => Vec::new(),
            }
        };
        Self::new(
            &list("to_formats"),
            &list("page_range"),
            (options["do_ocr"].as_bool(), options["force_ocr"].as_bool()),
            options["pipeline"].as_str().map(str::to_owned),
            target,
        )
    }

    fn new(
        formats: &[String],
        range: &[String],
        (ocr, force_ocr): (Option<bool>, Option<bool>),
        pipeline: Option<String>,
        target: Option<&str>,
    ) -> Result<Self, Fault> {
        match target.map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "inbody") => {}
            Some(other) => {
                let other: String = other.chars().filter(|c| !c.is_control()).take(40).collect();
                // docling-client asks for presigned URLs first, and falls back when it finds `input should be`.
                return Err(unsupported(format!(
                    "The target `{other}` is not offered: the input should be `inbody`, results are in the response."
                )));
            }
        }
        let pages = match range.iter().map(|text| text.trim().parse::<u64>().ok()).collect::<Vec<_>>()[..] {
            [] => PageSelection::All,
            [Some(first), Some(last)] if (1..=last).contains(&first) => {
                let small = |page: u64| u32::try_from(page).ok().filter(|_| page < LAST_PAGE_OPEN);
                match (first, small(first), small(last)) {
                    (1, _, None) => PageSelection::All,
                    (_, Some(first), last) => PageSelection::Ranges(vec![(first, last)]),
                    _ => return Err(page_range_invalid()),
                }
            }
            _ => return Err(page_range_invalid()),
        };
        let text_layer = match (ocr, force_ocr) {
            (_, Some(true)) => Some(TextLayerPolicy::Never),
            (Some(false), _) => Some(TextLayerPolicy::Only),
            _ => None,
        };
        let formats = Formats::parse(formats.iter().map(String::as_str))?;
        Ok(Self { formats, pages, text_layer, pipeline })
    }
}

fn page_range_invalid() -> Fault {
    option_invalid("`page_range` is not a first and a last page, from 1.")
}

/// Returns a value of a list as text: clients send numbers as numbers or as texts.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The document of a JSON request, and its options.
pub(super) struct Source {
    pub(super) options: Options,
    pub(super) name: String,
    pub(super) document: Vec<u8>,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    options: Option<Value>,
    #[serde(default)]
    sources: Vec<RawSource>,
    /// Of version 0 of the API, like the next one.
    #[serde(default)]
    file_sources: Vec<RawSource>,
    #[serde(default)]
    http_sources: Vec<RawSource>,
    #[serde(default)]
    target: Option<Value>,
}

#[derive(Deserialize)]
struct RawSource {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    filename: Option<String>,
    #[serde(default)]
    base64_string: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

impl Source {
    pub(super) fn parse(body: &JsonBody) -> Result<Self, Fault> {
        let raw: Raw = body.parse("The body is not a request in JSON")?;
        let target = raw.target.as_ref().and_then(|target| target["kind"].as_str());
        let options = Options::of_json(raw.options.as_ref().unwrap_or(&Value::Null), target)?;
        let mut sources = raw.sources.into_iter().chain(raw.file_sources).chain(raw.http_sources);
        let source = sources.next().ok_or_else(|| option_invalid("The request has no `sources`."))?;
        if sources.next().is_some() {
            let message = "The request has more than one source: send each document in a request of its own.";
            return Err(unsupported(message));
        }
        let name = clean_name(source.filename.as_deref().unwrap_or_default());
        let document = match (source.base64_string, source.url, source.kind.as_deref()) {
            (Some(text), ..) if !text.is_empty() => body.document(&text),
            (_, Some(url), _) => match body.text(&url)? {
                url if url.starts_with("data:") => inline::decode(&url),
                _ => Err(inline::remote_refused()),
            },
            (_, _, Some(kind)) if kind != "file" && kind != "http" => {
                let kind: String = kind.chars().filter(|c| !c.is_control()).take(40).collect();
                Err(unsupported(format!(
                    "The source `{kind}` is not offered: use `file` with `base64_string`."
                )))
            }
            _ => Err(option_invalid("The source has no `base64_string`.")),
        };
        Ok(Self { options, name, document: document? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    #[test]
    fn options_change_what_they_name() {
        let of = |options: Value| Options::of_json(&options, None).map_err(|fault| fault.code);
        let default = of(json!({})).unwrap();
        assert_eq!((default.formats.label().as_str(), default.pages), ("md ", PageSelection::All));
        let all =
            of(json!({ "to_formats": ["md", "text", "html", "json"], "force_ocr": true, "x": 1 })).unwrap();
        assert_eq!(Formats::of_label(&all.formats.label()), all.formats);
        assert_eq!(all.text_layer, Some(TextLayerPolicy::Never));
        assert_eq!(of(json!({ "do_ocr": false })).unwrap().text_layer, Some(TextLayerPolicy::Only));
        let pages = |range: Value| of(json!({ "page_range": range })).map(|options| options.pages);
        assert_eq!(pages(json!([1, i64::MAX])), Ok(PageSelection::All));
        assert_eq!(pages(json!([2, 3])), Ok(PageSelection::Ranges(vec![(2, Some(3))])));
        assert_eq!(pages(json!(["2", i64::MAX])), Ok(PageSelection::Ranges(vec![(2, None)])));
        for invalid in [json!([0, 1]), json!([3, 2]), json!([1]), json!(["a", "b"])] {
            assert_eq!(pages(invalid.clone()), Err("option_invalid"), "{invalid}");
        }
        assert_eq!(of(json!({ "to_formats": ["doctags"] })).unwrap_err(), "compat_unsupported");
        let zip = Options::of_json(&json!({}), Some("zip")).unwrap_err();
        assert_eq!(zip.code, "compat_unsupported");
    }
}
