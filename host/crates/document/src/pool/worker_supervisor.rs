//! The thread that keeps one worker: hands it work, times it, replaces it when it is lost.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use lector_core::{Fault, Image};

use super::process::{Failure, Process};
use super::status::{Counters, WorkerTask};
use super::work_queue::Next;
use super::{DocumentHandle, Job, Pool, Task, checks};
use crate::config::DocumentError;
use crate::faults::{self, Refusal, Stage};
use crate::shared;
use crate::wire::{Opened, Reply, Request};

/// Documents open in one worker at once; the least recently used is closed for the next.
const OPEN_MAX: usize = 8;
/// A worker is replaced after this many requests: what a library leaks, or what a document has done to
/// it unseen, does not stay for ever. Starting one takes some 20 ms.
const REQUESTS_PER_WORKER_MAX: u32 = 2_000;
/// A request whose caller has gone may finish within this time; after it the worker is replaced.
const WITHDRAWN_GRACE: Duration = Duration::from_secs(1);
/// Between two attempts to start a worker that would not start, doubling.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Workers that may be found dead, one after the other, when a request is to be sent to them.
const UNSENT_MAX: u32 = 3;

type Ready = oneshot::Sender<Result<(), DocumentError>>;

/// Starts the keeper of worker `index`; `ready` hears whether the first process came up.
pub(super) fn start(pool: Arc<Pool>, index: usize, ready: Ready) -> Result<JoinHandle<()>, DocumentError> {
    let worker_supervisor = Keeper { pool, index, unsent: 0 };
    std::thread::Builder::new()
        .name(format!("documents-{index}"))
        .spawn(move || worker_supervisor.run(ready))
        .map_err(|source| DocumentError::Spawn { command: "a keeper thread".into(), source })
}

struct Keeper {
    pool: Arc<Pool>,
    index: usize,
    /// Consecutive requests that found their worker dead.
    unsent: u32,
}

/// What became of a job.
enum Outcome {
    Served,
    /// The worker must be replaced.
    Lost,
    /// Likewise, and the job was not begun.
    Unsent(Job),
}

/// Why there is no proper reply to a request.
enum Trouble {
    Refused(Fault),
    Lost(Fault),
    Unsent,
}

