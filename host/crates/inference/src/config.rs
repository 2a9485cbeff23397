//! Configuration of the inference plane, and the figures behind its defaults.
//!
//! Measured with `examples/sweep.rs` (one configuration a process) and `examples/lanes.rs` (whole pages through the
//! lanes) on 2 cores of an AMD EPYC of the third generation (AVX2, no AVX-512), ONNX Runtime 1.31.1, PP-OCRv6 small.
//! Times of a recognition are wall times of an idle machine; CPU times bear other work on it. Memory is resident.
//!
//! Recognition, milliseconds of wall time a row and peak MiB, one session of two threads against two of one:
//!
//! | width | batch 1: 1x2 | 2x1 | batch 2: 1x2 | 2x1 | batch 4: 1x2 | 2x1 | batch 6: 1x2 | 2x1 |
//! |---|---|---|---|---|---|---|---|---|
//! | 320 | 18.5, 98 | **16.5**, 123 | 17.4, 98 | 16.7, 144 | 17.2, 108 | 16.8, 183 | 16.6, 132 | 17.7, 231 |
//! | 640 | 37.1, 99 | **34.4**, 142 | 35.6, 108 | 34.8, 182 | 36.8, 146 | 36.7, 257 | 37.3, 193 | 36.1, 351 |
//! | 1280 | 71.9, 109 | **69.9**, 181 | 76.4, 147 | 72.6, 259 | 76.2, 222 | 75.7, 410 | 76.1, 317 | 72.4, 598 |
//!
//! So on a CPU batches bring nothing, and cost memory; two sessions of one thread are 3 to 11 % faster than one of two.
//!
//! Detection, CPU milliseconds a page and peak MiB:
//!
//! | input | 1x2 | 2x1 |
//! |---|---|---|
//! | 1280 x 960 | 515, 252 | 490, 461 |
//! | 960 x 736 | 322, 160 | 280, 283 |
//!
//! Two threads cost 5 to 15 % of a detection, which is about a sixth of a page, and save 120 to 210 MiB; a lone page has its
//! boxes in half the time. One session takes all cores up to four.
//!
//! Options, recognition of 7 widths from 192 to 1600 (2x1) and detection of 4 sizes up to 1280 x 960 (1x2), CPU
//! milliseconds a row and peak MiB:
//!
//! | option | recognition | detection |
//! |---|---|---|
//! | as chosen (arena, no pattern, no spinning, all optimisations) | 80, 198 | 466, 287 |
//! | memory pattern on | 91, 227 | 750, 490 |
//! | no arena | 95, 313 | 629, 460 |
//! | arena shrunk after each run | 84, 268 | 552, 295 (152 between runs) |
//! | optimisation level 2 / 1 / none | 90 / 93 / 106 | 659 / 695 / 799 |
//! | spinning | 80 (1x2: 130 instead of 83) | 793 |
//! | denormals as zero | 87, 200 | 514, 287 |
//! | packed weights shared between sessions | no difference | no difference |
//! | logits copied out instead of reduced | 74, 201 | |
//!
//! (Detection's rows share the machine with more and more other work from top to bottom; only large differences count.)
//!
//! Lanes, 40 lines a page, 2 pages in flight, peak MiB (45 of them the inputs): detection 1x2 and recognition 2x1 on
//! one shared arena 350, on arenas of their own 421; detection 2x1 496 and 617; recognition 1x2 322 and 363.
//!
//! A second session of the recogniser costs 30 to 35 MiB before it runs. From ONNX Runtime's own format with its bytes
//! shared it would cost 11, and load in 25 ms instead of 130: the engine cache's business.

use std::path::PathBuf;
use std::time::Duration;

use lector_core::ModelName;

use crate::catalogue::Task;
use crate::error::InferenceError;
use crate::provider::Provider;

/// Configuration of the inference plane.
#[derive(Clone, Debug)]
pub struct InferenceConfig {
    /// `libonnxruntime.so`, the file itself. Libraries of other providers are looked for beside it.
    pub library: PathBuf,
    /// Folder with a folder for each model.
    pub models_dir: PathBuf,
    /// Models to load; empty: every model of the catalogue. Each costs memory whether it is used or not.
    pub models: Vec<ModelName>,
    /// Who computes.
    pub provider: Provider,
    /// Cores that runs may keep busy at once, over all lanes.
    pub threads: usize,
    /// How the sessions of a model share the cores.
    pub plan: CpuPlan,
    /// Most items that wait in one lane.
    pub queue_items_max: usize,
    /// Most pixels (rows times height times width) of one run; a detector needs about 165 bytes a pixel.
    pub run_pixels_max: u64,
    /// One arena for the runs of all sessions, instead of one each.
    pub shared_arena: bool,
    /// Longest time that a probe may take, in the queue and on the engine.
    pub probe_timeout: Duration,
}

