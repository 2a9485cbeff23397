//! A long run with mixed documents, clients that disconnect, slow readers, and revisions that are swapped meanwhile.
//! Every admitted request gets one response, equal to that of a quiet run; memory and file descriptors stay flat.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xtask::gateway::{Gateway, Upload};

use super::Setting;
use super::overload::growth;
use crate::client::answers::text;
use crate::client::{Client, admin};
use crate::procs;
use crate::report::Report;
use crate::traffic::Random;

const CLIENTS: usize = 8;
const DEPLOYMENT: &str = "soak";
/// Budget of the first revision; each later one has another.
const WALL_MS: u64 = 100_000;
const SWAP_EVERY: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const REFUSED_PAUSE: Duration = Duration::from_millis(200);
/// Bytes that a slow reader takes at a time.
const SLOW_BYTES: usize = 512;
const SLOW_EVERY: Duration = Duration::from_millis(10);

/// A document, and its result in a quiet run.
struct Document {
    upload: Upload,
    query: &'static str,
    /// Status, and text of each page.
    expected: (u16, Vec<String>),
}

#[derive(Default, Debug)]
struct Tally {
    answered: usize,
    refused: usize,
    left: usize,
    slow: usize,
    swaps: usize,
    /// Distinct errors.
    wrong: Vec<String>,
    unanswered: usize,
}

pub fn run(setting: &Setting<'_>) -> Result<Report> {
    let gateway = setting.gateway("soak", &[])?;
    admin::upload(setting.places, &Client::new(&gateway, None), DEPLOYMENT, "standard")?;
    promote(&gateway, WALL_MS)?;
    let quiet = documents(setting)?.into_iter().map(|(upload, query)| {
        let expected = whole(&Client::new(&gateway, None), &upload, query)?;
        Ok(Document { upload, query, expected })
    });
    let documents: Vec<Document> = quiet.collect::<Result<_>>()?;
    let read = documents.iter().filter(|document| document.expected.0 == 200).count();
    ensure!(read >= 3, "a quiet run read {read} documents only");

    let end = Instant::now() + Duration::from_secs_f64(setting.soak_seconds);
    let tally = Mutex::new(Tally::default());
    let mut looks: Vec<(u64, usize)> = Vec::new();
    thread::scope(|scope| {
        for seed in 0..CLIENTS {
            let (gateway, documents, tally) = (&gateway, &documents, &tally);
            scope.spawn(move || client(gateway, documents, tally, Random::new(seed as u64 + 1), end));
        }
        scope.spawn(|| swapper(&gateway, setting, &tally, end));
        while Instant::now() < end {
            looks.push((procs::memory_now(gateway.pid()).pss_kib, procs::open_fds(gateway.pid())));
            thread::sleep(LOOK_EVERY);
        }
    });
    let idle_fds = procs::open_fds(gateway.pid());
    gateway.stop()?;

    let tally = tally.into_inner().unwrap_or_default();
    let memory: Vec<u64> = looks.iter().map(|look| look.0).collect();
    let fds: Vec<u64> = looks.iter().map(|look| look.1 as u64).collect();
    let mut report = Report::default();
    report.row(json!({
        "minutes": setting.soak_seconds / 60.0, "answered": tally.answered, "refused": tally.refused,
        "left_early": tally.left, "read_slowly": tally.slow, "swaps": tally.swaps,
        "memory_first_mib": memory.first().map_or(0, |kib| kib / 1024), "memory_peak_mib": memory.iter().max().map_or(0, |kib| kib / 1024),
        "memory_last_mib": memory.last().map_or(0, |kib| kib / 1024),
        "fds_peak": fds.iter().max(), "fds_after": idle_fds,
    }));
    for wrong in tally.wrong.iter().take(10) {
        println!("  wrong: {wrong}");
    }
    report.none(
        "responses that differ from the quiet run's, are repeated, or are incomplete",
        tally.wrong.len(),
    );
    report.none("requests without a response", tally.unanswered);
    report.at_most("memory, end to middle", 1.05, growth(&memory));
    report.at_most("file descriptors, end to middle", 1.1, growth(&fds));
    report.at_least("swaps", 1.0, tally.swaps as f64);
    Ok(report)
}

