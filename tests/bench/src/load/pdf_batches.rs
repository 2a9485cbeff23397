//! Whole PDFs: a single one, a batch of ten, PDFs per minute, twenty users at once. All pages of the demo document,
//! read from pixels, with the deployment `standard`.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;
use xtask::gateway::Upload;

use super::Setting;
use crate::client::answers;
use crate::report::Report;
use crate::traffic::closed;

const BATCH: usize = 10;
const USERS: usize = 20;
/// The same in the short form, which reads the first page of each PDF.
const BATCH_SHORT: usize = 2;
const USERS_SHORT: usize = 4;
const USERS_WAIT_MAX_S: u32 = 120;
/// Enough to keep every core of a small machine busy.
const CLIENTS: usize = 4;

pub fn run(setting: &Setting<'_>) -> Result<Report> {
    // Twenty documents of four pages take more than a minute on two cores. The target is that all are read, not that
    // they are read within a minute.
    let gateway =
        setting.gateway("pdf-batches", &[("LECTOR__PLATFORM__WAIT_MAX_S", USERS_WAIT_MAX_S.to_string())])?;
    let (query, batch, users) = if setting.short {
        ("?text_layer=never&pages=1", BATCH_SHORT, USERS_SHORT)
    } else {
        ("?text_layer=never", BATCH, USERS)
    };
    let path = &format!("/api/v1/ocr{query}");
    let mut report = Report::default();
    let single = closed(&gateway, path, &setting.upload, 1, setting.seconds.min(20.0));
    ensure!(!single.latencies_s.is_empty(), "the document was not read");
    report.row(single.row("a single PDF"));

    let Upload { name, bytes } = &setting.upload;
    let files: Vec<Upload> =
        (0..batch).map(|n| Upload { name: format!("{n}-{name}"), bytes: bytes.clone() }).collect();
    let began = Instant::now();
    let pages = answers::pages(&gateway, &files, query)?.len();
    let batch_s = began.elapsed().as_secs_f64();
    report.row(json!({ "load": format!("a batch of {batch} PDFs"), "pages": pages, "seconds": batch_s, "pages_per_s": pages as f64 / batch_s }));

    let busy = closed(&gateway, path, &setting.upload, CLIENTS, setting.seconds);
    report.row(json!({ "load": "4 clients", "pdfs_per_minute": 60.0 * busy.per_s(), "pages_per_pdf": pages / batch }));
    let load = format!("{users} users");
    let samples = closed(&gateway, path, &setting.upload, users, setting.seconds);
    report.row(samples.row(&load));
    report.row(json!({ "load": load, "pdfs_per_minute": 60.0 * samples.per_s() }));
    report.none(
        &format!("failed, refused or unanswered with {load}"),
        samples.failed + samples.unanswered + samples.refusals_s.len(),
    );
    gateway.stop()?;
    Ok(report)
}
