//! Returns memory to the system: large blocks when they are freed, and the rest after large documents.
//!
//! The C library keeps freed memory for later allocations. A document of several hundred thousand words leaves as many
//! small free blocks, which it would never return.

use std::sync::Arc;
use std::time::Duration;

use lector_serving::DocumentService;

/// Delay from the end of a large document to the trim; documents that end meanwhile share it.
const PAUSE: Duration = Duration::from_millis(250);

/// Least size of a block that the C library maps for itself, and unmaps when it is freed, in bytes.
#[cfg(target_env = "gnu")]
const MAPPED_BLOCK_BYTES: libc::c_int = 4 << 20;
/// The environment variable of the C library for the same.
#[cfg(target_env = "gnu")]
const MAPPED_BLOCK_VARIABLE: &str = "MALLOC_MMAP_THRESHOLD_";

/// Has large blocks returned to the system when they are freed. Otherwise the C library raises its own threshold with each large
/// block that is freed, and keeps those below it: two requests of OpenVINO grew by 1.2 GiB over five page sizes in place of
/// 0.6 GiB. For the start of the program; the environment of the C library goes first.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "the C library has no safe form of this call")]
pub(crate) fn return_large_blocks() {
    if std::env::var_os(MAPPED_BLOCK_VARIABLE).is_none() {
        // SAFETY: mallopt takes two numbers and locks the allocator itself. It refuses what it does not know.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BLOCK_BYTES) };
    }
}

/// Other C libraries return large blocks by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn return_large_blocks() {}

/// Trims memory after each large document. Runs until it is dropped.
pub async fn trim_after_large_documents(service: Arc<DocumentService>) {
    loop {
        service.large_document_freed().await;
        tokio::time::sleep(PAUSE).await;
        // The trim visits every free block, so it runs off the async threads.
        if tokio::task::spawn_blocking(trim).await.is_err() {
            return;
        }
    }
}

#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "the C library has no safe form of this call")]
fn trim() {
    // SAFETY: malloc_trim takes a number, locks the allocator itself, and touches free memory only.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries return large memory at once, or have no such function.
#[cfg(not(target_env = "gnu"))]
fn trim() {}
