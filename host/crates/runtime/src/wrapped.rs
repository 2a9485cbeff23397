//! A configured guest as the inner pipeline of another guest.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use lector_core::call::WRAP_DEPTH_MAX;
use lector_core::options::{self, OptionError};
use lector_core::{
    Batching, CallCtx, DeploymentName, Fault, Kind, ModelName, OptionsSchema, PageRequest, PageRun,
    PageSource, PipelineInfo, SharedTranscript, Summary, WrappedPipeline,
};
use serde_json::{Map, Value};

use crate::batching_policy::BatchingPolicyRunner;
use crate::guest::Guest;

/// The parts of the wrapped revision.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Name of its deployment, for messages.
    pub name: DeploymentName,
    /// Settings that its guest accepted.
    pub settings: Arc<str>,
    /// Models that it may open, by alias.
    pub grants: Arc<BTreeMap<String, ModelName>>,
    /// Description that `configure` returned.
    pub pipeline_info: PipelineInfo,
    /// Schema of its guest's options, if the guest has any.
    pub options_schema: Option<OptionsSchema>,
    /// The pipeline that this pipeline wraps.
    pub wrapped: Option<Arc<dyn WrappedPipeline>>,
}

/// A guest with the settings, grants and batching policy of its own revision.
pub struct Wrapped {
    guest: Arc<Guest>,
    stage: Stage,
    batching: Arc<[Batching]>,
    batching_policy: Option<BatchingPolicyRunner>,
}

impl std::fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wrapped")
            .field("name", &self.stage.name)
            .field("guest", &self.guest)
            .finish_non_exhaustive()
    }
}

impl Wrapped {
    /// Creates the wrapped pipeline; `pipeline_too_deep` if it wraps too many others.
    pub fn new(guest: Arc<Guest>, stage: Stage) -> Result<Arc<Self>, Fault> {
        let depth = 1 + stage.wrapped.as_ref().map_or(0, |wrapped| wrapped.depth());
        if depth > WRAP_DEPTH_MAX {
            let message = format!(
                "`{}` wraps {} nested pipelines, and at most {WRAP_DEPTH_MAX} can be wrapped; wrap a \
                 deployment that wraps fewer",
                stage.name,
                depth - 1
            );
            return Err(Fault::new(Kind::Invalid, "pipeline_too_deep", message));
        }
        let (batching, batching_policy) =
            (stage.pipeline_info.batching.as_slice().into(), guest.batching_policy());
        Ok(Arc::new(Self { guest, stage, batching, batching_policy }))
    }

    /// Returns the context of the inner call: identity and limits are the outer call's.
    fn ctx(&self, outer: &CallCtx) -> CallCtx {
        let mut ctx = outer.clone();
        ctx.settings = self.stage.settings.clone();
        ctx.grants = self.stage.grants.clone();
        ctx.batching = self.batching.clone();
        ctx.wrapped = self.stage.wrapped.clone();
        ctx.takes_languages = self.stage.wrapped.is_none() && self.stage.pipeline_info.takes_languages();
        let passed = ctx.passed_options.take();
        ctx.options = passed.unwrap_or_else(|| options::defaults(self.stage.options_schema.as_ref()));
        ctx.planner = self.batching_policy.as_ref().map(|batching_policy| batching_policy.planner(&ctx));
        ctx
    }
}

/// Adds the name of the failed stage to the message.
fn of_stage(name: &DeploymentName, mut fault: Fault) -> Fault {
    fault.message = format!("pipeline `{name}`: {}", fault.message);
    fault
}

impl WrappedPipeline for Wrapped {
    fn depth(&self) -> u8 {
        1 + self.stage.wrapped.as_ref().map_or(0, |wrapped| wrapped.depth())
    }

    fn pipeline_info(&self) -> PipelineInfo {
        self.stage.pipeline_info.clone()
    }

    fn check_options(&self, options: Map<String, Value>) -> Result<Arc<str>, OptionError> {
        options::check(self.stage.options_schema.as_ref(), options)
    }

    fn recognize(
        &self,
        outer: &CallCtx,
        page: Arc<dyn PageSource>,
        request: PageRequest,
    ) -> BoxFuture<'static, PageRun> {
        let (guest, ctx, name) = (Arc::clone(&self.guest), self.ctx(outer), self.stage.name.clone());
        async move {
            let PageRun { result, timing } = guest.recognize(&ctx, page, request).await;
            PageRun { result: result.map_err(|fault| of_stage(&name, fault)), timing }
        }
        .boxed()
    }

    fn assemble(
        &self,
        outer: &CallCtx,
        pages: Vec<SharedTranscript>,
    ) -> BoxFuture<'static, Result<Summary, Fault>> {
        let (guest, ctx, name) = (Arc::clone(&self.guest), self.ctx(outer), self.stage.name.clone());
        async move { guest.assemble(&ctx, pages).await.map_err(|fault| of_stage(&name, fault)) }.boxed()
    }
}
