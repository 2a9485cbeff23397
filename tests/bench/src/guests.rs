//! `bench guests`: the cost of a guest by its language, and of wrapping. The same invoice reader in every language wraps
//! the shipped `standard`, which also reads the pages alone: the reference of the same run.
//!
//! Requests go to the deployments in turn, one at a time, so that a slow moment of the machine meets all of them. On a
//! machine with other work only the ratios mean anything.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use xtask::gateway::{Gateway, Upload};
use xtask::languages;
use xtask::places::Places;
use xtask::shell::Scratch;

use crate::client::{Client, admin, settled};
use crate::quantile::quantile;
use crate::{documents, table, write};

/// The deployment that the guests wrap: the shipped one of every server.
const INNER: &str = "standard";
/// Wanted: a wrapped page takes at most this much longer than the page of the wrapped deployment.
const WRAPPING_MAX: f64 = 0.03;
/// A page of embedded text runs no model: its time is that of the calls.
const EMBEDDED: &str = "text_layer=only&pages=1&explain=true";
const PIXELS: &str = "text_layer=never&pages=1&explain=true";
const COLUMNS: &str = "guest language kib compile_ms:0 start_us:0 embedded_ms:2 overhead_ms:2 guest_mib:1 page_ms:1 page_ratio:3";

/// Arguments of `bench guests`.
#[derive(Args)]
pub struct Arguments {
    /// File whose first page is read (default: the shipped demo document)
    #[arg(long)]
    file: Option<PathBuf>,
    /// Requests of embedded text to each guest
    #[arg(long, default_value_t = 200)]
    calls: usize,
    /// Requests of pixels to each guest
    #[arg(long, default_value_t = 20)]
    pages: usize,
    /// Few requests, and only the guests that are built anyway: checks that it runs, not its figures
    #[arg(long)]
    short: bool,
}

/// A deployment that is measured.
struct Guest {
    name: String,
    language: &'static str,
    bytes: u64,
    compile_ms: f64,
    embedded: Samples,
    pixels: Samples,
}

#[derive(Default)]
struct Samples {
    total_ms: Vec<f64>,
    start_ms: Vec<f64>,
    memory_bytes: f64,
}

/// Runs the benchmark.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let upload = documents(places, arguments.file.as_slice())?.remove(0);
    let (calls, pages) = if arguments.short { (4, 2) } else { (arguments.calls, arguments.pages) };
    ensure!(calls > 0 && pages > 0, "--calls and --pages must be 1 or more");
    let scratch = Scratch::new(&places.root.join("target"), "bench-guests")?;
    let gateway = Gateway::start(places, "bench-guests", &[])?;
    let client = Client::new(&gateway, None);
    let mut guests = vec![Guest::new(INNER, "rust", None, 0.0)];
    for (name, language, component) in components(places, &scratch, arguments.short)? {
        guests.push(deployed(&client, name, language, &component)?);
    }
    settled(&gateway)?;
    for (query, count, embedded) in [(EMBEDDED, calls, true), (PIXELS, pages, false)] {
        // The first round only warms up.
        for round in 0..=count {
            for guest in &mut guests {
                let page = page(&client, &guest.name, query, &upload)?;
                let samples = if embedded { &mut guest.embedded } else { &mut guest.pixels };
                if round > 0 {
                    samples.add(&page)?;
                }
            }
        }
    }
    gateway.stop()?;
    report(places, &upload, guests, (calls, pages))
}

