//! `pipeline` as an import: the pipeline that the guest's revision wraps, in an instance of its own under the same page budget.

use std::sync::Arc;
use std::time::Duration;

use lector_core::{Blame, CallCtx, Fault, Kind, Transcript, WrappedPipeline};
use wasmtime::component::{Accessor, Resource};

use super::{Answer, Host, tell};
use crate::bindings::lector::ocr::{model, pipeline_types};
use crate::bindings::wrapper::lector::ocr::pipeline;
use crate::convert;
use crate::held::{HeldPage, HeldTranscripts};
use crate::state::HostState;

/// A revision that wraps nothing has no pipeline to import.
fn nothing_wrapped() -> Fault {
    let message = "the guest calls the pipeline that it wraps, and its deployment wraps none; deploy it with `wraps`";
    Fault::new(Kind::Denied, "pipeline_not_wrapped", message).blaming(Blame::Guest)
}

impl HostState {
    /// The wrapped pipeline, and the context of a call of it: what is left of this call's budget.
    fn inner(&self) -> Result<(Arc<dyn WrappedPipeline>, CallCtx), Fault> {
        let wrapped = self.call.wrapped.clone().ok_or_else(nothing_wrapped)?;
        let mut ctx = self.call.clone();
        ctx.deadline = self.deadline;
        ctx.budget.compute = ctx.budget.compute.saturating_sub(self.meter.computed()).max(Duration::from_millis(1));
        ctx.budget.host_calls = ctx.budget.host_calls.saturating_sub(self.timing.host_calls);
        (ctx.budget.host_bytes, ctx.budget.handles) = self.ledger.remaining();
        ctx.budget.log_bytes = self.log.remaining();
        Ok((wrapped, ctx))
    }
}

impl pipeline::Host for HostState {
    fn configure(
        &mut self,
        _settings: String,
    ) -> wasmtime::Result<Result<pipeline_types::PipelineInfo, pipeline_types::ConfigError>> {
        self.enter()?;
        Ok(match &self.call.wrapped {
            // The wrapped revision was configured with its own settings when it was made.
            Some(wrapped) => Ok(convert::declaration_out(wrapped.declaration())),
            None => {
                let message = nothing_wrapped().message;
                Err(pipeline_types::ConfigError { pointer: String::new(), message })
            }
        })
    }
}

impl<T: Send + 'static> pipeline::HostWithStore<T> for Host {
    async fn recognize(
        store: &Accessor<T, Self>,
        page: Resource<HeldPage>,
        request: pipeline_types::Request,
    ) -> Answer<model::Transcript> {
        let begun = store.with(|mut access| {
            let state = access.get();
            state.enter()?;
            let page = state.table.delete(page)?;
            let explain = state.timing.explanation.is_some();
            let flight = state.ledger.begin();
            Ok::<_, wasmtime::Error>(state.inner().map(|inner| (inner, page, explain, flight)))
        })?;
        let ((wrapped, ctx), page, explain, flight) = match begun {
            Ok(begun) => begun,
            Err(fault) => return Ok(Err(tell(store, fault))),
        };
        let run = wrapped.recognize(&ctx, page.source, convert::request_in(&request, explain)).await;
        drop(flight);
        store.with(|mut access| {
            let state = access.get();
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
        let begun = store.with(|mut access| {
            let state = access.get();
            state.enter()?;
            let pages = state.table.delete(pages)?.pages;
            let flight = state.ledger.begin();
            Ok::<_, wasmtime::Error>(state.inner().map(|inner| (inner, pages, flight)))
        })?;
        let ((wrapped, ctx), pages, flight) = match begun {
            Ok(begun) => begun,
            Err(fault) => return Ok(Err(tell(store, fault))),
        };
        let pages: Vec<Arc<Transcript>> = pages.into();
        let summary = wrapped.assemble(&ctx, pages).await;
        drop(flight);
        Ok(match summary {
            Ok(summary) => Ok(convert::summary_out(summary)),
            Err(fault) => Err(tell(store, fault)),
        })
    }
}
