//! How fast the house reads pages, learned from the pages it has read. Used to say when to come back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Weight of the newest page: the mean follows a change within some ten pages and ignores one outlier.
const NEWEST: f64 = 0.1;
/// Assumed before anything was read: the order of magnitude of a page of print on two CPU cores.
const FIRST_GUESS: Duration = Duration::from_millis(700);
/// Answers below a second would invite storms; above a minute the backlog will have changed anyway.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Exponentially weighted mean of the time that one page takes its guest.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    page_s: Mutex<Option<f64>>,
}

impl Pace {
    /// A page was read in `took`.
    pub(crate) fn learn(&self, took: Duration) {
        let mut page_s = self.page_s.lock().unwrap_or_else(PoisonError::into_inner);
        let took_s = took.as_secs_f64();
        *page_s = Some(page_s.map_or(took_s, |mean| mean + NEWEST * (took_s - mean)));
    }

    /// The mean; `None` before the first page.
    pub(crate) fn page(&self) -> Option<Duration> {
        let page_s = *self.page_s.lock().unwrap_or_else(PoisonError::into_inner);
        page_s.map(Duration::from_secs_f64)
    }

    /// How long `pages` take, `parallel` at a time, as an answer to "when shall I come back?".
    pub(crate) fn retry_after(&self, pages: u64, parallel: usize) -> Duration {
        let page_s = self.page().unwrap_or(FIRST_GUESS).as_secs_f64();
        let whole_s = page_s * pages as f64 / parallel.max(1) as f64;
        Duration::from_secs_f64(whole_s.clamp(RETRY_MIN.as_secs_f64(), RETRY_MAX.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_change_and_answers_within_bounds() {
        let pace = Pace::default();
        assert_eq!(pace.page(), None);
        assert_eq!(pace.retry_after(0, 4), RETRY_MIN);
        pace.learn(Duration::from_secs(1));
        assert_eq!(pace.page(), Some(Duration::from_secs(1)));
        assert_eq!(pace.retry_after(20, 2), Duration::from_secs(10));
        assert_eq!(pace.retry_after(1_000_000, 2), RETRY_MAX);
        for _ in 0..60 {
            pace.learn(Duration::from_secs(2));
        }
        assert!(pace.page() > Some(Duration::from_millis(1990)));
    }
}
