//! A lane: the bounded queue in front of a model's engines, and the threads that own the engines.
//!
//! Owns the queue, the owner threads and the metrics of one model. Uses engines only through their trait. Items of
//! different requests and tenants are merged along the batch axis where that saves time, in the order of the tenants'
//! shares; [`lector_core::batching`] decides. An item carries its span and its reply channel; a caller withdraws the
//! item by dropping the channel. Called by [`crate::Inference`].

mod item;
mod owner;
mod plan_query;
mod queue;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use lector_core::batching::Planned;
use lector_core::port::{Scheduling, WorkDone, WorkItem};
use lector_core::{Fault, Kind, ModelInfo, Tensor};
use tokio::sync::oneshot;

use crate::check::{Limits, check, smallest};
use crate::config::SessionConfig;
use crate::cores::Cores;
use crate::engine::{Engine, InstalledEngine, Slot};
use crate::error::InferenceError;
use crate::lane_counters::{LaneCounters, LaneStatus};
use crate::provider::{EngineVariant, Provider};
use item::{Bounds, Ticket};
use queue::{Queue, Refusal};

/// Most rows of a calibration run: enough to separate the cost of a launch from the cost of a row.
const CALIBRATION_ROWS_MAX: u32 = 8;

/// The tenant of probes; no tenant's name may start with a dot.
const PROBE_TENANT: &str = ".probe";

/// The receiver of the answer to an offer.
pub(crate) type Answer = oneshot::Receiver<Result<WorkDone, Fault>>;

/// The parts of a lane.
pub(crate) struct LaneParts {
    pub(crate) info: Arc<ModelInfo>,
    pub(crate) limits: Limits,
    pub(crate) variant: EngineVariant,
    pub(crate) session_config: SessionConfig,
    pub(crate) queue_items_max: usize,
    pub(crate) cores: Arc<Cores>,
    /// Whether the first costs are learned before the first item, with a few runs of the smallest input.
    pub(crate) calibrate: bool,
    /// One engine for each session.
    pub(crate) engines: Vec<Box<dyn Engine>>,
}

/// The lane of one model.
pub(crate) struct Lane {
    info: Arc<ModelInfo>,
    limits: Limits,
    /// The engine variant in use.
    variant: Mutex<EngineVariant>,
    session_config: SessionConfig,
    /// One for each owner thread.
    slots: Vec<Arc<Slot>>,
    queue: Arc<Queue>,
    counters: Arc<LaneCounters>,
    owners: Mutex<Vec<JoinHandle<()>>>,
}

