//! How far predictions of work were off, by what was known when they were made.

use std::time::Duration;

use lector_control::Prediction;

/// Predictions of one kind, over all pages that were read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictionError {
    /// What was known of the pages: `nothing`, `pixels` or `crops`.
    pub known: &'static str,
    /// Work that they took.
    pub work: Duration,
    /// How far the predictions were off, either way, summed up.
    pub off: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    work_ms: f64,
    off_ms: f64,
}

/// The sums.
#[derive(Debug, Default)]
pub(crate) struct PredictionErrors {
    nothing: Sum,
    pixels: Sum,
    crops: Sum,
}

impl PredictionErrors {
    /// The page took so much.
    pub(super) fn record(&mut self, prediction: Prediction, ms: f64) {
        let Self { nothing, pixels, crops } = self;
        for (sum, said) in
            [(nothing, prediction.nothing), (pixels, prediction.pixels), (crops, prediction.crops)]
        {
            if let Some(said) = said {
                sum.work_ms += ms;
                sum.off_ms += (said - ms).abs();
            }
        }
    }

    pub(super) fn view(&self) -> Vec<PredictionError> {
        let time = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
        [("nothing", self.nothing), ("pixels", self.pixels), ("crops", self.crops)]
            .map(|(known, Sum { work_ms, off_ms })| PredictionError {
                known,
                work: time(work_ms),
                off: time(off_ms),
            })
            .into()
    }
}
