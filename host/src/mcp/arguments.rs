//! The arguments of a call.

use rmcp::model::{JsonObject, Tool};
use serde::Deserialize;
use serde_json::Value;

use super::error::ToolError;
use super::tools::{
    CHARACTERS_DEFAULT, CHARACTERS_MAX, CHARACTERS_MIN, LIST_DEPLOYMENTS, READ_DOCUMENT, READ_PAGE,
};

/// A call of a tool.
#[derive(Debug, PartialEq)]
pub(super) enum Call {
    Read(Box<Read>),
    ListDeployments,
}

/// A call that reads a document.
#[derive(Debug, PartialEq)]
pub(super) struct Read {
    pub(super) named: Named,
    pub(super) request: ReadRequest,
    pub(super) form: Form,
}

/// The document that a call names.
#[derive(Debug, PartialEq)]
pub(crate) enum Named {
    /// A file on the machine of this process.
    Path(String),
    /// The bytes in base64, and the client's name for them.
    Content(String, Option<String>),
    /// The id of an uploaded file.
    Upload(String),
}

/// What is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadRequest {
    /// The pages, such as `1-3,7`; `None`: every page.
    pub(crate) pages: Option<String>,
    /// `None`: the default one.
    pub(crate) deployment: Option<String>,
}

/// The form of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) markdown: bool,
    pub(super) characters_max: usize,
    /// The page of `read_page`, and the number of characters that are left out at its beginning.
    pub(super) page: Option<(u32, usize)>,
}

#[derive(Debug, Deserialize)]
struct Raw {
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    pages: Option<Value>,
    #[serde(default)]
    page: Option<u32>,
    #[serde(default)]
    start: Option<usize>,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    deployment: Option<String>,
    #[serde(default)]
    max_characters: Option<usize>,
}

impl Call {
    /// Parses the arguments of a call of `tool`. Fault `option_invalid`.
    pub(super) fn parse(tool: &Tool, arguments: JsonObject) -> Result<Self, ToolError> {
        let known = tool.input_schema.get("properties").and_then(Value::as_object);
        let is_known = |name: &String| known.is_some_and(|known| known.contains_key(name));
        if let Some(unknown) = arguments.keys().find(|name| !is_known(name)) {
            let unknown: String = unknown.chars().filter(|c| !c.is_control()).take(40).collect();
            let known: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(invalid(format!("has no argument `{unknown}`: its arguments are {known}"), tool));
        }
        if tool.name == LIST_DEPLOYMENTS {
            return Ok(Self::ListDeployments);
        }
        let raw: Raw = serde_json::from_value(Value::Object(arguments))
            .map_err(|error| invalid(format!("has an argument of the wrong type: {error}"), tool))?;
        Self::read(tool, raw).map(|read| Self::Read(Box::new(read)))
    }

    fn read(tool: &Tool, raw: Raw) -> Result<Read, ToolError> {
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let named = match (given(raw.path), given(raw.content), given(raw.file)) {
            (Some(path), None, None) => Named::Path(path),
            (None, Some(content), None) => Named::Content(content, given(raw.name)),
            (None, None, Some(file)) => Named::Upload(file),
            _ => return Err(invalid("needs exactly one document".to_owned(), tool)),
        };
        let markdown = match raw.format.as_deref() {
            None | Some("markdown") => true,
            Some("text") => false,
            Some(_) => {
                return Err(invalid("has a `format` that is neither markdown nor text".to_owned(), tool));
            }
        };
        let characters_max = raw.max_characters.unwrap_or(CHARACTERS_DEFAULT);
        if !(CHARACTERS_MIN..=CHARACTERS_MAX).contains(&characters_max) {
            let problem = format!("has a `max_characters` that is not {CHARACTERS_MIN} to {CHARACTERS_MAX}");
            return Err(invalid(problem, tool));
        }
        let (page, pages) = match (&*tool.name, raw.page) {
            (READ_PAGE, Some(page)) if page > 0 => {
                (Some((page, raw.start.unwrap_or(0))), Some(page.to_string()))
            }
            (READ_PAGE, _) => return Err(invalid("needs a `page`, from 1".to_owned(), tool)),
            _ => (
                None,
                pages(raw.pages).ok_or_else(|| invalid("has `pages` that are no text".to_owned(), tool))?,
            ),
        };
        Ok(Read {
            named,
            request: ReadRequest { pages, deployment: given(raw.deployment) },
            form: Form { markdown, characters_max, page },
        })
    }
}

