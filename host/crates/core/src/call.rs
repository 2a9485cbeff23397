//! Arguments of a guest call, and its results other than the text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::batching::Planner;
use crate::budget::Budget;
use crate::composition::BatchComposition;
use crate::cost::PageSize;
use crate::declared::Batching;
use crate::fault::Fault;
use crate::id::{DeploymentName, ModelName, RequestId, TenantName};
use crate::options::{NO_OPTIONS, OptionError};
use crate::port::PageSource;
use crate::text::{SharedTranscript, Summary, Transcript};

/// Context of a guest call: tenant, settings, grants and limits.
#[derive(Clone, Debug)]
pub struct CallCtx {
    /// Owner of the deployment.
    pub tenant: TenantName,
    /// Deployment that is called.
    pub deployment: DeploymentName,
    /// Request that the call belongs to.
    pub request: RequestId,
    /// Settings (a JSON object) that the guest's `configure` accepted.
    pub settings: Arc<str>,
    /// Models that the deployment may open, by alias.
    pub grants: Arc<BTreeMap<String, ModelName>>,
    /// Limits of the call.
    pub budget: Budget,
    /// Time after which the whole request is useless; the call ends at the earlier of this and the budget.
    pub deadline: Instant,
    /// The tenant's weight relative to other tenants in the use of engines; 1 or more.
    pub weight: u32,
    /// Batching settings, as the guest declared them in `configure`; at most one per model.
    pub batching: Arc<[Batching]>,
    /// Whether no client waits for the result; all other work runs first.
    pub background: bool,
    /// The revision's batching policy, where it has one.
    pub planner: Option<Arc<dyn Planner>>,
    /// Observer of the page's size as the call determines it.
    pub page_observer: Option<Arc<dyn PageObserver>>,
    /// Account of the bytes that the tenant's calls hold in the host; `None`: only the budget bounds them.
    pub memory: Option<Arc<dyn HostMemory>>,
    /// File name, as the client stated it.
    pub file_name: Option<Arc<str>>,
    /// Languages of the document, as the client named them; the innermost pipeline reads by them.
    pub languages: Arc<[String]>,
    /// Whether the guest takes these languages as the member `languages` of its settings.
    pub takes_languages: bool,
    /// The guest's own options (a JSON object), as its schema accepted them.
    pub options: Arc<str>,
    /// Options for the wrapped pipeline that is called with this context, as its schema accepted them; `None`: its defaults.
    pub passed_options: Option<Arc<str>>,
    /// The pipeline that the guest wraps; a guest that imports `pipeline` calls it.
    pub wrapped: Option<Arc<dyn WrappedPipeline>>,
    /// Number of guests that wrap this one and wait for this call; 0 for the call of a request.
    pub depth: u8,
    /// Receiver of the lines that the guest logs, beside the host's own log.
    pub guest_log: Option<Arc<dyn GuestLogSink>>,
}

impl CallCtx {
    /// Creates the context of a call outside of a request: no observer, no grants, the default budget and no batching
    /// settings.
    pub fn new(tenant: &str, settings: &str, deadline: Instant) -> Self {
        Self {
            tenant: tenant.into(),
            deployment: "none".into(),
            request: "none".into(),
            settings: settings.into(),
            grants: Arc::default(),
            budget: Budget::default(),
            deadline,
            weight: 1,
            batching: Arc::default(),
            background: false,
            planner: None,
            page_observer: None,
            memory: None,
            file_name: None,
            languages: Arc::default(),
            takes_languages: false,
            options: NO_OPTIONS.into(),
            passed_options: None,
            wrapped: None,
            depth: 0,
            guest_log: None,
        }
    }
}

/// Largest depth of nested wrapped pipelines.
pub const WRAP_DEPTH_MAX: u8 = 4;

/// A configured pipeline that another one wraps: a guest with its own settings, grants and batching.
///
/// `outer` is the call of the wrapping guest. The implementation keeps its tenant, request, weight, deadline and
/// budget, and replaces its settings, grants and batching by those of the wrapped revision, and its options by the passed ones.
pub trait WrappedPipeline: std::fmt::Debug + Send + Sync {
    /// Returns the number of nested pipelines, this one included: 1 where it wraps none.
    fn depth(&self) -> u8;
    /// Returns the pipeline info from the wrapped pipeline's `configure`.
    fn pipeline_info(&self) -> PipelineInfo;
    /// Checks options for its guest, and returns them as JSON text with the defaults filled in.
    fn check_options(&self, options: Map<String, Value>) -> Result<Arc<str>, OptionError>;
    /// Reads one page in a separate instance.
    fn recognize(
        &self,
        outer: &CallCtx,
        page: Arc<dyn PageSource>,
        request: PageRequest,
    ) -> BoxFuture<'static, PageRun>;
    /// Assembles the pages of one document in a separate instance.
    fn assemble(
        &self,
        outer: &CallCtx,
        pages: Vec<SharedTranscript>,
    ) -> BoxFuture<'static, Result<Summary, Fault>>;
}

