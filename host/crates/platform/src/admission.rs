//! Who gets in: a bound on documents and on the bytes they hold, decided in microseconds.
//!
//! Owns the house's gate and the count of held bytes. Knows nothing of what a document is. Called at
//! the door, before a body is read; a refusal says when to come back.
//! Tenants' own limits and the cost model of the inference plane will be further reasons to refuse,
//! in the same place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use lector_core::{Fault, Kind};

use crate::gate::{Gate, Pass, Refused};
use crate::pace::Pace;
use crate::status::Tally;

/// The door.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) gate: Arc<Gate>,
    pub(crate) pace: Pace,
    pub(crate) tally: Tally,
    held_bytes: AtomicU64,
    pub(crate) documents_max: usize,
    pub(crate) held_bytes_max: u64,
    pages_in_flight_max: usize,
}

impl Admission {
    pub(crate) fn new(documents_max: usize, held_bytes_max: u64, pages_in_flight_max: usize) -> Arc<Self> {
        Arc::new(Self {
            gate: Arc::default(),
            pace: Pace::default(),
            tally: Tally::default(),
            held_bytes: AtomicU64::new(0),
            documents_max,
            held_bytes_max,
            pages_in_flight_max,
        })
    }

    /// A place for one document that will hold `bytes_hint` bytes, as far as that is known.
    pub(crate) fn admit(self: &Arc<Self>, bytes_hint: Option<u64>) -> Result<Permit, Fault> {
        let entered =
            self.gate.enter("receiving".into(), self.documents_max).map_err(|refused| match refused {
                Refused::Full => self.house_full("as many documents as it takes at once"),
                Refused::Closed => shutting_down(),
            });
        let admitted = entered.and_then(|pass| {
            let mut permit = Permit { admission: self.clone(), pass, bytes: 0 };
            permit.hold(bytes_hint.unwrap_or(0))?;
            Ok(permit)
        });
        admitted.inspect_err(|_| Tally::count(&self.tally.documents_refused))
    }

    /// Bytes held now.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Relaxed)
    }

    fn house_full(&self, with_what: &str) -> Fault {
        // A document that is not open yet counts as one page: all that is known of it.
        let pages = self.tally.pages_waiting().max(self.gate.count() as u64);
        let after = self.pace.retry_after(pages, self.pages_in_flight_max);
        Fault::new(
            Kind::Busy,
            "house_full",
            format!("The server holds {with_what}: try again in {} s.", ceil_s(after)),
        )
        .retry_after(after)
    }
}

fn ceil_s(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Why nothing new is taken on.
pub(crate) fn shutting_down() -> Fault {
    Fault::new(
        Kind::Unavailable,
        "shutting_down",
        "The server is shutting down and takes on nothing new: send the request to another one, or again in a while.",
    )
    .retry_after(Duration::from_secs(5))
}

/// The right to have one document in the house. Dropping it gives the place and the bytes back.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    pass: Pass,
    bytes: u64,
}

impl Permit {
    /// Makes sure that room for `bytes` in all is held; called as a body of unknown length grows.
    ///
    /// Faults: `submission_too_large` where it can never fit, `house_full` where it does not now.
    pub fn hold(&mut self, bytes: u64) -> Result<(), Fault> {
        let most = self.admission.held_bytes_max;
        if bytes > most {
            return Err(Fault::new(
                Kind::TooLarge,
                "submission_too_large",
                format!(
                    "The document holds {bytes} bytes or more, and the server takes at most {most}: send it in parts."
                ),
            ));
        }
        let Some(more) = bytes.checked_sub(self.bytes) else { return Ok(()) };
        let taken = self
            .admission
            .held_bytes
            .try_update(Relaxed, Relaxed, |held| held.checked_add(more).filter(|&held| held <= most));
        match taken {
            Ok(_) => {
                self.bytes = bytes;
                Ok(())
            }
            Err(_) => Err(self.admission.house_full("as many bytes of documents as it takes at once")),
        }
    }

    /// Bytes held by this permit.
    pub fn held_bytes(&self) -> u64 {
        self.bytes
    }

    /// Names the holder, for those who ask who is still inside.
    pub(crate) fn label(&self, request: &str) {
        self.pass.relabel(request.into());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.held_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn refuses_by_documents_and_by_bytes_and_gives_back() {
        let admission = Admission::new(2, 100, 4);
        let first = admission.admit(Some(60)).unwrap();
        let fault = admission.admit(Some(60)).unwrap_err();
        assert_eq!((fault.code, fault.kind), ("house_full", Kind::Busy));
        assert!(fault.retry_after.is_some());
        let mut second = admission.admit(None).unwrap();
        assert_eq!(admission.admit(None).unwrap_err().code, "house_full");
        second.hold(40).unwrap();
        second.hold(10).unwrap();
        assert_eq!((second.held_bytes(), admission.held_bytes()), (40, 100));
        assert_eq!(second.hold(41).unwrap_err().code, "house_full");
        assert_eq!(second.hold(101).unwrap_err().code, "submission_too_large");
        drop((first, second));
        assert_eq!((admission.held_bytes(), admission.gate.count()), (0, 0));
        assert_eq!(admission.tally.documents_refused.load(Relaxed), 2);
    }

    #[test]
    fn a_refusal_reckons_with_the_backlog() {
        let admission = Admission::new(0, 100, 2);
        admission.pace.learn(Duration::from_secs(2));
        let _backlog = admission.tally.wait(10);
        assert_eq!(admission.admit(None).unwrap_err().retry_after, Some(Duration::from_secs(10)));
    }

    #[test]
    fn closed_is_another_fault_than_full() {
        let admission = Admission::new(2, 100, 4);
        admission.gate.close();
        assert_eq!(admission.admit(None).unwrap_err().code, "shutting_down");
    }
}
