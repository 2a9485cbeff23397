//! The composition root: from a [`Config`] to a running [`Host`].
//!
//! The only file that names the concrete engines, renderers and sandbox. Everything else sees them
//! through the control plane and the document service, or through the plain answers of the functions below.

mod engines;
mod models;
mod status_snapshot;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use lector_control::ControlPlane;
use lector_core::Fault;
use lector_document::{DocumentConfig, DocumentWorkers};
use lector_inference::Inference;
use lector_runtime::{CompilerConfig, Runtime, RuntimeConfig, component_within};
use lector_serving::{DocumentService, GuestLoader};

use crate::config::{Config, DocumentsConfig, HttpConfig};
use crate::http::AppState;
use crate::metrics::Metrics;
use status_snapshot::HostStatus;

/// The rooms, running.
pub struct Host {
    /// Tenants, keys, deployments.
    pub control: Arc<ControlPlane>,
    /// Reads documents.
    pub service: Arc<DocumentService>,
    documents: Arc<DocumentWorkers>,
    inference: Arc<Inference>,
    runtime: Arc<Runtime>,
    config: Config,
}

impl Host {
    /// Starts every room; what cannot start is an error that names it. Each step is logged with its time.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let started = Instant::now();
        let documents = DocumentWorkers::start(documents(&config.documents)?);
        let documents = timed("render workers", documents).await.context("starting the render workers")?;
        let engines = engines::config(&config.engines)?;
        let starting = tokio::task::spawn_blocking(move || Inference::start(engines));
        let inference = timed("engines", starting).await.context("starting the engines")??;
        let runtime =
            Runtime::new(runtime(config)?, inference.clone()).context("starting the guest runtime")?;
        // Opens the models that the guests, with their settings, declare.
        let loader = Arc::new(GuestLoader::new(runtime.clone()));
        let control =
            ControlPlane::start(config.control.clone(), loader, inference.clone(), documents.clone());
        let control = timed("deployments", control).await.context("starting the deployments")?;
        let service = DocumentService::start(&config.serving, control.clone(), documents.clone())
            .context("starting the document service")?;
        tracing::info!(took_ms = started.elapsed().as_millis() as u64, "host started");
        Ok(Self { control, service, documents, inference, runtime, config: config.clone() })
    }

    /// What the gateway serves from, within these limits.
    pub fn app_state(&self, http: HttpConfig) -> AppState {
        let parts = Arc::new(HostStatus {
            inference: self.inference.clone(),
            documents: self.documents.clone(),
            runtime: self.runtime.clone(),
            instances_max: self.config.guests.instances_max,
        });
        AppState::new(self.service.clone(), Metrics::new(self.service.clone(), parts), http)
    }

    /// Ends what is behind the document service. A caller that wants documents finished drains the service first.
    pub async fn stop(self) {
        self.documents.shutdown().await;
        let inference = self.inference;
        // Joining threads that may be in the middle of a run blocks.
        if tokio::task::spawn_blocking(move || inference.shutdown()).await.is_err() {
            tracing::warn!("the engines did not end in order");
        }
    }
}

async fn timed<T>(step: &'static str, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let done = work.await;
    tracing::info!(step, took_ms = started.elapsed().as_millis() as u64, "start");
    done
}

fn documents(config: &DocumentsConfig) -> anyhow::Result<DocumentConfig> {
    Ok(DocumentConfig {
        pdfium_dir: config.pdfium_dir.clone(),
        worker_command: myself("render-worker")?,
        workers: config.workers,
        open_timeout: config.open_timeout,
        text_timeout: config.text_timeout,
        render_timeout: config.render_timeout,
        worker_memory_bytes: config.worker_memory_bytes,
        image_pixels_max: config.image_pixels_max,
        pages_max: config.pages_max,
        text_characters_max: config.text_characters_max,
        text_words_max: config.text_words_max,
    })
}

/// This program, as a process for something that may die.
fn myself(role: &str) -> anyhow::Result<Vec<OsString>> {
    let program =
        std::env::current_exe().with_context(|| format!("finding the program that becomes the {role}"))?;
    Ok(vec![program.into_os_string(), OsString::from(role)])
}

fn runtime(config: &Config) -> anyhow::Result<RuntimeConfig> {
    let compiler = CompilerConfig {
        command: myself("component-compiler")?,
        timeout: config.guests.compile_timeout,
        memory_bytes: config.guests.compile_memory_bytes,
    };
    Ok(RuntimeConfig {
        compiler: Some(compiler),
        code_cache_dir: config.guests.code_cache_dir.clone(),
        code_cache_bytes_max: config.guests.code_cache_bytes_max,
        instances_max: config.guests.instances_max,
        memory_bytes_max: config.guests.memory_bytes_max,
        ..RuntimeConfig::default()
    })
}

/// What the configuration names and the machine lacks, in one sentence; `None`: nothing.
pub fn missing_for_reading(config: &Config) -> Option<String> {
    let library = &config.engines.library;
    if !library.is_file() {
        return Some(format!("ONNX Runtime is not at {}; `cargo xtask setup` fetches it", library.display()));
    }
    let pdfium = &config.documents.pdfium_dir;
    if !pdfium.is_dir() {
        return Some(format!("pdfium is not in {}; `cargo xtask setup` fetches it", pdfium.display()));
    }
    match models(&config.engines) {
        Ok(models) => {
            let missing = models.iter().find(|model| !model.present)?;
            Some(format!("the weights of {} are missing; `cargo xtask setup` fetches them", missing.name))
        }
        Err(error) => Some(format!(
            "{error:#}; where the program stands apart from its checkout, engines.models_dir names the folder \
             (LECTOR__ENGINES__MODELS_DIR in the environment)"
        )),
    }
}

/// A component as its bytes describe it.
#[derive(Debug)]
pub struct GuestReport {
    /// Lines for people.
    pub report: String,
    /// Whether this host could run it.
    pub verdict: Result<(), Fault>,
}

/// Looks into a component without running it; a fault where the bytes are none.
pub fn inspect_guest(wasm: &[u8]) -> Result<GuestReport, Fault> {
    let inspection = Runtime::inspect(wasm)?;
    let world =
        inspection.world.as_deref().map_or("none".to_owned(), |version| format!("lector:ocr@{version}"));
    let imports: Vec<String> = inspection.imports.iter().map(|name| format!("          {name}\n")).collect();
    let batching = if inspection.has_batching_policy() { "a program of its own" } else { "as declared" };
    let report = format!(
        "world     {world}\nbatching  {batching}\nbytes     {}\nsha256    {}\nimports   {}\n{}",
        inspection.bytes,
        inspection.sha256,
        inspection.imports.len(),
        imports.concat(),
    );
    let bytes_max = RuntimeConfig::default().component_bytes_max;
    let verdict = inspection.check().and_then(|()| component_within(inspection.bytes, bytes_max));
    Ok(GuestReport { report, verdict })
}

pub use engines::{
    EngineLines, EngineOrder, engine_builder, engines_collect, engines_export, engines_import, engines_list,
    engines_order, engines_preflight,
};
pub use models::{
    ModelLine, ModelOrder, Told, model_sheet, models, models_add, models_backup, models_restore,
    models_verify, own_models,
};

/// The body of a compiler's process.
pub fn component_compiler() -> ExitCode {
    lector_runtime::compiler_main()
}

/// The body of a render worker process. Nothing may have started a thread before.
pub fn render_worker() -> ExitCode {
    lector_document::worker_main()
}
