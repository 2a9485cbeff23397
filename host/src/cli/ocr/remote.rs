//! Reads documents on a server, through the public HTTP API.
//!
//! Sends one request for each document, several at once; with `--format ndjson` one batch, whose events are printed as
//! they arrive.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use futures::StreamExt;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

use super::super::failure::Failure;
use super::super::files::{bytes_of, name_of};
use super::super::lines::Lines;
use super::super::reading_options::PASSWORD;
use super::super::server_client::Server;
use super::super::terminal;
use super::output::Output;
use super::progress::Progress;
use super::request::{Read, Request, report};
use crate::config::ClientConfig;

/// Concurrent requests: enough to keep a server busy while one of them uploads.
const AT_ONCE: usize = 4;
/// Maximum size of a file, which is held in memory while it is sent; the server has its own limit, usually far lower.
pub(in crate::cli) const FILE_BYTES_MAX: u64 = 2 << 30;
/// Header with the number of failed pages; plain formats cannot contain it.
const PAGES_FAILED: &str = "x-lector-pages-failed";

/// Reads all files on the server and writes their results in order. Returns whether anything failed.
pub(super) async fn read_all(
    config: &ClientConfig,
    files: &[PathBuf],
    request: &Request,
    mut output: Output,
    progress: &Progress,
) -> Result<bool, Failure> {
    let remote = Remote { server: Server::of(config)?, request, progress };
    if output.is_stream() {
        return Ok(remote.batch(files).await?);
    }
    let mut reads = futures::stream::iter(files).map(|file| remote.one(file)).buffered(AT_ONCE);
    let (mut failed, mut number) = (false, 0);
    while let Some(read) = reads.next().await {
        failed |= report(&read, progress);
        if let Some((file, text)) = files.get(number).zip(read.bytes.as_deref()) {
            progress.pause(|| output.document(number, &name_of(file), text))?;
        }
        number += 1;
    }
    output.end()?;
    Ok(failed)
}

/// The server, and the request for each document.
struct Remote<'a> {
    server: Server<'a>,
    request: &'a Request,
    progress: &'a Progress,
}

impl Remote<'_> {
    /// Reads one document; a failure does not affect the others.
    async fn one(&self, file: &Path) -> Read {
        self.progress.expect(1);
        let name = name_of(file);
        let read = match self.ask(file).await {
            Ok((bytes, 0)) => Read { bytes: Some(bytes), failures: Vec::new() },
            Ok((bytes, pages)) => {
                Read { bytes: Some(bytes), failures: vec![format!("{name}: {pages} pages were not read")] }
            }
            Err(error) => Read { bytes: None, failures: vec![format!("{name}: {error:#}")] },
        };
        self.progress.page();
        read
    }

    /// Returns the document in the requested format, and the number of its pages that were not read.
    async fn ask(&self, file: &Path) -> anyhow::Result<(Vec<u8>, u64)> {
        let bytes = bytes_of(file, FILE_BYTES_MAX).await?;
        let mut query = self.request.query.clone();
        query.push(("format", self.request.format.info().name.to_owned()));
        // Failed pages are reported separately; the other pages are still wanted.
        query.push(("partial", "true".to_owned()));
        let answer = self.server.answer(self.post("/ocr", &query).body(bytes)).await?;
        let pages_failed =
            answer.headers().get(PAGES_FAILED).and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = answer.bytes().await.context("receiving the response")?;
        Ok((bytes.to_vec(), pages_failed.unwrap_or(0)))
    }

    /// Reads all files as one batch, and prints its events unchanged.
    async fn batch(&self, files: &[PathBuf]) -> anyhow::Result<bool> {
        let mut form = Form::new();
        for file in files {
            let bytes = bytes_of(file, FILE_BYTES_MAX).await.with_context(|| name_of(file))?;
            form = form.part("file", Part::bytes(bytes).file_name(name_of(file)));
        }
        let request = self.post("/ocr/batch", &self.request.query).multipart(form);
        let answer = self.server.answer(request).await?;
        let mut events = Lines::of(answer);
        let (mut failed, mut ended) = (false, false);
        while let Some(line) = events.next().await? {
            let event: Value = serde_json::from_slice(&line).context("parsing an event of the server")?;
            match event.get("event").and_then(Value::as_str) {
                Some("page") => self.progress.page(),
                Some("page_error" | "document_error") => failed = true,
                Some("end") => ended = true,
                _ => {}
            }
            let text = String::from_utf8_lossy(&line).into_owned() + "\n";
            self.progress.pause(|| terminal::print(&text))?;
        }
        if !ended {
            bail!("the response ended before the end of the batch");
        }
        Ok(failed)
    }

    fn post(&self, path: &str, query: &[(&str, String)]) -> reqwest::RequestBuilder {
        let request = self.server.at(Method::POST, path).query(query);
        match &self.request.password {
            Some(password) => request.header(PASSWORD, password.as_bytes()),
            None => request,
        }
    }
}
