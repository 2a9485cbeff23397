//! The state of one call that all capabilities of a guest share: whose call it is, its budget and what of it is used, its
//! timing and log, and the faults that were returned to the guest.

use std::sync::Arc;
use std::time::Duration;

use lector_core::call::{RUNS_REPORTED_MAX, RunRecord};
use lector_core::cost::PageSize;
use lector_core::port::WorkDone;
use lector_core::{CallCtx, Fault, ModelName, Timing, Transcript};

use crate::abort::AbortReason;
use crate::bindings::lector::ocr::model;
use crate::bindings::lector::types::errors;
use crate::call_deadline::CallDeadline;
use crate::compute_meter::{ComputeMeter, processor_time};
use crate::log::GuestLog;
use crate::log_rate::LogRates;
use crate::resource_accounting::{Reservation, ResourceAccounting};
use crate::{answer, convert};

/// Maximum faults that are remembered so that they can be recognized when the guest returns them.
const RECORDED_MAX: usize = 8;
/// Maximum distinct span names of one call.
const SPAN_NAMES_MAX: usize = 64;

/// A model run as requested.
pub struct RunRequest {
    pub model: ModelName,
    pub rows: u64,
    /// Pixels of the input rows.
    pub pixels: u64,
    /// Shape of one row of the first input.
    pub bucket: Vec<usize>,
    /// Fraction of the input that is content, 0 to 1; the rest is padding.
    pub content: f32,
}

/// The state of one call.
pub struct CallState {
    pub call: CallCtx,
    pub deadline: Arc<CallDeadline>,
    pub accounting: Arc<ResourceAccounting>,
    pub meter: Arc<ComputeMeter>,
    pub log: Arc<GuestLog>,
    pub timing: Timing,
    /// Whether a fault's message for the client contains the guest's panic message: for those who deploy the guest or ask
    /// for an explanation. The log has it always.
    pub tells_panics: bool,
    /// Page size and rendered pixels so far.
    size: PageSize,
    /// Faults that were returned to the guest, newest last.
    recorded_faults: Vec<Fault>,
}

impl CallState {
    pub fn new(call: CallCtx, deadline: Arc<CallDeadline>, log_rates: &Arc<LogRates>) -> Self {
        let budget = &call.budget;
        Self {
            deadline,
            accounting: ResourceAccounting::new(budget, call.memory.clone()),
            meter: ComputeMeter::new(budget.compute),
            log: GuestLog::new(&call, log_rates),
            timing: Timing::default(),
            tells_panics: false,
            size: PageSize::default(),
            recorded_faults: Vec::new(),
            call,
        }
    }

    /// Counts a call into the host, and ends the guest if the budget is exceeded.
    pub fn enter(&mut self) -> wasmtime::Result<()> {
        self.timing.host_calls += 1;
        let max = self.call.budget.host_calls;
        if self.timing.host_calls > max { Err(AbortReason::HostCalls(max).into()) } else { Ok(()) }
    }

    /// Runs host work inside a guest's poll; its time counts for the host.
    pub fn host_work<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let began = processor_time();
        let done = work(self);
        let took = processor_time().saturating_sub(began);
        self.timing.image += took;
        self.meter.host_worked(took);
        done
    }

    /// Converts a fault to an error for the guest and remembers it: a guest that returns it failed for the same cause.
    pub fn tell(&mut self, mut fault: Fault) -> errors::Error {
        // Messages quote arguments of the guest.
        fault.message = answer::message(&fault.message);
        let error = convert::error(&fault);
        if self.recorded_faults.len() == RECORDED_MAX {
            self.recorded_faults.remove(0);
        }
        self.recorded_faults.push(fault);
        error
    }

    /// Returns the remembered fault that the guest now returns: one of the same code whose message is contained in
    /// `message`.
    pub fn recorded_fault(&self, code: &str, message: &str) -> Option<&Fault> {
        let same = |fault: &&Fault| convert::code(fault) == code && message.contains(&fault.message);
        self.recorded_faults.iter().rev().find(same)
    }

    /// Validates a transcript that the guest made, like an answer.
    pub fn checked(&self, page: model::Transcript) -> Result<Transcript, Fault> {
        answer::transcript(convert::transcript(page), self.call.budget.result_bytes)
    }

    /// Adds the usage of a call of the wrapped pipeline to this call's usage.
    pub fn wrapped(&mut self, inner: Timing) {
        self.meter.charge(inner.guest);
        self.log.charge(inner.log_bytes);
        self.timing.absorb(inner);
    }

    /// Returns the last fault caused by the guest's own budget, if any.
    pub fn last_refusal(&self) -> Option<&Fault> {
        self.recorded_faults
            .iter()
            .rev()
            .find(|fault| matches!(fault.code, "guest_host_memory_exceeded" | "guest_handles_exceeded"))
    }

    /// Reserves a handle of `bytes`.
    pub fn charge(&self, bytes: u64) -> Result<Reservation, Fault> {
        self.accounting.charge(bytes)
    }

    /// Records that the page was rendered to `pixels` pixels.
    pub fn rendered(&mut self, pixels: u64) {
        self.timing.pixels = self.timing.pixels.saturating_add(pixels);
        self.size.pixels = self.timing.pixels;
        self.tell_size();
    }

    /// Records that `pixels` pixels were submitted to a model.
    pub fn submitted(&mut self, pixels: u64) {
        self.size.crops = self.size.crops.saturating_add(pixels);
        self.tell_size();
    }

    fn tell_size(&self) {
        if let Some(page_observer) = &self.call.page_observer {
            page_observer.known(self.size);
        }
    }

    /// Adds one model run to the timing.
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

    /// Adds a finished span to the timing. Spans beyond the maximum number of distinct names are dropped.
    pub fn spanned(&mut self, name: String, took: Duration) {
        if self.timing.spans.len() >= SPAN_NAMES_MAX && !self.timing.spans.contains_key(&name) {
            return;
        }
        let (count, total) = self.timing.spans.entry(name).or_default();
        *count += 1;
        *total += took;
    }
}
