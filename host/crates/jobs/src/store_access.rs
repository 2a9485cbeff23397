//! The calls of the store that requests make: some at a time, in fair order over tenants.
//!
//! Each call holds a thread until it returns. Without the bound the requests of one tenant would take all threads on which
//! the process may block. The runner, retention and webhooks call the store themselves: their number is bounded.

use std::future::Future;
use std::sync::Arc;

use lector_control::store::jobs::JobStore;
use lector_control::store::{StoreError, Stored};
use lector_core::Fault;
use lector_core::fair::{Account, FairSemaphore, Request};
use tokio_util::task::TaskTracker;

use crate::faults;

/// Calls at once, and further ones of tenants that have fewer than another.
const CALLS_MAX: usize = 8;
const EXTRA_CALLS_MAX: usize = 8;

/// The access of requests to the store.
#[derive(Clone)]
pub(crate) struct StoreAccess {
    store: Arc<dyn JobStore>,
    places: FairSemaphore,
    tasks: TaskTracker,
}

/// The access of the requests of one tenant.
#[derive(Clone)]
pub(crate) struct TenantStore {
    access: StoreAccess,
    account: Account,
}

impl StoreAccess {
    /// `tasks` has the calls in progress.
    pub(crate) fn new(store: Arc<dyn JobStore>, tasks: TaskTracker) -> Self {
        Self { store, places: FairSemaphore::with_extra(CALLS_MAX, EXTRA_CALLS_MAX), tasks }
    }

    /// Returns the access of a tenant.
    pub(crate) fn of(&self, account: Account) -> TenantStore {
        TenantStore { access: self.clone(), account }
    }
}

impl TenantStore {
    /// Waits for a place, and calls the store. The call goes on if this future is dropped, and holds its place.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl for<'s> FnOnce(&'s dyn JobStore) -> Stored<'s, T> + Send + 'static,
    ) -> Result<T, Fault> {
        self.run(|store| async move { call(&*store).await.map_err(faults::stored) }).await
    }

    /// Waits for a place, and runs several calls of the store that belong together. They go on if this future is dropped,
    /// and hold their place.
    pub(crate) async fn run<T: Send + 'static, F>(
        &self,
        calls: impl FnOnce(Arc<dyn JobStore>) -> F + Send + 'static,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let (StoreAccess { store, places, tasks }, account) = (self.access.clone(), self.account.clone());
        let place = places.acquire(Request::one(account.tenant, account.weight, 1.0)).await;
        let called = tasks.spawn(async move {
            let done = calls(store).await;
            drop(place);
            done
        });
        let ended = |error: tokio::task::JoinError| StoreError::Read { what: "a job", source: error.into() };
        called.await.map_err(|error| faults::stored(ended(error))).flatten()
    }
}
