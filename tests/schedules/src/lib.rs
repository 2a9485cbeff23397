//! Sources of the host, compiled with locks that let a test choose which thread runs next at each step
//! (`awslabs/shuttle`). The tests run the same small program under many schedules, and a failure prints the schedule.
//!
//! The sources are included by path: they name their locks as `crate::sync`, which is this crate's. Nothing else differs,
//! except that a wait with a timeout ends only with a notification: a wake-up that is lost is a deadlock here, also where a
//! timeout would hide it.
//!
//! The directory of tenants and deployments (`lector_control`) is not here: a request reads an immutable snapshot with one
//! atomic load, a lease is a reference that is never refused, and no reader waits for a writer.
// Empty as a test program: the unit tests of the included sources belong to their own crates.
#![cfg(not(test))]
#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../host/crates/core/src/id.rs"]
pub mod id;

/// The fair queue and the semaphore of `lector_core::fair`.
#[path = "../../../host/crates/core/src/fair"]
pub mod fair {
    mod blocking;
    mod held;
    mod queue;
    mod semaphore;
    mod shares;

    pub use queue::{Charge, FairQueue, Order};
    pub use semaphore::{Acquire, FairSemaphore, Permit, Request};
}

#[path = "../../../host/crates/inference/src/cores.rs"]
mod cores;
#[path = "../../../host/crates/inference/src/lane_counters.rs"]
pub mod lane_counters;

/// The queue of a lane.
#[path = "../../../host/crates/inference/src/lane"]
pub mod lane {
    mod item;
    mod plan_query;
    mod queue;

    #[path = "../../../../../tests/schedules/src/lane_program.rs"]
    pub mod program;
}

#[path = "../../../host/crates/document/src/config.rs"]
mod config;
#[path = "../../../host/crates/document/src/faults.rs"]
mod faults;
#[path = "../../../host/crates/document/src/kind.rs"]
mod kind;
#[path = "../../../host/crates/document/src/wire.rs"]
mod wire;

/// The dispatcher of the document workers.
#[path = "../../../host/crates/document/src/pool"]
pub mod pool {
    mod dispatch;
    mod job;
    mod slot;
    mod status;
    mod work;

    #[path = "../../../../../tests/schedules/src/pool_program.rs"]
    pub mod program;
}

pub(crate) mod sync {
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

/// A number that threads wait for.
#[derive(Default)]
pub struct Count {
    value: sync::Mutex<usize>,
    changed: sync::Condvar,
}

impl Count {
    /// Adds one.
    pub fn add(&self) {
        *self.value.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    /// Waits until the number is at least `least`.
    pub fn until(&self, least: usize) {
        let mut value = self.value.lock().unwrap();
        while *value < least {
            value = self.changed.wait(value).unwrap();
        }
    }
}
