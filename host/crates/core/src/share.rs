//! Fair shares: whose turn it is, counted in predicted engine milliseconds.
//!
//! Start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queuing: A Scheduling Algorithm for
//! Integrated Services Packet Switching Networks", SIGCOMM 1996), with one tag a tenant instead of one an item: a
//! tenant's next item starts, in virtual time, where its last one finished, whichever item that turns out to be. So a
//! tenant may reorder its own items by priority without gaining on others. Virtual time is the start tag of what was
//! served last; a tenant that was away starts there and has saved nothing up.
//!
//! Pure. Called by the lanes with the tenants that have items waiting.

use std::collections::BTreeMap;

use crate::id::TenantName;

/// Least weight: a weight of 0 would never be served.
const WEIGHT_MIN: u32 = 1;

/// The virtual clocks of a lane's tenants. Bounded by the tenants with something served ahead of virtual time.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    /// Virtual time: the start tag of what was served last.
    now: f64,
    /// Where each tenant's next item starts; who is not ahead of virtual time is not kept.
    next_start: BTreeMap<TenantName, f64>,
}

impl Shares {
    /// Virtual start of the tenant's next item; the least one among the waiting is served first.
    pub fn start_of(&self, tenant: &TenantName) -> f64 {
        self.next_start.get(tenant).copied().unwrap_or(self.now).max(self.now)
    }

    /// The tenant is served `cost_ms` of engine time. Its weight stretches what it pays: twice the weight, half the price.
    pub fn charge(&mut self, tenant: &TenantName, weight: u32, cost_ms: f64) {
        let finish = self.start_of(tenant) + price(weight, cost_ms);
        self.next_start.insert(tenant.clone(), finish);
    }

    /// Virtual time moves to the start of the one that is served now, its own charge not yet laid on.
    pub fn serve(&mut self, tenant: &TenantName) {
        self.now = self.start_of(tenant);
        let now = self.now;
        self.next_start.retain(|_, start| *start > now);
    }

    /// Nothing waits any more: the busy period ends, and all debts with it.
    pub fn rest(&mut self) {
        self.now = self.next_start.values().fold(self.now, |most, start| most.max(*start));
        self.next_start.clear();
        // Far from where an f64 would lose milliseconds, and there is nobody to notice.
        if self.now > 1e12 {
            self.now = 0.0;
        }
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

    #[test]
    fn time_goes_by_weight() {
        let got = backlogged(&[("a", 1, 10.0), ("b", 3, 10.0)], 40_000.0);
        assert!((got[1] / got[0] - 3.0).abs() < 0.01, "{got:?}");
    }

    #[test]
    fn who_was_away_has_saved_nothing_up() {
        let (a, b): (TenantName, TenantName) = ("a".into(), "b".into());
        let mut shares = Shares::default();
        for _ in 0..100 {
            shares.serve(&a);
            shares.charge(&a, 1, 10.0);
        }
        // B comes late: it is next, but owes nothing and is owed nothing.
        assert!(shares.start_of(&b) < shares.start_of(&a));
        assert!(shares.start_of(&a) - shares.start_of(&b) <= 10.0);
    }

    #[test]
    fn nobody_is_kept_who_is_not_ahead() {
        let mut shares = Shares::default();
        for n in 0..1000 {
            let tenant = TenantName::from(format!("t{n}"));
            shares.serve(&tenant);
            shares.charge(&tenant, 1, 1.0);
            shares.rest();
        }
        assert!(shares.next_start.is_empty());
    }

    #[test]
    fn jain_knows_the_extremes() {
        assert_eq!(jain(&[1.0, 1.0, 1.0]), 1.0);
        assert!((jain(&[1.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-12);
    }
}
