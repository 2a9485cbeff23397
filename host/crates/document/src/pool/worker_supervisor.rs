//! The thread that supervises one worker: sends it jobs, enforces time limits, replaces it when it is lost.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use lector_core::{Fault, Image, TenantName};

use super::checks;
use super::dispatch::{Next, Pool};
use super::job::{DocumentHandle, Job, Task};
use super::process::{Failure, Process};
use super::status::{Counters, WorkerTask};
use super::watch::{Stop, Tick, Watch};
use crate::config::DocumentError;
use crate::faults::{self, Refusal, Stage};
use crate::shared;
use crate::wire::{Opened, Reply, Request};

/// Largest number of documents open in one worker; the least recently used is closed for the next.
const OPEN_MAX: usize = 8;
/// Number of requests after which a worker is replaced: this bounds memory leaks of libraries and unnoticed corruption
/// by a document. A start takes about 20 ms.
const REQUESTS_PER_WORKER_MAX: u32 = 2_000;
/// Computing time for one request after which the worker's process gets a low priority, so that slow jobs do not take the
/// cores from guests, models and other workers. A process cannot get its priority back, and is replaced after the request;
/// the start takes a small part of this time.
const LOW_PRIORITY_AFTER: Duration = Duration::from_millis(500);
/// The low priority: about a tenth of the share of a usual process where both want a core (`sched(7)`).
const LOW_PRIORITY: i32 = 10;
/// Pause between two attempts to start a worker, doubled after each failure.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Largest number of consecutive workers that may be found dead when a request is sent.
const UNSENT_MAX: u32 = 3;

type Ready = oneshot::Sender<Result<(), DocumentError>>;

/// Starts the supervisor of worker `index`; `ready` receives the result of the first start.
pub(super) fn start(pool: Arc<Pool>, index: usize, ready: Ready) -> Result<JoinHandle<()>, DocumentError> {
    let worker_supervisor = WorkerSupervisor { pool, index, unsent: 0 };
    std::thread::Builder::new()
        .name(format!("documents-{index}"))
        .spawn(move || worker_supervisor.run(ready))
        .map_err(|source| DocumentError::Spawn { command: "a worker supervisor thread".into(), source })
}

pub(super) struct WorkerSupervisor {
    pub(super) pool: Arc<Pool>,
    index: usize,
    /// Consecutive requests that found their worker dead.
    unsent: u32,
}

/// Reason why a process is not used any longer.
#[derive(PartialEq, Eq)]
enum End {
    /// It was lost or has served long enough, or the pool stops.
    Lost,
    /// The next job is of another tenant.
    OtherTenant,
    /// It ran a slow job: it was ended for a job of another tenant, or has a low priority.
    Slow,
}

/// Outcome of a job.
pub(super) enum Outcome {
    Served,
    /// The worker must be replaced.
    Lost,
    /// The worker must be replaced, and the job was not begun.
    Unsent(Job),
    /// The worker must be replaced, and the job starts again later.
    GaveWay(Job),
}

/// Reason why a request has no regular reply.
pub(super) enum NoReply {
    Refused(Fault),
    Lost(Fault),
    Unsent,
    GaveWay,
}

impl WorkerSupervisor {
    fn run(mut self, ready: Ready) {
        let mut ready = Some(ready);
        let mut backoff = BACKOFF_MIN;
        while !self.pool.is_stopping() {
            match Process::start(&self.pool.config, || !self.pool.is_stopping()) {
                Ok(process) => {
                    backoff = BACKOFF_MIN;
                    self.pool.counters.sandboxed(process.report.clone());
                    self.pool.started(self.index, process.pid());
                    if let Some(ready) = ready.take() {
                        // The receiver is dropped where another worker has failed already.
                        let _ = ready.send(Ok(()));
                    }
                    let end = self.serve(process);
                    self.pool.lost(self.index);
                    if end == End::Lost && !self.pool.is_stopping() {
                        Counters::count(&self.pool.counters.respawns);
                    }
                }
                Err(error) => {
                    if let Some(ready) = ready.take() {
                        let _ = ready.send(Err(error));
                        return;
                    }
                    if self.pool.is_stopping() {
                        return;
                    }
                    tracing::error!(worker = self.index, %error, retry = ?backoff, "a render worker cannot be started");
                    self.pool.down(self.index, &error);
                    self.pool.pause(self.index, backoff);
                    backoff = BACKOFF_MAX.min(backoff * 2);
                }
            }
        }
    }

