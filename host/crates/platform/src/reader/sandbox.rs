//! `lector-runtime`'s guests as readers. Translates and delegates; decides nothing.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use lector_core::batching::Planner;
use lector_core::batching::plan::ProgramStatus;
use lector_core::port::FailedEngine;
use lector_core::{
    CallCtx, Complaint, Declaration, Fault, ModelName, PageRequest, PageRun, PageSource, SharedTranscript,
    Summary,
};
use lector_runtime::{Guest, Program, Runtime};

use super::{BatchProgram, Inspected, Loader, Reader};

impl Loader for Arc<Runtime> {
    fn inspect(&self, wasm: &[u8]) -> Result<Inspected, Fault> {
        let inspection = Runtime::inspect(wasm)?;
        inspection.verdict()?;
        Ok(Inspected { imports: inspection.imports })
    }

    fn load(&self, wasm: Vec<u8>) -> BoxFuture<'_, Result<Arc<dyn Reader>, Fault>> {
        async move { Ok(Runtime::load(self, wasm).await? as Arc<dyn Reader>) }.boxed()
    }

    fn prepare(&self, models: Vec<ModelName>) -> BoxFuture<'_, Result<(), Fault>> {
        self.engines().prepare(models)
    }

    fn retain(&self, models: Vec<ModelName>) -> BoxFuture<'_, Vec<ModelName>> {
        self.engines().retain(models)
    }

    fn failed_engines(&self, model: Option<&ModelName>) -> Result<Vec<FailedEngine>, Fault> {
        self.engines().failed(model)
    }

    fn try_engines_again(&self, failed: &[FailedEngine]) {
        self.engines().try_again(failed);
    }
}

impl BatchProgram for Program {
    fn planner(&self, ctx: &CallCtx) -> Arc<dyn Planner> {
        Program::planner(self, ctx)
    }

    fn status(&self) -> ProgramStatus {
        Program::status(self)
    }
}

impl Reader for Guest {
    fn program(&self) -> Option<Box<dyn BatchProgram>> {
        Some(Box::new(Guest::program(self)?))
    }

    fn configure<'a>(
        &'a self,
        ctx: &'a CallCtx,
        settings: &'a str,
    ) -> BoxFuture<'a, Result<Result<Declaration, Complaint>, Fault>> {
        Guest::configure(self, ctx, settings).boxed()
    }

    fn recognize<'a>(
        &'a self,
        ctx: &'a CallCtx,
        page: Arc<dyn PageSource>,
        request: PageRequest,
    ) -> BoxFuture<'a, PageRun> {
        Guest::recognize(self, ctx, page, request).boxed()
    }

    fn assemble<'a>(
        &'a self,
        ctx: &'a CallCtx,
        pages: Vec<SharedTranscript>,
    ) -> BoxFuture<'a, Result<Summary, Fault>> {
        Guest::assemble(self, ctx, pages).boxed()
    }
}
