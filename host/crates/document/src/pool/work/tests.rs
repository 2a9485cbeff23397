//! Tests of the pool with fake workers: no processes; the test takes and ends their jobs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use lector_core::{Fault, Size};

use super::*;
use crate::config::DocumentConfig;
use crate::kind::Kind;
use crate::pool::dispatch::{Next, Pool, QUEUE_MAX, State};
use crate::pool::job::DocumentHandle;
use crate::pool::slot::{Phase, SLOW_AFTER};
use crate::wire::Opened;

struct Fake {
    pool: Arc<Pool>,
    /// Kept, so that no job counts as withdrawn.
    opens: Vec<oneshot::Receiver<Result<Opened, Fault>>>,
    renders: Vec<oneshot::Receiver<Result<lector_core::Image, Fault>>>,
}

impl Fake {
    fn new(workers: usize) -> Self {
        Self::with_reserve(workers, 0)
    }

    fn with_reserve(workers: usize, reserve_workers: usize) -> Self {
        let time = Duration::from_secs(60);
        let pool = Pool::new(DocumentConfig {
            pdfium_dir: "/nowhere".into(),
            worker_command: Vec::new(),
            workers,
            reserve_workers,
            open_timeout: time,
            text_timeout: time,
            render_timeout: time,
            open_cpu: time,
            page_cpu: time,
            sandbox: lector_sandbox::Policy::Warn,
            worker_memory_bytes: 0,
            image_pixels_max: 1 << 20,
            pages_max: 100,
            text_characters_max: 250_000,
            text_words_max: 60_000,
        });
        Self { pool, opens: Vec::new(), renders: Vec::new() }
    }

    fn handle(&self, tenant: &str, weight: u32) -> Arc<DocumentHandle> {
        self.pool.document(Account::new(tenant.into(), weight), Kind::Pdf, None)
    }

    fn open(&mut self, tenant: &str) {
        let (answer, receiver) = oneshot::channel();
        self.opens.push(receiver);
        let task = Task::Open { bytes: Arc::default(), answer };
        self.pool.submit(Job::new(self.handle(tenant, 100), task)).unwrap();
    }

    fn render(&mut self, tenant: &str, weight: u32) {
        let job = self.render_job(tenant, weight);
        self.pool.submit(job).unwrap();
    }

    fn render_job(&mut self, tenant: &str, weight: u32) -> Job {
        let (answer, receiver) = oneshot::channel();
        self.renders.push(receiver);
        let task = Task::Render { index: 0, size: Size { width: 1, height: 1 }, answer };
        Job::new(self.handle(tenant, weight), task)
    }

    /// Moves the beginning of the worker's job into the past.
    fn age(&self, worker: usize, by: Duration) {
        self.pool.state().slots[worker].running.as_mut().expect("a job runs").age(by);
    }

    /// Returns the workers whose jobs must give way.
    fn giving_way(&self) -> Vec<usize> {
        (0..self.pool.workers()).filter(|worker| self.pool.must_give_way(*worker)).collect()
    }

    /// Acts as the supervisor of a worker whose render for `tenant` gives way.
    fn give_way(&mut self, worker: usize, tenant: &str) {
        let job = self.render_job(tenant, 100);
        self.pool.gave_way(worker, job);
        self.pool.lost(worker);
    }

    /// Ends the worker's job and assigns the jobs that idle workers may take.
    fn end(&self, worker: usize) {
        let mut state = self.pool.state();
        let State { slots, queue, .. } = &mut *state;
        slots[worker].settle(queue);
        slots[worker].phase = Phase::Idle;
        self.pool.assign(&mut state, None);
    }

    /// Ends the worker's job and returns its next one, such as `render of a`. There must be one.
    fn next(&self, worker: usize) -> String {
        loop {
            match self.pool.next(worker) {
                Next::Job(job) if job.task.is_withdrawn() => {}
                Next::Job(job) => {
                    let what = if matches!(job.task, Task::Open { .. }) { "open" } else { "render" };
                    return format!("{what} of {}", job.handle.account.tenant);
                }
                _ => panic!("no job"),
            }
        }
    }

