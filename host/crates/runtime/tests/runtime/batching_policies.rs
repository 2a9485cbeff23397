//! Batching policies, valid and misbehaving, called as lanes call them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::batching::Planner;
use lector_core::batching::plan::{BatchingPolicyStatus, Plan, PlanItem, Question, accept, trial};
use lector_core::{Budget, CallCtx};
use lector_runtime::{BatchingPolicyRunner, Guest, POLICY_BUDGET, POLICY_FAILURES_MAX, Runtime};

use crate::support::{FakeEngines, Mood, bytes, call, guest, runtime};

/// Makes a question with items 1 to 3, of which the first two may run together.
fn question() -> Question {
    let item = |id, bucket| PlanItem {
        id,
        bucket,
        width: 320,
        rows: 1,
        waited: Duration::from_micros(10),
        left: Duration::from_secs(1),
    };
    Question {
        model: "fake".into(),
        items: vec![item(1, 0), item(2, 0), item(3, 1)],
        rows_max: 8,
        rows_max_of: vec![8; 3],
        sessions: 1,
        running: 0,
        run_one: Duration::from_millis(5),
        run_full: Duration::from_millis(9),
        now: Instant::now(),
    }
}

fn ctx(settings: &str) -> CallCtx {
    call(settings, Budget::default())
}

/// Asks the planner and validates its answer, as a lane does. Returns whether the answer is valid.
fn asked(planner: &dyn Planner) -> bool {
    let question = question();
    planner.plan(&question).plan.is_some_and(|plan| match accept(&question, &plan) {
        Ok(_) => true,
        Err(why) => {
            planner.invalid(why);
            false
        }
    })
}

async fn planners() -> Option<(Arc<Runtime>, Arc<Guest>)> {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let guest = guest(&runtime, "planner").await?;
    Some((runtime, guest))
}

fn of(guest: &Guest, settings: &str) -> (BatchingPolicyRunner, Arc<dyn Planner>) {
    let batching_policy = guest.batching_policy().unwrap();
    let planner = batching_policy.planner(&ctx(settings));
    (batching_policy, planner)
}

#[tokio::test]
async fn a_guest_without_the_export_has_none_and_one_with_it_says_so() {
    let Some(wasm) = bytes("planner") else { return };
    let inspection = Runtime::inspect(&wasm).unwrap();
    inspection.check().unwrap();
    assert!(inspection.has_batching_policy(), "{:?}", inspection.exports);
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let echo = guest(&runtime, "echo").await.unwrap();
    assert!(!echo.inspection().has_batching_policy() && echo.batching_policy().is_none());
}

/// A policy's instances refer to what they share, and a run in flight refers to its instance: none of this may keep the
/// machine code when the revision is gone.
#[tokio::test]
async fn a_guest_with_a_policy_is_freed_with_its_last_holder() {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let wasm = lector_test_components::guest("batching-guest", &[]).unwrap();
    for _ in 0..3 {
        let guest = runtime.load(wasm.clone(), &"t".into()).await.unwrap();
        let (batching_policy, planner) = of(&guest, "{}");
        let other = batching_policy.planner(&CallCtx { tenant: "u".into(), ..ctx("{}") });
        assert!(!asked(planner.as_ref()) && !asked(other.as_ref()));
        assert_eq!(batching_policy.status().trapped, 2, "{:?}", batching_policy.status());
        drop((guest, batching_policy, other));
        assert_eq!(runtime.status().components, 1, "a run in flight holds it");
        drop(planner);
        assert_eq!(runtime.status().components, 0);
    }
    // One whose instance lives from call to call.
    let Some(guest) = guest(&runtime, "planner").await else { return };
    let (batching_policy, planner) = of(&guest, "{}");
    assert!(asked(planner.as_ref()));
    drop((guest, batching_policy, planner));
    assert_eq!(runtime.status().components, 0);
}

