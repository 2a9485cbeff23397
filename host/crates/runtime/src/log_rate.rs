//! The rate of guests' log output, for each tenant: a budget of bytes that refills. A page has a budget of its own; this
//! bounds a tenant that sends many pages, so that it cannot fill the disk of the log or hide other tenants' events.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lector_core::TenantName;

/// Bytes that a tenant may log at once.
const BURST_BYTES: u64 = 1 << 20;
/// Bytes that it may log in a second, on average.
const BYTES_PER_SECOND: u64 = 64 << 10;
/// Bytes of an event in the log in addition to its message: time, names, separators.
const EVENT_BYTES: u64 = 200;
/// Maximum tenants that are remembered. Beyond it those whose budget is full again are forgotten.
const TENANTS_MAX: usize = 1024;

/// The budgets of all tenants.
#[derive(Debug, Default)]
pub struct LogRates(Mutex<HashMap<TenantName, Bucket>>);

#[derive(Debug)]
struct Bucket {
    left: u64,
    at: Instant,
}

impl Bucket {
    /// Adds what was gained since the last refill.
    fn refill(&mut self, now: Instant) {
        let gained = (now.saturating_duration_since(self.at).as_secs_f64() * BYTES_PER_SECOND as f64) as u64;
        // A gain of less than a byte is not lost: the time of the refill stays.
        if gained > 0 {
            self.left = self.left.saturating_add(gained).min(BURST_BYTES);
            self.at = now;
        }
    }
}

impl LogRates {
    /// Returns whether the tenant may log a message of `bytes` at `now`, and counts it.
    pub fn admit(&self, tenant: &TenantName, bytes: u64, now: Instant) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= TENANTS_MAX && !buckets.contains_key(tenant) {
            let full_after = Duration::from_secs(BURST_BYTES / BYTES_PER_SECOND);
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at) < full_after);
        }
        let full = || Bucket { left: BURST_BYTES, at: now };
        let bucket = buckets.entry(tenant.clone()).or_insert_with(full);
        bucket.refill(now);
        match bucket.left.checked_sub(bytes + EVENT_BYTES) {
            Some(left) => {
                bucket.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_cut_at_its_rate_and_others_are_not() {
        let (rates, start) = (LogRates::default(), Instant::now());
        let (flood, quiet) = (TenantName::from("flood"), TenantName::from("quiet"));
        let admitted = |at: Instant| (0..100_000).filter(|_| rates.admit(&flood, 1000, at)).count() as u64;
        assert_eq!(admitted(start), BURST_BYTES / 1200);
        assert!(rates.admit(&quiet, 1000, start));
        let gained = admitted(start + Duration::from_secs(10));
        assert!(gained.abs_diff(10 * BYTES_PER_SECOND / 1200) <= 1, "{gained}");
        let rested = start + Duration::from_secs(3600);
        assert_eq!(admitted(rested), BURST_BYTES / 1200, "never more than a burst");
    }

    #[test]
    fn tenants_at_rest_are_forgotten() {
        let (rates, start) = (LogRates::default(), Instant::now());
        for number in 0..TENANTS_MAX {
            assert!(rates.admit(&TenantName::from(format!("t{number}").as_str()), 10, start));
        }
        assert!(rates.admit(&TenantName::from("later"), 10, start + Duration::from_secs(60)));
        assert_eq!(rates.0.lock().unwrap_or_else(PoisonError::into_inner).len(), 1);
    }
}
