//! Which waiting item runs next: a pure decision over what is known of the items.
//!
//! Today the oldest live one runs alone. Batches across requests, priorities and fair shares are decided here later,
//! which is why the answer is a list.

use std::time::Instant;

/// What the decision sees of a waiting item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Its caller has gone.
    pub(super) cancelled: bool,
    /// After this its answer is of no use.
    pub(super) deadline: Instant,
}

/// Why an item is dropped unrun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    Cancelled,
    Expired,
}

/// The decision, by position in the queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pick {
    /// To be dropped, rising.
    pub(super) skip: Vec<(usize, Skip)>,
    /// To be run together; empty where nothing live waits.
    pub(super) run: Vec<usize>,
}

/// Decides over a queue, oldest first. Dead items are dropped wherever they stand: each holds a tensor.
pub(super) fn pick(waiting: &[Waiting], now: Instant) -> Pick {
    let mut pick = Pick::default();
    for (at, item) in waiting.iter().enumerate() {
        match item {
            Waiting { cancelled: true, .. } => pick.skip.push((at, Skip::Cancelled)),
            Waiting { deadline, .. } if *deadline <= now => pick.skip.push((at, Skip::Expired)),
            _ if pick.run.is_empty() => pick.run.push(at),
            _ => {}
        }
    }
    pick
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_live_item_runs_and_the_dead_are_dropped() {
        let now = Instant::now();
        let item = |state: char| Waiting {
            cancelled: state == 'c',
            deadline: if state == 'e' { now } else { now + Duration::from_secs(1) },
        };
        let check = |states: &str, run: &[usize], skip: &[(usize, Skip)]| {
            let waiting: Vec<Waiting> = states.chars().map(item).collect();
            assert_eq!(pick(&waiting, now), Pick { skip: skip.to_vec(), run: run.to_vec() }, "{states}");
        };
        check("", &[], &[]);
        check("l", &[0], &[]);
        check("ll", &[0], &[]);
        check("cel", &[2], &[(0, Skip::Cancelled), (1, Skip::Expired)]);
        check("lce", &[0], &[(1, Skip::Cancelled), (2, Skip::Expired)]);
        check("ce", &[], &[(0, Skip::Cancelled), (1, Skip::Expired)]);
    }
}