impl InferenceConfig {
    /// The defaults for a machine with `threads` cores to spare.
    pub fn new(library: impl Into<PathBuf>, models_dir: impl Into<PathBuf>, threads: usize) -> Self {
        let threads = threads.max(1);
        Self {
            library: library.into(),
            models_dir: models_dir.into(),
            models: Vec::new(),
            provider: Provider::default(),
            threads,
            plan: CpuPlan::for_cores(threads),
            queue_items_max: 256,
            run_pixels_max: 6_000_000,
            shared_arena: true,
            probe_timeout: Duration::from_secs(10),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), InferenceError> {
        let wrong = |what: &str| Err(InferenceError::Config(what.to_owned()));
        let seats = [self.plan.detection, self.plan.recognition, self.plan.classification];
        match () {
            () if self.threads == 0 => wrong("threads must be 1 or more"),
            () if self.queue_items_max == 0 => wrong("queue_items_max must be 1 or more"),
            () if self.run_pixels_max == 0 => wrong("run_pixels_max must be 1 or more"),
            () if seats.iter().any(|s| s.sessions == 0 || s.threads == 0) => {
                wrong("every task needs 1 session and 1 thread or more")
            }
            () if seats.iter().any(|s| s.threads > self.threads) => {
                wrong("a session cannot have more threads than `threads`")
            }
            () => Ok(()),
        }
    }
}

/// Sessions of one model, and threads of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seats {
    /// Sessions, each with an owner thread.
    pub sessions: usize,
    /// Threads of each session.
    pub threads: usize,
}

/// How the sessions of a model share the cores, by the model's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuPlan {
    /// One large run a page.
    pub detection: Seats,
    /// Many small runs a page.
    pub recognition: Seats,
    /// A few tiny runs a page.
    pub classification: Seats,
}

/// A guess, for want of a machine with more than two cores: beyond four threads a second session should gain more.
const DETECTION_THREADS_MAX: usize = 4;
/// A session of a recogniser holds 30 to 35 MiB before it runs; beyond this number (a guess, as above) sessions get
/// more threads instead.
const RECOGNITION_SESSIONS_MAX: usize = 16;

impl CpuPlan {
    /// The plan for `cores`: see the figures above.
    pub fn for_cores(cores: usize) -> Self {
        let cores = cores.max(1);
        let detection_threads = cores.min(DETECTION_THREADS_MAX);
        let recognition_sessions = cores.min(RECOGNITION_SESSIONS_MAX);
        Self {
            detection: Seats { sessions: cores / detection_threads, threads: detection_threads },
            recognition: Seats { sessions: recognition_sessions, threads: cores / recognition_sessions },
            classification: Seats { sessions: 1, threads: 1 },
        }
    }

    /// The seats of a task's models.
    pub fn seats(&self, task: Task) -> Seats {
        match task {
            Task::Detection => self.detection,
            Task::Recognition => self.recognition,
            Task::Classification => self.classification,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn no_plan_asks_for_more_cores_than_there_are() {
        for cores in 0..200 {
            let plan = CpuPlan::for_cores(cores);
            for seats in [plan.detection, plan.recognition, plan.classification] {
                assert!(seats.sessions > 0 && seats.threads > 0, "{cores}: {plan:?}");
                assert!(seats.sessions * seats.threads <= cores.max(1), "{cores}: {plan:?}");
            }
            InferenceConfig::new("", "", cores).validate().unwrap();
        }
    }

    #[test]
    fn two_cores_detect_together_and_recognise_apart() {
        let plan = CpuPlan::for_cores(2);
        assert_eq!(plan.detection, Seats { sessions: 1, threads: 2 });
        assert_eq!(plan.recognition, Seats { sessions: 2, threads: 1 });
    }

    #[test]
    fn impossible_configurations_are_refused() {
        let check = |change: fn(&mut InferenceConfig)| {
            let mut config = InferenceConfig::new("", "", 2);
            change(&mut config);
            assert!(matches!(config.validate(), Err(InferenceError::Config(_))), "{config:?}");
        };
        check(|c| c.threads = 0);
        check(|c| c.queue_items_max = 0);
        check(|c| c.run_pixels_max = 0);
        check(|c| c.plan.detection.sessions = 0);
        check(|c| c.plan.recognition.threads = 3);
    }
}
