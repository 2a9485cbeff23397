//! The load generator. In closed loops each client waits for its response; in open loops requests arrive at a rate,
//! whether or not the server keeps up. Latency is measured from the scheduled time of a request, so that it includes
//! stalls of the server.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::gateway::{Gateway, Upload};

use crate::client::answers::add_stages;
use crate::client::{Answer, Client};
use crate::quantile::quantile;

/// Pause of a client after a rejection.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// Maximum concurrent requests of an open loop; more than any bound of the server.
const OPEN_MAX: usize = 256;

/// Samples of a load.
#[derive(Default)]
pub struct Samples {
    /// Latencies of successful requests, sorted.
    pub latencies_s: Vec<f64>,
    /// Latencies of rejections (429, 503), sorted.
    pub refusals_s: Vec<f64>,
    /// Rejections without `Retry-After`.
    pub bare_refusals: usize,
    /// Rejections by the tenant's own limit.
    pub own_limit: usize,
    /// Other responses.
    pub failed: usize,
    /// Requests without a complete response.
    pub unanswered: usize,
    /// Number of requests.
    pub sent: usize,
    pub seconds: f64,
    /// Time of the pages by stage, summed, in milliseconds.
    stages_ms: BTreeMap<String, f64>,
}

impl Samples {
    fn add(&mut self, due: Instant, outcome: &Result<Answer, ureq::Error>) {
        self.sent += 1;
        match outcome {
            Ok(answer) if answer.status == 200 => {
                self.latencies_s.push(due.elapsed().as_secs_f64());
                let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                for page in json["pages"].as_array().into_iter().flatten() {
                    add_stages(page, &mut self.stages_ms);
                }
            }
            Ok(answer) if matches!(answer.status, 429 | 503) => {
                self.refusals_s.push(answer.head_s);
                self.bare_refusals += usize::from(answer.retry_after_s.is_none());
                self.own_limit += usize::from(answer.status == 429);
            }
            Ok(_) => self.failed += 1,
            Err(_) => self.unanswered += 1,
        }
    }

    /// Returns the mean time of successful requests by stage, in milliseconds.
    pub fn stages(&self) -> Value {
        let count = self.latencies_s.len().max(1) as f64;
        let stages = self.stages_ms.iter().filter(|(stage, _)| *stage != "spans");
        stages.map(|(stage, ms)| (stage.as_str(), ms / count)).collect()
    }

    fn finished(mut self, began: Instant) -> Self {
        self.seconds = began.elapsed().as_secs_f64();
        self.latencies_s.sort_by(f64::total_cmp);
        self.refusals_s.sort_by(f64::total_cmp);
        self
    }

    /// Returns the successful requests per second.
    pub fn per_s(&self) -> f64 {
        self.latencies_s.len() as f64 / self.seconds
    }

    /// Returns a quantile of the latencies of successful requests.
    pub fn quantile_s(&self, share: f64) -> f64 {
        quantile(&self.latencies_s, share)
    }

    /// Returns a row of a report.
    pub fn row(&self, name: &str) -> Value {
        json!({
            "load": name, "read": self.latencies_s.len(), "read_per_s": self.per_s(),
            "p50_s": self.quantile_s(0.5), "p95_s": self.quantile_s(0.95), "p99_s": self.quantile_s(0.99),
            "refused": self.refusals_s.len(), "of_them_429": self.own_limit,
            "refusal_p50_ms": 1e3 * quantile(&self.refusals_s, 0.5), "refusal_p99_ms": 1e3 * quantile(&self.refusals_s, 0.99),
            "failed": self.failed, "unanswered": self.unanswered,
        })
    }
}

/// Runs a closed loop: each client sends its next request after its response.
pub fn closed(gateway: &Gateway, path: &str, upload: &Upload, clients: usize, seconds: f64) -> Samples {
    closed_as(gateway, None, path, upload, clients, seconds)
}

/// Runs a closed loop with a key.
pub fn closed_as(
    gateway: &Gateway,
    key: Option<&str>,
    path: &str,
    upload: &Upload,
    clients: usize,
    seconds: f64,
) -> Samples {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    closed_until(gateway, key, path, upload, clients, || Instant::now() < end)
}

