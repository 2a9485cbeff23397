//! The client of the server's HTTP API: requests under load, readiness, engines and metrics. [`admin`] changes tenants
//! and deployments, [`answers`] reads pages, [`jobs`] submits and follows jobs. Only these modules name members of responses about readiness, engines,
//! lanes or runs.

pub mod admin;
pub mod answers;
pub mod jobs;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::gateway::{Gateway, Upload};

/// Time to build all engines on a small machine.
const UPGRADED_WITHIN: Duration = Duration::from_secs(600);

/// A client with its own connections and, if the server requires one, a key.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    key: Option<String>,
}

/// The response to a request.
pub struct Answer {
    pub status: u16,
    pub retry_after_s: Option<u64>,
    /// Seconds from the last sent byte, or earlier, to the head of the response.
    pub head_s: f64,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(gateway: &Gateway, key: Option<&str>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(Duration::from_secs(300)))
            // The server closes connections that are idle for longer.
            .max_idle_age(Duration::from_secs(5))
            .build();
        Self { agent: config.into(), base: gateway.base().to_owned(), key: key.map(str::to_owned) }
    }

    /// Sends a request and reads the head of the response.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl ureq::AsSendBody,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let url = format!("{}{path}", self.base);
        let mut request = match method {
            "PUT" => self.agent.put(url),
            _ => self.agent.post(url),
        };
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request.header("content-type", content_type).send(body)
    }

    /// Sends a change, which must succeed; returns the body of the response.
    pub fn change(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<String> {
        let mut answer = self.send(method, path, content_type, body)?;
        let text = answer.body_mut().read_to_string()?;
        ensure!(answer.status().is_success(), "{path}: status {}: {text}", answer.status());
        Ok(text)
    }

    /// Sends a document and reads the whole response. Fails if the response is missing or incomplete.
    pub fn ask(&self, path: &str, upload: &Upload) -> Result<Answer, ureq::Error> {
        let began = Instant::now();
        let mut answer = self.send("POST", path, upload.content_type(), &upload.bytes[..])?;
        let head_s = began.elapsed().as_secs_f64();
        let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        Ok(Answer {
            status: answer.status().as_u16(),
            retry_after_s: retry_after.and_then(|text| text.parse().ok()),
            head_s,
            body: answer.body_mut().with_config().limit(1 << 30).read_to_vec()?,
        })
    }
}

/// Waits until the server builds no engine.
pub fn settled(gateway: &Gateway) -> Result<()> {
    settled_within(gateway, UPGRADED_WITHIN)
}

/// Waits until the server builds no engine, at most `within`.
pub fn settled_within(gateway: &Gateway, within: Duration) -> Result<()> {
    let end = Instant::now() + within;
    while get(gateway, "/readyz")?["parts"]["engines"]["upgrading"] != false {
        ensure!(Instant::now() < end, "engines are still being built after {} s", within.as_secs());
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The engine of a model, as the API describes it.
pub struct Engine {
    pub model: String,
    /// Provider and precision of the engine that serves.
    pub serving: String,
    pub json: Value,
}

impl Engine {
    /// Returns state and acceptance of one of the configured engine variants.
    pub fn variant(&self, name: &str) -> (Value, Value) {
        let found = self.json["variants"].as_array().into_iter().flatten().find(|one| one["variant"] == name);
        found.map_or_else(Default::default, |one| (one["state"].clone(), one["acceptance"].clone()))
    }
}

/// Lists the engines.
pub fn engines(gateway: &Gateway) -> Result<Vec<Engine>> {
    let json = get(gateway, "/api/v1/engines")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let engine = |json: &Value| Engine {
        model: text(&json["model"]),
        serving: text(&json["serving"]["variant"]),
        json: json.clone(),
    };
    Ok(json["engines"].as_array().into_iter().flatten().map(engine).collect())
}

fn get(gateway: &Gateway, path: &str) -> Result<Value> {
    serde_json::from_str(&gateway.get(path)?).with_context(|| format!("{path} is not JSON"))
}

/// Reads a counter or gauge from `/metrics`: labels and value of each series.
pub fn metric(gateway: &Gateway, name: &str) -> Result<Vec<(String, f64)>> {
    let found = series(&gateway.get("/metrics")?, name);
    (!found.is_empty()).then_some(found).with_context(|| format!("/metrics has no {name}"))
}

fn series(text: &str, name: &str) -> Vec<(String, f64)> {
    let line = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let labels = series.strip_prefix(name)?;
        (labels.is_empty() || labels.starts_with('{')).then_some((labels.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Counters of a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lane {
    pub runs: f64,
    pub rows: f64,
    pub busy_s: f64,
}

/// Counters of all lanes, by labels.
pub type Lanes = BTreeMap<String, Lane>;

/// Reads the counters of all lanes.
pub fn lanes(gateway: &Gateway) -> Result<Lanes> {
    Ok(lanes_in(&gateway.get("/metrics")?))
}

fn lanes_in(text: &str) -> Lanes {
    let mut lanes = Lanes::new();
    for (labels, value) in series(text, "lector_lane_runs_total") {
        lanes.entry(labels).or_default().runs = value;
    }
    for (labels, value) in series(text, "lector_lane_rows_total") {
        lanes.entry(labels).or_default().rows = value;
    }
    for (labels, value) in series(text, "lector_lane_busy_seconds_total") {
        lanes.entry(labels).or_default().busy_s = value;
    }
    lanes
}

/// Returns the difference of two samples of the counters, without the lanes that ran nothing in between.
pub fn lanes_between(before: &Lanes, after: &Lanes) -> Lanes {
    let of = |(labels, after): (&String, &Lane)| {
        let before = before.get(labels).copied().unwrap_or_default();
        let between = Lane {
            runs: after.runs - before.runs,
            rows: after.rows - before.rows,
            busy_s: after.busy_s - before.busy_s,
        };
        (between.runs > 0.0).then(|| (labels.clone(), between))
    };
    after.iter().filter_map(of).collect()
}

/// Returns the value of a label.
pub fn label<'a>(labels: &'a str, key: &str) -> Option<&'a str> {
    labels.split_once(&format!("{key}=\""))?.1.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_lanes_are_those_of_the_time_between() {
        let at = |runs: u32, rows: u32| {
            lanes_in(&format!(
                "lector_lane_runs_total{{model=\"m\"}} {runs}\nlector_lane_rows_total{{model=\"m\"}} {rows}\n\
                 lector_lane_rows_total_of_another 9\nlector_lane_busy_seconds_total{{model=\"m\"}} {runs}.5\n"
            ))
        };
        let between = lanes_between(&at(2, 4), &at(6, 28));
        let lane = Lane { runs: 4.0, rows: 24.0, busy_s: 4.0 };
        assert_eq!(between, Lanes::from([("{model=\"m\"}".to_owned(), lane)]));
        assert!(lanes_between(&at(2, 4), &at(2, 4)).is_empty());
        assert_eq!(label("{model=\"m\",provider=\"cpu\"}", "model"), Some("m"));
    }
}
