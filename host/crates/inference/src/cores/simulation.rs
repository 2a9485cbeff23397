//! Simulation in virtual time of what holding cores brings a page of a tenant far below its share, and what it costs the
//! others. Drives the real [`State`]; only the runs are simulated. The figures of decision record 0088.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

/// Cores of the simulated machine.
const CORES: usize = 2;
/// Simulated time in microseconds: a minute.
const END: u64 = 60_000_000;

struct Of(&'static str);

impl Claimant for Of {
    fn next(&self) -> Claim {
        Claim::Tenant(self.0.into(), 100)
    }
}

/// A tenant: the runs of one page (cores, microseconds), the time between two runs, and the time from the start of a page
/// to that of the next one.
struct Load {
    tenant: &'static str,
    runs: &'static [(usize, u64)],
    gap: u64,
    period: u64,
}

/// Floods the server: a detection on all cores always waits.
const FLOOD: Load = Load { tenant: "flood", runs: &[(CORES, 70_000)], gap: 0, period: 0 };
/// Reads a page now and then: a detection, and ten recognitions with guest code between them.
const OCCASIONAL: Load = Load {
    tenant: "occasional",
    runs: &[
        (CORES, 35_000),
        (1, 12_000),
        (1, 12_000),
        (1, 12_000),
        (1, 12_000),
        (1, 12_000),
        (1, 12_000),
        (1, 12_000),
        (1, 12_000),
        (1, 12_000),
        (1, 12_000),
    ],
    gap: 3_000,
    period: 1_500_000,
};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A load wants its next run.
    Wants(usize),
    /// The run of a load has ended.
    Ended(usize),
    /// Cores are held no longer.
    Released,
}

/// The pages of a load.
#[derive(Clone, Copy, Default)]
struct Measured {
    pages: u32,
    /// Total time of the pages, in microseconds.
    time: u64,
}

impl Measured {
    fn page_ms(self) -> f64 {
        self.time as f64 / 1e3 / f64::from(self.pages.max(1))
    }
}

/// Runs the loads for a minute; returns the pages of each.
fn simulate<const N: usize>(loads: [&Load; N], hold: Duration) -> [Measured; N] {
    let start = Instant::now();
    let mut state = State::new(CORES, hold);
    let mut events: BinaryHeap<Reverse<(u64, Event)>> =
        (0..N).map(|load| Reverse((0, Event::Wants(load)))).collect();
    // The position in its page, the start of the page, and the id of the waiter, of each load.
    let (mut at, mut begun, mut ids) = ([0; N], [0; N], [0; N]);
    let mut measured = [Measured::default(); N];
    while let Some(Reverse((us, event))) = events.pop().filter(|Reverse((us, _))| *us < END) {
        let now = start + Duration::from_micros(us);
        match event {
            Event::Wants(load) => {
                if at[load] == 0 {
                    begun[load] = us;
                }
                state.next_id += 1;
                ids[load] = state.next_id;
                let (count, _) = loads[load].runs[at[load]];
                let claimant = Arc::new(Of(loads[load].tenant));
                state.waiting.push(Waiter { id: state.next_id, count, claimant });
            }
            Event::Ended(load) => {
                let Load { tenant, runs, gap, period } = loads[load];
                let (count, took) = runs[at[load]];
                state.charge((*tenant).into(), 100, took as f64 / 1e3 * count as f64, now);
                state.free += count;
                at[load] = (at[load] + 1) % runs.len();
                let last = at[load] == 0;
                if last {
                    measured[load].pages += 1;
                    measured[load].time += us - begun[load];
                }
                let next = if last { us.max(begun[load] + period) } else { us + gap };
                events.push(Reverse((next, Event::Wants(load))));
                // A lane with more to run queues under the same lock, before anything is granted.
                if next == us {
                    continue;
                }
            }
            Event::Released => {}
        }
        if let Some(until) = state.settle(CORES, now) {
            let until = until.saturating_duration_since(start).as_micros() as u64;
            events.push(Reverse((until.max(us + 1), Event::Released)));
        }
        for id in std::mem::take(&mut state.granted) {
            let load = ids.iter().position(|own| *own == id).unwrap();
            events.push(Reverse((us + loads[load].runs[at[load]].1, Event::Ended(load))));
        }
    }
    measured
}

#[test]
fn holding_cores_keeps_a_page_together_at_a_small_price() {
    let [alone] = simulate([&OCCASIONAL], HOLD);
    let [held, flood] = simulate([&OCCASIONAL, &FLOOD], HOLD);
    let [not_held, flood_not_held] = simulate([&OCCASIONAL, &FLOOD], Duration::ZERO);
    let figures = format!(
        "a page alone {:.0} ms, beside the flood {:.0} ms, without holding {:.0} ms; pages of the flood {} and {}",
        alone.page_ms(),
        held.page_ms(),
        not_held.page_ms(),
        flood.pages,
        flood_not_held.pages,
    );
    #[allow(clippy::print_stderr, reason = "the figures of the decision record")]
    {
        eprintln!("{figures}");
    }
    assert!(held.page_ms() < alone.page_ms() + 70.0, "one detection of the flood at most: {figures}");
    assert!(not_held.page_ms() > 3.0 * held.page_ms(), "{figures}");
    assert_eq!(held.pages, not_held.pages);
    assert!(flood.pages > flood_not_held.pages * 9 / 10, "{figures}");
}
