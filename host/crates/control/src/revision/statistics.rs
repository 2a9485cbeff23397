//! Statistics of a revision: pages, errors, times, and the comparison of a shadow.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use lector_core::cost::Mean;
use lector_core::{Blame, Fault, Kind, PageRun};
use serde::Serialize;
use utoipa::ToSchema;

use crate::route::RollbackPolicy;

/// Longest recorded time, in milliseconds; longer times count as this one.
const TIME_MS_MAX: u64 = 600_000;

/// Returns whether a fault counts as an error of the revision. Errors returned by the guest count, whatever their code;
/// otherwise a guest that calls every page unreadable would never fail. Faults of the client's documents, an overloaded
/// server and a shutdown do not count. Neither does a deadline that expired before the revision's own time limit: the
/// client set it.
fn counts_as_error(fault: &Fault, took: Duration, wall: Duration) -> bool {
    match fault.kind {
        _ if fault.is_guest_answer() => true,
        Kind::Busy | Kind::Unavailable => false,
        Kind::Deadline => took >= wall,
        _ => fault.blame != Blame::Client,
    }
}

/// Statistics of a revision since it was loaded, or since it became a candidate.
#[derive(Debug, Default)]
pub struct RevisionStatistics {
    counts: Mutex<Counts>,
    /// Counts since the last change of the deployment's weights, compared with those of a candidate.
    window: Mutex<Counts>,
    /// Time of a call of `assemble`, in milliseconds.
    summary_ms: Mutex<Mean>,
}

#[derive(Debug, Default)]
struct Counts {
    pages: u64,
    errors: u64,
    /// Allocated with the first page: a revision without traffic needs no memory for it.
    times_ms: Option<Histogram<u32>>,
}

/// The statistics in the form that the API shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
#[schema(as = RevisionStatistics)]
pub struct Statistics {
    /// Pages finished, with or without an error.
    pub pages: u64,
    /// Pages with a fault that counts as an error of the revision.
    pub errors: u64,
    /// Median of the page time, milliseconds.
    pub p50_ms: u64,
    /// 99th percentile of the page time, milliseconds.
    pub p99_ms: u64,
}

impl RevisionStatistics {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_window(&self) -> MutexGuard<'_, Counts> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a successful call of `assemble`.
    pub fn summed_up(&self, took: Duration) {
        self.summary_ms.lock().unwrap_or_else(PoisonError::into_inner).learn(took.as_secs_f64() * 1e3);
    }

    /// Predicts the cost of a call of `assemble`; close to 0 before the first.
    pub fn summary_ms(&self) -> f64 {
        self.summary_ms.lock().unwrap_or_else(PoisonError::into_inner).value().unwrap_or(1.0)
    }

    /// Adds a finished page, whose call had the time limit `wall`.
    pub fn page(&self, run: &PageRun, wall: Duration) {
        let fault = run.result.as_ref().err();
        let error = fault.is_some_and(|fault| counts_as_error(fault, run.timing.total, wall));
        if run.result.is_err() && !error {
            return;
        }
        self.lock().page(error, run.timing.total);
        self.lock_window().page(error, run.timing.total);
    }

    /// Adds a call of `assemble` that failed after `took`, with the time limit `wall`. The document's `pages` that were
    /// read are lost, so each of them counts as an error.
    pub fn assemble_failed(&self, fault: &Fault, took: Duration, wall: Duration, pages: u64) {
        if !counts_as_error(fault, took, wall) {
            return;
        }
        for mut counts in [self.lock(), self.lock_window()] {
            // Some of the pages may have been counted before a reset.
            counts.errors = counts.errors.saturating_add(pages).min(counts.pages);
        }
    }

    /// Sets all counts to 0.
    pub fn reset(&self) {
        *self.lock() = Counts::default();
    }

    /// Begins the window over which the revision is compared with another revision.
    pub fn begin_window(&self) {
        *self.lock_window() = Counts::default();
    }

    /// Returns the statistics in the form that the API shows.
    pub fn view(&self) -> Statistics {
        self.lock().view()
    }

    /// Returns the statistics since the window began.
    pub fn window(&self) -> Statistics {
        self.lock_window().view()
    }
}

