//! The imports of the contract, one interface per file. Each translates, reserves resources, and delegates to a port or
//! to `lector-pixels`. No table borrow lives across an await: data are cloned out (they are `Arc`s) first.

mod document;
mod image;
mod inference;
mod observe;
mod wrapped;

use std::time::{Duration, Instant};

use lector_core::{Fault, Tensor};
use lector_pixels::PixelsError;
use wasmtime::component::{Accessor, HasSelf, Linker};

use crate::bindings;
use crate::bindings::lector::ocr::{log, model, pipeline_types, settings, trace};
use crate::bindings::lector::types::{errors, geometry};
use crate::resource_accounting::{InFlight, Reservation};
use crate::state::HostState;

/// Gives host functions the whole state.
pub type Host = HasSelf<HostState>;
/// Return type of a host function of the contract: the outer result is a trap, the inner one the contract's own.
pub type Answer<R> = wasmtime::Result<Result<R, errors::Error>>;

impl errors::Host for HostState {}

impl geometry::Host for HostState {}

impl model::Host for HostState {}

impl pipeline_types::Host for HostState {}

/// Links all imports of a guest: the contract, and WASI 0.2 with nothing granted.
pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    bindings::Guest::add_to_linker::<_, Host>(linker, |state| state)?;
    bindings::wrapper::lector::ocr::pipeline::add_to_linker::<_, Host>(linker, |state| state)
}

/// Links the imports of a batching policy; a call of any other import of its component traps.
pub fn link_batching_policy(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    log::add_to_linker::<_, Host>(linker, |state| state)?;
    trace::add_to_linker::<_, Host>(linker, |state| state)?;
    settings::add_to_linker::<_, Host>(linker, |state| state)
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
async fn operate<T: 'static, R: Send + 'static, W>(
    store: &Accessor<T, Host>,
    prepare: impl FnOnce(&mut HostState) -> wasmtime::Result<Result<Job<R>, Fault>>,
    keep: impl FnOnce(&mut HostState, R, Vec<Reservation>) -> wasmtime::Result<W>,
) -> Answer<W> {
    let begun = store.with(|mut access| {
        let state = access.get();
        state.enter()?;
        let flight = state.accounting.begin();
        let whose = (state.call.tenant.clone(), state.call.weight);
        let job = prepare(state)?;
        Ok::<_, wasmtime::Error>(job.map(|job| (job, state.blocking.clone(), whose, flight)))
    })?;
    let (job, blocking, whose, _flight): (_, _, _, InFlight) = match begun {
        Ok(begun) => begun,
        Err(fault) => return Ok(Err(tell(store, fault))),
    };
    let done = blocking.run(whose, job.bytes, job.work).await;
    store.with(|mut access| {
        let state = access.get();
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
fn tell<T: 'static>(store: &Accessor<T, Host>, fault: Fault) -> errors::Error {
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
fn keep_tensor(
    state: &mut HostState,
    tensor: Tensor,
    content: f32,
    mut charge: Reservation,
) -> wasmtime::Result<wasmtime::component::Resource<crate::handles::TensorHandle>> {
    // Never grows: the earlier reservation covers the tensor.
    charge.resize(tensor.bytes()).map_err(crate::abort::AbortReason::Limit)?;
    state.keep(crate::handles::TensorHandle { tensor, content, charge })
}
