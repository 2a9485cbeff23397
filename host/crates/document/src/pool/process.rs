//! One worker process: start, requests, kill, reap.

use std::os::fd::BorrowedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::channel::{Channel, ChannelError};
use crate::config::{DocumentConfig, DocumentError};
use crate::wire::{Reply, Request, Setup};
use crate::worker::sandbox::SandboxReport;

/// Loading pdfium takes 10 ms; more on a loaded machine, but not this long.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// The library's name in the configured folder.
const LIBRARY_FILE: &str = "libpdfium.so";

/// A running worker. Dropping it kills and reaps the process.
pub(super) struct Process {
    child: Child,
    channel: Channel,
    pub(super) report: SandboxReport,
}

/// Reason why a request has no reply.
pub(super) enum Failure {
    /// The request was not delivered, because the worker was already dead.
    Unsent,
    /// The worker died, or sent an invalid frame.
    Died(String),
    /// The worker is still working on it.
    Unanswered,
}

impl Process {
    /// Starts a worker and waits until it is ready, as long as `go_on` returns true.
    pub(super) fn start(config: &DocumentConfig, go_on: impl Fn() -> bool) -> Result<Process, DocumentError> {
        let library = config.pdfium_dir.join(LIBRARY_FILE);
        if !library.is_file() {
            return Err(DocumentError::LibraryMissing { path: library });
        }
        let (program, arguments) = config.worker_command.split_first().ok_or(DocumentError::NoCommand)?;
        let spawn = |source: std::io::Error| DocumentError::Spawn { command: program.clone(), source };
        let (channel, socket) = Channel::pair().map_err(|e| spawn(e.into()))?;
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            // A process group of its own: on Ctrl-C the terminal must not end the workers, which the drain needs.
            .process_group(0)
            .stdin(Stdio::from(socket))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(spawn)?;
        let mut process = Process { child, channel, report: SandboxReport::none() };
        let pdfium_library = std::path::absolute(&library).unwrap_or(library);
        let setup = Setup { pdfium_library, memory_bytes: config.worker_memory_bytes };
        let deadline = Instant::now() + READY_TIMEOUT;
        let sent = process.send(&Request::Setup(setup), None);
        match sent.and_then(|()| process.receive(|| Instant::now() < deadline && go_on())) {
            Ok(Reply::Ready(report)) => {
                process.report = report;
                Ok(process)
            }
            Ok(Reply::Refused(refusal)) => {
                Err(DocumentError::NotReady { reason: lector_core::Fault::from(refusal).to_string() })
            }
            Ok(other) => Err(DocumentError::NotReady { reason: format!("unexpected answer {other:?}") }),
            Err(Failure::Unanswered) => {
                Err(DocumentError::NotReady { reason: format!("no answer within {READY_TIMEOUT:?}") })
            }
            Err(Failure::Unsent) => Err(DocumentError::NotReady { reason: process.exit_status() }),
            Err(Failure::Died(reason)) => Err(DocumentError::NotReady { reason }),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a request that has no reply. If the worker cannot take it, the next request fails.
    pub(super) fn send_unanswered(&self, request: &Request) {
        let _ = self.channel.send(request, None);
    }

    /// Sends a request.
    pub(super) fn send(&self, request: &Request, fd: Option<BorrowedFd<'_>>) -> Result<(), Failure> {
        match self.channel.send(request, fd) {
            Ok(()) => Ok(()),
            Err(ChannelError::Closed) => Err(Failure::Unsent),
            Err(other) => Err(Failure::Died(format!("sending failed: {other}"))),
        }
    }

    /// Waits for the reply to the last request, as long as `go_on` returns true.
    pub(super) fn receive(&mut self, go_on: impl FnMut() -> bool) -> Result<Reply, Failure> {
        match self.channel.receive(go_on) {
            Ok((reply, _)) => Ok(reply),
            Err(ChannelError::GaveUp) => Err(Failure::Unanswered),
            Err(ChannelError::Closed) => Err(Failure::Died(self.exit_status())),
            Err(other) => Err(Failure::Died(other.to_string())),
        }
    }

    /// Returns the signal that ended the worker, if there was one.
    pub(super) fn signal(&mut self) -> Option<i32> {
        self.reap().and_then(|status| status.signal())
    }

    /// Ends the process, and returns a description of its own exit status if it had one.
    fn exit_status(&mut self) -> String {
        match self.reap() {
            Some(status) => format!("the worker ended with {status}"),
            None => "the worker closed its socket".into(),
        }
    }

    /// Kills the process unless it is dead already, and returns its exit status.
    fn reap(&mut self) -> Option<ExitStatus> {
        // A worker whose socket has closed is dead or about to end; its own exit status says more than a kill.
        const OWN_END: Duration = Duration::from_millis(200);
        let deadline = Instant::now() + OWN_END;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(Some(status)) => return Some(status),
                Err(_) => return None,
            }
        }
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where the process is dead and reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
