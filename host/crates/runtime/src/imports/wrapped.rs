//! The interface `pipeline` as an import: the pipeline that the guest's revision wraps, in an instance of its own under
//! the same page budget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::{Blame, CallCtx, Fault, Kind, WrappedPipeline};
use wasmtime::component::{Accessor, Resource};

use super::{Answer, tell};
use crate::bindings::lector::ocr::{model, pipeline_types};
use crate::bindings::wrapper::lector::ocr::pipeline;
use crate::compute_meter::ComputeMeter;
use crate::convert;
use crate::handles::{HeldTranscripts, PageHandle};
use crate::view::{PipelineCtx, View};

/// Returns the fault of a revision that wraps no pipeline.
pub(super) fn nothing_wrapped() -> Fault {
    let message = "the guest calls a wrapped pipeline, and its deployment wraps none; deploy it with `wraps`";
    Fault::new(Kind::Denied, "pipeline_not_wrapped", message).blaming(Blame::Guest)
}

/// The computing time of a call of the wrapped pipeline. If the guest drops the call, its actual computing time is
/// unknown, and the elapsed time counts.
struct Computing {
    meter: Arc<ComputeMeter>,
    given: Duration,
    began: Option<Instant>,
}

impl Computing {
    fn begin(meter: &Arc<ComputeMeter>, given: Duration) -> Self {
        Self { meter: Arc::clone(meter), given, began: Some(Instant::now()) }
    }

    /// Ends the call with its reported usage.
    fn end(mut self) {
        self.began = None;
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        if let Some(began) = self.began {
            self.meter.charge(began.elapsed().min(self.given));
        }
    }
}

impl View<'_, PipelineCtx> {
    /// Returns the wrapped pipeline and the context of a call of it, with the rest of this call's budget.
    fn inner(&self) -> Result<(Arc<dyn WrappedPipeline>, CallCtx), Fault> {
        let wrapped = self.call.wrapped.clone().ok_or_else(nothing_wrapped)?;
        let mut ctx = self.call.clone();
        ctx.deadline = self.deadline.end();
        ctx.depth = ctx.depth.saturating_add(1);
        ctx.budget.compute =
            ctx.budget.compute.saturating_sub(self.meter.computed()).max(Duration::from_millis(1));
        ctx.budget.host_calls = ctx.budget.host_calls.saturating_sub(self.timing.host_calls);
        (ctx.budget.host_bytes, ctx.budget.handles) = self.accounting.remaining();
        ctx.budget.log_bytes = self.log.remaining();
        ctx.passed_options = self.ctx.passed_options.clone();
        Ok((wrapped, ctx))
    }
}

impl pipeline::Host for View<'_, PipelineCtx> {
    fn configure(
        &mut self,
        _settings: String,
    ) -> wasmtime::Result<Result<pipeline_types::PipelineInfo, pipeline_types::ConfigError>> {
        self.enter()?;
        Ok(match &self.call.wrapped {
            // The wrapped revision was configured with its own settings when it was created.
            Some(wrapped) => Ok(convert::declaration_out(wrapped.pipeline_info())),
            None => {
                let message = nothing_wrapped().message;
                Err(pipeline_types::ConfigError { pointer: String::new(), message })
            }
        })
    }
}

