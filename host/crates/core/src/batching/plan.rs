//! A tenant's batching policy: its questions, its answers, and the check of an answer.
//!
//! The interface between lanes, which ask, and `lector-runtime`, which runs the policy in a sandbox. Pure except for
//! the trait. A deploy checks a policy with [`trial`] before lanes depend on it.

mod trial;

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Planned;
use crate::id::ModelName;

pub use trial::trial;

/// Largest number of items in a question, the oldest first; the rest wait until these are served.
pub const ITEMS_MAX: usize = 256;

/// Shortest wait that a policy gets: it is asked again after each wait, and a thread of the lane would otherwise do nothing else.
pub const WAIT_MIN: Duration = Duration::from_millis(1);

/// A waiting item as the tenant's batching policy sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanItem {
    /// Number of the item in the answer.
    pub id: u64,
    /// Items with the same number may run together.
    pub bucket: u32,
    /// Last axis of the input: the width of an image.
    pub width: u32,
    /// Number of rows.
    pub rows: u32,
    /// Time that it has waited.
    pub waited: Duration,
    /// Time left for waiting and running.
    pub left: Duration,
}

/// A question to a batching policy.
#[derive(Clone, Debug)]
pub struct Question {
    /// Model of the lane.
    pub model: ModelName,
    /// Waiting items of the policy's own tenant and revision, in the order of their offers; 1 to [`ITEMS_MAX`].
    pub items: Vec<PlanItem>,
    /// Largest number of rows of one run.
    pub rows_max: u32,
    /// Largest number of rows of one run in the bucket of each item, by position, where pixels or the tenant's own
    /// settings allow fewer.
    pub rows_max_of: Vec<u32>,
    /// Sessions that serve the lane.
    pub sessions: u32,
    /// Number of these sessions that are running.
    pub running: u32,
    /// Learned time of a run with one row of the first item's bucket.
    pub run_one: Duration,
    /// Learned time of a run with as many rows as that bucket allows.
    pub run_full: Duration,
    /// Time of the question.
    pub now: Instant,
}

/// An answer of a batching policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Runs these items together, as soon as the tenant's share allows it.
    Run(Vec<u64>),
    /// Runs nothing for this long, unless a new item arrives; for [`WAIT_MIN`] where this is shorter.
    Wait(Duration),
}

/// A policy's reply to a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The answer. `None`: no usable one; the declared settings apply.
    pub plan: Option<Plan>,
    /// Computing time of the call, with the start of an instance if there was one.
    pub took: Duration,
}

/// Reason for which an answer is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPlan {
    /// The answer runs nothing.
    Empty,
    /// It names an item that does not wait, or one item twice.
    Unknown,
    /// It combines items that cannot run together.
    Mixed,
    /// It has more rows than one run may have.
    TooMany,
    /// It waits past the deadline of an item, or for no time.
    TooLong,
}

impl fmt::Display for InvalidPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the answer runs nothing",
            Self::Unknown => "the answer names a run that does not wait, or one run twice",
            Self::Mixed => "the answer combines runs of different buckets",
            Self::TooMany => "the answer has more rows than one run may have",
            Self::TooLong => "the answer waits past the deadline of a run, or for no time",
        })
    }
}

/// Counters of the questions to a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchingPolicyStatus {
    /// Number of questions.
    pub asked: u64,
    /// Answers discarded because they took too much computing time.
    pub late: u64,
    /// Calls that trapped or could not be made.
    pub trapped: u64,
    /// Answers discarded because they were invalid.
    pub invalid: u64,
    /// Questions that were not asked, because the policy was still answering another one or because no instance slot
    /// was free. The declared settings applied, and the policy's failure count is unchanged.
    pub skipped: u64,
    /// Computing time of all calls, in microseconds.
    pub computed_us: u64,
    /// Whether the policy was disabled; the declared settings apply from then on.
    pub disabled: bool,
    /// Reason of the last discarded answer.
    pub last_fault: Option<String>,
}

/// A tenant's batching policy. Owner threads call it between two runs, at most one at a time for each policy; it
/// answers within microseconds or not at all.
pub trait Planner: Send + Sync + fmt::Debug + 'static {
    /// Asks the policy. The lane charges its tenant for the computing time.
    fn plan(&self, question: &Question) -> Reply;
    /// Records that the last answer was discarded.
    fn invalid(&self, why: InvalidPlan);
}

