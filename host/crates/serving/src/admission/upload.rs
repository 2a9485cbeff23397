//! Uploads: the right to send a body, and the bytes that have arrived.
//!
//! Owns the bound on the uploads of a tenant, and the bytes of a document until its permit owns them. Bytes are counted
//! as they arrive; announced bytes are checked, and reserve nothing. An upload that waits for memory waits in fair order
//! over tenants, and its client is not read meanwhile.

use std::sync::Arc;
use std::time::Duration;

use lector_control::{CountGuard, DocumentMemory, DrainGuard, Tenant};
use lector_core::{Fault, Kind};

use super::line::For;
use super::{Admission, RETRY_MIN, over_bytes};
use crate::faults::shutting_down;

/// Longest wait for memory. The bound resolves a deadlock of two partly received documents that wait for each other's
/// memory.
const MEMORY_WAIT_MAX: Duration = Duration::from_secs(10);

/// The right to send one request body. Holds no place and no bytes.
#[derive(Debug)]
pub struct UploadSlot {
    pub(super) admission: Arc<Admission>,
    tenant: Arc<Tenant>,
    /// A drain waits for uploads that have begun.
    pub(super) guard: DrainGuard,
    _of_tenant: CountGuard,
    _of_server: CountGuard,
}

impl Admission {
    /// Gives an upload slot to a client that waits for `time_left`. `declared`: the announced bytes of its document.
    pub(crate) fn upload(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        declared: Option<u64>,
        time_left: Duration,
    ) -> Result<UploadSlot, Fault> {
        self.counted_refusal(self.upload_slot(tenant, declared, Some(time_left)))
    }

    /// Gives an upload slot for a component, which needs no place among the documents.
    pub(crate) fn component_upload(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        declared: Option<u64>,
    ) -> Result<UploadSlot, Fault> {
        self.upload_slot(tenant, declared, None)
    }

    fn upload_slot(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        declared: Option<u64>,
        time_left: Option<Duration>,
    ) -> Result<UploadSlot, Fault> {
        let guard = self.gate.enter("receiving".into(), usize::MAX).map_err(|_| shutting_down())?;
        let most = match tenant.limits().uploads_concurrent {
            0 => self.bounds().tenant_uploads_max,
            own => u64::from(own),
        };
        let of_tenant = tenant.usage.uploads.enter(most).ok_or_else(|| too_many_uploads(most))?;
        let of_server = self.uploads.enter(u64::MAX).ok_or_else(|| too_many_uploads(u64::MAX))?;
        // Only a look: a document that could not be accepted is rejected before it is sent.
        let own_max = self.own_max(tenant);
        if let Some(declared) = declared {
            self.may_ever_hold(declared, own_max)?;
            if tenant.usage.held_bytes.held().saturating_add(declared) > own_max {
                return Err(over_bytes(self.load.wait(), own_max));
            }
        }
        if let Some(time_left) = time_left {
            self.has_place(tenant, time_left)?;
        }
        Ok(UploadSlot {
            admission: self.clone(),
            tenant: tenant.clone(),
            guard,
            _of_tenant: of_tenant,
            _of_server: of_server,
        })
    }

    /// Returns the most bytes that the tenant may hold at once.
    pub(super) fn own_max(&self, tenant: &Tenant) -> u64 {
        match tenant.limits().held_bytes_max {
            0 => self.bounds().tenant_held_bytes_max,
            most => most,
        }
    }
}

impl UploadSlot {
    /// Begins one document of the upload. Fault: `shutting_down`, unless the upload had begun before: then its first
    /// document is still received.
    pub fn begin(&self, first: bool) -> Result<ReceivedBytes, Fault> {
        if !first && self.admission.gate.is_closed() {
            return Err(shutting_down());
        }
        Ok(ReceivedBytes::new(&self.admission, &self.tenant))
    }
}

