//! The load: clients in a closed loop, and the outcome of each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lector_core::error_chain;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::task::JoinSet;

/// Longest pause after a refusal: a client of a loaded server does not send again at once, and a level is short.
const PAUSE_MAX: Duration = Duration::from_secs(1);
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// A document to send.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) name: String,
    pub(super) bytes: Bytes,
}

/// The requests to send.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) client: Client,
    pub(super) url: String,
    pub(super) options: Vec<(String, String)>,
    /// Sent in turn; at least one.
    pub(super) documents: Vec<Document>,
    /// Time of a level.
    pub(super) time: Duration,
    /// Most requests of a level.
    pub(super) requests: u64,
    /// Longest time of a request.
    pub(super) timeout: Duration,
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The document was read, some of its pages perhaps not.
    Read { pages: u64, pages_failed: u64 },
    /// The server or the tenant has too much to do: the code of the problem.
    Refused { code: String, pause: Duration },
    /// Another status, or no answer: the code of the problem, or what failed.
    Failed { code: String, detail: String },
}

/// A request that has ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) took: Duration,
    pub(super) outcome: Outcome,
}

/// The requests of a level.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
    pub(super) ended: Vec<Ended>,
}

/// The pages of a result, as far as they are counted.
#[derive(Deserialize)]
struct Pages {
    #[serde(default)]
    pages: Vec<Page>,
}

#[derive(Deserialize)]
struct Page {
    error: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    detail: String,
}

impl Load {
    /// Sends each document once, one after the other, for at most the time of a level. Returns the failure of a request
    /// that no later one could do better.
    pub(super) async fn warm_up(&self) -> Option<String> {
        let until = Instant::now() + self.time;
        for document in &self.documents {
            if let Outcome::Failed { code, detail } = self.send(document).await {
                return Some(format!("{}: {detail} ({code})", document.name));
            }
            if Instant::now() >= until {
                break;
            }
        }
        None
    }

    /// Sends documents with this number of clients.
    pub(super) async fn level(&self, clients: usize) -> Measured {
        let began = Instant::now();
        let (until, next) = (began + self.time, Arc::new(AtomicU64::new(0)));
        let mut running = JoinSet::new();
        for _ in 0..clients {
            let (load, next) = (self.clone(), next.clone());
            running.spawn(async move { load.client(until, &next).await });
        }
        let mut ended = Vec::new();
        while let Some(client) = running.join_next().await {
            // A client that panicked has no figures; the panic is on standard error.
            ended.extend(client.unwrap_or_default());
        }
        Measured { elapsed: began.elapsed(), ended }
    }

    /// Sends one document after the other, until the time is over or all requests are sent.
    async fn client(&self, until: Instant, next: &AtomicU64) -> Vec<Ended> {
        let mut ended = Vec::new();
        while Instant::now() < until {
            let number = next.fetch_add(1, Relaxed);
            if number >= self.requests {
                break;
            }
            let at = usize::try_from(number).unwrap_or(0) % self.documents.len().max(1);
            let Some(document) = self.documents.get(at) else { break };
            let began = Instant::now();
            let outcome = self.send(document).await;
            let pause = match &outcome {
                Outcome::Refused { pause, .. } => *pause,
                _ => Duration::ZERO,
            };
            ended.push(Ended { took: began.elapsed(), outcome });
            let left = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(pause.min(left)).await;
        }
        ended
    }

    async fn send(&self, document: &Document) -> Outcome {
        let request = self.client.post(&self.url).query(&self.options).timeout(self.timeout);
        let failed = |code: &str, detail: String| Outcome::Failed { code: code.to_owned(), detail };
        let response = match request.body(document.bytes.clone()).send().await {
            Ok(response) => response,
            Err(error) if error.is_timeout() => return failed("no_answer_in_time", error_chain(&error)),
            Err(error) => return failed("no_answer", error_chain(&error)),
        };
        let status = response.status();
        let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return failed("answer_incomplete", error_chain(&error)),
        };
        if status.is_success() {
            return match serde_json::from_slice::<Pages>(&body) {
                Ok(Pages { pages }) => {
                    let pages_failed = pages.iter().filter(|page| page.error.is_some()).count() as u64;
                    Outcome::Read { pages: pages.len() as u64 - pages_failed, pages_failed }
                }
                Err(error) => {
                    failed("answer_invalid", format!("the answer is not a result in JSON: {error}"))
                }
            };
        }
        let Problem { code, detail } = serde_json::from_slice(&body).unwrap_or_default();
        let code = if code.is_empty() { status.as_u16().to_string() } else { code };
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            let pause = pause.map_or(PAUSE_MAX, Duration::from_secs).clamp(PAUSE_MIN, PAUSE_MAX);
            return Outcome::Refused { code, pause };
        }
        Outcome::Failed { code, detail }
    }
}
