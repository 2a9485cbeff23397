//! The fair semaphore between threads, some of which give up: no schedule exceeds the permits, loses a wake-up (a deadlock,
//! which ends the run) or leaves a permit taken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use lector_schedules::fair::{Acquire, FairSemaphore, Order, Request};
use shuttle::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use shuttle::thread;

/// Schedules of each program: some seconds in all.
const SCHEDULES: usize = 2_000;

fn request(client: u32, permits: usize) -> Request<u32> {
    Request { permits, ..Request::one(client, 1, 10.0) }
}

/// Asserts that nothing is left in the semaphore.
fn empty(semaphore: &FairSemaphore<u32>) {
    assert_eq!((semaphore.taken(), semaphore.waiting()), (0, 0));
}

/// Threads of three clients that take 1 to 3 of 3 permits, twice.
fn threads_share_permits() {
    let semaphore = FairSemaphore::<u32>::new(3);
    let out = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = [(1, 1), (2, 2), (3, 3), (1, 2)]
        .into_iter()
        .map(|(client, permits)| {
            let (semaphore, out) = (semaphore.clone(), out.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    let permit =
                        semaphore.acquire_blocking(request(client, permits), None).expect("no time limit");
                    assert!(out.fetch_add(permits, SeqCst) + permits <= 3, "more permits than there are");
                    thread::yield_now();
                    out.fetch_sub(permits, SeqCst);
                    drop(permit);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    empty(&semaphore);
}

/// Polls a request once; it stays in the queue, or holds its permits, until it is dropped.
fn polled_once(mut acquire: Acquire<u32>) -> impl Sized {
    match Pin::new(&mut acquire).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(permit) => (Some(permit), acquire),
        Poll::Pending => (None, acquire),
    }
}

/// Requests that are withdrawn at any time, also between their grant and the next poll, beside threads that wait.
fn withdrawn_requests_pass_their_permits_on(extra: usize) {
    let semaphore = FairSemaphore::<u32>::with_extra(1, extra);
    let quitters: Vec<_> = (0..2)
        .map(|client| {
            let semaphore = semaphore.clone();
            thread::spawn(move || {
                let polled = polled_once(semaphore.acquire(request(client, 1)));
                thread::yield_now();
                drop(polled);
            })
        })
        .collect();
    let waiters: Vec<_> = (1..3)
        .map(|client| {
            let semaphore = semaphore.clone();
            thread::spawn(move || {
                let order = if client == 1 { Order::First } else { Order::Arrival };
                let request = Request { order, ..request(client, 1) };
                drop(semaphore.acquire_blocking(request, None).expect("no time limit"));
            })
        })
        .collect();
    quitters.into_iter().chain(waiters).for_each(|thread| thread.join().unwrap());
    empty(&semaphore);
}

/// A client that holds permits takes more ahead of a thread that waits for all of them.
fn permits_ahead_of_the_queue() {
    let semaphore = FairSemaphore::<u32>::new(3);
    let held = semaphore.try_acquire(request(1, 1)).expect("nothing is taken");
    let waiter = {
        let semaphore = semaphore.clone();
        thread::spawn(move || drop(semaphore.acquire_blocking(request(2, 3), None)))
    };
    thread::yield_now();
    let more = semaphore.try_acquire_ahead(request(1, 2)).expect("the waiting request has none of them");
    assert_eq!(semaphore.taken(), 3);
    assert!(semaphore.try_acquire_ahead(request(1, 1)).is_none());
    drop((held, more));
    waiter.join().unwrap();
    empty(&semaphore);
}

#[test]
fn no_schedule_loses_a_wake_up_or_a_permit() {
    shuttle::check_random(threads_share_permits, SCHEDULES);
    shuttle::check_pct(threads_share_permits, SCHEDULES, 3);
    for extra in [0, 1] {
        shuttle::check_random(move || withdrawn_requests_pass_their_permits_on(extra), SCHEDULES);
        shuttle::check_pct(move || withdrawn_requests_pass_their_permits_on(extra), SCHEDULES, 3);
    }
    shuttle::check_random(permits_ahead_of_the_queue, SCHEDULES);
}
