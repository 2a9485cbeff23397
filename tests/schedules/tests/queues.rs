//! The queue of a lane and the dispatcher of the document workers, between the threads that fill them and those that work: no
//! schedule loses a wake-up (a deadlock, which ends the run), an item, or the end of a thread.

use lector_schedules::{lane, pool};

/// Schedules of each program: some seconds in all.
const SCHEDULES: usize = 1_000;

#[test]
fn every_item_of_a_lane_runs() {
    shuttle::check_random(lane::program::every_item_runs, SCHEDULES);
    shuttle::check_pct(lane::program::every_item_runs, SCHEDULES, 3);
}

#[test]
fn every_job_of_the_document_workers_is_run() {
    for once in [false, true] {
        shuttle::check_random(move || pool::program::every_job_is_run(once), SCHEDULES);
        shuttle::check_pct(move || pool::program::every_job_is_run(once), SCHEDULES, 3);
    }
}
