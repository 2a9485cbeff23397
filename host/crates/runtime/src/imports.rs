//! The imports of the contract, one interface per file. Each translates, reserves resources, and delegates to a port or
//! to `lector-pixels`. No table borrow lives across an await: data are cloned out (they are `Arc`s) first.

mod document;
mod image;
mod inference;
mod observe;
mod options;
mod wrapped;

use std::time::{Duration, Instant};

use lector_core::{Fault, Tensor};
use lector_pixels::PixelsError;
use wasmtime::component::{Accessor, HasData, Linker};

use crate::bindings::lector::image::images;
use crate::bindings::lector::inference::{models, tensors};
use crate::bindings::lector::ocr::document as page_document;
use crate::bindings::lector::ocr::{budget, log, model, pipeline_types, settings, trace};
use crate::bindings::lector::types::{errors, geometry};
use crate::bindings::options::lector::options::options as guest_options;
use crate::bindings::wrapper::lector::ocr::pipeline;
use crate::resource_accounting::{InFlight, Reservation};
use crate::state::HostState;
use crate::view::{Computes, DocumentCtx, ImageCtx, InferenceCtx, ObserveCtx, PipelineCtx, View};

/// Return type of a host function of the contract: the outer result is a trap, the inner one the contract's own.
pub type Answer<R> = wasmtime::Result<Result<R, errors::Error>>;

// These interfaces have types alone.
impl<C> errors::Host for View<'_, C> {}

impl<C> geometry::Host for View<'_, C> {}

impl<C> model::Host for View<'_, C> {}

impl<C> pipeline_types::Host for View<'_, C> {}

/// Links all imports of a guest: the contract, and WASI 0.2 with nothing granted.
pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    errors::add_to_linker::<_, ObserveCtx>(linker, HostState::observe)?;
    geometry::add_to_linker::<_, ImageCtx>(linker, HostState::image)?;
    images::add_to_linker::<_, ImageCtx>(linker, HostState::image)?;
    tensors::add_to_linker::<_, InferenceCtx>(linker, HostState::inference)?;
    models::add_to_linker::<_, InferenceCtx>(linker, HostState::inference)?;
    model::add_to_linker::<_, DocumentCtx>(linker, HostState::document)?;
    page_document::add_to_linker::<_, DocumentCtx>(linker, HostState::document)?;
    pipeline_types::add_to_linker::<_, PipelineCtx>(linker, HostState::pipeline)?;
    pipeline::add_to_linker::<_, PipelineCtx>(linker, HostState::pipeline)?;
    guest_options::add_to_linker::<_, PipelineCtx>(linker, HostState::pipeline)?;
    budget::add_to_linker::<_, ObserveCtx>(linker, HostState::observe)?;
    link_observing(linker)
}

/// Links the imports of a batching policy; a call of any other import of its component traps.
pub fn link_batching_policy(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    link_observing(linker)
}

fn link_observing(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    log::add_to_linker::<_, ObserveCtx>(linker, HostState::observe)?;
    trace::add_to_linker::<_, ObserveCtx>(linker, HostState::observe)?;
    settings::add_to_linker::<_, ObserveCtx>(linker, HostState::observe)
}

/// An operation on pixels or numbers, ready to run outside the Store.
struct Job<R> {
    /// Reservations of its results.
    charges: Vec<Reservation>,
    /// Approximate number of bytes that it reads and writes.
    bytes: u64,
    work: Box<dyn FnOnce() -> Result<R, PixelsError> + Send>,
}

/// Runs an operation for a guest: `prepare` takes its arguments from the table and reserves its results, `keep` puts
/// the results under handles.
async fn operate<T: 'static, C, R: Send + 'static, W>(
    store: &Accessor<T, C>,
    prepare: impl FnOnce(&mut View<'_, C>) -> wasmtime::Result<Result<Job<R>, Fault>>,
    keep: impl FnOnce(&mut View<'_, C>, R, Vec<Reservation>) -> wasmtime::Result<W>,
) -> Answer<W>
where
    C: Computes + for<'a> HasData<Data<'a> = View<'a, C>>,
{
    let begun = store.with(|mut access| {
        let state = &mut access.get();
        state.enter()?;
        let flight = state.accounting.begin();
        let whose = (state.call.tenant.clone(), state.call.weight);
        let job = prepare(state)?;
        Ok::<_, wasmtime::Error>(job.map(|job| (job, state.ctx.blocking().clone(), whose, flight)))
    })?;
    let (job, blocking, whose, _flight): (_, _, _, InFlight) = match begun {
        Ok(begun) => begun,
        Err(fault) => return Ok(Err(tell(store, fault))),
    };
    let done = blocking.run(whose, job.bytes, job.work).await;
    store.with(|mut access| {
        let state = &mut access.get();
        let done = match done {
            Ok(done) => done,
            Err(fault) => return Ok(Err(state.tell(fault))),
        };
        state.timing.image += done.took;
        if done.inline {
            state.meter.host_worked(done.took);
        }
        match done.outcome {
            Ok(made) => Ok(Ok(keep(state, made, job.charges)?)),
            Err(error) => Ok(Err(state.tell(error.into()))),
        }
    })
}

/// Converts a fault to an error for the guest, and remembers it.
fn tell<T: 'static, C>(store: &Accessor<T, C>, fault: Fault) -> errors::Error
where
    C: for<'a> HasData<Data<'a> = View<'a, C>>,
{
    store.with(|mut access| access.get().tell(fault))
}

/// Returns the time left until the deadline of the call.
fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Returns the bytes of a tensor of that shape; saturating, for shapes that no reservation will cover.
fn tensor_bytes(shape: &[u64], element_bytes: u64) -> u64 {
    shape.iter().fold(element_bytes, |product, extent| product.saturating_mul(*extent))
}

/// Keeps a tensor under a reservation that is resized to fit; `content` of it, 0 to 1, is not padding.
fn keep_tensor<C>(
    state: &mut View<'_, C>,
    tensor: Tensor,
    content: f32,
    mut charge: Reservation,
) -> wasmtime::Result<wasmtime::component::Resource<crate::handles::TensorHandle>> {
    // Never grows: the earlier reservation covers the tensor.
    charge.resize(tensor.bytes()).map_err(crate::abort::AbortReason::Limit)?;
    state.keep(crate::handles::TensorHandle { tensor, content, charge })
}
