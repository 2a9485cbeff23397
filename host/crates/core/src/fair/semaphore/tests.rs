//! Properties of the semaphore.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering as Atomic};
use std::task::Wake;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A request that the test polls by hand.
struct Polled {
    future: Option<Acquire<u32>>,
    permit: Option<Permit<u32>>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Atomic::SeqCst);
    }
}

impl Polled {
    fn new(semaphore: &FairSemaphore<u32>, request: Request<u32>) -> Self {
        let future = Some(semaphore.acquire(request));
        let mut polled = Self { future, permit: None, woken: Arc::default() };
        polled.poll();
        polled
    }

    fn poll(&mut self) -> bool {
        let Some(future) = &mut self.future else { return true };
        let waker = Waker::from(self.woken.clone());
        if let Poll::Ready(permit) = Pin::new(future).poll(&mut Context::from_waker(&waker)) {
            (self.permit, self.future) = (Some(permit), None);
        }
        self.future.is_none()
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Atomic::SeqCst)
    }
}

fn one(client: u32) -> Request<u32> {
    Request::one(client, 1, 10.0)
}

fn many(client: u32, permits: usize) -> Request<u32> {
    Request { permits, ..one(client) }
}

/// Returns whether the first request fits and was not granted, which is an error.
fn overlooked(semaphore: &FairSemaphore<u32>) -> bool {
    let state = semaphore.lock();
    state.queue.peek(&CLASS).is_some_and(|head| state.taken + head.permits <= semaphore.total())
}

proptest! {
    /// Under random requests, polls and drops: the permits in use never exceed the total, no request that fits is
    /// overlooked, and every waiter with a granted permit was woken.
    #[test]
    fn no_permit_and_no_wake_up_is_lost(
        total in 1..5_usize,
        extra in 0..3_usize,
        operations in vec((0..4_u8, 0..4_u32, 1..7_usize, any::<prop::sample::Index>()), 1..150),
    ) {
        let semaphore = FairSemaphore::<u32>::with_extra(total, extra);
        let mut requests: Vec<Polled> = Vec::new();
        for (operation, client, permits, which) in operations {
            // Extra permits are for requests of one permit.
            let permits = if extra > 0 { 1 } else { permits };
            match operation {
                0 | 1 => requests.push(Polled::new(&semaphore, many(client, permits))),
                2 if !requests.is_empty() => drop(requests.swap_remove(which.index(requests.len()))),
                3 if !requests.is_empty() => {
                    let at = which.index(requests.len());
                    requests[at].poll();
                }
                _ => {}
            }
            prop_assert!(semaphore.taken() <= total + extra);
            prop_assert!(!overlooked(&semaphore));
            let granted = semaphore.lock().granted.len();
            let woken = requests.iter().filter(|request| request.future.is_some() && request.is_woken()).count();
            prop_assert!(granted <= woken, "{granted} granted, {woken} woken");
        }
        // All requests finish in the end.
        while !requests.is_empty() {
            let ready = requests.iter_mut().position(Polled::poll);
            prop_assert!(ready.is_some(), "one request can finish");
            requests.swap_remove(ready.unwrap());
        }
        let state = semaphore.lock();
        prop_assert!(state.taken == 0 && state.queue.is_empty() && state.granted.is_empty());
    }
}

#[test]
fn permits_go_by_weight() {
    let semaphore = FairSemaphore::<u32>::new(1);
    let held = Polled::new(&semaphore, one(9));
    let mut waiting: Vec<Polled> = Vec::new();
    for _ in 0..9 {
        waiting.push(Polled::new(&semaphore, Request::one(1, 3, 100.0)));
        waiting.push(Polled::new(&semaphore, Request::one(2, 1, 100.0)));
    }
    drop(held);
    let mut order = Vec::new();
    for _ in 0..8 {
        let at = waiting.iter_mut().position(Polled::poll).unwrap();
        order.push(waiting.swap_remove(at).permit.as_ref().unwrap().charge().client);
    }
    assert_eq!(order.iter().filter(|client| **client == 1).count(), 6, "{order:?}");
}

#[test]
fn a_permit_that_is_not_picked_up_is_passed_on_and_refunded() {
    let semaphore = FairSemaphore::<u32>::new(1);
    let held = Polled::new(&semaphore, one(1));
    let (leaves, mut stays) = (Polled::new(&semaphore, one(2)), Polled::new(&semaphore, one(3)));
    let start = |client: u32| semaphore.lock().queue.shares().start_of(&client);
    let before = start(2);
    drop(held);
    assert!(leaves.is_woken() && !stays.poll(), "granted to the first");
    assert!(start(2) > before);
    drop(leaves);
    assert_eq!(start(2), before);
    assert!(stays.is_woken() && stays.poll());
    drop(stays);
    assert_eq!(semaphore.taken(), 0);
}

#[test]
fn a_request_for_many_is_not_overtaken_and_frees_the_way_when_it_leaves() {
    let semaphore = FairSemaphore::<u32>::new(2);
    let held = Polled::new(&semaphore, one(1));
    let large = Polled::new(&semaphore, many(2, 9));
    let mut small = Polled::new(&semaphore, one(3));
    assert!(!small.poll());
    drop(large);
    assert!(small.is_woken() && small.poll());
    let mut large = Polled::new(&semaphore, many(2, 9));
    drop((held, small));
    assert!(large.poll(), "more than there are counts as all");
    assert_eq!(semaphore.taken(), 2);
    assert!(semaphore.try_acquire(one(1)).is_none());
    drop(large);
    assert!(semaphore.try_acquire(one(1)).is_some());
}

