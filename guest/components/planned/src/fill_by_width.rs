//! Fill by width: runs wait until their bucket fills a batch, or until the oldest run has waited for `wait_us`.

use lector_sdk::batching::{Decision, WaitingRun};

/// A run whose remaining time is less than this many times `wait_us` goes at once.
const LEFT_WAITS: u64 = 20;

/// Runs the fullest bucket if it is full or if its oldest run has waited `wait_us`; otherwise waits until the first
/// bucket reaches that time.
pub(crate) fn plan(waiting: &[WaitingRun], wait_us: u64) -> Decision {
    let mut soonest = u64::MAX;
    let mut best: Option<(u32, Vec<u64>)> = None;
    let mut seen: Vec<u32> = Vec::new();
    for oldest in waiting {
        if seen.contains(&oldest.bucket) {
            continue;
        }
        seen.push(oldest.bucket);
        let mut rows = 0;
        let mut full = false;
        let mut together = Vec::new();
        for run in waiting.iter().filter(|run| run.bucket == oldest.bucket) {
            if !together.is_empty() && rows + run.rows > oldest.rows_max {
                full = true;
                break;
            }
            rows += run.rows;
            together.push(run.id);
        }
        full |= rows >= oldest.rows_max;
        let left = wait_us.saturating_sub(oldest.waited_us);
        let due = left == 0 || oldest.remaining_us < left.saturating_mul(LEFT_WAITS);
        if full || due {
            if best.as_ref().is_none_or(|(most, _)| rows > *most) {
                best = Some((rows, together));
            }
        } else {
            soonest = soonest.min(left);
        }
    }
    match best {
        Some((_, together)) => Decision::Run(together),
        None => Decision::Wait(soonest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting;

    fn check(runs: &[WaitingRun], expected: Decision) {
        assert_eq!(plan(runs, 1_000), expected, "{runs:?}");
    }

    #[test]
    fn full_buckets_go_and_others_wait_for_their_time() {
        check(&[waiting(1, 0, 1, 400), waiting(2, 1, 1, 100)], Decision::Wait(600));
        check(
            &[waiting(1, 0, 1, 1_000), waiting(2, 1, 1, 100), waiting(3, 0, 1, 0)],
            Decision::Run(vec![1, 3]),
        );
        check(&[waiting(1, 0, 1, 10), waiting(2, 1, 4, 9), waiting(3, 1, 4, 8)], Decision::Run(vec![2, 3]));
        // Runs beyond a full batch stay for the next one.
        check(&[waiting(1, 0, 6, 10), waiting(2, 0, 4, 9)], Decision::Run(vec![1]));
        let late = WaitingRun { remaining_us: 500, ..waiting(1, 0, 1, 0) };
        check(&[late], Decision::Run(vec![1]));
    }
}
