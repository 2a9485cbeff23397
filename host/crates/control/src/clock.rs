//! The system's clock.

use std::time::{Instant, SystemTime};

use futures::future::BoxFuture;
use lector_core::Clock;

/// The clock of the operating system. Its waits must be polled within a tokio runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn civil(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(async move { tokio::time::sleep_until(at.into()).await })
    }
}
