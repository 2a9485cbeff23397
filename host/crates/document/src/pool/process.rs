//! One worker process: start, requests, kill, reap.

use std::os::fd::BorrowedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lector_sandbox::SandboxReport;

use crate::channel::{Channel, ChannelError};
use crate::config::{DocumentConfig, DocumentError};
use crate::wire::{Reply, Request, Setup};

/// Loading pdfium takes 10 ms; more on a loaded machine, but not this long.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// The library's name in the configured folder.
const LIBRARY_FILE: &str = "libpdfium.so";

/// A running worker. Dropping it kills and reaps the process.
pub(super) struct Process {
    child: Child,
    channel: Channel,
    priority: Priority,
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
        let priority = Priority { pid: child.id(), low: Arc::default() };
        let mut process = Process { child, channel, priority, report: SandboxReport::none() };
        let pdfium_library = std::path::absolute(&library).unwrap_or(library);
        let setup = Setup { pdfium_library, memory_bytes: config.worker_memory_bytes };
        let deadline = Instant::now() + READY_TIMEOUT;
        let sent = process.send(&Request::Setup(setup), None);
        match sent.and_then(|()| process.receive(|| Instant::now() < deadline && go_on())) {
            Ok(Reply::Ready(report)) => {
                config.sandbox.check(&report).map_err(|reason| DocumentError::Sandbox { reason })?;
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

    /// Returns the clock of the computing time of the process.
    pub(super) fn clock(&self) -> CpuClock {
        CpuClock { pid: i32::try_from(self.pid()).unwrap_or(0) }
    }

    /// Returns the priority of the process.
    pub(super) fn priority(&self) -> Priority {
        self.priority.clone()
    }

    /// Returns whether the priority of the process was lowered.
    pub(super) fn has_low_priority(&self) -> bool {
        self.priority.low.load(Ordering::Relaxed)
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

/// The priority of a process, which can be lowered once.
#[derive(Clone)]
pub(super) struct Priority {
    pid: u32,
    low: Arc<AtomicBool>,
}

impl Priority {
    /// Lowers the priority by `nice` steps. The process must not be reaped.
    pub(super) fn lower(&self, nice: i32) {
        if self.low.swap(true, Ordering::Relaxed) {
            return;
        }
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let lowered = pid.map(|pid| rustix::process::setpriority_process(Some(pid), nice));
        if let Some(Err(error)) = lowered {
            tracing::debug!(pid = self.pid, %error, "the priority of a render worker cannot be lowered");
        }
    }
}

/// The clock of the computing time of a process.
#[derive(Clone, Copy)]
pub(super) struct CpuClock {
    /// 0 stands for the calling process, which no worker is.
    pid: i32,
}

impl CpuClock {
    /// Returns the computing time since the start of the process; `None` where it has ended and was reaped.
    pub(super) fn read(self) -> Option<Duration> {
        let mut clock = 0;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: both calls write to the local variables that they are given.
        let known = unsafe {
            libc::clock_getcpuclockid(self.pid, &raw mut clock) == 0
                && libc::clock_gettime(clock, &raw mut time) == 0
        };
        let (seconds, nanoseconds) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
        known.then(|| Duration::new(seconds, nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_computing_time_of_another_process_is_read() {
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let clock = CpuClock { pid: i32::try_from(child.id()).unwrap() };
        let first = clock.read().unwrap();
        // Ends with the first reading that is greater: the process does nothing but compute.
        while clock.read().unwrap() <= first + Duration::from_millis(1) {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(clock.read(), None);
    }
}