impl Lane {
    /// Starts the owner threads.
    pub(crate) fn start(parts: LaneParts) -> Result<Self, InferenceError> {
        let LaneParts { info, limits, variant, session_config, queue_items_max, cores, calibrate, engines } =
            parts;
        let cores_per_run = cores_per_run(variant.provider, session_config);
        let row_by_row = are_row_by_row(&engines);
        let slots = engines
            .into_iter()
            .map(|engine| Arc::new(Slot::new(InstalledEngine { engine, variant }, cores_per_run)));
        let slots: Vec<Arc<Slot>> = slots.collect();
        let bounds = Bounds {
            items_max: queue_items_max,
            rows_max: if mergeable(&info) { info.max_batch } else { 1 },
            pixels_max: limits.run_pixels_max,
            sessions: u32::try_from(slots.len()).unwrap_or(u32::MAX),
        };
        let outputs: Vec<String> = info.outputs.iter().map(|port| port.name.clone()).collect();
        // Of one row is enough where more of them cost as many times as much.
        let calibration_rows = if row_by_row { 1 } else { bounds.rows_max.min(CALIBRATION_ROWS_MAX) };
        let mut calibration =
            if calibrate { calibration(&info, &limits, calibration_rows) } else { Vec::new() };
        let lane = Self {
            limits,
            variant: Mutex::new(variant),
            session_config: SessionConfig { sessions: slots.len(), ..session_config },
            slots,
            queue: Arc::new(Queue::new(bounds)),
            counters: Arc::default(),
            owners: Mutex::default(),
            info,
        };
        lane.queue.engine_changed(row_by_row);
        for slot in &lane.slots {
            let owner = owner::Owner {
                slot: slot.clone(),
                model: lane.info.name.clone(),
                queue: lane.queue.clone(),
                counters: lane.counters.clone(),
                cores: cores.clone(),
                calibration: std::mem::take(&mut calibration),
                calibration_outputs: outputs.clone(),
            };
            // If a later thread fails to start, dropping the lane ends the earlier ones.
            let thread = std::thread::Builder::new()
                .name(format!("lane-{}", lane.info.name))
                .spawn(move || owner.work())
                .map_err(|source| InferenceError::Thread { model: lane.info.name.clone(), source })?;
            lane.owners.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(lane)
    }

    pub(crate) fn info(&self) -> &Arc<ModelInfo> {
        &self.info
    }

    /// Replaces the engines with others of the same model, one for each owner thread, between runs. Waiting and new
    /// items are not affected. Blocks until the current runs have ended.
    pub(crate) fn swap(&self, variant: EngineVariant, engines: Vec<Box<dyn Engine>>) {
        debug_assert_eq!(engines.len(), self.slots.len());
        let row_by_row = are_row_by_row(&engines);
        for (slot, engine) in self.slots.iter().zip(engines) {
            slot.swap(
                InstalledEngine { engine, variant },
                cores_per_run(variant.provider, self.session_config),
            );
        }
        self.queue.engine_changed(row_by_row);
        *self.variant.lock().unwrap_or_else(PoisonError::into_inner) = variant;
    }

    /// Returns the engine variant in use.
    pub(crate) fn variant(&self) -> EngineVariant {
        *self.variant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks an item and puts it into the queue. Never waits.
    pub(crate) fn offer(&self, item: WorkItem) -> Result<Answer, Fault> {
        check(&self.info, &self.limits, &item.inputs, &item.outputs)
            .inspect_err(|_| LaneCounters::add(&self.counters.refused_invalid, 1))?;
        let (reply, answer) = oneshot::channel();
        let ticket = Ticket {
            bucket: queue::bucket(&item.inputs, &item.outputs),
            rows: owner::rows(&item.inputs),
            item,
            reply,
            offered: Instant::now(),
            span: tracing::Span::current(),
            id: 0,
            planned: Planned::Free,
        };
        match self.queue.offer(ticket, &self.counters) {
            Ok(()) => Ok(answer),
            Err(Refusal::Closed) => Err(queue::closed(&self.info.name)),
            Err(Refusal::Full { waiting, backlog }) => {
                LaneCounters::add(&self.counters.refused_full, 1);
                Err(queue::full(&self.info.name, waiting, backlog))
            }
        }
    }

    /// Offers the smallest input that the model takes.
    pub(crate) fn probe(&self, deadline: Instant) -> Result<Answer, Fault> {
        let inputs = smallest(&self.info, &self.limits, 1).ok_or_else(|| {
            Fault::new(
                Kind::Bug,
                "engine_probe_impossible",
                format!("model {} has an input without a smallest shape", self.info.name),
            )
        })?;
        self.offer(WorkItem {
            model: self.info.name.clone(),
            tenant: PROBE_TENANT.into(),
            inputs,
            outputs: self.info.outputs.iter().map(|port| port.name.clone()).collect(),
            deadline,
            scheduling: Scheduling::default(),
        })
    }

    pub(crate) fn status(&self) -> LaneStatus {
        let counters = &*self.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (variant, run) = (self.variant(), counters.run.status());
        LaneStatus {
            model: self.info.name.clone(),
            provider: variant.provider.as_str(),
            precision: variant.precision.as_str(),
            sessions: self.session_config.sessions,
            threads_per_session: self.session_config.threads,
            queue_items_max: self.queue.items_max(),
            queue_depth: self.queue.depth(),
            in_flight: get(&counters.in_flight),
            runs: run.count,
            rows: get(&counters.rows),
            failures: get(&counters.failures),
            skipped_cancelled: get(&counters.skipped_cancelled),
            skipped_expired: get(&counters.skipped_expired),
            refused_full: get(&counters.refused_full),
            refused_invalid: get(&counters.refused_invalid),
            busy: run.sum,
            queue_wait: counters.queue_wait.status(),
            run,
            items: get(&counters.items),
            shared_items: get(&counters.shared_items),
            merged_failures: get(&counters.merged_failures),
            batch_rows: counters.batch_rows.status(),
            pixels: get(&counters.pixels),
            padded_pixels: get(&counters.padded_pixels),
            rows_max: self.queue.rows_max(),
            backlog: self.queue.backlog(),
        }
    }

    /// Rejects new items, answers waiting items with a fault, and lets current runs end.
    pub(crate) fn close(&self) {
        self.queue.close(&self.info.name);
    }

    /// Waits for the owner threads of a closed lane.
    pub(crate) fn join(&self) {
        let owners = std::mem::take(&mut *self.owners.lock().unwrap_or_else(PoisonError::into_inner));
        for owner in owners {
            if owner.join().is_err() {
                tracing::error!(model = %self.info.name, "an owner thread panicked outside a run");
            }
        }
    }
}

fn cores_per_run(provider: Provider, session_config: SessionConfig) -> usize {
    if provider.uses_cores() { session_config.threads } else { 0 }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.close();
        self.join();
    }
}

/// Returns whether runs can be merged: every input and output has a variable first axis.
fn mergeable(info: &ModelInfo) -> bool {
    info.inputs.iter().chain(&info.outputs).all(|port| port.shape.first().is_some_and(|extent| *extent < 0))
}

/// Returns whether these engines of one model compute the rows of a run one by one.
fn are_row_by_row(engines: &[Box<dyn Engine>]) -> bool {
    engines.iter().any(|engine| engine.is_row_by_row())
}

/// Returns the smallest inputs with one row and with the most rows of a calibration run: the difference shows the cost
/// of a launch.
fn calibration(info: &ModelInfo, limits: &Limits, rows_max: u32) -> Vec<Vec<(String, Tensor)>> {
    let sizes = [1, rows_max];
    let sizes = sizes.iter().take(if rows_max > 1 { 2 } else { 1 });
    sizes.filter_map(|rows| smallest(info, limits, *rows as usize)).collect()
}

#[cfg(test)]
mod tests;
