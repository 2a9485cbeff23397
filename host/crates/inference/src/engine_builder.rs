//! The engine builder: makes engines of a model for an engine variant, directly from the model, into files, and from
//! files.
//!
//! Owns the loaded runtimes (ONNX Runtime's environment, OpenVINO), the mapping of variants to runtimes, and the keys
//! of engines. Called when a lane is opened, and by builds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lector_core::model::PortInfo;
use ort::environment::Environment;

use crate::cache::EngineKey;
use crate::catalog::{ModelEntry, Reduce};
use crate::config::{InferenceConfig, SessionConfig};
use crate::ctc;
use crate::engine::{Engine, InParts};
use crate::environment::{environment, onnxruntime_version};
use crate::error::InferenceError;
use crate::gpu;
use crate::machine::Machine;
use crate::onnx;
use crate::openvino::{CompileOptions, Compiled, OpenVino};
use crate::profile::Profile;
use crate::provider::{EngineVariant, Precision, Provider};
use crate::session::{Graph, OrtEngine, Recipe, ports};

/// File of an engine of ONNX Runtime's own kernels: the optimized graph.
const ORT_FILE: &str = "engine.onnx";
/// Why no engine of libtesseract is made here.
const NOT_BUILT: &str = "libtesseract reads its language data itself: it has no engine to build";
/// File of an OpenVINO engine: the compiled model.
const OPENVINO_FILE: &str = "engine.blob";
/// File of a TensorRT engine: a graph of one node that contains the engine.
const TENSORRT_FILE: &str = "engine_ctx.onnx";

/// The loaded runtimes.
pub(crate) struct EngineBuilder {
    environment: Environment,
    openvino: Option<OpenVino>,
    machine: Machine,
    library: PathBuf,
    shared_arena: bool,
    gpu_memory_bytes_max: u64,
    run_pixels_max: u64,
}

/// The folders of a build.
#[derive(Clone, Copy)]
pub(crate) struct BuildPlaces<'a> {
    /// The engine's files.
    pub(crate) dir: &'a Path,
    /// TensorRT's timings on this device: each build reuses those of earlier ones.
    pub(crate) timing: Option<&'a Path>,
}

/// A model as a runtime loads it.
pub(crate) struct Source {
    /// The serialized model.
    onnx: Vec<u8>,
    /// The output to which the host appends the CTC reduction.
    logits: Option<onnx::Port>,
    /// Names of its inputs.
    pub(crate) inputs: Vec<String>,
    /// Names of its outputs.
    pub(crate) outputs: Vec<String>,
    /// Texts of its classes.
    pub(crate) labels: Vec<String>,
}

/// Engines of one model on one variant.
pub(crate) struct LoadedEngine {
    /// One for each session.
    pub(crate) engines: Vec<Box<dyn Engine>>,
    pub(crate) inputs: Vec<PortInfo>,
    pub(crate) outputs: Vec<PortInfo>,
}

impl Source {
    /// Reads and checks the model's files.
    pub(crate) fn read(entry: &ModelEntry) -> Result<Self, InferenceError> {
        Self::of(entry, entry.read_weights()?)
    }

    /// Makes a source of other weights of the model.
    pub(crate) fn of(entry: &ModelEntry, onnx: Vec<u8>) -> Result<Self, InferenceError> {
        let labels = entry.read_labels(&onnx)?;
        let (inputs, mut outputs) = (onnx::inputs(&onnx), onnx::outputs(&onnx));
        let mut logits = None;
        if let Some(Reduce::Ctc) = entry.engine.reduce {
            let mut ports = onnx::output_ports(&onnx);
            logits = ports.pop().filter(|_| ports.is_empty());
            if logits.is_none() {
                let what = format!("engine.reduce takes a model with one output, not with {outputs:?}");
                return Err(InferenceError::Model { model: entry.name.clone(), what });
            }
            outputs.extend([ctc::IDS, ctc::CONFIDENCE].map(str::to_owned));
        }
        Ok(Self { onnx, logits, inputs, outputs, labels })
    }

