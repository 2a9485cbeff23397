//! Parts of what the house owes: a document's pages to come, and each page that is being read.

use std::sync::{Arc, Mutex, PoisonError};

use lector_core::TenantName;

use super::{Load, State};

/// A part of what is owed to a tenant, in milliseconds of work. Dropping it takes back what is left of it.
#[derive(Debug)]
pub(crate) struct Part {
    load: Arc<Load>,
    tenant: TenantName,
    ms: Mutex<f64>,
}

impl Part {
    /// One more of the tenant's.
    pub(super) fn of(state: &mut State, load: &Arc<Load>, tenant: &TenantName, ms: f64) -> Self {
        let owed = state.owed.entry(tenant.clone()).or_default();
        owed.parts += 1;
        owed.ms += ms;
        Self { load: load.clone(), tenant: tenant.clone(), ms: Mutex::new(ms) }
    }

    /// So much is to be done for it, as is known now.
    pub(crate) fn set(&self, ms: f64) {
        let before = std::mem::replace(&mut *self.ms.lock().unwrap_or_else(PoisonError::into_inner), ms);
        if let Some(owed) = self.load.lock().owed.get_mut(&self.tenant) {
            owed.ms = (owed.ms + ms - before).max(0.0);
        }
        if ms < before {
            self.load.freed.notify_one();
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.set(0.0);
        let mut state = self.load.lock();
        if let Some(owed) = state.owed.get_mut(&self.tenant) {
            owed.parts = owed.parts.saturating_sub(1);
            if owed.parts == 0 {
                state.owed.remove(&self.tenant);
            }
        }
        drop(state);
        self.load.freed.notify_one();
    }
}

/// One document's place and its pages that are not begun.
#[derive(Debug)]
pub(crate) struct Burden(Part);

impl Burden {
    pub(super) fn new(part: Part) -> Self {
        Self(part)
    }

    /// So much is to be done for it, apart from the pages that are being read.
    pub(crate) fn set(&self, ms: f64) {
        self.0.set(ms);
    }

    /// A page of it that is begun, a part of its own from now on.
    pub(crate) fn page(&self, ms: f64) -> Part {
        let Part { load, tenant, .. } = &self.0;
        Part::of(&mut load.lock(), load, tenant, ms)
    }
}

impl Drop for Burden {
    fn drop(&mut self) {
        if let Some(owed) = self.0.load.lock().owed.get_mut(&self.0.tenant) {
            owed.documents = owed.documents.saturating_sub(1);
        }
    }
}