/// Level of a line that a guest logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestLogLevel {
    /// Every step.
    Trace,
    /// For the guest's author.
    Debug,
    /// Normal operation.
    Info,
    /// A result may be incomplete.
    Warn,
    /// A failure.
    Error,
}

/// A line that a guest logs, within its log budget.
#[derive(Clone, Copy, Debug)]
pub struct GuestLogRecord<'a> {
    /// Owner of the call.
    pub tenant: &'a TenantName,
    /// Deployment that is called.
    pub deployment: &'a DeploymentName,
    /// Request that the call belongs to.
    pub request: &'a RequestId,
    /// Level.
    pub level: GuestLogLevel,
    /// Text, with control characters escaped.
    pub message: &'a str,
}

/// Receiver of the lines of guests. Called on the guest's thread; must not wait.
pub trait GuestLogSink: std::fmt::Debug + Send + Sync {
    /// Takes one line.
    fn write(&self, record: GuestLogRecord<'_>);
}

/// Observer of a page's size while the page is read. Called on the guest's thread; must not block.
pub trait PageObserver: std::fmt::Debug + Send + Sync {
    /// Reports the size as far as it is known; neither field ever decreases.
    fn known(&self, size: PageSize);
}

/// Account of the pixels, tensors and embedded text that one call, and those of the pipelines that it wraps, hold in the host.
/// Called on any thread; must not block.
pub trait HostMemory: std::fmt::Debug + Send + Sync {
    /// Adds `bytes` before they are allocated. Fault: the tenant holds as much as it may.
    fn take(&self, bytes: u64) -> Result<(), Fault>;
    /// Subtracts `bytes` that were freed.
    fn release(&self, bytes: u64);
}

/// Use of embedded text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextLayerPolicy {
    /// Embedded text is used where it is real; the rest is read from pixels.
    Auto,
    /// All text is read from pixels.
    Never,
    /// No text is read from pixels.
    Only,
}

/// Options of the client for each page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PageRequest {
    /// Resolution to render at; `None`: the pipeline's choice.
    pub dpi: Option<f32>,
    /// Use of embedded text; `None`: the pipeline's choice.
    pub text_layer: Option<TextLayerPolicy>,
    /// Whether lines carry words.
    pub words: bool,
    /// Whether the timing lists every run.
    pub explain: bool,
    /// Number of pages of the document.
    pub page_count: u32,
}

/// Capabilities of a configured pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineInfo {
    /// Aliases of the models that it opens.
    pub models: Vec<String>,
    /// Batching settings, at most one per model.
    pub batching: Vec<Batching>,
    /// Features of its results beyond plain lines.
    pub features: Vec<String>,
}

/// Feature of a pipeline that takes the languages of a request as the member `languages` of its settings.
const LANGUAGES: &str = "languages";
/// Beginning of the feature that names a model which the pipeline opens where the host has it: `optional-model:ALIAS`.
const OPTIONAL_MODEL: &str = "optional-model:";

impl PipelineInfo {
    /// Returns whether the pipeline, or the one that it wraps, reads by the languages of a request.
    pub fn takes_languages(&self) -> bool {
        self.features.iter().any(|feature| feature == LANGUAGES)
    }

    /// Returns the aliases of the models that it opens where they are granted and the host has them.
    pub fn optional_models(&self) -> impl Iterator<Item = &str> {
        self.features.iter().filter_map(|feature| feature.strip_prefix(OPTIONAL_MODEL))
    }
}

/// A guest's reason for refusing its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigError {
    /// JSON pointer to the offending member (RFC 6901); empty: the whole document.
    pub pointer: String,
    /// Description of the error and of a correct value.
    pub message: String,
}