impl Keeper {
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
                        // Nobody listens where another worker has failed already.
                        let _ = ready.send(Ok(()));
                    }
                    self.serve(process);
                    self.pool.lost(self.index);
                    if !self.pool.is_stopping() {
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
                    tracing::error!(worker = self.index, %error, retry = ?backoff, "a render worker does not start");
                    self.pool.down(self.index, &error);
                    self.pool.pause(self.index, backoff);
                    backoff = BACKOFF_MAX.min(backoff * 2);
                }
            }
        }
    }

    /// Works until the process is to be replaced or the pool stops; the process ends with this.
    fn serve(&mut self, mut process: Process) {
        let mut requests = 0_u32;
        while requests < REQUESTS_PER_WORKER_MAX {
            match self.pool.next(self.index) {
                Next::Stop => return,
                Next::Check if process.is_alive() => {}
                Next::Check => {
                    tracing::warn!(
                        worker = self.index,
                        pid = process.pid(),
                        "an idle render worker has died"
                    );
                    return;
                }
                Next::Close(documents) => {
                    for document in documents {
                        process.tell(&Request::Close { document });
                    }
                }
                Next::Job(job) if job.task.is_withdrawn() => drop(job),
                Next::Job(job) => {
                    requests += 1;
                    match self.work(&mut process, job) {
                        Outcome::Served => {
                            self.unsent = 0;
                            Counters::count(&self.pool.counters.answered);
                        }
                        Outcome::Lost => return,
                        Outcome::Unsent(job) if self.unsent < UNSENT_MAX => {
                            self.unsent += 1;
                            self.pool.hand_back(self.index, job);
                            return;
                        }
                        Outcome::Unsent(job) => {
                            job.task.fail(faults::unavailable("render workers die as soon as they start"));
                            return;
                        }
                    }
                }
            }
        }
    }

    fn work(&self, process: &mut Process, job: Job) -> Outcome {
        let Job { body, task } = job;
        let opened = match self.open(process, &body, &task) {
            Ok(opened) => opened,
            Err(trouble) => return self.give_up(trouble, Job { body, task }),
        };
        let document = body.id;
        let config = &self.pool.config;
        // The answer may find nobody; that is the caller's right.
        match task {
            Task::Open { answer, .. } => {
                if let Some(opened) = opened {
                    let _ = answer.send(Ok(opened));
                }
            }
            Task::Facts { index, .. } => {
                let request = Request::Facts { document, index };
                match self.ask(process, (Stage::Page, config.text_timeout), &request, None, &body, &task) {
                    Ok(Reply::Facts(facts)) if checks::facts(&facts, &body) => {
                        if let Task::Facts { answer, .. } = task {
                            let _ = answer.send(Ok(facts));
                        }
                    }
                    Ok(_) => return self.nonsense(Stage::Page, Job { body, task }),
                    Err(trouble) => return self.give_up(trouble, Job { body, task }),
                }
            }
            Task::Text { index, .. } => {
                let request = Request::Text { document, index };
                match self.ask(process, (Stage::Text, config.text_timeout), &request, None, &body, &task) {
                    Ok(Reply::Text(layer)) if checks::text_layer(&layer, &body) => {
                        if let Task::Text { answer, .. } = task {
                            let _ = answer.send(Ok(layer));
                        }
                    }
                    Ok(_) => return self.nonsense(Stage::Text, Job { body, task }),
                    Err(trouble) => return self.give_up(trouble, Job { body, task }),
                }
            }
            Task::Render { index, size, .. } => {
                let len = size.pixels().saturating_mul(3);
                let pixels = match shared::pixel_buffer(len) {
                    Ok(pixels) => pixels,
                    Err(e) => {
                        task.fail(faults::unavailable(format!("a buffer of {len} bytes for pixels: {e}")));
                        return Outcome::Served;
                    }
                };
                let request = Request::Render { document, index, size };
                let limit = (Stage::Render, config.render_timeout);
                match self.ask(process, limit, &request, Some(pixels.as_fd()), &body, &task) {
                    Ok(Reply::Rendered) => {
                        let copied = shared::copy_out(&pixels, usize::try_from(len).unwrap_or(usize::MAX));
                        let image = copied.ok().and_then(|rgb| Image::from_rgb(size, rgb));
                        if let Task::Render { answer, .. } = task {
                            let missing =
                                || faults::unavailable(format!("no memory for an image of {len} bytes"));
                            let _ = answer.send(image.ok_or_else(missing));
                        }
                    }
                    Ok(_) => return self.nonsense(Stage::Render, Job { body, task }),
                    Err(trouble) => return self.give_up(trouble, Job { body, task }),
                }
            }
        }
        Outcome::Served
    }

    /// Sees to it that the document is open in the worker; says what it is where it had to be opened.
    fn open(
        &self,
        process: &mut Process,
        body: &Arc<DocumentHandle>,
        task: &Task,
    ) -> Result<Option<Opened>, Trouble> {
        if self.pool.touch(self.index, body.id) {
            return Ok(None);
        }
        if let Task::Open { bytes, .. } = task
            && body.file.get().is_none()
        {
            let file = shared::sealed_copy(bytes).map_err(|e| {
                Trouble::Refused(faults::unavailable(format!("memory for {} bytes: {e}", bytes.len())))
            })?;
            // Only the one keeper that has the opening task gets here.
            let _ = body.file.set(file);
        }
        let file = body.file.get().ok_or_else(|| {
            Trouble::Refused(faults::unavailable("a document was used before it was opened"))
        })?;
        while let Some(document) = self.pool.evict(self.index, OPEN_MAX - 1) {
            process.tell(&Request::Close { document });
        }
        let request = Request::Open {
            document: body.id,
            kind: body.kind,
            password: body.password.clone(),
            limits: body.limits,
        };
        let limit = (Stage::Open, self.pool.config.open_timeout);
        match self.ask(process, limit, &request, Some(file.as_fd()), body, task)? {
            Reply::Opened(opened) if checks::opened(&opened, body) => {
                self.pool.opened(self.index, body.id);
                Ok(Some(opened))
            }
            _ => Err(Trouble::Lost(Stage::Open.crashed("the worker answered nonsense"))),
        }
    }

    /// One request, at most `limit` long, as long as somebody waits for it and the pool goes on.
    fn ask(
        &self,
        process: &mut Process,
        (stage, limit): (Stage, Duration),
        request: &Request,
        fd: Option<std::os::fd::BorrowedFd<'_>>,
        body: &DocumentHandle,
        task: &Task,
    ) -> Result<Reply, Trouble> {
        let deadline = Instant::now() + limit;
        let mut gone_since = None;
        let go_on = || {
            let now = Instant::now();
            if task.is_withdrawn() && now - *gone_since.get_or_insert(now) > WITHDRAWN_GRACE {
                return false;
            }
            now < deadline && !self.pool.is_stopping()
        };
        let sent = process.send(request, fd);
        if sent.is_ok() {
            self.pool.working(self.index, WorkerTask::of(request));
        }
        let reply = sent.and_then(|()| process.receive(go_on));
        self.pool.working(self.index, None);
        let failure = match reply {
            Ok(Reply::Refused(refusal)) => return Err(Trouble::Refused(refusal.into())),
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        let pid = process.pid();
        match failure {
            Failure::Unsent => Err(Trouble::Unsent),
            Failure::Unanswered if self.pool.is_stopping() => {
                Err(Trouble::Lost(faults::unavailable("the pool is stopping")))
            }
            Failure::Unanswered if Instant::now() < deadline => {
                tracing::debug!(
                    pid,
                    ?stage,
                    "nobody waits for a slow request any more; replacing its worker"
                );
                Err(Trouble::Lost(faults::unavailable("withdrawn")))
            }
            Failure::Unanswered => {
                tracing::warn!(pid, ?stage, ?limit, "a document takes too long; replacing its worker");
                Counters::count(&self.pool.counters.timeouts);
                body.crashes.fetch_add(1, Ordering::Relaxed);
                Err(Trouble::Lost(stage.timed_out(limit)))
            }
            Failure::Died(reason) => {
                tracing::warn!(pid, ?stage, reason, "a render worker died over a document");
                Counters::count(&self.pool.counters.crashes);
                body.crashes.fetch_add(1, Ordering::Relaxed);
                // pdfium and Rust alike abort where an allocation fails, and hardly for another reason.
                let fault = match process.signal() {
                    Some(libc::SIGABRT) => Refusal::MemoryExceeded { detail: reason }.into(),
                    _ => stage.crashed(reason),
                };
                Err(Trouble::Lost(fault))
            }
        }
    }

    fn nonsense(&self, stage: Stage, job: Job) -> Outcome {
        Counters::count(&self.pool.counters.crashes);
        self.give_up(Trouble::Lost(stage.crashed("the worker answered nonsense")), job)
    }

    fn give_up(&self, trouble: Trouble, job: Job) -> Outcome {
        match trouble {
            Trouble::Refused(fault) => {
                job.task.fail(fault);
                Outcome::Served
            }
            Trouble::Lost(fault) => {
                job.task.fail(fault);
                Outcome::Lost
            }
            Trouble::Unsent => Outcome::Unsent(job),
        }
    }
}
