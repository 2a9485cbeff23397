//! Uploaded files that a later request reads.
//!
//! Kept in memory, counted against the tenant's limit of held bytes, with a limit of their own, and dropped when they
//! expire. A file of another tenant does not exist.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lector_core::{Clock, Fault, Kind, TenantName};
use lector_serving::ReceivedBytes;

/// Time after which a tenant without room should try again.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Maximum number of files of a tenant.
const TENANT_FILES_MAX: usize = 1000;

/// An uploaded file.
#[derive(Debug)]
pub(in crate::http) struct File {
    pub(in crate::http) id: String,
    pub(in crate::http) owner: TenantName,
    pub(in crate::http) name: String,
    pub(in crate::http) purpose: String,
    pub(in crate::http) bytes: Arc<Vec<u8>>,
    pub(in crate::http) created_ms: u64,
    pub(in crate::http) expires_ms: u64,
    /// Keeps the bytes counted.
    _received: ReceivedBytes,
}

/// The files of all tenants, by id.
#[derive(Debug)]
pub(in crate::http) struct Files {
    clock: Arc<dyn Clock>,
    ttl: Duration,
    tenant_bytes_max: u64,
    files: Mutex<BTreeMap<String, Arc<File>>>,
}

impl Files {
    pub(in crate::http) fn new(clock: Arc<dyn Clock>, ttl: Duration, tenant_bytes_max: u64) -> Self {
        Self { clock, ttl, tenant_bytes_max, files: Mutex::default() }
    }

    /// Locks the files without those that have expired.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<File>>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.clock.now_ms();
        files.retain(|_, file| file.expires_ms > now_ms);
        files
    }

    /// Keeps a file. Fault: `tenant_files_exceeded`.
    pub(in crate::http) fn add(
        &self,
        owner: &TenantName,
        name: String,
        purpose: String,
        bytes: Vec<u8>,
        received: ReceivedBytes,
    ) -> Result<Arc<File>, Fault> {
        let mut files = self.lock();
        let own = || files.values().filter(|file| file.owner == *owner);
        let sum = own().map(|file| file.bytes.len() as u64).sum::<u64>().saturating_add(bytes.len() as u64);
        if sum > self.tenant_bytes_max || own().count() >= TENANT_FILES_MAX {
            let message = format!(
                "The tenant's uploaded files would hold {sum} bytes, and the limit is {} bytes and {TENANT_FILES_MAX} \
                 files (`compat.tenant_files_bytes_max`): delete files that were read, or send the document in the \
                 request itself.",
                self.tenant_bytes_max
            );
            return Err(Fault::new(Kind::Busy, "tenant_files_exceeded", message).retry_after(RETRY_AFTER));
        }
        let created_ms = self.clock.now_ms();
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        let file = Arc::new(File {
            id: uuid::Uuid::now_v7().to_string(),
            owner: owner.clone(),
            name,
            purpose,
            bytes: Arc::new(bytes),
            created_ms,
            expires_ms: created_ms.saturating_add(ttl_ms),
            _received: received,
        });
        files.insert(file.id.clone(), file.clone());
        Ok(file)
    }

    /// Returns a file of the tenant. Fault: `file_not_found`.
    pub(in crate::http) fn get(&self, owner: &TenantName, id: &str) -> Result<Arc<File>, Fault> {
        self.lock().get(id).filter(|file| file.owner == *owner).cloned().ok_or_else(|| not_found(id))
    }

    /// Returns the files of the tenant, the newest first.
    pub(in crate::http) fn list(&self, owner: &TenantName) -> Vec<Arc<File>> {
        let files = self.lock();
        // The ids sort by time.
        files.values().rev().filter(|file| file.owner == *owner).cloned().collect()
    }

    /// Deletes a file of the tenant.
    pub(in crate::http) fn delete(&self, owner: &TenantName, id: &str) -> Result<(), Fault> {
        let mut files = self.lock();
        if files.get(id).is_none_or(|file| file.owner != *owner) {
            return Err(not_found(id));
        }
        files.remove(id);
        Ok(())
    }

    /// Deletes the files of a tenant.
    pub(in crate::http) fn forget(&self, owner: &TenantName) {
        self.lock().retain(|_, file| file.owner != *owner);
    }

    pub(in crate::http) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

fn not_found(id: &str) -> Fault {
    let id: String = id.chars().filter(|c| !c.is_control()).take(60).collect();
    let message = format!("The file `{id}` does not exist, or has expired: upload it again.");
    Fault::new(Kind::NotFound, "file_not_found", message)
}
