//! Status of the pool for the log, the metrics and the readiness probe.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use lector_sandbox::SandboxReport;

use crate::wire::Request;

/// A snapshot of the workers.
#[derive(Clone, Debug)]
pub struct WorkersStatus {
    /// Configured number of workers, the reserve included.
    pub workers: usize,
    /// Workers that are ready, idle or busy, or whose process is being replaced for their next job.
    pub alive: usize,
    /// Idle workers.
    pub idle: usize,
    /// Processes of the workers that are alive.
    pub processes: Vec<WorkerProcess>,
    /// Requests waiting for a worker.
    pub queued: usize,
    /// Requests that a worker has answered, including refusals.
    pub answered: u64,
    /// Workers replaced since the start, for any reason except a change of tenant.
    pub respawns: u64,
    /// Of these, workers that died during a request.
    pub crashes: u64,
    /// Of these, workers killed because a request took too long or too much computing time.
    pub timeouts: u64,
    /// Workers replaced because their next job was of another tenant.
    pub recycled: u64,
    /// Slow jobs that were ended to start again later, because a tenant without a worker waited.
    pub gave_way: u64,
    /// State of the sandbox; `None` before the first worker was ready.
    pub sandbox: Option<SandboxReport>,
}

impl WorkersStatus {
    /// Returns the process ids of the workers that are alive.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|process| process.pid).collect()
    }

    /// Returns the process ids of the workers that are rendering a page.
    pub fn rendering(&self) -> Vec<u32> {
        let renders = |process: &&WorkerProcess| matches!(process.task, Some(WorkerTask::Render { .. }));
        self.processes.iter().filter(renders).map(|process| process.pid).collect()
    }
}

/// A worker process that is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerProcess {
    /// Its process id.
    pub pid: u32,
    /// Request that was sent to it and is not answered.
    pub task: Option<WorkerTask>,
}

/// A request that a worker is answering. Documents are numbered in the order in which they were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerTask {
    /// Opens the document.
    Open {
        /// Its number.
        document: u64,
    },
    /// Determines the size of a page.
    Facts {
        /// Number of the document.
        document: u64,
        /// Index of the page.
        page: u32,
    },
    /// Reads the text layer of a page.
    Text {
        /// Number of the document.
        document: u64,
        /// Index of the page.
        page: u32,
    },
    /// Renders a page.
    Render {
        /// Number of the document.
        document: u64,
        /// Index of the page.
        page: u32,
    },
    /// Composes a searchable PDF.
    Compose {
        /// Number of the document.
        document: u64,
    },
}

impl WorkerTask {
    /// Returns the task of a request; `None` where the request concerns no document or has no answer.
    pub(super) fn of(request: &Request) -> Option<Self> {
        match *request {
            Request::Open { document, .. } => Some(Self::Open { document }),
            Request::Facts { document, index } => Some(Self::Facts { document, page: index }),
            Request::Text { document, index } => Some(Self::Text { document, page: index }),
            Request::Render { document, index, .. } => Some(Self::Render { document, page: index }),
            Request::ComposeBegin { document, .. }
            | Request::ComposePage { document, .. }
            | Request::ComposeEnd { document, .. } => Some(Self::Compose { document }),
            Request::Setup(_) | Request::Close { .. } => None,
        }
    }
}

/// Counters of the worker supervisors.
#[derive(Default)]
pub(crate) struct Counters {
    pub answered: AtomicU64,
    pub respawns: AtomicU64,
    pub crashes: AtomicU64,
    pub timeouts: AtomicU64,
    pub recycled: AtomicU64,
    pub gave_way: AtomicU64,
    sandbox: Mutex<Option<SandboxReport>>,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the last reported state of the sandbox.
    pub(super) fn sandbox(&self) -> Option<SandboxReport> {
        self.sandbox.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs the state of the sandbox: once, and again when it changes.
    pub(crate) fn sandboxed(&self, report: SandboxReport) {
        let mut known = self.sandbox.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() == Some(&report) {
            return;
        }
        if report.is_complete() {
            tracing::info!(sandbox = %report, "render workers are sandboxed");
        } else {
            tracing::warn!(sandbox = %report, "render workers run with an incomplete sandbox");
        }
        *known = Some(report);
    }
}
