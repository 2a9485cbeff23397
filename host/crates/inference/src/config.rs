//! Configuration of the inference plane, and the measurements behind its defaults.
//!
//! Measured with `examples/sweep.rs` (one configuration a process) and `examples/lanes.rs` (whole pages through the
//! lanes) on 2 cores of an AMD EPYC without AVX-512, ONNX Runtime 1.31.1, PP-OCRv6 small. Memory is the peak of the
//! process. The machine was shared (load 4 to 5), so times are ratios: option and base alternate, five pairs, the
//! median of the pairs' CPU times with the least and the greatest. The base against itself gives 0.99 (0.92 to 1.00)
//! for recognition and 1.01 (0.95 to 1.04) for detection: a ratio within these bounds shows no difference.
//!
//! | option against the base | recognition 2x1: time | MiB | detection 1x2: time | MiB |
//! |---|---|---|---|---|
//! | base: arena, no pattern, no spinning, all optimizations | 1 | 186 | 1 | 257 |
//! | memory pattern | 1.03 (0.98 to 1.05) | 209 | 1.12 (1.06 to 1.29) | 462 |
//! | no arena | 1.06 (1.05 to 1.14) | 250 | 1.23 (1.22 to 1.31) | 514 |
//! | arena shrunk after each run | 1.11 (1.08 to 1.12) | 252 | 1.22 (1.11 to 1.30) | 262 |
//! | arena shared by the process | 0.99 (0.96 to 1.03) | 180 | 0.97 (0.89 to 1.09) | 259 |
//! | optimization level 2 | 1.15 (1.13 to 1.19) | 164 | 1.44 (1.15 to 1.72) | 248 |
//! | spinning | 1.02 (0.99 to 1.04) | 188 | 1.18 (1.12 to 1.62) | 258 |
//! | denormals as zero | 1.00 (0.95 to 1.03) | 187 | 0.99 (0.79 to 1.01) | 260 |
//! | without the CTC reduction | 1.01 (0.97 to 1.01) | 187 | | |
//!
//! (2x1: two sessions of one thread.) Prepacked weights in a container shared by 1, 2 or 4 sessions save nothing.
//!
//! | sessions, threads and batches | time | MiB |
//! |---|---|---|
//! | recognition, batch 1, 1x2 to 2x1, width 320 | 0.86 (0.74 to 1.01) | 98 to 125 |
//! | the same, width 640 | 0.82 (0.68 to 0.94) | 98 to 147 |
//! | the same, width 1280 | 0.81 (0.75 to 0.90) | 109 to 183 |
//! | recognition 2x1, batch 1 to 4, width 320 | 1.00 (0.91 to 1.12) | 125 to 180 |
//! | the same, width 1280 | 1.00 (0.94 to 1.03) | 180 to 408 |
//! | detection 1280 x 960, 1x2 to 2x1 | 1.05 (0.79 to 1.06) | 252 to 461 |
//! | detection 960 x 736, 1x2 to 2x1 | 0.92 (0.81 to 0.96) | 163 to 286 |
//!
//! One run of each on a quiet machine: recognition, batch 1, 2x1 against 1x2: 16.5 to 18.5 ms a row at width 320, 34.4
//! to 37.1 at 640, 69.9 to 71.9 at 1280; the gain is smaller when the cores are free.
//!
//! Therefore a recognizer gets a session for each core, and no run waits for a batch on a CPU (lanes merge by learned
//! cost); a detector gets one session over all cores, which saves 120 to 210 MiB and costs no measurable time on large
//! pages.
//!
//! Lanes, 40 lines a page, 2 pages in flight, peak MiB (about 45 of them the inputs), one run each: detection 1x2 and
//! recognition 2x1 on one shared arena 350, on arenas of their own 421; detection 2x1 496 and 617; recognition 1x2 322
//! and 363. The shared arena is the default for this memory; in time it shows no difference.
//!
//! OpenVINO in bf16, on 2 cores of an AMD EPYC with avx512_bf16, PP-OCRv6 small: the 630 runs of 12 pages of the bench
//! back to back (`cargo xtask bench floor --session-layouts`), memory of the whole process:
//!
//! | detection, recognition (streams x threads) | pages/s | CPU s/page | MiB |
//! |---|---|---|---|
//! | 1x2, 2x1: the plan | 0.715 | 2.75 | 851 |
//! | 1x2, 1x2 | 0.685 | 2.89 | 710 |
//! | 2x1, 1x2 | 0.591 | 3.13 | 900 |
//! | 2x1, 2x1 | 0.717 | 2.76 | 1108 |
//!
//! Every OpenVINO stream keeps the code that it compiled for each shape: fewer shapes need less memory, and two streams
//! need twice as much (see the decisions on shapes in `host/adr/`).
//!
//! A second session of the recognizer costs 30 to 35 MiB before it runs. From ONNX Runtime's own format with its bytes
//! shared it would cost 11, and load several times faster; the engine cache does this.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lector_core::ModelName;

