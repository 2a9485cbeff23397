//! How a revision does: pages, errors, times, and how it compares when it reads along.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use lector_core::cost::Mean;
use lector_core::{Blame, Fault, Kind, PageRun};
use serde::Serialize;

use crate::route::Watch;

/// Longest time that is told apart, in milliseconds; beyond it times count as this long.
const TIME_MS_MAX: u64 = 600_000;

/// Whether a fault speaks against the revision. The client's documents, a full house and a shutdown do not, nor does a
/// deadline that came before the revision's own time was over: that one was the client's.
fn is_the_revisions(fault: &Fault, took: Duration, wall: Duration) -> bool {
    match fault.kind {
        Kind::Busy | Kind::Unavailable => false,
        Kind::Deadline => took >= wall,
        _ => fault.blame != Blame::Client,
    }
}

/// Figures of a revision since it was loaded, or since it became a candidate.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    counts: Mutex<Counts>,
    /// Time of a summary, in milliseconds.
    summary_ms: Mutex<Mean>,
}

#[derive(Debug, Default)]
struct Counts {
    pages: u64,
    errors: u64,
    /// Made with the first page: a revision that nobody asks costs nothing.
    times_ms: Option<Histogram<u32>>,
}

/// The figures as they are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct FiguresView {
    /// Pages answered, in either way.
    pub pages: u64,
    /// Of them those whose fault speaks against the revision.
    pub errors: u64,
    /// Median time of a page, milliseconds.
    pub p50_ms: u64,
    /// 99th percentile of a page's time, milliseconds.
    pub p99_ms: u64,
}

impl Figures {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A document was summed up.
    pub(crate) fn summed_up(&self, took: Duration) {
        self.summary_ms.lock().unwrap_or_else(PoisonError::into_inner).learn(took.as_secs_f64() * 1e3);
    }

    /// What a summary is expected to cost: next to nothing, until it is known.
    pub(crate) fn summary_ms(&self) -> f64 {
        self.summary_ms.lock().unwrap_or_else(PoisonError::into_inner).value().unwrap_or(1.0)
    }

    /// A page was read, or not, by a call that could take `wall`.
    pub(crate) fn page(&self, run: &PageRun, wall: Duration) {
        let mut counts = self.lock();
        let fault = run.result.as_ref().err();
        let error = fault.is_some_and(|fault| is_the_revisions(fault, run.timing.total, wall));
        if run.result.is_err() && !error {
            return;
        }
        counts.pages += 1;
        counts.errors += u64::from(error);
        if counts.times_ms.is_none() {
            // Two digits tell 1.00 from 1.01 s, which is finer than any page is measured.
            counts.times_ms = Histogram::new_with_bounds(1, TIME_MS_MAX, 2).ok();
        }
        let ms = u64::try_from(run.timing.total.as_millis()).unwrap_or(TIME_MS_MAX).clamp(1, TIME_MS_MAX);
        if let Some(times) = &mut counts.times_ms {
            times.saturating_record(ms);
        }
    }

    /// Counts from nothing again.
    pub(crate) fn reset(&self) {
        *self.lock() = Counts::default();
    }

    pub(crate) fn view(&self) -> FiguresView {
        let counts = self.lock();
        let at = |quantile| counts.times_ms.as_ref().map_or(0, |times| times.value_at_quantile(quantile));
        FiguresView { pages: counts.pages, errors: counts.errors, p50_ms: at(0.5), p99_ms: at(0.99) }
    }
}

impl FiguresView {
    /// Why a watch takes the revision back; `None`: it does not, or not yet.
    pub(crate) fn breach(&self, watch: &Watch) -> Option<String> {
        if self.pages < watch.pages_min {
            return None;
        }
        let rate = self.errors as f64 / self.pages as f64;
        if rate > watch.error_rate_max {
            return Some(format!(
                "{} of {} pages failed, more than a share of {}",
                self.errors, self.pages, watch.error_rate_max
            ));
        }
        let slow = watch.p99_ms_max > 0 && self.p99_ms > watch.p99_ms_max;
        slow.then(|| {
            format!("p99 is {} ms over {} pages, more than {} ms", self.p99_ms, self.pages, watch.p99_ms_max)
        })
    }
}

/// How a shadow compares with the revision that answered.
#[derive(Debug, Default)]
pub(crate) struct ShadowFigures(Mutex<ShadowCounts>);

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

