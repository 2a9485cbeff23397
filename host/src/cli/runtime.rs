//! The async runtime of a command.

use super::failure::Failure;
use crate::config::Config;
use crate::telemetry;

/// Runs the work of a command on a runtime of its own, with logging started.
pub(super) fn block_on<T>(
    config: &Config,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    telemetry::init(&config.log)?;
    on_runtime(work)
}

/// Runs work on a runtime without starting a log.
pub(super) fn on_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| anyhow::Error::from(error).context("starting the async runtime"))?;
    let answer = runtime.block_on(work);
    // A thread that is still busy (a guest that computes) must not delay the exit.
    runtime.shutdown_background();
    answer
}
