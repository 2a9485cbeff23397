//! The standard pipeline with its own batching policy: an example of two policies with opposite goals,
//! [`latency_first`] and [`fill_by_width`]. Owns the choice between them; `lector-steps` reads the pages.

mod fill_by_width;
mod latency_first;

use lector_sdk::batching::{BatchingPolicy, Decision, EngineState, WaitingRun};
use lector_sdk::{ConfigError, Error, Page, Pipeline, PipelineInfo, Request, Transcript};

/// Settings of a deployment.
#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Settings of the standard steps.
    reading: lector_steps::Settings,
    /// The batching policy.
    policy: Policy,
    /// For `fill-by-width`: maximum time that a run waits for others of its width, in microseconds.
    wait_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    LatencyFirst,
    FillByWidth,
}

/// Maximum of `wait_us`, one second; a longer wait for a fuller batch is not useful.
const WAIT_US_MAX: u64 = 1_000_000;

impl Default for Settings {
    fn default() -> Self {
        Self { reading: Default::default(), policy: Policy::LatencyFirst, wait_us: 4_000 }
    }
}

struct Planned;

impl Pipeline for Planned {
    type Settings = Settings;

    fn configure(settings: &Settings) -> Result<PipelineInfo, ConfigError> {
        if settings.wait_us > WAIT_US_MAX {
            return Err(ConfigError::at("/wait_us", format!("is more than {WAIT_US_MAX} (one second)")));
        }
        lector_steps::declare(&settings.reading).map_err(|error| error.within("/reading"))
    }

    async fn recognize(page: &Page, request: &Request, settings: &Settings) -> Result<Transcript, Error> {
        lector_steps::read_page(page, request, &settings.reading).await
    }
}

impl BatchingPolicy for Planned {
    fn plan(waiting: &[WaitingRun], engine: &EngineState, _now_us: u64, settings: &Settings) -> Decision {
        match settings.policy {
            Policy::LatencyFirst => latency_first::plan(waiting, engine),
            Policy::FillByWidth => fill_by_width::plan(waiting, settings.wait_us),
        }
    }
}

lector_sdk::export!(Planned, batching);

/// Makes a waiting run for the tests of both policies.
#[cfg(test)]
fn waiting(id: u64, bucket: u32, rows: u32, waited_us: u64) -> WaitingRun {
    WaitingRun {
        id,
        bucket,
        width: 320 * (bucket + 1),
        rows,
        rows_max: 8,
        waited_us,
        remaining_us: 10_000_000,
    }
}
