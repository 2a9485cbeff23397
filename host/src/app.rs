//! The composition root: builds a running [`Host`] from a [`Config`].
//!
//! The only module that names the concrete engines, renderers and sandbox. Other modules use the control plane, the
//! document service, and the functions below, which return plain values.

mod child_process;
mod engines;
mod models;
mod status_snapshot;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use lector_control::store::{SqliteJobStore, SqliteStore, Store, StoreError, when_free};
use lector_control::{ControlPlane, SystemClock};
use lector_core::Fault;
use lector_document::{DocumentConfig, DocumentWorkers};
use lector_inference::Inference;
use lector_jobs::{Jobs, Parts};
use lector_runtime::{
    CompilerConfig, InstalledCodeConfig, Runtime, RuntimeConfig, component_within, installable_code,
};
use lector_sandbox::Policy;
use lector_serving::{DocumentService, GuestLoader};

use crate::config::{
    ARCHIVE_CODE, ARCHIVE_MARKER, Config, DocumentsConfig, HttpConfig, SandboxPolicy, archive_dir,
};
use crate::handover::Predecessor;
use crate::http::AppState;
use crate::metrics::Metrics;
use crate::webhooks::WebhookClient;
use child_process::command_of;
use status_snapshot::HostStatus;

/// The running server without its HTTP gateway.
pub struct Host {
    /// Tenants, keys and deployments.
    pub control: Arc<ControlPlane>,
    /// The document service.
    pub service: Arc<DocumentService>,
    documents: Arc<DocumentWorkers>,
    inference: Arc<Inference>,
    runtime: Arc<Runtime>,
    config: Config,
    /// Longest wait for the locks of a predecessor.
    data_wait: Duration,
    webhooks: OnceLock<Arc<WebhookClient>>,
}

