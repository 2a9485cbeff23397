//! Implements the control plane's guest traits with `lector-runtime`. Translates and delegates only.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use lector_control::{BatchingPolicy, ComponentLoader, Inspected, Pipeline, StageParts};
use lector_core::batching::Planner;
use lector_core::batching::plan::BatchingPolicyStatus;
use lector_core::{
    CallCtx, ConfigError, Fault, OptionsSchema, PageRequest, PageRun, PageSource, PipelineInfo,
    SharedTranscript, Summary, TenantName, WrappedPipeline,
};
use lector_runtime::{BatchingPolicyRunner, Guest, Runtime, Stage, Wrapped};

/// Loads components into a runtime.
pub struct GuestLoader(Arc<Runtime>);

impl GuestLoader {
    /// Makes the loader of `runtime`.
    pub fn new(runtime: Arc<Runtime>) -> Self {
        Self(runtime)
    }
}

impl ComponentLoader for GuestLoader {
    fn inspect(&self, wasm: &[u8]) -> Result<Inspected, Fault> {
        let inspection = Runtime::inspect(wasm)?;
        inspection.check()?;
        let wraps = inspection.wraps();
        Ok(Inspected { imports: inspection.imports, wraps })
    }

    fn load<'a>(
        &'a self,
        wasm: Vec<u8>,
        tenant: &'a TenantName,
    ) -> BoxFuture<'a, Result<Arc<dyn Pipeline>, Fault>> {
        async move {
            Ok(Arc::new(LoadedGuest(Runtime::load(&self.0, wasm, tenant).await?)) as Arc<dyn Pipeline>)
        }
        .boxed()
    }
}

/// The batching policy of a guest.
struct GuestBatching(BatchingPolicyRunner);

impl BatchingPolicy for GuestBatching {
    fn planner(&self, ctx: &CallCtx) -> Arc<dyn Planner> {
        self.0.planner(ctx)
    }

    fn status(&self) -> BatchingPolicyStatus {
        self.0.status()
    }
}

/// A loaded guest.
struct LoadedGuest(Arc<Guest>);

impl Pipeline for LoadedGuest {
    fn batching_policy(&self) -> Option<Box<dyn BatchingPolicy>> {
        Some(Box::new(GuestBatching(self.0.batching_policy()?)))
    }

    fn configure<'a>(
        &'a self,
        ctx: &'a CallCtx,
        settings: &'a str,
    ) -> BoxFuture<'a, Result<Result<PipelineInfo, ConfigError>, Fault>> {
        self.0.configure(ctx, settings).boxed()
    }

    fn options_schema<'a>(&'a self, ctx: &'a CallCtx) -> BoxFuture<'a, Result<Option<OptionsSchema>, Fault>> {
        self.0.options_schema(ctx).boxed()
    }

    fn wrapped(&self, parts: StageParts) -> Result<Arc<dyn WrappedPipeline>, Fault> {
        let StageParts { name, settings, grants, pipeline_info, options_schema, wrapped } = parts;
        let stage = Stage { name, settings, grants, pipeline_info, options_schema, wrapped };
        Ok(Wrapped::new(self.0.clone(), stage)?)
    }

    fn recognize<'a>(
        &'a self,
        ctx: &'a CallCtx,
        page: Arc<dyn PageSource>,
        request: PageRequest,
    ) -> BoxFuture<'a, PageRun> {
        self.0.recognize(ctx, page, request).boxed()
    }

    fn assemble<'a>(
        &'a self,
        ctx: &'a CallCtx,
        pages: Vec<SharedTranscript>,
    ) -> BoxFuture<'a, Result<Summary, Fault>> {
        self.0.assemble(ctx, pages).boxed()
    }
}