/// Returns documents of all kinds, some of them invalid.
fn documents(setting: &Setting<'_>) -> Result<Vec<(Upload, &'static str)>> {
    let data = |name: &str| Upload::read(&setting.places.repo("tests/data").join(name));
    let mut torn = data("demo.pdf")?;
    torn.bytes.truncate(torn.bytes.len() / 3);
    let none = Upload { name: "none.pdf".into(), bytes: b"%PDF-1.7 and nothing else".to_vec() };
    Ok(vec![
        (data("demo.pdf")?, "?text_layer=never"),
        (data("demo.pdf")?, "?text_layer=never&pages=1"),
        (data("demo.pdf")?, "?text_layer=only"),
        (data("demo.pdf")?, "?text_layer=never&dpi=110&words=true&pages=1"),
        (data("line.png")?, ""),
        (data("sides.png")?, ""),
        (torn, ""),
        (none, ""),
    ])
}

fn client(gateway: &Gateway, documents: &[Document], tally: &Mutex<Tally>, mut random: Random, end: Instant) {
    let client = Client::new(gateway, None);
    let note = |change: &dyn Fn(&mut Tally)| {
        if let Ok(mut tally) = tally.lock() {
            change(&mut tally);
        }
    };
    while Instant::now() < end {
        let Some(document) = documents.get(random.below(documents.len())) else { return };
        match random.below(10) {
            0 => {
                leaves_while_sending(&client, document);
                note(&|tally| tally.left += 1);
            }
            1 => {
                leaves_while_reading(&client, document);
                note(&|tally| tally.left += 1);
            }
            kind => {
                let slow = kind == 2;
                let outcome = match kind {
                    2..=4 => events(&client, document, slow),
                    _ => whole(&client, &document.upload, document.query),
                };
                match outcome {
                    Ok(got) if got == document.expected => note(&|tally| {
                        tally.answered += 1;
                        tally.slow += usize::from(slow);
                    }),
                    Ok((429 | 503, _)) => {
                        note(&|tally| tally.refused += 1);
                        thread::sleep(REFUSED_PAUSE);
                    }
                    Ok(got) => note(&|tally| tally.wrong.push(difference(document, &got))),
                    Err(error) if error.is::<ureq::Error>() => note(&|tally| {
                        println!("  no response: {error:#}");
                        tally.unanswered += 1;
                    }),
                    Err(error) => note(&|tally| tally.wrong.push(format!("{error:#}"))),
                }
            }
        }
    }
}

fn difference(document: &Document, got: &(u16, Vec<String>)) -> String {
    let (name, query) = (&document.upload.name, document.query);
    if got.0 != document.expected.0 {
        return format!(
            "{name}{query}: status {}, quietly {}: {:?}",
            got.0,
            document.expected.0,
            got.1.first()
        );
    }
    let page = got.1.iter().zip(&document.expected.1).position(|(got, quiet)| got != quiet);
    format!(
        "{name}{query}: {} pages for {}, the first other one is {page:?}",
        got.1.len(),
        document.expected.1.len()
    )
}

fn path(endpoint: &str, query: &str) -> String {
    format!("/api/v1/deployments/{DEPLOYMENT}/{endpoint}{query}")
}

/// Returns status and pages of a whole response; of a problem, its code.
fn whole(client: &Client, upload: &Upload, query: &str) -> Result<(u16, Vec<String>)> {
    let answer = client.ask(&path("ocr", query), upload)?;
    let json: Value = serde_json::from_slice(&answer.body).context("a response is not JSON")?;
    let pages = match json["pages"].as_array() {
        Some(pages) => pages.iter().map(text).collect(),
        None => vec![json["code"].to_string()],
    };
    Ok((answer.status, pages))
}

