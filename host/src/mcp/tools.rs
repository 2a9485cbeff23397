//! The definitions of the tools: names, descriptions for the agent, and JSON Schemas of arguments and results.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

/// Bounds of the characters of one result. The default is some 15 pages of a book, and fits into the context of a model.
pub(super) const CHARACTERS_DEFAULT: usize = 50_000;
pub(super) const CHARACTERS_MIN: usize = 1_000;
pub(super) const CHARACTERS_MAX: usize = 500_000;
/// Most pages of one result: clients end a call that takes minutes.
pub(super) const PAGES_MAX: usize = 100;

pub(super) const READ_DOCUMENT: &str = "read_document";
pub(super) const READ_PAGE: &str = "read_page";
pub(super) const LIST_DEPLOYMENTS: &str = "list_deployments";

/// The way in which a call names its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `path`: a file on the machine of this process.
    Path,
    /// `content` or `file`: the bytes of the document, or an uploaded file. Never a path of the server.
    Content,
}

/// Returns what the agent is told about the server.
pub(super) fn instructions(naming: Naming) -> &'static str {
    match naming {
        Naming::Path => {
            "Reads PDFs and images (scans, photographs, screenshots) to text by OCR. Call read_document with the path of a \
             file; read_page for one page of it. A long document comes in parts: go on with the pages that the result \
             names in `next_pages`."
        }
        Naming::Content => {
            "Reads PDFs and images (scans, photographs, screenshots) to text by OCR. Call read_document with the bytes of a \
             file in base64, or with the id of an uploaded file; read_page for one page of it. A long document comes in \
             parts: go on with the pages that the result names in `next_pages`."
        }
    }
}

/// Returns the tools.
pub(super) fn all(naming: Naming) -> Vec<Tool> {
    let read = |name: &'static str, title: &str, about: String, properties: Value, result: Value| {
        let mut properties = object(properties);
        let mut all = document(naming);
        all.append(&mut properties);
        all.append(&mut common());
        let mut required: Vec<&str> = if naming == Naming::Path { vec!["path"] } else { Vec::new() };
        required.extend((name == READ_PAGE).then_some("page"));
        let schema = json!({
            "type": "object", "properties": all, "required": required, "additionalProperties": false,
        });
        tool(name, title, about, schema, result)
    };
    vec![
        read(
            READ_DOCUMENT,
            "Read a document",
            format!(
                "Reads a PDF or an image (PNG, JPEG, TIFF, WebP, BMP, GIF) by OCR, and returns the text of its pages in \
                 reading order. At most {PAGES_MAX} pages and `max_characters` characters come at once; `next_pages` names \
                 the pages that are left."
            ),
            json!({
                "pages": {
                    "type": "string",
                    "description": "Pages from 1, such as `1-3,7` or `5-`. Without it: every page.",
                },
            }),
            json!({
                "pages": { "type": "array", "items": {
                    "type": "object",
                    "properties": {
                        "page": { "type": "integer" },
                        "text": { "type": "string" },
                        "confidence": { "type": "number" },
                        "next_start": { "type": "integer" },
                        "error": { "type": "object" },
                    },
                    "required": ["page"],
                } },
                "next_pages": { "type": ["string", "null"] },
            }),
        ),
        read(
            READ_PAGE,
            "Read a page",
            "Reads one page of a PDF or an image by OCR, and returns its text. A page with more than `max_characters` \
             characters comes in parts: `next_start` is the `start` of the next part."
                .to_owned(),
            json!({
                "page": { "type": "integer", "minimum": 1, "description": "Number of the page, from 1." },
                "start": {
                    "type": "integer", "minimum": 0, "default": 0,
                    "description": "Number of characters of the page that are left out at its beginning.",
                },
            }),
            json!({
                "page": { "type": "integer" },
                "text": { "type": "string" },
                "characters": { "type": "integer" },
                "confidence": { "type": "number" },
                "next_start": { "type": ["integer", "null"] },
            }),
        ),
        tool(
            LIST_DEPLOYMENTS,
            "List deployments",
            "Lists the deployments of the OCR server that can read documents: pipelines for different kinds of documents or \
             different speed. The other tools use the default one unless `deployment` names another."
                .to_owned(),
            json!({ "type": "object", "properties": {}, "additionalProperties": false }),
            json!({ "deployments": { "type": "array", "items": { "type": "object" } } }),
        ),
    ]
}

/// Returns the arguments that name the document.
fn document(naming: Naming) -> JsonObject {
    object(match naming {
        Naming::Path => json!({
            "path": {
                "type": "string",
                "description": "Path of the file, in the folder that the user has allowed; relative to it, or absolute.",
            },
        }),
        Naming::Content => json!({
            "content": {
                "type": "string",
                "description": "The bytes of the file in base64; a `data:` URL is accepted. Send this or `file`.",
            },
            "file": { "type": "string", "description": "Id of an uploaded file (POST /api/v1/files)." },
            "name": { "type": "string", "description": "Name of the file, for the result." },
        }),
    })
}

/// Returns the arguments that both tools for reading have.
fn common() -> JsonObject {
    object(json!({
        "format": {
            "type": "string", "enum": ["markdown", "text"], "default": "markdown",
            "description": "Markdown has headings, lists and tables; text has lines as they are on the page.",
        },
        "deployment": {
            "type": "string",
            "description": "The deployment that reads (list_deployments). Without it: the default one.",
        },
        "max_characters": {
            "type": "integer", "minimum": CHARACTERS_MIN, "maximum": CHARACTERS_MAX, "default": CHARACTERS_DEFAULT,
            "description": "Most characters of text in the result.",
        },
    }))
}

/// Returns a tool whose result has these members beside the facts of the document.
fn tool(name: &'static str, title: &str, about: String, arguments: Value, result: Value) -> Tool {
    let mut members = object(result);
    if name != LIST_DEPLOYMENTS {
        members.append(&mut object(json!({
            "name": { "type": ["string", "null"] },
            "page_count": { "type": "integer" },
        })));
    }
    let required: Vec<&String> = members
        .keys()
        .filter(|name| matches!(name.as_str(), "pages" | "deployments" | "page_count"))
        .collect();
    let result = json!({ "type": "object", "properties": members, "required": required });
    // The same document gives the same text, and nothing is changed.
    let hints = ToolAnnotations::with_title(title).read_only(true).idempotent(true).open_world(false);
    Tool::new(name, about, Arc::new(object(arguments)))
        .with_title(title)
        .with_raw_output_schema(Arc::new(object(result)))
        .with_annotations(hints)
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(members) => members,
        _ => JsonObject::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn each_transport_names_documents_in_its_own_way() {
        let arguments = |naming: Naming| -> Vec<String> {
            all(naming)[0].input_schema["properties"].as_object().unwrap().keys().cloned().collect()
        };
        let path = arguments(Naming::Path);
        assert!(path.contains(&"path".to_owned()) && !path.contains(&"content".to_owned()), "{path:?}");
        let content = arguments(Naming::Content);
        assert!(content.contains(&"content".to_owned()) && content.contains(&"file".to_owned()));
        assert!(!content.contains(&"path".to_owned()), "no path of the server: {content:?}");
        for naming in [Naming::Path, Naming::Content] {
            let names: Vec<_> = all(naming).iter().map(|tool| tool.name.to_string()).collect();
            assert_eq!(names, [READ_DOCUMENT, READ_PAGE, LIST_DEPLOYMENTS]);
        }
    }
}
