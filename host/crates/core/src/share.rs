//! Fair shares: whose turn it is, counted in predicted engine milliseconds.
//!
//! Start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queuing: A Scheduling Algorithm for
//! Integrated Services Packet Switching Networks", SIGCOMM 1996), with one tag a tenant instead of one an item: a
//! tenant's next item starts, in virtual time, where its last one finished, whichever item that turns out to be. So a
//! tenant may reorder its own items by priority without gaining on others. Virtual time is the start tag of what was
//! served last; a tenant that was away starts a little behind it, by a bounded credit, and has saved no more than that up.
//!
//! Pure. Called by the lanes with the tenants that have items waiting.

use std::collections::BTreeMap;

use crate::id::TenantName;

/// Least weight: a weight of 0 would never be served.
const WEIGHT_MIN: u32 = 1;

/// How far behind virtual time a tenant may start that had less than its share before: 2 s of engine time at a weight of
/// 100, a handful of pages that come at once. Without it a page now and then, which is a burst of runs, would take turns with everybody who floods
/// the lane, and last as many times longer as there are tenants; with it such a page goes first. Over any time nobody gets
/// more than this beyond its share. (Borrowed virtual time: K. Duda, D. Cheriton, 1999.)
const CREDIT: f64 = 20.0;

/// The virtual clocks of a lane's tenants. Bounded by the tenants that were served of late.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    /// Virtual time: the start tag of what was served last.
    now: f64,
    /// Where each tenant's next item starts; who could not start earlier anyway is not kept.
    next_start: BTreeMap<TenantName, f64>,
}

impl Shares {
    /// Virtual start of the tenant's next item; the least one among the waiting is served first.
    pub fn start_of(&self, tenant: &TenantName) -> f64 {
        let earliest = self.now - CREDIT;
        self.next_start.get(tenant).copied().unwrap_or(earliest).max(earliest)
    }

    /// The tenant is served `cost_ms` of engine time. Its weight stretches what it pays: twice the weight, half the price.
    pub fn charge(&mut self, tenant: &TenantName, weight: u32, cost_ms: f64) {
        let finish = self.start_of(tenant) + price(weight, cost_ms);
        self.next_start.insert(tenant.clone(), finish);
    }

    /// What the tenant was charged for cost so much more, or less where that is below 0. Whose length is known only as it
    /// goes on finishes where it turns out to (P. Goyal, X. Guo, H. M. Vin, "A Hierarchical CPU Scheduler for Multimedia
    /// Operating Systems", OSDI 1996).
    pub fn correct(&mut self, tenant: &TenantName, weight: u32, more_ms: f64) {
        let change = price(weight, more_ms.abs()).copysign(more_ms);
        self.next_start.insert(tenant.clone(), self.start_of(tenant) + change);
    }

    /// Virtual time moves to the start of the one that is served now, its own charge not yet laid on.
    pub fn serve(&mut self, tenant: &TenantName) {
        // Who is served on credit does not turn the time back.
        self.now = self.start_of(tenant).max(self.now);
        self.forget();
    }

    /// Nothing waits any more: the busy period ends, and virtual time moves to where the last one finished. Nobody is
    /// behind for what was served before, but for the credit: an engine rests now and then in any flood, and who floods
    /// it must not come out of each rest with as much credit as those who hardly use it.
    pub fn rest(&mut self) {
        self.now = self.next_start.values().fold(self.now, |most, start| most.max(*start));
        // Far from where an f64 would lose milliseconds, and there is nobody to notice.
        if self.now > 1e12 {
            (self.now, self.next_start) = (0.0, BTreeMap::new());
        }
        self.forget();
    }

    fn forget(&mut self) {
        let earliest = self.now - CREDIT;
        self.next_start.retain(|_, start| *start > earliest);
    }
}

/// What `cost_ms` costs in virtual time at that weight.
pub fn price(weight: u32, cost_ms: f64) -> f64 {
    cost_ms.max(0.0) / f64::from(weight.max(WEIGHT_MIN))
}