/// The comparison as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ShadowView {
    /// Pages that both read.
    pub pages_compared: u64,
    /// Share of them with exactly the same text, 0 to 1; `None` before the first.
    pub same_text: Option<f64>,
    /// Mean difference in the number of lines, without sign.
    pub line_difference: Option<f64>,
    /// Time of the shadow's work by that of the live one's, waits left out.
    pub latency_ratio: Option<f64>,
    /// Pages that only the live one could read.
    pub errors: u64,
    /// Pages of the sample that were left out because there was no room to spare.
    pub skipped: u64,
}

impl ShadowFigures {
    fn lock(&self) -> MutexGuard<'_, ShadowCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Both read the page.
    pub(crate) fn compared(&self, live: (&str, usize, Duration), shadow: (&str, usize, Duration)) {
        let mut counts = self.lock();
        counts.compared += 1;
        counts.same_text += u64::from(live.0 == shadow.0);
        counts.line_difference += live.1.abs_diff(shadow.1) as u64;
        counts.live += live.2;
        counts.shadow += shadow.2;
    }

    /// The shadow failed where the live one did not.
    pub(crate) fn failed(&self) {
        self.lock().errors += 1;
    }

    /// There was no room.
    pub(crate) fn skipped(&self) {
        self.lock().skipped += 1;
    }

    /// Counts from nothing again.
    pub(crate) fn reset(&self) {
        *self.lock() = ShadowCounts::default();
    }

    pub(crate) fn view(&self) -> ShadowView {
        let counts = *self.lock();
        let mean = |sum: f64| (counts.compared > 0).then(|| sum / counts.compared as f64);
        let ratio = counts.shadow.as_secs_f64() / counts.live.as_secs_f64();
        ShadowView {
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
    use lector_core::Timing;

    use super::*;
    use crate::fakes::transcript;

    const WALL: Duration = Duration::from_secs(1);

    fn page(result: Result<(), Fault>, ms: u64) -> PageRun {
        let timing = Timing { total: Duration::from_millis(ms), ..Timing::default() };
        PageRun { result: result.map(|()| transcript(0)), timing }
    }

    #[test]
    fn a_watch_judges_after_enough_pages() {
        let figures = Figures::default();
        let watch = Watch { error_rate_max: 0.2, p99_ms_max: 500, pages_min: 10 };
        let trap = || Err(Fault::new(Kind::GuestFault, "guest_trapped", "x"));
        for _ in 0..3 {
            figures.page(&page(trap(), 10), WALL);
        }
        assert_eq!(figures.view().breach(&watch), None, "too few pages");
        for _ in 0..12 {
            figures.page(&page(Ok(()), 10), WALL);
        }
        assert_eq!(figures.view().breach(&watch), None, "3 of 15 is not more than a fifth");
        figures.page(&page(trap(), 10), WALL);
        assert!(figures.view().breach(&watch).unwrap().contains("4 of 16"));
        figures.reset();
        for _ in 0..10 {
            figures.page(&page(Ok(()), 600), WALL);
        }
        assert!(figures.view().breach(&watch).unwrap().contains("p99"));
        assert_eq!(figures.view().breach(&Watch { p99_ms_max: 0, ..watch }), None);
    }

    #[test]
    fn other_peoples_faults_are_not_the_revisions() {
        let figures = Figures::default();
        for (kind, blame) in [
            (Kind::Invalid, Blame::Client),
            (Kind::Busy, Blame::Host),
            (Kind::Unavailable, Blame::Host),
            (Kind::Deadline, Blame::Host),
        ] {
            figures.page(&page(Err(Fault::new(kind, "x", "x").blaming(blame)), 1), WALL);
        }
        assert_eq!(figures.view(), FiguresView::default());
        figures.page(&page(Err(Fault::new(Kind::Deadline, "guest_deadline", "x")), 1000), WALL);
        let denied = Fault::new(Kind::Denied, "model_not_granted", "x").blaming(Blame::Guest);
        figures.page(&page(Err(denied), 1), WALL);
        assert_eq!(figures.view().errors, 2);
    }

    #[test]
    fn a_shadow_is_compared() {
        let figures = ShadowFigures::default();
        assert_eq!(figures.view().same_text, None);
        let ms = Duration::from_millis;
        figures.compared(("a", 3, ms(10)), ("a", 3, ms(20)));
        figures.compared(("a", 3, ms(10)), ("b", 1, ms(10)));
        figures.failed();
        figures.skipped();
        let view = figures.view();
        assert_eq!((view.pages_compared, view.same_text, view.line_difference), (2, Some(0.5), Some(1.0)));
        assert_eq!((view.latency_ratio, view.errors, view.skipped), (Some(1.5), 1, 1));
    }
}
