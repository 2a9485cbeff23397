//! The dispatcher: which worker runs which job, and what each worker holds.
//!
//! Owns the state of the pool under one lock: the work queue, one slot for each worker, affinity. `slot` has the rules by
//! which tenants share the workers. A worker process serves one tenant; its supervisor replaces it before a job of another.
//! Starts no process and parses nothing. Called by `open` (jobs) and by the worker supervisors (next job, lifecycle, open
//! documents).

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use lector_core::Fault;
use lector_core::fair::Account;

use super::job::{DocumentHandle, Job};
use super::slot::{Phase, Slot, make_way, offer, staying};
use super::status::{Counters, WorkerProcess, WorkerTask, WorkersStatus};
use super::work::WorkQueue;
use crate::config::{DocumentConfig, DocumentError};
use crate::faults;
use crate::kind::Kind;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wire::{DocumentId, Limits};

/// Largest number of waiting requests of all tenants.
pub(super) const QUEUE_MAX: usize = 4_096;
/// Number of crashed workers after which the rest of a document is not read.
const CRASHES_PER_DOCUMENT_MAX: u32 = 16;
/// Interval at which an idle worker supervisor checks that its worker is alive.
const CHECK_EVERY: Duration = Duration::from_secs(1);

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

pub(super) struct State {
    pub(super) slots: Vec<Slot>,
    pub(super) queue: WorkQueue,
    /// Last error of a worker that did not start, while none runs.
    last_error: String,
}

