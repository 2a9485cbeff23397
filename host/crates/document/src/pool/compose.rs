//! The composition of a searchable PDF by one worker: its start, its pages, its end.
//!
//! One job from the work queue, so that its tenant is charged for all of it and the state in the worker belongs to one
//! job. Pages are sent one at a time: the worker holds the text of one page. The worker writes the file into shared
//! memory of the host, like pixels.

use std::os::fd::AsFd;
use std::sync::Arc;

use super::job::{ComposedFile, DocumentHandle, Job, Task};
use super::process::Process;
use super::worker_supervisor::{NoReply, Outcome, WorkerSupervisor};
use crate::faults::{self, Stage};
use crate::shared;
use crate::wire::{Reply, Request};

/// Most bytes of a file beyond twice the document: text of some million words, or the pixels of a large picture without
/// loss. Memory is used as far as the worker writes.
const ADDED_BYTES_MAX: u64 = 256 << 20;

impl WorkerSupervisor {
    /// Runs the job; the document is open in the worker.
    pub(super) fn compose(&self, process: &mut Process, job: Job) -> Outcome {
        let Job { handle, task, known_slow } = job;
        match self.composed(process, &handle, &task) {
            Ok(composed) => {
                if let Task::Compose { answer, .. } = task {
                    // The caller may have gone; then the file is dropped.
                    let _ = answer.send(Ok(composed));
                }
                Outcome::Served
            }
            Err(no_reply) => self.give_up(no_reply, Job { handle, task, known_slow }),
        }
    }

    fn composed(
        &self,
        process: &mut Process,
        handle: &Arc<DocumentHandle>,
        task: &Task,
    ) -> Result<ComposedFile, NoReply> {
        let refused = |detail: String| NoReply::Refused(faults::unavailable(detail));
        let Task::Compose { pages, standard, .. } = task else {
            return Err(refused("not a composition".into()));
        };
        let config = &self.pool.config;
        let document = handle.id;
        let step = (Stage::Compose, config.open_timeout);
        let begin =
            Request::ComposeBegin { document, password: handle.password.clone(), standard: *standard };
        done(self.ask(process, step, &begin, None, handle, task)?)?;
        for text in pages {
            let page = Request::ComposePage { document, text: text.clone() };
            let step = (Stage::Compose, config.render_timeout);
            done(self.ask(process, step, &page, None, handle, task)?)?;
        }
        let original = handle.file.get().and_then(|file| rustix::fs::fstat(file).ok());
        let original = original.and_then(|stat| u64::try_from(stat.st_size).ok()).unwrap_or(0);
        let bytes_max = original.saturating_mul(2).saturating_add(ADDED_BYTES_MAX);
        let file = shared::pixel_buffer(bytes_max)
            .map_err(|error| refused(format!("allocating memory for a composed file: {error}")))?;
        let end = Request::ComposeEnd { document, bytes_max };
        match self.ask(process, step, &end, Some(file.as_fd()), handle, task)? {
            Reply::Composed { bytes } if (1..=bytes_max).contains(&bytes) => Ok(ComposedFile { file, bytes }),
            _ => Err(invalid()),
        }
    }
}

fn done(reply: Reply) -> Result<(), NoReply> {
    match reply {
        Reply::Done => Ok(()),
        _ => Err(invalid()),
    }
}

fn invalid() -> NoReply {
    NoReply::Lost(Stage::Compose.crashed("the worker sent an invalid answer"))
}