    /// Acts as the supervisors of `workers`, which run one job after another, until `wanted` has begun; returns the jobs
    /// that began before it, each with its worker. A job of another tenant costs the worker its process.
    fn until(&self, workers: std::ops::Range<usize>, wanted: &str) -> Vec<(usize, String)> {
        let mut before = Vec::new();
        loop {
            for worker in workers.clone() {
                let began = self.next(worker);
                if began == wanted {
                    return before;
                }
                before.push((worker, began));
            }
        }
    }
}

/// The terms of one worker that runs nothing.
fn one_worker() -> Offer {
    Offer { newcomers_only: false, holders: Vec::new(), opens_max: 1, slow_max: 1 }
}

/// 50 opens of one tenant that never end by themselves do not take the last worker, where its own renders, and the opens
/// of other tenants, begin at once.
#[test]
fn opens_of_a_tenant_leave_a_worker() {
    for wanted in ["render of a", "open of b"] {
        let mut fake = Fake::new(3);
        (0..50).for_each(|_| fake.open("a"));
        assert_eq!(fake.next(0), "open of a");
        assert_eq!(fake.next(1), "open of a");
        fake.end(2);
        assert_eq!((fake.pool.status().idle, fake.pool.status().queued), (1, 48));
        if wanted == "open of b" {
            fake.open("b")
        } else {
            fake.render("a", 1)
        }
        assert_eq!(fake.next(2), wanted);
    }
}

/// A tenant that floods the pool leaves the reserve idle; another tenant's jobs begin at once, whatever they are.
#[test]
fn the_reserve_is_for_tenants_that_hold_no_worker() {
    let mut fake = Fake::with_reserve(2, 1);
    (0..3).for_each(|worker| fake.end(worker));
    (0..50).for_each(|_| fake.render("attacker", 100));
    (0..50).for_each(|_| fake.open("attacker"));
    assert_eq!(fake.next(0), "render of attacker");
    assert_eq!(fake.next(1), "render of attacker");
    fake.end(2);
    for wanted in ["open of victim", "render of victim"] {
        assert_eq!((fake.pool.status().idle, fake.pool.status().queued), (1, 98));
        if wanted.starts_with("open") {
            fake.open("victim")
        } else {
            fake.render("victim", 1)
        }
        assert_eq!(fake.next(2), wanted);
        fake.end(2);
    }
    // The flood goes on with its own workers alone, however often its jobs end.
    for round in 0..20 {
        fake.end(round % 2);
        assert!(fake.next(round % 2).ends_with("attacker"));
        assert_eq!(fake.pool.status().idle, 1);
    }
    // A second tenant with two jobs takes it; the next worker that becomes idle is the reserve.
    fake.render("other", 100);
    fake.render("other", 100);
    assert_eq!(fake.next(2), "render of other");
    fake.end(0);
    assert_eq!(fake.pool.status().idle, 1);
    fake.render("victim", 1);
    assert_eq!(fake.next(0), "render of victim");
}

/// A tenant uses all of its workers, also where those of the reserve do not start.
#[test]
fn a_tenant_without_others_uses_its_workers() {
    let mut fake = Fake::new(2);
    (0..4).for_each(|_| fake.render("a", 100));
    assert_eq!([fake.next(0), fake.next(1)], ["render of a", "render of a"]);
    let mut fake = Fake::with_reserve(1, 1);
    fake.pool.state().slots[1].phase = Phase::Down;
    (0..4).for_each(|_| fake.render("a", 100));
    (0..4).for_each(|_| assert_eq!(fake.next(0), "render of a"));
}

/// Tenants that share an attack hold every worker with slow jobs: one of them gives way to a tenant without a worker,
/// once, and slow jobs that wait leave a worker free from then on.
#[test]
fn a_slow_job_gives_way_once() {
    let mut fake = Fake::with_reserve(2, 1);
    (0..3).for_each(|worker| fake.end(worker));
    (0..2).for_each(|_| fake.render("a", 100));
    assert_eq!([fake.next(0), fake.next(1)], ["render of a", "render of a"]);
    fake.render("b", 100);
    assert_eq!(fake.next(2), "render of b");
    fake.age(0, 3 * SLOW_AFTER);
    fake.age(1, 2 * SLOW_AFTER);
    fake.render("victim", 100);
    assert!(fake.giving_way().is_empty(), "a job that has just begun may end soon");
    fake.age(2, SLOW_AFTER);
    // Of the tenant that holds the most workers, the job that has run the shortest.
    assert_eq!(fake.giving_way(), [1]);
    fake.give_way(1, "a");
    assert_eq!(fake.next(1), "render of victim");
    assert_eq!(fake.pool.status().gave_way, 1);
    // The job of tenant a waits, because two slow ones run; the victim's worker stays free for newcomers.
    fake.end(1);
    assert_eq!((fake.pool.status().idle, fake.pool.status().queued), (1, 1));
    fake.render("victim", 100);
    assert_eq!(fake.next(1), "render of victim");
    fake.end(1);
    // A slow job ends: the one that gave way runs again, and does not give way again.
    fake.end(2);
    assert_eq!(fake.pool.status().queued, 0);
    let again = if fake.pool.state().slots[1].running.is_some() { 1 } else { 2 };
    assert_eq!(fake.next(again), "render of a");
    fake.render("c", 100);
    assert_eq!(fake.next(3 - again), "render of c");
    fake.age(3 - again, SLOW_AFTER);
    fake.render("victim", 100);
    assert_eq!(fake.giving_way(), [0], "neither the known slow job, nor the one of tenant c");
}