use crate::catalog::{Catalog, CatalogError, Task};
use crate::error::InferenceError;
use crate::machine::CpuFeatures;
use crate::provider_preference::PreferredProvider;
use crate::tesseract::TesseractConfig;

/// Configuration of the inference plane.
#[derive(Clone, Debug)]
pub struct InferenceConfig {
    /// Path of `libonnxruntime.so`. Provider libraries are expected beside it.
    pub library: PathBuf,
    /// Folder with one folder for each model.
    pub models_dir: PathBuf,
    /// Folder of the operator's own models, with the same layout; it may be missing.
    pub own_models_dir: Option<PathBuf>,
    /// Folder with OpenVINO's libraries.
    pub openvino_dir: PathBuf,
    /// Folders with CUDA's and TensorRT's libraries, searched before those of the system.
    pub gpu_dirs: Vec<PathBuf>,
    /// The provider preference list, most wanted first.
    pub providers: Vec<PreferredProvider>,
    /// Lists of single models, in place of `providers`.
    pub model_providers: BTreeMap<ModelName, Vec<PreferredProvider>>,
    /// The processor features that engines may be chosen by.
    pub cpu_features: CpuFeatures,
    /// Folder of the built engines.
    pub cache_dir: PathBuf,
    /// Most bytes of built engines; 0: no limit.
    pub cache_bytes_max: u64,
    /// Command that starts a builder process ([`crate::builder_main`]). Empty: this host builds nothing; only the
    /// reference and the engines in the cache serve.
    pub builder_command: Vec<OsString>,
    /// Longest time of one build.
    pub build_timeout: Duration,
    /// Pause before a failed build or load is retried; the next pause is ten times as long.
    pub retry_pause: Duration,
    /// Pause before the first rare retry; each further pause is twice as long, up to a day.
    pub rare_retry_pause: Duration,
    /// Time after the start in which no open model is upgraded: a build takes processor time from the start and the first pages.
    pub start_pause: Duration,
    /// Interval of the checks for changed inputs of waiting variants: a description, an engine in the cache.
    pub watch_pause: Duration,
    /// Most device memory of one session, where there is a device; 0: no limit.
    pub gpu_memory_bytes_max: u64,
    /// Cores that runs may use at once, over all lanes.
    pub threads: usize,
    /// Sessions and threads of each model.
    pub plan: CpuPlan,
    /// Most waiting items of one lane.
    pub queue_items_max: usize,
    /// Most pixels (rows times height times width) of one run; a detector needs about 165 bytes a pixel.
    pub run_pixels_max: u64,
    /// Whether the runs of all sessions share one arena. Otherwise each session has its own.
    pub shared_arena: bool,
    /// Longest time of a probe, in the queue and on the engine.
    pub probe_timeout: Duration,
    /// libtesseract, for models of the task `transcription`.
    pub tesseract: TesseractConfig,
}

impl InferenceConfig {
    /// Returns the defaults for a machine with `threads` free cores.
    pub fn new(library: impl Into<PathBuf>, models_dir: impl Into<PathBuf>, threads: usize) -> Self {
        let threads = threads.max(1);
        Self {
            library: library.into(),
            models_dir: models_dir.into(),
            own_models_dir: None,
            openvino_dir: PathBuf::new(),
            gpu_dirs: Vec::new(),
            providers: vec![PreferredProvider::Auto],
            model_providers: BTreeMap::new(),
            cpu_features: CpuFeatures::default(),
            cache_dir: PathBuf::from("engine_cache"),
            cache_bytes_max: 0,
            builder_command: Vec::new(),
            build_timeout: Duration::from_secs(3600),
            retry_pause: Duration::from_secs(60),
            rare_retry_pause: Duration::from_secs(3600),
            start_pause: Duration::ZERO,
            watch_pause: Duration::from_secs(10),
            gpu_memory_bytes_max: 0,
            threads,
            plan: CpuPlan::for_cores(threads),
            queue_items_max: 256,
            run_pixels_max: 6_000_000,
            shared_arena: true,
            probe_timeout: Duration::from_secs(10),
            tesseract: TesseractConfig::default(),
        }
    }

