//! The clock port: monotonic time, civil time, and waits.
//!
//! Owns the trait [`Clock`], and the clock that tests set by hand. Decisions that depend on time (quotas of a day, rate
//! limits, idle times, expiry, the periods of background tasks) take their time from here, so that a test can decide
//! what time it is. The system's clock is `lector_control::SystemClock`, because its waits need the async runtime.

use std::fmt;
use std::time::{Instant, SystemTime};

use futures::future::BoxFuture;

#[cfg(any(test, feature = "testing"))]
mod manual;

#[cfg(any(test, feature = "testing"))]
pub use manual::ManualClock;

/// A source of time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the monotonic time, which never goes back. For durations.
    fn now(&self) -> Instant;
    /// Returns the civil time. An operator or a time server may set it forward or back. For days, timestamps and expiry.
    fn civil(&self) -> SystemTime;
    /// Waits until the monotonic time `at`.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()>;

    /// Returns the civil time in milliseconds since 1970.
    fn now_ms(&self) -> u64 {
        let since = self.civil().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
