//! Documents in the host, and the jobs on them that wait for a worker.

use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use futures::channel::oneshot;
use lector_core::fair::Account;
use lector_core::{Fault, Image, PageText, PdfStandard, Size, TextLayer};

use crate::kind::Kind;
use crate::wire::{DocumentId, Limits, Opened, PageFacts};

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
    /// Closes the workers' copies of the document.
    pub close: Box<dyn Fn(DocumentId) + Send + Sync>,
}

impl Drop for DocumentHandle {
    fn drop(&mut self) {
        (self.close)(self.id);
    }
}

/// Sender of an answer.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Fault>>;

pub(crate) enum Task {
    Open { bytes: Arc<Vec<u8>>, answer: Answer<Opened> },
    Facts { index: u32, answer: Answer<PageFacts> },
    Text { index: u32, answer: Answer<TextLayer> },
    Render { index: u32, size: Size, answer: Answer<Image> },
    Compose { pages: Vec<PageText>, standard: PdfStandard, answer: Answer<ComposedFile> },
}

impl Task {
    /// Returns whether the caller has dropped the answer.
    pub(crate) fn is_withdrawn(&self) -> bool {
        match self {
            Task::Open { answer, .. } => answer.is_canceled(),
            Task::Facts { answer, .. } => answer.is_canceled(),
            Task::Text { answer, .. } => answer.is_canceled(),
            Task::Render { answer, .. } => answer.is_canceled(),
            Task::Compose { answer, .. } => answer.is_canceled(),
        }
    }

    pub(crate) fn fail(self, fault: Fault) {
        // The caller may have gone; then the error is dropped.
        match self {
            Task::Open { answer, .. } => drop(answer.send(Err(fault))),
            Task::Facts { answer, .. } => drop(answer.send(Err(fault))),
            Task::Text { answer, .. } => drop(answer.send(Err(fault))),
            Task::Render { answer, .. } => drop(answer.send(Err(fault))),
            Task::Compose { answer, .. } => drop(answer.send(Err(fault))),
        }
    }
}

/// A file that a worker has written: the first `bytes` bytes of shared memory.
pub(crate) struct ComposedFile {
    pub file: OwnedFd,
    pub bytes: u64,
}

pub(crate) struct Job {
    pub handle: Arc<DocumentHandle>,
    pub task: Task,
    /// It ran before, took long, and gave way to a job of another tenant.
    pub known_slow: bool,
}

impl Job {
    pub(crate) fn new(handle: Arc<DocumentHandle>, task: Task) -> Self {
        Self { handle, task, known_slow: false }
    }

    /// Returns whether the job opens its document.
    pub(crate) fn opens(&self) -> bool {
        matches!(self.task, Task::Open { .. })
    }
}
