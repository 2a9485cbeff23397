//! Engines for the command line and the composition root: converts configuration to tasks, and results to plain values.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use lector_core::ModelName;
use lector_inference::build::Task;
use lector_inference::cache::Collected;
use lector_inference::preflight::{self, GpuPlaces};
use lector_inference::tesseract::{self, TesseractConfig};
use lector_inference::{
    CpuFeatures, EngineCache, EngineStatus, EngineVariant, Inference, InferenceConfig, Outcome,
    PreferredProvider, Provider, Step, Task as ModelTask, VariantState, VariantStatus, gpu,
};
use lector_sandbox::Policy;

use super::child_process::command_of;
use crate::config::EnginesConfig;
use crate::metrics::{EngineSample, GpuSample, VariantSample};

/// Role of this program that builds engines.
const BUILDER: &str = "engine-builder";
/// Time after the start in which no better engine is built. A server reads its first pages, and a short command all of them.
const START_PAUSE: Duration = Duration::from_secs(3);
/// Role of this program that reads lines with libtesseract.
const TESSERACT_WORKER: &str = "tesseract-worker";

/// Returns the configuration of the inference crate.
pub(super) fn config(config: &EnginesConfig, policy: Policy) -> anyhow::Result<InferenceConfig> {
    let preferences = |key: &str, words: &[String]| {
        words
            .iter()
            .map(|word| word.parse().map_err(|error| anyhow::anyhow!("{key}: {error}")))
            .collect::<anyhow::Result<Vec<PreferredProvider>>>()
    };
    let single = config.model_providers.iter().map(|(model, words)| {
        Ok((model.clone(), preferences(&format!("engines.model_providers.{model}"), words)?))
    });
    let defaults = InferenceConfig::new(&config.library, &config.models_dir, config.threads);
    Ok(InferenceConfig {
        own_models_dir: Some(config.own_models_dir.clone()),
        openvino_dir: config.openvino_dir.clone(),
        gpu_dirs: config.gpu_dirs.clone(),
        providers: preferences("engines.providers", &config.providers)?,
        cpu_features: CpuFeatures::parse(&config.cpu_features).context("engines.cpu_features")?,
        model_providers: single.collect::<anyhow::Result<_>>()?,
        cache_dir: config.cache_dir.clone(),
        cache_bytes_max: config.cache_bytes_max,
        builder_command: if config.build { command_of(BUILDER)? } else { Vec::new() },
        build_timeout: config.build_timeout,
        start_pause: START_PAUSE,
        gpu_memory_bytes_max: config.gpu_memory_bytes_max,
        queue_items_max: config.queue_items_max,
        tesseract: TesseractConfig {
            dir: config.tesseract_dir.clone(),
            worker_command: command_of(TESSERACT_WORKER)?,
            sandbox: policy,
        },
        ..defaults
    })
}

/// An engine of the cache, to print.
#[derive(Clone, Debug)]
pub struct EngineLine {
    /// Name of the entry.
    pub entry: String,
    /// Name of the model.
    pub model: String,
    /// Provider and precision.
    pub variant: String,
    /// Whether acceptance passed.
    pub accepted: bool,
    /// Result of the acceptance.
    pub summary: String,
    /// Size of its files.
    pub bytes: u64,
    /// Seconds since the build.
    pub age_s: u64,
    /// Seconds since the last use; `None`: never used.
    pub unused_s: Option<u64>,
    /// Duration of the build in seconds.
    pub build_s: f64,
}

/// Content of the cache.
#[derive(Clone, Debug)]
pub struct EngineLines {
    /// Its engines.
    pub engines: Vec<EngineLine>,
    /// Quarantined entries, and the reason.
    pub quarantine: Vec<(String, String)>,
}

/// Reads the cache without loading an engine.
pub fn engines_list(config: &EnginesConfig) -> anyhow::Result<EngineLines> {
    let cache = EngineCache::new(config.cache_dir.clone(), config.cache_bytes_max);
    let failed = || format!("reading the engine cache in {}", config.cache_dir.display());
    let now = SystemTime::now();
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let lines = cache.entries().with_context(failed)?.into_iter().map(|(dir, manifest)| {
        let used = EngineCache::last_used(&dir).and_then(|used| now.duration_since(used).ok());
        EngineLine {
            entry: dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            model: manifest.key.model.clone(),
            variant: manifest.key.variant.to_string(),
            accepted: manifest.acceptance.accepted,
            summary: manifest.acceptance.summary(),
            bytes: manifest.bytes(),
            age_s: since_epoch.saturating_sub(manifest.built_at_s),
            unused_s: used.map(|used| used.as_secs()),
            build_s: manifest.build_ms as f64 / 1e3,
        }
    });
    let engines = lines.collect();
    let aside = cache.quarantined().with_context(failed)?.into_iter();
    let name = |dir: std::path::PathBuf| dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(EngineLines { engines, quarantine: aside.map(|(dir, reason)| (name(dir), reason)).collect() })
}

