//! The workers and the work: a fair queue (`work`) in front of a fixed number of processes.
//!
//! Owns queueing, affinity and the life of workers. Each worker has a keeper, a thread of the host that
//! starts the process, speaks with it, times it, kills and replaces it. (A thread each, since a worker
//! is told to die with the *thread* that started it, and since copying pixels must not hold up an async
//! runtime.) Called by `open`; knows no file format.

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

/// Requests that may wait. Admission in front of the host bounds pages in flight far below this.
const QUEUE_MAX: usize = 4_096;
/// A document that has cost this many workers is read no further.
const CRASHES_PER_DOCUMENT_MAX: u32 = 16;

/// A document as the host holds it. The workers' copies of it are closed when this is dropped.
pub(crate) struct DocumentHandle {
    pub id: DocumentId,
    /// Pays for the work on it.
    pub account: Account,
    pub kind: Kind,
    pub password: Option<String>,
    pub limits: Limits,
    /// The bytes, made by the first worker's keeper; every worker maps the same memory.
    pub file: OnceLock<OwnedFd>,
    /// Workers lost over it.
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

/// A waiting answer.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Fault>>;

pub(crate) enum Task {
    Open { bytes: Arc<Vec<u8>>, answer: Answer<Opened> },
    Facts { index: u32, answer: Answer<PageFacts> },
    Text { index: u32, answer: Answer<TextLayer> },
    Render { index: u32, size: Size, answer: Answer<Image> },
}

impl Task {
    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_withdrawn(&self) -> bool {
        match self {
            Task::Open { answer, .. } => answer.is_canceled(),
            Task::Facts { answer, .. } => answer.is_canceled(),
            Task::Text { answer, .. } => answer.is_canceled(),
            Task::Render { answer, .. } => answer.is_canceled(),
        }
    }

    pub(crate) fn fail(self, fault: Fault) {
        // A caller that has gone does not need to know.
        match self {
            Task::Open { answer, .. } => drop(answer.send(Err(fault))),
            Task::Facts { answer, .. } => drop(answer.send(Err(fault))),
            Task::Text { answer, .. } => drop(answer.send(Err(fault))),
            Task::Render { answer, .. } => drop(answer.send(Err(fault))),
        }
    }
}

pub(crate) struct Job {
    pub body: Arc<DocumentHandle>,
    pub task: Task,
}

pub(crate) struct Pool {
    pub config: DocumentConfig,
    pub counters: Counters,
    state: Mutex<State>,
    /// Set under the lock, so that no keeper misses it on its way to sleep; read without.
    stopping: AtomicBool,
    /// One for each worker, so that exactly the chosen keeper wakes up.
    wake: Vec<Condvar>,
    next_document: AtomicU64,
    keepers: Mutex<Vec<JoinHandle<()>>>,
}

struct State {
    slots: Vec<Slot>,
    queue: WorkQueue,
    /// Why the last worker did not start, while none runs.
    trouble: String,
}

/// What the pool knows of one worker.
#[derive(Default)]
struct Slot {
    phase: Phase,
    /// Handed to an idle worker's keeper.
    job: Option<Job>,
    /// The charge of the job that the worker has.
    running: Option<Running>,
    /// Open in the worker, least recently used first. Empty again after a respawn.
    open: Vec<DocumentId>,
    /// To be closed at the next opportunity.
    forgotten: Vec<DocumentId>,
    pid: Option<u32>,
    /// Sent to the worker and not answered.
    task: Option<WorkerTask>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Phase {
    #[default]
    Starting,
    Idle,
    Busy,
    /// Could not be started; being tried again.
    Down,
}

impl Pool {
    /// Starts the keepers and waits until each has a worker that is ready, or one has failed.
    pub(crate) async fn start(config: DocumentConfig) -> Result<Arc<Pool>, DocumentError> {
        let pool = Pool::new(config);
        let mut ready = Vec::new();
        for index in 0..pool.wake.len() {
            let (sender, receiver) = oneshot::channel();
            let worker_supervisor = worker_supervisor::start(pool.clone(), index, sender)?;
            pool.keepers.lock().unwrap_or_else(PoisonError::into_inner).push(worker_supervisor);
            ready.push(receiver);
        }
        for receiver in ready {
            let outcome = receiver
                .await
                .unwrap_or_else(|_| Err(DocumentError::NotReady { reason: "its keeper ended".into() }));
            if let Err(error) = outcome {
                pool.stop();
                // Keepers notice within a tick; the caller gets no error before the processes are gone.
                pool.join();
                return Err(error);
            }
        }
        Ok(pool)
    }

    /// A pool whose workers are not started.
    fn new(config: DocumentConfig) -> Arc<Pool> {
        let workers = config.workers.max(1);
        Arc::new(Pool {
            config,
            counters: Counters::default(),
            state: Mutex::new(State {
                slots: (0..workers).map(|_| Slot::default()).collect(),
                queue: WorkQueue::default(),
                trouble: String::new(),
            }),
            stopping: AtomicBool::new(false),
            wake: (0..workers).map(|_| Condvar::new()).collect(),
            next_document: AtomicU64::new(1),
            keepers: Mutex::new(Vec::new()),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding the lock; a poisoned state is still a sound one.
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

    /// Puts a job into the queue, from where the next idle worker takes it.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Fault> {
        let crashes = job.body.crashes.load(Ordering::Relaxed);
        if crashes >= CRASHES_PER_DOCUMENT_MAX {
            return Err(faults::given_up(crashes));
        }
        let mut state = self.state();
        if self.is_stopping() {
            return Err(faults::unavailable("the pool is stopping"));
        }
        if state.slots.iter().all(|slot| slot.phase == Phase::Down) {
            return Err(faults::unavailable(&state.trouble));
        }
        if state.queue.len() >= QUEUE_MAX {
            return Err(faults::busy());
        }
        state.queue.push(job);
        self.assign(&mut state, None);
        Ok(())
    }

    /// Hands waiting jobs to idle workers: to one that has the document open if there is one, then to `preferred`.
    fn assign(&self, state: &mut State, preferred: Option<usize>) {
        let State { slots, queue, .. } = state;
        let workers = slots.iter().filter(|slot| slot.phase != Phase::Down).count();
        let idle = |slot: &Slot| slot.phase == Phase::Idle;
        while slots.iter().any(idle)
            && let Some((job, running)) = queue.pop(workers)
        {
            let document = job.body.id;
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

    /// A document is gone: its memory in the workers goes too.
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

    /// Ends everything: waiting jobs fail, keepers kill their workers. Does not wait.
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

    /// After [`Pool::stop`]: waits for the keepers, and so for the end of every worker process.
    pub(crate) fn join(&self) {
        let keepers = std::mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        for worker_supervisor in keepers {
            // A keeper never joins itself, and its panic was reported by the runtime.
            let _ = worker_supervisor.join();
        }
    }
}