impl Host {
    /// Starts every part; the error names the part that failed. Logs the time of each step.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        Self::start_after(config, None).await
    }

    /// Starts every part, those with the data folder after the predecessor has ended, if there is one.
    pub(crate) async fn start_after(
        config: &Config,
        predecessor: Option<Predecessor>,
    ) -> anyhow::Result<Self> {
        let started = Instant::now();
        // Side by side: the workers are processes, and the engines load their libraries.
        let documents = DocumentWorkers::start(documents(&config.documents)?);
        let engines = engines::config(&config.engines, sandbox(config.documents.sandbox))?;
        let starting = tokio::task::spawn_blocking(move || Inference::start(engines));
        let (documents, inference) =
            tokio::join!(timed("render workers", documents), timed("engines", starting));
        let documents = documents.context("starting the render workers")?;
        let inference = inference.context("starting the engines")??;
        let runtime =
            Runtime::new(runtime(config)?, inference.clone()).context("starting the guest runtime")?;
        // Loads the models that a guest's `configure` declares.
        let loader = Arc::new(GuestLoader::new(runtime.clone()));
        let data_wait = match predecessor {
            Some(predecessor) => {
                tracing::info!("prepared: waiting for the data folder of the predecessor");
                predecessor.report_prepared()?
            }
            None => Duration::ZERO,
        };
        let store: Arc<dyn Store> = Arc::new(match &config.control.data_dir {
            Some(dir) => when_free(data_wait, || SqliteStore::open(dir)).await?,
            None => SqliteStore::in_memory()?,
        });
        let clock = Arc::new(SystemClock);
        let control = ControlPlane::start_with(
            config.control.clone(),
            loader,
            inference.clone(),
            documents.clone(),
            store,
            clock,
        );
        let control = timed("deployments", control).await.context("starting the deployments")?;
        let service = DocumentService::start(&config.serving, control.clone(), documents.clone())
            .context("starting the document service")?;
        tracing::info!(took_ms = started.elapsed().as_millis() as u64, "host started");
        let webhooks = OnceLock::new();
        Ok(Self {
            control,
            service,
            documents,
            inference,
            runtime,
            config: config.clone(),
            data_wait,
            webhooks,
        })
    }

    /// Returns the state of the gateway with these limits.
    pub async fn app_state(&self, http: HttpConfig) -> anyhow::Result<AppState> {
        let parts = Arc::new(HostStatus {
            inference: self.inference.clone(),
            documents: self.documents.clone(),
            runtime: self.runtime.clone(),
            instances_max: self.config.guests.instances_max,
        });
        let metrics = Metrics::new(self.service.clone(), parts);
        let jobs = self.jobs(&metrics).await?;
        Ok(AppState::new(self.service.clone(), metrics, http).with_jobs(jobs))
    }

    /// Starts to work on the stored jobs, if the configuration enables them.
    async fn jobs(&self, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Arc<Jobs>>> {
        let Some(settings) = &self.config.jobs else { return Ok(None) };
        let open = || SqliteJobStore::open(&settings.dir, settings.disk_free_bytes_min);
        let store = match when_free(self.data_wait, open).await {
            Ok(store) => store,
            // Requests are served although no job can be stored.
            Err(error @ (StoreError::Full { .. } | StoreError::ReadOnly { .. })) => {
                tracing::error!(%error, "the server has no jobs");
                return Ok(None);
            }
            Err(error) => return Err(error).context("opening the store of jobs"),
        };
        let webhooks = &settings.config.webhooks;
        let client = WebhookClient::new(webhooks.egress.clone(), webhooks.timeout)
            .context("making the client for webhooks")?;
        let client = self.webhooks.get_or_init(|| Arc::new(client)).clone();
        let seen = metrics.clone();
        let parts = Parts {
            service: self.service.clone(),
            store: Arc::new(store),
            webhooks: client,
            see: Box::new(move |event| seen.page_event(event)),
        };
        Ok(Some(Jobs::start(settings.config.clone(), parts)?))
    }

    /// Returns the sender of webhooks, after [`app_state`](Self::app_state) has started the jobs.
    pub(crate) fn webhooks(&self) -> Option<Arc<WebhookClient>> {
        self.webhooks.get().cloned()
    }

    /// Stops the parts behind the document service. To finish documents first, drain the service before.
    pub async fn stop(self) {
        self.documents.shutdown().await;
        let inference = self.inference;
        // Blocks while it joins threads that may be in the middle of a run.
        if tokio::task::spawn_blocking(move || inference.shutdown()).await.is_err() {
            tracing::warn!("the engines did not shut down cleanly");
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
        worker_command: command_of("render-worker")?,
        workers: config.workers,
        reserve_workers: config.reserve_workers,
        open_timeout: config.open_timeout,
        text_timeout: config.text_timeout,
        render_timeout: config.render_timeout,
        open_cpu: config.open_cpu,
        page_cpu: config.page_cpu,
        sandbox: sandbox(config.sandbox),
        worker_memory_bytes: config.worker_memory_bytes,
        image_pixels_max: config.image_pixels_max,
        pages_max: config.pages_max,
        text_characters_max: config.text_characters_max,
        text_words_max: config.text_words_max,
    })
}

fn sandbox(policy: SandboxPolicy) -> Policy {
    match policy {
        SandboxPolicy::Enforce => Policy::Enforce,
        SandboxPolicy::Warn => Policy::Warn,
    }
}

fn runtime(config: &Config) -> anyhow::Result<RuntimeConfig> {
    let compiler = CompilerConfig {
        command: command_of("component-compiler")?,
        cpu_time: config.guests.compile_cpu,
        timeout: config.guests.compile_timeout,
        memory_bytes: config.guests.compile_memory_bytes,
        sandbox: sandbox(config.documents.sandbox),
    };
    Ok(RuntimeConfig {
        compiler: Some(compiler),
        code_cache_dir: config.guests.code_cache_dir.clone(),
        code_cache_bytes_max: config.guests.code_cache_bytes_max,
        installed_code: installed_code()?,
        instances_max: config.guests.instances_max,
        memory_bytes_max: config.guests.memory_bytes_max,
        ..RuntimeConfig::default()
    })
}

/// Returns the places of the compiled guests of an unpacked archive; `None` for the program of a checkout.
fn installed_code() -> anyhow::Result<Option<InstalledCodeConfig>> {
    let Some(archive) = archive_dir() else { return Ok(None) };
    let program = std::env::current_exe().context("finding this program")?;
    Ok(Some(InstalledCodeConfig {
        program,
        dir: archive.join(ARCHIVE_CODE),
        digests: archive.join(ARCHIVE_MARKER),
    }))
}

/// Compiles a component for the archive that `cargo xtask dist` makes: returns the name of the file, and its content.
pub fn code_for_archive(component: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    let wasm = std::fs::read(component).with_context(|| format!("reading {}", component.display()))?;
    installable_code(&wasm).with_context(|| format!("compiling {}", component.display()))
}

