//! Work on large inputs and outputs, apart from the async workers: parsing or writing some megabytes takes tens of
//! milliseconds and must not block other connections.
//!
//! Owns the size from which on work is large. Called by every dialect that parses the document of a request, and by batches.

use futures::FutureExt;
use lector_core::Fault;

use super::problem;

/// Largest input in bytes that a worker parses itself, in a fraction of a millisecond. A larger one pays the change of the
/// thread, some ten microseconds.
pub(super) const SMALL_BYTES_MAX: usize = 64 << 10;

/// Does the work on an input of `bytes` bytes; on a blocking thread if it is large.
pub(super) async fn apart<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    if bytes <= SMALL_BYTES_MAX {
        return work();
    }
    tokio::task::spawn_blocking(work).await.map_err(problem::internal)?
}

/// Awaits the future, whose first step is work on an input of `bytes` bytes: that step is done on a blocking thread if the
/// input is large, and the others are not. For code of a library that parses and waits in one function.
pub(super) async fn begun_apart<F>(bytes: usize, future: F) -> Result<F::Output, Fault>
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut future = Box::pin(future);
    let begun = apart(bytes, move || {
        let ended = future.as_mut().now_or_never();
        Ok((future, ended))
    });
    // The next poll leaves its own waker, which replaces the one of the first step.
    match begun.await? {
        (_, Some(ended)) => Ok(ended),
        (future, None) => Ok(future.await),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::thread::{self, ThreadId};

    use super::*;

    async fn thread_of(bytes: usize) -> ThreadId {
        apart(bytes, || Ok(thread::current().id())).await.unwrap()
    }

    #[tokio::test]
    async fn large_work_leaves_the_worker() {
        let own = thread::current().id();
        assert_eq!(thread_of(SMALL_BYTES_MAX).await, own);
        assert_ne!(thread_of(SMALL_BYTES_MAX + 1).await, own);
        let fault = apart(usize::MAX, || Err::<(), _>(problem::option_invalid("It is wrong.".to_owned())));
        assert_eq!(fault.await.unwrap_err().code, "option_invalid");
    }

    #[tokio::test]
    async fn only_the_first_step_of_a_future_leaves_the_worker() {
        for bytes in [SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1] {
            let steps = async {
                let first = thread::current().id();
                tokio::task::yield_now().await;
                [first, thread::current().id()]
            };
            let own = thread::current().id();
            let [first, second] = begun_apart(bytes, steps).await.unwrap();
            assert_eq!((first == own, second == own), (bytes == SMALL_BYTES_MAX, true));
        }
        assert_eq!(begun_apart(usize::MAX, async { 7 }).await.unwrap(), 7);
    }
}
