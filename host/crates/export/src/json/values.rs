//! The shapes of faults and times, and the rounding of numbers.

use std::time::Duration;

use lector_core::{Blame, Fault, Timing, check_json};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The public JSON form of a fault. Its detail is only in the log.
#[derive(Debug, Serialize)]
pub struct FaultShape<'a> {
    code: &'a str,
    message: &'a str,
    blame: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    guest_code: Option<&'a str>,
    /// Whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
}

impl<'a> From<&'a Fault> for FaultShape<'a> {
    fn from(fault: &'a Fault) -> Self {
        let blame = match fault.blame {
            Blame::Client => "client",
            Blame::Guest => "guest",
            Blame::Host => "host",
        };
        Self {
            code: fault.code,
            message: &fault.message,
            blame,
            guest_code: fault.guest_code.as_deref(),
            retry_after_s: fault.retry_after.map(whole_seconds),
        }
    }
}

/// The times of a page in milliseconds. The parts overlap; only `total` is elapsed time.
#[derive(Debug, Serialize)]
pub struct TimingShape<'a> {
    total: f64,
    start: f64,
    guest: f64,
    render: f64,
    text_layer: f64,
    image: f64,
    queue: f64,
    inference: Times<'a>,
    #[serde(skip_serializing_if = "Times::is_empty")]
    spans: Times<'a>,
}

impl<'a> From<&'a Timing> for TimingShape<'a> {
    fn from(timing: &'a Timing) -> Self {
        let queue: Duration = timing.models.values().map(|model| model.queue).sum();
        let inference = timing.models.iter().map(|(name, model)| (name.as_str(), ms(model.run))).collect();
        let spans = timing.spans.iter().map(|(name, (_, time))| (name.as_str(), ms(*time))).collect();
        Self {
            total: ms(timing.total),
            start: ms(timing.start),
            guest: ms(timing.guest),
            render: ms(timing.render),
            text_layer: ms(timing.text_layer),
            image: ms(timing.image),
            queue: ms(queue),
            inference: Times(inference),
            spans: Times(spans),
        }
    }
}

/// Times by name, as a JSON object.
#[derive(Debug)]
struct Times<'a>(Vec<(&'a str, f64)>);

impl Times<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Times<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// The properties that a guest added, as the guest wrote them: a tree of values would take many times their bytes.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Properties<'a> {
    Json(&'a RawValue),
    /// The same, on one line.
    OneLine(Box<RawValue>),
    /// A text that is not JSON, as a string.
    Text(&'a str),
}

/// Returns the properties that a guest added. The runtime has checked that they are a JSON object.
pub(crate) fn properties(json: &str) -> Properties<'_> {
    if check_json(json).is_err() {
        return Properties::Text(json);
    }
    // Between values a line break is white space, and it would end a line of NDJSON; in a string it is escaped.
    let properties = if json.contains(['\n', '\r']) {
        RawValue::from_string(json.replace(['\n', '\r'], " ")).map(Properties::OneLine)
    } else {
        serde_json::from_str(json).map(Properties::Json)
    };
    properties.unwrap_or(Properties::Text(json))
}

/// Rounds up to whole seconds.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

/// Rounds to one decimal.
pub(crate) fn tenth(value: f32) -> f64 {
    (f64::from(value) * 10.0).round() / 10.0
}

/// Rounds to four decimals.
pub(crate) fn confidence(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}

/// Returns a time in milliseconds, rounded to a thousandth.
pub fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
