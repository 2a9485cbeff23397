//! A fair work queue (`work`) in front of a fixed number of worker processes.
//!
//! Owns queueing, affinity and the lifecycle of workers. Each worker has a worker supervisor, a thread of the host that
//! starts the process, exchanges frames with it, enforces time limits, kills and replaces it. (One thread per worker,
//! because the parent-death signal of a worker follows the *thread* that started it, and because copying pixels must
//! not block an async runtime.) Called by `open`; independent of file formats.

mod checks;
#[cfg(test)]
mod fuzz;
mod process;
pub mod status;
mod work;
mod work_queue;
mod worker_supervisor;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;

use futures::channel::oneshot;
use lector_core::fair::Account;
use lector_core::{Fault, Image, Size, TextLayer};

use crate::config::{DocumentConfig, DocumentError};
use crate::faults;
use crate::kind::Kind;
use crate::wire::{DocumentId, Limits, Opened, PageFacts};
use status::{Counters, WorkerTask};
use work::{Running, WorkQueue};

/// Largest number of waiting requests. Admission limits the pages in flight to far less.
const QUEUE_MAX: usize = 4_096;
/// Number of crashed workers after which the rest of a document is not read.
const CRASHES_PER_DOCUMENT_MAX: u32 = 16;

/// A document in the host. Dropping it closes the workers' copies of it.
pub(crate) struct DocumentHandle {
    pub id: DocumentId,
    /// Account that is charged for the work on it.
    pub account: Account,
    pub kind: Kind,
    pub password: Option<String>,
    pub limits: Limits,
    /// The bytes, created by the first worker's supervisor; every worker maps the same memory.
    pub file: OnceLock<OwnedFd>,
    /// Number of workers lost while reading it.
    pub crashes: AtomicU32,
    pool: Weak<Pool>,
}

impl Drop for DocumentHandle {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.forget(self.id);
        }
    }
}

/// Sender of an answer.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Fault>>;

pub(crate) enum Task {
    Open { bytes: Arc<Vec<u8>>, answer: Answer<Opened> },
    Facts { index: u32, answer: Answer<PageFacts> },
    Text { index: u32, answer: Answer<TextLayer> },
    Render { index: u32, size: Size, answer: Answer<Image> },
}

impl Task {
    /// Returns whether the caller has dropped the answer.
    pub(crate) fn is_withdrawn(&self) -> bool {
        match self {
            Task::Open { answer, .. } => answer.is_canceled(),
            Task::Facts { answer, .. } => answer.is_canceled(),
            Task::Text { answer, .. } => answer.is_canceled(),
            Task::Render { answer, .. } => answer.is_canceled(),
        }
    }

    pub(crate) fn fail(self, fault: Fault) {
        // The caller may have gone; then the error is dropped.
        match self {
            Task::Open { answer, .. } => drop(answer.send(Err(fault))),
            Task::Facts { answer, .. } => drop(answer.send(Err(fault))),
            Task::Text { answer, .. } => drop(answer.send(Err(fault))),
            Task::Render { answer, .. } => drop(answer.send(Err(fault))),
        }
    }
}

pub(crate) struct Job {
    pub handle: Arc<DocumentHandle>,
    pub task: Task,
}

pub(crate) struct Pool {
    pub config: DocumentConfig,
    pub counters: Counters,
    state: Mutex<State>,
    /// Set under the lock, so that no worker supervisor misses it before it sleeps; read without the lock.
    stopping: AtomicBool,
    /// One per worker, so that exactly the selected worker supervisor wakes up.
    wake: Vec<Condvar>,
    next_document: AtomicU64,
    worker_supervisors: Mutex<Vec<JoinHandle<()>>>,
}

struct State {
    slots: Vec<Slot>,
    queue: WorkQueue,
    /// Last error of a worker that did not start, while none runs.
    last_error: String,
}

/// State of one worker in the pool.
#[derive(Default)]
struct Slot {
    phase: Phase,
    /// Job that was assigned to an idle worker.
    job: Option<Job>,
    /// Charge of the worker's current job.
    running: Option<Running>,
    /// Documents open in the worker, least recently used first. Empty after a respawn.
    open: Vec<DocumentId>,
    /// Documents to close before the next job.
    forgotten: Vec<DocumentId>,
    pid: Option<u32>,
    /// Request that was sent to the worker and is not answered.
    task: Option<WorkerTask>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Phase {
    #[default]
    Starting,
    Idle,
    Busy,
    /// The worker could not be started; its supervisor tries again.
    Down,
}

impl Pool {
    /// Starts the worker supervisors and waits until every worker is ready, or one has failed.
    pub(crate) async fn start(config: DocumentConfig) -> Result<Arc<Pool>, DocumentError> {
        let pool = Pool::new(config);
        let mut ready = Vec::new();
        for index in 0..pool.wake.len() {
            let (sender, receiver) = oneshot::channel();
            let worker_supervisor = worker_supervisor::start(pool.clone(), index, sender)?;
            pool.worker_supervisors.lock().unwrap_or_else(PoisonError::into_inner).push(worker_supervisor);
            ready.push(receiver);
        }
        for receiver in ready {
            let outcome = receiver.await.unwrap_or_else(|_| {
                Err(DocumentError::NotReady { reason: "its worker supervisor ended".into() })
            });
            if let Err(error) = outcome {
                pool.stop();
                // Worker supervisors notice within a tick; the caller gets the error after all processes have ended.
                pool.join();
                return Err(error);
            }
        }
        Ok(pool)
    }

