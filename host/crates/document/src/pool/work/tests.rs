//! Tests of the pool with fake workers: no processes; the test takes and ends their jobs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use lector_core::fair::Account;
use lector_core::{Fault, Size};

use super::*;
use crate::config::DocumentConfig;
use crate::kind::Kind;
use crate::pool::dispatch::{Next, Phase, Pool};
use crate::pool::job::DocumentHandle;
use crate::wire::Opened;

struct Fake {
    pool: Arc<Pool>,
    /// Kept, so that no job counts as withdrawn.
    opens: Vec<oneshot::Receiver<Result<Opened, Fault>>>,
    renders: Vec<oneshot::Receiver<Result<lector_core::Image, Fault>>>,
}

impl Fake {
    fn new(workers: usize) -> Self {
        let time = Duration::from_secs(60);
        let pool = Pool::new(DocumentConfig {
            pdfium_dir: "/nowhere".into(),
            worker_command: Vec::new(),
            workers,
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
        self.pool.submit(Job { handle: self.handle(tenant, 100), task }).unwrap();
    }

    fn render(&mut self, tenant: &str, weight: u32) {
        let (answer, receiver) = oneshot::channel();
        self.renders.push(receiver);
        let task = Task::Render { index: 0, size: Size { width: 1, height: 1 }, answer };
        self.pool.submit(Job { handle: self.handle(tenant, weight), task }).unwrap();
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

    /// Returns whether the queue has no job for a worker now, without waiting.
    fn is_stuck(&self) -> bool {
        let mut state = self.pool.state();
        state.queue.pop(3, |_| Vec::new()).is_none()
    }
}

/// 50 opens of one tenant that never end by themselves: another tenant's open waits for one of those that run, and a
/// render waits for none.
#[test]
fn a_tenant_with_many_slow_opens_delays_another_by_those_that_run() {
    let mut fake = Fake::new(3);
    (0..50).for_each(|_| fake.open("a"));
    assert_eq!(fake.next(0), "open of a");
    assert_eq!(fake.next(1), "open of a");
    assert!(fake.is_stuck(), "opens never take the last worker");
    fake.open("b");
    fake.render("c", 1);
    assert_eq!(fake.next(2), "render of c");
    // The first of the two running opens ends: no other open of tenant a comes between.
    assert_eq!(fake.next(0), "open of b");
    assert_eq!(fake.next(1), "open of a");
    assert_eq!(fake.pool.status().queued, 47);
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
    let got: Vec<String> =
        (0..40).map(|_| queue.pop(1, |_| Vec::new()).unwrap().0.handle.account.tenant.to_string()).collect();
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
    while let Some((job, mut running)) = queue.pop(1, |_| Vec::new()) {
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
