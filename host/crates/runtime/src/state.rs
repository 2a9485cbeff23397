//! What one Store holds: the call it serves, the guest's handles, its budget, the times it took.
//!
//! Made by `invoke` for one call and thrown away with the Store; `imports` works on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::call::{RUNS_REPORTED_MAX, RunRecord};
use lector_core::cost::PageSize;
use lector_core::port::WorkDone;
use lector_core::{CallCtx, Engines, Fault, ModelName, Timing, Transcript};
use tokio::sync::Semaphore;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::abort::AbortReason;
use crate::bindings::lector::ocr::model;
use crate::bindings::lector::types::errors;
use crate::blocking::Blocking;
use crate::limits::Limits;
use crate::log::{GuestLog, LogStream};
use crate::meter::{Meter, processor_time};
use crate::resource_accounting::{Reservation, ResourceAccounting};
use crate::{answer, convert};

/// Handles that WASI may take beside the guest's own: streams, pollables, terminals.
const WASI_HANDLES_MAX: usize = 1024;
/// Random bytes that a guest may ask for in one call.
const RANDOM_BYTES_MAX: u64 = 1 << 20;
/// Faults kept to be known again when the guest hands them back.
const TOLD_MAX: usize = 8;
/// Names of spans that a guest may use in one call.
const SPAN_NAMES_MAX: usize = 64;

/// A run as it was asked for.
pub struct RunRequest {
    pub model: ModelName,
    pub rows: u64,
    /// Of these rows.
    pub pixels: u64,
    /// Shape of a row of the first input.
    pub bucket: Vec<usize>,
    /// Part of the input that is content.
    pub content: f32,
}

/// The data of a Store.
pub struct HostState {
    pub table: ResourceTable,
    pub limits: Limits,
    pub call: CallCtx,
    /// When the call ends at the latest; the earlier of the request's and the budget's.
    pub deadline: Instant,
    pub engines: Arc<dyn Engines>,
    pub blocking: Blocking,
    pub accounting: Arc<ResourceAccounting>,
    pub meter: Arc<Meter>,
    pub log: Arc<GuestLog>,
    pub timing: Timing,
    /// One call of the wrapped pipeline at a time: each gets what the ones before left of the budget.
    pub inner_turn: Arc<Semaphore>,
    /// Held while a text layer is fetched: a guest has one at a time on its way.
    pub text_layer: Arc<Semaphore>,
    /// For the text layer that was handed over last; until the next one it may still be on its way into the guest.
    pub text_layer_charge: Option<Reservation>,
    /// What is known of the page.
    size: PageSize,
    /// Faults that the guest was told of, newest last.
    recorded_fault: Vec<Fault>,
    /// Made when the guest first calls into WASI; most guests never do.
    wasi: Option<Box<WasiCtx>>,
}

impl HostState {
    pub fn new(call: CallCtx, deadline: Instant, engines: Arc<dyn Engines>, blocking: Blocking) -> Self {
        let budget = &call.budget;
        let mut table = ResourceTable::new();
        table.set_max_capacity(budget.handles as usize + WASI_HANDLES_MAX);
        Self {
            table,
            limits: Limits::new(budget),
            deadline,
            engines,
            blocking,
            accounting: ResourceAccounting::new(budget),
            meter: Meter::new(budget.compute),
            log: GuestLog::new(&call),
            timing: Timing::default(),
            inner_turn: Arc::new(Semaphore::new(1)),
            text_layer: Arc::new(Semaphore::new(1)),
            text_layer_charge: None,
            size: PageSize::default(),
            recorded_fault: Vec::new(),
            wasi: None,
            call,
        }
    }

    /// Counts a call into the host; beyond the budget it is the last one.
    pub fn enter(&mut self) -> wasmtime::Result<()> {
        self.timing.host_calls += 1;
        let max = self.call.budget.host_calls;
        if self.timing.host_calls > max { Err(AbortReason::HostCalls(max).into()) } else { Ok(()) }
    }

