//! The pages of the problem codes: `GET /problems` and `GET /problems/{code}`, to which the member `type` of a problem
//! refers. Served without a key, as HTML, JSON or Markdown by `Accept`.

use std::fmt::Write;

use axum::Json;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use lector_core::{Fault, Kind};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Path;
use super::problem::codes::{self, ProblemCode};
use super::problem::{Problem, path};

/// The `Content-Security-Policy` of the pages: nothing is loaded.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A problem code.
#[derive(Serialize, ToSchema)]
#[schema(as = ProblemCode)]
struct Entry {
    /// Path of its page; the member `type` of its problems.
    r#type: String,
    /// The code.
    code: &'static str,
    /// Short title.
    title: String,
    /// HTTP statuses with which it is sent.
    statuses: &'static [u16],
    /// What happened.
    description: &'static str,
    /// What to do.
    action: &'static str,
}

/// All problem codes.
#[derive(Serialize, ToSchema)]
pub(super) struct ProblemCodeList {
    problems: Vec<Entry>,
}

fn entry(code: &ProblemCode) -> Entry {
    let ProblemCode { code: name, statuses, description, action } = *code;
    Entry { r#type: path(name), code: name, title: code.title(), statuses, description, action }
}

/// Lists the problem codes.
///
/// HTML for `Accept: text/html`, JSON for `Accept: application/json`, otherwise Markdown.
#[utoipa::path(
    get,
    path = "/problems",
    operation_id = "listProblems",
    tag = "About",
    responses((
        status = 200,
        description = "All problem codes.",
        content((ProblemCodeList = "application/json"), (String = "text/html"), (String = "text/markdown"))
    )),
    security(())
)]
pub(super) async fn list(headers: HeaderMap) -> Response {
    page(&headers, &codes::ALL)
}

/// Describes a problem code.
///
/// HTML for `Accept: text/html`, JSON for `Accept: application/json`, otherwise Markdown.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    operation_id = "getProblem",
    tag = "About",
    params(("code" = String, Path, description = "The problem code.")),
    responses((
        status = 200,
        description = "The problem code, as the only member of the list.",
        content((ProblemCodeList = "application/json"), (String = "text/html"), (String = "text/markdown"))
    )),
    extensions(("x-problems" = json!(["path", "problem_page"]))),
    security(())
)]
pub(super) async fn get(Path(code): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let Some(entry) = codes::find(&code) else {
        let shown: String = code.chars().filter(|c| !c.is_control()).take(64).collect();
        let message = format!("There is no problem code `{shown}`: see `/problems` for all codes.");
        return Err(Fault::new(Kind::NotFound, "problem_not_found", message).into());
    };
    Ok(page(&headers, std::slice::from_ref(entry)))
}

fn page(headers: &HeaderMap, codes: &[ProblemCode]) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accepts = |essence: &str| {
        accept
            .split(',')
            .any(|range| range.split(';').next().is_some_and(|one| one.trim().eq_ignore_ascii_case(essence)))
    };
    if accepts("text/html") {
        let headers =
            [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
        return (headers, html(codes)).into_response();
    }
    if accepts("application/json") {
        return Json(ProblemCodeList { problems: codes.iter().map(entry).collect() }).into_response();
    }
    ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], markdown(codes)).into_response()
}

fn statuses(code: &ProblemCode) -> String {
    code.statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ")
}

fn markdown(codes: &[ProblemCode]) -> String {
    let mut text = String::from("# Problem codes\n");
    for code in codes {
        let (status, title) = (statuses(code), code.title());
        let ProblemCode { code, description, action, .. } = code;
        // Writing to a string cannot fail.
        let _ = write!(text, "\n## {code}\n\n{title} ({status}). {description} {action}\n");
    }
    text
}

/// Writes the codes as HTML. Their texts are constants of this server; backticks mark code.
fn html(codes: &[ProblemCode]) -> String {
    let prose = |text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let parts = text.split('`').enumerate();
        parts
            .map(|(at, part)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() })
            .collect::<String>()
    };
    let mut text = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Problem codes</title>\
         <style>body{font:16px/1.5 system-ui;max-width:48rem;margin:2rem auto;padding:0 1rem}h2{font-size:1.1rem}</style>\
         <h1>Problem codes</h1><p><a href=\"/problems\">All codes</a> · <a href=\"/docs\">API</a></p>\n",
    );
    for code in codes {
        let (status, title, name) = (statuses(code), code.title(), code.code);
        let (description, action) = (prose(code.description), prose(code.action));
        let _ = writeln!(
            text,
            "<h2 id=\"{name}\"><a href=\"/problems/{name}\"><code>{name}</code></a></h2><p><b>{title}</b> ({status}). {description} {action}</p>"
        );
    }
    text.push_str("</html>\n");
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_code_is_on_the_page_in_each_form() {
        let (html, markdown) = (html(&codes::ALL), markdown(&codes::ALL));
        for code in codes::ALL.iter() {
            assert!(html.contains(&format!("id=\"{}\"", code.code)), "{}", code.code);
            assert!(markdown.contains(&format!("\n## {}\n", code.code)), "{}", code.code);
        }
        assert!(!html.contains('`'), "an unpaired backtick");
    }

    #[test]
    fn accept_selects_the_form() {
        let essence = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            let response = page(&headers, &codes::ALL);
            response.headers()[header::CONTENT_TYPE].to_str().unwrap().split(';').next().unwrap().to_owned()
        };
        assert_eq!(essence("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), "text/html");
        assert_eq!(essence("application/json"), "application/json");
        assert_eq!(essence("*/*"), "text/markdown");
    }
}
