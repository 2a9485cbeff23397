//! The retry backoff of a failed engine variant: a few quick retries, then rare ones, for as long as the host runs.
//!
//! Pure: the caller supplies the time.

use std::time::Duration;

/// Pauses of the quick retries, in multiples of `soon`. An engine that was built and does not load is quarantined, so
/// its first retry is immediate.
const SOON: [u32; 3] = [0, 1, 10];
/// Pauses between rare retries double up to this one.
const RARE_MAX: Duration = Duration::from_secs(24 * 3600);

/// The failed step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A build, or a lookup in the cache.
    Building,
    /// The load of a built engine.
    Loading,
}

/// The configured pauses.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryBackoff {
    /// Unit of the pauses of the quick retries.
    pub(super) soon: Duration,
    /// Pause before the first rare retry.
    pub(super) rare: Duration,
}

/// The pause until the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) time: Duration,
    /// Whether the quick retries are used up.
    pub(super) slow: bool,
}

impl RetryBackoff {
    /// Returns the pause after the `failures`th consecutive failure, counted from 1.
    pub(super) fn after(&self, failures: usize, failure: Failure) -> Pause {
        let attempts = failures.saturating_sub(1) + usize::from(failure == Failure::Building);
        match SOON.get(attempts) {
            Some(&times) => Pause { time: self.soon * times, slow: false },
            None => {
                let doublings = u32::try_from(attempts - SOON.len()).unwrap_or(u32::MAX);
                let times = 2u32.checked_pow(doublings).unwrap_or(u32::MAX);
                Pause { time: self.rare.saturating_mul(times).min(RARE_MAX), slow: true }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn quick_retries_come_first_and_rare_ones_never_end() {
        let retry_backoff = RetryBackoff { soon: Duration::from_secs(60), rare: HOUR };
        let check = |failure, expect: &[(u64, bool)]| {
            let pauses = (1..=expect.len()).map(|failures| retry_backoff.after(failures, failure));
            let found: Vec<_> = pauses.map(|pause| (pause.time.as_secs(), pause.slow)).collect();
            assert_eq!(found, expect, "{failure:?}");
        };
        let rare = |hours: u64| (hours * 3600, true);
        let hours = [1, 2, 4, 8, 16, 24, 24].map(rare);
        check(Failure::Building, &[&[(60, false), (600, false)], &hours[..]].concat());
        check(Failure::Loading, &[&[(0, false), (60, false), (600, false)], &hours[..]].concat());
        for failures in [100, usize::MAX] {
            let pause = retry_backoff.after(failures, Failure::Building);
            assert_eq!(pause, Pause { time: RARE_MAX, slow: true }, "no overflow after {failures}");
        }
    }
}
