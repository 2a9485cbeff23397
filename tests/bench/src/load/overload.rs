//! More requests than the server can handle. It reads the admitted requests in bounded time and rejects the others at
//! once; its memory does not grow; after the load its latency is as before.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use xtask::gateway::{Gateway, Upload};

use super::Setting;
use crate::client::Client;
use crate::procs;
use crate::quantile::quantile;
use crate::report::Report;
use crate::traffic::{Samples, Stream, closed, open};

/// Clients of the closed loop that measures the capacity.
const CAPACITY_CLIENTS: usize = 16;
/// Loads, relative to the capacity. The short form takes the last one.
const LOADS: [f64; 2] = [1.2, 3.0];
/// Configured longest predicted wait, and that of the short form: the documents that wait are read after the load.
const WAIT_MAX_S: u32 = 10;
const WAIT_MAX_SHORT_S: u32 = 2;
const MEMORY_EVERY: Duration = Duration::from_millis(500);
/// Interval of the probes that measure the time of a rejection, and the longest wait for one: a probe that is admitted
/// disconnects.
const PROBE_EVERY: Duration = Duration::from_millis(50);
const PROBE_WAITS: Duration = Duration::from_millis(250);

pub fn run(setting: &Setting<'_>) -> Result<Report> {
    let (loads, wait_max_s) =
        if setting.short { (&LOADS[1..], WAIT_MAX_SHORT_S) } else { (&LOADS[..], WAIT_MAX_S) };
    let gateway = setting.gateway("overload", &[("LECTOR__PLATFORM__WAIT_MAX_S", wait_max_s.to_string())])?;
    let path = setting.path();
    let capacity = closed(&gateway, &path, &setting.upload, CAPACITY_CLIENTS, setting.seconds.min(30.0));
    ensure!(!capacity.latencies_s.is_empty(), "the document was not read");
    let alone = closed(&gateway, &path, &setting.upload, 1, setting.seconds.min(5.0));
    let mut report = Report::default();
    report.row(capacity.row("capacity"));
    report.row(alone.row("alone"));
    for &load in loads {
        let per_s = load * capacity.per_s();
        let (memory, stop) = watch(gateway.pid());
        let began = Instant::now();
        let mut samples = Samples::default();
        let (mut accepted_after, mut refusals_s) = (Duration::ZERO, Vec::new());
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let probing = scope.spawn(|| probe(&gateway, &path, &setting.upload, &over));
            // A client that sends requests from the end of the load on, while admitted documents are still being read.
            let newcomer = scope.spawn(|| {
                thread::sleep(Duration::from_secs_f64(setting.seconds).saturating_sub(began.elapsed()));
                accepted(&gateway, setting)
            });
            let streams = [Stream { key: None, per_s }];
            samples =
                open(&gateway, &path, &setting.upload, &streams, setting.seconds).pop().unwrap_or_default();
            accepted_after = newcomer.join().unwrap_or(Duration::MAX);
            over.store(true, Relaxed);
            refusals_s = probing.join().unwrap_or_default();
        });
        refusals_s.sort_by(f64::total_cmp);
        drop(stop);
        let memory = memory.join().unwrap_or_default();
        let mut row = samples.row(&format!("{load} times the capacity"));
        row["offered_per_s"] = json!(per_s);
        row["probed_refusals"] = json!(refusals_s.len());
        row["probed_refusal_p50_ms"] = json!(1e3 * quantile(&refusals_s, 0.5));
        row["probed_refusal_p99_ms"] = json!(1e3 * quantile(&refusals_s, 0.99));
        row["accepted_again_after_s"] = json!(accepted_after.as_secs_f64());
        row["memory_growth"] = json!(growth(&memory));
        row["memory_peak_mib"] = json!(memory.iter().max().copied().unwrap_or(0) / 1024);
        report.row(row);
        let named = |what: &str| format!("{load}x: {what}");
        report.at_least(&named("goodput, of the capacity"), 0.95, samples.per_s() / capacity.per_s());
        report.at_most(
            &named("p99 of those read, s"),
            f64::from(wait_max_s) + 5.0 * alone.quantile_s(0.99),
            samples.quantile_s(0.99),
        );
        if !samples.refusals_s.is_empty() {
            // NaN, and missed, if the probe met no rejection.
            report.at_most(&named("refusals' median, ms"), 2.0, 1e3 * quantile(&refusals_s, 0.5));
            report.none(&named("refusals without Retry-After"), samples.bare_refusals);
        }
        report.none(&named("failed or unanswered"), samples.failed + samples.unanswered);
        report.at_most(&named("memory, end to middle"), 1.05, growth(&memory));
        report.at_most(&named("a newcomer is accepted after, s"), 1.0, accepted_after.as_secs_f64());
        let after = closed(&gateway, &path, &setting.upload, 1, setting.seconds.min(3.0));
        report.at_most(
            &named("alone again, to alone before"),
            1.3,
            after.quantile_s(0.5) / alone.quantile_s(0.5),
        );
    }
    gateway.stop()?;
    Ok(report)
}

