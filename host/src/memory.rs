//! Returns memory to the system after large documents.
//!
//! The C library keeps freed memory for later allocations. A document of several hundred thousand words leaves as many
//! small free blocks, which it would never return.

use std::sync::Arc;
use std::time::Duration;

use lector_serving::DocumentService;

/// Delay from the end of a large document to the trim; documents that end meanwhile share it.
const PAUSE: Duration = Duration::from_millis(250);

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
