//! The data that other parts of the server keep for a tenant: jobs, uploaded files, capability URLs.
//!
//! Owns the rule that a tenant never gets the data of a former tenant of its name. The data is deleted after the tenant
//! is, and once more before a tenant of that name is created: the second deletion covers a first one that a crash or a
//! full disk prevented. A creation waits for deletions in progress.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use lector_core::{Fault, TenantName};
use tokio::sync::OwnedMutexGuard;

/// Deletes what one part of the server keeps for a tenant.
pub type ForgetTenant = Arc<dyn Fn(TenantName) -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

/// The parts that keep data of tenants.
#[derive(Default)]
pub(crate) struct TenantData {
    parts: Mutex<Vec<ForgetTenant>>,
    /// Held by a creation or a deletion of a tenant, until the data is deleted.
    changing: Arc<tokio::sync::Mutex<()>>,
}

/// The right to create or to delete a tenant. One at a time.
pub(crate) struct Changing {
    parts: Vec<ForgetTenant>,
    _changing: OwnedMutexGuard<()>,
}

impl TenantData {
    /// Adds a part.
    pub(crate) fn add(&self, part: ForgetTenant) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
    }

    /// Waits until no tenant is created or deleted. Taken before the write lock of mutations.
    pub(crate) async fn changing(&self) -> Changing {
        let changing = self.changing.clone().lock_owned().await;
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Changing { parts, _changing: changing }
    }
}

impl Changing {
    /// Deletes the data of a tenant that does not exist. Every part is asked, also after the fault of another one.
    pub(crate) async fn forget(&self, tenant: &TenantName) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for part in &self.parts {
            let forgotten = part(tenant.clone()).await;
            outcome = outcome.and(forgotten);
        }
        outcome
    }
}
