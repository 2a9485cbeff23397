//! A builder's process: both ends of the pipe.
//!
//! The order goes in as one line of JSON and the input stays open: when it closes, whoever ordered has gone, and the
//! builder ends. Its sayings come out, a line each; anything else it prints is not understood and dropped. What it writes to
//! standard error is the log, whose end explains a death.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{BuildOrder, Builder, BuilderMessage, Outcome, Step};
use crate::error::chain;

/// Longest line in either direction.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// How much of a builder's log is looked at when it died.
const LOG_BYTES_MAX: usize = 4 << 10;
/// Sayings that may wait to be read.
const SAYINGS_WAITING_MAX: usize = 64;
/// Niceness: requests come first.
const NICE: i32 = 10;

/// The builder that is at work, for whoever must end it.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    child: Option<Child>,
    stopped: bool,
}

impl Running {
    /// Ends the builder, and every one that would follow.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        if let Some(child) = &mut state.child {
            // It may have ended by itself.
            let _ = child.kill();
        }
    }

    /// Nothing panics while it is held, so a poisoned lock holds a sound state.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has an order carried out by a process of its own, within `timeout`. Blocks.
pub(crate) fn carry_out(
    command: &[OsString],
    order: &BuildOrder,
    timeout: Duration,
    running: &Running,
    mut hear: impl FnMut(Step, &str),
) -> Result<Outcome, String> {
    let (program, arguments) = command.split_first().ok_or_else(|| "no builder is configured".to_owned())?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
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
    // A builder that has died already says so by its status.
    let _ = input.write_all(format!("{order}\n").as_bytes()).and_then(|()| input.flush());
    let (sender, sayings) = sync_channel(SAYINGS_WAITING_MAX);
    let log = std::thread::spawn(move || tail(log));
    let reader = std::thread::spawn(move || {
        for line in lines(output) {
            let Ok(saying) = serde_json::from_str::<BuilderMessage>(&line) else { continue };
            if sender.send(saying).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + timeout;
    let ending = loop {
        match sayings.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(BuilderMessage::Step { step, detail }) => hear(step, &detail),
            Ok(BuilderMessage::Done(outcome)) => break Ok(outcome),
            Ok(BuilderMessage::Failed { why }) => break Err(why),
            Err(RecvTimeoutError::Timeout) => {
                break Err(format!("the build took longer than {} s", timeout.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => break Err(String::new()),
        }
    };
    // Its input closes here, which ends a builder that hangs after its last word; a late one is ended.
    drop(input);
    let status = end(running, ending.is_err());
    drop(sayings);
    let log = log.join().unwrap_or_default();
    if reader.join().is_err() {
        tracing::warn!("the reader of a builder's sayings ended by a panic");
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
    let how = status.map_or_else(|| "it cannot be told how".to_owned(), |status| status.to_string());
    let log = log.trim();
    if log.is_empty() {
        format!("the builder ended without an answer ({how})")
    } else {
        format!("the builder ended without an answer ({how}); its last words: {log}")
    }
}

fn lines(output: impl Read) -> impl Iterator<Item = String> {
    let mut reader = BufReader::new(output);
    std::iter::from_fn(move || line(&mut reader).ok().flatten())
}

/// One line; `None` at the end. A longer one than is allowed is cut, and then no JSON.
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

/// The body of a builder's process: reads the order, carries it out, says how it goes. Nobody else may write to standard
/// output.
pub fn builder_main() -> ExitCode {
    let mut input = BufReader::new(io::stdin());
    let order = line(&mut input).ok().flatten().ok_or_else(|| "no order came in".to_owned());
    let order = order.and_then(|text| serde_json::from_str::<BuildOrder>(&text).map_err(|e| e.to_string()));
    // Not being allowed to be nicer costs speed, not correctness.
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "the builder runs at the usual priority");
    }
    let watch = std::thread::Builder::new().name("orderer".to_owned()).spawn(move || {
        let mut byte = [0u8];
        while matches!(input.read(&mut byte), Ok(1)) {}
        // Whoever ordered has gone or has what it wanted. Nothing published is lost, nothing half is published.
        std::process::exit(2);
    });
    let outcome = match (order, watch) {
        (Ok(order), Ok(_)) => Builder::open(order)
            .and_then(|builder| {
                builder.run(|step, detail| say(&BuilderMessage::Step { step, detail: detail.to_owned() }))
            })
            .map_err(|error| chain(&error)),
        (Err(why), _) => Err(format!("the order is not understood: {why}")),
        (_, Err(error)) => Err(format!("cannot start a thread: {error}")),
    };
    match outcome {
        Ok(outcome) => {
            say(&BuilderMessage::Done(outcome));
            ExitCode::SUCCESS
        }
        Err(why) => {
            say(&BuilderMessage::Failed { why });
            ExitCode::FAILURE
        }
    }
}

fn say(saying: &BuilderMessage) {
    let text = serde_json::to_string(saying).unwrap_or_default();
    let mut output = io::stdout().lock();
    // Nobody listens any more: the process is about to be ended anyway.
    let _ = writeln!(output, "{text}").and_then(|()| output.flush());
}