/// Runs a closed loop until a condition.
pub fn closed_until(
    gateway: &Gateway,
    key: Option<&str>,
    path: &str,
    upload: &Upload,
    clients: usize,
    running: impl Fn() -> bool + Sync,
) -> Samples {
    let began = Instant::now();
    let samples = Mutex::new(Samples::default());
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let client = Client::new(gateway, key);
                while running() {
                    let due = Instant::now();
                    let outcome = client.ask(path, upload);
                    let Ok(mut samples) = samples.lock() else { return };
                    samples.add(due, &outcome);
                    drop(samples);
                    if !matches!(outcome, Ok(Answer { status: 200, .. })) {
                        thread::sleep(REFUSED_PAUSE);
                    }
                }
            });
        }
    });
    samples.into_inner().unwrap_or_default().finished(began)
}

/// A stream of requests for [`open`].
pub struct Stream<'a> {
    pub key: Option<&'a str>,
    pub per_s: f64,
}

/// Sends requests at random times (exponential gaps, the same in every run) at these rates; returns the samples of each
/// stream. Waits for the requests in progress at the end.
pub fn open(
    gateway: &Gateway,
    path: &str,
    upload: &Upload,
    streams: &[Stream<'_>],
    seconds: f64,
) -> Vec<Samples> {
    let began = Instant::now();
    let arrivals = arrivals(streams, seconds);
    let (next, samples) = (AtomicUsize::new(0), streams.iter().map(|_| Mutex::new(Samples::default())));
    let samples: Vec<Mutex<Samples>> = samples.collect();
    thread::scope(|scope| {
        for _ in 0..OPEN_MAX.min(arrivals.len()) {
            let worker = || {
                let clients: Vec<Client> =
                    streams.iter().map(|stream| Client::new(gateway, stream.key)).collect();
                while let Some(&(at_s, stream)) = arrivals.get(next.fetch_add(1, Relaxed)) {
                    let due = began + Duration::from_secs_f64(at_s);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    let (Some(client), Some(samples)) = (clients.get(stream), samples.get(stream)) else {
                        return;
                    };
                    let outcome = client.ask(path, upload);
                    let Ok(mut samples) = samples.lock() else { return };
                    samples.add(due, &outcome);
                }
            };
            // Many threads that do little.
            let _ = thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, worker);
        }
    });
    let of = |samples: Mutex<Samples>| {
        let mut samples = samples.into_inner().unwrap_or_default().finished(began);
        // Goodput: requests read out of those that arrived within the time.
        samples.seconds = samples.seconds.max(seconds);
        samples
    };
    samples.into_iter().map(of).collect()
}

/// Returns the arrival times, each with the index of its stream.
fn arrivals(streams: &[Stream<'_>], seconds: f64) -> Vec<(f64, usize)> {
    let mut random = Random::new(7);
    let mut all = Vec::new();
    for (stream, Stream { per_s, .. }) in streams.iter().enumerate() {
        let mut at_s = 0.0;
        loop {
            at_s += -(1.0 - random.unit()).ln() / per_s;
            if at_s >= seconds {
                break;
            }
            all.push((at_s, stream));
        }
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all
}

/// Random numbers that are the same in every run (a 64-bit linear congruential generator with Knuth's constants).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number from 0 to 1, exclusive.
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a number from 0 to `n`, exclusive.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn requests_come_at_their_rate_and_in_order() {
        let streams = [Stream { key: None, per_s: 50.0 }, Stream { key: None, per_s: 5.0 }];
        let all = arrivals(&streams, 100.0);
        let of = |stream| all.iter().filter(|arrival| arrival.1 == stream).count() as f64;
        assert!((of(0) / 5000.0 - 1.0).abs() < 0.1, "{}", of(0));
        assert!((of(1) / 500.0 - 1.0).abs() < 0.2, "{}", of(1));
        assert!(all.is_sorted_by(|a, b| a.0 <= b.0));
    }
}
