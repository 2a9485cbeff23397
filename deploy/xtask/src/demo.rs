//! `cargo xtask demo`: sets up, builds, starts the gateway on a free loopback port, posts a document to the batch
//! endpoint, and prints each page when its event arrives.
//!
//! It installs and builds what this needs and nothing else. The server is compiled beside the downloads and the guests,
//! which leave a core idle for most of their time.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::gateway::{Gateway, Upload};
use crate::places::Places;
use crate::{guests, setup, shell};

/// Maximum lines shown of a page.
const LINES_SHOWN: usize = 6;
/// Maximum characters shown of a line.
const LINE_CHARS_SHOWN: usize = 96;

/// The guests of the deployments that a server has without a configuration (`host/src/config/raw.rs`).
const GUESTS: [&str; 2] = ["redact", "standard"];

/// Runs the demo with the given files, or with the shipped one.
pub fn run(places: &Places, files: &[PathBuf]) -> Result<()> {
    let shipped = [places.repo("tests/data/demo.pdf")];
    let files = if files.is_empty() { &shipped[..] } else { files };
    let uploads = files.iter().map(|file| Upload::read(file)).collect::<Result<Vec<_>>>()?;

    heading("setup, guests and host, side by side");
    let begun = Instant::now();
    // A failure of the others ends it.
    let host = shell::start_host(&places.root)?;
    setup::files_of_the_server(places)?;
    guests::build_some(places, &GUESTS.map(str::to_owned))?;
    println!("setup and guests: complete after {}; the host is still being compiled", minutes(begun));
    host.wait()?;
    println!("built after {}", minutes(begun));

    heading("gateway");
    let start = Instant::now();
    let gateway = Gateway::start(places, "demo", &[])?;
    println!("ready at {} after {:.1} s", gateway.base(), start.elapsed().as_secs_f64());
    for file in files {
        println!("POST /api/v1/ocr/batch  {}", places.shown(file));
    }
    let start = Instant::now();
    let mut tally = Tally::default();
    gateway.batch(&uploads, "", |event| {
        tally.take(&event, start);
        Ok(())
    })?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "\n{} pages, {} lines in {seconds:.2} s ({:.2} pages/s)",
        tally.pages,
        tally.lines,
        tally.pages as f64 / seconds
    );
    gateway.stop()?;
    ensure!(tally.errors == 0 && tally.pages > 0, "{} pages or documents failed", tally.errors);
    let lector = places.lector();
    hint(places.shown(&lector).to_string().as_str(), files.first().map(PathBuf::as_path), places);
    Ok(())
}

fn hint(lector: &str, file: Option<&Path>, places: &Places) {
    let file = file.map(|file| places.shown(file).to_string()).unwrap_or_default();
    println!(
        "\nTo start a server: {lector} serve --listen 127.0.0.1:8080, and then: curl -F file=@{file} http://127.0.0.1:8080/api/v1/ocr/batch"
    );
}

/// Returns the time since `begun`: `9 min 5 s`.
fn minutes(begun: Instant) -> String {
    let seconds = begun.elapsed().as_secs();
    format!("{} min {} s", seconds / 60, seconds % 60)
}

fn heading(name: &str) {
    println!("\n==> {name}");
}

#[derive(Default)]
struct Tally {
    pages: usize,
    lines: usize,
    errors: usize,
}

impl Tally {
    /// Prints an event. Unknown events are ignored, because later versions may add some.
    fn take(&mut self, event: &Value, start: Instant) {
        match event["event"].as_str().unwrap_or_default() {
            "document" => println!(
                "\n{}: {}, {} pages",
                text(&event["name"]),
                text(&event["content_type"]),
                event["page_count"].as_u64().unwrap_or(0)
            ),
            "page" => {
                self.pages += 1;
                self.lines += event["lines"].as_array().map_or(0, Vec::len);
                page(event, start);
            }
            "page_error" | "document_error" => {
                self.errors += 1;
                let error = &event["error"];
                println!("\n{}: {} ({})", place(event), text(&error["message"]), text(&error["code"]));
            }
            _ => {}
        }
    }
}

fn page(event: &Value, start: Instant) {
    let none = Vec::new();
    let lines = event["lines"].as_array().unwrap_or(&none);
    let mut confidence = String::from("no text");
    if !lines.is_empty() {
        let sum: f64 = lines.iter().filter_map(|line| line["confidence"].as_f64()).sum();
        confidence = format!("mean confidence {:.3}", sum / lines.len() as f64);
    }
    let recognized =
        lines.iter().filter(|line| line["source"].as_str().is_some_and(|from| from == "ocr")).count();
    println!(
        "\n[{:6.2} s] {}: {} lines ({recognized} read from pixels), {confidence}",
        start.elapsed().as_secs_f64(),
        place(event),
        lines.len(),
    );
    println!("           {}", timing(&event["timing_ms"]));
    for line in lines.iter().take(LINES_SHOWN) {
        let shown: String = text(&line["text"]).chars().take(LINE_CHARS_SHOWN).collect();
        println!("           | {shown}");
    }
    if lines.len() > LINES_SHOWN {
        println!("           | … {} more", lines.len() - LINES_SHOWN);
    }
}

fn place(event: &Value) -> String {
    match event["page"].as_u64() {
        Some(page) => format!("page {page}"),
        None => format!("document {}", event["document"].as_u64().unwrap_or(0)),
    }
}

/// Formats timings: `812.3 ms: render 41.0, queue 3.0 | models: pp-ocrv6-small-det 190.0`; the parts overlap.
fn timing(timing: &Value) -> String {
    let list = |stages: &Value| {
        let stages = stages.as_object().into_iter().flatten();
        let named = stages.filter(|(name, _)| *name != "total");
        let parts: Vec<_> =
            named.filter_map(|(name, ms)| Some(format!("{name} {:.1}", ms.as_f64()?))).collect();
        parts.join(", ")
    };
    let Some(total) = timing["total"].as_f64() else { return "no timing".into() };
    let (stages, models) = (list(timing), list(&timing["inference"]));
    let models = if models.is_empty() { models } else { format!(" | models: {models}") };
    format!("{total:.1} ms: {stages}{models}")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    #[test]
    fn stages_and_models_are_listed() {
        let stages = json!({ "total": 812.25, "queue": 3.0, "inference": { "pp-ocrv6-small-det": 190.04 } });
        assert_eq!(timing(&stages), "812.2 ms: queue 3.0 | models: pp-ocrv6-small-det 190.0");
        assert_eq!(timing(&Value::Null), "no timing");
    }

    #[test]
    fn events_are_counted_and_unknown_ones_skipped() {
        let mut tally = Tally::default();
        for event in [
            json!({ "event": "meta" }),
            json!({ "event": "page", "page": 1, "lines": [{ "text": "a", "confidence": 0.5 }] }),
            json!({ "event": "page_error", "page": 2, "error": { "code": "x", "message": "y" } }),
            json!({ "event": "end" }),
        ] {
            tally.take(&event, Instant::now());
        }
        assert_eq!((tally.pages, tally.lines, tally.errors), (1, 1, 1));
    }
}
