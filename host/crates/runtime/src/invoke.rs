//! One guest call: a fresh Store and instance, the call under its limits, and its timing.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lector_core::fair::{Account, Permit};
use lector_core::{CallCtx, Fault, Kind, PageSource, SharedTranscript, Timing};
use wasmtime::component::Resource;
use wasmtime::{Store, UpdateDeadline};

use crate::abort::AbortReason;
use crate::bindings;
use crate::bindings::GuestPre;
use crate::bindings::lector::types::errors;
use crate::bindings::options::{GuestOptions, GuestOptionsPre};
use crate::call_deadline::CallDeadline;
use crate::compute_meter::{self, ComputeMeter};
use crate::convert;
use crate::epoch_ticker::Running;
use crate::executor::Executor;
use crate::handles::{HeldTranscripts, PageHandle};
use crate::resource_accounting::ResourceAccounting;
use crate::state::HostState;
use crate::threads::{self, CpuSlice};
use crate::{answer, error_mapping};

/// Epochs (milliseconds) that a guest computes before it yields its thread.
const SLICE_EPOCHS: u64 = 1;
/// Minimum bytes that one call may pass to the host, regardless of its budget: log lines, JSON, small images.
const HOSTCALL_BYTES_MIN: u64 = 1 << 20;

/// A started guest. Dropping it drops the Store, and with it all handles and calls in flight of the guest.
pub struct Invocation<E = bindings::Guest> {
    pub store: Store<HostState>,
    pub exports: E,
    executor: Arc<Executor>,
    meter: Arc<ComputeMeter>,
    cpu_slice: Arc<CpuSlice>,
    accounting: Arc<ResourceAccounting>,
    began: Instant,
    deadline: Arc<CallDeadline>,
    start: Duration,
    /// Computing time of the start, which is not counted for the call.
    start_computed: Duration,
    _running: Running,
    _places: Option<Permit>,
}

/// The reason why a call returned no value.
enum Ended {
    /// The deadline passed.
    Late,
    /// wasmtime or a host function ended the call.
    Error(wasmtime::Error),
}

/// A linked component whose instances have the exports `Exports`.
pub trait Instantiates: Sync {
    type Exports: Send;

    /// Makes an instance in `store`.
    fn instantiate(
        &self,
        store: &mut Store<HostState>,
    ) -> impl Future<Output = wasmtime::Result<Self::Exports>> + Send;
}

impl Instantiates for GuestPre<HostState> {
    type Exports = bindings::Guest;

    async fn instantiate(&self, store: &mut Store<HostState>) -> wasmtime::Result<Self::Exports> {
        self.instantiate_async(store).await
    }
}

impl Instantiates for GuestOptionsPre<HostState> {
    type Exports = GuestOptions;

    async fn instantiate(&self, store: &mut Store<HostState>) -> wasmtime::Result<Self::Exports> {
        self.instantiate_async(store).await
    }
}

