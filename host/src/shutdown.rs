//! Signals of a server: those that end it, the one that reloads its configuration, and the one that replaces the process.
//! The first signal to stop begins a drain, the second ends it at once; `cli/serve` decides what waits for which.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that the server acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// SIGTERM or SIGINT, with its name: stop.
    Stop(&'static str),
    /// SIGHUP: reload the configuration.
    Reload,
    /// SIGUSR2: start a successor, and hand over to it.
    Replace,
}

/// The signals, caught from the moment that this exists.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
    replace: Signal,
}

impl Signals {
    /// Catches them. Within a tokio runtime.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
            replace: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.terminate.recv() => Received::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Received::Stop("SIGINT"),
            _ = self.reload.recv() => Received::Reload,
            _ = self.replace.recv() => Received::Replace,
        }
    }

    /// Waits for the next signal to stop; returns its name. Others are kept for [`next`](Self::next).
    pub async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