    /// Returns the serialized model with the parts that the host appends for the runtime.
    fn for_runtime(&self, provider: Provider) -> Cow<'_, [u8]> {
        let Some(logits) = &self.logits else { return Cow::Borrowed(&self.onnx) };
        let classes = logits.shape.as_ref().and_then(|shape| shape.last().copied().flatten());
        let tail = match (provider, classes.and_then(|classes| i32::try_from(classes).ok())) {
            (Provider::OpenVino, Some(classes)) => ctc::comparing_tail(&logits.name, classes),
            _ => ctc::tail(&logits.name),
        };
        Cow::Owned([&self.onnx[..], &tail].concat())
    }
}

impl EngineBuilder {
    /// Loads ONNX Runtime. The caller loads OpenVINO where it is wanted.
    pub(crate) fn new(config: &InferenceConfig, openvino: Option<OpenVino>) -> Result<Self, InferenceError> {
        Ok(Self {
            environment: environment(&config.library)?,
            openvino,
            machine: Machine::detect(&config.cpu_features),
            library: config.library.clone(),
            shared_arena: config.shared_arena,
            gpu_memory_bytes_max: config.gpu_memory_bytes_max,
            run_pixels_max: config.run_pixels_max,
        })
    }

    /// Returns the key of the engine of a model on a variant, on this machine with its current libraries.
    pub(crate) fn key(
        &self,
        entry: &ModelEntry,
        variant: EngineVariant,
        session_config: SessionConfig,
    ) -> EngineKey {
        let mut libraries = BTreeMap::new();
        let mut options = BTreeMap::new();
        let mut shapes = "any".to_owned();
        let (mut driver, mut device) = (String::new(), self.machine.cpu_key());
        if variant.provider != Provider::OpenVino {
            libraries.insert("onnxruntime".to_owned(), onnxruntime_version(&self.library));
        }
        match variant.provider {
            Provider::Cpu => {
                options.insert("optimization".to_owned(), "all".to_owned());
            }
            Provider::OpenVino => {
                let version = self.openvino.as_ref().map_or("", OpenVino::version);
                libraries.insert("openvino".to_owned(), version.to_owned());
                options.insert("streams".to_owned(), session_config.sessions.to_string());
                options.insert(
                    "threads".to_owned(),
                    (session_config.sessions * session_config.threads).to_string(),
                );
            }
            // Never in the cache.
            Provider::Tesseract => {}
            Provider::Cuda { device: number } | Provider::TensorRt { device: number } => {
                libraries.extend(gpu::library_versions(variant.provider));
                let card = gpu::describe(number);
                driver = card.as_ref().map_or_else(|| "unknown".to_owned(), |card| card.driver.clone());
                device = card.map_or_else(|| "unknown".to_owned(), |card| card.architecture());
                if let Provider::TensorRt { .. } = variant.provider {
                    shapes = Profile::of(entry, self.run_pixels_max).to_string();
                    options.insert("optimization_level".to_owned(), crate::session::TRT_LEVEL.to_string());
                }
            }
        }
        EngineKey {
            layout: crate::cache::LAYOUT,
            model: entry.name.to_string(),
            model_sha256: entry.weights.sha256.as_str().to_owned(),
            reduce: entry.engine.reduce.map_or("", |Reduce::Ctc| reduction(variant.provider)).to_owned(),
            variant,
            libraries,
            driver,
            device,
            shapes,
            options,
            acceptance: entry.acceptance.as_ref().map_or_else(String::new, |a| a.digest.clone()),
        }
    }

    /// Makes engines directly from the model.
    pub(crate) fn make(
        &self,
        variant: EngineVariant,
        source: &Source,
        session_config: SessionConfig,
    ) -> Result<LoadedEngine, String> {
        let made = on_a_named_thread(|| self.make_here(variant, source, session_config))?;
        Ok(row_by_row(made, variant))
    }