    /// Creates a pool whose workers are not started.
    fn new(config: DocumentConfig) -> Arc<Pool> {
        let workers = config.workers.max(1);
        Arc::new(Pool {
            config,
            counters: Counters::default(),
            state: Mutex::new(State {
                slots: (0..workers).map(|_| Slot::default()).collect(),
                queue: WorkQueue::default(),
                last_error: String::new(),
            }),
            stopping: AtomicBool::new(false),
            wake: (0..workers).map(|_| Condvar::new()).collect(),
            next_document: AtomicU64::new(1),
            worker_supervisors: Mutex::new(Vec::new()),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; a poisoned state is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn document(
        self: &Arc<Self>,
        account: Account,
        kind: Kind,
        password: Option<String>,
    ) -> Arc<DocumentHandle> {
        Arc::new(DocumentHandle {
            id: self.next_document.fetch_add(1, Ordering::Relaxed),
            account,
            kind,
            password,
            limits: Limits {
                pages_max: self.config.pages_max,
                image_pixels_max: self.config.image_pixels_max,
                text_characters_max: self.config.text_characters_max,
                text_words_max: self.config.text_words_max,
            },
            file: OnceLock::new(),
            crashes: AtomicU32::new(0),
            pool: Arc::downgrade(self),
        })
    }

    /// Queues a job; the next idle worker takes it.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Fault> {
        let crashes = job.handle.crashes.load(Ordering::Relaxed);
        if crashes >= CRASHES_PER_DOCUMENT_MAX {
            return Err(faults::given_up(crashes));
        }
        let mut state = self.state();
        if self.is_stopping() {
            return Err(faults::unavailable("the pool is stopping"));
        }
        if state.slots.iter().all(|slot| slot.phase == Phase::Down) {
            return Err(faults::unavailable(&state.last_error));
        }
        if state.queue.len() >= QUEUE_MAX {
            return Err(faults::busy());
        }
        state.queue.push(job);
        self.assign(&mut state, None);
        Ok(())
    }

    /// Assigns waiting jobs to idle workers: to one that has the document open if there is one, then to `preferred`.
    fn assign(&self, state: &mut State, preferred: Option<usize>) {
        let State { slots, queue, .. } = state;
        let workers = slots.iter().filter(|slot| slot.phase != Phase::Down).count();
        let idle = |slot: &Slot| slot.phase == Phase::Idle;
        while slots.iter().any(idle)
            && let Some((job, running)) = queue.pop(workers)
        {
            let document = job.handle.id;
            let chosen = slots
                .iter()
                .position(|slot| idle(slot) && slot.open.contains(&document))
                .or_else(|| preferred.filter(|index| slots.get(*index).is_some_and(idle)))
                .or_else(|| slots.iter().position(idle));
            let Some((index, slot)) = chosen.and_then(|index| Some((index, slots.get_mut(index)?))) else {
                return;
            };
            slot.phase = Phase::Busy;
            (slot.job, slot.running) = (Some(job), Some(running));
            self.notify(index);
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn notify(&self, index: usize) {
        if let Some(wake) = self.wake.get(index) {
            wake.notify_one();
        }
    }

    /// Closes a dropped document in the workers, which frees its memory there.
    fn forget(&self, document: DocumentId) {
        let mut state = self.state();
        for (index, slot) in state.slots.iter_mut().enumerate() {
            if let Some(place) = slot.open.iter().position(|open| *open == document) {
                slot.open.remove(place);
                slot.forgotten.push(document);
                self.notify(index);
            }
        }
    }

    /// Stops the pool: waiting jobs fail, worker supervisors kill their workers. Does not wait.
    pub(crate) fn stop(&self) {
        let jobs: Vec<Job> = {
            let mut state = self.state();
            self.stopping.store(true, Ordering::Release);
            state.queue.drain()
        };
        for wake in &self.wake {
            wake.notify_all();
        }
        for job in jobs {
            job.task.fail(faults::unavailable("the pool is stopping"));
        }
    }

    /// After [`Pool::stop`]: waits for the worker supervisors, and so for the end of every worker process.
    pub(crate) fn join(&self) {
        let worker_supervisors =
            std::mem::take(&mut *self.worker_supervisors.lock().unwrap_or_else(PoisonError::into_inner));
        for worker_supervisor in worker_supervisors {
            // A worker supervisor never joins itself, and the runtime has reported its panic.
            let _ = worker_supervisor.join();
        }
    }
}
