#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::simulation::{Got, Lane, Source, bucket, simulate};
use super::*;
use crate::fair::{Shares, jain};

/// Costs like a GPU: a launch cost, and little more for each row.
fn accelerator(_width: usize, rows: u32) -> f64 {
    5.0 + 0.25 * f64::from(rows)
}

/// Costs like a CPU core: every row costs the same.
fn core(width: usize, rows: u32) -> f64 {
    0.3 + 0.05 * width as f64 * f64::from(rows)
}

fn many(count: usize, every_ms: u64) -> Vec<Source> {
    (0..count).map(|n| Source::new(&format!("t{n}"), every_ms)).collect()
}

fn rows(got: &[Got]) -> usize {
    got.iter().map(|got| got.latencies_ms.len()).sum()
}

#[test]
fn runs_are_merged_on_an_accelerator_and_not_on_a_core() {
    let length = Duration::from_secs(5);
    // Twenty clients, each with one item at a time.
    let clients: Vec<Source> =
        many(20, 1).into_iter().map(|source| Source { waiting_max: 1, ..source }).collect();
    let served = |rows_max, cost_ms: fn(usize, u32) -> f64| {
        let (got, runs) = simulate(&Lane { rows_max, engines: 1, cost_ms }, &clients, length);
        (rows(&got) as f64, runs as f64)
    };
    let ((merged, _), (single, _)) = (served(16, accelerator), served(1, accelerator));
    assert!(merged > 3.0 * single, "{merged} rows merged, {single} alone");
    let (served, runs) = served(16, core);
    assert!(served < runs * 1.05, "{served} rows in {runs} runs");
}

#[test]
fn idle_engines_share_waiting_items() {
    let clients: Vec<Source> =
        many(8, 1).into_iter().map(|source| Source { waiting_max: 1, ..source }).collect();
    let (got, _) =
        simulate(&Lane { rows_max: 16, engines: 2, cost_ms: core }, &clients, Duration::from_secs(4));
    // 16.3 ms a row on two engines; eight rows wait and two run: a new item waits for five runs.
    assert!((got[0].quantile_ms(0.5) - 5.0 * 16.3).abs() < 10.0, "{}", got[0].quantile_ms(0.5));
}

#[test]
fn a_noisy_neighbor_costs_the_others_at_most_a_batch() {
    let lane = Lane { rows_max: 16, engines: 1, cost_ms: core };
    let length = Duration::from_secs(60);
    // 16.3 ms a row: the three victims together use a third of the engine's time; the noisy tenant offers ten times its
    // share.
    let victims = vec![Source::new("a", 150), Source::new("b", 150), Source::new("c", 150)];
    let solo = simulate(&lane, &victims, length).0;
    let noisy = [victims.clone(), vec![Source::new("noise", 6)]].concat();
    let crowd = simulate(&lane, &noisy, length).0;
    for (alone, crowded) in solo.iter().zip(&crowd) {
        let bound = 1.5 * alone.quantile_ms(0.99) + core(320, 16);
        assert!(crowded.quantile_ms(0.99) <= bound, "{} over {bound}", crowded.quantile_ms(0.99));
        assert_eq!(crowded.turned_away, 0);
        assert!((crowded.served_ms / alone.served_ms - 1.0).abs() < 0.02);
    }
}

#[test]
fn backlogged_tenants_share_alike_and_by_weight() {
    let served = |rows_max, sources: &[Source]| -> Vec<f64> {
        let lane = Lane { rows_max, engines: 1, cost_ms: core };
        simulate(&lane, sources, Duration::from_secs(60)).0.iter().map(|got| got.served_ms).collect()
    };
    // All offer more than the engine can run; one offers ten times as much, one has rows four times as wide.
    let mut sources =
        vec![Source::new("a", 1), Source::new("b", 10), Source::new("c", 10), Source::new("d", 10)];
    sources[3].width = 1280;
    let alike = served(16, &sources);
    assert!(jain(&alike) >= 0.95, "{alike:?}");
    sources[1].weight = 3;
    let mut by_weight = served(1, &sources);
    by_weight[1] /= 3.0;
    assert!(jain(&by_weight) >= 0.95, "{by_weight:?}");
}