/// Measures the time until a new request is accepted: the batch endpoint responds as soon as it is.
fn accepted(gateway: &Gateway, setting: &Setting<'_>) -> Duration {
    let began = Instant::now();
    let client = Client::new(gateway, None);
    let path = setting.path().replace("/ocr?", "/ocr/batch?");
    let Upload { bytes, .. } = &setting.upload;
    while began.elapsed() < Duration::from_secs(60) {
        let answer = client.send("POST", &path, setting.upload.content_type(), &bytes[..]);
        if answer.is_ok_and(|answer| answer.status() == 200) {
            return began.elapsed();
        }
        thread::sleep(Duration::from_millis(20));
    }
    Duration::MAX
}

/// Measures the seconds that a rejection takes for an idle client: a new connection, the request with its body, the
/// first bytes of the response. The 256 client threads of the load share one process and delay each other.
fn probe(gateway: &Gateway, path: &str, upload: &Upload, over: &AtomicBool) -> Vec<f64> {
    let host = gateway.base().trim_start_matches("http://");
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        upload.content_type(),
        upload.bytes.len()
    )
    .into_bytes();
    request.extend_from_slice(&upload.bytes);
    let ask = || -> io::Result<Option<f64>> {
        let began = Instant::now();
        let mut stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PROBE_WAITS))?;
        stream.write_all(&request)?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        let took = began.elapsed().as_secs_f64();
        Ok(matches!(&head[9..], b"429" | b"503").then_some(took))
    };
    let mut found = Vec::new();
    while !over.load(Relaxed) {
        // Without a response in time the probe was admitted, or lost; the clients of the load count those.
        found.extend(ask().ok().flatten());
        thread::sleep(PROBE_EVERY);
    }
    found
}

/// Samples the memory of the process tree in KiB, until the other end is dropped.
fn watch(root: u32) -> (thread::JoinHandle<Vec<u64>>, std::sync::mpsc::SyncSender<()>) {
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
    let watching = thread::spawn(move || {
        let mut seen = Vec::new();
        while stopped.recv_timeout(MEMORY_EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            seen.push(procs::memory_now(root).pss_kib);
        }
        seen
    });
    (watching, stop)
}

/// Returns the peak of the last third relative to that of the middle third.
pub fn growth(kib: &[u64]) -> f64 {
    let third = kib.len() / 3;
    let peak = |from: usize, to: usize| kib.get(from..to).into_iter().flatten().max().copied();
    match (peak(third, 2 * third), peak(2 * third, kib.len())) {
        (Some(middle), Some(end)) if middle > 0 => end as f64 / middle as f64,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_looks_at_the_end_and_not_at_the_warming_up() {
        assert_eq!(growth(&[1, 50, 100, 100, 90, 110]), 1.1);
        assert_eq!(growth(&[]), 1.0);
    }
}