/// Removes the least recently used engines until the limit is met.
pub fn engines_collect(config: &EnginesConfig, bytes_max: Option<u64>) -> anyhow::Result<Collected> {
    let cache = EngineCache::new(config.cache_dir.clone(), config.cache_bytes_max);
    cache
        .collect(bytes_max)
        .with_context(|| format!("collecting the engine cache in {}", config.cache_dir.display()))
}

/// Copies an entry out of the cache.
pub fn engines_export(config: &EnginesConfig, entry: &str, to: &Path) -> anyhow::Result<PathBuf> {
    let cache = EngineCache::new(config.cache_dir.clone(), config.cache_bytes_max);
    cache.export(entry, to).with_context(|| format!("copying the engine {entry} to {}", to.display()))
}

/// Copies an entry into the cache and returns its name.
pub fn engines_import(config: &EnginesConfig, from: &Path) -> anyhow::Result<String> {
    let cache = EngineCache::new(config.cache_dir.clone(), config.cache_bytes_max);
    cache.import(from).with_context(|| format!("importing the engine in {}", from.display()))
}

/// Task of a command on engines.
#[derive(Clone, Debug)]
pub struct EngineOrder {
    /// Names of models; empty: the whole catalog.
    pub models: Vec<String>,
    /// Engine variant; `None`: all of the model's provider preference list.
    pub variant: Option<String>,
    /// The task.
    pub task: Task,
}

/// Returns an engine plane that loads nothing and builds engines on request, even if the configuration disables builds.
pub(super) fn orderer(config: &EnginesConfig) -> anyhow::Result<Arc<Inference>> {
    // No lane is opened here, so no worker is started.
    let plane =
        InferenceConfig { builder_command: command_of(BUILDER)?, ..self::config(config, Policy::Enforce)? };
    Inference::start(plane).context("starting the engines")
}

/// Builds or verifies engines, each in a separate process, one after another. Calls `on_progress` for every step and
/// `done` for every result.
pub fn engines_order(
    config: &EnginesConfig,
    order: &EngineOrder,
    mut on_progress: impl FnMut(&str, &str, Step),
    mut done: impl FnMut(&str, &str, Result<&Outcome, &str>),
) -> anyhow::Result<()> {
    let variant = order.variant.as_deref().map(str::parse::<EngineVariant>).transpose()?;
    let inference = orderer(config)?;
    let catalog = inference.catalog();
    // libtesseract has nothing to build.
    let built = catalog.entries().iter().filter(|entry| entry.task != ModelTask::Transcription);
    let known = built.map(|entry| entry.name.clone());
    let models: Vec<ModelName> = if order.models.is_empty() {
        known.collect()
    } else {
        order.models.iter().map(|name| ModelName::from(name.as_str())).collect()
    };
    for model in &models {
        if catalog.find(model).is_none() {
            bail!("model {model} is not in the catalog: see `lector models list`");
        }
        let variants =
            variant.map_or_else(|| inference.preference(model).variants.clone(), |variant| vec![variant]);
        for variant in variants {
            let (name, place) = (model.to_string(), variant.to_string());
            let outcome =
                inference.order(order.task, model, variant, |step, _| on_progress(&name, &place, step));
            done(&name, &place, outcome.as_ref().map_err(String::as_str));
        }
    }
    Ok(())
}

/// Returns the state of a model's engines, for metrics, readiness and the API.
pub(super) fn reading(status: EngineStatus) -> EngineSample {
    let serving = status.serving;
    EngineSample {
        model: status.model.to_string(),
        serving: serving.as_ref().map_or_else(|| "none".to_owned(), |serving| serving.variant.to_string()),
        entry: serving.as_ref().and_then(|serving| serving.entry.clone()),
        serving_for: serving.as_ref().and_then(|serving| serving.since.elapsed().ok()).unwrap_or_default(),
        load: serving.map(|serving| serving.load).unwrap_or_default(),
        upgrading: status.upgrading,
        variants: status.variants.into_iter().map(variant_sample).collect(),
        reasons: status.reasons,
    }
}