impl Counts {
    fn page(&mut self, error: bool, took: Duration) {
        self.pages += 1;
        self.errors += u64::from(error);
        if self.times_ms.is_none() {
            // Two significant digits separate 1.00 s from 1.01 s, which is enough for a page.
            self.times_ms = Histogram::new_with_bounds(1, TIME_MS_MAX, 2).ok();
        }
        let ms = u64::try_from(took.as_millis()).unwrap_or(TIME_MS_MAX).clamp(1, TIME_MS_MAX);
        if let Some(times) = &mut self.times_ms {
            times.saturating_record(ms);
        }
    }

    fn view(&self) -> Statistics {
        let at = |quantile| self.times_ms.as_ref().map_or(0, |times| times.value_at_quantile(quantile));
        Statistics { pages: self.pages, errors: self.errors, p50_ms: at(0.5), p99_ms: at(0.99) }
    }
}

impl Statistics {
    fn error_rate(&self) -> f64 {
        if self.pages == 0 { 0.0 } else { self.errors as f64 / self.pages as f64 }
    }

    /// Returns the reason that the policy rolls the revision back; `None`: no condition is met. `stable`: the
    /// statistics of the stable revision over the same time, if there is one.
    pub fn breach(&self, rollback_policy: &RollbackPolicy, stable: Option<Statistics>) -> Option<String> {
        if self.pages < rollback_policy.pages_min {
            return None;
        }
        if let Some(stable) = stable.filter(|stable| stable.pages >= rollback_policy.pages_min)
            && let Some(reason) = self.worse_than(&stable, rollback_policy)
        {
            return Some(reason);
        }
        let rate = self.error_rate();
        if rate > rollback_policy.error_rate_max {
            return Some(format!(
                "{} of {} pages failed, more than a share of {}",
                self.errors, self.pages, rollback_policy.error_rate_max
            ));
        }
        let slow = rollback_policy.p99_ms_max > 0 && self.p99_ms > rollback_policy.p99_ms_max;
        slow.then(|| {
            format!(
                "p99 is {} ms over {} pages, more than {} ms",
                self.p99_ms, self.pages, rollback_policy.p99_ms_max
            )
        })
    }
}

impl Statistics {
    /// Compares the revision with the stable one; returns the reason if the difference is larger than the policy
    /// allows.
    fn worse_than(&self, stable: &Statistics, rollback_policy: &RollbackPolicy) -> Option<String> {
        let (rate, base) = (self.error_rate(), stable.error_rate());
        if let Some(most) = rollback_policy.error_rate_increase_max
            && rate > base + most
        {
            return Some(format!(
                "{} of {} pages failed, and {} of {} of the stable revision over the same time: a share of more than \
                 {most} above its",
                self.errors, self.pages, stable.errors, stable.pages
            ));
        }
        let most = rollback_policy.p99_ratio_max?;
        (self.p99_ms as f64 > stable.p99_ms as f64 * most).then(|| {
            format!(
                "p99 is {} ms, and {} ms of the stable revision over the same time: more than {most} times as long",
                self.p99_ms, stable.p99_ms
            )
        })
    }
}

/// Comparison of a shadow with the revision that served the same pages.
#[derive(Debug, Default)]
pub struct ShadowStatistics(Mutex<ShadowCounts>);

#[derive(Clone, Copy, Debug, Default)]
struct ShadowCounts {
    compared: u64,
    same_text: u64,
    line_difference: u64,
    live: Duration,
    shadow: Duration,
    errors: u64,
    skipped: u64,
}

/// The comparison in the form that the API shows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct ShadowComparison {
    /// Pages that both revisions read.
    pub pages_compared: u64,
    /// Share of these pages with exactly the same text, 0 to 1; `None` before the first.
    pub same_text: Option<f64>,
    /// Mean absolute difference in the number of lines.
    pub line_difference: Option<f64>,
    /// Work time of the shadow divided by that of the live revision, without waits.
    pub latency_ratio: Option<f64>,
    /// Pages that only the live revision could read.
    pub errors: u64,
    /// Pages of the sample that were skipped because the server had no free capacity.
    pub skipped: u64,
}

