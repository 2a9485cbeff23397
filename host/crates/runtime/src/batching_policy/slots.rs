//! Room for the instances of batching programs: a fixed number of places, and whose instance is ended for a newcomer.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::PolicyInstance;

/// Instances of batching programs at once, beside those that read pages. Where more programs are in use, the one that was
/// asked longest ago loses its instance, and gets a new one, in a fraction of a millisecond, when it is asked again.
pub const POLICY_INSTANCES_MAX: u32 = 32;

/// The places.
pub struct Places {
    free: Arc<Semaphore>,
    /// Those who had one since; few more than there are places.
    known: Mutex<Vec<Weak<PolicyInstance>>>,
}

impl Places {
    pub fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(POLICY_INSTANCES_MAX as usize)), known: Mutex::default() }
    }

    /// A place for `newcomer`; `None` where all others are being asked at this moment.
    pub(super) fn place(&self, newcomer: &Weak<PolicyInstance>) -> Option<OwnedSemaphorePermit> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let free = || Arc::clone(&self.free).try_acquire_owned().ok();
        let place = free().or_else(|| {
            let mut voices: Vec<Arc<PolicyInstance>> = known.iter().filter_map(Weak::upgrade).collect();
            voices.sort_by_key(|policy_instance| policy_instance.asked_at.load(Ordering::Relaxed));
            voices.iter().find(|policy_instance| policy_instance.end_instance())?;
            free()
        })?;
        known.retain(|policy_instance| {
            policy_instance.strong_count() > 0 && !policy_instance.ptr_eq(newcomer)
        });
        known.push(newcomer.clone());
        Some(place)
    }
}