/// Returns the same from a stream of events, each of which may come once.
fn events(client: &Client, document: &Document, slow: bool) -> Result<(u16, Vec<String>)> {
    let Document { upload, query, .. } = document;
    let mut answer =
        client.send("POST", &path("ocr/batch", query), upload.content_type(), &upload.bytes[..])?;
    let status = answer.status().as_u16();
    if status != 200 {
        let problem: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
        return Ok((status, vec![problem["code"].to_string()]));
    }
    let reader = Slow { inner: answer.into_body().into_reader(), slow };
    let (mut pages, mut ends) = (Vec::new(), 0);
    let mut failed = None;
    for line in BufReader::new(reader).lines() {
        let line = line.map_err(ureq::Error::from)?;
        let event: Value = serde_json::from_str(&line).context("an event is not JSON")?;
        match event["event"].as_str() {
            Some("page" | "page_error") => pages.push((event["page"].as_u64(), text(&event))),
            // The code of an event corresponds to the status of a whole response.
            Some("document_error") => failed = Some(event["error"]["code"].to_string()),
            Some("end") => ends += 1,
            _ => {}
        }
    }
    ensure!(ends == 1, "{}{query}: a stream with {ends} ends", upload.name);
    if let Some(code) = failed {
        // The batch was admitted before the document itself was rejected.
        let busy = code.contains("server_overloaded");
        return Ok(if busy { (503, vec![code]) } else { (document.expected.0, vec![code]) });
    }
    pages.sort();
    let count = pages.len();
    pages.dedup_by_key(|page| page.0);
    ensure!(pages.len() == count, "{}{query}: a page came twice", upload.name);
    Ok((status, pages.into_iter().map(|page| page.1).collect()))
}

fn leaves_while_reading(client: &Client, document: &Document) {
    let Document { upload, query, .. } = document;
    let sent = client.send("POST", &path("ocr/batch", query), upload.content_type(), &upload.bytes[..]);
    // Reads a little or nothing, then disconnects.
    if let Ok(answer) = sent {
        let mut some = [0u8; 100];
        let _ = answer.into_body().into_reader().read(&mut some);
    }
}

fn leaves_while_sending(client: &Client, document: &Document) {
    let half = document.upload.bytes.len() / 2;
    let breaks = Breaks { left: document.upload.bytes.get(..half).unwrap_or_default().to_vec(), at: 0 };
    let body = ureq::SendBody::from_owned_reader(breaks);
    let _ = client.send("POST", &path("ocr", document.query), document.upload.content_type(), body);
}

/// A body that breaks off half way.
struct Breaks {
    left: Vec<u8>,
    at: usize,
}

impl Read for Breaks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.left.get(self.at..).unwrap_or_default().read(buffer)?;
        self.at += n;
        if n == 0 { Err(io::Error::other("the client leaves")) } else { Ok(n) }
    }
}

struct Slow<R> {
    inner: R,
    slow: bool,
}

impl<R: Read> Read for Slow<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.slow {
            return self.inner.read(buffer);
        }
        thread::sleep(SLOW_EVERY);
        let most = buffer.len().min(SLOW_BYTES);
        self.inner.read(buffer.get_mut(..most).unwrap_or_default())
    }
}

/// Deploys a new revision at an interval: the same guest and settings with another budget, promoted at once.
fn swapper(gateway: &Gateway, setting: &Setting<'_>, tally: &Mutex<Tally>, end: Instant) {
    let every = if setting.short { Duration::from_secs(1) } else { SWAP_EVERY };
    let mut wall_ms = WALL_MS;
    while Instant::now() + every < end {
        thread::sleep(every);
        wall_ms += 1;
        let outcome = promote(gateway, wall_ms);
        if let Ok(mut tally) = tally.lock() {
            match outcome {
                Ok(()) => tally.swaps += 1,
                Err(error) => tally.wrong.push(format!("a swap failed: {error:#}")),
            }
        }
    }
}

/// Creates a revision of the standard guest with the tiny models and this budget.
fn promote(gateway: &Gateway, wall_ms: u64) -> Result<()> {
    let budget = json!({ "wall_ms": wall_ms });
    admin::promote(&Client::new(gateway, None), DEPLOYMENT, &json!({ "tier": "tiny" }), &budget)
}
