//! Building an engine: in a process of its own, from an order to an entry of the cache.
//!
//! [`Builder`] is the inside of that process (`lector engine-builder`): it waits for the locks, builds into a draft,
//! runs acceptance on the result, and publishes it. A refused engine is published, too: it is kept for inspection and
//! never built again under the same key. [`process`] is the outside.

pub(crate) mod process;

use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use lector_core::ModelName;
use serde::{Deserialize, Serialize};

use crate::acceptance::{AcceptanceReport, evaluate, relative_processor_time};
use crate::cache::{EngineCache, Entry, Found, Manifest};
use crate::catalog::ModelEntry;
use crate::config::{InferenceConfig, SessionConfig};
use crate::engine_builder::{BuildPlaces, EngineBuilder, Source};
use crate::error::InferenceError;
use crate::machine::CpuFeatures;
use crate::openvino::OpenVino;
use crate::preflight::{self, GpuPlaces};
use crate::provider::{EngineVariant, Provider};

/// The task of a builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Build the engine where it is missing.
    Build,
    /// Build it even where one exists.
    Rebuild,
    /// Compare the existing engine with the reference again.
    Verify,
}

/// The complete input of a builder process, which reads no configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BuildOrder {
    /// The task.
    pub task: Task,
    /// The model.
    pub model: ModelName,
    /// The engine variant.
    pub variant: EngineVariant,
    /// As in [`InferenceConfig`].
    pub library: PathBuf,
    /// As in [`InferenceConfig`].
    pub models_dir: PathBuf,
    /// As in [`InferenceConfig`].
    pub own_models_dir: Option<PathBuf>,
    /// As in [`InferenceConfig`].
    pub openvino_dir: PathBuf,
    /// As in [`InferenceConfig`].
    pub gpu_dirs: Vec<PathBuf>,
    /// As in [`InferenceConfig`].
    pub cache_dir: PathBuf,
    /// As in [`InferenceConfig`].
    pub threads: usize,
    /// As in [`InferenceConfig`].
    pub run_pixels_max: u64,
    /// As in [`InferenceConfig`].
    pub gpu_memory_bytes_max: u64,
    /// As in [`InferenceConfig`].
    pub cpu_features: CpuFeatures,
    /// Sessions and threads of the model's lane.
    pub session_config: SessionConfig,
}

/// A message of a builder, one line of JSON each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "say")]
pub enum BuilderMessage {
    /// The next step has begun.
    Step {
        /// The step.
        step: Step,
        /// Its detail.
        detail: String,
    },
    /// The last message: an entry exists.
    Done(Outcome),
    /// The last message: the order failed.
    Failed {
        /// The cause.
        why: String,
    },
}

/// Steps of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Waiting for another build.
    Waiting,
    /// Making the engine.
    Building,
    /// Comparing it with the reference.
    Checking,
}

/// The result of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Name of the entry's folder.
    pub entry: String,
    /// Whether it may serve.
    pub accepted: bool,
    /// The result of acceptance.
    pub summary: String,
    /// Whether the entry existed already.
    pub found: bool,
    /// Duration of the build.
    pub build_ms: u64,
    /// Duration of acceptance.
    pub acceptance_ms: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Why an order failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The catalog, the libraries or the model is wrong.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The cache's folder cannot be read or written.
    #[error("the engine cache in {}", dir.display())]
    Cache {
        /// The folder.
        dir: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The runtime could not build the engine, or not load the built one.
    #[error("{what}: {why}")]
    Runtime {
        /// The step.
        what: &'static str,
        /// The error text of the runtime.
        why: String,
    },
    /// The description has no `[acceptance]`, without which only the reference may serve.
    #[error("the description of {0} has no [acceptance]: nothing but cpu/f32 may serve it")]
    NoAcceptance(ModelName),
    /// The engine to verify is missing.
    #[error("there is no engine of {0} on {1} in the cache: build it first")]
    NothingThere(ModelName, EngineVariant),
}

