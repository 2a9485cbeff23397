//! The body of `POST /v1/ocr`, as clients send it: types are missing or wrong, and options of later versions appear.

use std::sync::Arc;

use lector_core::{Fault, TenantName};
use lector_serving::PageSelection;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::super::call::unsupported;
use super::super::inline;
use super::super::json_body::JsonBody;
use super::super::stores::Stores;
use super::files;
use crate::http::files::store::File;
use crate::http::problem::option_invalid;
use crate::http::upload::clean_name;

/// What the client wants to see of a page.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    pub(super) blocks: bool,
    pub(super) tables: Option<TableFormat>,
    pub(super) extract_header: bool,
    pub(super) extract_footer: bool,
    pub(super) page_scores: bool,
    pub(super) word_scores: bool,
    pub(super) block_scores: bool,
}

/// The format of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableFormat {
    Markdown,
    Html,
}

/// A request to read a document.
#[derive(Debug)]
pub(super) struct OcrRequest {
    pub(super) model: Option<String>,
    pub(super) document: Document,
    pub(super) pages: PageSelection,
    pub(super) look: Look,
}

/// The document of a request.
#[derive(Debug, Deserialize)]
pub(super) struct Document {
    #[serde(default)]
    document_url: Option<String>,
    #[serde(default)]
    image_url: Option<ImageUrl>,
    #[serde(default)]
    file_id: Option<String>,
    #[serde(default)]
    document_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ImageUrl {
    Text(String),
    Object { url: String },
}

#[derive(Debug, Deserialize)]
struct Raw {
    #[serde(default)]
    model: Option<Value>,
    #[serde(default)]
    document: Option<Document>,
    #[serde(default)]
    pages: Option<Value>,
    #[serde(default)]
    include_blocks: Option<bool>,
    #[serde(default)]
    table_format: Option<String>,
    #[serde(default)]
    extract_header: Option<bool>,
    #[serde(default)]
    extract_footer: Option<bool>,
    #[serde(default)]
    confidence_scores_granularity: Option<String>,
    #[serde(default)]
    bbox_annotation_format: Option<IgnoredAny>,
    #[serde(default)]
    document_annotation_format: Option<IgnoredAny>,
    /// NIM's requests have `input` in place of `document`, at the same address.
    #[serde(default)]
    input: Option<IgnoredAny>,
}

impl OcrRequest {
    pub(super) fn parse(body: &JsonBody) -> Result<Self, Fault> {
        let raw: Raw = body.parse("The body is not a request for OCR in JSON")?;
        for (name, given) in [
            ("bbox_annotation_format", &raw.bbox_annotation_format),
            ("document_annotation_format", &raw.document_annotation_format),
        ] {
            if given.is_some() {
                return Err(unsupported(format!(
                    "`{name}` asks for annotations by a schema, which this server does not make: omit it, and make \
                     them from the text."
                )));
            }
        }
        let Some(document) = raw.document else {
            let hint = if raw.input.is_some() { " (`input` belongs to another API)" } else { "" };
            return Err(option_invalid(format!("The request has no `document`{hint}.")));
        };
        let tables = match raw.table_format.as_deref() {
            None | Some("") => None,
            Some("markdown") => Some(TableFormat::Markdown),
            Some("html") => Some(TableFormat::Html),
            Some(_) => return Err(option_invalid("`table_format` is neither `markdown` nor `html`.")),
        };
        let scores = raw.confidence_scores_granularity.as_deref();
        let look = Look {
            blocks: raw.include_blocks.unwrap_or(false),
            tables,
            extract_header: raw.extract_header.unwrap_or(false),
            extract_footer: raw.extract_footer.unwrap_or(false),
            page_scores: matches!(scores, Some("page" | "word" | "block")),
            word_scores: scores == Some("word"),
            block_scores: scores == Some("block"),
        };
        let model = raw.model.and_then(|model| model.as_str().map(str::to_owned));
        Ok(Self { model, document, pages: pages(raw.pages.as_ref())?, look })
    }
}

/// Parses pages from 0: a list of numbers, or a text such as `0,2-4`.
fn pages(value: Option<&Value>) -> Result<PageSelection, Fault> {
    let invalid =
        || option_invalid("`pages` is neither a list of page numbers from 0 nor a text such as `0,2-4`.");
    let from_1 =
        |page: u64| page.checked_add(1).and_then(|page| u32::try_from(page).ok()).ok_or_else(invalid);
    let ranges: Vec<(u32, Option<u32>)> = match value {
        None | Some(Value::Null) => return Ok(PageSelection::All),
        Some(Value::Array(pages)) => pages
            .iter()
            .map(|page| {
                let page = from_1(page.as_u64().ok_or_else(invalid)?)?;
                Ok((page, Some(page)))
            })
            .collect::<Result<_, Fault>>()?,
        Some(Value::Number(page)) => {
            let page = from_1(page.as_u64().ok_or_else(invalid)?)?;
            vec![(page, Some(page))]
        }
        Some(Value::String(text)) => text
            .split(',')
            .map(|part| {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let number = |text: &str| from_1(text.trim().parse().map_err(|_| invalid())?);
                let (first, last) = (number(first)?, number(last)?);
                if first > last { Err(invalid()) } else { Ok((first, Some(last))) }
            })
            .collect::<Result<_, Fault>>()?,
        Some(_) => return Err(invalid()),
    };
    // An empty list means all pages for some clients, and none for no client.
    Ok(if ranges.is_empty() { PageSelection::All } else { PageSelection::Ranges(ranges) })
}

impl Document {
    /// Returns the text that names or contains the document. The client's `type` is not needed, and some omit it.
    fn url(&self) -> Option<&str> {
        let image = || match self.image_url.as_ref()? {
            ImageUrl::Text(url) | ImageUrl::Object { url } => Some(url.as_str()),
        };
        self.document_url.as_deref().or_else(image).filter(|url| !url.is_empty())
    }

