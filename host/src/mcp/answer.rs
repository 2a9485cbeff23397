//! The form of results: the text of pages within a bound, and what was left out.

use lector_core::Transcript;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::arguments::Form;
use super::error::ToolError;
use super::tools::{PAGES_MAX, READ_DOCUMENT, READ_PAGE};

/// The result of a reading, while its pages arrive in the order of the document.
#[derive(Debug)]
pub(crate) struct Answer {
    form: Form,
    name: Option<String>,
    page_count: u32,
    /// Numbers of the selected pages, from 1, of which the first ones are in the result.
    selected: Vec<u32>,
    pages: Vec<Page>,
    characters: usize,
    /// Pages that arrived, of how many.
    progress: watch::Sender<(u32, u32)>,
}

#[derive(Debug)]
struct Page {
    number: u32,
    outcome: Result<Text, ToolError>,
}

/// A text, or a part of one.
#[derive(Debug)]
struct Text {
    text: String,
    /// Characters of the whole page.
    characters: usize,
    confidence: Option<f64>,
    /// The beginning of the next part.
    next_start: Option<usize>,
}

impl Answer {
    pub(super) fn new(form: Form, progress: watch::Sender<(u32, u32)>) -> Self {
        Self {
            form,
            name: None,
            page_count: 0,
            selected: Vec::new(),
            pages: Vec::new(),
            characters: 0,
            progress,
        }
    }

    /// Takes the facts of the open document; `selected` are the numbers of its pages to read, from 1.
    pub(crate) fn opened(&mut self, name: Option<String>, page_count: u32, selected: Vec<u32>) {
        self.name = name;
        self.page_count = page_count;
        self.progress.send_replace((0, selected.len() as u32));
        self.selected = selected;
    }

    /// Takes a page. Returns whether the next one is wanted: the reading ends when the result is full.
    pub(crate) fn page(&mut self, number: u32, outcome: Result<&Transcript, ToolError>) -> bool {
        let outcome = match outcome {
            Ok(page) => {
                let whole = text_of(page, self.form.markdown);
                match self.fitted(&whole, page) {
                    Some(text) => Ok(text),
                    None => return false,
                }
            }
            Err(error) => Err(error),
        };
        let cut = matches!(&outcome, Ok(Text { next_start: Some(_), .. }));
        self.characters += outcome.as_ref().map_or(0, |text| text.text.chars().count());
        self.pages.push(Page { number, outcome });
        self.progress.send_modify(|(done, _)| *done += 1);
        !cut && self.pages.len() < PAGES_MAX && self.characters < self.form.characters_max
    }

    /// Returns the text of a page as far as it fits. `None`: nothing of it, because other pages are in the result.
    fn fitted(&self, whole: &str, page: &Transcript) -> Option<Text> {
        let characters = whole.chars().count();
        let start = self.form.page.map_or(0, |(_, start)| start);
        let free = self.form.characters_max - self.characters.min(self.form.characters_max);
        let fits = characters.saturating_sub(start) <= free;
        if !fits && !self.pages.is_empty() {
            return None;
        }
        let text: String = whole.chars().skip(start).take(free).collect();
        let confidences = page.lines.iter().map(|line| f64::from(line.confidence));
        let mean = confidences.sum::<f64>() / page.lines.len().max(1) as f64;
        let confidence = (!page.lines.is_empty()).then(|| (mean.clamp(0.0, 1.0) * 1e4).round() / 1e4);
        Some(Text { text, characters, confidence, next_start: (!fits).then_some(start + free) })
    }

    /// Returns the result of `read_document` or `read_page`.
    pub(super) fn result(self) -> CallToolResult {
        let read = self.pages.iter().filter(|page| page.outcome.is_ok()).count();
        match self.pages.first() {
            // The reading ended without a page: the document has none that was selected.
            None => {
                return ToolError::new("no_pages", "The document has no page that could be read.").result();
            }
            Some(Page { outcome: Err(error), .. }) if read == 0 => return error.result(),
            Some(_) => {}
        }
        match self.form.page {
            Some((number, start)) => self.one_page(number, start),
            None => self.document(),
        }
    }

