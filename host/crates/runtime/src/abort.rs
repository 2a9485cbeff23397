//! Limits that end a guest at once, as errors that pass through wasmtime and are recognized afterwards.

use std::time::Duration;

use lector_core::{Fault, Kind};
use thiserror::Error;

/// The reason why the host ended a guest.
#[derive(Clone, Debug, Error)]
pub enum AbortReason {
    /// The guest made more calls into the host than its budget allows.
    #[error("more than {0} host calls")]
    HostCalls(u64),
    /// The guest computed longer than its budget allows.
    #[error("more than {0:?} of computing")]
    Compute(Duration),
    /// A limit of a function whose contract has no error to return; the fault names the limit.
    #[error("{0}")]
    Limit(Fault),
    /// The host violated an invariant; a defect.
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