/// Time that a call spent in one model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ModelTime {
    /// Number of runs.
    pub runs: u32,
    /// Total rows of all runs.
    pub rows: u64,
    /// Pixels of these rows.
    pub pixels: u64,
    /// Total waiting time in the lane's queue.
    pub queue: Duration,
    /// Total time of the runs.
    pub run: Duration,
    /// The call's own part of the run time: its share of the rows of each run.
    pub own: Duration,
}

/// One run of a model, as seen by the call that requested it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// Model that ran.
    pub model: ModelName,
    /// Composition of the batch.
    pub composition: BatchComposition,
    /// Engine variant: provider and precision.
    pub variant: (&'static str, &'static str),
    /// Number of the call's own rows.
    pub rows: u64,
    /// Shape of a row: the bucket of its first input.
    pub bucket: Vec<usize>,
    /// Fraction of the input that is padding, 0 to 1.
    pub padding: f32,
    /// Time from the offer to the start of the run.
    pub queue: Duration,
    /// Time of the run, which all co-batched items share.
    pub run: Duration,
}

/// Largest number of runs that one call reports.
pub const RUNS_REPORTED_MAX: usize = 512;

/// Details of a call beyond its times, present if the request asked for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// Number of the revision that read the page.
    pub revision: u32,
    /// Its runs, in the order in which they ended; at most [`RUNS_REPORTED_MAX`].
    pub runs: Vec<RunRecord>,
    /// Number of runs that are not listed.
    pub runs_omitted: u64,
}

/// Times of one guest call. Parts overlap, because a guest awaits several operations at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// Time from start to end of the call.
    pub total: Duration,
    /// Time to create the Store and the instance.
    pub start: Duration,
    /// Computing time of the guest, including calls across the boundary.
    pub guest: Duration,
    /// Time of rendering, including the wait for a worker.
    pub render: Duration,
    /// Time of reading the text layer.
    pub text_layer: Duration,
    /// Time of image and tensor operations in the host.
    pub image: Duration,
    /// Total pixels of all renderings of the page.
    pub pixels: u64,
    /// Times by model.
    pub models: BTreeMap<ModelName, ModelTime>,
    /// The guest's own spans, by name: count and total time.
    pub spans: BTreeMap<String, (u32, Duration)>,
    /// Number of calls into the host.
    pub host_calls: u64,
    /// Largest linear memory of the guest, in bytes.
    pub memory_bytes: u64,
    /// Bytes of log messages.
    pub log_bytes: u64,
    /// Details, if the request asked for them.
    pub explanation: Option<Box<Explanation>>,
}

impl PageSize {
    /// Returns the size of a page from the timing of its call.
    pub fn of(timing: &Timing) -> Self {
        Self { pixels: timing.pixels, crops: timing.models.values().map(|model| model.pixels).sum() }
    }
}

impl Timing {
    /// Adds the parts of a call that this one made in a separate instance, as a wrapping guest does. The total stays
    /// this call's own, which contains the inner call.
    pub fn absorb(&mut self, inner: Self) {
        self.start += inner.start;
        self.guest += inner.guest;
        self.render += inner.render;
        self.text_layer += inner.text_layer;
        self.image += inner.image;
        self.pixels = self.pixels.saturating_add(inner.pixels);
        for (model, time) in inner.models {
            let sum = self.models.entry(model).or_default();
            sum.runs += time.runs;
            sum.rows += time.rows;
            sum.pixels += time.pixels;
            sum.queue += time.queue;
            sum.run += time.run;
            sum.own += time.own;
        }
        for (name, (count, time)) in inner.spans {
            let sum = self.spans.entry(name).or_default();
            sum.0 += count;
            sum.1 += time;
        }
        self.host_calls += inner.host_calls;
        self.memory_bytes = self.memory_bytes.max(inner.memory_bytes);
        self.log_bytes += inner.log_bytes;
        if let (Some(sum), Some(inner)) = (&mut self.explanation, inner.explanation) {
            let room = RUNS_REPORTED_MAX.saturating_sub(sum.runs.len());
            let more = inner.runs.len().saturating_sub(room);
            sum.runs.extend(inner.runs.into_iter().take(room));
            sum.runs_omitted += inner.runs_omitted + more as u64;
        }
    }
}

/// Outcome of one page.
#[derive(Clone, Debug)]
pub struct PageRun {
    /// The transcript, or the fault.
    pub result: Result<Transcript, Fault>,
    /// Times of the call, in either case.
    pub timing: Timing,
}
