//! Hot swap under load: revisions change as fast as the server accepts it, and no request is lost, mixed or late.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, process, quantile};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{self, metric, unseen, until};

/// Text of every page of the load; the result shows which revision read it, by the mask or the plain text.
const SECRET: &str = "jane.doe@example.com";
/// Pages of a document of the load.
const PAGES: usize = 3;
const CLIENTS: usize = 20;
/// Pause between two requests of a client: a steady load below saturation.
const PAUSE: Duration = Duration::from_millis(100);
/// Swaps before the first measurement of memory.
const WARM_SWAPS: usize = 20;

/// Extent of the test.
struct Extent {
    /// Duration of the load alone, before the first swap.
    steady: Duration,
    swaps: usize,
    /// Interval, in swaps, of deploys of a component that was never seen before.
    new_build_every: usize,
}

/// A revision, and its mark in results: the letter that masks the secret, or the secret itself.
#[derive(Clone)]
struct Revision {
    number: u64,
    mark: String,
}

/// In the suite it asserts counts: every request got a response from one revision, the first document after a promotion
/// is read by the promoted revision, the server counts each document as completed, and it keeps only the live component
/// in memory, and no lease on another revision. Times are only printed there; `cargo xtask bench swap` runs it long
/// (1,000 swaps) and asserts the target of the first document.
#[tokio::test]
async fn a_thousand_swaps_lose_nothing() {
    let strict = std::env::var_os("LECTOR_BENCH").is_some_and(|name| name == "swap");
    let extent = if strict {
        Extent { steady: Duration::from_secs(20), swaps: 1000, new_build_every: 50 }
    } else {
        Extent { steady: Duration::from_secs(3), swaps: 60, new_build_every: 30 }
    };
    let folder = tempfile::tempdir().unwrap();
    let code = folder.path().join("code");
    let gateway = Gateway::builder()
        .set("log.filter", "error")
        // A separate code cache: the builds of this test would otherwise stay in the shared one.
        .set("guests.code_cache_dir", code.display())
        .start()
        .await;
    let (documents, components) = (outcomes(&gateway).await, metric(&gateway, "lector_components").await);
    let mut revisions =
        vec![deploy(&gateway, "standard", None).await, deploy(&gateway, "redact", Some('*')).await];
    promote(&gateway, revisions[0].number).await;
    let steady = AtomicBool::new(false);
    let (alone, ()) = tokio::join!(load(&gateway, &steady), async {
        tokio::time::sleep(extent.steady).await;
        steady.store(true, Ordering::Relaxed);
    });
    let alone_count = alone.len();
    eprintln!(
        "steady load of {CLIENTS} clients alone: {alone_count} requests, p50 {:.1} ms, p99 {:.1} ms",
        quantile_ms(&alone, 0.5),
        quantile_ms(&alone, 0.99),
    );
    let over = AtomicBool::new(false);
    let began = Instant::now();
    let swaps = async {
        let measured = swap(&gateway, &extent, &mut revisions).await;
        over.store(true, Ordering::Relaxed);
        measured
    };
    let (measured, latencies) = tokio::join!(swaps, load(&gateway, &over));
    let (requests, took_s) = (latencies.len(), began.elapsed().as_secs_f64());
    eprintln!(
        "{} swaps in {took_s:.1} s ({} builds), requests beside them {requests}: none failed, none mixed; their p50 {:.1} ms, p99 {:.1} ms",
        extent.swaps,
        revisions.len(),
        quantile_ms(&latencies, 0.5),
        quantile_ms(&latencies, 0.99),
    );
    let Measured { promotes, firsts, memory } = measured;
    let first_p99 = quantile_ms(&firsts, 0.99);
    eprintln!(
        "promote p50 {:.1} ms, p99 {:.1} ms; first document on the new revision after the answer p50 {:.1} ms, p99 {first_p99:.1} ms",
        quantile_ms(&promotes, 0.5),
        quantile_ms(&promotes, 0.99),
        quantile_ms(&firsts, 0.5),
    );
    let (from, to) = memory;
    let grown = (to as i64 - from as i64) / (1 << 20);
    eprintln!("resident memory after {WARM_SWAPS} swaps {} MiB, at the end {} MiB", from >> 20, to >> 20);
    assert!(requests >= extent.swaps / 4, "the load was none: {requests} requests");
    let all = (alone_count + requests + firsts.len()) as f64;
    let [completed, others] = outcomes(&gateway).await;
    assert_eq!([completed - documents[0], others - documents[1]], [all, 0.0], "documents completed, and not");
    assert_eq!(firsts.len(), extent.swaps);
    assert_eq!(revisions.len(), 2 + extent.swaps / extent.new_build_every);
    let loaded = async || metric(&gateway, "lector_components").await - components;
    until("only the live component stays in memory", async || loaded().await == 1.0).await;
    let last = expected(extent.swaps, &revisions).number;
    until("no lease on a revision that is not live", async || {
        let shown = server::ask(&gateway, "", Method::GET, "/api/v1/deployments/swapped", None).await.ok();
        let of = |revision: &Value| (revision["number"] == last, revision["leases"].as_u64().unwrap_or(0));
        let revisions = shown["revisions"].as_array().unwrap().iter().map(of);
        let weights = shown["weights"].as_array().unwrap();
        assert_eq!((weights.len(), &weights[0]["revision"]), (1, &json!(last)), "{shown}");
        revisions.filter(|(live, leases)| !live && *leases > 0).count() == 0
    })
    .await;
    assert!(grown < 200, "memory grew by {grown} MiB");
    assert!(!strict || first_p99 <= 50.0, "first page after {first_p99:.1} ms");
}