    fn document(self) -> CallToolResult {
        let left = self.selected.get(self.pages.len()..).unwrap_or_default();
        let next_pages = (!left.is_empty()).then(|| ranges(left));
        let shown: Vec<u32> = self.pages.iter().map(|page| page.number).collect();
        let mut head = format!(
            "{}: {} pages; {} {}.",
            self.name.as_deref().unwrap_or("The document"),
            self.page_count,
            ranges(&shown),
            if shown.len() == 1 { "follows" } else { "follow" },
        );
        if let Some(next) = &next_pages {
            head.push_str(&format!(
                " Pages {next} are not in this result, which is full ({} characters, {PAGES_MAX} pages): call \
                 {READ_DOCUMENT} with pages \"{next}\".",
                self.form.characters_max
            ));
        }
        let mut content = vec![ContentBlock::text(head)];
        let mut pages = Vec::new();
        for Page { number, outcome } in self.pages {
            let mut members = Map::from_iter([("page".to_owned(), json!(number))]);
            let text = match outcome {
                Ok(text) => {
                    let rest = match text.next_start {
                        Some(start) => {
                            members.insert("next_start".to_owned(), start.into());
                            format!(
                                "\n\n[Page {number} goes on: call {READ_PAGE} with page {number} and start {start}.]"
                            )
                        }
                        None => String::new(),
                    };
                    members.extend(text.confidence.map(|value| ("confidence".to_owned(), value.into())));
                    let shown = format!("[Page {number}]\n{}{rest}", text.text);
                    members.insert("text".to_owned(), text.text.into());
                    shown
                }
                Err(error) => {
                    members.insert("error".to_owned(), error.json());
                    format!("[Page {number} was not read: {} ({})]", error.message, error.code)
                }
            };
            content.push(ContentBlock::text(text));
            pages.push(Value::Object(members));
        }
        let structured = json!({
            "name": self.name, "page_count": self.page_count, "pages": pages, "next_pages": next_pages,
        });
        success(content, structured)
    }

    fn one_page(self, number: u32, start: usize) -> CallToolResult {
        let Some(Page { outcome: Ok(text), .. }) = self.pages.into_iter().next() else {
            return ToolError::new("no_pages", format!("The document has no page {number}.")).result();
        };
        if start > 0 && start >= text.characters {
            let message = format!("Page {number} has {} characters: `start` is {start}.", text.characters);
            return ToolError::new("option_invalid", message).result();
        }
        let mut shown = text.text.clone();
        if let Some(next) = text.next_start {
            shown.push_str(&format!(
                "\n\n[The page goes on, with {} characters in all: call {READ_PAGE} with start {next}.]",
                text.characters
            ));
        }
        let mut structured = json!({
            "name": self.name, "page_count": self.page_count, "page": number, "text": text.text,
            "characters": text.characters, "next_start": text.next_start,
        });
        if let Some(confidence) = text.confidence {
            structured["confidence"] = confidence.into();
        }
        success(vec![ContentBlock::text(shown)], structured)
    }
}

/// Returns the text of a page without line feeds at its end.
fn text_of(page: &Transcript, markdown: bool) -> String {
    let mut text = if markdown { lector_export::parts::page_markdown(page) } else { page.text() };
    text.truncate(text.trim_end().len());
    text
}

/// Returns the result of `list_deployments`, from the API's JSON of each deployment.
pub(super) fn deployments(views: &[Value]) -> CallToolResult {
    let member = |view: &Value, name: &str| view.get(name).cloned().unwrap_or_default();
    let shown: Vec<Value> = views
        .iter()
        .map(|view| {
            let serves = view["weights"].as_array().is_some_and(|weights| !weights.is_empty());
            json!({ "name": member(view, "name"), "shared": member(view, "shared"), "serves": serves })
        })
        .collect();
    let names: Vec<&str> =
        shown.iter().filter(|view| view["serves"] == true).filter_map(|view| view["name"].as_str()).collect();
    let text = if names.is_empty() { "No deployment serves.".to_owned() } else { names.join("\n") };
    success(vec![ContentBlock::text(text)], json!({ "deployments": shown }))
}

