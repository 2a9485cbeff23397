//! Fake documents, guests and engines for the tests of this crate and of the crates above, controlled by a script.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    missing_debug_implementations,
    reason = "code of tests"
)]

mod documents;
mod results;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use lector_control::store::{SqliteStore, Store};
use lector_control::{
    BatchingPolicy, ComponentLoader, ControlConfig, ControlPlane, DeploymentConfig, Inspected, Pipeline,
    StageParts, StorageLimits, SystemClock,
};
use lector_core::batching::Planner;
use lector_core::batching::plan::{BatchingPolicyStatus, InvalidPlan, Plan, Question, Reply};
use lector_core::cost::PageSize;
use lector_core::fair::Account;
use lector_core::model::PortInfo;
use lector_core::options::OptionError;
use lector_core::port::{BatchComposition, DocumentHint, FailedEngine, WorkDone, WorkItem};
use lector_core::{
    Budget, CallCtx, Clock, ConfigError, Documents, Dtype, Engines, Fault, GuestLogLevel, GuestLogRecord,
    Kind, ModelInfo, ModelName, OpenDocument, OptionsSchema, PageRequest, PageRun, PageSource, PipelineInfo,
    SharedTranscript, Summary, TenantName, Timing, WrappedPipeline,
};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use documents::FakeDocument;
#[cfg(test)]
pub(crate) use results::at_rest;
pub use results::{found, transcript, until, word};

use crate::config::ServingConfig;
#[cfg(test)]
use lector_core::RequestId;

#[cfg(test)]
use crate::request::{DocumentRequest, Order, Submission};
use crate::service::DocumentService;

/// Path in a configuration that [`platform_on`] replaces by that of an empty file.
const EMPTY_COMPONENT: &str = "an empty file";
/// Most bytes that the fake server holds.
pub const HELD_BYTES_MAX: u64 = 64 << 20;

/// Behavior of the fake guest on a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Behavior {
    /// Reads the page at once.
    Read,
    /// Reads the page when the test releases it.
    Wait,
    /// Fails.
    Fail,
    /// Returns that the page is unreadable.
    Unreadable,
    /// Returns that the guest is busy.
    Busy,
    /// Panics.
    Panic,
    /// Never ends.
    Hang,
}

/// The script of the fake guest, and records of its calls.
pub struct Script {
    /// Behavior by page; the default is that of the script.
    pub behaviors: Mutex<BTreeMap<u32, Behavior>>,
    pub otherwise: Mutex<Behavior>,
    /// Size of each page, and its work in milliseconds; the default is size 0 and no work.
    pub sizes: Mutex<BTreeMap<u32, (PageSize, u64)>>,
    /// One permit releases one `Wait` page.
    pub go: Semaphore,
    /// Pages begun, in order.
    pub begun: Mutex<Vec<(String, u32)>>,
    pub running: AtomicUsize,
    pub running_most: AtomicUsize,
    pub assemble_fails: Mutex<bool>,
    pub settings_ok: bool,
    /// Documents open now.
    pub open: AtomicUsize,
    /// Models that were to be loaded.
    pub prepared: Mutex<Vec<ModelName>>,
    /// Models that were to stay loaded, one entry for each release of idle engines.
    pub retained: Mutex<Vec<Vec<ModelName>>>,
    pub failed_engines: Mutex<Vec<FailedEngine>>,
    /// Loading the engine of this model waits until the test releases it.
    pub slow_prepare: Mutex<Option<ModelName>>,
    pub go_prepare: Semaphore,
    /// Loads that wait for the release.
    pub preparing: AtomicUsize,
}

impl Script {
    pub fn new(otherwise: Behavior) -> Arc<Self> {
        Self::with_settings(otherwise, true)
    }

    pub fn with_settings(otherwise: Behavior, settings_ok: bool) -> Arc<Self> {
        Arc::new(Self {
            behaviors: Mutex::default(),
            otherwise: Mutex::new(otherwise),
            sizes: Mutex::default(),
            go: Semaphore::new(0),
            begun: Mutex::default(),
            running: AtomicUsize::new(0),
            running_most: AtomicUsize::new(0),
            assemble_fails: Mutex::default(),
            settings_ok,
            open: AtomicUsize::new(0),
            prepared: Mutex::default(),
            retained: Mutex::default(),
            failed_engines: Mutex::default(),
            slow_prepare: Mutex::default(),
            go_prepare: Semaphore::new(0),
            preparing: AtomicUsize::new(0),
        })
    }

    pub fn on(&self, page: u32, behavior: Behavior) {
        self.behaviors.lock().unwrap().insert(page, behavior);
    }

