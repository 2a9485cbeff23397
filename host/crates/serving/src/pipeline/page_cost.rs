//! What one page costs: an estimate that gets better while the page is read, and the truth at its end.
//!
//! Owns the price from the page's turn on. Is told by the guest's call how large the page is, and passes every change on to
//! those who reckon with it: what the house owes (`load.rs`), and the tenant's share of the turns (`page_scheduler.rs`). So whoever
//! sends posters pays for posters, whatever a mean page costs. Made by `pages.rs`, one a page.

use std::sync::{Arc, Mutex, PoisonError};

use lector_control::CostModel;
use lector_core::PageObserver;
use lector_core::cost::PageSize;

use crate::cost_tracker::PendingShare;
use crate::page_scheduler::{PageSlot, SlotAccount};

/// Known to the guest's call; the page's end is not its business.
#[derive(Debug)]
pub(super) struct CostTracker {
    cost_model: Arc<CostModel>,
    account: SlotAccount,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ms: f64,
    /// Of what is owed; `None` when the page is over, and the price final.
    part: Option<PendingShare>,
}

impl CostTracker {
    /// Of the page that `turn` was given for, at the price that was paid for it.
    pub(super) fn open(turn: &PageSlot, part: PendingShare, cost_model: Arc<CostModel>) -> Open {
        let state = Mutex::new(State { ms: turn.cost_ms(), part: Some(part) });
        Open(Arc::new(Self { cost_model, account: turn.account(), state }))
    }

    fn price(&self, ms: f64, last: bool) {
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
            self.price(ms, false);
        }
    }
}

/// A bill while its page is read. Dropped before it is closed, what was paid stays paid, and nothing is owed any more.
pub(super) struct Open(Arc<CostTracker>);

impl Open {
    pub(super) fn page_observer(&self) -> Arc<dyn PageObserver> {
        self.0.clone()
    }

    /// It took so much.
    pub(super) fn close(self, ms: f64) {
        self.0.price(ms, true);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).part = None;
    }
}
