//! Bytes of the inputs that are staged, by tenant: they are on the disk, and no row of a job counts them yet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lector_core::TenantName;

/// The staged bytes of each tenant that has some.
#[derive(Debug, Default)]
pub(super) struct StagedBytes(Mutex<BTreeMap<TenantName, u64>>);

/// Bytes that count for a tenant until this is dropped.
#[derive(Debug)]
pub(super) struct StagedCharge {
    all: Arc<StagedBytes>,
    tenant: TenantName,
    bytes: u64,
}

impl StagedBytes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantName, u64>> {
        // The map is consistent at every panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts `bytes` for a tenant whose jobs keep `kept`. `Err`: the sum of both and of what it stages already, which is
    /// more than `most`.
    pub(super) fn charge(
        self: &Arc<Self>,
        tenant: TenantName,
        bytes: u64,
        kept: u64,
        most: u64,
    ) -> Result<StagedCharge, u64> {
        let mut all = self.lock();
        let staged = all.get(&tenant).copied().unwrap_or(0).saturating_add(bytes);
        let sum = kept.saturating_add(staged);
        if sum > most {
            return Err(sum);
        }
        all.insert(tenant.clone(), staged);
        Ok(StagedCharge { all: self.clone(), tenant, bytes })
    }
}

impl Drop for StagedCharge {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(staged) = all.get_mut(&self.tenant) {
            *staged = staged.saturating_sub(self.bytes);
            if *staged == 0 {
                all.remove(&self.tenant);
            }
        }
    }
}
