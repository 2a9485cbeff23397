//! The interface of the control plane to guests: the traits [`ComponentLoader`], [`Pipeline`] and [`BatchingPolicy`].
//!
//! Owns these seams, and the call of one page. Independent of the sandbox: `lector-serving` implements the traits with
//! `lector-runtime`, and tests implement them with fakes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use lector_core::batching::Planner;
use lector_core::batching::plan::BatchingPolicyStatus;
use lector_core::{
    CallCtx, ConfigError, DeploymentName, Fault, ModelName, OpenDocument, OptionsSchema, PageRequest,
    PageRun, PageSource, PipelineInfo, SharedTranscript, Summary, TenantName, Timing, WrappedPipeline,
};

/// The imports of a component, read before it is compiled.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// Names of the interfaces that it imports.
    pub imports: Vec<String>,
    /// Whether it imports `lector:ocr/pipeline`: it wraps the pipeline of another deployment.
    pub wraps: bool,
}

/// The batching policy that a guest exports, for one revision.
pub trait BatchingPolicy: Send + Sync {
    /// Returns the planner that lanes call for the runs of the tenant in `ctx`.
    fn planner(&self, ctx: &CallCtx) -> Arc<dyn Planner>;
    /// Returns how many of its answers were applied and how many were not.
    fn status(&self) -> BatchingPolicyStatus;
}

/// A loaded guest.
pub trait Pipeline: Send + Sync + 'static {
    /// Makes the guest's batching policy for one revision; `None` if the guest exports none.
    fn batching_policy(&self) -> Option<Box<dyn BatchingPolicy>>;
    /// Calls `configure` with settings.
    fn configure<'a>(
        &'a self,
        ctx: &'a CallCtx,
        settings: &'a str,
    ) -> BoxFuture<'a, Result<Result<PipelineInfo, ConfigError>, Fault>>;
    /// Calls `describe`; `None` if the guest has no options of its own. Fault: `guest_answer_invalid`.
    fn options_schema<'a>(&'a self, ctx: &'a CallCtx) -> BoxFuture<'a, Result<Option<OptionsSchema>, Fault>>;
    /// Makes the pipeline that another guest calls as its wrapped pipeline. Fault: `pipeline_too_deep`.
    fn wrapped(&self, parts: StageParts) -> Result<Arc<dyn WrappedPipeline>, Fault>;
    /// Reads one page.
    fn recognize<'a>(
        &'a self,
        ctx: &'a CallCtx,
        page: Arc<dyn PageSource>,
        request: PageRequest,
    ) -> BoxFuture<'a, PageRun>;
    /// Calls `assemble` for a document.
    fn assemble<'a>(
        &'a self,
        ctx: &'a CallCtx,
        pages: Vec<SharedTranscript>,
    ) -> BoxFuture<'a, Result<Summary, Fault>>;
}

/// The parts of a pipeline that another one wraps.
#[derive(Clone, Debug)]
pub struct StageParts {
    /// Name of its deployment, for messages.
    pub name: DeploymentName,
    /// Settings that its guest accepted.
    pub settings: Arc<str>,
    /// Models that it may open, by alias.
    pub grants: Arc<BTreeMap<String, ModelName>>,
    /// Returned by its guest's `configure`.
    pub pipeline_info: PipelineInfo,
    /// Returned by its guest's `describe`.
    pub options_schema: Option<OptionsSchema>,
    /// The pipeline that it wraps itself.
    pub wrapped: Option<Arc<dyn WrappedPipeline>>,
}

/// The pipelines that a revision wraps, in memory; empty if it wraps none.
#[derive(Clone, Default)]
pub(crate) struct WrappedPipelines {
    outermost: Option<Arc<dyn WrappedPipeline>>,
    /// Keeps the components in the revision cache, so that other revisions of the same component share their code.
    pipelines: Vec<Arc<dyn Pipeline>>,
}

impl WrappedPipelines {
    /// Adds a stage around those that were added before.
    pub(crate) fn push(&mut self, pipeline: Arc<dyn Pipeline>, parts: StageParts) -> Result<(), Fault> {
        let wrapped = self.outermost.take();
        self.outermost = Some(pipeline.wrapped(StageParts { wrapped, ..parts })?);
        self.pipelines.push(pipeline);
        Ok(())
    }

    /// Returns the pipeline that the revision's guest calls.
    pub(crate) fn outermost(&self) -> Option<Arc<dyn WrappedPipeline>> {
        self.outermost.clone()
    }
}

/// Loads components as [`Pipeline`]s.
pub trait ComponentLoader: Send + Sync {
    /// Reads the imports of a component without compiling it. Fault: this host cannot run the component.
    fn inspect(&self, wasm: &[u8]) -> Result<Inspected, Fault>;
    /// Validates and compiles a component. `tenant` waits for the compiler, which serves the tenants in turns.
    fn load<'a>(
        &'a self,
        wasm: Vec<u8>,
        tenant: &'a TenantName,
    ) -> BoxFuture<'a, Result<Arc<dyn Pipeline>, Fault>>;
}

/// The inputs shared by all pages of a document.
#[derive(Clone)]
pub struct PageCall {
    /// The document.
    pub document: Arc<dyn OpenDocument>,
    /// The guest.
    pub pipeline: Arc<dyn Pipeline>,
    /// Tenant, request, deadline and limits.
    pub ctx: CallCtx,
    /// The options of the client.
    pub options: PageRequest,
}

impl PageCall {
    /// Reads the page at `index`.
    pub async fn read(self, index: u32) -> PageRun {
        let started = Instant::now();
        match self.document.page(index).await {
            Ok(page) => self.pipeline.recognize(&self.ctx, page, self.options).await,
            Err(fault) => {
                let timing = Timing { total: started.elapsed(), ..Timing::default() };
                PageRun { result: Err(fault), timing }
            }
        }
    }
}