    /// Runs jobs until the process must be replaced or the pool stops; the process ends with this call.
    fn serve(&mut self, mut process: Process) -> End {
        let mut requests = 0_u32;
        let mut tenant: Option<TenantName> = None;
        while requests < REQUESTS_PER_WORKER_MAX {
            match self.pool.next(self.index) {
                Next::Stop => return End::Lost,
                Next::Check if process.is_alive() => {}
                Next::Check => {
                    tracing::warn!(worker = self.index, pid = process.pid(), "an idle render worker died");
                    return End::Lost;
                }
                Next::Close(documents) => {
                    for document in documents {
                        process.send_unanswered(&Request::Close { document });
                    }
                }
                Next::Job(job) if job.task.is_withdrawn() => drop(job),
                Next::Job(job)
                    if tenant.as_ref().is_some_and(|tenant| *tenant != job.handle.account.tenant) =>
                {
                    self.pool.recycled(self.index, job);
                    return End::OtherTenant;
                }
                Next::Job(job) => {
                    tenant.get_or_insert_with(|| job.handle.account.tenant.clone());
                    requests += 1;
                    match self.work(&mut process, job) {
                        Outcome::Served => {
                            self.unsent = 0;
                            Counters::count(&self.pool.counters.answered);
                            if process.has_low_priority() {
                                return End::Slow;
                            }
                        }
                        Outcome::GaveWay(job) => {
                            self.pool.gave_way(self.index, job);
                            return End::Slow;
                        }
                        Outcome::Lost => return End::Lost,
                        Outcome::Unsent(job) if self.unsent < UNSENT_MAX => {
                            self.unsent += 1;
                            self.pool.hand_back(self.index, job);
                            return End::Lost;
                        }
                        Outcome::Unsent(job) => {
                            job.task.fail(faults::unavailable("render workers die right after their start"));
                            return End::Lost;
                        }
                    }
                }
            }
        }
        End::Lost
    }

