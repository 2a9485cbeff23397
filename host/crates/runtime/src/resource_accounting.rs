//! Resources that one guest call uses of its budget: handles, bytes held in the host, calls, calls in flight.
//!
//! Shared between the Store and the work that it started, so that a reservation is released when its resource is
//! dropped: by the guest, by a failed operation, or with the whole Store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lector_core::{Blame, Budget, Fault, Kind};

/// The usage of one call. Counts are exact; the order of updates between threads does not matter.
#[derive(Debug)]
pub struct ResourceAccounting {
    handles_max: u32,
    bytes_max: u64,
    handles: AtomicU32,
    bytes: AtomicU64,
    in_flight: AtomicU32,
}

/// Reservation of one handle and its bytes; dropping it releases them.
#[derive(Debug)]
pub struct Reservation {
    accounting: Arc<ResourceAccounting>,
    bytes: u64,
}

/// A call into an engine, a worker or the pixel pool that the guest awaits; dropping it ends the count.
#[derive(Debug)]
pub struct InFlight(Arc<ResourceAccounting>);

impl ResourceAccounting {
    pub fn new(budget: &Budget) -> Arc<Self> {
        Arc::new(Self {
            handles_max: budget.handles,
            bytes_max: budget.host_bytes,
            handles: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
        })
    }

    /// Reserves one handle and `bytes`, before anything is allocated for it.
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Result<Reservation, Fault> {
        let handles = self.handles.fetch_add(1, Ordering::Relaxed);
        if handles >= self.handles_max {
            self.handles.fetch_sub(1, Ordering::Relaxed);
            return Err(too_many_handles(self.handles_max));
        }
        let mut charge = Reservation { accounting: Arc::clone(self), bytes: 0 };
        charge.resize(bytes)?;
        Ok(charge)
    }

    /// Counts an operation in flight in the host.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Returns the number of operations in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns the bytes and handles that are left.
    pub fn remaining(&self) -> (u64, u32) {
        let bytes = self.bytes_max.saturating_sub(self.bytes.load(Ordering::Relaxed));
        (bytes, self.handles_max.saturating_sub(self.handles.load(Ordering::Relaxed)))
    }

    /// Returns the bytes held now.
    #[cfg(test)]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Reservation {
    /// Sets the bytes to the actual size of the resource.
    pub fn resize(&mut self, bytes: u64) -> Result<(), Fault> {
        let accounting = &self.accounting;
        if bytes <= self.bytes {
            accounting.bytes.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        } else {
            let more = bytes - self.bytes;
            let before = accounting.bytes.fetch_add(more, Ordering::Relaxed);
            if before.saturating_add(more) > accounting.bytes_max {
                accounting.bytes.fetch_sub(more, Ordering::Relaxed);
                return Err(too_many_bytes(more, before, accounting.bytes_max));
            }
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.accounting.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.accounting.handles.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns the fault of a guest that holds the maximum number of host resources.
pub fn too_many_handles(max: u32) -> Fault {
    let message =
        format!("the guest holds {max} host resources, the limit of its budget; it must drop some first");
    Fault::new(Kind::TooLarge, "guest_handles_exceeded", message).blaming(Blame::Guest)
}

fn too_many_bytes(more: u64, handles: u64, max: u64) -> Fault {
    let message = format!(
        "{more} more bytes of pixels, tensors and embedded text, with {handles} held, exceed the guest's budget of {max}; \
         drop images and tensors, or work at a lower resolution"
    );
    Fault::new(Kind::TooLarge, "guest_host_memory_exceeded", message).blaming(Blame::Guest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn charges_are_bounded_and_paid_back() {
        let accounting =
            ResourceAccounting::new(&Budget { handles: 2, host_bytes: 100, ..Budget::default() });
        let first = accounting.charge(60).unwrap();
        assert_eq!(accounting.charge(41).unwrap_err().code, "guest_host_memory_exceeded");
        let mut second = accounting.charge(40).unwrap();
        assert_eq!(accounting.charge(0).unwrap_err().code, "guest_handles_exceeded");
        second.resize(10).unwrap();
        assert_eq!(accounting.bytes(), 70);
        assert_eq!(second.resize(u64::MAX).unwrap_err().code, "guest_host_memory_exceeded");
        drop(first);
        assert_eq!(accounting.bytes(), 10);
        drop(second);
        assert_eq!(accounting.bytes(), 0);
        assert!(accounting.charge(100).is_ok());
    }
}
