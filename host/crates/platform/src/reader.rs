//! The guest as the pipeline sees it: three calls. Lets the pipeline be tested without a sandbox.
//!
//! The one real implementation is `lector-runtime`'s, in `reader/sandbox.rs`.

mod sandbox;

use std::sync::Arc;

use futures::future::BoxFuture;
use lector_core::batching::Planner;
use lector_core::batching::plan::ProgramStatus;
use lector_core::port::FailedEngine;
use lector_core::{
    CallCtx, Complaint, Declaration, Fault, ModelName, PageRequest, PageRun, PageSource, SharedTranscript,
    Summary,
};

/// What a component says of itself before it is compiled.
#[derive(Clone, Debug)]
pub(crate) struct Inspected {
    /// Names of the interfaces that it imports.
    pub(crate) imports: Vec<String>,
}

/// A guest's program for its batches, as that of one revision.
pub(crate) trait BatchProgram: Send + Sync {
    /// What lanes ask about the runs of the tenant that `ctx` is a call for.
    fn planner(&self, ctx: &CallCtx) -> Arc<dyn Planner>;
    /// What its answers were worth.
    fn status(&self) -> ProgramStatus;
}

/// A loaded guest.
pub(crate) trait Reader: Send + Sync + 'static {
    /// Its program for its batches, for one revision; `None` where it has none.
    fn program(&self) -> Option<Box<dyn BatchProgram>>;
    /// Checks settings.
    fn configure<'a>(
        &'a self,
        ctx: &'a CallCtx,
        settings: &'a str,
    ) -> BoxFuture<'a, Result<Result<Declaration, Complaint>, Fault>>;
    /// Reads one page.
    fn recognize<'a>(
        &'a self,
        ctx: &'a CallCtx,
        page: Arc<dyn PageSource>,
        request: PageRequest,
    ) -> BoxFuture<'a, PageRun>;
    /// Sums up a document.
    fn assemble<'a>(
        &'a self,
        ctx: &'a CallCtx,
        pages: Vec<SharedTranscript>,
    ) -> BoxFuture<'a, Result<Summary, Fault>>;
}

/// Makes a [`Reader`] of a component, and has the engines ready that it will use.
pub(crate) trait Loader: Send + Sync {
    /// Looks into a component without compiling it; a fault where this host could not run it.
    fn inspect(&self, wasm: &[u8]) -> Result<Inspected, Fault>;
    /// Validates and compiles.
    fn load(&self, wasm: Vec<u8>) -> BoxFuture<'_, Result<Arc<dyn Reader>, Fault>>;
    /// Opens the lanes of these models where they are not open yet.
    fn prepare(&self, models: Vec<ModelName>) -> BoxFuture<'_, Result<(), Fault>>;
    /// Closes all lanes but those of these models; gives those that it closed.
    fn retain(&self, models: Vec<ModelName>) -> BoxFuture<'_, Vec<ModelName>>;
    /// Engines that could not be built or loaded, of one model or of all.
    fn failed_engines(&self, model: Option<&ModelName>) -> Result<Vec<FailedEngine>, Fault>;
    /// Has those tried again.
    fn try_engines_again(&self, failed: &[FailedEngine]);
}
