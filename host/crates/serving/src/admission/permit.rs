//! The permit of a complete document: a place among the documents, and a share of the pending work.

use std::sync::Arc;
use std::time::Duration;

use lector_control::{DocumentMemory, DrainGuard, Refused, Tenant};
use lector_core::Fault;

use super::line::For;
use super::upload::{ReceivedBytes, UploadSlot};
use super::{Admission, Place};
use crate::cost_tracker::PendingWork;
use crate::faults::shutting_down;
use crate::status::Counters;

impl Admission {
    /// Admits one complete document of `bytes` bytes whose client waits for `time_left`.
    pub(crate) fn admit(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        bytes: u64,
        time_left: Duration,
    ) -> Result<Permit, Fault> {
        if !self.line.is_empty(For::Document) {
            // Waiting documents go first.
            self.line.give();
        }
        let permit = || {
            let guard = self.gate.enter("received".into(), usize::MAX).map_err(|refused| match refused {
                Refused::Full | Refused::Closed => shutting_down(),
            })?;
            let mut received = ReceivedBytes::new(self, tenant);
            received.hold(bytes)?;
            Ok(Permit { received, guard, place: self.place(tenant, time_left)? })
        };
        self.counted(permit())
    }

    /// Admits a document whose bytes have arrived, and waits up to `within` for a place, in fair order over tenants.
    /// The fault is the one at the end of this time, and only that one is counted. Dropping the future leaves the queue.
    pub(crate) async fn admit_within(
        self: &Arc<Self>,
        received: ReceivedBytes,
        guard: DrainGuard,
        time_left: Duration,
        within: Duration,
    ) -> Result<Permit, Fault> {
        let (this, tenant) = (self.clone(), received.tenant().clone());
        let cost_ms = tenant.usage.page_ms().unwrap_or_else(|| self.load.page_ms());
        let account = tenant.account();
        let attempt = move || this.place(&tenant, time_left);
        let placed = self.line.wait(For::Document, account, cost_ms, within, attempt).await;
        self.counted(placed.map(|place| Permit { received, guard, place }))
    }

    /// Admits a document of `bytes` bytes that was not uploaded, and waits up to `within` for its memory and its place.
    pub(crate) async fn admit_whole(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        bytes: u64,
        within: Duration,
    ) -> Result<Permit, Fault> {
        let guard = self.gate.enter("received".into(), usize::MAX).map_err(|_| shutting_down())?;
        let mut received = ReceivedBytes::new(self, tenant);
        self.counted_refusal(received.arrived_within(bytes, within).await)?;
        self.admit_within(received, guard, within, within).await
    }

    fn counted(&self, admitted: Result<Permit, Fault>) -> Result<Permit, Fault> {
        match &admitted {
            Ok(_) => Counters::count(&self.counters.documents_admitted),
            Err(fault) => self.count_refusal(fault),
        }
        admitted
    }
}

impl UploadSlot {
    /// Admits a complete document, and waits up to `within` for a place. Dropping the future leaves the queue.
    pub(crate) async fn admit(
        &self,
        received: ReceivedBytes,
        time_left: Duration,
        within: Duration,
    ) -> Result<Permit, Fault> {
        self.admission.admit_within(received, self.guard.again(), time_left, within).await
    }
}

/// The permit of one admitted document. Dropping it releases its place and its bytes.
#[derive(Debug)]
pub struct Permit {
    received: ReceivedBytes,
    guard: DrainGuard,
    place: Place,
}

impl Permit {
    /// Returns the bytes that this permit holds.
    pub fn held_bytes(&self) -> u64 {
        self.received.bytes()
    }

    /// Returns the memory account of the document's results, which outlives the permit.
    pub(crate) fn memory(&self) -> Arc<DocumentMemory> {
        self.received.memory()
    }

    /// Returns the document's part of the pending work.
    pub(crate) fn pending_work(&self) -> &PendingWork {
        &self.place.pending_work
    }

    /// Sets the label of the holder, which a drain reports.
    pub(crate) fn label(&self, request: &str) {
        self.guard.relabel(request.into());
    }
}