impl<E: Send> Invocation<E> {
    /// Creates a Store and an instance for `ctx`. On failure, the timing covers the work done so far.
    pub async fn start(
        executor: &Arc<Executor>,
        pre: &impl Instantiates<Exports = E>,
        ctx: &CallCtx,
    ) -> Result<Self, (Fault, Timing)> {
        let asked = Instant::now();
        executor.counters.calls.fetch_add(1, Ordering::Relaxed);
        // The wait for an instance does not spend the budget, and ends after as long a time.
        let latest = ctx.deadline.min(asked.checked_add(ctx.budget.wall).unwrap_or(ctx.deadline));
        let early = |fault: Fault| {
            executor.counters.fault(fault.code);
            (fault, Timing { total: asked.elapsed(), ..Timing::default() })
        };
        let places = match tokio::time::timeout_at(latest.into(), executor.places(ctx)).await {
            Ok(Ok(places)) => places,
            Ok(Err(fault)) => return Err(early(fault)),
            Err(_) => {
                let message = "all guest instances were in use until the deadline; try again later";
                return Err(early(
                    Fault::new(Kind::Busy, "runtime_busy", message).retry_after(Duration::from_secs(1)),
                ));
            }
        };
        let running = executor.epoch_ticker.enter();
        let began = Instant::now();
        let deadline = CallDeadline::new(ctx.deadline, began, ctx.budget.wall);
        let cpu_slice = executor.threads.cpu_slice(Account::new(ctx.tenant.clone(), ctx.weight));
        let mut store = new_store(executor, ctx, &deadline, &cpu_slice);
        let (meter, accounting) =
            (Arc::clone(&store.data().call_state.meter), Arc::clone(&store.data().call_state.accounting));
        let outcome = bounded(&meter, &cpu_slice, &accounting, &deadline, pre.instantiate(&mut store)).await;
        let start = began.elapsed();
        let exports = match outcome {
            Ok(exports) => exports,
            Err(ended) => {
                let fault = match ended {
                    Ended::Late => error_mapping::late(store.data(), asked.elapsed()),
                    Ended::Error(error) => error_mapping::ended(&error, store.data()),
                };
                let timing = Timing { start, ..Timing::default() };
                executor.counters.fault(fault.code);
                return Err((fault, Timing { total: asked.elapsed(), ..timing }));
            }
        };
        executor.counters.started(start);
        let start_computed = meter.computed();
        Ok(Self {
            store,
            exports,
            executor: Arc::clone(executor),
            meter,
            cpu_slice,
            accounting,
            began: asked,
            deadline,
            start,
            start_computed,
            _running: running,
            _places: places,
        })
    }

    /// Makes the timing list every model run, and a fault contain the guest's panic message.
    pub fn explain(&mut self) {
        self.store.data_mut().call_state.timing.explanation = Some(Box::default());
        self.tell_panics();
    }

    /// Makes the message of a fault contain the guest's panic message.
    pub fn tell_panics(&mut self) {
        self.store.data_mut().call_state.tells_panics = true;
    }

    /// Puts the page under a handle that the guest will own.
    pub fn page(
        &mut self,
        source: Arc<dyn PageSource>,
        dpi_asked: Option<f32>,
    ) -> Result<Resource<PageHandle>, Fault> {
        let info = source.info();
        let handle = PageHandle { source, info, dpi_asked };
        let state = self.store.data_mut();
        state.table.push(handle).map_err(|error| Fault::from(&AbortReason::Defect(error.to_string())))
    }

    /// Puts the transcripts under a handle that the guest will own.
    pub fn transcripts(&mut self, pages: Vec<SharedTranscript>) -> Result<Resource<HeldTranscripts>, Fault> {
        let state = self.store.data_mut();
        let charge = state.call_state.charge(0)?;
        let handle = HeldTranscripts { pages: pages.into(), charge };
        state.table.push(handle).map_err(|error| Fault::from(&AbortReason::Defect(error.to_string())))
    }

    /// Runs `call` (which borrows the Store it is given) under the limits of this invocation.
    pub async fn run<R>(
        &mut self,
        call: impl AsyncFnOnce(&mut Store<HostState>, &E) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let work = call(&mut self.store, &self.exports);
        match bounded(&self.meter, &self.cpu_slice, &self.accounting, &self.deadline, work).await {
            Ok(value) => Ok(value),
            Err(Ended::Late) => Err(error_mapping::late(self.store.data(), self.began.elapsed())),
            Err(Ended::Error(error)) => Err(error_mapping::ended(&error, self.store.data())),
        }
    }

