//! The pool's state as a worker supervisor uses it: its next job, its worker's lifecycle and documents.

use std::time::Duration;

use super::status::WorkerTask;
use super::work::WorkQueue;
use super::{Job, Phase, Pool, Slot, State};
use crate::config::DocumentError;
use crate::faults;
use crate::wire::DocumentId;

/// Interval at which an idle worker supervisor checks that its worker is alive.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Next action of a worker supervisor.
pub(super) enum Next {
    Job(Job),
    /// Closes these documents in the worker.
    Close(Vec<DocumentId>),
    /// Checks that the process is alive.
    Check,
    Stop,
}

impl Slot {
    /// Charges the worker's job if it has ended; a job that was handed back has not.
    fn settle(&mut self, queue: &mut WorkQueue) {
        if self.job.is_none()
            && let Some(running) = self.running.take()
        {
            queue.finish(running);
        }
    }
}

impl Pool {
    /// Waits for the next action.
    pub(super) fn next(&self, index: usize) -> Next {
        let mut state = self.state();
        loop {
            if self.is_stopping() {
                return Next::Stop;
            }
            let State { slots, queue, .. } = &mut *state;
            let (Some(slot), Some(wake)) = (slots.get_mut(index), self.wake.get(index)) else {
                return Next::Stop;
            };
            slot.settle(queue);
            if !slot.forgotten.is_empty() {
                return Next::Close(std::mem::take(&mut slot.forgotten));
            }
            if slot.job.is_none() {
                slot.phase = Phase::Idle;
                // Assigns jobs to all workers: the end of an open may let another idle worker start the next one.
                self.assign(&mut state, Some(index));
            }
            if let Some(slot) = state.slots.get_mut(index)
                && let Some(job) = slot.job.take()
            {
                slot.phase = Phase::Busy;
                return Next::Job(job);
            }
            let (woken, timeout) = match wake.wait_timeout(state, CHECK_EVERY) {
                Ok(woken) => woken,
                Err(poisoned) => poisoned.into_inner(),
            };
            state = woken;
            if timeout.timed_out() && state.slots.get(index).is_some_and(|slot| slot.job.is_none()) {
                return Next::Check;
            }
        }
    }

    /// Sleeps between two attempts to start a worker; ends early when the pool stops.
    pub(super) fn pause(&self, index: usize, time: Duration) {
        let state = self.state();
        if let Some(wake) = self.wake.get(index).filter(|_| !self.is_stopping()) {
            drop(wake.wait_timeout(state, time));
        }
    }

    fn slot<T>(&self, index: usize, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        self.state().slots.get_mut(index).map(change)
    }

    pub(super) fn started(&self, index: usize, pid: u32) {
        self.slot(index, |slot| slot.pid = Some(pid));
    }

    /// Records the request that the worker is answering; `None`: it has answered, or is lost.
    pub(super) fn working(&self, index: usize, task: Option<WorkerTask>) {
        self.slot(index, |slot| slot.task = task);
    }

    /// Records that the worker and its open documents are lost.
    pub(super) fn lost(&self, index: usize) {
        let mut state = self.state();
        let State { slots, queue, .. } = &mut *state;
        if let Some(slot) = slots.get_mut(index) {
            slot.settle(queue);
            slot.phase = Phase::Starting;
            slot.pid = None;
            slot.task = None;
            slot.open.clear();
            slot.forgotten.clear();
        }
    }

    /// Records that the worker does not start. If no worker is left, the waiting jobs fail.
    pub(super) fn down(&self, index: usize, error: &DocumentError) {
        let stranded: Vec<Job> = {
            let mut state = self.state();
            state.last_error = error.to_string();
            let mut stranded: Vec<Job> = Vec::new();
            let State { slots, queue, .. } = &mut *state;
            if let Some(slot) = slots.get_mut(index) {
                slot.phase = Phase::Down;
                stranded.extend(slot.job.take());
                slot.settle(queue);
            }
            if slots.iter().all(|slot| slot.phase == Phase::Down) {
                stranded.extend(queue.drain());
            }
            stranded
        };
        for job in stranded {
            job.task.fail(faults::unavailable(error));
        }
    }

    /// Hands a job that its worker never received to the replacement.
    pub(super) fn hand_back(&self, index: usize, job: Job) {
        self.slot(index, |slot| slot.job = Some(job));
    }

    /// Marks the document as used; `false` where it is not open in the worker.
    pub(super) fn touch(&self, index: usize, document: DocumentId) -> bool {
        let found = self.slot(index, |slot| {
            let place = slot.open.iter().position(|open| *open == document)?;
            let document = slot.open.remove(place);
            slot.open.push(document);
            Some(())
        });
        found.flatten().is_some()
    }

    pub(super) fn opened(&self, index: usize, document: DocumentId) {
        self.slot(index, |slot| slot.open.push(document));
    }

    /// Removes and returns the least recently used document, where more than `keep` are open.
    pub(super) fn evict(&self, index: usize, keep: usize) -> Option<DocumentId> {
        self.slot(index, |slot| (slot.open.len() > keep).then(|| slot.open.remove(0))).flatten()
    }
}