impl ShadowStatistics {
    fn lock(&self) -> MutexGuard<'_, ShadowCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a page that both revisions read.
    pub fn compared(&self, live: (&str, usize, Duration), shadow: (&str, usize, Duration)) {
        let mut counts = self.lock();
        counts.compared += 1;
        counts.same_text += u64::from(live.0 == shadow.0);
        counts.line_difference += live.1.abs_diff(shadow.1) as u64;
        counts.live += live.2;
        counts.shadow += shadow.2;
    }

    /// Adds a page on which only the shadow failed.
    pub fn failed(&self) {
        self.lock().errors += 1;
    }

    /// Adds a page that was skipped because the server had no free capacity.
    pub fn skipped(&self) {
        self.lock().skipped += 1;
    }

    /// Sets all counts to 0.
    pub fn reset(&self) {
        *self.lock() = ShadowCounts::default();
    }

    pub fn view(&self) -> ShadowComparison {
        let counts = *self.lock();
        let mean = |sum: f64| (counts.compared > 0).then(|| sum / counts.compared as f64);
        let ratio = counts.shadow.as_secs_f64() / counts.live.as_secs_f64();
        ShadowComparison {
            pages_compared: counts.compared,
            same_text: mean(counts.same_text as f64),
            line_difference: mean(counts.line_difference as f64),
            latency_ratio: ratio.is_finite().then_some(ratio),
            errors: counts.errors,
            skipped: counts.skipped,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::{Rotation, Size, Timing, Transcript};

    use super::*;

    const WALL: Duration = Duration::from_secs(1);

    fn transcript() -> Transcript {
        Transcript {
            size: Size { width: 1, height: 1 },
            dpi: 72.0,
            rotation: Rotation::None,
            lines: vec![],
            blocks: vec![],
            findings: vec![],
            warnings: vec![],
            properties: None,
        }
    }

    fn page(result: Result<(), Fault>, ms: u64) -> PageRun {
        let timing = Timing { total: Duration::from_millis(ms), ..Timing::default() };
        PageRun { result: result.map(|()| transcript()), timing }
    }

    #[test]
    fn a_rollback_policy_applies_after_enough_pages() {
        let statistics = RevisionStatistics::default();
        let rollback_policy = RollbackPolicy {
            error_rate_max: 0.2,
            p99_ms_max: 500,
            pages_min: 10,
            ..RollbackPolicy::default()
        };
        let trap = || Err(Fault::new(Kind::GuestFault, "guest_trapped", "x"));
        for _ in 0..3 {
            statistics.page(&page(trap(), 10), WALL);
        }
        assert_eq!(statistics.view().breach(&rollback_policy, None), None, "too few pages");
        for _ in 0..12 {
            statistics.page(&page(Ok(()), 10), WALL);
        }
        assert_eq!(
            statistics.view().breach(&rollback_policy, None),
            None,
            "3 of 15 is not more than a fifth"
        );
        statistics.page(&page(trap(), 10), WALL);
        assert!(statistics.view().breach(&rollback_policy, None).unwrap().contains("4 of 16"));
        statistics.reset();
        for _ in 0..10 {
            statistics.page(&page(Ok(()), 600), WALL);
        }
        assert!(statistics.view().breach(&rollback_policy, None).unwrap().contains("p99"));
        assert_eq!(
            statistics.view().breach(&RollbackPolicy { p99_ms_max: 0, ..rollback_policy }, None),
            None
        );
    }

    #[test]
    fn faults_of_clients_and_host_are_not_errors_of_the_revision() {
        let statistics = RevisionStatistics::default();
        for (kind, blame) in [
            (Kind::Invalid, Blame::Client),
            (Kind::Busy, Blame::Host),
            (Kind::Unavailable, Blame::Host),
            (Kind::Deadline, Blame::Host),
        ] {
            statistics.page(&page(Err(Fault::new(kind, "x", "x").blaming(blame)), 1), WALL);
        }
        assert_eq!(statistics.view(), Statistics::default());
        statistics.page(&page(Err(Fault::new(Kind::Deadline, "guest_deadline", "x")), 1000), WALL);
        let denied = Fault::new(Kind::Denied, "model_not_granted", "x").blaming(Blame::Guest);
        statistics.page(&page(Err(denied), 1), WALL);
        assert_eq!(statistics.view().errors, 2);
    }

    #[test]
    fn errors_returned_by_the_guest_are_errors_of_the_revision() {
        let statistics = RevisionStatistics::default();
        for (kind, code) in [
            (Kind::Invalid, "guest_error_unreadable"),
            (Kind::TooLarge, "guest_error_too_large"),
            (Kind::Busy, "guest_error_busy"),
            (Kind::Deadline, "guest_error_deadline"),
        ] {
            statistics.page(&page(Err(Fault::new(kind, code, "x")), 1), WALL);
        }
        assert_eq!((statistics.view().pages, statistics.view().errors), (4, 4));
    }

    #[test]
    fn a_failed_assemble_counts_each_page_as_an_error() {
        let statistics = RevisionStatistics::default();
        for _ in 0..6 {
            statistics.page(&page(Ok(()), 10), WALL);
        }
        let late = Fault::new(Kind::Deadline, "deadline_exceeded", "x");
        statistics.assemble_failed(&late, Duration::from_millis(5), WALL, 2);
        assert_eq!(statistics.view().errors, 0, "the client's deadline");
        let trap = Fault::new(Kind::GuestFault, "guest_trapped", "x");
        statistics.assemble_failed(&trap, Duration::from_millis(5), WALL, 2);
        assert_eq!((statistics.view().pages, statistics.view().errors), (6, 2));
        statistics.reset();
        statistics.assemble_failed(&trap, Duration::from_millis(5), WALL, 2);
        assert_eq!(statistics.view().errors, 0, "pages of before do not count");
    }

    #[test]
    fn a_candidate_is_compared_over_the_same_window() {
        let (candidate, stable) = (RevisionStatistics::default(), RevisionStatistics::default());
        let rollback_policy = RollbackPolicy {
            error_rate_max: 1.0,
            pages_min: 10,
            error_rate_increase_max: Some(0.1),
            p99_ratio_max: Some(2.0),
            ..RollbackPolicy::default()
        };
        let trap = || Err(Fault::new(Kind::GuestFault, "guest_trapped", "x"));
        for _ in 0..100 {
            stable.page(&page(Ok(()), 10), WALL);
        }
        stable.begin_window();
        assert_eq!((stable.window().pages, stable.view().pages), (0, 100));
        for number in 0..20 {
            let failed = || if number % 2 == 0 { Ok(()) } else { trap() };
            candidate.page(&page(failed(), 10), WALL);
            stable.page(&page(failed(), 10), WALL);
        }
        assert_eq!(
            candidate.view().breach(&rollback_policy, Some(stable.window())),
            None,
            "both fail as often"
        );
        for _ in 0..10 {
            candidate.page(&page(trap(), 10), WALL);
        }
        let reason = candidate.view().breach(&rollback_policy, Some(stable.window())).unwrap();
        assert!(reason.contains("20 of 30") && reason.contains("10 of 20"), "{reason}");
        let slow = Statistics { pages: 20, errors: 0, p50_ms: 10, p99_ms: 100 };
        assert!(slow.breach(&rollback_policy, Some(stable.window())).unwrap().contains("p99"));
        assert_eq!(
            slow.breach(&rollback_policy, Some(Statistics { pages: 9, ..stable.window() })),
            None,
            "too few to compare"
        );
    }

    #[test]
    fn a_shadow_is_compared() {
        let statistics = ShadowStatistics::default();
        assert_eq!(statistics.view().same_text, None);
        let ms = Duration::from_millis;
        statistics.compared(("a", 3, ms(10)), ("a", 3, ms(20)));
        statistics.compared(("a", 3, ms(10)), ("b", 1, ms(10)));
        statistics.failed();
        statistics.skipped();
        let view = statistics.view();
        assert_eq!((view.pages_compared, view.same_text, view.line_difference), (2, Some(0.5), Some(1.0)));
        assert_eq!((view.latency_ratio, view.errors, view.skipped), (Some(1.5), 1, 1));
    }
}
