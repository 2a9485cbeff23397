//! The contract's imports, an interface a file: each translates, charges, and delegates to a port or to
//! `lector-pixels`. No table borrow outlives an await: data are taken out (they are `Arc`s) before it.

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

/// Host functions see the whole state.
pub type Host = HasSelf<HostState>;
/// What a host function of the contract gives: outside a trap, inside the contract's own result.
pub type Answer<R> = wasmtime::Result<Result<R, errors::Error>>;

impl errors::Host for HostState {}

impl geometry::Host for HostState {}

impl model::Host for HostState {}

impl pipeline_types::Host for HostState {}

/// Everything that a guest may import: the contract, and WASI 0.2 with nothing granted.
pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    bindings::Guest::add_to_linker::<_, Host>(linker, |state| state)?;
    bindings::wrapper::lector::ocr::pipeline::add_to_linker::<_, Host>(linker, |state| state)
}

/// What a batching program may import; to call for anything else that its component imports is a trap.
pub fn link_batching_policy(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    log::add_to_linker::<_, Host>(linker, |state| state)?;
    trace::add_to_linker::<_, Host>(linker, |state| state)?;
    settings::add_to_linker::<_, Host>(linker, |state| state)
}

/// An operation on pixels or numbers, ready to leave the Store.
struct Job<R> {
    /// Under which its results will be held.
    charges: Vec<Reservation>,
    /// About how many bytes it reads and writes.
    bytes: u64,
    work: Box<dyn FnOnce() -> Result<R, PixelsError> + Send>,
}

/// Runs an operation for a guest: `prepare` takes what it needs out of the table and charges for it,
/// `keep` puts what came out of it under handles.
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

/// Tells the guest of a fault.
fn tell<T: 'static>(store: &Accessor<T, Host>, fault: Fault) -> errors::Error {
    store.with(|mut access| access.get().tell(fault))
}

/// What is left until the deadline of the call.
fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Bytes of a tensor of that shape; saturating, for shapes that no charge will cover.
fn tensor_bytes(shape: &[u64], element_bytes: u64) -> u64 {
    shape.iter().fold(element_bytes, |product, extent| product.saturating_mul(*extent))
}

/// Keeps a tensor under a charge that is made to fit it; `content` of it, 0 to 1, is no padding.
fn keep_tensor(
    state: &mut HostState,
    tensor: Tensor,
    content: f32,
    mut charge: Reservation,
) -> wasmtime::Result<wasmtime::component::Resource<crate::handles::TensorHandle>> {
    // Made smaller at most: what was charged before covers it.
    charge.resize(tensor.bytes()).map_err(crate::abort::AbortReason::Limit)?;
    state.keep(crate::handles::TensorHandle { tensor, content, charge })
}