#[test]
fn low_priority_waits_and_does_not_starve() {
    let lane = Lane { rows_max: 1, engines: 1, cost_ms: core };
    let with = |priority, every| Source {
        hints: BatchingHints { priority, ..BatchingHints::default() },
        ..Source::new("same", every)
    };
    // The high-priority source alone exceeds the capacity of the engine.
    let sources = [with(Priority::High, 15), with(Priority::Low, 300)];
    let got = simulate(&lane, &sources, Duration::from_secs(120)).0;
    assert!(got[1].latencies_ms.len() > 50, "{}", got[1].latencies_ms.len());
    assert!(got[1].quantile_ms(0.5) > got[0].quantile_ms(0.5));
    assert!(got[1].quantile_ms(1.0) < 10_000.0, "{}", got[1].quantile_ms(1.0));
}

/// Returns an item of one row that was offered at `now` and has time left.
fn one_row<'a>(tenant: &'a TenantName, bucket: &'a Bucket, now: Instant) -> Waiting<'a> {
    Waiting {
        tenant,
        weight: 1,
        bucket,
        rows: 1,
        offered: now,
        deadline: now + Duration::from_secs(60),
        cancelled: false,
        hints: BatchingHints::default(),
        planned: Planned::Free,
    }
}

#[test]
fn waiting_happens_where_it_is_allowed_and_pays() {
    let now = Instant::now();
    let bucket = bucket(320);
    let tenant: TenantName = "t".into();
    let learned = |cost: fn(usize, u32) -> f64, rate_per_s: u32| {
        let mut costs = Costs::default();
        for rows in [1, 2, 4, 8, 16] {
            (0..4).for_each(|_| costs.learn(&bucket, rows, Duration::from_secs_f64(cost(320, rows) / 1e3)));
        }
        for n in 0..rate_per_s {
            costs.arrived(&bucket, 1, now - Duration::from_secs(1) + Duration::from_secs(1) * n / rate_per_s);
        }
        costs
    };
    let check = |costs: &Costs, waiting: usize, wait_ms: u64, waits: bool| {
        let hints = BatchingHints { wait_max: Duration::from_millis(wait_ms), ..BatchingHints::default() };
        let items: Vec<Waiting<'_>> =
            (0..waiting).map(|_| Waiting { hints, ..one_row(&tenant, &bucket, now) }).collect();
        let engine =
            Engine { rows_max: 16, pixels_max: u64::MAX, idle_others: 0, running: 0, row_by_row: false };
        let next = decide(&items, &engine, &Shares::default(), costs, now).next;
        match next {
            Next::Wait(until) => {
                assert!(waits, "{waiting} waiting");
                assert!(until > now && until <= now + Duration::from_millis(wait_ms));
            }
            Next::Run(_) => assert!(!waits, "{waiting} waiting"),
            Next::Idle => panic!("items wait"),
        }
    };
    let (busy_gpu, quiet_gpu, cpu) =
        (learned(accelerator, 2000), learned(accelerator, 20), learned(core, 2000));
    check(&busy_gpu, 2, 4, true);
    check(&busy_gpu, 2, 0, false);
    check(&busy_gpu, 1, 4, false);
    check(&busy_gpu, 16, 4, false);
    check(&quiet_gpu, 2, 4, false);
    check(&cpu, 2, 4, false);
}

#[test]
fn an_engine_that_computes_row_by_row_merges_what_a_policy_put_together_and_nothing_else() {
    let (tenant, bucket, now) = (TenantName::from("t"), bucket(320), Instant::now());
    let patient = BatchingHints { wait_max: Duration::from_millis(4), ..BatchingHints::default() };
    let item = |planned| Waiting { planned, hints: patient, ..one_row(&tenant, &bucket, now) };
    let next = |row_by_row, costs: &Costs, planned| {
        let engine = Engine { rows_max: 4, pixels_max: u64::MAX, idle_others: 0, running: 0, row_by_row };
        decide(&[item(planned), item(planned)], &engine, &Shares::default(), costs, now).next
    };
    let (alone, both) = (Next::Run(vec![0]), Next::Run(vec![0, 1]));
    let mut costs = Costs::default();
    (0..9).for_each(|_| costs.learn(&bucket, 1, Duration::from_millis(10)));
    assert_eq!(next(false, &costs, Planned::Free), both, "a size that was never seen is tried");
    assert_eq!(next(true, &costs, Planned::Free), alone, "there is nothing to learn");
    assert_eq!(next(true, &costs, Planned::Together(1)), both);
    // Noise of the machine: a row of two looks cheaper than one alone.
    (0..9).for_each(|_| costs.learn(&bucket, 2, Duration::from_millis(12)));
    assert_eq!(next(false, &costs, Planned::Free), both);
    assert_eq!(next(true, &costs, Planned::Free), alone);
    // Items keep coming, and waiting would pay if a run of many cost as much as one of a single row.
    let mut busy = Costs::default();
    for rows in [1, 2, 4] {
        (0..9).for_each(|_| busy.learn(&bucket, rows, Duration::from_millis(8)));
    }
    (0..2_000_u32).for_each(|n| {
        busy.arrived(&bucket, 1, now - Duration::from_secs(1) + Duration::from_secs(1) * n / 2_000)
    });
    assert!(matches!(next(false, &busy, Planned::Free), Next::Wait(_)));
    assert_eq!(next(true, &busy, Planned::Free), alone);
}