struct Measured {
    promotes: Vec<Duration>,
    firsts: Vec<Duration>,
    /// Resident bytes after the warm-up, and at the end.
    memory: (u64, u64),
}

async fn swap(gateway: &Gateway, extent: &Extent, revisions: &mut Vec<Revision>) -> Measured {
    let (mut promotes, mut firsts) = (Vec::new(), Vec::new());
    let mut warm = process::resident(gateway.pid());
    // Block characters: a mask is not a letter, digit or space.
    let letters: Vec<char> = ('\u{2580}'..='\u{259f}').collect();
    for number in 1..=extent.swaps {
        if number % extent.new_build_every == 0 {
            let letter = letters[revisions.len() % letters.len()];
            revisions.push(deploy(gateway, "redact", Some(letter)).await);
        }
        let next = expected(number, revisions).clone();
        let began = Instant::now();
        promote(gateway, next.number).await;
        let promoted = Instant::now();
        promotes.push(promoted - began);
        let mark = read(gateway).await;
        firsts.push(promoted.elapsed());
        assert_eq!(
            mark, next.mark,
            "swap {number}: a request after the promote was read by another revision"
        );
        if number == WARM_SWAPS {
            warm = process::resident(gateway.pid());
        }
    }
    Measured { promotes, firsts, memory: (warm, process::resident(gateway.pid())) }
}

/// Returns the revision of a swap: standard, redact, the newest build, and so on.
fn expected(swap: usize, revisions: &[Revision]) -> &Revision {
    match swap % 3 {
        0 => revisions.last().unwrap(),
        n => &revisions[n - 1],
    }
}

/// Returns the numbers of documents that were completed, and that were not.
async fn outcomes(gateway: &Gateway) -> [f64; 2] {
    let of = async |outcome: &str| {
        metric(gateway, &format!("lector_documents_total{{outcome=\"{outcome}\"}}")).await
    };
    let others = of("failed").await + of("abandoned").await + of("rejected").await;
    [of("completed").await, others]
}

/// Runs the steady load; returns the times of its requests.
async fn load(gateway: &Gateway, over: &AtomicBool) -> Vec<Duration> {
    let clients = futures::future::join_all((0..CLIENTS).map(|_| client(gateway, over)));
    clients.await.into_iter().flatten().collect()
}

/// Runs a client of the steady load: every document gets a response, from one revision.
async fn client(gateway: &Gateway, over: &AtomicBool) -> Vec<Duration> {
    let mut took = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        read(gateway).await;
        took.push(began.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    took
}

/// Reads a document and returns the mark of the one revision that read it.
async fn read(gateway: &Gateway) -> String {
    let lines = (1..=PAGES).map(|page| PageSpec::a4(&[&format!("Page {page} {SECRET}")])).collect::<Vec<_>>();
    let path = "/api/v1/deployments/swapped/ocr?text_layer=only";
    let answer = gateway.post(path, "application/pdf", pdf::document(&lines)).await.ok();
    let texts: Vec<String> = answer["pages"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, page)| {
            let text = page["text"].as_str().unwrap_or_default().trim();
            text.strip_prefix(&format!("Page {} ", index + 1)).unwrap_or(text).to_owned()
        })
        .collect();
    assert_eq!(texts.len(), PAGES, "{answer}");
    assert!(texts.iter().all(|text| *text == texts[0]), "a document was read by two revisions: {texts:?}");
    texts[0].clone()
}

/// Deploys a new build of the component as a revision.
async fn deploy(gateway: &Gateway, component: &str, mask: Option<char>) -> Revision {
    let wasm = unseen(component, &format!("build-{}", mask.map_or(0, u32::from)));
    let (options, mark) = match mask {
        None => (json!({ "settings": {} }), SECRET.to_owned()),
        Some(mask) => {
            let masked = SECRET.chars().map(|c| if c.is_alphanumeric() { mask } else { c });
            let options = json!({ "settings": { "mask": mask.to_string() }, "wraps": "standard" });
            (options, masked.collect())
        }
    };
    let answer = server::deploy(gateway, "", "swapped", wasm, options).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    Revision { number: answer.json()["revision"].as_u64().unwrap(), mark }
}

async fn promote(gateway: &Gateway, revision: u64) -> Value {
    let body = json!({ "revision": revision });
    server::ask(gateway, "", Method::POST, "/api/v1/deployments/swapped/promote", Some(body)).await.ok()
}

/// Returns a quantile in milliseconds.
fn quantile_ms(times: &[Duration], share: f64) -> f64 {
    let mut ms: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    ms.sort_by(f64::total_cmp);
    quantile(&ms, share)
}