/// Returns the step that provides missing libraries, models or guests, for messages.
pub fn how_to_install() -> String {
    match archive_dir() {
        Some(dir) => format!("unpack the archive again: {} is incomplete", dir.display()),
        None => "run `cargo xtask setup`".to_owned(),
    }
}

/// Returns the first configured file that this machine lacks, as a message.
pub fn missing_for_reading(config: &Config) -> Option<String> {
    let install = how_to_install();
    let library = &config.engines.library;
    if !library.is_file() {
        return Some(format!("ONNX Runtime is not at {}; {install}", library.display()));
    }
    let pdfium = &config.documents.pdfium_dir;
    if !pdfium.is_dir() {
        return Some(format!("pdfium is not in {}; {install}", pdfium.display()));
    }
    match models(&config.engines) {
        Ok(models) => {
            let missing = models.iter().find(|model| !model.present)?;
            Some(format!("the weights of {} are missing; {install}", missing.name))
        }
        Err(error) => Some(format!(
            "{error:#}; if the program is neither in a checkout nor in an unpacked archive, set engines.models_dir \
             (LECTOR__ENGINES__MODELS_DIR in the environment)"
        )),
    }
}

/// Starts the engines as a server does, and stops them; returns the providers of the preference list.
pub async fn try_engines(config: &Config) -> anyhow::Result<String> {
    let mut engines = engines::config(&config.engines, sandbox(config.documents.sandbox))?;
    // Nothing is built.
    engines.builder_command.clear();
    let starting = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        Inference::start(engines).context("starting the engines")?.shutdown();
        Ok(())
    });
    starting.await.context("starting the engines")??;
    Ok(format!("they start, with engines.providers = {}", config.engines.providers.join(", ")))
}

/// Starts a render worker as a server does; returns the state of its sandbox, and the layers that are missing.
pub async fn try_render_worker(config: &Config) -> anyhow::Result<(String, Vec<String>)> {
    let one = DocumentsConfig { workers: 1, reserve_workers: 0, ..config.documents.clone() };
    let workers = DocumentWorkers::start(documents(&one)?).await.context("starting a render worker")?;
    let report = workers.status().sandbox;
    workers.shutdown().await;
    let report = report.context("the render worker did not report its sandbox")?;
    Ok((report.to_string(), report.missing()))
}

/// Inspection of a component.
#[derive(Debug)]
pub struct GuestReport {
    /// Lines to print.
    pub report: String,
    /// Whether it exports a pipeline, of any version of the contract.
    pub exports_pipeline: bool,
    /// Whether this server can run it.
    pub check: Result<(), Fault>,
}

/// Inspects a component without running it. Fails if the bytes are not a component.
pub fn inspect_guest(wasm: &[u8]) -> Result<GuestReport, Fault> {
    let inspection = Runtime::inspect(wasm)?;
    let world =
        inspection.world.as_deref().map_or("none".to_owned(), |version| format!("lector:ocr@{version}"));
    let imports: Vec<String> = inspection.imports.iter().map(|name| format!("          {name}\n")).collect();
    let batching = if inspection.has_batching_policy() { "exported policy" } else { "declarative" };
    let options = if inspection.has_options() { "options   described by the guest\n" } else { "" };
    let report = format!(
        "world     {world}\nbatching  {batching}\n{options}bytes     {}\nsha256    {}\nimports   {}\n{}",
        inspection.bytes,
        inspection.sha256,
        inspection.imports.len(),
        imports.concat(),
    );
    let bytes_max = RuntimeConfig::default().component_bytes_max;
    let check = inspection.check().and_then(|()| component_within(inspection.bytes, bytes_max));
    Ok(GuestReport { report, exports_pipeline: inspection.world.is_some(), check })
}

pub use engines::{
    EngineLines, EngineOrder, engine_builder, engines_collect, engines_export, engines_import, engines_list,
    engines_order, engines_preflight, tesseract_worker,
};
pub use models::{
    ModelLine, ModelOrder, OnResult, model_sheet, models, models_add, models_backup, models_restore,
    models_verify, own_models,
};

/// Runs this process as a component compiler.
pub fn component_compiler() -> ExitCode {
    lector_runtime::compiler_main()
}

/// Runs this process as a render worker. No thread may have been started before.
pub fn render_worker() -> ExitCode {
    lector_document::worker_main()
}
