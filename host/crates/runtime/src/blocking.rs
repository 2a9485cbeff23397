//! Where pixel work is done: on tokio's blocking threads, a bounded number of operations at once.

use std::sync::Arc;
use std::time::Duration;

use lector_core::{Fault, Kind};
use tokio::sync::Semaphore;

use crate::meter::processor_time;

/// Bytes read and written below which an operation is done where it is asked for: it takes less time
/// (some 20 us) than handing it to another thread and back.
const INLINE_BYTES_MAX: u64 = 64 << 10;

/// The bound. More operations than cores would only share them.
#[derive(Clone, Debug)]
pub struct Blocking(Arc<Semaphore>);

/// An operation's outcome and what it took.
pub struct Done<R> {
    pub outcome: R,
    /// Processor time of the work itself.
    pub took: Duration,
    /// Whether it was done inside the poll of the guest that asked.
    pub inline: bool,
}

impl Blocking {
    pub fn new(operations_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(operations_max.max(1))))
    }

    /// Does `work`, which touches about `bytes`. Once begun it runs to its end, wanted or not; its bounds
    /// are those of the operation.
    pub async fn run<R: Send + 'static>(
        &self,
        bytes: u64,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Done<R>, Fault> {
        let timed = move || {
            let began = processor_time();
            let outcome = work();
            (outcome, processor_time().saturating_sub(began))
        };
        if bytes <= INLINE_BYTES_MAX {
            let (outcome, took) = timed();
            return Ok(Done { outcome, took, inline: true });
        }
        let failed = |cause: &dyn std::fmt::Display| {
            Fault::new(Kind::Bug, "image_operation_failed", "an image operation failed in the host")
                .with_detail(cause)
        };
        let permit = Arc::clone(&self.0).acquire_owned().await.map_err(|e| failed(&e))?;
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            timed()
        });
        let (outcome, took) = task.await.map_err(|e| failed(&e))?;
        Ok(Done { outcome, took, inline: false })
    }
}
