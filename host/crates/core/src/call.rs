//! What goes into a guest call and what comes back beside the text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::batching::Planner;
use crate::budget::Budget;
use crate::composition::BatchComposition;
use crate::cost::PageSize;
use crate::declared::Batching;
use crate::fault::Fault;
use crate::id::{DeploymentName, ModelName, RequestId, TenantName};
use crate::port::PageSource;
use crate::text::{SharedTranscript, Summary, Transcript};

/// On whose behalf a guest is called, with what, and within which limits.
#[derive(Clone, Debug)]
pub struct CallCtx {
    /// Owner of the deployment.
    pub tenant: TenantName,
    /// Which pipeline.
    pub deployment: DeploymentName,
    /// Which request.
    pub request: RequestId,
    /// Settings (a JSON object) that the guest's `configure` accepted.
    pub settings: Arc<str>,
    /// Models that the deployment may open, by alias.
    pub grants: Arc<BTreeMap<String, ModelName>>,
    /// Limits of the call.
    pub budget: Budget,
    /// When the whole request is of no more use; the call ends at the earlier of this and the budget.
    pub deadline: Instant,
    /// The tenant's share of the engines, next to those of others; 1 or more.
    pub weight: u32,
    /// How runs may be gathered, as the guest declared it when it was configured; at most one a model.
    pub batching: Arc<[Batching]>,
    /// Nobody waits for what comes of it: whatever else is to be done goes first.
    pub background: bool,
    /// The revision's own program for its batches, where it has one.
    pub planner: Option<Arc<dyn Planner>>,
    /// Who wants to know the page's size as the call finds it out.
    pub page_observer: Option<Arc<dyn PageObserver>>,
    /// Name of the file, as the client stated it.
    pub file_name: Option<Arc<str>>,
    /// The pipeline that the guest wraps; a guest that imports `pipeline` calls it.
    pub wrapped: Option<Arc<dyn WrappedPipeline>>,
    /// Number of guests that wrap this one and wait for this call; 0 for the call of a request.
    pub depth: u8,
}

impl CallCtx {
    /// A call of `tenant` that nobody watches, with nothing granted, the default budget and no wishes for its runs: where a
    /// guest is called outside of a request.
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
            file_name: None,
            wrapped: None,
            depth: 0,
        }
    }
}

/// Largest number of pipelines that are wrapped one inside the other.
pub const WRAP_DEPTH_MAX: u8 = 4;

/// A configured pipeline that another one wraps: a guest with its own settings, grants and batching.
///
/// `outer` is the call of the wrapping guest. The implementation keeps its tenant, request, weight, deadline and budget, and
/// puts the settings, grants and batching of the wrapped revision in place of its own.
pub trait WrappedPipeline: std::fmt::Debug + Send + Sync {
    /// Returns the number of pipelines from this one inwards: 1 where it wraps none.
    fn depth(&self) -> u8;
    /// Returns what the wrapped pipeline said of itself when it was configured.
    fn pipeline_info(&self) -> PipelineInfo;
    /// Reads one page in an instance of its own.
    fn recognize(
        &self,
        outer: &CallCtx,
        page: Arc<dyn PageSource>,
        request: PageRequest,
    ) -> BoxFuture<'static, PageRun>;
    /// Joins the pages of one document in an instance of its own.
    fn assemble(
        &self,
        outer: &CallCtx,
        pages: Vec<SharedTranscript>,
    ) -> BoxFuture<'static, Result<Summary, Fault>>;
}

/// Is told of a page's size while it is read. Called from the guest's thread: answers at once.
pub trait PageObserver: std::fmt::Debug + Send + Sync {
    /// The page is of that size, as far as is known; neither part ever falls.
    fn known(&self, size: PageSize);
}

/// How embedded text is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextLayerPolicy {
    /// Where it is real it is taken; the rest is read from pixels.
    Auto,
    /// Everything is read from pixels.
    Never,
    /// Nothing is read from pixels.
    Only,
}

