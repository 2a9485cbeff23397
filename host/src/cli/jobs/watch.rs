//! Follows the events of a job with a progress bar. A lost connection, or a server that restarts, is resumed after the
//! last event.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::Value;

use super::super::lines::Lines;
use super::super::ocr::progress::Progress;
use super::super::server_client::Server;

/// Attempts to resume without a new event in between, and the wait before each.
const RESUMES_MAX: u32 = 30;
const RESUME_AFTER: Duration = Duration::from_secs(1);

/// Follows a job to its end; returns the job.
pub(super) async fn to_the_end(server: &Server<'_>, job: &str) -> anyhow::Result<Value> {
    // The first request reports an unknown job at once.
    let found = server.json(server.at(Method::GET, &format!("/jobs/{job}"))).await?;
    let documents = found.as_ref().and_then(|job| job.get("documents")?.as_array()).map_or(1, Vec::len);
    let progress = Progress::new(documents);
    let (mut after, mut resumes) = (0, 0);
    loop {
        let before = after;
        match follow(server, job, &mut after, &progress).await {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) if resumes >= RESUMES_MAX => return Err(error),
            Err(_) => {}
        }
        resumes = if after > before { 0 } else { resumes + 1 };
        if resumes > RESUMES_MAX {
            bail!(
                "the server ends the stream of events again and again: look at the job with `lector jobs list`"
            );
        }
        tokio::time::sleep(RESUME_AFTER).await;
    }
    drop(progress);
    let job = server.json(server.at(Method::GET, &format!("/jobs/{job}"))).await?;
    job.context("the server sent no job")
}

/// Follows one stream of events. Returns whether it reached the end of the job.
async fn follow(
    server: &Server<'_>,
    job: &str,
    after: &mut u64,
    progress: &Progress,
) -> anyhow::Result<bool> {
    let request = server.at(Method::GET, &format!("/jobs/{job}/events")).query(&[("after", *after)]);
    let mut lines = Lines::of(server.answer(request).await?);
    while let Some(line) = lines.next().await? {
        let event: Value = serde_json::from_slice(&line).context("parsing an event of the server")?;
        *after = event.get("seq").and_then(Value::as_u64).unwrap_or(*after);
        match event.get("event").and_then(Value::as_str) {
            Some("document") => {
                let pages = event.get("pages_selected").and_then(Value::as_u64).unwrap_or(0);
                progress.expect(usize::try_from(pages).unwrap_or(usize::MAX));
            }
            Some("page" | "page_error") => progress.page(),
            Some("end") => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}