    pub fn begun(&self) -> Vec<(String, u32)> {
        self.begun.lock().unwrap().clone()
    }
}

struct Running<'a>(&'a Script);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

/// A fake guest; the text of its component is a prefix of its results. If the text begins with `wraps`, the guest adds
/// it to the result of the pipeline that it wraps.
#[derive(Clone)]
struct FakeGuest(Arc<Script>, String);

/// A fake guest as the wrapped pipeline of another one; its settings are a prefix of its results, too.
struct FakeStage(FakeGuest, StageParts);

impl std::fmt::Debug for FakeStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FakeStage").field(&self.1.name).finish()
    }
}

impl WrappedPipeline for FakeStage {
    fn depth(&self) -> u8 {
        1 + self.1.wrapped.as_ref().map_or(0, |wrapped| wrapped.depth())
    }

    fn pipeline_info(&self) -> PipelineInfo {
        self.1.pipeline_info.clone()
    }

    fn check_options(&self, options: Map<String, Value>) -> Result<Arc<str>, OptionError> {
        lector_core::options::check(self.1.options_schema.as_ref(), options)
    }

    fn recognize(
        &self,
        outer: &CallCtx,
        page: Arc<dyn PageSource>,
        request: PageRequest,
    ) -> BoxFuture<'static, PageRun> {
        let (guest, settings, mut ctx) = (self.0.clone(), self.1.settings.clone(), outer.clone());
        let name = self.1.name.clone();
        ctx.wrapped = self.1.wrapped.clone();
        async move {
            let mut run = guest.recognize(&ctx, page, request).await;
            match &mut run.result {
                Ok(page) => page.lines[0].text.insert_str(0, &settings),
                Err(fault) => fault.message.insert_str(0, &format!("pipeline `{name}`: ")),
            }
            run
        }
        .boxed()
    }

    fn assemble(
        &self,
        outer: &CallCtx,
        pages: Vec<SharedTranscript>,
    ) -> BoxFuture<'static, Result<Summary, Fault>> {
        let (guest, ctx) = (self.0.clone(), outer.clone());
        async move { guest.assemble(&ctx, pages).await }.boxed()
    }
}

/// Runs the oldest item; a component with `plans badly` plans a run that does not wait.
#[derive(Debug)]
struct FakeBatchingPolicy(bool, Mutex<BatchingPolicyStatus>);

impl Planner for FakeBatchingPolicy {
    fn plan(&self, question: &Question) -> Reply {
        self.1.lock().unwrap().asked += 1;
        let plan = Plan::Run(vec![if self.0 { u64::MAX } else { question.items[0].id }]);
        Reply { plan: Some(plan), took: Duration::ZERO }
    }

    fn invalid(&self, why: InvalidPlan) {
        let mut status = self.1.lock().unwrap();
        status.invalid += 1;
        status.last_fault = Some(why.to_string());
    }
}

/// A batching policy shared by a revision and its lanes.
struct SharedBatchingPolicy(Arc<FakeBatchingPolicy>);

impl BatchingPolicy for SharedBatchingPolicy {
    fn planner(&self, _: &CallCtx) -> Arc<dyn Planner> {
        self.0.clone()
    }

    fn status(&self) -> BatchingPolicyStatus {
        self.0.1.lock().unwrap().clone()
    }
}

impl Pipeline for FakeGuest {
    fn batching_policy(&self) -> Option<Box<dyn BatchingPolicy>> {
        let batching_policy =
            || SharedBatchingPolicy(Arc::new(FakeBatchingPolicy(self.1.contains("badly"), Mutex::default())));
        self.1.contains("plans").then(|| Box::new(batching_policy()) as Box<dyn BatchingPolicy>)
    }

