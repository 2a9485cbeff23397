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
        let (page, permit, flight) = store.with(|mut access| {
            let state = &mut access.get();
            state.enter()?;
            let page = state.table.delete(page)?;
            Ok::<_, wasmtime::Error>((page, Arc::clone(&state.ctx.inner_turn), state.accounting.begin()))
        })?;
        let _permit = permit.acquire_owned().await;
        let begun = store.with(|mut access| {
            let state = &mut access.get();
            let explain = state.timing.explanation.is_some();
            let (wrapped, ctx) = state.inner()?;
            let computing = Computing::begin(&state.meter, ctx.budget.compute);
            Ok::<_, Fault>((
                wrapped.recognize(&ctx, page.source, convert::request_in(&request, explain)),
                computing,
            ))
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
        let (pages, permit, flight) = store.with(|mut access| {
            let state = &mut access.get();
            state.enter()?;
            let pages = state.table.delete(pages)?.pages;
            Ok::<_, wasmtime::Error>((pages, Arc::clone(&state.ctx.inner_turn), state.accounting.begin()))
        })?;
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