#[test]
fn no_job_gives_way_without_a_newcomer() {
    let mut fake = Fake::new(2);
    (0..9).for_each(|_| fake.render("a", 100));
    (0..9).for_each(|_| fake.render("b", 100));
    for worker in 0..2 {
        fake.next(worker);
        fake.age(worker, 10 * SLOW_AFTER);
    }
    assert!(fake.giving_way().is_empty(), "both tenants have a worker");
    // One worker alone cannot leave another one free.
    let mut fake = Fake::new(1);
    fake.render("a", 100);
    fake.next(0);
    fake.age(0, 10 * SLOW_AFTER);
    fake.render("b", 100);
    assert!(fake.giving_way().is_empty());
}

#[test]
fn renders_go_before_opens_of_their_tenant_a_bounded_number_of_times() {
    let mut fake = Fake::new(2);
    fake.open("a");
    (0..50).for_each(|_| fake.render("a", 1));
    let before = (0..50).take_while(|_| fake.next(0) == "render of a").count();
    assert_eq!(before, OPEN_OVERTAKEN_MAX as usize);
}

#[test]
fn one_worker_alone_opens_documents_too() {
    let mut fake = Fake::new(1);
    fake.open("a");
    fake.render("b", 1);
    let mut got = [fake.next(0), fake.next(0)];
    got.sort();
    assert_eq!(got, ["open of a", "render of b"]);
}

#[test]
fn tenants_use_workers_by_weight() {
    let mut queue = WorkQueue::default();
    let mut fake = Fake::new(1);
    for _ in 0..40 {
        fake.render("a", 3);
        fake.render("b", 1);
    }
    std::mem::swap(&mut queue, &mut fake.pool.state().queue);
    // Every job is charged its expected cost: none is finished.
    let got: Vec<String> = (0..40)
        .map(|_| queue.pop(&one_worker(), |_| Vec::new()).unwrap().0.handle.account.tenant.to_string())
        .collect();
    assert_eq!(got.iter().filter(|tenant| *tenant == "a").count(), 30, "{got:?}");
}

#[test]
fn a_withdrawn_job_is_skipped_and_costs_nothing() {
    let mut fake = Fake::new(1);
    (0..3).for_each(|_| fake.render("a", 1));
    fake.renders.clear();
    fake.render("b", 1);
    assert_eq!(fake.next(0), "render of b");
    let state = fake.pool.state();
    let start = |tenant: &str| state.queue.queue.shares().start_of(&tenant.into());
    assert_eq!(start("a"), start("idle"));
    assert!(start("b") > start("idle"));
    drop(state);
    fake.render("a", 1);
    assert_eq!(fake.next(0), "render of a");
    assert_eq!(fake.pool.status().queued, 0);
}

/// A tenant is charged the measured time of a job, not the estimate.
#[test]
fn a_tenant_is_charged_the_time_of_its_jobs() {
    let mut queue = WorkQueue::default();
    let mut fake = Fake::new(1);
    for tenant in ["slow", "slow", "slow", "fast", "fast", "fast"] {
        fake.render(tenant, 1);
    }
    std::mem::swap(&mut queue, &mut fake.pool.state().queue);
    let mut order = Vec::new();
    while let Some((job, mut running)) = queue.pop(&one_worker(), |_| Vec::new()) {
        let tenant = job.handle.account.tenant.to_string();
        if tenant == "slow" {
            running.since = running.since.checked_sub(Duration::from_secs(10)).unwrap();
        }
        queue.finish(running);
        order.push(tenant);
    }
    assert_eq!(order, ["slow", "fast", "fast", "fast", "slow", "slow"]);
}

