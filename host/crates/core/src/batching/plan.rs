//! A tenant's own program for its batches: what it is asked, what it may answer, and what of that is accepted.
//!
//! The seam between lanes, which ask, and `lector-runtime`, which runs the program in a sandbox. Pure but for the trait.
//! What a deploy asks a program before anything depends on it is [`trial`].

mod trial;

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Planned;
use crate::id::ModelName;

pub use trial::trial;

/// Most items that a program is shown, the oldest first; the rest wait until these are served.
pub const ITEMS_MAX: usize = 256;

/// A waiting item as its tenant's program sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanItem {
    /// Names the item in the answer.
    pub id: u64,
    /// Items with the same number may run together.
    pub bucket: u32,
    /// Last axis of the input: the width of an image.
    pub width: u32,
    /// Its rows.
    pub rows: u32,
    /// How long it has waited.
    pub waited: Duration,
    /// How long it may still wait and run.
    pub left: Duration,
}

/// What a program is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The lane.
    pub model: ModelName,
    /// The program's own tenant's items of its own revision, in the order of their offers; 1 to [`ITEMS_MAX`].
    pub items: Vec<PlanItem>,
    /// Most rows of one run.
    pub rows_max: u32,
    /// Most rows of one run in each bucket, where pixels or the tenant's own declaration allow fewer: by the position of
    /// the item.
    pub rows_max_of: Vec<u32>,
    /// Sessions that serve the lane.
    pub sessions: u32,
    /// How many of them run.
    pub running: u32,
    /// Learned time of a run with one row, and with all rows, of the first item's bucket.
    pub run_one: Duration,
    /// The same for as many rows as the bucket allows.
    pub run_full: Duration,
    /// When it is asked.
    pub now: Instant,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Run these together, as soon as it is the tenant's turn.
    Run(Vec<u64>),
    /// Run nothing before so long from now, unless something new arrives.
    Wait(Duration),
}

/// Why an answer is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPlan {
    /// Nothing to run.
    Empty,
    /// An item that does not wait, or one named twice.
    Unknown,
    /// Items that cannot run together.
    Mixed,
    /// More rows than one run may have.
    TooMany,
    /// Waiting past the deadline of an item, or not at all.
    TooLong,
}

impl fmt::Display for InvalidPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it runs nothing",
            Self::Unknown => "it names a run that does not wait, or one twice",
            Self::Mixed => "it puts runs of different buckets together",
            Self::TooMany => "it puts more rows together than one run may have",
            Self::TooLong => "it waits past the end of a run's time, or not at all",
        })
    }
}

/// What became of the questions to a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchingPolicyStatus {
    /// Questions so far.
    pub asked: u64,
    /// Answers thrown away because they took too much computing.
    pub late: u64,
    /// Calls that trapped, or could not be made.
    pub trapped: u64,
    /// Answers thrown away because they made no sense.
    pub invalid: u64,
    /// Questions that were not put because it was being asked, or because there was no room for its instance. Not its
    /// fault: the declared settings held, and nothing is counted against it.
    pub skipped: u64,
    /// Computing of all calls, in microseconds.
    pub computed_us: u64,
    /// Whether it was given up: the declared settings hold from then on.
    pub disabled: bool,
    /// What was wrong with the last answer that was thrown away.
    pub last_fault: Option<String>,
}

/// A tenant's program. Asked by owner threads between two runs, at most one at a time for each program; it answers
/// within microseconds or not at all.
pub trait Planner: Send + Sync + fmt::Debug + 'static {
    /// Asks. `None`: no usable answer, and the declared wishes hold.
    fn plan(&self, question: &Question) -> Option<Plan>;
    /// The last answer was thrown away.
    fn invalid(&self, why: InvalidPlan);
}

/// What an answer means for each of the items asked about, in their order.
pub fn accept(question: &Question, plan: &Plan) -> Result<Vec<Planned>, InvalidPlan> {
    let items = &question.items;
    match plan {
        Plan::Wait(wait) => {
            let until = question.now.checked_add(*wait).ok_or(InvalidPlan::TooLong)?;
            if wait.is_zero() || items.iter().any(|item| item.left <= *wait) {
                return Err(InvalidPlan::TooLong);
            }
            Ok(vec![Planned::Until(until); items.len()])
        }
        Plan::Run(ids) => {
            let Some(first) = ids.first() else { return Err(InvalidPlan::Empty) };
            // Before they are looked up one by one: a list as long as a memory is no answer.
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
            // The others wait for the next answer, which comes as soon as these are taken, and for no longer than
            // the first of them can.
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
    fn sound_answers_are_taken_as_they_are_meant() {
        let asked = question();
        let planned = accept(&asked, &Plan::Run(vec![8, 7])).unwrap();
        assert_eq!((planned[0], planned[1]), (Planned::Together(8), Planned::Together(8)));
        assert!(matches!(planned[2], Planned::Until(until) if until > asked.now));
        let planned = accept(&asked, &Plan::Wait(Duration::from_millis(20))).unwrap();
        assert_eq!(planned, vec![Planned::Until(asked.now + Duration::from_millis(20)); 4]);
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
