//! The figures of a level, as a row and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::load::{Measured, Outcome};

/// The figures of all levels.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// Address of the server.
    pub(super) server: String,
    /// Version of the server.
    pub(super) version: String,
    /// Number of documents.
    pub(super) documents: usize,
    /// Bytes of the documents.
    pub(super) bytes: u64,
    /// Time of a level.
    pub(super) seconds: f64,
    /// The levels, in the order in which they were measured.
    pub(super) levels: Vec<Level>,
}

/// The figures of one level.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Level {
    /// Concurrent clients.
    pub(super) clients: usize,
    /// Time from the first request to the last answer.
    pub(super) seconds: f64,
    /// Requests.
    pub(super) requests: u64,
    /// Documents that were read.
    pub(super) documents: u64,
    /// Pages that were read.
    pub(super) pages: u64,
    /// Pages of these documents that failed.
    pub(super) pages_failed: u64,
    /// Pages read in a second.
    pub(super) pages_per_s: f64,
    /// Documents read in a second.
    pub(super) documents_per_s: f64,
    /// Times of the documents that were read, in milliseconds; absent where there is none.
    pub(super) latency_ms: Option<Latency>,
    /// Refused requests (429, 503), by the code of the problem.
    pub(super) refused: BTreeMap<String, u64>,
    /// Failed requests, by the code of the problem.
    pub(super) failed: BTreeMap<String, u64>,
}

/// Quantiles by nearest rank: measured values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Latency {
    /// Returns the quantiles of sorted times.
    fn of(sorted: &[f64]) -> Option<Self> {
        let at = |share: f64| {
            // Rounding: a share like 0.07 times a hundred is slightly more than 7.
            let rank = (sorted.len() as f64 * share - 1e-9).ceil() as usize;
            sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied()
        };
        Some(Self { p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)?, max: at(1.0)? })
    }
}

impl Level {
    pub(super) fn of(clients: usize, measured: Measured) -> Self {
        let seconds = measured.elapsed.as_secs_f64();
        let (mut times, mut pages, mut pages_failed) = (Vec::new(), 0, 0);
        let (mut refused, mut failed) = (BTreeMap::new(), BTreeMap::new());
        let requests = measured.ended.len() as u64;
        for ended in measured.ended {
            match ended.outcome {
                Outcome::Read { pages: read, pages_failed: lost } => {
                    times.push((ended.took.as_secs_f64() * 1e5).round() / 1e2);
                    pages += read;
                    pages_failed += lost;
                }
                Outcome::Refused { code, .. } => *refused.entry(code).or_default() += 1,
                Outcome::Failed { code, .. } => *failed.entry(code).or_default() += 1,
            }
        }
        times.sort_by(f64::total_cmp);
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Self {
            clients,
            seconds,
            requests,
            documents: times.len() as u64,
            pages,
            pages_failed,
            pages_per_s: rate(pages),
            documents_per_s: rate(times.len() as u64),
            latency_ms: Latency::of(&times),
            refused,
            failed,
        }
    }

    /// Returns the row of the table, and lines with the codes of refusals and failures.
    pub(super) fn row(&self) -> String {
        let ms = |of: fn(&Latency) -> f64| {
            self.latency_ms.as_ref().map_or("-".to_owned(), |latency| format!("{:.0}", of(latency)))
        };
        let count = |codes: &BTreeMap<String, u64>| codes.values().sum::<u64>();
        let mut row = format!(
            "{:>7} {:>9.2} {:>8.2} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8} {:>7}\n",
            self.clients,
            self.pages_per_s,
            self.documents_per_s,
            ms(|latency| latency.p50),
            ms(|latency| latency.p90),
            ms(|latency| latency.p99),
            ms(|latency| latency.max),
            self.requests,
            count(&self.refused),
            count(&self.failed),
        );
        for (what, codes) in [("refused", &self.refused), ("failed", &self.failed)] {
            for (code, count) in codes {
                // A write to a string does not fail.
                let _ = writeln!(row, "{:>7} {what} {count} times: {code}", "");
            }
        }
        if self.pages_failed > 0 {
            let _ = writeln!(row, "{:>7} {} pages failed", "", self.pages_failed);
        }
        row
    }
}

impl Report {
    pub(super) fn head(&self) -> String {
        format!(
            "{} documents ({:.1} MB) to {} (lector {}), {} s a level\n{:>7} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8} {:>7}\n",
            self.documents,
            self.bytes as f64 / 1e6,
            self.server,
            self.version,
            self.seconds,
            "clients",
            "pages/s",
            "docs/s",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "max ms",
            "requests",
            "refused",
            "failed",
        )
    }

    /// Returns the level with the highest rate, in words.
    pub(super) fn summary(&self) -> String {
        let best = self.levels.iter().max_by(|a, b| a.pages_per_s.total_cmp(&b.pages_per_s));
        match best.filter(|level| level.pages > 0) {
            Some(best) => {
                format!("highest rate: {:.2} pages/s with {} clients\n", best.pages_per_s, best.clients)
            }
            None => "no document was read\n".to_owned(),
        }
    }
}