impl BuildOrder {
    /// Returns an order with the values of a plane's configuration.
    pub fn new(
        config: &InferenceConfig,
        task: Task,
        model: &ModelName,
        variant: EngineVariant,
        session_config: SessionConfig,
    ) -> Self {
        Self {
            task,
            model: model.clone(),
            variant,
            library: config.library.clone(),
            models_dir: config.models_dir.clone(),
            own_models_dir: config.own_models_dir.clone(),
            openvino_dir: config.openvino_dir.clone(),
            gpu_dirs: config.gpu_dirs.clone(),
            cache_dir: config.cache_dir.clone(),
            threads: config.threads,
            run_pixels_max: config.run_pixels_max,
            gpu_memory_bytes_max: config.gpu_memory_bytes_max,
            cpu_features: config.cpu_features.clone(),
            session_config,
        }
    }

    fn config(&self) -> InferenceConfig {
        InferenceConfig {
            own_models_dir: self.own_models_dir.clone(),
            openvino_dir: self.openvino_dir.clone(),
            gpu_dirs: self.gpu_dirs.clone(),
            cache_dir: self.cache_dir.clone(),
            run_pixels_max: self.run_pixels_max,
            gpu_memory_bytes_max: self.gpu_memory_bytes_max,
            cpu_features: self.cpu_features.clone(),
            ..InferenceConfig::new(&self.library, &self.models_dir, self.threads)
        }
    }
}

/// The inside of a builder process.
pub struct Builder {
    engine_builder: EngineBuilder,
    cache: EngineCache,
    entry: ModelEntry,
    order: BuildOrder,
}

impl Builder {
    /// Loads the catalog and the runtimes that the order needs.
    pub fn open(order: BuildOrder) -> Result<Self, BuildError> {
        let config = order.config();
        let catalog = config.catalog().map_err(InferenceError::from)?;
        let entry = catalog.find(&order.model).cloned();
        let entry = entry.ok_or_else(|| InferenceError::unknown(&order.model, &catalog))?;
        if entry.acceptance.is_none() && order.variant != EngineVariant::REFERENCE {
            return Err(BuildError::NoAcceptance(order.model));
        }
        let provider = order.variant.provider;
        let places = GpuPlaces { library: order.library.clone(), dirs: order.gpu_dirs.clone() };
        let missing = preflight::missing(provider, &places);
        if !missing.is_empty() {
            return Err(InferenceError::Provider { provider, what: preflight::sentence(&missing) }.into());
        }
        let openvino = (provider == Provider::OpenVino).then(|| OpenVino::load(&order.openvino_dir));
        let openvino = openvino.transpose().map_err(InferenceError::from)?;
        let engine_builder = EngineBuilder::new(&config, openvino)?;
        Ok(Self { engine_builder, cache: EngineCache::new(order.cache_dir.clone(), 0), entry, order })
    }

