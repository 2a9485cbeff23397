//! Questions that a deploy asks a batching policy before lanes depend on it.
//!
//! They are of the kinds that lanes ask, the largest included: a policy that cannot answer them would be disabled soon
//! after it gets real load, and its author would not notice. Called by the `smoke_test` stage of the deploy pipeline.

use std::time::{Duration, Instant};

use super::{ITEMS_MAX, PlanItem, Planner, Question, accept};

/// Number of tries for each question: a single late answer may be caused by load on the machine.
const TRIES: usize = 3;
/// Largest number of rows of one run in these questions.
const ROWS_MAX: u32 = 16;
/// Time left of an item in these questions: far more than any answer may wait.
const LEFT: Duration = Duration::from_secs(20);

/// Asks every question; returns the name of the first one without a usable answer in three tries.
pub fn trial(planner: &dyn Planner, now: Instant) -> Result<(), &'static str> {
    let full = u64::from(ROWS_MAX) + 4;
    let questions = [
        ("one waiting run", question(now, 1, 1)),
        ("waiting runs of three widths", question(now, 12, 3)),
        ("more waiting runs of one width than a run has rows", question(now, full, 1)),
        ("the largest number of waiting runs in a question", question(now, ITEMS_MAX as u64, 8)),
    ];
    for (name, question) in &questions {
        let sound = |_: &usize| {
            planner.plan(question).plan.is_some_and(|answer| match accept(question, &answer) {
                Ok(_) => true,
                Err(why) => {
                    planner.invalid(why);
                    false
                }
            })
        };
        if (0..TRIES).find(sound).is_none() {
            return Err(name);
        }
    }
    Ok(())
}

/// Returns a question with `count` items of one row each, spread over `widths` widths.
fn question(now: Instant, count: u64, widths: u32) -> Question {
    let items: Vec<PlanItem> = (1..=count)
        .map(|id| {
            let bucket = u32::try_from(id).unwrap_or(0) % widths;
            // The first item has waited longest.
            let waited = Duration::from_micros(100 * (count - id));
            PlanItem { id, bucket, width: 320 * (bucket + 1), rows: 1, waited, left: LEFT - waited }
        })
        .collect();
    Question {
        model: "smoke_test".into(),
        rows_max: ROWS_MAX,
        rows_max_of: vec![ROWS_MAX; items.len()],
        items,
        sessions: 1,
        running: 0,
        run_one: Duration::from_millis(5),
        run_full: Duration::from_millis(20),
        now,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;
    use crate::batching::plan::{InvalidPlan, Plan, Reply};

    /// Answers with a function of the question and of the number of questions before it.
    struct Scripted<F>(F, AtomicUsize, AtomicUsize);

    impl<F> std::fmt::Debug for Scripted<F> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("scripted")
        }
    }

    impl<F: Fn(&Question, usize) -> Option<Plan> + Send + Sync + 'static> Planner for Scripted<F> {
        fn plan(&self, question: &Question) -> Reply {
            Reply { plan: (self.0)(question, self.1.fetch_add(1, SeqCst)), took: Duration::ZERO }
        }

        fn invalid(&self, _: InvalidPlan) {
            self.2.fetch_add(1, SeqCst);
        }
    }

    fn outcome<F: Fn(&Question, usize) -> Option<Plan> + Send + Sync + 'static>(
        answer: F,
    ) -> (Result<(), &'static str>, usize, usize) {
        let planner = Scripted(answer, AtomicUsize::new(0), AtomicUsize::new(0));
        let outcome = trial(&planner, Instant::now());
        (outcome, planner.1.into_inner(), planner.2.into_inner())
    }

    #[test]
    fn valid_policies_pass_and_others_are_named_by_the_failed_question() {
        let oldest = |question: &Question| Plan::Run(question.items.iter().take(1).map(|i| i.id).collect());
        let all = |question: &Question| Plan::Run(question.items.iter().map(|i| i.id).collect());
        let wait = |ms| Some(Plan::Wait(Duration::from_millis(ms)));
        assert_eq!(outcome(move |question, _| Some(oldest(question))), (Ok(()), 4, 0));
        assert_eq!(outcome(move |_, _| wait(5)), (Ok(()), 4, 0));
        // The first try of each question is late.
        assert_eq!(outcome(move |q, n| (n % 2 == 1).then(|| oldest(q))), (Ok(()), 8, 0));
        assert_eq!(outcome(|_, _| None), (Err("one waiting run"), 3, 0));
        assert_eq!(outcome(move |q, _| Some(all(q))), (Err("waiting runs of three widths"), 4, 3));
        assert_eq!(outcome(move |_, _| wait(60_000)), (Err("one waiting run"), 3, 3));
        let few = move |q: &Question, n: usize| if q.items.len() < 100 { wait(n as u64 + 1) } else { None };
        assert_eq!(outcome(few).0, Err("the largest number of waiting runs in a question"));
    }
}
