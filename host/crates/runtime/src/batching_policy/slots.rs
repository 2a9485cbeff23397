//! The slots for instances of batching policies: a fixed number, and the choice of the instance that is ended for a new
//! one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum instances of batching policies, in addition to those that read pages. If more policies are in use, the least
/// recently asked one loses its instance, and gets a new one (in a fraction of a millisecond) at its next question.
pub const POLICY_INSTANCES_MAX: u32 = 32;

/// A policy whose instance takes a slot.
pub trait Occupant: Send + Sync {
    /// Returns the place of its last question in the order of all questions ([`Places::next_question`]).
    fn asked_at(&self) -> u64;
    /// Ends the instance unless it is answering; returns whether there was one.
    fn end_instance(&self) -> bool;
}

/// The slots.
pub struct Places {
    free: Arc<Semaphore>,
    /// Policies that had a slot; only a few more than there are slots.
    known: Mutex<Vec<Weak<dyn Occupant>>>,
    questions: AtomicU64,
}

impl Places {
    pub fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(POLICY_INSTANCES_MAX as usize)),
            known: Mutex::default(),
            questions: AtomicU64::new(0),
        }
    }

    /// Returns the place of a question in the order of all questions. A clock of each policy would not do: policies
    /// start at different times.
    pub fn next_question(&self) -> u64 {
        self.questions.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns a slot for `newcomer`; `None` if all other instances are answering a question.
    pub fn place(&self, newcomer: &Weak<dyn Occupant>) -> Option<OwnedSemaphorePermit> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let free = || Arc::clone(&self.free).try_acquire_owned().ok();
        let slot = free().or_else(|| {
            let mut instances: Vec<Arc<dyn Occupant>> = known.iter().filter_map(Weak::upgrade).collect();
            instances.sort_by_key(|policy_instance| policy_instance.asked_at());
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
