//! Why a guest call ended without an answer, as one fault. The only place that looks into wasmtime's errors.

use std::fmt::Write as _;
use std::time::Duration;

use lector_core::{Blame, Fault, Kind};
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::ledger::too_many_handles;
use crate::state::HostState;
use crate::stop::Stop;

/// Frames of a backtrace that go into the detail.
const FRAMES_MAX: usize = 8;
/// How wasmtime names its limit on what one call may hand over (the type is private to it).
const HANDED_TOO_MUCH: &str = "too much data is being copied between the host and the guest";
/// How it names its limit on live handles.
const HANDLES_EXHAUSTED: &str = "component handle";

/// The fault of a guest that was ended by wasmtime or by a host function.
pub fn ended(error: &wasmtime::Error, state: &HostState) -> Fault {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return Fault::from(stop);
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return trapped(format!("the guest ended itself with exit code {}", exit.0), error);
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        let message = "all places for guests are taken; try again";
        return Fault::new(Kind::Busy, "runtime_busy", message)
            .retry_after(Duration::from_secs(1))
            .with_detail(error);
    }
    if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
        return too_many_handles(state.call.budget.handles).with_detail(error);
    }
    if error.chain().any(|cause| cause.to_string().contains(HANDED_TOO_MUCH)) {
        return Fault::new(
            Kind::GuestFault,
            "guest_result_too_large",
            "the guest handed more over at once than its budget allows",
        )
        .with_detail(told(error));
    }
    if error.chain().any(|cause| cause.to_string().contains(HANDLES_EXHAUSTED)) {
        return too_many_handles(state.call.budget.handles).with_detail(told(error));
    }
    // A guest that is refused memory or room mostly traps at once; that is then the cause.
    if let Some(asked) = state.limits.memory_refused {
        let message = format!(
            "the guest needs more memory than the {} bytes of its budget; it asked for {asked}",
            state.call.budget.memory_bytes
        );
        return Fault::new(Kind::GuestFault, "guest_memory_exceeded", message).with_detail(told(error));
    }
    if let Some(asked) = state.limits.table_refused {
        let message = format!("the guest asked for {asked} table elements, more than any guest may have");
        return Fault::new(Kind::GuestFault, "guest_memory_exceeded", message).with_detail(told(error));
    }
    if let Some(refusal) = state.last_refusal() {
        return refusal.clone().with_detail(told(error));
    }
    let what = match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => "the guest recursed until its stack was full".to_owned(),
        Some(Trap::UnreachableCodeReached) => "the guest panicked or aborted (unreachable code)".to_owned(),
        Some(trap) => format!("the guest trapped: {trap}"),
        None => "the guest was ended".to_owned(),
    };
    trapped(what, error)
}

/// The fault of a call whose time is up. Without anything under way in the host, or with most of the
/// time spent computing, it is the guest's own doing.
pub fn late(state: &HostState, elapsed: Duration) -> Fault {
    let computed = state.meter.computed();
    let waiting = state.ledger.in_flight();
    let own = waiting == 0 || computed > elapsed / 2;
    let message = if own {
        format!("the guest did not finish within {} ms", elapsed.as_millis())
    } else {
        format!(
            "the page was not finished within {} ms; {waiting} operations were under way",
            elapsed.as_millis()
        )
    };
    Fault::new(Kind::Deadline, "guest_deadline", message)
        .blaming(if own { Blame::Guest } else { Blame::Host })
        .with_detail(format_args!("computed {} ms, in flight {waiting}", computed.as_millis()))
}

fn trapped(message: String, error: &wasmtime::Error) -> Fault {
    Fault::new(Kind::GuestFault, "guest_trapped", message).with_detail(told(error))
}

/// The chain of causes without the backtrace, and a short backtrace on one line.
fn told(error: &wasmtime::Error) -> String {
    let mut out = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // The outermost error prints the whole backtrace; its first line is what it is about.
        let line = cause.lines().next().unwrap_or_default();
        let sep = if out.is_empty() { "" } else { ": " };
        let _ = write!(out, "{sep}{line}");
    }
    if let Some(trace) = error.downcast_ref::<WasmBacktrace>() {
        let frames = trace.frames().iter().take(FRAMES_MAX);
        let names: Vec<String> = frames
            .map(|frame| {
                let symbol = frame.symbols().first().and_then(|symbol| symbol.name());
                symbol.or(frame.func_name()).map_or_else(|| format!("#{}", frame.func_index()), str::to_owned)
            })
            .collect();
        let _ = write!(out, " [{}]", names.join(" < "));
    }
    out
}