    fn configure<'a>(
        &'a self,
        _: &'a CallCtx,
        settings: &'a str,
    ) -> BoxFuture<'a, Result<Result<PipelineInfo, ConfigError>, Fault>> {
        let mut models = vec!["detection".to_owned()];
        // A component with `opens spare` in its text opens one more.
        models.extend(self.1.contains("opens spare").then(|| "spare".to_owned()));
        let declared = PipelineInfo { models, batching: vec![], features: vec![] };
        let config_error = ConfigError { pointer: "/dpi".into(), message: "too small".into() };
        let accepted = self.0.settings_ok && !settings.contains("bad");
        let answer = if accepted { Ok(declared) } else { Err(config_error) };
        async move { Ok(answer) }.boxed()
    }

    fn options_schema<'a>(&'a self, _: &'a CallCtx) -> BoxFuture<'a, Result<Option<OptionsSchema>, Fault>> {
        // A component with `schema {..}` in its text has that schema.
        let schema = self.1.split_once("schema ").map(|(_, schema)| {
            OptionsSchema::parse(schema)
                .map_err(|error| Fault::new(Kind::GuestFault, "guest_answer_invalid", error.to_string()))
        });
        std::future::ready(schema.transpose()).boxed()
    }

    fn wrapped(&self, parts: StageParts) -> Result<Arc<dyn WrappedPipeline>, Fault> {
        Ok(Arc::new(FakeStage(self.clone(), parts)))
    }

    fn recognize<'a>(
        &'a self,
        ctx: &'a CallCtx,
        page: Arc<dyn PageSource>,
        request: PageRequest,
    ) -> BoxFuture<'a, PageRun> {
        async move {
            if let (true, Some(wrapped)) = (self.1.starts_with("wraps"), &ctx.wrapped) {
                let mut run = wrapped.recognize(ctx, page, request).await;
                if let Ok(page) = &mut run.result {
                    page.lines[0].text.insert_str(0, &self.1);
                }
                return run;
            }
            let index = page.info().index;
            if let (true, Some(log)) = (self.1.contains("logs"), &ctx.guest_log) {
                let (tenant, deployment, request) = (&ctx.tenant, &ctx.deployment, &ctx.request);
                let level = GuestLogLevel::Info;
                log.write(GuestLogRecord { tenant, deployment, request, level, message: "it reads" });
            }
            let script = &*self.0;
            script.begun.lock().unwrap().push((ctx.request.to_string(), index));
            let now = script.running.fetch_add(1, SeqCst) + 1;
            script.running_most.fetch_max(now, SeqCst);
            let _running = Running(script);
            let (size, work_ms) = script.sizes.lock().unwrap().get(&index).copied().unwrap_or_default();
            if let Some(page_observer) = &ctx.page_observer {
                page_observer.known(size);
            }
            let otherwise = *script.otherwise.lock().unwrap();
            let behavior = script.behaviors.lock().unwrap().get(&index).copied();
            // A component may set a behavior of its own.
            let own = self
                .1
                .contains("fails")
                .then_some(Behavior::Fail)
                .or(self.1.contains("unreadable").then_some(Behavior::Unreadable))
                .filter(|_| ctx.request.as_str() != "smoke_test");
            let read = || {
                let mut page = transcript(index);
                // A component with a schema says the options that it got.
                let has_options = self.1.contains("schema ");
                let said = if has_options { format!("{} ", ctx.options) } else { self.1.clone() };
                page.lines[0].text.insert_str(0, &said);
                Ok(page)
            };
            let result = match own.or(behavior).unwrap_or(otherwise) {
                Behavior::Read => read(),
                Behavior::Wait => {
                    script.go.acquire().await.unwrap().forget();
                    read()
                }
                Behavior::Fail => Err(Fault::new(Kind::GuestFault, "guest_trapped", "It trapped.")),
                Behavior::Unreadable => {
                    Err(Fault::new(Kind::Invalid, "guest_error_unreadable", "It is a blur."))
                }
                Behavior::Busy => Err(Fault::new(Kind::Busy, "guest_error_busy", "It is busy.")),
                Behavior::Panic => panic!("expected by the test"),
                Behavior::Hang => std::future::pending().await,
            };
            let timing = Timing {
                total: Duration::from_millis(10),
                guest: Duration::from_millis(work_ms),
                pixels: size.pixels,
                ..Timing::default()
            };
            PageRun { result, timing }
        }
        .boxed()
    }

    fn assemble<'a>(
        &'a self,
        _: &'a CallCtx,
        pages: Vec<SharedTranscript>,
    ) -> BoxFuture<'a, Result<Summary, Fault>> {
        let fails = *self.0.assemble_fails.lock().unwrap() || self.1.contains("cannot assemble");
        async move {
            if fails {
                return Err(Fault::new(Kind::GuestFault, "guest_trapped", "It trapped."));
            }
            Ok(Summary {
                text: pages.iter().map(|page| (**page).as_ref().text()).collect(),
                properties: None,
            })
        }
        .boxed()
    }
}

pub struct FakeComponentLoader(pub Arc<Script>);

impl ComponentLoader for FakeComponentLoader {
    fn inspect(&self, wasm: &[u8]) -> Result<Inspected, Fault> {
        if wasm.starts_with(b"no component") {
            return Err(Fault::new(Kind::Invalid, "component_invalid", "It is not a component."));
        }
        let image = wasm.starts_with(b"image").then(|| "lector:image/images@0.2.0".to_owned());
        let wraps = wasm.starts_with(b"wraps");
        Ok(Inspected { imports: image.into_iter().collect(), wraps })
    }