    fn work(&self, process: &mut Process, job: Job) -> Outcome {
        let Job { handle, task, known_slow } = job;
        let opened = match self.open(process, &handle, &task) {
            Ok(opened) => opened,
            Err(no_reply) => return self.give_up(no_reply, Job { handle, task, known_slow }),
        };
        let document = handle.id;
        let config = &self.pool.config;
        // The caller may have gone; then the answer is dropped.
        match task {
            Task::Open { answer, .. } => {
                if let Some(opened) = opened {
                    let _ = answer.send(Ok(opened));
                }
            }
            Task::Facts { index, .. } => {
                let request = Request::Facts { document, index };
                match self.ask(process, (Stage::Page, config.text_timeout), &request, None, &handle, &task) {
                    Ok(Reply::Facts(facts)) if checks::facts(&facts, &handle) => {
                        if let Task::Facts { answer, .. } = task {
                            let _ = answer.send(Ok(facts));
                        }
                    }
                    Ok(_) => return self.invalid_answer(Stage::Page, Job { handle, task, known_slow }),
                    Err(no_reply) => return self.give_up(no_reply, Job { handle, task, known_slow }),
                }
            }
            Task::Text { index, .. } => {
                let request = Request::Text { document, index };
                match self.ask(process, (Stage::Text, config.text_timeout), &request, None, &handle, &task) {
                    Ok(Reply::Text(layer)) if checks::text_layer(&layer, &handle) => {
                        if let Task::Text { answer, .. } = task {
                            let _ = answer.send(Ok(layer));
                        }
                    }
                    Ok(_) => return self.invalid_answer(Stage::Text, Job { handle, task, known_slow }),
                    Err(no_reply) => return self.give_up(no_reply, Job { handle, task, known_slow }),
                }
            }
            Task::Render { index, size, .. } => {
                let len = size.pixels().saturating_mul(3);
                let pixels = match shared::pixel_buffer(len) {
                    Ok(pixels) => pixels,
                    Err(e) => {
                        task.fail(faults::unavailable(format!("allocating {len} bytes for pixels: {e}")));
                        return Outcome::Served;
                    }
                };
                let request = Request::Render { document, index, size };
                let limit = (Stage::Render, config.render_timeout);
                match self.ask(process, limit, &request, Some(pixels.as_fd()), &handle, &task) {
                    Ok(Reply::Rendered) => {
                        let copied = shared::copy_out(&pixels, usize::try_from(len).unwrap_or(usize::MAX));
                        let image = copied.ok().and_then(|rgb| Image::from_rgb(size, rgb));
                        if let Task::Render { answer, .. } = task {
                            let missing =
                                || faults::unavailable(format!("no memory for an image of {len} bytes"));
                            let _ = answer.send(image.ok_or_else(missing));
                        }
                    }
                    Ok(_) => return self.invalid_answer(Stage::Render, Job { handle, task, known_slow }),
                    Err(no_reply) => return self.give_up(no_reply, Job { handle, task, known_slow }),
                }
            }
            Task::Compose { .. } => return self.compose(process, Job { handle, task, known_slow }),
        }
        Outcome::Served
    }

    /// Opens the document in the worker unless it is open; returns its description if it was opened now.
    fn open(
        &self,
        process: &mut Process,
        handle: &Arc<DocumentHandle>,
        task: &Task,
    ) -> Result<Option<Opened>, NoReply> {
        if self.pool.touch(self.index, handle.id) {
            return Ok(None);
        }
        if let Task::Open { bytes, .. } = task
            && handle.file.get().is_none()
        {
            let file = shared::sealed_copy(bytes).map_err(|e| {
                NoReply::Refused(faults::unavailable(format!(
                    "allocating {} bytes for the document: {e}",
                    bytes.len()
                )))
            })?;
            // Only the supervisor that has the opening task gets here.
            let _ = handle.file.set(file);
        }
        let file = handle.file.get().ok_or_else(|| {
            NoReply::Refused(faults::unavailable("a document was used before it was opened"))
        })?;
        while let Some(document) = self.pool.evict(self.index, OPEN_MAX - 1) {
            process.send_unanswered(&Request::Close { document });
        }
        let request = Request::Open {
            document: handle.id,
            kind: handle.kind,
            password: handle.password.clone(),
            limits: handle.limits,
        };
        let limit = (Stage::Open, self.pool.config.open_timeout);
        match self.ask(process, limit, &request, Some(file.as_fd()), handle, task)? {
            Reply::Opened(opened) if checks::opened(&opened, handle) => {
                self.pool.opened(self.index, handle.id);
                Ok(Some(opened))
            }
            _ => Err(NoReply::Lost(Stage::Open.crashed("the worker sent an invalid answer"))),
        }
    }

