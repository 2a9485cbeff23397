//! What is kept in memory between requests, and the removal of what has expired: uploaded files, which the API of Lector has as
//! well, and capability URLs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use lector_core::Clock;

use super::links::Links;
use crate::config::CompatConfig;
use crate::http::files::store::Files;

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

    fn is_empty(&self) -> bool {
        // Each look removes what has expired.
        let (files, links) = (self.files.is_empty(), self.links.is_empty());
        files && links
    }
}
