//! Prediction errors of work, by the properties known at the time of the prediction.

use std::time::Duration;

use lector_control::Prediction;

/// The errors of one kind of prediction, over all pages that were read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictionError {
    /// What a prediction was made from: `history` (the earlier pages alone), `pixels` or `crops`.
    pub known: &'static str,
    /// Actual work of the pages.
    pub work: Duration,
    /// Sum of the absolute errors of the predictions.
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
    history: Sum,
    pixels: Sum,
    crops: Sum,
}

impl PredictionErrors {
    /// Adds the errors of the predictions for a page that took `ms`.
    pub(super) fn record(&mut self, prediction: Prediction, ms: f64) {
        let Self { history, pixels, crops } = self;
        for (sum, said) in
            [(history, prediction.nothing), (pixels, prediction.pixels), (crops, prediction.crops)]
        {
            if let Some(said) = said {
                sum.work_ms += ms;
                sum.off_ms += (said - ms).abs();
            }
        }
    }

    pub(super) fn view(&self) -> Vec<PredictionError> {
        let time = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
        [("history", self.history), ("pixels", self.pixels), ("crops", self.crops)]
            .map(|(known, Sum { work_ms, off_ms })| PredictionError {
                known,
                work: time(work_ms),
                off: time(off_ms),
            })
            .into()
    }
}