/// What the client asked for, page by page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PageRequest {
    /// Resolution to render at; `None`: the pipeline's choice.
    pub dpi: Option<f32>,
    /// Use of embedded text; `None`: the pipeline's choice.
    pub text_layer: Option<TextLayerPolicy>,
    /// Whether lines carry words.
    pub words: bool,
    /// Whether the timing tells of every run.
    pub explain: bool,
    /// Number of pages of the document.
    pub page_count: u32,
}

/// What a configured pipeline says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineInfo {
    /// Aliases that it opens.
    pub models: Vec<String>,
    /// Batching wishes, at most one a model.
    pub batching: Vec<Batching>,
    /// What its results hold beyond plain lines.
    pub features: Vec<String>,
}

/// Why a guest refuses its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigError {
    /// JSON pointer to the offending member (RFC 6901); empty: the whole.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Time in one model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ModelTime {
    /// Number of runs.
    pub runs: u32,
    /// Rows over all runs.
    pub rows: u64,
    /// Pixels of these rows.
    pub pixels: u64,
    /// Sum of the waits in the lane's queue.
    pub queue: Duration,
    /// Sum of the runs.
    pub run: Duration,
    /// Of those runs, the part that was the call's own: by its rows among all that ran together.
    pub own: Duration,
}

/// One run of a model, as the call that asked for it saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// Which model.
    pub model: ModelName,
    /// With whom it ran.
    pub composition: BatchComposition,
    /// Who computed it: provider and precision.
    pub variant: (&'static str, &'static str),
    /// The call's own rows.
    pub rows: u64,
    /// Shape of a row: the bucket of its first input.
    pub bucket: Vec<usize>,
    /// Part of the input that is padding, 0 to 1.
    pub padding: f32,
    /// From the offer to the start of the run.
    pub queue: Duration,
    /// The run itself, of all together.
    pub run: Duration,
}

/// Most runs that one call tells of.
pub const RUNS_REPORTED_MAX: usize = 512;

/// What a call tells of itself beyond its times, where that is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// Number of the revision that read.
    pub revision: u32,
    /// Its runs, in the order in which they ended; [`RUNS_REPORTED_MAX`] of them at most.
    pub runs: Vec<RunRecord>,
    /// Runs that are not told of.
    pub runs_omitted: u64,
}

/// Where the time of one guest call went. Parts overlap: a guest awaits several things at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// The call from start to end.
    pub total: Duration,
    /// Making the Store and the instance.
    pub start: Duration,
    /// The guest's own computing, calls across the boundary included.
    pub guest: Duration,
    /// Rendering, its wait for a worker included.
    pub render: Duration,
    /// Reading the text layer.
    pub text_layer: Duration,
    /// Image and tensor operations in the host.
    pub image: Duration,
    /// Pixels of the page as it was rendered; of all renderings, where there were several.
    pub pixels: u64,
    /// By model.
    pub models: BTreeMap<ModelName, ModelTime>,
    /// The guest's own spans, by name: how often and how long in all.
    pub spans: BTreeMap<String, (u32, Duration)>,
    /// Calls into the host.
    pub host_calls: u64,
    /// Largest linear memory of the guest, in bytes.
    pub memory_bytes: u64,
    /// Bytes of log messages.
    pub log_bytes: u64,
    /// More, where it was asked for.
    pub explanation: Option<Box<Explanation>>,
}

impl PageSize {
    /// Of a page that was read.
    pub fn of(timing: &Timing) -> Self {
        Self { pixels: timing.pixels, crops: timing.models.values().map(|model| model.pixels).sum() }
    }
}

impl Timing {
    /// Adds the parts of a call that this one made in an instance of its own, as a wrapping guest does. The whole stays this
    /// call's own, which contains the other.
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

/// One page, read or not.
#[derive(Clone, Debug)]
pub struct PageRun {
    /// The page, or why there is none.
    pub result: Result<Transcript, Fault>,
    /// Where the time went, in either case.
    pub timing: Timing,
}
