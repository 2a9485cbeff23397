//! The slots for instances of batching policies: a fixed number, and the choice of the instance that is ended for a new
//! one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lector_core::TenantName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum instances of batching policies, in addition to those that read pages. If more policies are in use, the least
/// recently asked one of the tenant with the most instances loses its instance, and gets a new one (in a fraction of a
/// millisecond) at its next question.
pub const POLICY_INSTANCES_MAX: u32 = 32;

/// A policy whose instance takes a slot.
pub trait Occupant: Send + Sync {
    /// Returns the tenant that it answers for.
    fn tenant(&self) -> &TenantName;
    /// Returns whether it has an instance.
    fn has_instance(&self) -> bool;
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

    /// Returns a slot for `newcomer`, a policy of `tenant`; `None` if all other instances are answering a question.
    pub fn place(&self, newcomer: &Weak<dyn Occupant>, tenant: &TenantName) -> Option<OwnedSemaphorePermit> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let free = || Arc::clone(&self.free).try_acquire_owned().ok();
        let slot = free().or_else(|| {
            let others = known.iter().filter(|policy_instance| !policy_instance.ptr_eq(newcomer));
            let mut instances: Vec<Arc<dyn Occupant>> = others.filter_map(Weak::upgrade).collect();
            instances.retain(|policy_instance| policy_instance.has_instance());
            // With the new one: a tenant that has as many as another one gives up one of its own.
            let mut held = BTreeMap::from([(tenant.clone(), 1_usize)]);
            for policy_instance in &instances {
                *held.entry(policy_instance.tenant().clone()).or_default() += 1;
            }
            instances.sort_by_key(|policy_instance| {
                (Reverse(held.get(policy_instance.tenant()).copied()), policy_instance.asked_at())
            });
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Policy {
        tenant: TenantName,
        asked_at: u64,
        slot: Mutex<Option<OwnedSemaphorePermit>>,
    }

    impl Occupant for Policy {
        fn tenant(&self) -> &TenantName {
            &self.tenant
        }

        fn has_instance(&self) -> bool {
            self.slot.lock().unwrap().is_some()
        }

        fn asked_at(&self) -> u64 {
            self.asked_at
        }

        fn end_instance(&self) -> bool {
            self.slot.lock().unwrap().take().is_some()
        }
    }

    fn ask(places: &Places, tenant: &str) -> Arc<Policy> {
        let (tenant, asked_at) = (TenantName::from(tenant), places.next_question());
        let policy = Arc::new(Policy { tenant, asked_at, slot: Mutex::default() });
        let newcomer: Weak<dyn Occupant> = Arc::<Policy>::downgrade(&policy);
        *policy.slot.lock().unwrap() = places.place(&newcomer, &policy.tenant);
        assert!(policy.has_instance());
        policy
    }

    #[test]
    fn the_tenant_with_the_most_instances_gives_up_one() {
        let places = Places::new();
        let first = [ask(&places, "a"), ask(&places, "b")];
        let many: Vec<_> = (2..POLICY_INSTANCES_MAX + 20).map(|_| ask(&places, "many")).collect();
        let held = || many.iter().filter(|policy| policy.has_instance()).count();
        assert!(first.iter().all(|policy| policy.has_instance()), "they were asked the longest ago");
        assert_eq!(held(), POLICY_INSTANCES_MAX as usize - 2);
        let other = ask(&places, "c");
        assert!(other.has_instance() && first.iter().all(|policy| policy.has_instance()));
        assert_eq!(held(), POLICY_INSTANCES_MAX as usize - 3);
        assert!(!many[0].has_instance() && many[many.len() - 1].has_instance());
    }

    #[test]
    fn among_tenants_with_one_instance_each_the_one_asked_longest_ago_gives_it_up() {
        let places = Places::new();
        let all: Vec<_> = (0..=POLICY_INSTANCES_MAX).map(|n| ask(&places, &format!("t{n}"))).collect();
        assert!(!all[0].has_instance() && all.iter().skip(1).all(|policy| policy.has_instance()));
    }
}