    /// Does the host's own work inside a guest's poll; it counts as the host's time.
    pub fn host_work<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let began = processor_time();
        let done = work(self);
        let took = processor_time().saturating_sub(began);
        self.timing.image += took;
        self.meter.host_worked(took);
        done
    }

    /// A fault as the guest sees it. It is remembered: a guest that hands it back failed for its cause.
    pub fn tell(&mut self, fault: Fault) -> errors::Error {
        let error = convert::error(&fault);
        if self.recorded_fault.len() == TOLD_MAX {
            self.recorded_fault.remove(0);
        }
        self.recorded_fault.push(fault);
        error
    }

    /// The fault that the guest was told of and now hands back: of the same code, in the host's words or with words around.
    pub fn recorded_fault(&self, code: &str, message: &str) -> Option<&Fault> {
        let same = |fault: &&Fault| convert::code(fault) == code && message.contains(&fault.message);
        self.recorded_fault.iter().rev().find(same)
    }

    /// A transcript of the guest's own, checked as its answer would be.
    pub fn checked(&self, page: model::Transcript) -> Result<Transcript, Fault> {
        answer::transcript(convert::transcript(page), self.call.budget.result_bytes)
    }

    /// Adds what a call of the wrapped pipeline used to what this call has used.
    pub fn wrapped(&mut self, inner: Timing) {
        self.meter.charge(inner.guest);
        self.log.charge(inner.log_bytes);
        self.timing.absorb(inner);
    }

    /// The last refusal for the guest's own budget, where there was one.
    pub fn last_refusal(&self) -> Option<&Fault> {
        self.recorded_fault
            .iter()
            .rev()
            .find(|fault| matches!(fault.code, "guest_host_memory_exceeded" | "guest_handles_exceeded"))
    }

    /// Keeps something for the guest under a handle.
    pub fn keep<R: Send + 'static>(&mut self, handles: R) -> wasmtime::Result<Resource<R>> {
        Ok(self.table.push(handles)?)
    }

    /// Charges a handle of `bytes`.
    pub fn charge(&self, bytes: u64) -> Result<Reservation, Fault> {
        self.accounting.charge(bytes)
    }

    /// The page was rendered, to so many pixels.
    pub fn rendered(&mut self, pixels: u64) {
        self.timing.pixels = self.timing.pixels.saturating_add(pixels);
        self.size.pixels = self.timing.pixels;
        self.tell_size();
    }

    /// So many pixels are on their way to a model.
    pub fn submitted(&mut self, pixels: u64) {
        self.size.crops = self.size.crops.saturating_add(pixels);
        self.tell_size();
    }

    fn tell_size(&self) {
        if let Some(page_observer) = &self.call.page_observer {
            page_observer.known(self.size);
        }
    }

    /// Adds one run of a model to the timing.
    pub fn ran(&mut self, asked: RunRequest, done: &WorkDone) {
        let RunRequest { model, rows, pixels, bucket, content } = asked;
        let time = self.timing.models.entry(model.clone()).or_default();
        time.runs += 1;
        time.rows += rows;
        time.pixels += pixels;
        time.queue += done.queue_wait;
        time.run += done.run;
        let all = f64::from(done.composition.rows).max(rows as f64).max(1.0);
        time.own += done.run.mul_f64(rows as f64 / all);
        let Some(explanation) = &mut self.timing.explanation else { return };
        if explanation.runs.len() >= RUNS_REPORTED_MAX {
            explanation.runs_omitted += 1;
            return;
        }
        explanation.runs.push(RunRecord {
            model,
            composition: done.composition,
            variant: done.variant,
            rows,
            bucket,
            padding: 1.0 - content,
            queue: done.queue_wait,
            run: done.run,
        });
    }

    /// Adds a finished span to the timing; a guest that invents names without end loses the surplus.
    pub fn spanned(&mut self, name: String, took: Duration) {
        if self.timing.spans.len() >= SPAN_NAMES_MAX && !self.timing.spans.contains_key(&name) {
            return;
        }
        let (count, total) = self.timing.spans.entry(name).or_default();
        *count += 1;
        *total += took;
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let log = &self.log;
        let ctx = self.wasi.get_or_insert_with(|| {
            // Nothing is granted: no files, no network, no environment, no arguments, an empty stdin.
            let mut wasi = WasiCtx::builder();
            wasi.stdout(LogStream::new(log, "stdout"))
                .stderr(LogStream::new(log, "stderr"))
                .max_random_size(RANDOM_BYTES_MAX)
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false);
            Box::new(wasi.build())
        });
        WasiCtxView { ctx, table: &mut self.table }
    }
}