/// The bytes of one document or component that have arrived. Dropping it releases them.
#[derive(Debug)]
pub struct ReceivedBytes {
    admission: Arc<Admission>,
    tenant: Arc<Tenant>,
    /// Most bytes that the tenant may hold at once.
    own_max: u64,
    bytes: u64,
}

impl ReceivedBytes {
    pub(super) fn new(admission: &Arc<Admission>, tenant: &Arc<Tenant>) -> Self {
        let own_max = admission.own_max(tenant);
        Self { admission: admission.clone(), tenant: tenant.clone(), own_max, bytes: 0 }
    }

    pub(super) fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// Returns the counted bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Extends the counted bytes to `bytes` in all.
    ///
    /// Faults: `submission_too_large` if the bytes can never fit; if they do not fit now, `tenant_memory_exceeded` for
    /// the tenant's own limit or its share, and `server_overloaded` for the limit of the server.
    pub(super) fn hold(&mut self, bytes: u64) -> Result<(), Fault> {
        self.admission.may_ever_hold(bytes, self.own_max)?;
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        self.admission.hold(&self.tenant.usage, self.own_max, self.bytes, more)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Extends the counted bytes to `bytes` in all, as a body arrives. Waits up to ten seconds for memory, in fair
    /// order over tenants; the faults are those of a body that does not fit by then. Dropping the future leaves the
    /// queue.
    pub async fn arrived(&mut self, bytes: u64) -> Result<(), Fault> {
        self.arrived_within(bytes, MEMORY_WAIT_MAX).await.inspect_err(|fault| {
            self.admission.count_refusal(fault);
            self.tenant.usage.rejected();
        })
    }

    pub(super) async fn arrived_within(&mut self, bytes: u64, within: Duration) -> Result<(), Fault> {
        self.admission.may_ever_hold(bytes, self.own_max)?;
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        if self.admission.line.is_empty(For::Bytes) && self.hold(bytes).is_ok() {
            return Ok(());
        }
        let Self { admission, tenant, own_max, bytes: own } = &*self;
        let attempt = {
            let (admission, tenant, own_max, own) = (admission.clone(), tenant.clone(), *own_max, *own);
            move || {
                admission.hold(&tenant.usage, own_max, own, more)?;
                Ok(Self { admission: admission.clone(), tenant: tenant.clone(), own_max, bytes: more })
            }
        };
        let kib = more as f64 / 1024.0;
        let mut held = admission.line.wait(For::Bytes, tenant.account(), kib, within, attempt).await?;
        self.bytes += std::mem::take(&mut held.bytes);
        Ok(())
    }

    /// Lowers the counted bytes to `bytes`, if they are more: those of what is kept.
    pub fn keep(&mut self, bytes: u64) {
        if let Some(less) = self.bytes.checked_sub(bytes).filter(|less| *less > 0) {
            self.bytes = bytes;
            self.admission.give_back(&self.tenant.usage, less);
            self.admission.load.freed.notify_one();
        }
    }

    /// Returns the memory account of the document's results.
    pub(super) fn memory(&self) -> Arc<DocumentMemory> {
        let Admission { held_bytes, large_freed, .. } = &*self.admission;
        let own = (self.tenant.usage.held_bytes.clone(), self.own_max);
        let server = (held_bytes.clone(), self.admission.bounds().held_bytes_max);
        DocumentMemory::new(self.tenant.account(), own, server, large_freed.clone())
    }
}

impl Drop for ReceivedBytes {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.admission.give_back(&self.tenant.usage, self.bytes);
            self.admission.load.freed.notify_one();
        }
    }
}

fn too_many_uploads(most: u64) -> Fault {
    let message = format!(
        "The tenant sends {most} request bodies at once, its limit (`limits.uploads_concurrent`): send fewer at once, \
         or try again in {} s.",
        RETRY_MIN.as_secs()
    );
    Fault::new(Kind::Busy, "tenant_uploads_exceeded", message).retry_after(RETRY_MIN)
}
