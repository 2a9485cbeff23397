//! The builder process: both ends of the pipe.
//!
//! The order is one line of JSON on standard input, which stays open: when it closes, the parent has gone, and the
//! builder ends. Its messages are lines on standard output; other output is ignored. Standard error is the log, whose
//! end explains a death.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{BuildOrder, Builder, BuilderMessage, Outcome, Step};

/// Longest line in either direction.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Bytes at the end of the log that are reported when a builder dies.
const LOG_BYTES_MAX: usize = 4 << 10;
/// Most messages that wait to be read.
const MESSAGES_WAITING_MAX: usize = 64;
/// Niceness: requests have priority.
const NICE: i32 = 10;

/// The running builder, shared so that it can be stopped.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    child: Option<Child>,
    stopped: bool,
}

impl Running {
    /// Ends the builder, and every later one.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        if let Some(child) = &mut state.child {
            // It may have ended by itself.
            let _ = child.kill();
        }
    }

    /// Returns whether builders are ended.
    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// No code panics while it holds the lock, so the state of a poisoned lock is consistent.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries an order out in a process of its own, within `timeout`. Blocks.
pub(crate) fn carry_out(
    command: &[OsString],
    order: &BuildOrder,
    timeout: Duration,
    running: &Running,
    mut on_step: impl FnMut(Step, &str),
) -> Result<Outcome, String> {
    let (program, arguments) = command.split_first().ok_or_else(|| "no builder is configured".to_owned())?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Not ended by Ctrl-C in the host's terminal: the host ends it, or its closed standard input.
        .process_group(0)
        .spawn()
        .map_err(|e| format!("cannot start the builder {}: {e}", program.to_string_lossy()))?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut input), Some(output), Some(log)) = pipes else {
        return Err("the builder has no pipes".to_owned());
    };
    {
        let mut state = running.lock();
        if state.stopped {
            let _ = child.kill();
        }
        state.child = Some(child);
    }
    let order = serde_json::to_string(order).map_err(|e| format!("the order has no JSON form: {e}"))?;
    // The status of a dead builder reports the cause.
    let _ = input.write_all(format!("{order}\n").as_bytes()).and_then(|()| input.flush());
    let (sender, messages) = sync_channel(MESSAGES_WAITING_MAX);
    let log = std::thread::spawn(move || tail(log));
    let reader = std::thread::spawn(move || {
        for line in lines(output) {
            let Ok(message) = serde_json::from_str::<BuilderMessage>(&line) else { continue };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + timeout;
    let ending = loop {
        match messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(BuilderMessage::Step { step, detail }) => on_step(step, &detail),
            Ok(BuilderMessage::Done(outcome)) => break Ok(outcome),
            Ok(BuilderMessage::Failed { why }) => break Err(why),
            Err(RecvTimeoutError::Timeout) => {
                break Err(format!("the build took longer than {} s", timeout.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => break Err(String::new()),
        }
    };
    // Standard input closes here, which ends a builder that hangs after its last message; a late one is killed.
    drop(input);
    let status = end(running, ending.is_err());
    drop(messages);
    let log = log.join().unwrap_or_default();
    if reader.join().is_err() {
        tracing::warn!("the thread that reads a builder's messages panicked");
    }
    ending.map_err(|why| if why.is_empty() { died(status, &log) } else { why })
}

fn end(running: &Running, kill: bool) -> Option<ExitStatus> {
    let mut child = running.lock().child.take()?;
    if kill {
        // It may have ended by itself.
        let _ = child.kill();
    }
    child.wait().ok()
}

fn died(status: Option<ExitStatus>, log: &str) -> String {
    let how = status.map_or_else(|| "its exit status is unknown".to_owned(), |status| status.to_string());
    let log = log.trim();
    if log.is_empty() {
        format!("the builder ended without an answer ({how})")
    } else {
        format!("the builder ended without an answer ({how}); the end of its log: {log}")
    }
}

fn lines(output: impl Read) -> impl Iterator<Item = String> {
    let mut reader = BufReader::new(output);
    std::iter::from_fn(move || line(&mut reader).ok().flatten())
}

/// Reads one line; `None` at the end. A line beyond the limit is cut, and is then not valid JSON.
fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let read = reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    Ok((read > 0).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Reads to the end and keeps the last part.
fn tail(mut log: impl Read) -> String {
    let (mut kept, mut piece) = (Vec::new(), [0u8; 4096]);
    while let Ok(read @ 1..) = log.read(&mut piece) {
        kept.extend_from_slice(piece.get(..read).unwrap_or_default());
        let surplus = kept.len().saturating_sub(LOG_BYTES_MAX);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// The body of a builder process: reads the order, carries it out, writes messages. No other code may write to standard
/// output.
pub fn builder_main() -> ExitCode {
    let mut input = BufReader::new(io::stdin());
    let order = line(&mut input).ok().flatten().ok_or_else(|| "no order was received".to_owned());
    let order = order.and_then(|text| serde_json::from_str::<BuildOrder>(&text).map_err(|e| e.to_string()));
    // Without a lower priority the build only competes more with requests.
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "the builder runs at the usual priority");
    }
    let watch = std::thread::Builder::new().name("orderer".to_owned()).spawn(move || {
        let mut byte = [0u8];
        while matches!(input.read(&mut byte), Ok(1)) {}
        // The parent has gone or has its result. Published entries stay; no entry is published partly.
        std::process::exit(2);
    });
    let outcome = match (order, watch) {
        (Ok(order), Ok(_)) => Builder::open(order)
            .and_then(|builder| {
                builder.run(|step, detail| send(&BuilderMessage::Step { step, detail: detail.to_owned() }))
            })
            .map_err(|error| lector_core::error_chain(&error)),
        (Err(why), _) => Err(format!("the order is not understood: {why}")),
        (_, Err(error)) => Err(format!("cannot start a thread: {error}")),
    };
    match outcome {
        Ok(outcome) => {
            send(&BuilderMessage::Done(outcome));
            ExitCode::SUCCESS
        }
        Err(why) => {
            send(&BuilderMessage::Failed { why });
            ExitCode::FAILURE
        }
    }
}

fn send(message: &BuilderMessage) {
    let text = serde_json::to_string(message).unwrap_or_default();
    let mut output = io::stdout().lock();
    // The parent no longer reads: the process is about to end anyway.
    let _ = writeln!(output, "{text}").and_then(|()| output.flush());
}