fn success(content: Vec<ContentBlock>, structured: Value) -> CallToolResult {
    let mut result = CallToolResult::success(content);
    result.structured_content = Some(structured);
    result
}

/// Returns rising numbers as ranges: `1-3,7`.
fn ranges(numbers: &[u32]) -> String {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match spans.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => spans.push((number, number)),
        }
    }
    let span = |(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    spans.iter().map(span).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::{Line, Quad, Size};

    use super::*;

    fn page(text: &str) -> Transcript {
        let mut page = Transcript::blank(Size { width: 10, height: 10 }, 72.0);
        page.lines = vec![Line::new(text, 0.5, Quad::default())];
        page
    }

    fn answer(characters_max: usize, page: Option<(u32, usize)>, pages: u32) -> Answer {
        let form = Form { markdown: false, characters_max, page };
        let mut answer = Answer::new(form, watch::Sender::default());
        answer.opened(Some("a.pdf".into()), 9, (1..=pages).collect());
        answer
    }

    fn texts(result: &CallToolResult) -> Vec<String> {
        result.content.iter().map(|block| block.as_text().unwrap().text.clone()).collect()
    }

    #[test]
    fn pages_that_do_not_fit_are_named() {
        let mut answer = answer(10, None, 9);
        assert!(answer.page(1, Ok(&page("12345"))));
        assert!(answer.page(2, Err(ToolError::new("page_broken", "It is a blur."))));
        assert!(!answer.page(3, Ok(&page("123456"))), "it has no room");
        let result = answer.result();
        let structured = result.structured_content.clone().unwrap();
        assert_eq!(structured["pages"][0], json!({ "page": 1, "text": "12345", "confidence": 0.5 }));
        assert_eq!(structured["pages"][1]["error"]["code"], "page_broken");
        assert_eq!((&structured["next_pages"], &structured["page_count"]), (&json!("3-9"), &json!(9)));
        let texts = texts(&result);
        assert!(texts[0].contains("call read_document with pages \"3-9\""), "{texts:?}");
        assert!(texts[1].starts_with("[Page 1]\n12345") && texts[2].contains("It is a blur. (page_broken)"));
        assert_eq!(result.is_error, Some(false));
    }

    #[test]
    fn a_page_that_is_too_long_comes_in_parts() {
        let mut whole = answer(4, None, 2);
        assert!(!whole.page(1, Ok(&page("ä234567"))));
        let result = whole.result();
        assert_eq!(result.structured_content.as_ref().unwrap()["pages"][0]["next_start"], 4);
        assert!(texts(&result)[1].contains("read_page with page 1 and start 4"), "{:?}", texts(&result));
        let part = |start: usize| {
            let mut answer = answer(4, Some((1, start)), 1);
            answer.page(1, Ok(&page("ä234567")));
            answer.result()
        };
        let second = part(4).structured_content.unwrap();
        assert_eq!(
            (&second["text"], &second["next_start"], &second["characters"]),
            (&json!("567"), &Value::Null, &json!(7))
        );
        assert_eq!(part(0).structured_content.unwrap()["text"], "ä234");
        assert_eq!(part(7).is_error, Some(true), "there is nothing after the end");
    }

    #[test]
    fn a_document_without_a_read_page_is_an_error() {
        let mut failed = answer(100, None, 2);
        let error = ToolError { retry_after_s: Some(3), ..ToolError::new("server_overloaded", "Full.") };
        assert!(failed.page(1, Err(error)));
        failed.page(2, Err(ToolError::new("other", "x")));
        let result = failed.result();
        assert_eq!(result.is_error, Some(true));
        assert_eq!(texts(&result), ["Full. (server_overloaded) Try again in 3 s."]);
        assert_eq!(result.structured_content, None);
        assert_eq!(answer(100, None, 2).result().is_error, Some(true));
    }

    /// Asserts that a value is what a schema describes, as far as the tools' schemas go.
    fn assert_valid(value: &Value, schema: &Value) {
        let of_type = |name: &str| match name {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "null" => value.is_null(),
            other => panic!("{other}"),
        };
        match &schema["type"] {
            Value::Array(types) => {
                assert!(types.iter().any(|one| of_type(one.as_str().unwrap())), "{value} {schema}")
            }
            one => assert!(of_type(one.as_str().unwrap()), "{value} {schema}"),
        }
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(value.get(required.as_str().unwrap()).is_some(), "no {required}: {value}");
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            value.get(name).into_iter().for_each(|member| assert_valid(member, schema));
        }
        for item in value.as_array().into_iter().flatten().filter(|_| schema["items"].is_object()) {
            assert_valid(item, &schema["items"]);
        }
    }

    /// Clients of the TypeScript SDK validate structured content whenever there is some.
    #[test]
    fn results_are_what_the_tools_announce_and_errors_are_text_alone() {
        let tool = |name: &str| {
            let tools = super::super::tools::all(super::super::tools::Naming::Content);
            let tool = tools.into_iter().find(|tool| tool.name == name).unwrap();
            Value::Object(tool.output_schema.unwrap().as_ref().clone())
        };
        let mut whole = answer(8, None, 9);
        whole.page(1, Ok(&page("12345")));
        whole.page(
            2,
            Err(ToolError { retry_after_s: Some(3), ..ToolError::new("page_broken", "It is a blur.") }),
        );
        whole.page(3, Ok(&page("123456")));
        let mut empty = answer(100, None, 1);
        empty.page(1, Ok(&Transcript::blank(Size { width: 10, height: 10 }, 72.0)));
        let part = |text: &str| {
            let mut answer = answer(4, Some((1, 0)), 1);
            answer.page(1, Ok(&page(text)));
            answer.result()
        };
        let listed = [json!({ "name": "a", "shared": true, "weights": [1] }), json!({})];
        for (name, result) in [
            (READ_DOCUMENT, whole.result()),
            (READ_DOCUMENT, empty.result()),
            (READ_PAGE, part("ä234567")),
            (READ_PAGE, part("")),
            (super::super::tools::LIST_DEPLOYMENTS, deployments(&listed)),
            (super::super::tools::LIST_DEPLOYMENTS, deployments(&[])),
        ] {
            assert_eq!(result.is_error, Some(false));
            assert_valid(&result.structured_content.unwrap(), &tool(name));
        }
        // Each tool's errors are made by one function.
        let mut failed = answer(100, Some((1, 0)), 1);
        failed.page(1, Err(ToolError::new("other", "x")));
        let error = ToolError { retry_after_s: Some(3), ..ToolError::new("server_overloaded", "Full.") };
        for result in [
            answer(100, None, 2).result(),
            answer(100, Some((3, 0)), 0).result(),
            failed.result(),
            error.result(),
        ] {
            assert_eq!((result.is_error, &result.structured_content), (Some(true), &None));
            assert!(texts(&result)[0].contains('('), "the code: {result:?}");
        }
    }

    #[test]
    fn an_empty_page_is_no_error() {
        let mut empty = answer(100, Some((1, 0)), 1);
        empty.page(1, Ok(&Transcript::blank(Size { width: 10, height: 10 }, 72.0)));
        let result = empty.result();
        assert_eq!(
            (result.is_error, result.structured_content.unwrap()["text"].clone()),
            (Some(false), json!(""))
        );
    }

    #[test]
    fn numbers_become_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), "1-3,7,9-10");
        assert_eq!(ranges(&[]), "");
    }
}
