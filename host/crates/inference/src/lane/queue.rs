//! The bounded queue of a lane: offers never wait, owner threads do.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lector_core::port::{WorkDone, WorkItem};
use lector_core::{Fault, Kind, ModelName};
use tokio::sync::oneshot;

use super::pick::{Pick, Skip, Waiting, pick};
use crate::meter::Meter;

/// A waiting item, with all that its run and its answer need.
pub(super) struct Ticket {
    pub(super) item: WorkItem,
    pub(super) reply: oneshot::Sender<Result<WorkDone, Fault>>,
    pub(super) offered: Instant,
    /// The caller's, so that the run shows up in its trace.
    pub(super) span: tracing::Span,
}

/// Why an offer was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Full { waiting: usize },
    Closed,
}

pub(super) struct Queue {
    items_max: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Ticket>,
    closed: bool,
}

impl Queue {
    pub(super) fn new(items_max: usize) -> Self {
        Self { items_max, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn items_max(&self) -> usize {
        self.items_max
    }

    pub(super) fn depth(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Takes an item or refuses it at once. Where the queue is full, the dead among the waiting make room.
    pub(super) fn offer(&self, ticket: Ticket, meter: &Meter) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refusal::Closed);
        }
        if state.waiting.len() >= self.items_max {
            let skipped = state.decide().1;
            answer_skipped(skipped, meter);
        }
        if state.waiting.len() >= self.items_max {
            return Err(Refusal::Full { waiting: state.waiting.len() });
        }
        state.waiting.push_back(ticket);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits until something waits here. False: the queue is closed, and the owner thread may end.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.closed
    }

    /// The item to run now; `None` where another owner was faster or all were dead.
    pub(super) fn take(&self, meter: &Meter) -> Option<Ticket> {
        let mut state = self.lock();
        let (picked, skipped) = state.decide();
        let ticket = picked.and_then(|at| state.waiting.remove(at));
        drop(state);
        answer_skipped(skipped, meter);
        ticket
    }

    /// Takes nothing any more, and answers all that wait.
    pub(super) fn close(&self, model: &ModelName) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        for ticket in waiting {
            // A caller that has gone needs no answer.
            let _ = ticket.reply.send(Err(closed(model)));
        }
    }

    /// Nothing panics while it is held, so a poisoned lock holds a sound state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Picks, removes the dead, and gives the position of the one to run after that removal.
    fn decide(&mut self) -> (Option<usize>, Vec<(Ticket, Skip)>) {
        let view: Vec<Waiting> = self
            .waiting
            .iter()
            .map(|t| Waiting { cancelled: t.reply.is_closed(), deadline: t.item.deadline })
            .collect();
        let Pick { skip, run } = pick(&view, Instant::now());
        let before = |at: usize| skip.iter().filter(|(dead, _)| *dead < at).count();
        let run = run.first().map(|&at| at - before(at));
        let dead =
            skip.into_iter().rev().filter_map(|(at, why)| Some((self.waiting.remove(at)?, why))).collect();
        (run, dead)
    }
}

fn answer_skipped(skipped: Vec<(Ticket, Skip)>, meter: &Meter) {
    for (ticket, why) in skipped {
        match why {
            Skip::Cancelled => Meter::add(&meter.skipped_cancelled, 1),
            Skip::Expired => {
                Meter::add(&meter.skipped_expired, 1);
                let message =
                    format!("the deadline passed while the page waited for model {}", ticket.item.model);
                let waited = format!("waited {} ms", ticket.offered.elapsed().as_millis());
                let fault = Fault::new(Kind::Deadline, "engine_deadline", message).with_detail(waited);
                // A caller that has gone needs no answer.
                let _ = ticket.reply.send(Err(fault));
            }
        }
    }
}

/// The answer of a lane that ends.
pub(super) fn closed(model: &ModelName) -> Fault {
    Fault::new(
        Kind::Unavailable,
        "engine_stopped",
        format!("model {model} is not served any more: the host stops"),
    )
}