/// Returns the selection of pages: agents also send a single number.
fn pages(value: Option<Value>) -> Option<Option<String>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some((!text.trim().is_empty()).then_some(text)),
        Some(Value::Number(page)) => Some(Some(page.to_string())),
        Some(_) => None,
    }
}

fn invalid(problem: String, tool: &Tool) -> ToolError {
    let hint = if tool.name == READ_DOCUMENT { "`1-3,7`" } else { "its schema" };
    ToolError::new(
        "option_invalid",
        format!("{} {problem}. See {hint} in the definition of the tool.", tool.name),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::super::tools::{Naming, all};
    use super::*;

    fn parse(naming: Naming, name: &str, arguments: Value) -> Result<Call, String> {
        let tool = all(naming).into_iter().find(|tool| tool.name == name).unwrap();
        Call::parse(&tool, arguments.as_object().unwrap().clone()).map_err(|error| error.message)
    }

    fn read(naming: Naming, name: &str, arguments: Value) -> Read {
        match parse(naming, name, arguments).unwrap() {
            Call::Read(read) => *read,
            Call::ListDeployments => panic!("no reading"),
        }
    }

    #[test]
    fn documents_and_pages_are_named() {
        let read_file = read(Naming::Path, READ_DOCUMENT, json!({ "path": "a.pdf", "pages": 3 }));
        assert_eq!(read_file.named, Named::Path("a.pdf".into()));
        assert_eq!(read_file.request.pages.as_deref(), Some("3"));
        assert_eq!((read_file.form.markdown, read_file.form.characters_max), (true, CHARACTERS_DEFAULT));
        let arguments = json!({ "content": "AA==", "name": "b", "page": 2, "start": 9, "format": "text" });
        let page = read(Naming::Content, READ_PAGE, arguments);
        assert_eq!(page.named, Named::Content("AA==".into(), Some("b".into())));
        assert_eq!((page.request.pages.as_deref(), page.form.page), (Some("2"), Some((2, 9))));
        assert_eq!(parse(Naming::Path, LIST_DEPLOYMENTS, json!({})), Ok(Call::ListDeployments));
    }

    #[test]
    fn wrong_arguments_are_named() {
        let check = |naming, name, arguments: Value, part: &str| {
            let error = parse(naming, name, arguments.clone()).unwrap_err();
            assert!(error.contains(part), "{arguments}: {error}");
        };
        check(Naming::Content, READ_DOCUMENT, json!({ "path": "/etc/passwd" }), "no argument `path`");
        check(Naming::Path, READ_DOCUMENT, json!({ "content": "AA==" }), "no argument `content`");
        check(Naming::Path, READ_DOCUMENT, json!({}), "exactly one document");
        check(Naming::Path, READ_DOCUMENT, json!({ "path": "  " }), "exactly one document");
        check(
            Naming::Content,
            READ_DOCUMENT,
            json!({ "content": "AA==", "file": "x" }),
            "exactly one document",
        );
        check(Naming::Path, READ_DOCUMENT, json!({ "path": 1 }), "wrong type");
        check(Naming::Path, READ_DOCUMENT, json!({ "path": "a", "pages": [1] }), "`pages`");
        check(Naming::Path, READ_DOCUMENT, json!({ "path": "a", "format": "html" }), "`format`");
        check(Naming::Path, READ_DOCUMENT, json!({ "path": "a", "max_characters": 9 }), "`max_characters`");
        check(Naming::Path, READ_PAGE, json!({ "path": "a" }), "needs a `page`");
        check(Naming::Path, READ_PAGE, json!({ "path": "a", "page": 0 }), "needs a `page`");
        check(Naming::Path, LIST_DEPLOYMENTS, json!({ "x": 1 }), "arguments are none");
    }
}
