//! When a rung that failed is tried again: soon a few times, then rarely, for as long as the host runs.
//!
//! Pure: the time comes from whoever asks.

use std::time::Duration;

/// After so many times the pause what failed is tried again soon. What was built and does not load was set aside, so its
/// first time is at once.
const SOON: [u32; 3] = [0, 1, 10];
/// Pauses between rare tries double up to this.
const RARE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A build, or a look into the cache.
    Building,
    /// Loading what was built.
    Loading,
}

/// The pauses of a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryBackoff {
    /// Of the tries that come soon.
    pub(super) soon: Duration,
    /// Before the first rare one.
    pub(super) rare: Duration,
}

/// How long until the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) time: Duration,
    /// Whether the tries that come soon are used up.
    pub(super) slow: bool,
}

impl RetryBackoff {
    /// The pause after the `failures`th failure in a row, from 1.
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
    fn soon_a_few_times_and_then_rarely_for_ever() {
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