    /// Returns the fault for an error that the guest returned. If the guest returns an error that it received from the
    /// host, the result is the original fault of the host, with its code and blame.
    pub fn refused(&self, error: errors::Error) -> Fault {
        match self.store.data().call_state.recorded_fault(&error.code, &error.message) {
            Some(fault) => fault.clone(),
            // The client has named the language.
            None if error.code == LANGUAGE_NOT_INSTALLED
                && !self.store.data().call_state.call.languages.is_empty() =>
            {
                Fault::new(Kind::Invalid, LANGUAGE_NOT_INSTALLED, answer::message(&error.message))
            }
            None => {
                let mut fault = convert::fault(error);
                fault.message = answer::message(&fault.message);
                fault
            }
        }
    }

    /// Ends the call: closes the guest's log, updates the counters, and returns the timing.
    pub fn finish<R>(mut self, outcome: &Result<R, Fault>) -> Timing {
        let counters = &self.executor.counters;
        if let Err(fault) = outcome {
            counters.fault(fault.code);
        }
        let state = self.store.data_mut();
        counters.log_bytes_dropped.fetch_add(state.call_state.log.close(), Ordering::Relaxed);
        let mut timing = std::mem::take(&mut state.call_state.timing);
        // The times of a wrapped pipeline are already included.
        timing.memory_bytes += state.limits.memory_bytes();
        timing.start += self.start;
        timing.log_bytes = state.call_state.log.used();
        timing.guest = self.meter.computed().saturating_sub(self.start_computed);
        timing.total = self.began.elapsed();
        timing
    }
}

/// Code of a guest's error about a language that this server cannot read.
const LANGUAGE_NOT_INSTALLED: &str = "language_not_installed";

/// Creates a Store with all limits of the call in force.
fn new_store(
    executor: &Executor,
    ctx: &CallCtx,
    deadline: &Arc<CallDeadline>,
    cpu_slice: &Arc<CpuSlice>,
) -> Store<HostState> {
    let state = executor.state(ctx.clone(), Arc::clone(deadline));
    let (meter, cpu_slice) = (Arc::clone(&state.call_state.meter), Arc::clone(cpu_slice));
    let mut store = Store::new(&executor.engine, state);
    store.limiter(|state| &mut state.limits);
    store.set_epoch_deadline(SLICE_EPOCHS);
    store.epoch_deadline_callback(move |store| {
        if meter.is_spent() {
            return Err(AbortReason::Compute(meter.limit()).into());
        }
        let computed = meter.computed();
        if computed < threads::LONG {
            return Ok(UpdateDeadline::Yield(SLICE_EPOCHS));
        }
        let wait = compute_meter::cpu_slice(&cpu_slice, &store.data().call_state.accounting, computed);
        Ok(UpdateDeadline::YieldCustom(SLICE_EPOCHS, wait))
    });
    // In one call, a guest may pass its result, or the pixels of an image that it made.
    let budget = &ctx.budget;
    let pixels = budget.pixels_max.saturating_mul(3).min(budget.host_bytes);
    let hostcall_bytes = budget.result_bytes.max(pixels).max(HOSTCALL_BYTES_MIN);
    store.set_hostcall_fuel(usize::try_from(hostcall_bytes).unwrap_or(usize::MAX));
    // The guest's side of handles: handles of the contract, of WASI, and of the guest's own resources and tasks.
    store.set_max_component_handles((budget.handles as usize).saturating_mul(2).saturating_add(4096));
    store
}

/// Polls `work` under the meter until the deadline. The wait for the deadline surrounds `run_concurrent`: a timeout inside it may
/// not fire (wasmtime issues 11869 and 11870).
async fn bounded<R>(
    meter: &Arc<ComputeMeter>,
    cpu_slice: &Arc<CpuSlice>,
    accounting: &Arc<ResourceAccounting>,
    deadline: &CallDeadline,
    work: impl Future<Output = wasmtime::Result<R>>,
) -> Result<R, Ended> {
    tokio::select! {
        biased;
        outcome = meter.run(cpu_slice, accounting, work) => outcome.map_err(Ended::Error),
        () = deadline.passed() => Err(Ended::Late),
    }
}
