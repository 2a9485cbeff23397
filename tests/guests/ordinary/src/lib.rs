//! Test guest of ordinary crates, with their default features: `chrono`, `rand` and `uuid`, the clocks of the standard library,
//! and `println!`, which the host makes a log event.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lector_sdk::{ConfigError, Error, Page, Pipeline, PipelineInfo, Request, Transcript};

struct Ordinary;

impl Pipeline for Ordinary {
    type Settings = BTreeMap<String, String>;

    fn configure(_: &Self::Settings) -> Result<PipelineInfo, ConfigError> {
        Ok(PipelineInfo::default())
    }

    #[allow(clippy::print_stdout, reason = "a test of it")]
    async fn recognize(page: &Page, _: &Request, _: &Self::Settings) -> Result<Transcript, Error> {
        let began = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        let mut transcript = Transcript::blank(page.size_at(72.0), 72.0);
        transcript.set_property("now", chrono::Utc::now().to_rfc3339());
        transcript.set_property("random", rand::random::<u64>().to_string());
        transcript.set_property("uuid", uuid::Uuid::new_v4().to_string());
        transcript.set_property("slept_us", began.elapsed().as_micros() as u64);
        println!("an ordinary line");
        Ok(transcript)
    }
}

lector_sdk::export!(Ordinary);