    fn make_here(
        &self,
        variant: EngineVariant,
        source: &Source,
        session_config: SessionConfig,
    ) -> Result<LoadedEngine, String> {
        match variant.provider {
            Provider::OpenVino => {
                let compiled = self.openvino()?.compile(
                    &source.for_runtime(variant.provider),
                    compile_options(variant, session_config),
                )?;
                of_compiled(&compiled, source, session_config)
            }
            Provider::Cpu => {
                self.sessions(variant, session_config, Graph::Model(&source.for_runtime(variant.provider)))
            }
            Provider::Cuda { .. } => {
                self.sessions(variant, session_config, Graph::Model(&source.for_runtime(variant.provider)))
            }
            Provider::TensorRt { .. } => Err("a TensorRT engine must be built before it is used".to_owned()),
            Provider::Tesseract => Err(NOT_BUILT.to_owned()),
        }
    }

    /// Builds an engine into files of `dir` and returns the lines of its log. Slow; never called for a request.
    pub(crate) fn build(
        &self,
        variant: EngineVariant,
        entry: &ModelEntry,
        source: &Source,
        session_config: SessionConfig,
        places: BuildPlaces<'_>,
    ) -> Result<Vec<String>, String> {
        let dir = places.dir;
        match variant.provider {
            Provider::Cpu => {
                let mut recipe = self.recipe(variant, session_config);
                recipe.dump = Some(dir.join(ORT_FILE));
                recipe.build(&Graph::Model(&source.for_runtime(variant.provider)))?;
                Ok(vec![format!("optimized graph for {}", self.machine.cpu_key())])
            }
            Provider::OpenVino => {
                let openvino = self.openvino()?;
                let compiled = openvino.compile(
                    &source.for_runtime(variant.provider),
                    compile_options(variant, session_config),
                )?;
                compiled.export(&dir.join(OPENVINO_FILE))?;
                let line = |key: &str| {
                    format!("{key} = {}", compiled.property(key).unwrap_or_else(|| "not reported".to_owned()))
                };
                let keys = ["INFERENCE_PRECISION_HINT", "NUM_STREAMS", "INFERENCE_NUM_THREADS"];
                Ok([format!("OpenVINO {}", openvino.version())].into_iter().chain(keys.map(line)).collect())
            }
            // CUDA has nothing to cache; the entry records the acceptance.
            Provider::Cuda { .. } => Ok(vec!["sessions are made from the model at every start".to_owned()]),
            Provider::TensorRt { .. } => {
                let mut recipe = self.recipe(variant, session_config);
                let profile = Profile::of(entry, self.run_pixels_max);
                let input = source.inputs.first().ok_or_else(|| "the model has no input".to_owned())?;
                recipe.tensorrt = Some((profile, input.clone()));
                recipe.dump = Some(dir.join(TENSORRT_FILE));
                recipe.timing = places.timing.map(Path::to_owned);
                recipe.build(&Graph::Model(&source.for_runtime(variant.provider)))?;
                Ok(vec![format!("profile of `{input}`: {profile}")])
            }
            Provider::Tesseract => Err(NOT_BUILT.to_owned()),
        }
    }

    /// Loads engines from the files that [`build`](Self::build) made.
    pub(crate) fn load(
        &self,
        variant: EngineVariant,
        entry: &ModelEntry,
        dir: &Path,
        source: &Source,
        session_config: SessionConfig,
    ) -> Result<LoadedEngine, String> {
        let loaded = on_a_named_thread(|| self.load_here(variant, entry, dir, source, session_config))?;
        Ok(row_by_row(loaded, variant))
    }

