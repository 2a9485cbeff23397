//! Callers that offer items to the queue of a lane, some of which they withdraw, and owner threads that run them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::batching::{Bucket, Planned};
use lector_core::port::{Scheduling, WorkItem};
use shuttle::thread;
use tokio::sync::oneshot;

use super::item::{Bounds, Ticket};
use super::queue::Queue;
use crate::Count;
use crate::lane_counters::LaneCounters;

const CALLERS: usize = 3;
const ITEMS: usize = 2;

fn ticket(caller: usize, bucket: usize) -> Ticket {
    // The answer of a single item is not awaited: the program counts the tickets that are run or dropped.
    let (reply, answer) = oneshot::channel();
    std::mem::forget(answer);
    let item = WorkItem {
        model: "model".into(),
        tenant: format!("tenant-{caller}").into(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(3_600),
        scheduling: Scheduling::default(),
    };
    Ticket {
        item,
        bucket: Bucket::new(vec![vec![bucket + 1]], Vec::new()),
        rows: 1,
        reply,
        offered: Instant::now(),
        span: tracing::Span::none(),
        id: 0,
        planned: Planned::Free,
    }
}

/// Two owner threads run the items of three callers, which have two shapes. Every item is run, once, and the owner threads
/// end when the queue is closed.
pub fn every_item_runs() {
    let bounds = Bounds { items_max: 64, rows_max: 4, pixels_max: u64::MAX, sessions: 2 };
    let (queue, meter) = (Arc::new(Queue::new(bounds)), Arc::new(LaneCounters::default()));
    let run = Arc::new(Count::default());
    let owners: Vec<_> = (0..2)
        .map(|_| {
            let (queue, meter, run) = (queue.clone(), meter.clone(), run.clone());
            thread::spawn(move || {
                while queue.wait(&meter) {
                    let Some(batch) = queue.take(&meter) else { continue };
                    batch.tickets.iter().for_each(|_| run.add());
                    thread::yield_now();
                    queue.ended(&batch.bucket, batch.rows, Some(Duration::from_millis(1)));
                }
            })
        })
        .collect();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (queue, meter) = (queue.clone(), meter.clone());
            thread::spawn(move || {
                for item in 0..ITEMS {
                    queue.offer(ticket(caller, item), &meter).expect("it is not full");
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    run.until(CALLERS * ITEMS);
    assert_eq!(queue.depth(), 0);
    queue.close(&"model".into());
    owners.into_iter().for_each(|owner| owner.join().unwrap());
}
