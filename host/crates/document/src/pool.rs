//! A fair work queue (`work`) in front of a fixed number of worker processes, each of which serves one tenant at a time.
//!
//! Owns queueing, affinity and the lifecycle of workers. Each worker has a worker supervisor, a thread of the host that
//! starts the process, exchanges frames with it, enforces limits of time, kills and replaces it. (One thread per worker,
//! because the parent-death signal of a worker follows the *thread* that started it, and because copying pixels must
//! not block an async runtime.) Called by `open`; independent of file formats.

mod checks;
mod compose;
pub(crate) mod dispatch;
#[cfg(test)]
mod fuzz;
pub(crate) mod job;
mod process;
mod slot;
pub mod status;
mod watch;
mod work;
mod worker_supervisor;

use std::sync::Arc;

use futures::channel::oneshot;

use crate::config::{DocumentConfig, DocumentError};
use dispatch::Pool;

/// Starts the worker supervisors and waits until every worker is ready, or one has failed.
pub(crate) async fn start(config: DocumentConfig) -> Result<Arc<Pool>, DocumentError> {
    let pool = Pool::new(config);
    let mut ready = Vec::new();
    for index in 0..pool.workers() {
        let (sender, receiver) = oneshot::channel();
        pool.supervised(worker_supervisor::start(pool.clone(), index, sender)?);
        ready.push(receiver);
    }
    for receiver in ready {
        let outcome = receiver.await.unwrap_or_else(|_| {
            Err(DocumentError::NotReady { reason: "its worker supervisor ended".into() })
        });
        if let Err(error) = outcome {
            pool.stop();
            // Worker supervisors notice within a tick; the caller gets the error after all processes have ended.
            pool.join();
            return Err(error);
        }
    }
    Ok(pool)
}
