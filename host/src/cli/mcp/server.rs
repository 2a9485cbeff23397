//! Reads a file through a server: one batch of one document, whose pages arrive as they are read.

use anyhow::Context;
use reqwest::header::RETRY_AFTER;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response};
use serde_json::Value;

use super::super::api_page;
use super::super::lines::Lines;
use super::super::manage::pages;
use super::super::server_client::{Server, client};
use super::files::Root;
use crate::config::ClientConfig;
use crate::mcp::{Answer, Named, Naming, ReadRequest, Reads, ToolError};

/// A folder of files, and the server that reads them.
pub(super) struct Remote {
    root: Root,
    config: ClientConfig,
    client: reqwest::Client,
}

impl Remote {
    pub(super) fn new(root: Root, config: &ClientConfig) -> anyhow::Result<Self> {
        Ok(Self { root, config: config.clone(), client: client(config)? })
    }

    /// Sends a document; returns the events of its reading.
    async fn send(&self, name: &str, bytes: Vec<u8>, request: &ReadRequest) -> Result<Response, ToolError> {
        let server = &self.config.server;
        let options = [("pages", &request.pages), ("deployment", &request.deployment)];
        let mut query: Vec<_> =
            options.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
        // A result that is full ends the reading: what is left are the last pages.
        query.push(("order", "page"));
        let form = Form::new().part("file", Part::bytes(bytes).file_name(name.to_owned()));
        let request = self.client.post(format!("{}/api/v1/ocr/batch", server.trim_end_matches('/')));
        let answer =
            request.query(&query).multipart(form).send().await.map_err(|error| self.no_answer(error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (status, retry_after_s) = (answer.status(), retry_after_s(&answer));
        let problem: Value =
            serde_json::from_slice(&answer.bytes().await.unwrap_or_default()).unwrap_or_default();
        let member = |name: &str| problem.get(name).and_then(Value::as_str);
        let message = match member("detail").or(member("title")) {
            Some(detail) => detail.to_owned(),
            None => format!("The server {server} responded with status {status}."),
        };
        Err(ToolError { code: member("code").unwrap_or("server_error").to_owned(), message, retry_after_s })
    }

    fn no_answer(&self, error: reqwest::Error) -> ToolError {
        let message = format!(
            "The server {} does not answer: {:#}. Start it (`lector serve`), or set `client.server` for `lector mcp`.",
            self.config.server,
            anyhow::Error::from(error.without_url())
        );
        ToolError::new("server_unreachable", message)
    }
}

fn retry_after_s(answer: &Response) -> Option<u64> {
    answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

impl Reads for Remote {
    const NAMING: Naming = Naming::Path;

    async fn read(&self, named: Named, request: &ReadRequest, answer: &mut Answer) -> Result<(), ToolError> {
        // The definitions of this transport have no other argument.
        let Named::Path(path) = named else {
            return Err(ToolError::new("option_invalid", "Name the document by its `path`."));
        };
        let root = self.root.clone();
        let read = tokio::task::spawn_blocking(move || root.read(&path)).await;
        let (name, bytes) = read.map_err(broken)??;
        let mut events = Lines::of(self.send(&name, bytes, request).await?);
        while let Some(line) = events.next().await.map_err(broken)? {
            let event = serde_json::from_slice(&line).context("an event of the server is not JSON");
            if !take(event.map_err(broken)?, &name, answer)? {
                return Ok(());
            }
        }
        Err(broken("the response ended before the end of the document"))
    }

    async fn deployments(&self) -> Result<Vec<Value>, ToolError> {
        let server = Server::of(&self.config).map_err(broken)?;
        let list = pages::all(&server, server.at(Method::GET, "/deployments")).await;
        let mut list =
            list.map_err(|error| ToolError::new("server_error", format!("The server failed: {error:#}.")))?;
        match list.get_mut("deployments").map(Value::take) {
            Some(Value::Array(deployments)) => Ok(deployments),
            _ => Err(broken("the server sent no list of deployments")),
        }
    }
}

/// Takes an event of the batch. Returns whether the next one is wanted.
fn take(mut event: Value, name: &str, answer: &mut Answer) -> Result<bool, ToolError> {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    match event["event"].as_str() {
        Some("document") => {
            let pages = event["pages"].as_array().into_iter().flatten().map(number).collect();
            answer.opened(Some(name.to_owned()), number(&event["page_count"]), pages);
            Ok(true)
        }
        Some("page") => {
            let page = number(&event["page"]);
            Ok(answer.page(page, Ok(&api_page::read(event).map_err(broken)?)))
        }
        Some("page_error") => Ok(answer.page(number(&event["page"]), Err(error_of(&event["error"].take())))),
        Some("document_error") => Err(error_of(&event["error"].take())),
        Some("end") => Ok(false),
        _ => Ok(true),
    }
}

/// Returns the error in an event.
fn error_of(error: &Value) -> ToolError {
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let retry_after_s = error["retry_after_s"].as_f64().map(|seconds| seconds.ceil() as u64);
    ToolError { code: text("code"), message: text("message"), retry_after_s }
}

fn broken(what: impl std::fmt::Display) -> ToolError {
    ToolError::new("server_error", format!("The reading failed: {what:#}. Try again."))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_keep_their_code_and_the_time_to_wait() {
        let error =
            error_of(&json!({ "code": "server_overloaded", "message": "Full.", "retry_after_s": 2.0 }));
        assert_eq!((error.code.as_str(), error.retry_after_s), ("server_overloaded", Some(2)));
    }
}