    fn load<'a>(
        &'a self,
        wasm: Vec<u8>,
        _: &'a TenantName,
    ) -> BoxFuture<'a, Result<Arc<dyn Pipeline>, Fault>> {
        let guest: Arc<dyn Pipeline> =
            Arc::new(FakeGuest(self.0.clone(), String::from_utf8_lossy(&wasm).into_owned()));
        async move { Ok(guest) }.boxed()
    }
}

/// Engines that are loaded immediately. Only the model `echo` runs: its output `y` is its input `x`, rows of two numbers.
pub struct FakeEngines(pub Arc<Script>);

impl Engines for FakeEngines {
    fn model(&self, name: &ModelName) -> Option<Arc<ModelInfo>> {
        let port = |name: &str| PortInfo { name: name.to_owned(), dtype: Dtype::F32, shape: vec![-1, 2] };
        (name.as_str() == "echo").then(|| {
            Arc::new(ModelInfo {
                name: name.clone(),
                inputs: vec![port("x")],
                outputs: vec![port("y")],
                labels: [].into(),
                width_buckets: Vec::new(),
                max_batch: 4,
            })
        })
    }

    fn infer(&self, item: WorkItem) -> BoxFuture<'static, Result<WorkDone, Fault>> {
        async move {
            if item.model.as_str() != "echo" {
                return Err(Fault::new(Kind::Unavailable, "no_engine", "A fake engine computes nothing."));
            }
            let outputs: Vec<_> = item.inputs.into_iter().map(|(_, tensor)| tensor).collect();
            let rows = outputs.first().map_or(0, |tensor| tensor.rows() as u32);
            Ok(WorkDone {
                outputs,
                queue_wait: Duration::ZERO,
                run: Duration::from_millis(4),
                // A batch with as many rows of another tenant.
                composition: BatchComposition { run: 1, rows: 2 * rows, items: 2, tenants: 2 },
                variant: ("fake", "f32"),
            })
        }
        .boxed()
    }

    fn prepare(&self, models: Vec<ModelName>) -> BoxFuture<'static, Result<(), Fault>> {
        self.0.prepared.lock().unwrap().extend(models.iter().cloned());
        let missing = models.iter().any(|model| model.as_str() == "missing");
        let fault = Fault::new(Kind::Unavailable, "model_unavailable", "Its weights are missing.");
        let slow = self.0.slow_prepare.lock().unwrap().as_ref().is_some_and(|slow| models.contains(slow));
        let script = self.0.clone();
        async move {
            if slow {
                script.preparing.fetch_add(1, SeqCst);
                script.go_prepare.acquire().await.unwrap().forget();
            }
            if missing { Err(fault) } else { Ok(()) }
        }
        .boxed()
    }

    fn retain(&self, models: Vec<ModelName>) -> BoxFuture<'static, Vec<ModelName>> {
        self.0.retained.lock().unwrap().push(models);
        async { Vec::new() }.boxed()
    }

    fn failed(&self, model: Option<&ModelName>) -> Result<Vec<FailedEngine>, Fault> {
        let failed = self.0.failed_engines.lock().unwrap().clone().into_iter();
        Ok(failed.filter(|one| model.is_none_or(|model| *model == one.model)).collect())
    }

    fn retry(&self, failed: &[FailedEngine]) {
        self.0.failed_engines.lock().unwrap().retain(|one| !failed.contains(one));
    }
}

/// The first byte of a document is its number of pages; a `PNG` has one; an empty document cannot be opened.
pub struct FakeDocuments(pub Arc<Script>);

impl Documents for FakeDocuments {
    fn open(
        &self,
        _: Account,
        bytes: Arc<Vec<u8>>,
        _: DocumentHint,
    ) -> BoxFuture<'static, Result<Arc<dyn OpenDocument>, Fault>> {
        let script = self.0.clone();
        async move {
            let pages = match bytes.first() {
                None => return Err(Fault::new(Kind::Invalid, "document_empty", "The document is empty.")),
                Some(0x89) => 1,
                Some(&pages) => u32::from(pages),
            };
            script.open.fetch_add(1, SeqCst);
            let closed = Box::new(move || {
                script.open.fetch_sub(1, SeqCst);
            });
            Ok(Arc::new(FakeDocument { pages, closed }) as Arc<dyn OpenDocument>)
        }
        .boxed()
    }
}

