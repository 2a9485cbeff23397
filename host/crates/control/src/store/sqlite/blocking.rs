//! The work of the stores, on threads where blocking is allowed.

use std::sync::Arc;

use futures::FutureExt;

use crate::store::{StoreError, Stored};

/// Runs `work` on such a thread. A panic is a failed write of `what`.
pub(super) fn run<I: Send + Sync + 'static, T: Send + 'static>(
    inner: &Arc<I>,
    what: &'static str,
    work: impl FnOnce(&I) -> Result<T, StoreError> + Send + 'static,
) -> Stored<'static, T> {
    let inner = inner.clone();
    let task = tokio::task::spawn_blocking(move || work(&inner));
    async move {
        match task.await {
            Ok(answer) => answer,
            Err(error) => Err(StoreError::Write { what, source: error.into() }),
        }
    }
    .boxed()
}

/// Runs `work` on such a thread without an answer; on this thread if there is no runtime.
pub(super) fn spawn(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}
