#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use proptest::prelude::*;

use super::*;

fn route() -> RouteRecord {
    RouteRecord::new("t".into(), "d".into())
}

fn weights(route: &RouteRecord) -> Vec<(u32, u8)> {
    route.weights.iter().map(|weight| (weight.revision, weight.percent)).collect()
}

#[test]
fn a_walk_from_first_deploy_to_rollback() {
    let (one, route) = route().with_revision(1);
    assert_eq!((one, route.next_revision, route.version), (1, 2, 1));
    assert_eq!(route.choose("x"), None);
    assert_eq!(route.rollback("x", 2).unwrap_err().code, "nothing_before");
    assert_eq!(route.canary(1, 10, None, 2).unwrap_err().code, "deployment_not_live");
    assert_eq!(route.shadow(1, 10, 2).unwrap_err().code, "deployment_not_live");
    let route = route.promote(1, None, 2);
    assert_eq!(
        route.rollback("x", 3).unwrap_err().code,
        "nothing_before",
        "there was nothing before the first"
    );
    assert_eq!(route.shadow(1, 10, 3).unwrap_err().code, "already_live", "a revision does not shadow itself");
    assert!(route.shadow(1, 0, 3).is_ok());
    let (two, route) = route.with_revision(3);
    assert_eq!(route.canary(1, 10, None, 4).unwrap_err().code, "already_live");
    assert_eq!(route.canary(two, 100, None, 4).unwrap_err().code, "percent_invalid");
    let route = route.shadow(two, 50, 4).unwrap();
    let route = route.canary(two, 10, Some(RollbackPolicy::default()), 5).unwrap();
    assert_eq!(weights(&route), [(1, 90), (2, 10)]);
    assert_eq!(route.rollback_watched().unwrap().0, 2);
    let promoted = route.promote(two, None, 6);
    assert_eq!((weights(&promoted), promoted.shadow), (vec![(2, 100)], None));
    for on_trial in [&route, &promoted] {
        let back = on_trial.rollback("it reads nothing", 7).unwrap();
        assert_eq!((weights(&back), back.rollback_policy), (vec![(1, 100)], None));
        assert_eq!(back.withdrawn, BTreeMap::from([(2, "it reads nothing".to_owned())]));
        assert_eq!(back.rollback("x", 8).unwrap_err().code, "nothing_before", "2 is not tried again");
        let fault = back.not_withdrawn(2).unwrap_err();
        assert!(fault.code == "revision_withdrawn" && fault.message.contains("it reads nothing"), "{fault}");
        assert!(back.promote(2, None, 9).withdrawn.is_empty());
        assert!(back.canary(2, 5, None, 9).unwrap().withdrawn.is_empty());
    }
}

#[test]
fn a_rollback_restores_the_policy_and_skips_withdrawn_revisions() {
    let policy = |pages_min| Some(RollbackPolicy { pages_min, ..RollbackPolicy::default() });
    let route = route().promote(1, policy(11), 1).canary(2, 10, policy(12), 2).unwrap();
    let route = route.canary(2, 50, policy(13), 3).unwrap().promote(2, policy(14), 4);
    let route = route.canary(3, 10, policy(15), 5).unwrap();
    // The candidate goes, and the live revision keeps its own policy.
    let route = route.rollback("slow", 6).unwrap();
    assert_eq!((weights(&route), route.rollback_policy), (vec![(2, 100)], policy(14)));
    let route = route.promote(4, None, 7).rollback("wrong", 8).unwrap();
    assert_eq!((weights(&route), route.rollback_policy), (vec![(2, 100)], policy(14)));
    assert_eq!(route.withdrawn.keys().copied().collect::<Vec<_>>(), [3, 4]);
    let route = route.rollback("old", 9).unwrap();
    assert_eq!((weights(&route), route.rollback_policy), (vec![(1, 100)], policy(11)));
}

#[test]
fn a_rollback_to_a_revision_withdraws_what_it_replaces() {
    let policy = Some(RollbackPolicy::default());
    let route = route().promote(1, policy, 1).promote(2, None, 2).promote(3, None, 3);
    let route = route.canary(4, 10, None, 4).unwrap();
    let back = route.rollback_to(1, "incident 7", 5).unwrap();
    assert_eq!((weights(&back), back.rollback_policy), (vec![(1, 100)], policy));
    assert_eq!(back.withdrawn.keys().copied().collect::<Vec<_>>(), [3, 4]);
    assert!(back.history.is_empty(), "{:?}", back.history);
    assert_eq!(back.rollback_to(3, "x", 6).unwrap_err().code, "revision_withdrawn");
    assert_eq!(back.rollback_to(1, "x", 6).unwrap_err().code, "already_live");
    // A revision that never had all traffic: the history stays, and a rollback returns to it.
    let back = route.rollback_to(5, "x", 5).unwrap();
    assert_eq!((weights(&back), back.history.len()), (vec![(5, 100)], 3));
    assert_eq!(weights(&back.rollback("y", 6).unwrap()), [(2, 100)]);
}