#[test]
fn background_items_have_the_engines_to_themselves() {
    let (tenant, bucket, now) = (TenantName::from("t"), bucket(320), Instant::now());
    let item = |background| Waiting {
        hints: BatchingHints { background, ..BatchingHints::default() },
        ..one_row(&tenant, &bucket, now)
    };
    let next = |waiting: &[Waiting<'_>], running| {
        let engine = Engine { rows_max: 8, pixels_max: u64::MAX, idle_others: 0, running, row_by_row: false };
        decide(waiting, &engine, &Shares::default(), &Costs::default(), now).next
    };
    assert_eq!(next(&[item(true), item(false)], 0), Next::Run(vec![1]), "neither before nor beside");
    assert_eq!(next(&[item(true)], 1), Next::Idle, "another item runs");
    assert_eq!(next(&[item(true)], 0), Next::Run(vec![0]));
    let until = now + Duration::from_millis(3);
    let held = Waiting { planned: Planned::Until(until), ..item(false) };
    assert_eq!(next(&[item(true), held], 0), Next::Wait(until), "another item is about to run");
}

/// An item as proptest generates it.
#[derive(Clone, Debug)]
struct Any {
    tenant: usize,
    width: usize,
    rows: u32,
    age_ms: u64,
    left_ms: u64,
    cancelled: bool,
    isolated: bool,
    rows_max: Option<u32>,
    wait_ms: u64,
    priority: Priority,
    planned: u8,
    background: bool,
}

fn any_item() -> impl Strategy<Value = Any> {
    let priority = prop_oneof![Just(Priority::High), Just(Priority::Normal), Just(Priority::Low)];
    let hints = (
        prop::option::of(1..8u32),
        0..20u64,
        priority,
        prop::bool::weighted(0.2),
        0..4u8,
        prop::bool::weighted(0.2),
    );
    ((0..4usize, 1..3usize, 1..5u32, 0..9000u64, 0..200u64, prop::bool::weighted(0.1)), hints).prop_map(
        |(
            (tenant, width, rows, age_ms, left_ms, cancelled),
            (rows_max, wait_ms, priority, isolated, planned, background),
        )| {
            Any {
                tenant,
                width,
                rows,
                age_ms,
                left_ms,
                cancelled,
                isolated,
                rows_max,
                wait_ms,
                priority,
                planned,
                background,
            }
        },
    )
}

