//! A lane: the bounded queue in front of a model's engines, and the threads that own them.
//!
//! Owns one model's queue, owner threads and figures. Knows engines by their trait alone. An item carries its span
//! and its reply channel; a caller that drops the channel has withdrawn the item. Called by [`crate::Inference`].

mod owner;
mod pick;
mod queue;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lector_core::port::{WorkDone, WorkItem};
use lector_core::{Fault, Kind, ModelInfo};
use tokio::sync::oneshot;

use crate::check::{Limits, check, smallest};
use crate::config::Seats;
use crate::cores::Cores;
use crate::engine::{Engine, Slot};
use crate::error::InferenceError;
use crate::meter::{LaneStatus, Meter};
use crate::provider::Provider;
use queue::{Queue, Refusal, Ticket};

/// Bounds of the advice to come again; between them it is the backlog at the learned pace.
const RETRY_AFTER: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// A run's time before the first one was measured.
const PACE_UNKNOWN: Duration = Duration::from_millis(200);

/// On whose behalf probes run; no tenant's name may start with a dot.
const PROBE_TENANT: &str = ".probe";

/// Where the answer to an offer arrives.
pub(crate) type Answer = oneshot::Receiver<Result<WorkDone, Fault>>;

/// What a lane is made of.
pub(crate) struct LaneParts {
    pub(crate) info: Arc<ModelInfo>,
    pub(crate) limits: Limits,
    pub(crate) provider: Provider,
    pub(crate) seats: Seats,
    pub(crate) queue_items_max: usize,
    pub(crate) cores: Arc<Cores>,
    /// One for each session.
    pub(crate) engines: Vec<Box<dyn Engine>>,
}

/// The lane of one model.
pub(crate) struct Lane {
    info: Arc<ModelInfo>,
    limits: Limits,
    /// Who computes now.
    provider: Mutex<Provider>,
    seats: Seats,
    /// One for each owner thread.
    slots: Vec<Arc<Slot>>,
    queue: Arc<Queue>,
    meter: Arc<Meter>,
    owners: Mutex<Vec<JoinHandle<()>>>,
}

impl Lane {
    /// Starts the owner threads.
    pub(crate) fn start(parts: LaneParts) -> Result<Self, InferenceError> {
        let LaneParts { info, limits, provider, seats, queue_items_max, cores, engines } = parts;
        let cores_per_run = cores_per_run(provider, seats);
        let slots = engines.into_iter().map(|engine| Arc::new(Slot::new(engine, cores_per_run)));
        let slots: Vec<Arc<Slot>> = slots.collect();
        let lane = Self {
            limits,
            provider: Mutex::new(provider),
            seats: Seats { sessions: slots.len(), ..seats },
            slots,
            queue: Arc::new(Queue::new(queue_items_max)),
            meter: Arc::default(),
            owners: Mutex::default(),
            info,
        };
        for slot in &lane.slots {
            let owner = owner::Owner {
                slot: slot.clone(),
                model: lane.info.name.clone(),
                queue: lane.queue.clone(),
                meter: lane.meter.clone(),
                cores: cores.clone(),
            };
            // Should a later thread fail to start, dropping the lane ends the earlier ones.
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

    /// Puts other engines of the same model in, one for each owner thread, between runs. Nothing that waits or comes
    /// notices. Blocks until the runs that go on have ended.
    #[cfg_attr(not(test), expect(dead_code, reason = "the engine cache calls it, which comes next"))]
    pub(crate) fn swap(&self, provider: Provider, engines: Vec<Box<dyn Engine>>) {
        debug_assert_eq!(engines.len(), self.slots.len());
        for (slot, engine) in self.slots.iter().zip(engines) {
            slot.swap(engine, cores_per_run(provider, self.seats));
        }
        *self.provider.lock().unwrap_or_else(PoisonError::into_inner) = provider;
    }

    /// Checks an item and puts it into the queue. Never waits.
    pub(crate) fn offer(&self, item: WorkItem) -> Result<Answer, Fault> {
        check(&self.info, &self.limits, &item.inputs, &item.outputs)
            .inspect_err(|_| Meter::add(&self.meter.refused_invalid, 1))?;
        let (reply, answer) = oneshot::channel();
        let ticket = Ticket { item, reply, offered: Instant::now(), span: tracing::Span::current() };
        match self.queue.offer(ticket, &self.meter) {
            Ok(()) => Ok(answer),
            Err(Refusal::Closed) => Err(queue::closed(&self.info.name)),
            Err(Refusal::Full { waiting }) => {
                Meter::add(&self.meter.refused_full, 1);
                Err(self.full(waiting))
            }
        }
    }

    /// Offers the smallest input that the model takes.
    pub(crate) fn probe(&self, deadline: Instant) -> Result<Answer, Fault> {
        let inputs = smallest(&self.info, &self.limits).ok_or_else(|| {
            Fault::new(
                Kind::Bug,
                "engine_probe_impossible",
                format!("model {} has no smallest input", self.info.name),
            )
        })?;
        self.offer(WorkItem {
            model: self.info.name.clone(),
            tenant: PROBE_TENANT.into(),
            inputs,
            outputs: self.info.outputs.iter().map(|port| port.name.clone()).collect(),
            deadline,
        })
    }

    fn full(&self, waiting: usize) -> Fault {
        let message = format!("the queue of model {} is full; try again later", self.info.name);
        let pace = self.meter.pace().unwrap_or(PACE_UNKNOWN);
        let (runs, sessions) = (u32::try_from(waiting).unwrap_or(u32::MAX), self.seats.sessions.max(1));
        let backlog = pace.saturating_mul(runs) / u32::try_from(sessions).unwrap_or(u32::MAX);
        Fault::new(Kind::Busy, "engine_queue_full", message)
            .with_detail(format!("{waiting} items wait, a run takes {} ms of late", pace.as_millis()))
            .retry_after(backlog.clamp(*RETRY_AFTER.start(), *RETRY_AFTER.end()))
    }

    pub(crate) fn status(&self) -> LaneStatus {
        let meter = &*self.meter;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let run = meter.run.status();
        LaneStatus {
            model: self.info.name.clone(),
            provider: self.provider.lock().unwrap_or_else(PoisonError::into_inner).as_str(),
            sessions: self.seats.sessions,
            threads_per_session: self.seats.threads,
            queue_items_max: self.queue.items_max(),
            queue_depth: self.queue.depth(),
            in_flight: get(&meter.in_flight),
            runs: run.count,
            rows: get(&meter.rows),
            failures: get(&meter.failures),
            skipped_cancelled: get(&meter.skipped_cancelled),
            skipped_expired: get(&meter.skipped_expired),
            refused_full: get(&meter.refused_full),
            refused_invalid: get(&meter.refused_invalid),
            busy: run.sum,
            queue_wait: meter.queue_wait.status(),
            run,
        }
    }

    /// Takes no more, answers what waits with a fault, lets runs end.
    pub(crate) fn close(&self) {
        self.queue.close(&self.info.name);
    }

    /// Waits for the owner threads of a closed lane.
    pub(crate) fn join(&self) {
        let owners = std::mem::take(&mut *self.owners.lock().unwrap_or_else(PoisonError::into_inner));
        for owner in owners {
            if owner.join().is_err() {
                tracing::error!(model = %self.info.name, "an owner thread ended by a panic outside a run");
            }
        }
    }
}

fn cores_per_run(provider: Provider, seats: Seats) -> usize {
    if provider.uses_cores() { seats.threads } else { 0 }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.close();
        self.join();
    }
}

#[cfg(test)]
mod tests;