#[tokio::test]
async fn a_sound_policy_is_asked_and_its_instance_lives() {
    let Some((runtime, guest)) = planners().await else { return };
    let (batching_policy, planner) = of(&guest, "{}");
    assert_eq!(planner.plan(&question()).plan, Some(Plan::Run(vec![1])));
    assert_eq!(trial(planner.as_ref(), Instant::now()), Ok(()));
    let status = batching_policy.status();
    assert!(status.asked >= 5 && status.computed_us > 0 && !status.disabled, "{status:?}");
    assert_eq!((status.trapped, status.invalid, status.skipped), (0, 0, 0), "{status:?}");
    assert_eq!(runtime.status().live, 0, "it is not a guest call");

    let (_, counting) = of(&guest, r#"{"manner": "count"}"#);
    for count in 1..=3 {
        assert_eq!(counting.plan(&question()).plan, Some(Plan::Wait(Duration::from_micros(count))));
    }
}

#[tokio::test]
async fn each_tenant_has_an_instance_of_its_own() {
    let Some((_, guest)) = planners().await else { return };
    let batching_policy = guest.batching_policy().unwrap();
    let settings = r#"{"manner": "count"}"#;
    let other = CallCtx { tenant: "u".into(), ..ctx(settings) };
    let (mine, theirs) = (batching_policy.planner(&ctx(settings)), batching_policy.planner(&other));
    assert!(Arc::ptr_eq(&mine, &batching_policy.planner(&ctx(settings))), "lanes get the same planner again");
    for (planner, count) in [(&mine, 1), (&mine, 2), (&theirs, 1), (&mine, 3)] {
        assert_eq!(planner.plan(&question()).plan, Some(Plan::Wait(Duration::from_micros(count))));
    }
    assert_eq!(batching_policy.status().asked, 4, "counts are over all tenants");
}

#[tokio::test]
async fn each_misbehavior_is_counted_and_disables_the_policy() {
    let Some((runtime, guest)) = planners().await else { return };
    type Count = fn(&BatchingPolicyStatus) -> u64;
    let (late, trapped, invalid): (Count, Count, Count) = (|s| s.late, |s| s.trapped, |s| s.invalid);
    let table = [
        ("spin", late, "computed"),
        ("panic", trapped, "panicked"),
        ("stranger", invalid, "does not wait"),
        ("patient", invalid, "waits past"),
        ("flood", trapped, "more bytes to the host"),
        ("reach", trapped, "lector:inference/models"),
    ];
    for (disabled, (manner, count, expected)) in (1..).zip(table) {
        let (batching_policy, planner) = of(&guest, &format!(r#"{{"manner": "{manner}"}}"#));
        for _ in 0..POLICY_FAILURES_MAX {
            assert!(!batching_policy.status().disabled, "{manner}");
            assert!(!asked(planner.as_ref()), "{manner}");
        }
        let status = batching_policy.status();
        eprintln!("{manner}: {status:?}");
        assert!(status.disabled, "{manner}: {status:?}");
        // Any answer may also be late: a tenth of a millisecond on a processor with cold caches.
        let counted = if manner == "spin" { 0 } else { status.late } + count(&status);
        assert_eq!(counted, u64::from(POLICY_FAILURES_MAX), "{manner}: {status:?}");
        assert!(count(&status) > 0, "{manner}: {status:?}");
        assert_eq!(status.asked, u64::from(POLICY_FAILURES_MAX), "{manner}: {status:?}");
        assert!(
            status.last_fault.as_ref().is_some_and(|fault| fault.contains(expected)),
            "{manner}: {status:?}"
        );
        // From now on it is not asked.
        assert_eq!(planner.plan(&question()).plan, None);
        assert_eq!(batching_policy.status().asked, status.asked, "{manner}");
        assert_eq!(runtime.status().policies_disabled, disabled, "{manner}");
        assert!(
            trial(of(&guest, &format!(r#"{{"manner": "{manner}"}}"#)).1.as_ref(), Instant::now()).is_err()
        );
    }
}

#[tokio::test]
async fn an_answer_over_the_budget_is_dropped() {
    let Some((_, guest)) = planners().await else { return };
    // Twice as long with each step, until it exceeds the budget; then it cannot exceed it by much.
    for step in 12..40 {
        let (batching_policy, planner) =
            of(&guest, &format!(r#"{{"manner": "slow", "turns": {}}}"#, 1_u64 << step));
        // The first answer is on cold memory and may take longer.
        planner.plan(&question());
        let before = batching_policy.status();
        let answer = planner.plan(&question()).plan;
        let status = batching_policy.status();
        let took = Duration::from_micros(status.computed_us - before.computed_us);
        assert_eq!(answer.is_some(), status.late == before.late, "{status:?}");
        if took > POLICY_BUDGET + Duration::from_micros(1) {
            assert_eq!((answer, status.late - before.late), (None, 1), "{took:?}");
            return;
        }
        assert!(answer.is_some() || took >= POLICY_BUDGET, "{took:?}: {status:?}");
    }
    panic!("a loop of 2^39 turns took less than {POLICY_BUDGET:?}");
}

#[tokio::test]
async fn its_memory_is_bounded() {
    let Some((_, guest)) = planners().await else { return };
    let (batching_policy, planner) = of(&guest, r#"{"manner": "grow"}"#);
    // 16 MiB at most, in pieces of 64 KiB.
    let asked_until_full = (1..1000).find(|_| {
        planner.plan(&question());
        batching_policy.status().trapped > 0
    });
    let status = batching_policy.status();
    // An instance that was cut off because it was late is replaced by an empty one.
    let asked_max = 256 * (1 + status.late);
    assert!(
        asked_until_full.is_some_and(|asked| (64..=asked_max).contains(&asked)),
        "{asked_until_full:?}: {status:?}"
    );
    assert!(status.last_fault.as_ref().is_some_and(|fault| fault.contains("memory")), "{status:?}");
    assert!(planner.plan(&question()).plan.is_some(), "the next instance is empty again");
}

#[tokio::test]
async fn successful_answers_reduce_the_failure_count() {
    let Some((_, guest)) = planners().await else { return };
    // Each instance answers 70 times and then panics; the failure count does not add up.
    let (batching_policy, planner) = of(&guest, r#"{"manner": "panic", "sound_first": 70}"#);
    for _ in 0..71 * (POLICY_FAILURES_MAX + 4) {
        planner.plan(&question());
    }
    let status = batching_policy.status();
    assert_eq!(status.trapped, u64::from(POLICY_FAILURES_MAX) + 4, "{status:?}");
    assert!(!status.disabled, "{status:?}");
}

#[tokio::test]
async fn more_policies_than_slots_share_them() {
    let Some((_, guest)) = planners().await else { return };
    let batching_policies: Vec<_> = (0..40).map(|_| of(&guest, r#"{"manner": "count"}"#)).collect();
    for (_, planner) in &batching_policies {
        assert_eq!(planner.plan(&question()).plan, Some(Plan::Wait(Duration::from_micros(1))));
    }
    let first = |at: usize| batching_policies[at].1.plan(&question()).plan;
    assert_eq!(first(39), Some(Plan::Wait(Duration::from_micros(2))), "the last one still has its instance");
    assert_eq!(first(0), Some(Plan::Wait(Duration::from_micros(1))), "the first one has a new instance");
    assert!(batching_policies.iter().all(|(batching_policy, _)| batching_policy.status().skipped == 0));
}

#[tokio::test]
async fn a_busy_policy_is_skipped() {
    let Some((_, guest)) = planners().await else { return };
    let (batching_policy, planner) = of(&guest, r#"{"manner": "spin"}"#);
    // Eight threads ask a spinning policy at once: each gets a prompt answer, at once if the policy is busy.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(planner.plan(&question()).plan, None));
        }
    });
    let status = batching_policy.status();
    // Questions after the policy was disabled are not counted.
    assert!(status.asked > 0 && status.asked == status.late + status.skipped, "{status:?}");
}