impl<T: Send + 'static> pipeline::HostWithStore<T> for PipelineCtx {
    async fn recognize(
        store: &Accessor<T, Self>,
        page: Resource<PageHandle>,
        request: pipeline_types::Request,
    ) -> Answer<model::Transcript> {
        let (page, request, permit, flight) = store.with(|mut access| {
            let state = &mut access.get();
            state.enter()?;
            let page = state.table.delete(page)?;
            // Without the guest's texts, which nothing counts while the call waits for its turn.
            let request = convert::request_in(request, state.timing.explanation.is_some());
            Ok::<_, wasmtime::Error>((
                page,
                request,
                Arc::clone(&state.ctx.inner_turn),
                state.accounting.begin(),
            ))
        })?;
        let _permit = permit.acquire_owned().await;
        let begun = store.with(|mut access| {
            let state = &mut access.get();
            let (wrapped, ctx) = state.inner()?;
            let computing = Computing::begin(&state.meter, ctx.budget.compute);
            Ok::<_, Fault>((wrapped.recognize(&ctx, page.source, request), computing))
        });
        let (call, computing) = match begun {
            Ok(begun) => begun,
            Err(fault) => return Ok(Err(tell(store, fault))),
        };
        let run = call.await;
        drop(flight);
        computing.end();
        store.with(|mut access| {
            let state = &mut access.get();
            state.wrapped(run.timing);
            Ok(match run.result {
                Ok(transcript) => Ok(convert::transcript_out(&transcript)),
                Err(fault) => Err(state.tell(fault)),
            })
        })
    }

    async fn assemble(
        store: &Accessor<T, Self>,
        pages: Resource<HeldTranscripts>,
    ) -> Answer<pipeline_types::Summary> {
        let (held, permit, flight) = store.with(|mut access| {
            let state = &mut access.get();
            state.enter()?;
            let held = state.table.delete(pages)?;
            Ok::<_, wasmtime::Error>((held, Arc::clone(&state.ctx.inner_turn), state.accounting.begin()))
        })?;
        // The reservation lasts as long as the pages: while the call waits for its turn, and until it has ended.
        let HeldTranscripts { pages, charge: _charge } = held;
        let _permit = permit.acquire_owned().await;
        let begun = store.with(|mut access| {
            let state = &mut access.get();
            let (wrapped, ctx) = state.inner()?;
            // `assemble` returns no timing, so the elapsed time of the call counts.
            let computing = Computing::begin(&state.meter, ctx.budget.compute);
            Ok::<_, Fault>((wrapped.assemble(&ctx, pages.into()), computing))
        });
        let (call, _computing) = match begun {
            Ok(begun) => begun,
            Err(fault) => return Ok(Err(tell(store, fault))),
        };
        let summary = call.await;
        drop(flight);
        Ok(match summary {
            Ok(summary) => Ok(convert::summary_out(summary)),
            Err(fault) => Err(tell(store, fault)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::VecDeque;
    use std::sync::{Mutex, OnceLock};

    use futures::future::{BoxFuture, FutureExt as _, join};
    use lector_core::options::OptionError;
    use lector_core::port::{WorkDone, WorkItem};
    use lector_core::{
        Engines, ModelInfo, ModelName, PageRequest, PageRun, PageSource, PipelineInfo, SharedTranscript,
        Summary, Timing,
    };
    use serde_json::{Map, Value};
    use wasmtime::Store;

    use super::*;
    use crate::blocking::Blocking;
    use crate::call_deadline::CallDeadline;
    use crate::engine;
    use crate::resource_accounting::ResourceAccounting;
    use crate::state::HostState;

    fn none() -> Fault {
        Fault::new(Kind::Unavailable, "none", "not part of the test")
    }

    struct NoEngines;

    impl Engines for NoEngines {
        fn model(&self, _: &ModelName) -> Option<Arc<ModelInfo>> {
            None
        }

        fn prepare(&self, _: Vec<ModelName>) -> BoxFuture<'static, Result<(), Fault>> {
            async { Ok(()) }.boxed()
        }

        fn retain(&self, _: Vec<ModelName>) -> BoxFuture<'static, Vec<ModelName>> {
            async { Vec::new() }.boxed()
        }

        fn infer(&self, _: WorkItem) -> BoxFuture<'static, Result<WorkDone, Fault>> {
            async { Err(none()) }.boxed()
        }
    }

    /// A pipeline that notes the bytes that its caller has reserved while it runs.
    #[derive(Debug, Default)]
    struct Noting {
        caller: OnceLock<Arc<ResourceAccounting>>,
        noted: Arc<Mutex<Vec<u64>>>,
    }

    impl WrappedPipeline for Noting {
        fn depth(&self) -> u8 {
            1
        }

        fn pipeline_info(&self) -> PipelineInfo {
            PipelineInfo { models: Vec::new(), batching: Vec::new(), features: Vec::new() }
        }

        fn check_options(&self, _: Map<String, Value>) -> Result<Arc<str>, OptionError> {
            Ok("{}".into())
        }

        fn recognize(
            &self,
            _: &CallCtx,
            _: Arc<dyn PageSource>,
            _: PageRequest,
        ) -> BoxFuture<'static, PageRun> {
            async { PageRun { result: Err(none()), timing: Timing::default() } }.boxed()
        }

        fn assemble(
            &self,
            _: &CallCtx,
            _: Vec<SharedTranscript>,
        ) -> BoxFuture<'static, Result<Summary, Fault>> {
            let (caller, noted) = (self.caller.get().unwrap().clone(), self.noted.clone());
            async move {
                noted.lock().unwrap().push(caller.bytes());
                Ok(Summary { text: String::new(), properties: None })
            }
            .boxed()
        }
    }

    /// Otherwise a guest could begin any number of calls, each with pages that are no longer counted.
    #[tokio::test]
    async fn pages_are_reserved_until_the_inner_call_has_ended() {
        let inner = Arc::new(Noting::default());
        let mut call = CallCtx::new("t", "{}", Instant::now() + Duration::from_secs(600));
        call.wrapped = Some(inner.clone());
        let deadline = CallDeadline::new(call.deadline, Instant::now(), call.budget.wall);
        let state = HostState::new(call, deadline, Arc::new(NoEngines), Blocking::new(1), &Arc::default());
        let accounting = state.call_state.accounting.clone();
        inner.caller.set(accounting.clone()).unwrap();
        let mut store = Store::new(&engine::compiling().unwrap(), state);
        let mut held = |bytes: u64| {
            let state = store.data_mut();
            let charge = state.call_state.charge(bytes).unwrap();
            state.table.push(HeldTranscripts { pages: VecDeque::new(), charge }).unwrap()
        };
        let (first, second) = (held(100), held(50));
        let calls = store.run_concurrent(async |accessor| {
            let accessor = accessor.with_getter::<PipelineCtx>(HostState::pipeline);
            let call =
                |pages| <PipelineCtx as pipeline::HostWithStore<HostState>>::assemble(&accessor, pages);
            // The second one waits for its turn while the first one runs.
            join(call(first), call(second)).await
        });
        let (first, second) = calls.await.unwrap();
        assert!(first.unwrap().is_ok() && second.unwrap().is_ok());
        assert_eq!(*inner.noted.lock().unwrap(), [150, 50]);
        assert_eq!(accounting.bytes(), 0);
    }
}
