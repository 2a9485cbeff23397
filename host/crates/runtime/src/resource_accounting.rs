//! Resources that one guest call uses of its budget: handles, bytes held in the host, calls, calls in flight.
//!
//! Shared between the Store and the work that it started, so that a reservation is released when its resource is
//! dropped: by the guest, by a failed operation, or with the whole Store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lector_core::{Blame, Budget, Fault, HostMemory, Kind};

/// The usage of one call. Counts are exact; the order of updates between threads does not matter.
#[derive(Debug)]
pub struct ResourceAccounting {
    handles_max: u32,
    bytes_max: u64,
    handles: AtomicU32,
    bytes: AtomicU64,
    in_flight: AtomicU32,
    /// Account of the tenant, beyond this call.
    memory: Option<Arc<dyn HostMemory>>,
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
    pub fn new(budget: &Budget, memory: Option<Arc<dyn HostMemory>>) -> Arc<Self> {
        Arc::new(Self {
            handles_max: budget.handles,
            bytes_max: budget.host_bytes,
            handles: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            memory,
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

    /// Adds bytes that fit into the budget to the tenant's account.
    fn take(&self, bytes: u64) -> Result<(), Fault> {
        self.memory.as_ref().map_or(Ok(()), |memory| memory.take(bytes))
    }

    fn release(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(memory) = self.memory.as_ref().filter(|_| bytes > 0) {
            memory.release(bytes);
        }
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
            accounting.release(self.bytes - bytes);
        } else {
            let more = bytes - self.bytes;
            let before = accounting.bytes.fetch_add(more, Ordering::Relaxed);
            if before.saturating_add(more) > accounting.bytes_max {
                accounting.bytes.fetch_sub(more, Ordering::Relaxed);
                return Err(too_many_bytes(more, before, accounting.bytes_max));
            }
            if let Err(fault) = accounting.take(more) {
                accounting.bytes.fetch_sub(more, Ordering::Relaxed);
                return Err(fault);
            }
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.accounting.release(self.bytes);
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
            ResourceAccounting::new(&Budget { handles: 2, host_bytes: 100, ..Budget::default() }, None);
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

    /// Counts bytes of all calls of a tenant, up to 50.
    #[derive(Debug, Default)]
    struct Tenant(AtomicU64);

    impl HostMemory for Tenant {
        fn take(&self, bytes: u64) -> Result<(), Fault> {
            if self.0.load(Ordering::Relaxed) + bytes > 50 {
                return Err(Fault::new(Kind::Busy, "tenant_images_exceeded", "full"));
            }
            self.0.fetch_add(bytes, Ordering::Relaxed);
            Ok(())
        }

        fn release(&self, bytes: u64) {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_bytes_of_all_calls_count_for_the_tenant() {
        let tenant = Arc::new(Tenant::default());
        let call =
            || ResourceAccounting::new(&Budget { host_bytes: 40, ..Budget::default() }, Some(tenant.clone()));
        let (outer, inner) = (call(), call());
        let mut first = outer.charge(30).unwrap();
        assert_eq!(inner.charge(30).unwrap_err().code, "tenant_images_exceeded");
        assert_eq!(inner.charge(41).unwrap_err().code, "guest_host_memory_exceeded");
        assert_eq!((inner.bytes(), tenant.0.load(Ordering::Relaxed)), (0, 30), "a refusal holds nothing");
        first.resize(5).unwrap();
        let second = inner.charge(30).unwrap();
        assert_eq!(tenant.0.load(Ordering::Relaxed), 35);
        drop((first, second));
        assert_eq!(tenant.0.load(Ordering::Relaxed), 0);
    }
}
