//! Callers that submit jobs to the document workers, and supervisors that take them.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use lector_core::Size;
use lector_core::fair::Account;
use shuttle::thread;

use super::dispatch::{Next, Pool};
use super::job::{Job, Task};
use crate::Count;
use crate::config::DocumentConfig;
use crate::kind::Kind;

const JOBS: usize = 2;

fn pool(workers: usize, reserve_workers: usize) -> Arc<Pool> {
    let time = Duration::from_secs(60);
    Pool::new(DocumentConfig {
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
    })
}

/// Three tenants submit an open and a render each; two workers and one in reserve run them. `once`: the first job of a worker
/// gives way, and its process is replaced. Every job is run to its end, and the supervisors end with the pool.
pub fn every_job_is_run(once: bool) {
    let (pool, ended) = (pool(2, 1), Arc::new(Count::default()));
    let supervisors: Vec<_> = (0..3)
        .map(|worker| {
            let (pool, ended) = (pool.clone(), ended.clone());
            thread::spawn(move || {
                let mut gives_way = once && worker == 0;
                loop {
                    match pool.next(worker) {
                        Next::Stop => return,
                        Next::Check => panic!("nothing ends the wait but a job or the end"),
                        Next::Close(_) => {}
                        Next::Job(job) if std::mem::take(&mut gives_way) => {
                            pool.gave_way(worker, job);
                            pool.lost(worker);
                        }
                        Next::Job(job) => {
                            assert!(!pool.must_give_way(worker), "no job is slow");
                            thread::yield_now();
                            drop(job);
                            ended.add();
                        }
                    }
                }
            })
        })
        .collect();
    let callers: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|tenant| {
            let pool = pool.clone();
            thread::spawn(move || {
                let handle = pool.document(Account::new(tenant.into(), 100), Kind::Pdf, None);
                for number in 0..JOBS {
                    let task = if number == 0 {
                        let (answer, receiver) = oneshot::channel();
                        std::mem::forget(receiver);
                        Task::Open { bytes: Arc::default(), answer }
                    } else {
                        let (answer, receiver) = oneshot::channel();
                        std::mem::forget(receiver);
                        Task::Render { index: 0, size: Size { width: 1, height: 1 }, answer }
                    };
                    pool.submit(Job::new(handle.clone(), task)).expect("it is not full");
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    ended.until(3 * JOBS);
    assert_eq!(pool.status().queued, 0);
    pool.stop();
    supervisors.into_iter().for_each(|supervisor| supervisor.join().unwrap());
}
