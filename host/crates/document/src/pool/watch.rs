//! The reasons for which the supervisor of a worker stops waiting for a reply. Pure; the supervisor looks at the worker once a
//! tick, and acts on the reason.

use std::time::{Duration, Instant};

/// Time that a request may take after its caller has gone; after it the worker is replaced.
const WITHDRAWN_GRACE: Duration = Duration::from_secs(1);

/// The reason why the supervisor waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The pool stops.
    Stopping,
    /// The request has used its computing time.
    Cpu,
    /// The worker is needed for the job of another tenant.
    GaveWay,
    /// The caller has gone.
    Withdrawn,
    /// The request has used its time.
    Deadline,
}

/// The limits of one request.
pub(super) struct Watch {
    cpu_max: Duration,
    deadline: Instant,
    /// Time at which the caller was first seen to have gone.
    gone_since: Option<Instant>,
}

/// What the supervisor sees of a request in progress.
#[derive(Clone, Copy)]
pub(super) struct Tick {
    pub(super) now: Instant,
    /// Computing time of the request.
    pub(super) used: Duration,
    pub(super) is_withdrawn: bool,
    pub(super) is_stopping: bool,
}

impl Watch {
    pub(super) fn new(cpu_max: Duration, deadline: Instant) -> Self {
        Self { cpu_max, deadline, gone_since: None }
    }

    /// Returns the reason to stop, if there is one. `gives_way` is asked only where the document has not exceeded its computing
    /// time: the answer may choose this worker for the job of another tenant.
    pub(super) fn stop(&mut self, tick: Tick, gives_way: impl FnOnce() -> bool) -> Option<Stop> {
        if tick.is_stopping {
            return Some(Stop::Stopping);
        }
        if tick.used > self.cpu_max {
            return Some(Stop::Cpu);
        }
        if gives_way() {
            return Some(Stop::GaveWay);
        }
        if tick.is_withdrawn && tick.now - *self.gone_since.get_or_insert(tick.now) > WITHDRAWN_GRACE {
            return Some(Stop::Withdrawn);
        }
        (tick.now >= self.deadline).then_some(Stop::Deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stop_has_its_reason() {
        const LIMIT: Duration = Duration::from_secs(60);
        let begun = Instant::now();
        let calm = Tick { now: begun, used: Duration::ZERO, is_withdrawn: false, is_stopping: false };
        let late = Tick { now: begun + LIMIT, ..calm };
        let spent = Tick { used: Duration::from_millis(11), ..calm };
        let check = |ticks: &[Tick], gives_way: bool, expected: Option<Stop>| {
            let mut watch = Watch::new(Duration::from_millis(10), begun + LIMIT);
            let (last, before) = ticks.split_last().unwrap_or((&calm, &[]));
            before.iter().for_each(|tick| assert_eq!(watch.stop(*tick, || false), None));
            assert_eq!(watch.stop(*last, || gives_way), expected);
        };
        check(&[calm], false, None);
        check(&[Tick { used: Duration::from_millis(10), ..calm }], false, None);
        check(&[spent], true, Some(Stop::Cpu));
        check(&[calm], true, Some(Stop::GaveWay));
        check(&[late], false, Some(Stop::Deadline));
        check(&[Tick { is_stopping: true, ..spent }], true, Some(Stop::Stopping));
        // The caller left shortly before the deadline, and is gone for longer than the grace behind it: not the document's fault.
        let gone = |ms: u64| Tick { now: begun + Duration::from_millis(ms), is_withdrawn: true, ..calm };
        check(&[gone(58_900), gone(59_900)], false, None);
        check(&[gone(58_900), gone(60_010)], false, Some(Stop::Withdrawn));
        check(&[gone(59_500), gone(60_000)], false, Some(Stop::Deadline));
    }
}
