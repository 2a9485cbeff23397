//! Latency first: the oldest run goes at once, batched with other runs as long as they delay it little.

use lector_sdk::batching::{Decision, EngineState, WaitingRun};

/// Runs the oldest run with younger runs of its bucket, as many as keep the batch within twice the time of the oldest
/// run alone: nearly all of them on an accelerator, only one run on a CPU.
pub(crate) fn plan(waiting: &[WaitingRun], engine: &EngineState) -> Decision {
    let Some(oldest) = waiting.first() else { return Decision::Run(Vec::new()) };
    let more = u64::from(oldest.rows_max.saturating_sub(1)).max(1);
    let row_us = (engine.run_full_us.saturating_sub(engine.run_one_us) / more).max(1);
    let affordable = 1 + engine.run_one_us / row_us;
    let rows_max = u64::from(oldest.rows_max).min(affordable.max(u64::from(oldest.rows)));
    let mut rows = 0;
    let together = waiting.iter().filter(|run| run.bucket == oldest.bucket).take_while(|run| {
        rows += u64::from(run.rows);
        rows <= rows_max
    });
    Decision::Run(together.map(|run| run.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting;

    fn check(run_one_us: u64, run_full_us: u64, expected: &[u64]) {
        let engine = EngineState { model: "m".to_owned(), sessions: 1, running: 0, run_one_us, run_full_us };
        let runs = [waiting(1, 0, 1, 50), waiting(2, 1, 1, 40), waiting(3, 0, 2, 30), waiting(4, 0, 1, 20)];
        assert_eq!(plan(&runs, &engine), Decision::Run(expected.to_vec()), "{run_one_us} to {run_full_us}");
    }

    #[test]
    fn runs_are_batched_if_the_delay_is_small() {
        check(5_000, 7_000, &[1, 3, 4]);
        check(5_000, 40_000, &[1]);
        check(5_000, 20_000, &[1, 3]);
    }
}