    fn load_here(
        &self,
        variant: EngineVariant,
        entry: &ModelEntry,
        dir: &Path,
        source: &Source,
        session_config: SessionConfig,
    ) -> Result<LoadedEngine, String> {
        match variant.provider {
            Provider::Cpu => self.sessions(variant, session_config, Graph::Optimized(&dir.join(ORT_FILE))),
            Provider::Cuda { .. } => self.make_here(variant, source, session_config),
            Provider::TensorRt { .. } => {
                let made = self.sessions(variant, session_config, Graph::File(&dir.join(TENSORRT_FILE)))?;
                let rows_max = Profile::of(entry, self.run_pixels_max).max[0] as usize;
                let in_parts = |engine| Box::new(InParts { engine, rows_max }) as Box<dyn Engine>;
                Ok(LoadedEngine { engines: made.engines.into_iter().map(in_parts).collect(), ..made })
            }
            Provider::OpenVino => {
                let path = dir.join(OPENVINO_FILE);
                let blob =
                    std::fs::read(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
                let compiled = self.openvino()?.import(blob, compile_options(variant, session_config))?;
                of_compiled(&compiled, source, session_config)
            }
            Provider::Tesseract => Err(NOT_BUILT.to_owned()),
        }
    }

    fn openvino(&self) -> Result<&OpenVino, String> {
        self.openvino.as_ref().ok_or_else(|| "OpenVINO is not loaded".to_owned())
    }

    fn recipe(&self, variant: EngineVariant, session_config: SessionConfig) -> Recipe<'_> {
        let on_cores = variant.provider.uses_cores();
        Recipe {
            environment: &self.environment,
            variant,
            threads: if on_cores { session_config.threads } else { 1 },
            shared_arena: self.shared_arena && on_cores,
            gpu_memory_bytes_max: self.gpu_memory_bytes_max,
            tensorrt: None,
            dump: None,
            timing: None,
        }
    }

    fn sessions(
        &self,
        variant: EngineVariant,
        session_config: SessionConfig,
        graph: Graph<'_>,
    ) -> Result<LoadedEngine, String> {
        let recipe = self.recipe(variant, session_config);
        let sessions =
            (0..session_config.sessions).map(|_| recipe.build(&graph)).collect::<Result<Vec<_>, _>>()?;
        let (inputs, outputs) = ports(sessions.first().ok_or_else(|| "no session".to_owned())?)?;
        let engines = sessions.into_iter().map(|s| Box::new(OrtEngine(s)) as Box<dyn Engine>).collect();
        Ok(LoadedEngine { engines, inputs, outputs })
    }
}

/// Runs `work` on a thread named `engine-compute`. The threads that a runtime starts inherit the name, so that system
/// tools and the bench can identify them.
fn on_a_named_thread<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("engine-compute".to_owned());
        let thread = thread.spawn_scoped(scope, work).map_err(|e| format!("cannot start a thread: {e}"))?;
        thread.join().unwrap_or_else(|_| Err("the runtime panicked while it made the engine".to_owned()))
    })
}

fn compile_options(variant: EngineVariant, session_config: SessionConfig) -> CompileOptions {
    CompileOptions {
        streams: session_config.sessions,
        threads: session_config.sessions * session_config.threads,
        bf16: variant.precision == Precision::Bf16,
    }
}

/// Names the form of the CTC reduction in an engine's key.
fn reduction(provider: Provider) -> &'static str {
    match provider {
        Provider::OpenVino => "ctc-comparing",
        _ => "ctc",
    }
}

/// Lets each engine on cores run a batch row by row (ADR 0162). Rows in one run do not make a row cheaper there, but a runtime
/// holds the results of every operator for all rows of a run, and OpenVINO compiles for each pair of rows and width. Only where
/// the model declares that the first axis of every input and output is variable.
fn row_by_row(made: LoadedEngine, variant: EngineVariant) -> LoadedEngine {
    let by_rows = |port: &PortInfo| port.shape.first() == Some(&-1);
    if !variant.provider.uses_cores() || !made.inputs.iter().chain(&made.outputs).all(by_rows) {
        return made;
    }
    let in_rows = |engine| Box::new(InParts { engine, rows_max: 1 }) as Box<dyn Engine>;
    LoadedEngine { engines: made.engines.into_iter().map(in_rows).collect(), ..made }
}

/// Makes the requests of one compiled model, which share its weights.
fn of_compiled(
    compiled: &Compiled,
    source: &Source,
    session_config: SessionConfig,
) -> Result<LoadedEngine, String> {
    let (inputs, outputs) = compiled.ports(&source.outputs)?;
    let engines = (0..session_config.sessions)
        .map(|_| Ok(Box::new(compiled.engine()?) as Box<dyn Engine>))
        .collect::<Result<_, String>>()?;
    Ok(LoadedEngine { engines, inputs, outputs })
}
