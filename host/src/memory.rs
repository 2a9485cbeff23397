//! Memory given back to the system after large documents.
//!
//! The C library keeps what is freed for the next allocation. After a document of some hundred thousand words that is as
//! many small pieces, which it would keep for good.

use std::sync::Arc;
use std::time::Duration;

use lector_platform::Platform;

/// From the end of a large document to the trimming: what else ends meanwhile needs no second one.
const PAUSE: Duration = Duration::from_millis(250);

/// Gives memory back whenever a large document has ended; ends with the process or when it is dropped.
pub async fn trim_after_large_documents(platform: Arc<Platform>) {
    loop {
        platform.large_document_freed().await;
        tokio::time::sleep(PAUSE).await;
        // It looks at every free piece of memory; other tasks do not wait for that.
        if tokio::task::spawn_blocking(trim).await.is_err() {
            return;
        }
    }
}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: takes a number, and the library's own locks; it touches free memory alone.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries give large memory back at once, or have nothing to call.
#[cfg(not(target_env = "gnu"))]
fn trim() {}