/// The configuration of a test server.
pub struct TestConfig {
    pub control: ControlConfig,
    pub serving: ServingConfig,
}

/// Starts a server with `places` page slots that admits `documents`.
pub async fn platform(
    script: &Arc<Script>,
    places: usize,
    documents: usize,
) -> Result<Arc<DocumentService>, Fault> {
    platform_with(script, places, documents, "detection").await
}

pub async fn platform_with(
    script: &Arc<Script>,
    places: usize,
    documents: usize,
    alias: &str,
) -> Result<Arc<DocumentService>, Fault> {
    let config = config(places, documents, (alias, "model"));
    platform_on(script, config, Arc::new(SqliteStore::in_memory().unwrap())).await
}

/// Starts a server whose one deployment grants `model` under the alias that its guest opens.
pub async fn platform_granting(script: &Arc<Script>, model: &str) -> Result<Arc<DocumentService>, Fault> {
    let config = config(1, 1, ("detection", model));
    platform_on(script, config, Arc::new(SqliteStore::in_memory().unwrap())).await
}

/// Starts a server with limits on held bytes, in all and for the results of one document.
pub async fn platform_holding(
    script: &Arc<Script>,
    held_bytes_max: u64,
    document_result_bytes_max: u64,
) -> Result<Arc<DocumentService>, Fault> {
    let mut config = config(2, 3, ("detection", "model"));
    config.serving.held_bytes_max = held_bytes_max;
    config.serving.tenant_held_bytes_max = held_bytes_max;
    config.serving.document_result_bytes_max = document_result_bytes_max;
    platform_on(script, config, Arc::new(SqliteStore::in_memory().unwrap())).await
}

/// Starts a server on the test's own store.
pub async fn platform_on(
    script: &Arc<Script>,
    config: TestConfig,
    store: Arc<dyn Store>,
) -> Result<Arc<DocumentService>, Fault> {
    platform_at(script, config, store, Arc::new(SystemClock)).await
}

/// Starts a server on the test's own store and clock.
pub async fn platform_at(
    script: &Arc<Script>,
    mut config: TestConfig,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<DocumentService>, Fault> {
    let component = tempfile::NamedTempFile::new().unwrap();
    for deployment in &mut config.control.deployments {
        if deployment.component.as_os_str() == EMPTY_COMPONENT {
            deployment.component = component.path().to_owned();
        }
    }
    let (loader, engines) =
        (Arc::new(FakeComponentLoader(script.clone())), Arc::new(FakeEngines(script.clone())));
    let documents = Arc::new(FakeDocuments(script.clone()));
    let control =
        ControlPlane::start_with(config.control, loader, engines, documents.clone(), store, clock).await?;
    DocumentService::start(&config.serving, control, documents)
}

/// Returns a configuration with one deployment, `standard`, with one grant.
pub fn config(places: usize, documents: usize, (alias, model): (&str, &str)) -> TestConfig {
    TestConfig {
        control: ControlConfig {
            tenant: "default".into(),
            deployments: vec![DeploymentConfig {
                name: "standard".into(),
                component: EMPTY_COMPONENT.into(),
                settings: serde_json::json!({}),
                grants: BTreeMap::from([(alias.to_owned(), model.into())]),
                budget: Budget::default(),
                wraps: None,
            }],
            data_dir: None,
            default_deployment: "standard".into(),
            engine_idle_ttl: Duration::ZERO,
            tenant_images_bytes_max: 0,
            tenant_storage: StorageLimits { revisions: 1000, bytes: 1 << 30 },
        },
        serving: ServingConfig {
            documents_max: documents,
            wait_max: Duration::from_secs(600),
            pages_in_flight_max: places,
            pages_per_document_max: 100,
            held_bytes_max: HELD_BYTES_MAX,
            tenant_held_bytes_max: HELD_BYTES_MAX,
            tenant_uploads_max: 64,
            document_result_bytes_max: 1 << 20,
        },
    }
}

#[cfg(test)]
/// Makes a submission of a document of `pages` pages, with a minute of time, for the host's own tenant.
pub(crate) fn submission(service: &DocumentService, request: &str, pages: u8, order: Order) -> Submission {
    let timeout = Duration::from_secs(60);
    Submission {
        principal: service.control().of_this_machine().unwrap(),
        request: DocumentRequest { order, ..DocumentRequest::new(RequestId::from(request), timeout) },
        bytes: Arc::new(if pages == 0 { vec![] } else { vec![pages] }),
        deadline: std::time::Instant::now() + timeout,
    }
}
