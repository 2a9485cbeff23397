//! What is kept in memory between requests, and the removal of what has expired: uploaded files, which the API of Lector has as
//! well, and capability URLs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use lector_control::{ControlPlane, Principal};
use lector_core::{Clock, Fault};
use lector_serving::ReceivedBytes;

use super::links::Links;
use crate::config::CompatConfig;
use crate::http::files::store::{File, Files};

/// Time between two removals of what has expired.
const SWEEP_PERIOD: Duration = Duration::from_secs(60);

/// The stores of the dialects.
pub(in crate::http) struct Stores {
    pub(in crate::http) files: Files,
    pub(super) links: Links,
    clock: Arc<dyn Clock>,
    sweeping: AtomicBool,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

impl Stores {
    pub(in crate::http) fn new(config: &CompatConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            files: Files::new(clock.clone(), config.ttl, config.tenant_files_bytes_max),
            links: Links::new(clock.clone()),
            clock,
            sweeping: AtomicBool::new(false),
        }
    }

    /// Starts to remove what expires, until nothing is left. Every access removes it, too; this frees the memory if there
    /// is no other access. Called after something was stored.
    pub(in crate::http) fn sweep(self: &Arc<Self>) {
        if self.sweeping.swap(true, SeqCst) {
            return;
        }
        let (stores, clock) = (Arc::downgrade(self), self.clock.clone());
        tokio::spawn(async move {
            loop {
                clock.sleep_until(clock.now() + SWEEP_PERIOD).await;
                let Some(stores) = stores.upgrade() else { return };
                stores.links.purge();
                if stores.is_empty() {
                    stores.sweeping.store(false, SeqCst);
                    // Something may have been stored since the look.
                    if stores.is_empty() || stores.sweeping.swap(true, SeqCst) {
                        return;
                    }
                }
            }
        });
    }

    /// Keeps an uploaded file for the principal's tenant. Faults: `tenant_files_exceeded`, `tenant_not_found`.
    pub(in crate::http) fn add_file(
        &self,
        control: &ControlPlane,
        principal: &Principal,
        (name, purpose): (String, String),
        bytes: Vec<u8>,
        received: ReceivedBytes,
    ) -> Result<Arc<File>, Fault> {
        let file = self.files.add(principal.tenant(), name, purpose, bytes, received)?;
        if let Err(gone) = control.still_exists(principal) {
            // The tenant was deleted while the file arrived; the next tenant of that name must not get it. A file that
            // is gone already was deleted with the tenant.
            let _ = self.files.delete(principal.tenant(), &file.id);
            return Err(gone);
        }
        Ok(file)
    }

    /// Deletes what is kept for a tenant whenever the tenant is deleted.
    pub(in crate::http) fn follow(self: &Arc<Self>, control: &ControlPlane) {
        let stores = Arc::downgrade(self);
        control.keeps_tenant_data(Arc::new(move |tenant| {
            if let Some(stores) = stores.upgrade() {
                stores.files.forget(&tenant);
                stores.links.forget(&tenant);
            }
            Box::pin(std::future::ready(Ok(())))
        }));
    }

    fn is_empty(&self) -> bool {
        // Each look removes what has expired.
        let (files, links) = (self.files.is_empty(), self.links.is_empty());
        files && links
    }
}