    /// Returns the document with its name: from base64, or from the files of the tenant.
    pub(super) fn content(
        &self,
        body: &JsonBody,
        stores: &Stores,
        owner: &TenantName,
    ) -> Result<(Option<String>, Content), Fault> {
        let name = self.document_name.as_deref().map(clean_name).filter(|name| !name.is_empty());
        let stored = |id: &str, owner: &TenantName| {
            let file = stores.files.get(owner, id)?;
            let own = || Some(file.name.clone()).filter(|name| !name.is_empty());
            Ok((name.clone().or_else(own), Content::Stored(file)))
        };
        if let Some(id) = self.file_id.as_deref().filter(|id| !id.is_empty()) {
            return stored(id, owner);
        }
        let Some(url) = self.url() else {
            let message = "`document` names no document: send `document_url`, `image_url` or `file_id`.";
            return Err(option_invalid(message));
        };
        let url = body.text(url)?;
        let url = &*url;
        if let Some((id, token)) = files::parse_url(url) {
            // Resolved here: the server does not call itself.
            let owner = stores.links.owner(token, id).filter(|named| named == owner);
            return stored(id, &owner.ok_or_else(files::link_invalid)?);
        }
        if inline::is_remote(url) {
            return Err(inline::remote_refused());
        }
        Ok((name, Content::Sent(inline::decode(url)?)))
    }
}

/// Where the bytes of a document are.
#[derive(Debug)]
pub(super) enum Content {
    /// In the request: they are counted.
    Sent(Vec<u8>),
    /// In the files of the tenant: a copy is counted before it is made.
    Stored(Arc<File>),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_count_from_0() {
        let check = |value: Value, expect: Option<&[(u32, Option<u32>)]>| {
            let ranges = match pages(Some(&value)) {
                Ok(PageSelection::Ranges(ranges)) => Some(ranges),
                Ok(PageSelection::All) => Some(Vec::new()),
                Err(_) => None,
            };
            assert_eq!(ranges.as_deref(), expect, "{value}");
        };
        check(json!(null), Some(&[]));
        check(json!([]), Some(&[]));
        check(json!([0, 2]), Some(&[(1, Some(1)), (3, Some(3))]));
        check(json!("0,2-4"), Some(&[(1, Some(1)), (3, Some(5))]));
        check(json!(1), Some(&[(2, Some(2))]));
        for invalid in [json!([-1]), json!(["0"]), json!("4-2"), json!(""), json!(true), json!([u64::MAX])] {
            check(invalid, None);
        }
    }
}