    /// Carries the order out.
    pub fn run(&self, mut report: impl FnMut(Step, &str)) -> Result<Outcome, BuildError> {
        let order = &self.order;
        let key = self.engine_builder.key(&self.entry, order.variant, order.session_config);
        let failed = |source| BuildError::Cache { dir: self.cache.dir().to_owned(), source };
        let device = order.variant.provider.to_string();
        let device = if order.variant.provider.uses_cores() { "cpu" } else { &device };
        let _locks =
            self.cache.lock_for_build(&key, device, |why| report(Step::Waiting, why)).map_err(failed)?;
        let found = self.cache.find(&key).map_err(failed)?;
        match (order.task, found) {
            (Task::Build, Found::Entry(entry)) => return Ok(outcome(&entry, true)),
            (Task::Verify, Found::Entry(entry)) => return self.verify(&entry, report),
            (Task::Verify, _) => return Err(BuildError::NothingThere(order.model.clone(), order.variant)),
            (Task::Build, Found::Quarantined { reason }) => {
                report(Step::Building, &format!("building again: {reason}"))
            }
            (Task::Build | Task::Rebuild, _) => report(Step::Building, ""),
        }
        let started = Instant::now();
        let draft = self.cache.draft(&key).map_err(failed)?;
        let timed = matches!(order.variant.provider, Provider::TensorRt { .. });
        let timing = timed.then(|| self.cache.timing(&key)).transpose().map_err(failed)?;
        let source = Source::read(&self.entry)?;
        let log = self
            .engine_builder
            .build(
                order.variant,
                &self.entry,
                &source,
                order.session_config,
                BuildPlaces { dir: draft.dir(), timing: timing.as_deref() },
            )
            .map_err(|why| BuildError::Runtime { what: "building", why })?;
        let build_ms = millis(started);
        report(Step::Checking, "");
        let checking = Instant::now();
        let acceptance = self.accept(&source, draft.dir())?;
        let manifest = Manifest {
            files: Manifest::list_files(draft.dir()).map_err(failed)?,
            key,
            built_at_s: since_epoch_s(),
            build_ms,
            acceptance_ms: millis(checking),
            lector: env!("CARGO_PKG_VERSION").to_owned(),
            log: log.join("\n"),
            acceptance,
        };
        let dir = draft.publish(&self.cache, &manifest).map_err(failed)?;
        Ok(described(&dir, &manifest, false))
    }

    fn verify(&self, entry: &Entry, mut report: impl FnMut(Step, &str)) -> Result<Outcome, BuildError> {
        report(Step::Checking, "");
        let checking = Instant::now();
        let acceptance = self.accept(&Source::read(&self.entry)?, &entry.dir)?;
        let manifest =
            Manifest { acceptance, acceptance_ms: millis(checking), ..Manifest::clone(&entry.manifest) };
        let failed = |source| BuildError::Cache { dir: self.cache.dir().to_owned(), source };
        self.cache.rewrite(&entry.dir, &manifest).map_err(failed)?;
        Ok(described(&entry.dir, &manifest, true))
    }

    /// Compares the engine in `dir` with the reference.
    fn accept(&self, source: &Source, dir: &std::path::Path) -> Result<AcceptanceReport, BuildError> {
        let order = &self.order;
        let one = SessionConfig { sessions: 1, threads: order.threads };
        let candidate = self.engine_builder.load(
            order.variant,
            &self.entry,
            dir,
            source,
            SessionConfig { sessions: 1, ..order.session_config },
        );
        let mut candidate =
            candidate.map_err(|why| BuildError::Runtime { what: "loading the built engine", why })?;
        let Some(acceptance) = &self.entry.acceptance else { return Ok(AcceptanceReport::reference()) };
        let reference = self.engine_builder.make(EngineVariant::REFERENCE, source, one);
        let mut reference =
            reference.map_err(|why| BuildError::Runtime { what: "making the reference", why })?;
        let (reference, candidate) = (&mut reference, &mut candidate);
        let mut report = evaluate(&self.entry, acceptance, source, reference, candidate)
            .map_err(|why| BuildError::Runtime { what: "accepting", why })?;
        if order.variant.provider == Provider::OpenVino {
            let ratio = relative_processor_time(&self.entry, acceptance, source, reference, candidate)
                .map_err(|why| BuildError::Runtime { what: "timing", why })?;
            report.processor_time = Some(ratio);
        }
        Ok(report)
    }
}

fn outcome(entry: &Entry, found: bool) -> Outcome {
    described(&entry.dir, &entry.manifest, found)
}

fn described(dir: &std::path::Path, manifest: &Manifest, found: bool) -> Outcome {
    Outcome {
        entry: dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        accepted: manifest.acceptance.accepted,
        summary: manifest.acceptance.summary(),
        found,
        build_ms: manifest.build_ms,
        acceptance_ms: manifest.acceptance_ms,
        bytes: manifest.bytes(),
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