/// Returns name, language and path of the components to measure.
fn components(
    places: &Places,
    scratch: &Scratch,
    short: bool,
) -> Result<Vec<(String, &'static str, PathBuf)>> {
    let shipped = ["wrapper", "invoice", "redact"];
    let mut found: Vec<(String, &'static str, PathBuf)> = shipped
        .into_iter()
        .map(|name| (name.to_owned(), "rust", places.components().join(format!("{name}.wasm"))))
        .collect();
    for language in languages::ALL.into_iter().filter(|_| !short) {
        let file = languages::build(places, language, scratch.path())?;
        found.push((format!("invoice-{language}"), language, file));
    }
    Ok(found)
}

fn deployed(client: &Client, name: String, language: &'static str, file: &Path) -> Result<Guest> {
    let wasm = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let answer = admin::deploy_wrapper(client, &name, &wasm, INNER)?;
    let compiled = answer["stages"]
        .as_array()
        .and_then(|stages| stages.iter().find(|stage| stage["stage"] == "compiled"))
        .and_then(|stage| stage["took_ms"].as_f64());
    let compile_ms = compiled.context("the answer of a deploy has no time of the stage `compiled`")?;
    Ok(Guest::new(&name, language, Some(wasm.len() as u64), compile_ms))
}

fn page(client: &Client, deployment: &str, query: &str, upload: &Upload) -> Result<Value> {
    let answer = client.ask(&format!("/api/v1/deployments/{deployment}/ocr?{query}"), upload)?;
    let body: Value = serde_json::from_slice(&answer.body).context("an answer is not JSON")?;
    ensure!(answer.status == 200, "{deployment}: status {}: {body}", answer.status);
    Ok(body["pages"][0].clone())
}

fn report(places: &Places, upload: &Upload, guests: Vec<Guest>, count: (usize, usize)) -> Result<()> {
    let inner = guests.first().context("no guest was measured")?;
    let (embedded, pixels) = (inner.embedded.median(), inner.pixels.median());
    let rows: Vec<Value> = guests.iter().map(|guest| guest.row(embedded, pixels)).collect();
    table::print(COLUMNS, &rows);
    println!(
        "\nguests wrap `{INNER}`, the reference; start_us and guest_mib of a wrapper contain those of the wrapped guest\n\
         embedded_ms: a page of embedded text; overhead_ms: the part of it beyond the reference; page_ms: a page of pixels\n\
         wanted: page_ratio of a wrapper at most {:.2}. Measure on an idle machine; elsewhere only ratios count",
        1.0 + WRAPPING_MAX
    );
    let result = json!({
        "file": upload.name, "calls": count.0, "pages": count.1, "reference": INNER,
        "wrapping_max": WRAPPING_MAX, "guests": rows,
    });
    write(places, "guests", result)
}

impl Guest {
    fn new(name: &str, language: &'static str, bytes: Option<u64>, compile_ms: f64) -> Self {
        Self {
            name: name.to_owned(),
            language,
            bytes: bytes.unwrap_or(0),
            compile_ms,
            embedded: Samples::default(),
            pixels: Samples::default(),
        }
    }

    /// Returns its row; the arguments are the medians of the reference.
    fn row(&self, embedded_ms: f64, page_ms: f64) -> Value {
        let (embedded, page) = (self.embedded.median(), self.pixels.median());
        let deployed = self.bytes > 0;
        // The server has the code of a component that its configuration names.
        let compiled = deployed && self.compile_ms >= 1.0;
        json!({
            "guest": self.name, "language": self.language,
            "kib": deployed.then_some(self.bytes / 1024), "compile_ms": compiled.then_some(self.compile_ms),
            "start_us": 1000.0 * median(&self.embedded.start_ms),
            "embedded_ms": embedded, "overhead_ms": embedded - embedded_ms,
            "guest_mib": self.pixels.memory_bytes / f64::from(1 << 20),
            "page_ms": page, "page_ratio": page / page_ms,
        })
    }
}

impl Samples {
    fn add(&mut self, page: &Value) -> Result<()> {
        let time = |name: &str| page["timing_ms"][name].as_f64();
        self.total_ms.push(time("total").context("a page has no total time")?);
        self.start_ms.push(time("start").context("a page has no time of its start")?);
        let memory = page["explain"]["guest_memory_bytes"].as_f64();
        self.memory_bytes = self.memory_bytes.max(memory.context("a page does not tell the guest's memory")?);
        Ok(())
    }

    fn median(&self) -> f64 {
        median(&self.total_ms)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_row_compares_with_the_reference() {
        let mut guest = Guest::new("mine", "c", Some(4096), 12.0);
        let page = |total: f64| json!({ "timing_ms": { "total": total, "start": 0.1 }, "explain": { "guest_memory_bytes": 2097152 } });
        for total in [3.0, 1.0, 2.0] {
            guest.embedded.add(&page(total)).unwrap();
            guest.pixels.add(&page(100.0 * total)).unwrap();
        }
        let row = guest.row(1.5, 160.0);
        assert_eq!((row["kib"].as_u64(), row["overhead_ms"].as_f64()), (Some(4), Some(0.5)));
        assert_eq!((row["page_ratio"].as_f64(), row["guest_mib"].as_f64()), (Some(1.25), Some(2.0)));
        assert!(guest.embedded.add(&json!({})).is_err());
    }
}