fn variant_sample(status: VariantStatus) -> VariantSample {
    let state = status.state.as_str();
    let (attempts, slow_retry, retry_in) = match status.state {
        VariantState::Failed { attempts, slow, again, .. } => {
            (Some(attempts), slow, Some(again.saturating_duration_since(Instant::now())))
        }
        _ => (None, false, None),
    };
    let (why, building_for, estimate) = match status.state {
        VariantState::Failed { why, .. } | VariantState::Excluded { why } => (Some(why), None, None),
        VariantState::Building { since, estimate, .. } => (None, Some(since.elapsed()), estimate),
        _ => (None, None, None),
    };
    let built = status.built;
    VariantSample {
        variant: status.variant.to_string(),
        state,
        why,
        attempts,
        slow_retry,
        retry_in,
        building_for,
        estimate,
        entry: built.as_ref().map(|built| built.entry.clone()),
        bytes: built.as_ref().map(|built| built.bytes),
        build: built.as_ref().map(|built| built.build),
        acceptance: built.as_ref().map(|built| built.acceptance),
        acceptance_summary: built.map(|built| built.summary),
    }
}

/// Returns the sample of a device under the names of its metrics.
pub(super) fn gpu_sample(gpu: lector_inference::gpu::GpuSample) -> GpuSample {
    let figures = [
        ("lector_gpu_busy_ratio", gpu.busy),
        ("lector_gpu_memory_used_bytes", gpu.memory_used_bytes.map(|bytes| bytes as f64)),
        ("lector_gpu_own_memory_bytes", gpu.own_memory_bytes.map(|bytes| bytes as f64)),
        ("lector_gpu_memory_bytes", gpu.memory_bytes.map(|bytes| bytes as f64)),
        ("lector_gpu_temperature_celsius", gpu.temperature_c.map(f64::from)),
        ("lector_gpu_power_watts", gpu.power_w),
        ("lector_gpu_clock_megahertz", gpu.clock_mhz.map(f64::from)),
    ];
    let known = figures.into_iter().filter_map(|(name, figure)| Some((name, figure?)));
    GpuSample { device: format!("{} {}", gpu.number, gpu.name), values: known.collect() }
}

/// GPUs of this machine, and missing libraries.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Preflight {
    /// Devices that NVML reports.
    pub devices: Vec<PreflightDevice>,
    /// GPU providers, each with its missing libraries.
    pub providers: Vec<PreflightProvider>,
}

/// A device.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PreflightDevice {
    /// Device number as in `cuda:0`.
    pub number: u32,
    /// Product name.
    pub name: String,
    /// Version of the driver.
    pub driver: String,
    /// Compute capability, name and memory.
    pub architecture: String,
}

/// A provider of GPUs.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PreflightProvider {
    /// `cuda` or `tensorrt`.
    pub provider: &'static str,
    /// Libraries that could not be loaded.
    pub missing: Vec<PreflightLibrary>,
    /// Versions of the loaded libraries.
    pub versions: BTreeMap<String, String>,
}

/// A missing library.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PreflightLibrary {
    /// File name.
    pub file: String,
    /// Package that provides it.
    pub from: String,
    /// Error of the loader.
    pub why: String,
}

/// Loads every library as its provider would, and reports the result.
pub fn engines_preflight(config: &EnginesConfig) -> Preflight {
    let places = GpuPlaces { library: config.gpu_library.clone(), dirs: config.gpu_dirs.clone() };
    let devices = gpu::cards().into_iter().map(|card| PreflightDevice {
        number: card.number,
        architecture: card.architecture(),
        name: card.name,
        driver: card.driver,
    });
    let provider = |provider: Provider| {
        let missing = preflight::missing(provider, &places).into_iter();
        let library = |one: preflight::MissingLibrary| {
            let preflight::MissingLibrary { file, from, why } = one;
            PreflightLibrary { file, from, why }
        };
        let versions = gpu::library_versions(provider);
        PreflightProvider { provider: provider.as_str(), missing: missing.map(library).collect(), versions }
    };
    let providers = [Provider::Cuda { device: 0 }, Provider::TensorRt { device: 0 }];
    Preflight { devices: devices.collect(), providers: providers.map(provider).into() }
}

/// Runs this process as an engine builder.
pub fn engine_builder() -> ExitCode {
    lector_inference::builder_main()
}

/// Runs this process as a worker of libtesseract.
pub fn tesseract_worker(arguments: &[OsString]) -> ExitCode {
    tesseract::worker_main(arguments)
}