impl Pool {
    /// Creates a pool whose workers are not started.
    pub(super) fn new(config: DocumentConfig) -> Arc<Pool> {
        let workers = config.workers.max(1).saturating_add(config.reserve_workers);
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

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; a poisoned state is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn document(
        self: &Arc<Self>,
        account: Account,
        kind: Kind,
        password: Option<String>,
    ) -> Arc<DocumentHandle> {
        let pool = Arc::downgrade(self);
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
            close: Box::new(move |document| {
                if let Some(pool) = pool.upgrade() {
                    pool.forget(document);
                }
            }),
        })
    }

    /// Queues a job; the next idle worker takes it. Where the queue is full, the newest job of the tenant with the most jobs
    /// for its weight fails in its place, unless the job's own tenant has as many: a tenant that floods the queue is refused,
    /// and other tenants are not.
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
        let mut displaced = None;
        if state.queue.len() >= QUEUE_MAX {
            displaced = Some(state.queue.displace(&job.handle.account).ok_or_else(faults::busy)?);
        }
        state.queue.push(job);
        self.assign(&mut state, None);
        let State { slots, queue, .. } = &mut *state;
        make_way(slots, queue);
        // The end of a job may drop its document, which takes the lock.
        drop(state);
        if let Some(Job { handle, task, .. }) = displaced {
            task.fail(faults::busy());
            drop(handle);
        }
        Ok(())
    }

    /// Assigns waiting jobs to idle workers. A worker serves one tenant, and its process is replaced for another; so the
    /// choice among idle workers is one that has the document open, one of the job's tenant, a new one, `preferred`, any.
    pub(super) fn assign(&self, state: &mut State, preferred: Option<usize>) {
        let State { slots, queue, .. } = state;
        let idle = |slot: &Slot| slot.phase == Phase::Idle;
        while slots.iter().any(idle)
            && let Some((job, running)) =
                queue.pop(&offer(slots, self.config.reserve_workers), |first| staying(slots, first))
        {
            let (document, tenant) = (job.handle.id, &job.handle.account.tenant);
            let find =
                |wanted: &dyn Fn(&Slot) -> bool| slots.iter().position(|slot| idle(slot) && wanted(slot));
            let chosen = find(&|slot| slot.open.contains(&document))
                .or_else(|| find(&|slot| slot.tenant.as_ref() == Some(tenant)))
                .or_else(|| find(&|slot| slot.tenant.is_none()))
                .or_else(|| preferred.filter(|index| slots.get(*index).is_some_and(idle)))
                .or_else(|| find(&|_| true));
            let Some((index, slot)) = chosen.and_then(|index| Some((index, slots.get_mut(index)?))) else {
                return;
            };
            slot.phase = Phase::Busy;
            slot.tenant = Some(tenant.clone());
            (slot.job, slot.running) = (Some(job), Some(running));
            self.notify(index);
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
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

    /// Keeps the thread of a supervisor for [`Pool::join`].
    pub(super) fn supervised(&self, supervisor: JoinHandle<()>) {
        self.worker_supervisors.lock().unwrap_or_else(PoisonError::into_inner).push(supervisor);
    }

    /// Returns the configured number of workers, the reserve included.
    pub(super) fn workers(&self) -> usize {
        self.wake.len()
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

    /// Returns a snapshot of the workers.
    pub(crate) fn status(&self) -> WorkersStatus {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = self.state();
        // A worker whose process is replaced for its next job serves on: readiness must not change with every tenant.
        let alive = state.slots.iter().filter(|slot| match slot.phase {
            Phase::Idle | Phase::Busy => slot.pid.is_some(),
            Phase::Starting => slot.job.is_some(),
            Phase::Down => false,
        });
        WorkersStatus {
            workers: state.slots.len(),
            alive: alive.clone().count(),
            idle: state.slots.iter().filter(|slot| slot.phase == Phase::Idle).count(),
            processes: alive
                .filter_map(|slot| Some(WorkerProcess { pid: slot.pid?, task: slot.task }))
                .collect(),
            queued: state.queue.len(),
            answered: load(&self.counters.answered),
            respawns: load(&self.counters.respawns),
            crashes: load(&self.counters.crashes),
            timeouts: load(&self.counters.timeouts),
            recycled: load(&self.counters.recycled),
            gave_way: load(&self.counters.gave_way),
            sandbox: self.counters.sandbox(),
        }
    }
}

/// Next action of a worker supervisor.
pub(super) enum Next {
    Job(Job),
    /// Closes these documents in the worker.
    Close(Vec<DocumentId>),
    /// Checks that the process is alive.
    Check,
    Stop,
}

impl Pool {
    /// Waits for the next action.
    pub(super) fn next(&self, index: usize) -> Next {
        let mut state = self.state();
        loop {
            if self.is_stopping() {
                return Next::Stop;
            }
            let State { slots, queue, .. } = &mut *state;
            let (Some(slot), Some(wake)) = (slots.get_mut(index), self.wake.get(index)) else {
                return Next::Stop;
            };
            slot.settle(queue);
            if !slot.forgotten.is_empty() {
                return Next::Close(std::mem::take(&mut slot.forgotten));
            }
            if slot.job.is_none() {
                slot.phase = Phase::Idle;
                // Assigns jobs to all workers: the end of an open may let another idle worker start the next one.
                self.assign(&mut state, Some(index));
            }
            if let Some(slot) = state.slots.get_mut(index)
                && let Some(job) = slot.job.take()
            {
                slot.phase = Phase::Busy;
                return Next::Job(job);
            }
            let (woken, timeout) = match wake.wait_timeout(state, CHECK_EVERY) {
                Ok(woken) => woken,
                Err(poisoned) => poisoned.into_inner(),
            };
            state = woken;
            if timeout.timed_out() && state.slots.get(index).is_some_and(|slot| slot.job.is_none()) {
                return Next::Check;
            }
        }
    }

    /// Sleeps between two attempts to start a worker; ends early when the pool stops.
    pub(super) fn pause(&self, index: usize, time: Duration) {
        let state = self.state();
        if let Some(wake) = self.wake.get(index).filter(|_| !self.is_stopping()) {
            drop(wake.wait_timeout(state, time));
        }
    }

    fn slot<T>(&self, index: usize, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        self.state().slots.get_mut(index).map(change)
    }

    /// Records that the worker is ready: from here on it counts as alive. Its supervisor asks for its first job next.
    pub(super) fn started(&self, index: usize, pid: u32) {
        self.slot(index, |slot| {
            slot.pid = Some(pid);
            if slot.job.is_none() {
                slot.phase = Phase::Idle;
            }
        });
    }

    /// Returns whether the worker's job must give way. Called at every tick of its supervisor.
    pub(super) fn must_give_way(&self, index: usize) -> bool {
        let mut state = self.state();
        let State { slots, queue, .. } = &mut *state;
        make_way(slots, queue);
        slots.get(index).is_some_and(|slot| slot.gives_way)
    }

    /// Records that the worker's job has given way, and queues it as a known slow job. The caller ends the process.
    pub(super) fn gave_way(&self, index: usize, job: Job) {
        let mut state = self.state();
        let State { slots, queue, .. } = &mut *state;
        if let Some(slot) = slots.get_mut(index) {
            slot.settle(queue);
        }
        if self.is_stopping() {
            drop(state);
            job.task.fail(faults::unavailable("the pool is stopping"));
            return;
        }
        Counters::count(&self.counters.gave_way);
        queue.push(Job { known_slow: true, ..job });
    }

    /// Records the request that the worker is answering; `None`: it has answered, or is lost.
    pub(super) fn working(&self, index: usize, task: Option<WorkerTask>) {
        self.slot(index, |slot| slot.task = task);
    }

    /// Records that the worker and its open documents are lost.
    pub(super) fn lost(&self, index: usize) {
        let mut state = self.state();
        let State { slots, queue, .. } = &mut *state;
        if let Some(slot) = slots.get_mut(index) {
            slot.settle(queue);
            slot.phase = Phase::Starting;
            slot.pid = None;
            slot.task = None;
            slot.open.clear();
            slot.forgotten.clear();
            // The replacement has served no tenant; a job that was handed back decides its first.
            slot.tenant = slot.job.as_ref().map(|job| job.handle.account.tenant.clone());
        }
    }

    /// Records that the worker does not start. If no worker is left, the waiting jobs fail.
    pub(super) fn down(&self, index: usize, error: &DocumentError) {
        let stranded: Vec<Job> = {
            let mut state = self.state();
            state.last_error = error.to_string();
            let mut stranded: Vec<Job> = Vec::new();
            let State { slots, queue, .. } = &mut *state;
            if let Some(slot) = slots.get_mut(index) {
                slot.phase = Phase::Down;
                stranded.extend(slot.job.take());
                slot.tenant = None;
                slot.settle(queue);
            }
            if slots.iter().all(|slot| slot.phase == Phase::Down) {
                stranded.extend(queue.drain());
            }
            stranded
        };
        for job in stranded {
            job.task.fail(faults::unavailable(error));
        }
    }

    /// Records that the worker's process is replaced because its next job, which is handed back, is of another tenant.
    pub(super) fn recycled(&self, index: usize, job: Job) {
        Counters::count(&self.counters.recycled);
        self.hand_back(index, job);
    }

    /// Hands a job that its worker never received to the replacement.
    pub(super) fn hand_back(&self, index: usize, job: Job) {
        self.slot(index, |slot| slot.job = Some(job));
    }

    /// Marks the document as used; `false` where it is not open in the worker.
    pub(super) fn touch(&self, index: usize, document: DocumentId) -> bool {
        let found = self.slot(index, |slot| {
            let place = slot.open.iter().position(|open| *open == document)?;
            let document = slot.open.remove(place);
            slot.open.push(document);
            Some(())
        });
        found.flatten().is_some()
    }

    pub(super) fn opened(&self, index: usize, document: DocumentId) {
        self.slot(index, |slot| slot.open.push(document));
    }

    /// Removes and returns the least recently used document, where more than `keep` are open.
    pub(super) fn evict(&self, index: usize, keep: usize) -> Option<DocumentId> {
        self.slot(index, |slot| (slot.open.len() > keep).then(|| slot.open.remove(0))).flatten()
    }
}