proptest! {
    #[test]
    fn a_decision_is_sound(
        items in prop::collection::vec(any_item(), 0..24),
        rows_max in 0..17u32,
        pixels_rows in 1..12u64,
        idle_others in 0..3u32,
        served in prop::collection::vec((0..4usize, 1..50u32), 0..20),
        runs in prop::collection::vec((1..3usize, 1..17u32, 1..40u64), 0..20),
    ) {
        let tenants: Vec<TenantName> = (0..4).map(|n| TenantName::from(format!("t{n}"))).collect();
        let buckets = [bucket(0), bucket(320), bucket(640)];
        let now = Instant::now() + Duration::from_secs(100);
        let (mut shares, mut costs) = (Shares::default(), Costs::default());
        for (tenant, ms) in served {
            shares.charge(&tenants[tenant], 1, f64::from(ms));
        }
        for (width, rows, ms) in runs {
            costs.learn(&buckets[width], rows, Duration::from_millis(ms));
            costs.arrived(&buckets[width], rows, now);
        }
        let waiting: Vec<Waiting<'_>> = items.iter().map(|item| Waiting {
            tenant: &tenants[item.tenant],
            weight: 1 + item.tenant as u32,
            bucket: &buckets[item.width],
            rows: item.rows,
            offered: now - Duration::from_millis(item.age_ms),
            deadline: now + Duration::from_millis(item.left_ms),
            cancelled: item.cancelled,
            hints: BatchingHints {
                rows_max: item.rows_max, wait_max: Duration::from_millis(item.wait_ms),
                priority: item.priority, isolated: item.isolated, background: item.background,
            },
            planned: match item.planned {
                0 => Planned::Together(item.tenant as u64),
                1 => Planned::Until(now + Duration::from_millis(item.wait_ms)),
                _ => Planned::Free,
            },
        }).collect();
        let engine = Engine { rows_max, pixels_max: pixels_rows * 48 * 320, idle_others, running: 0, row_by_row: false };
        let decision = decide(&waiting, &engine, &shares, &costs, now);
        prop_assert_eq!(&decision, &decide(&waiting, &engine, &shares, &costs, now));

        // Dead items are dropped at any position, and no others.
        prop_assert!(decision.dropped.is_sorted_by_key(|(at, _)| *at));
        for (at, item) in waiting.iter().enumerate() {
            let gone = decision.dropped.iter().find(|(dead, _)| *dead == at).map(|(_, why)| *why);
            prop_assert_eq!(gone == Some(Dropped::Cancelled), item.cancelled);
            if item.deadline <= now && !item.cancelled {
                prop_assert_eq!(gone, Some(Dropped::Expired));
            }
        }
        let dead = |at: &usize| decision.dropped.iter().any(|(gone, _)| gone == at);
        match &decision.next {
            Next::Idle => prop_assert_eq!(decision.dropped.len(), waiting.len()),
            Next::Wait(until) => prop_assert!(*until > now),
            Next::Run(batch) => {
                prop_assert!(!batch.is_empty());
                let mut distinct = batch.clone();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(distinct.len(), batch.len());
                prop_assert!(!batch.iter().any(dead));
                let members: Vec<&Waiting<'_>> = batch.iter().map(|at| &waiting[*at]).collect();
                let rows: u32 = members.iter().map(|item| item.rows).sum();
                if members.len() > 1 {
                    prop_assert!(rows <= rows_max && rows_max > 1);
                    prop_assert!(u64::from(rows) * members[0].bucket.row_pixels() <= engine.pixels_max);
                    prop_assert!(members.iter().all(|item| item.hints.rows_max.is_none_or(|most| rows <= most)));
                }
                prop_assert!(members.iter().all(|item| item.bucket == members[0].bucket));
                if members.iter().any(|item| item.hints.isolated) {
                    prop_assert!(members.iter().all(|item| item.tenant == members[0].tenant));
                }
                // Background items run only if there is nothing else.
                let background = members[0].hints.background;
                let same = |item: &Waiting<'_>| item.hints.background == background;
                prop_assert!(members.iter().all(|item| same(item)));
                let mut living = waiting.iter().enumerate().filter(|(at, _)| !dead(at));
                prop_assert!(!background || living.all(|(_, item)| same(item)));
                // No item that could run has an earlier virtual start than the first item.
                for (at, item) in waiting.iter().enumerate() {
                    let held = matches!(item.planned, Planned::Until(until) if until > now);
                    if !dead(&at) && !held && same(item) {
                        prop_assert!(shares.start_of(members[0].tenant) <= shares.start_of(item.tenant));
                    }
                }
            }
        }
    }

    #[test]
    fn no_item_is_lost_and_no_tenant_starves(
        every in prop::collection::vec((5..400u64, 0..3usize), 1..5),
        rows_max in 1..17u32,
        engines in 1..4usize,
    ) {
        let sources: Vec<Source> = every.iter().enumerate().map(|(n, (every, class))| {
            let priority = [Priority::High, Priority::Normal, Priority::Low][*class];
            Source {
                hints: BatchingHints { priority, ..BatchingHints::default() },
                waiting_max: 16,
                ..Source::new(&format!("t{n}"), *every)
            }
        }).collect();
        let lane = Lane { rows_max, engines, cost_ms: core };
        let got = simulate(&lane, &sources, Duration::from_secs(30)).0;
        for (got, source) in got.iter().zip(&sources) {
            let offered = 30_000 / source.every.as_millis() as usize;
            let answered = got.latencies_ms.len();
            // All but those that still wait or run at the end.
            prop_assert!(answered + got.turned_away + 16 + 16 * engines >= offered, "{answered} of {offered}");
            prop_assert!(answered > 0);
            // Sixteen items of each of at most four tenants, at 16.3 ms.
            prop_assert!(got.quantile_ms(1.0) < 16.0 * 4.0 * 16.3 * 1.5 + 100.0, "{}", got.quantile_ms(1.0));
        }
    }
}