    /// Sends one request and waits for the reply: at most `limit`, while the caller waits and the pool runs.
    pub(super) fn ask(
        &self,
        process: &mut Process,
        (stage, limit): (Stage, Duration),
        request: &Request,
        fd: Option<BorrowedFd<'_>>,
        handle: &DocumentHandle,
        task: &Task,
    ) -> Result<Reply, NoReply> {
        let cpu_max = match stage {
            Stage::Open | Stage::Compose => self.pool.config.open_cpu,
            Stage::Page | Stage::Text | Stage::Render => self.pool.config.page_cpu,
        };
        let mut watch = Watch::new(cpu_max, Instant::now() + limit);
        let (clock, priority) = (process.clock(), process.priority());
        // `None` where the process has ended, which the exchange below reports.
        let begun = clock.read();
        let mut stop = None;
        let go_on = || {
            let used =
                begun.zip(clock.read()).map_or(Duration::ZERO, |(begun, now)| now.saturating_sub(begun));
            if used > LOW_PRIORITY_AFTER {
                priority.lower(LOW_PRIORITY);
            }
            let (is_withdrawn, is_stopping) = (task.is_withdrawn(), self.pool.is_stopping());
            let tick = Tick { now: Instant::now(), used, is_withdrawn, is_stopping };
            stop = watch.stop(tick, || self.pool.must_give_way(self.index));
            stop.is_none()
        };
        let sent = process.send(request, fd);
        if sent.is_ok() {
            self.pool.working(self.index, WorkerTask::of(request));
        }
        let reply = sent.and_then(|()| process.receive(go_on));
        self.pool.working(self.index, None);
        match reply {
            Ok(Reply::Refused(refusal)) => Err(NoReply::Refused(refusal.into())),
            Ok(reply) => Ok(reply),
            Err(Failure::Unsent) => Err(NoReply::Unsent),
            Err(Failure::Unanswered) => Err(match stop {
                Some(Stop::GaveWay) => {
                    tracing::debug!(
                        pid = process.pid(),
                        ?stage,
                        "a slow request gives way to another tenant's; it starts again later"
                    );
                    NoReply::GaveWay
                }
                Some(Stop::Cpu) => NoReply::Lost(self.exceeded(stage.cpu_exceeded(cpu_max), process, handle)),
                Some(Stop::Deadline) => NoReply::Lost(self.exceeded(stage.timed_out(limit), process, handle)),
                Some(Stop::Withdrawn) => {
                    let pid = process.pid();
                    tracing::debug!(
                        pid,
                        ?stage,
                        "the caller of a slow request has gone; replacing its worker"
                    );
                    NoReply::Lost(faults::unavailable("withdrawn"))
                }
                Some(Stop::Stopping) | None => NoReply::Lost(faults::unavailable("the pool is stopping")),
            }),
            Err(Failure::Died(reason)) => Err(NoReply::Lost(self.died(stage, reason, process, handle))),
        }
    }

    /// Counts a document that exceeded a limit of time; returns its fault.
    fn exceeded(&self, fault: Fault, process: &Process, handle: &DocumentHandle) -> Fault {
        tracing::warn!(
            pid = process.pid(),
            code = fault.code,
            "a document exceeded its time; replacing its worker"
        );
        Counters::count(&self.pool.counters.timeouts);
        handle.crashes.fetch_add(1, Ordering::Relaxed);
        fault
    }

    /// Counts a worker that died while it read a document; returns the fault of the document.
    fn died(&self, stage: Stage, reason: String, process: &mut Process, handle: &DocumentHandle) -> Fault {
        let pid = process.pid();
        tracing::warn!(pid, ?stage, reason, "a render worker died while reading a document");
        Counters::count(&self.pool.counters.crashes);
        handle.crashes.fetch_add(1, Ordering::Relaxed);
        // pdfium and Rust both abort on a failed allocation, and rarely for another reason.
        match process.signal() {
            Some(libc::SIGABRT) => Refusal::MemoryExceeded { detail: reason }.into(),
            _ => stage.crashed(reason),
        }
    }

    fn invalid_answer(&self, stage: Stage, job: Job) -> Outcome {
        Counters::count(&self.pool.counters.crashes);
        self.give_up(NoReply::Lost(stage.crashed("the worker sent an invalid answer")), job)
    }

    pub(super) fn give_up(&self, no_reply: NoReply, job: Job) -> Outcome {
        match no_reply {
            NoReply::Refused(fault) => {
                job.task.fail(fault);
                Outcome::Served
            }
            NoReply::Lost(fault) => {
                job.task.fail(fault);
                Outcome::Lost
            }
            NoReply::Unsent => Outcome::Unsent(job),
            NoReply::GaveWay => Outcome::GaveWay(job),
        }
    }
}
