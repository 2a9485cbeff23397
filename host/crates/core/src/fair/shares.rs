//! The virtual clock of start-time fair queueing, with one tag per client.
//!
//! A client's next item starts, in virtual time, where its last one finished, whichever item comes next. A client may
//! therefore reorder its own items without an advantage over other clients. Virtual time is the start tag of the item
//! served last. A client that was idle starts behind it by a bounded credit, and cannot save more than that.
//!
//! Pure. Called by [`FairQueue`](super::FairQueue), and directly by schedulers that choose among waiting items by more
//! criteria than the share (the lanes and the core scheduler of `inference`).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::id::TenantName;

/// Smallest weight: a client of weight 0 would never be served.
const WEIGHT_MIN: u32 = 1;
/// Largest cost of one charge, in milliseconds (about eleven days): a wrong estimate delays a client for a bounded
/// time, and virtual time stays finite.
const COST_MS_MAX: f64 = 1e9;

/// Largest distance behind virtual time at which a client with unused share may start: 2 s of work at a weight of 100,
/// a handful of pages that arrive at once. Without it an occasional page, which is a burst of runs, would alternate
/// with every tenant that floods the queue, and take as many times longer as there are such tenants; with it the page
/// goes first. Over any time no client gets more than this beyond its share. (Borrowed virtual time: K. Duda, D.
/// Cheriton, "Borrowed-Virtual-Time scheduling", SOSP 1999.)
pub const CREDIT: f64 = 20.0;

/// A point in virtual time, ordered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag(pub(super) f64);

impl Ord for Tag {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Tag {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Tag {}

/// The virtual clocks of clients. Every operation takes `O(log n)` amortized; `n` is bounded by the number of recently
/// served clients.
#[derive(Clone, Debug)]
pub struct Shares<K = TenantName> {
    credit: f64,
    /// Virtual time: the largest start tag that was served.
    now: f64,
    /// Start of each client's next item. A client whose tag is not above the earliest possible start has no entry.
    next_start: BTreeMap<K, f64>,
    /// The same by tag, to find the earliest and the latest.
    by_start: BTreeSet<(Tag, K)>,
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self::with_credit(CREDIT)
    }
}

impl<K> Shares<K> {
    /// Creates clocks whose clients may start behind virtual time by at most `credit` (milliseconds at weight 1).
    pub fn with_credit(credit: f64) -> Self {
        Self { credit: credit.max(0.0), now: 0.0, next_start: BTreeMap::new(), by_start: BTreeSet::new() }
    }

    /// Returns the virtual time. It never goes backward.
    pub fn now(&self) -> f64 {
        self.now
    }
}

impl<K: Ord + Clone> Shares<K> {
    /// Returns the virtual start of the client's next item; the waiting client with the smallest one is served first.
    pub fn start_of(&self, client: &K) -> f64 {
        let earliest = self.now - self.credit;
        self.next_start.get(client).copied().unwrap_or(earliest).max(earliest)
    }

    /// Charges the client `cost_ms` of work, divided by the weight.
    pub fn charge(&mut self, client: &K, weight: u32, cost_ms: f64) {
        self.set(client, self.start_of(client) + virtual_cost(weight, cost_ms));
    }

    /// Corrects an earlier charge by `more_ms`, which is negative where the item cost less or was cancelled. The finish
    /// tag of an item whose length becomes known while it runs moves accordingly (P. Goyal, X. Guo, H. M. Vin, "A
    /// Hierarchical CPU Scheduler for Multimedia Operating Systems", OSDI 1996). A refund is limited by the credit.
    pub fn correct(&mut self, client: &K, weight: u32, more_ms: f64) {
        let change = virtual_cost(weight, more_ms.abs()).copysign(more_ms);
        self.set(client, self.start_of(client) + change);
    }

    /// Moves virtual time to the start of the client's item that is served now; call it before the charge.
    pub fn serve(&mut self, client: &K) {
        // A client that is served on credit does not move virtual time backward.
        self.now = self.start_of(client).max(self.now);
        self.forget();
    }

