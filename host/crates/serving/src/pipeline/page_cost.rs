//! The cost of one page: a prediction that improves while the page is read, and the actual cost at its end.
//!
//! Owns the cost from the time at which the page gets its slot. The guest call reports the size of the page; each
//! change of the prediction goes to the pending work (`cost_tracker.rs`) and to the tenant's account in the page
//! scheduler (`page_scheduler.rs`). So a tenant that sends posters is charged for posters, whatever the cost of a mean
//! page. Made by `pages.rs`, one per page.

use std::sync::{Arc, Mutex, PoisonError};

use lector_control::CostModel;
use lector_core::PageObserver;
use lector_core::cost::PageSize;

use crate::cost_tracker::PendingShare;
use crate::page_scheduler::{PageSlot, SlotAccount};

/// The part that observes the guest's call; [`Open`] handles the end of the page.
#[derive(Debug)]
pub(super) struct CostTracker {
    cost_model: Arc<CostModel>,
    account: SlotAccount,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ms: f64,
    /// Share of the pending work; `None` when the page is over and the cost is final.
    part: Option<PendingShare>,
}

impl CostTracker {
    /// Starts the tracking of the page in `slot`, at the cost charged for the slot.
    pub(super) fn open(slot: &PageSlot, part: PendingShare, cost_model: Arc<CostModel>) -> Open {
        let state = Mutex::new(State { ms: slot.cost_ms(), part: Some(part) });
        Open(Arc::new(Self { cost_model, account: slot.account(), state }))
    }

    fn update(&self, ms: f64, last: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(part) = &state.part else { return };
        self.account.charge(ms - state.ms);
        if last {
            state.part = None;
        } else {
            part.set(ms);
        }
        state.ms = ms;
    }
}

impl PageObserver for CostTracker {
    fn known(&self, size: PageSize) {
        if let Some(ms) = self.cost_model.seen(size) {
            self.update(ms, false);
        }
    }
}

/// The cost of a page in progress. If it is dropped before it is closed, the charge stays, and the pending work is
/// removed.
pub(super) struct Open(Arc<CostTracker>);

impl Open {
    pub(super) fn page_observer(&self) -> Arc<dyn PageObserver> {
        self.0.clone()
    }

    /// Sets the actual cost.
    pub(super) fn close(self, ms: f64) {
        self.0.update(ms, true);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).part = None;
    }
}