/// An attacker with many slow documents: the open and the render of another tenant begin after at most one of the
/// attacker's items on one worker.
#[test]
fn an_attacker_delays_another_tenant_by_one_item_at_most() {
    for workers in [1, 2, 4] {
        let mut fake = Fake::new(workers);
        (0..50).for_each(|_| fake.open("attacker"));
        (0..50).for_each(|_| fake.render("attacker", 100));
        // Every worker has had several of the attacker's items.
        for round in 0..3 * workers {
            assert!(fake.next(round % workers).ends_with("attacker"));
        }
        for wanted in ["open of victim", "render of victim"] {
            if wanted.starts_with("open") {
                fake.open("victim")
            } else {
                fake.render("victim", 100)
            }
            // The first worker that may take it does so; an open needs the end of one where all but one worker open.
            let before = fake.until(0..workers, wanted);
            let again = before
                .iter()
                .any(|(worker, _)| before.iter().filter(|(other, _)| other == worker).count() > 1);
            assert!(!again, "{workers} workers: {wanted} after {before:?}");
        }
    }
}

/// Tenants with a worker each do not take turns on every worker, because every change costs a process.
#[test]
fn a_worker_stays_with_its_tenant_while_both_have_one() {
    let mut fake = Fake::new(2);
    for _ in 0..20 {
        fake.render("a", 10_000);
        fake.render("b", 10_000);
    }
    let mut jobs = [Vec::new(), Vec::new()];
    for round in 0..30 {
        let worker = round % 2;
        jobs[worker].push(fake.next(worker));
    }
    for jobs in jobs {
        let changes = jobs.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes <= 1, "{jobs:?}");
    }
}

/// A job goes to a worker of its tenant, then to a new one, before the worker of another tenant.
#[test]
fn idle_workers_of_other_tenants_are_taken_last() {
    let mut fake = Fake::new(3);
    fake.render("a", 1);
    assert_eq!(fake.next(0), "render of a");
    fake.pool.state().slots[0].phase = Phase::Idle;
    for slot in [1, 2] {
        fake.pool.state().slots[slot].phase = Phase::Idle;
    }
    fake.render("b", 1);
    assert_eq!(fake.next(1), "render of b", "a new worker before the one of tenant a");
    fake.render("a", 1);
    assert_eq!(fake.next(0), "render of a", "its own worker before a new one");
}

/// A tenant that fills the queue loses its newest jobs to the tenants that come later.
#[test]
fn a_full_queue_refuses_the_tenant_that_filled_it() {
    let mut fake = Fake::new(1);
    (0..QUEUE_MAX).for_each(|_| fake.render("flood", 100));
    let refused = |fake: &mut Fake, tenant: &str, weight: u32| {
        let job = fake.render_job(tenant, weight);
        fake.renders.pop();
        fake.pool.submit(job).err().map(|fault| fault.code)
    };
    assert_eq!(refused(&mut fake, "flood", 100), Some("documents_busy"));
    fake.open("victim");
    (0..20).for_each(|_| fake.render("victim", 100));
    assert_eq!(fake.pool.status().queued, QUEUE_MAX);
    let answers: Vec<_> = fake.renders.iter_mut().map(|answer| answer.try_recv()).collect();
    let busy = |answer: &Result<Option<Result<_, Fault>>, _>| matches!(answer, Ok(Some(Err(fault))) if fault.code == "documents_busy");
    let displaced: Vec<usize> = (0..answers.len()).filter(|at| busy(&answers[*at])).collect();
    assert_eq!(displaced, (QUEUE_MAX - 21..QUEUE_MAX).collect::<Vec<_>>(), "the newest jobs of the flood");
    assert!(fake.opens[0].try_recv().unwrap().is_none(), "the open of the victim waits");
    // A tenant may have a part of the queue as large as its weight.
    (0..QUEUE_MAX / 2 - 21).for_each(|_| fake.render("victim", 100));
    assert_eq!(refused(&mut fake, "victim", 100), Some("documents_busy"));
    (0..QUEUE_MAX / 2).for_each(|_| fake.render("heavy", 1_000_000));
}