    /// Ends a busy period: nothing waits and nothing runs. Virtual time moves to the finish of the last client. Earlier
    /// service then counts neither for nor against a client, except for the credit: even under a flood the resource is
    /// idle now and then, and the flooding client must not leave each idle period with as much credit as clients that
    /// hardly use the resource.
    pub fn rest(&mut self) {
        if let Some((Tag(latest), _)) = self.by_start.last() {
            self.now = self.now.max(*latest);
        }
        self.forget();
    }

    /// Returns the number of clients with an entry.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.next_start.len()
    }

    fn set(&mut self, client: &K, start: f64) {
        let before = self.next_start.insert(client.clone(), start);
        if let Some(before) = before {
            self.by_start.remove(&(Tag(before), client.clone()));
        }
        self.by_start.insert((Tag(start), client.clone()));
    }

    /// Drops the clients that could not start earlier anyway. Each was inserted by a charge, so this is amortized
    /// constant per charge.
    fn forget(&mut self) {
        let earliest = self.now - self.credit;
        while let Some((Tag(start), _)) = self.by_start.first() {
            if *start > earliest {
                break;
            }
            if let Some((_, client)) = self.by_start.pop_first() {
                self.next_start.remove(&client);
            }
        }
    }
}

/// Returns the virtual time of `cost_ms` of work at that weight.
pub fn virtual_cost(weight: u32, cost_ms: f64) -> f64 {
    // NaN is not above 0.
    let cost_ms = if cost_ms > 0.0 { cost_ms.min(COST_MS_MAX) } else { 0.0 };
    cost_ms / f64::from(weight.max(WEIGHT_MIN))
}

