//! Whose page is next: a bound on guest calls in the house, given out fairly between documents.
//!
//! The queue is first come, first served, and **each document waits in it at most once at a time**
//! (its next page; see `pages.rs`). A document that was served goes to the end, so the documents take
//! turns: a page of a 1-page document waits for at most one page of each document that is there,
//! however long those are. Weights of tenants will be laid over this queue, not beside it.

use std::sync::Arc;

use lector_core::{Fault, Kind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for guest calls.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    // tokio's semaphore is fair: it serves its waiters in the order in which they came.
    places: Arc<Semaphore>,
    most: usize,
}

/// The right to run one guest call; dropping it lets the next one go.
#[derive(Debug)]
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    /// One of the tenant's own, where it has a bound.
    _own: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub(crate) fn new(most: usize) -> Self {
        // A semaphore has an upper bound of its own, far above any number of pages at once.
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(most)), most }
    }

    /// Waits for a place, of the tenant's own first where it has a bound. The future that waits keeps its position;
    /// dropping it gives it up.
    pub(crate) fn turn(
        &self,
        own: Option<Arc<Semaphore>>,
    ) -> impl Future<Output = Result<Turn, Fault>> + Send + use<> {
        let places = self.places.clone();
        async move {
            let own = match own {
                Some(own) => Some(own.acquire_owned().await.map_err(|_| closed())?),
                None => None,
            };
            let place = places.acquire_owned().await.map_err(|_| closed())?;
            Ok(Turn { _place: place, _own: own })
        }
    }

    /// A place that nobody waits for, if there is one.
    pub(crate) fn free(&self) -> Option<Turn> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(Turn { _place: place, _own: None })
    }

    /// Places in all.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Places taken now.
    pub(crate) fn taken(&self) -> usize {
        self.most.saturating_sub(self.places.available_permits())
    }
}

/// The semaphores are never closed.
fn closed() -> Fault {
    Fault::new(Kind::Bug, "internal", "The order of pages was closed; report it.")
}
