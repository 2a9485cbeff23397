//! Fair queueing between tenants: one queue and one semaphore for everything that several tenants wait for.
//!
//! Owns the algorithm, start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queuing: A Scheduling
//! Algorithm for Integrated Services Packet Switching Networks", SIGCOMM 1996), and no part of the scheduled work.
//! Every client (a tenant) has a weight and a position in virtual time; the client with the earliest position is served
//! next and moves forward by the cost of its item divided by its weight. The parts:
//! - [`Shares`] is the virtual clock: positions, charges, corrections, bounded credit for clients that were idle.
//! - [`FairQueue`] holds waiting items in that order; `O(log n)` per operation.
//! - [`FairSemaphore`] hands out permits in that order: [`FairSemaphore::acquire`] to async code,
//!   [`FairSemaphore::acquire_blocking`] to threads.
//!
//! Contains no async runtime and no timer: the future of `acquire` is built on [`std::task::Waker`] and works under any
//! timeout, because dropping it withdraws the request. Used for page slots, image operations, document workers and
//! admission. Lanes and the core scheduler of `inference` use `Shares` alone; their modules give the reason.

mod blocking;
mod held;
mod queue;
mod semaphore;
mod shares;

use crate::id::TenantName;

pub use queue::{CLASSES, Charge, Class, FairQueue, Order, Popped, Ticket, displaceable};
pub use semaphore::{Acquire, FairSemaphore, Permit, Request};
pub use shares::{CREDIT, Shares, jain, virtual_cost};

/// The tenant that an operation is charged to, and its weight against other tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The tenant.
    pub tenant: TenantName,
    /// Its share relative to other tenants; 1 or more.
    pub weight: u32,
}

impl Account {
    /// Creates the account of a tenant.
    pub fn new(tenant: TenantName, weight: u32) -> Self {
        Self { tenant, weight }
    }
}

#[cfg(test)]
mod testing {
    use std::cell::Cell;
    use std::cmp::Ordering;

    thread_local! {
        static COMPARISONS: Cell<u64> = const { Cell::new(0) };
    }

    /// A client key that counts its comparisons, the dominant cost of operations on ordered maps.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct Counted(pub(super) u32);

    impl Ord for Counted {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARISONS.set(COMPARISONS.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    /// Returns the number of key comparisons while `body` ran in this thread.
    pub(super) fn comparisons(body: impl FnOnce()) -> u64 {
        let before = COMPARISONS.get();
        body();
        COMPARISONS.get() - before
    }
}