/// Returns Jain's index of fairness (R. Jain, D. Chiu, W. Hawe, 1984) over service relative to weight: 1 where all
/// clients got the same, 1/n where one client got everything.
pub fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    if squares == 0.0 { 1.0 } else { sum * sum / (shares.len() as f64 * squares) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Serves clients that always wait, for `served_ms`; returns the service time of each.
    fn backlogged(tenants: &[(&str, u32, f64)], served_ms: f64) -> Vec<f64> {
        let names: Vec<TenantName> = tenants.iter().map(|(name, ..)| (*name).into()).collect();
        let (mut shares, mut got, mut clock) =
            (Shares::<TenantName>::default(), vec![0.0; tenants.len()], 0.0);
        while clock < served_ms {
            let next = (0..tenants.len())
                .min_by(|&a, &b| shares.start_of(&names[a]).total_cmp(&shares.start_of(&names[b])))
                .unwrap();
            let (_, weight, cost) = tenants[next];
            shares.serve(&names[next]);
            shares.charge(&names[next], weight, cost);
            got[next] += cost;
            clock += cost;
        }
        got
    }

    #[test]
    fn equal_weights_get_equal_time_whatever_their_items_cost() {
        let got = backlogged(&[("a", 1, 5.0), ("b", 1, 50.0), ("c", 1, 17.0)], 60_000.0);
        assert!(jain(&got) > 0.999, "{got:?}");
    }

    /// Every item is charged the same at first, and corrected to its real cost afterwards.
    #[test]
    fn a_wrong_charge_is_corrected_either_way() {
        let names: [TenantName; 2] = ["letters".into(), "posters".into()];
        let (mut shares, mut got) = (Shares::<TenantName>::default(), [0.0; 2]);
        for _ in 0..4000 {
            let next = usize::from(shares.start_of(&names[1]) < shares.start_of(&names[0]));
            let cost = [50.0, 1000.0][next];
            shares.serve(&names[next]);
            shares.charge(&names[next], 100, 200.0);
            shares.correct(&names[next], 100, cost - 200.0);
            got[next] += cost;
        }
        assert!(jain(&got) > 0.99, "{got:?}");
        // A refund is limited by the credit.
        shares.correct(&names[0], 100, -1e9);
        assert!(shares.start_of(&names[0]) >= shares.now - CREDIT);
    }

    #[test]
    fn time_is_divided_by_weight() {
        let got = backlogged(&[("a", 1, 10.0), ("b", 3, 10.0)], 40_000.0);
        assert!((got[1] / got[0] - 3.0).abs() < 0.01, "{got:?}");
    }

    #[test]
    fn an_idle_client_has_a_bounded_credit() {
        let (a, b): (TenantName, TenantName) = ("a".into(), "b".into());
        let mut shares = Shares::<TenantName>::default();
        for _ in 0..100 {
            shares.serve(&a);
            shares.charge(&a, 1, 10.0);
        }
        // B arrives late: it is next, with its credit, however long it was idle.
        assert!(shares.start_of(&b) < shares.start_of(&a));
        assert!(shares.start_of(&a) - shares.start_of(&b) <= 10.0 + CREDIT);
    }

    /// A tenant that floods the queue, and one with an occasional page: counts the runs of the flood between those of
    /// the page.
    #[test]
    fn an_occasional_page_goes_first() {
        let (flood, page): (TenantName, TenantName) = ("flood".into(), "page".into());
        let mut shares = Shares::<TenantName>::default();
        let serve_next = |shares: &mut Shares, cost_ms: f64, page_waits: bool| {
            let first = page_waits && shares.start_of(&page) <= shares.start_of(&flood);
            let tenant = if first { &page } else { &flood };
            shares.serve(tenant);
            shares.charge(tenant, 100, cost_ms);
            first
        };
        for _ in 0..3 {
            // 3 s of the flood alone, with idle periods in between, then a page of 20 runs of 20 ms: 400 ms.
            for run in 0..150 {
                assert!(!serve_next(&mut shares, 20.0, false));
                if run % 7 == 6 {
                    shares.rest();
                }
            }
            let (mut runs, mut others) = (0, 0);
            while runs < 20 {
                if serve_next(&mut shares, 20.0, true) { runs += 1 } else { others += 1 }
            }
            assert!(others <= 1, "{others} runs in between");
        }
        // A page client that always waits alternates with the flood.
        let served = (0..1000).filter(|_| serve_next(&mut shares, 20.0, true)).count();
        assert!((490..=540).contains(&served), "{served}");
    }

    #[test]
    fn a_client_with_full_credit_is_forgotten() {
        let mut shares = Shares::<TenantName>::default();
        let mut serve = |tenant: TenantName, cost_ms: f64| {
            shares.serve(&tenant);
            shares.charge(&tenant, 1, cost_ms);
            shares.rest();
            shares.len()
        };
        (0..100).for_each(|n| _ = serve(TenantName::from(format!("t{n}")), 1.0));
        (0..2).for_each(|_| _ = serve("much".into(), 2.0 * CREDIT));
        assert_eq!(serve("much".into(), 1.0), 1);
    }

    #[test]
    fn jain_index_of_extremes() {
        assert_eq!(jain(&[1.0, 1.0, 1.0]), 1.0);
        assert!((jain(&[1.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn an_invalid_cost_leaves_the_clock_a_number() {
        let mut shares = Shares::<u32>::default();
        for cost in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -1.0] {
            shares.serve(&1);
            shares.charge(&1, 0, cost);
            shares.correct(&1, 0, cost);
            shares.rest();
        }
        assert!(shares.now().is_finite() && shares.start_of(&1).is_finite());
    }

    proptest! {
        /// Virtual time never moves backward, no client starts further behind it than its credit, and both indexes
        /// agree.
        #[test]
        fn virtual_time_is_monotonic_and_credit_is_bounded(
            credit in 0.0..100.0_f64,
            operations in vec((0..4_u8, 0..6_u32, 1..200_u32, -500.0..500.0_f64), 1..200),
        ) {
            let mut shares = Shares::<u32>::with_credit(credit);
            for (operation, client, weight, ms) in operations {
                let before = shares.now();
                match operation {
                    0 => shares.serve(&client),
                    1 => shares.charge(&client, weight, ms),
                    2 => shares.correct(&client, weight, ms),
                    _ => shares.rest(),
                }
                prop_assert!(shares.now() >= before);
                for client in 0..6 {
                    prop_assert!(shares.start_of(&client) >= shares.now() - credit);
                }
                prop_assert_eq!(shares.by_start.len(), shares.next_start.len());
            }
        }
    }
}
