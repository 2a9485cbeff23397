//! The write lock: one mutation at a time, in fair order over tenants.
//!
//! Owns the order in which mutations begin, and the bound on those that wait. Administrators and the server itself have an
//! account of their own: the revocation of a key does not wait for the mutations that were sent with the key.

use std::time::Duration;

use lector_core::fair::{Account, FairSemaphore, Permit, Request, Shares};
use lector_core::{Fault, KeyedLimit, Kind, TenantName};

use crate::access::Actor;

/// Most requests of one account that wait for the lock.
const WAITING_MAX: usize = 64;
/// Weight of the account of administrators, that of a tenant by default: an account that changes little goes first anyway.
const ADMINISTRATORS_WEIGHT: u32 = 100;

/// The lock. Its accounts are the tenants, and `None` for administrators and the server itself.
#[derive(Debug)]
pub(crate) struct WriteLock {
    lock: FairSemaphore<Option<TenantName>>,
    waiting: KeyedLimit<Option<TenantName>>,
}

/// The held lock.
pub(crate) type WriteGuard = Permit<Option<TenantName>>;

impl Default for WriteLock {
    fn default() -> Self {
        // Without credit: an account that was idle goes before one that waits in a queue, and after that in turns.
        let lock = FairSemaphore::with_shares(1, 0, Shares::with_credit(0.0));
        Self { lock, waiting: KeyedLimit::new(WAITING_MAX, usize::MAX) }
    }
}

impl WriteLock {
    /// Waits for the lock on the account of the actor. Fault: `too_many_changes`.
    pub(super) async fn lock(&self, actor: &Actor) -> Result<WriteGuard, Fault> {
        let (account, weight) = match actor.account.clone() {
            Some(Account { tenant, weight }) => (Some(tenant), weight),
            None => (None, ADMINISTRATORS_WEIGHT),
        };
        // The tasks of the server have no request, and are bounded where they begin.
        let place = actor.request.as_ref().map(|_| self.waiting.take(&account).ok_or_else(too_many_changes));
        let _place = place.transpose()?;
        // All mutations count the same: most of the time of each is one synced transaction.
        Ok(self.lock.acquire(Request::one(account, weight, 1.0)).await)
    }
}

fn too_many_changes() -> Fault {
    let message = format!(
        "{WAITING_MAX} changes of the tenant (or of administrators) wait for earlier ones, the limit: send fewer at once, or try \
         again later."
    );
    Fault::new(Kind::Busy, "too_many_changes", message).retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use futures::FutureExt;
    use lector_core::RequestId;

    use super::*;

    fn of(tenant: Option<&str>) -> Actor {
        let account = tenant.map(|name| Account::new(name.into(), 100));
        Actor { request: Some(RequestId::from("r")), account, ..Actor::named("key") }
    }

    /// The order in which the lock is granted to waiting requests.
    #[test]
    fn an_account_does_not_wait_for_the_queue_of_another() {
        let lock = WriteLock::default();
        let flood = of(Some("flood"));
        let mut held = lock.lock(&flood).now_or_never().unwrap().ok();
        let actors = std::iter::repeat_n(flood, 20).chain([of(Some("victim")), of(None)]);
        let actors: Vec<Actor> = actors.collect();
        let mut waiting: Vec<_> = actors.iter().map(|actor| (actor, Box::pin(lock.lock(actor)))).collect();
        assert!(waiting.iter_mut().all(|(_, lock)| lock.now_or_never().is_none()));
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(held.take());
            let at = waiting.iter_mut().position(|(_, lock)| {
                held = lock.now_or_never().transpose().unwrap();
                held.is_some()
            });
            let (actor, _) = waiting.remove(at.expect("the lock is free"));
            order.push(actor.account.as_ref().map_or("administrators", |account| account.tenant.as_str()));
        }
        drop(held);
        assert!(order[..2].contains(&"administrators") && order[..2].contains(&"victim"), "{order:?}");
    }

    #[test]
    fn the_waiting_requests_of_an_account_are_bounded() {
        let lock = WriteLock::default();
        let (flood, victim) = (of(Some("flood")), of(Some("victim")));
        let held = lock.lock(&flood).now_or_never().unwrap().unwrap();
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(lock.lock(&flood))).collect();
        assert!(waiting.iter_mut().all(|lock| lock.now_or_never().is_none()));
        let refused = lock.lock(&flood).now_or_never().unwrap().unwrap_err();
        assert_eq!((refused.code, refused.kind), ("too_many_changes", Kind::Busy));
        let task = Actor { request: None, ..flood.clone() };
        assert!(lock.lock(&victim).now_or_never().is_none(), "waits");
        assert!(lock.lock(&task).now_or_never().is_none(), "a task of the server waits");
        // A request that is withdrawn leaves its place.
        waiting.pop();
        assert!(lock.lock(&flood).now_or_never().is_none());
        drop((waiting, held));
        assert!(lock.lock(&flood).now_or_never().unwrap().is_ok());
    }
}