#[test]
fn a_route_of_an_older_server_has_weights_alone_in_its_history() {
    let mut json = serde_json::to_value(route().promote(1, None, 1).promote(2, None, 2)).unwrap();
    let now: RouteRecord = serde_json::from_value(json.clone()).unwrap();
    json["history"] = serde_json::json!([[{ "revision": 1, "percent": 100 }]]);
    assert_eq!(serde_json::from_value::<RouteRecord>(json).unwrap(), now);
}

#[test]
fn shares_are_close_to_their_percentages_and_sticky() {
    let (_, route) = route().with_revision(1);
    let route = route.promote(1, None, 1);
    let at = |percent| route.canary(2, percent, None, 2).unwrap();
    let (ten, thirty) = (at(10), at(30));
    let on = |route: &RouteRecord, key: usize| route.choose(&format!("client-{key}")) == Some(2);
    let count = |route: &RouteRecord| (0..10_000).filter(|&key| on(route, key)).count();
    assert!((850..1150).contains(&count(&ten)), "{}", count(&ten));
    assert!((2800..3200).contains(&count(&thirty)), "{}", count(&thirty));
    assert!(
        (0..10_000).all(|key| !on(&ten, key) || on(&thirty, key)),
        "a key that is on the canary stays there"
    );
    let shadowed = route.shadow(2, 25, 3).unwrap();
    let sampled = (0..10_000).filter(|key| shadowed.shadow_of(&key.to_string()).is_some()).count();
    assert!((2300..2700).contains(&sampled), "{sampled}");
}

#[derive(Clone, Debug)]
enum Do {
    Revision,
    Promote(u32),
    Canary(u32, u8),
    Shadow(u32, u8),
    Rollback,
    Withdraw,
}

fn steps() -> impl Strategy<Value = Vec<Do>> {
    let behavior = prop_oneof![
        2 => Just(Do::Revision),
        3 => (1u32..8).prop_map(Do::Promote),
        3 => ((1u32..8), (0u8..=101)).prop_map(|(revision, percent)| Do::Canary(revision, percent)),
        2 => ((1u32..8), (0u8..=101)).prop_map(|(revision, percent)| Do::Shadow(revision, percent)),
        3 => Just(Do::Rollback),
        1 => Just(Do::Withdraw),
    ];
    prop::collection::vec(behavior, 1..60)
}

proptest! {
    /// After any sequence of changes: the version increases with each change, the weights are empty or add up to 100, a
    /// rejected change changes nothing, and a rollback routes everything to one revision that was not withdrawn.
    #[test]
    fn the_state_machine_keeps_its_invariants(steps in steps()) {
        let mut route = route();
        for (at, behavior) in steps.into_iter().enumerate() {
            let now = at as u64;
            let there = |revision: u32| revision < route.next_revision;
            let next = match behavior {
                Do::Revision => Ok(route.with_revision(now).1),
                Do::Promote(revision) if there(revision) => Ok(route.promote(revision, None, now)),
                Do::Canary(revision, percent) if there(revision) => route.canary(revision, percent, None, now),
                Do::Shadow(revision, percent) if there(revision) => route.shadow(revision, percent, now),
                Do::Rollback => route.rollback("x", now),
                Do::Withdraw => Ok(route.withdraw(now)),
                // The mutations reject revisions that do not exist.
                Do::Promote(_) | Do::Canary(..) | Do::Shadow(..) => continue,
            };
            let Ok(next) = next else { continue };
            prop_assert_eq!(next.version, route.version + 1);
            let total: u32 = next.weights.iter().map(|weight| u32::from(weight.percent)).sum();
            prop_assert!(next.weights.is_empty() || total == 100, "{:?}", next.weights);
            prop_assert!(next.weights.iter().all(|weight| weight.percent > 0 && weight.revision < next.next_revision));
            prop_assert!(next.history.len() <= HISTORY_MAX);
            prop_assert!(next.wanted().all(|revision| next.names(revision)));
            let chosen = next.choose("client");
            prop_assert_eq!(chosen.is_some(), !next.weights.is_empty());
            prop_assert!(chosen.is_none_or(|revision| next.weights.iter().any(|weight| weight.revision == revision)));
            if let Ok(back) = next.rollback("x", now) {
                prop_assert_eq!(back.weights.len(), 1);
                prop_assert!(back.wanted().all(|revision| !back.withdrawn.contains_key(&revision)));
                let gone = next.candidate().or(next.stable());
                prop_assert!(gone.is_none_or(|gone| back.withdrawn.contains_key(&gone)));
                prop_assert!(back.history.len() <= next.history.len());
            }
            route = next;
        }
    }
}