    pub(crate) fn catalog(&self) -> Result<Catalog, CatalogError> {
        Catalog::read_both(&self.models_dir, self.own_models_dir.as_deref())
    }

    pub(crate) fn validate(&self) -> Result<(), InferenceError> {
        let wrong = |what: &str| Err(InferenceError::Config(what.to_owned()));
        let session_config = [self.plan.detection, self.plan.recognition, self.plan.classification];
        match () {
            () if self.threads == 0 => wrong("threads must be 1 or more"),
            () if self.queue_items_max == 0 => wrong("queue_items_max must be 1 or more"),
            () if self.run_pixels_max == 0 => wrong("run_pixels_max must be 1 or more"),
            () if self.watch_pause.is_zero() => wrong("watch_pause must be more than 0"),
            () if session_config.iter().any(|s| s.sessions == 0 || s.threads == 0) => {
                wrong("every task needs 1 session and 1 thread or more")
            }
            () if session_config.iter().any(|s| s.threads > self.threads) => {
                wrong("a session cannot have more threads than `threads`")
            }
            () => Ok(()),
        }
    }
}

/// Sessions of one model, and threads of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SessionConfig {
    /// Sessions, each with an owner thread.
    pub sessions: usize,
    /// Threads of each session.
    pub threads: usize,
}

/// Sessions and threads of a model, by the model's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuPlan {
    /// One large run a page.
    pub detection: SessionConfig,
    /// Many small runs a page.
    pub recognition: SessionConfig,
    /// A few tiny runs a page.
    pub classification: SessionConfig,
}

/// An estimate, for lack of a machine with more than two cores: beyond four threads a second session should gain more.
const DETECTION_THREADS_MAX: usize = 4;
/// A session of a recognizer holds 30 to 35 MiB before it runs; beyond this number (an estimate, as above) sessions get
/// more threads instead.
const RECOGNITION_SESSIONS_MAX: usize = 16;

impl CpuPlan {
    /// Returns the plan for `cores`: see the figures above.
    pub fn for_cores(cores: usize) -> Self {
        let cores = cores.max(1);
        let detection_threads = cores.min(DETECTION_THREADS_MAX);
        let recognition_sessions = cores.min(RECOGNITION_SESSIONS_MAX);
        Self {
            detection: SessionConfig { sessions: cores / detection_threads, threads: detection_threads },
            recognition: SessionConfig {
                sessions: recognition_sessions,
                threads: cores / recognition_sessions,
            },
            classification: SessionConfig { sessions: 1, threads: 1 },
        }
    }

    /// Returns the sessions and threads of a task's models.
    pub fn session_config(&self, task: Task) -> SessionConfig {
        match task {
            Task::Detection => self.detection,
            Task::Recognition => self.recognition,
            Task::Classification => self.classification,
            // As many lines at once as a recognizer.
            Task::Transcription => SessionConfig { threads: 1, ..self.recognition },
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
            for session_config in [plan.detection, plan.recognition, plan.classification] {
                assert!(session_config.sessions > 0 && session_config.threads > 0, "{cores}: {plan:?}");
                assert!(
                    session_config.sessions * session_config.threads <= cores.max(1),
                    "{cores}: {plan:?}"
                );
            }
            InferenceConfig::new("", "", cores).validate().unwrap();
        }
    }

    #[test]
    fn detection_uses_both_cores_and_recognition_one_each() {
        let plan = CpuPlan::for_cores(2);
        assert_eq!(plan.detection, SessionConfig { sessions: 1, threads: 2 });
        assert_eq!(plan.recognition, SessionConfig { sessions: 2, threads: 1 });
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
        check(|c| c.watch_pause = Duration::ZERO);
        check(|c| c.plan.detection.sessions = 0);
        check(|c| c.plan.recognition.threads = 3);
    }
}
