//! The slots for instances of batching policies: a fixed number, and the choice of the instance that is ended for a new
//! one.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::PolicyInstance;

/// Maximum instances of batching policies, in addition to those that read pages. If more policies are in use, the least
/// recently asked one loses its instance, and gets a new one (in a fraction of a millisecond) at its next question.
pub const POLICY_INSTANCES_MAX: u32 = 32;

/// The slots.
pub struct Places {
    free: Arc<Semaphore>,
    /// Policies that had a slot; only a few more than there are slots.
    known: Mutex<Vec<Weak<PolicyInstance>>>,
}

impl Places {
    pub fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(POLICY_INSTANCES_MAX as usize)), known: Mutex::default() }
    }

    /// Returns a slot for `newcomer`; `None` if all other instances are answering a question.
    pub(super) fn place(&self, newcomer: &Weak<PolicyInstance>) -> Option<OwnedSemaphorePermit> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let free = || Arc::clone(&self.free).try_acquire_owned().ok();
        let slot = free().or_else(|| {
            let mut instances: Vec<Arc<PolicyInstance>> = known.iter().filter_map(Weak::upgrade).collect();
            instances.sort_by_key(|policy_instance| policy_instance.asked_at.load(Ordering::Relaxed));
            instances.iter().find(|policy_instance| policy_instance.end_instance())?;
            free()
        })?;
        known.retain(|policy_instance| {
            policy_instance.strong_count() > 0 && !policy_instance.ptr_eq(newcomer)
        });
        known.push(newcomer.clone());
        Some(slot)
    }
}
