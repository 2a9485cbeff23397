//! Limits that end a guest at once, as errors that pass through wasmtime and are known again behind it.

use std::time::Duration;

use lector_core::{Fault, Kind};
use thiserror::Error;

/// Why the host ended a guest.
#[derive(Clone, Debug, Error)]
pub enum AbortReason {
    /// More calls into the host than the budget has.
    #[error("more than {0} host calls")]
    HostCalls(u64),
    /// More computing than the budget has.
    #[error("more than {0:?} of computing")]
    Compute(Duration),
    /// A limit where the contract has no error to return; the fault says which.
    #[error("{0}")]
    Limit(Fault),
    /// The host itself broke a promise; a defect.
    #[error("{0}")]
    Defect(String),
}

impl From<&AbortReason> for Fault {
    fn from(stop: &AbortReason) -> Self {
        match stop {
            AbortReason::HostCalls(max) => Fault::new(
                Kind::GuestFault,
                "guest_host_calls_exceeded",
                format!("the guest called the host more than {max} times, its budget for one page"),
            ),
            AbortReason::Compute(max) => Fault::new(
                Kind::GuestFault,
                "guest_compute_exceeded",
                format!("the guest computed longer than {} ms, its budget for one page", max.as_millis()),
            ),
            AbortReason::Limit(fault) => fault.clone(),
            AbortReason::Defect(cause) => {
                Fault::new(Kind::Bug, "runtime_defect", "the host failed to serve the guest")
                    .with_detail(cause)
            }
        }
    }
}