/// Jain's index of fairness (R. Jain, D. Chiu, W. Hawe, 1984) over what each got relative to its weight: 1 where all got
/// the same, 1/n where one got everything.
pub fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    if squares == 0.0 { 1.0 } else { sum * sum / (shares.len() as f64 * squares) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// Serves whoever's turn it is for `served_ms`, all of them always waiting; gives what each got.
    fn backlogged(tenants: &[(&str, u32, f64)], served_ms: f64) -> Vec<f64> {
        let names: Vec<TenantName> = tenants.iter().map(|(name, ..)| (*name).into()).collect();
        let (mut shares, mut got, mut clock) = (Shares::default(), vec![0.0; tenants.len()], 0.0);
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

    /// All are charged the same at first, and what it really was afterwards.
    #[test]
    fn who_was_charged_too_little_pays_later_and_who_paid_too_much_is_paid_back() {
        let names: [TenantName; 2] = ["letters".into(), "posters".into()];
        let (mut shares, mut got) = (Shares::default(), [0.0; 2]);
        for _ in 0..4000 {
            let next = usize::from(shares.start_of(&names[1]) < shares.start_of(&names[0]));
            let cost = [50.0, 1000.0][next];
            shares.serve(&names[next]);
            shares.charge(&names[next], 100, 200.0);
            shares.correct(&names[next], 100, cost - 200.0);
            got[next] += cost;
        }
        assert!(jain(&got) > 0.99, "{got:?}");
        // Nobody is paid back more than its credit.
        shares.correct(&names[0], 100, -1e9);
        assert!(shares.start_of(&names[0]) >= shares.now - CREDIT);
    }

    #[test]
    fn time_goes_by_weight() {
        let got = backlogged(&[("a", 1, 10.0), ("b", 3, 10.0)], 40_000.0);
        assert!((got[1] / got[0] - 3.0).abs() < 0.01, "{got:?}");
    }

    #[test]
    fn who_was_away_has_saved_up_a_little() {
        let (a, b): (TenantName, TenantName) = ("a".into(), "b".into());
        let mut shares = Shares::default();
        for _ in 0..100 {
            shares.serve(&a);
            shares.charge(&a, 1, 10.0);
        }
        // B comes late: it is next, and is owed its credit, however long it was away.
        assert!(shares.start_of(&b) < shares.start_of(&a));
        assert!(shares.start_of(&a) - shares.start_of(&b) <= 10.0 + CREDIT);
    }

    /// Who floods the lane and three with a page now and then: how many runs of the flood come between those of a page.
    #[test]
    fn a_page_now_and_then_goes_first() {
        let (flood, page): (TenantName, TenantName) = ("flood".into(), "page".into());
        let mut shares = Shares::default();
        let turn = |shares: &mut Shares, cost_ms: f64, page_waits: bool| {
            let first = page_waits && shares.start_of(&page) <= shares.start_of(&flood);
            let tenant = if first { &page } else { &flood };
            shares.serve(tenant);
            shares.charge(tenant, 100, cost_ms);
            first
        };
        for _ in 0..3 {
            // 3 s of nobody else, with rests in between, then a page of 20 runs of 20 ms: 400 ms.
            for run in 0..150 {
                assert!(!turn(&mut shares, 20.0, false));
                if run % 7 == 6 {
                    shares.rest();
                }
            }
            let (mut runs, mut others) = (0, 0);
            while runs < 20 {
                if turn(&mut shares, 20.0, true) { runs += 1 } else { others += 1 }
            }
            assert!(others <= 1, "{others} runs in between");
        }
        // Who floods as well is served in turn.
        let served = (0..1000).filter(|_| turn(&mut shares, 20.0, true)).count();
        assert!((490..=540).contains(&served), "{served}");
    }

    #[test]
    fn who_has_all_its_credit_again_is_not_kept() {
        let mut shares = Shares::default();
        let mut serve = |tenant: TenantName, cost_ms: f64| {
            shares.serve(&tenant);
            shares.charge(&tenant, 1, cost_ms);
            shares.rest();
            shares.next_start.len()
        };
        (0..100).for_each(|n| _ = serve(TenantName::from(format!("t{n}")), 1.0));
        (0..2).for_each(|_| _ = serve("much".into(), 2.0 * CREDIT));
        assert_eq!(serve("much".into(), 1.0), 1);
    }

    #[test]
    fn jain_knows_the_extremes() {
        assert_eq!(jain(&[1.0, 1.0, 1.0]), 1.0);
        assert!((jain(&[1.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-12);
    }
}