/// Validates an answer and returns its meaning for each item of the question, in their order.
pub fn accept(question: &Question, plan: &Plan) -> Result<Vec<Planned>, InvalidPlan> {
    let items = &question.items;
    match plan {
        Plan::Wait(wait) => {
            let left = items.iter().map(|item| item.left).min().unwrap_or(Duration::MAX);
            if wait.is_zero() || left <= *wait {
                return Err(InvalidPlan::TooLong);
            }
            // An item that is about to be late is asked about in time.
            let wait = (*wait).max(WAIT_MIN.min(left / 2));
            let until = question.now.checked_add(wait).ok_or(InvalidPlan::TooLong)?;
            Ok(vec![Planned::Until(until); items.len()])
        }
        Plan::Run(ids) => {
            let Some(first) = ids.first() else { return Err(InvalidPlan::Empty) };
            // Checked before the lookup of each id, because a guest may return a list of any length.
            if ids.len() > items.len() {
                return Err(InvalidPlan::Unknown);
            }
            let mut chosen = vec![false; items.len()];
            let (mut bucket, mut rows, mut rows_max) = (None, 0u32, question.rows_max.max(1));
            for id in ids {
                let at = items.iter().position(|item| item.id == *id).ok_or(InvalidPlan::Unknown)?;
                let (Some(item), Some(taken)) = (items.get(at), chosen.get_mut(at)) else {
                    return Err(InvalidPlan::Unknown);
                };
                if std::mem::replace(taken, true) {
                    return Err(InvalidPlan::Unknown);
                }
                if *bucket.get_or_insert(item.bucket) != item.bucket {
                    return Err(InvalidPlan::Mixed);
                }
                rows = rows.saturating_add(item.rows);
                rows_max = rows_max.min(question.rows_max_of.get(at).copied().unwrap_or(u32::MAX));
            }
            if ids.len() > 1 && rows > rows_max {
                return Err(InvalidPlan::TooMany);
            }
            // The other items wait for the next answer, which follows as soon as these run, at most until the first of
            // them would be late.
            let left = items.iter().map(|item| item.left).min().unwrap_or_default();
            let until = question.now.checked_add(left / 2).unwrap_or(question.now);
            let of = |chosen: bool| if chosen { Planned::Together(*first) } else { Planned::Until(until) };
            Ok(chosen.into_iter().map(of).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn question() -> Question {
        let item = |id, bucket, rows, left_ms| PlanItem {
            id,
            bucket,
            width: 320,
            rows,
            waited: Duration::ZERO,
            left: Duration::from_millis(left_ms),
        };
        Question {
            model: "m".into(),
            items: vec![item(7, 0, 1, 100), item(8, 0, 3, 50), item(9, 1, 1, 100), item(10, 0, 2, 100)],
            rows_max: 5,
            rows_max_of: vec![5, 5, 5, 4],
            sessions: 1,
            running: 0,
            run_one: Duration::from_millis(5),
            run_full: Duration::from_millis(9),
            now: Instant::now(),
        }
    }

    #[test]
    fn valid_answers_are_applied() {
        let asked = question();
        let planned = accept(&asked, &Plan::Run(vec![8, 7])).unwrap();
        assert_eq!((planned[0], planned[1]), (Planned::Together(8), Planned::Together(8)));
        assert!(matches!(planned[2], Planned::Until(until) if until > asked.now));
        let planned = accept(&asked, &Plan::Wait(Duration::from_millis(20))).unwrap();
        assert_eq!(planned, vec![Planned::Until(asked.now + Duration::from_millis(20)); 4]);
    }

    #[test]
    fn a_policy_is_not_asked_again_at_once() {
        let check = |left_us: u64, wait_us: u64, expected_us: u64| {
            let mut asked = question();
            asked.items.truncate(1);
            asked.items[0].left = Duration::from_micros(left_us);
            let planned = accept(&asked, &Plan::Wait(Duration::from_micros(wait_us))).unwrap();
            assert_eq!(planned, [Planned::Until(asked.now + Duration::from_micros(expected_us))]);
        };
        check(10_000, 1, 1_000);
        check(10_000, 999, 1_000);
        check(10_000, 1_001, 1_001);
        check(1_000, 1, 500);
        check(1_000, 999, 999);
    }

    #[test]
    fn invalid_answers_are_named() {
        let check =
            |plan: Plan, why: InvalidPlan| assert_eq!(accept(&question(), &plan), Err(why), "{plan:?}");
        check(Plan::Run(vec![]), InvalidPlan::Empty);
        check(Plan::Run(vec![6]), InvalidPlan::Unknown);
        check(Plan::Run(vec![7, 7]), InvalidPlan::Unknown);
        check(Plan::Run(vec![7, 9]), InvalidPlan::Mixed);
        check(Plan::Run(vec![7, 8, 10]), InvalidPlan::TooMany);
        check(Plan::Run(vec![8, 10]), InvalidPlan::TooMany);
        check(Plan::Wait(Duration::ZERO), InvalidPlan::TooLong);
        check(Plan::Wait(Duration::from_millis(50)), InvalidPlan::TooLong);
        check(Plan::Wait(Duration::MAX), InvalidPlan::TooLong);
    }
}