#[test]
fn extra_permits_are_for_clients_that_hold_less_than_another() {
    let semaphore = FairSemaphore::<u32>::with_extra(4, 4);
    let held: Vec<Polled> = (0..4).map(|_| Polled::new(&semaphore, one(1))).collect();
    let mut more = Polled::new(&semaphore, one(1));
    let mut of_two: Vec<Polled> = (0..4).map(|_| Polled::new(&semaphore, one(2))).collect();
    assert!(!more.poll());
    assert!(of_two[2].poll() && !of_two[3].poll(), "four would be as many as the other holds");
    let mut third = Polled::new(&semaphore, one(3));
    assert!(third.poll());
    assert!(!Polled::new(&semaphore, one(4)).poll(), "eight are all");
    drop(held);
    assert!(more.poll(), "it holds nothing now");
    assert!(!of_two[3].poll());
    drop((more, third));
    assert!(of_two[3].poll());
}

#[test]
fn a_thread_waits_until_there_is_a_permit_or_its_time_is_over() {
    let semaphore = FairSemaphore::<u32>::new(1);
    let held = semaphore.acquire_blocking(one(1), None).unwrap();
    let past = Instant::now() - Duration::from_millis(1);
    assert!(semaphore.acquire_blocking(one(2), Some(past)).is_none());
    assert_eq!(semaphore.waiting(), 0, "withdrawn");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| semaphore.acquire_blocking(one(2), None).unwrap().charge().client);
        while semaphore.waiting() == 0 {
            std::thread::yield_now();
        }
        drop(held);
        assert_eq!(waits.join().unwrap(), 2);
    });
    assert_eq!(semaphore.taken(), 0);
}

#[test]
fn threads_and_tasks_never_hold_more_than_there_is() {
    let (semaphore, out) = (FairSemaphore::<u32>::new(3), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for (client, permits) in [(1, 1), (2, 2), (3, 3), (1, 1), (2, 2), (4, 9)] {
            let (semaphore, out) = (&semaphore, &out);
            scope.spawn(move || {
                for round in 0..200 {
                    let until = (round % 3 == 0).then(|| Instant::now() + Duration::from_micros(20));
                    let Some(permit) = semaphore.acquire_blocking(many(client, permits), until) else {
                        continue;
                    };
                    assert!(out.fetch_add(permit.permits, Atomic::SeqCst) + permit.permits <= 3);
                    std::thread::yield_now();
                    out.fetch_sub(permit.permits, Atomic::SeqCst);
                }
            });
        }
    });
    let state = semaphore.lock();
    assert!(state.taken == 0 && state.queue.is_empty() && state.granted.is_empty());
}

/// A step of a schedule: a poll of a request, or its end (the future or the permit is dropped).
#[derive(Clone, Copy, Debug)]
enum Step {
    Poll(usize),
    Drop(usize),
}

/// Runs one schedule of three requests of two clients; returns the steps that are possible afterwards.
fn run(schedule: &[Step], total: usize, extra: usize) -> Vec<Step> {
    let semaphore = FairSemaphore::<u32>::with_extra(total, extra);
    // Extra permits are for requests of one permit.
    let requests = || [one(0), many(0, if extra > 0 { 1 } else { 2 }), one(1)];
    let mut polled: [Option<Polled>; 3] = [None, None, None];
    let mut ended = [false; 3];
    for (at, step) in schedule.iter().enumerate() {
        let context = || format!("total {total}, extra {extra}: {:?}", &schedule[..=at]);
        match *step {
            Step::Poll(index) => match &mut polled[index] {
                None => polled[index] = Some(Polled::new(&semaphore, requests()[index].clone())),
                Some(request) => {
                    let (before, woken) = (request.future.is_none(), request.is_woken());
                    let ready = request.poll();
                    assert!(before || !ready || woken, "granted without a wake-up, {}", context());
                    assert!(ready || !woken, "woken without a grant, {}", context());
                }
            },
            Step::Drop(index) => {
                polled[index] = None;
                ended[index] = true;
            }
        }
        assert!(semaphore.taken() <= total + extra, "{} are taken, {}", semaphore.taken(), context());
        assert!(!overlooked(&semaphore), "a request that fits waits, {}", context());
    }
    let steps = (0..3).filter(|index| !ended[*index]).flat_map(|index| {
        let held = polled[index].as_ref().is_some_and(|request| request.permit.is_some());
        let begun = polled[index].is_some();
        [(!held).then_some(Step::Poll(index)), begun.then_some(Step::Drop(index))]
    });
    let steps = steps.flatten().collect();
    polled = [None, None, None];
    drop(polled);
    assert_eq!((semaphore.taken(), semaphore.waiting()), (0, 0), "{schedule:?}");
    steps
}

/// Runs every schedule of at most seven steps. Each step takes the one lock of the semaphore; a first poll takes it
/// twice, and checks for its permit under the second, so that a grant in between is found.
#[test]
fn no_schedule_loses_a_wake_up_or_a_permit() {
    let mut schedules = 0;
    for (total, extra) in [(1, 0), (2, 0), (2, 1)] {
        let mut open: Vec<Vec<Step>> = vec![Vec::new()];
        while let Some(schedule) = open.pop() {
            schedules += 1;
            let steps = run(&schedule, total, extra);
            if schedule.len() < 7 {
                open.extend(steps.into_iter().map(|step| [schedule.as_slice(), &[step]].concat()));
            }
        }
    }
    // Enough to know that the enumeration did not end early.
    assert!(schedules > 5_000, "{schedules} schedules");
}
