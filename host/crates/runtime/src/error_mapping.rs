//! Mapping of failed guest calls to faults. The only place that inspects wasmtime's errors.

use std::fmt::Write as _;
use std::time::Duration;

use lector_core::{Blame, Fault, Kind};
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::abort::AbortReason;
use crate::log::printable;
use crate::resource_accounting::too_many_handles;
use crate::state::HostState;

/// Maximum frames of a backtrace in the detail.
const FRAMES_MAX: usize = 6;
/// Maximum length of the name of a function, in bytes: the guest chooses it.
const NAME_BYTES_MAX: usize = 200;
/// Maximum length of the chain of causes, in bytes.
const CAUSES_BYTES_MAX: usize = 2048;
/// Minimum frames of a backtrace for the detection of a recursion.
const RECURSION_FRAMES_MIN: usize = 9;
/// First words of wasmtime's rendering of a backtrace.
const BACKTRACE_HEADLINE: &str = "error while executing at wasm backtrace";
/// Crates whose functions are not the guest's own: of the standard library, its allocator and the bindings.
const FOREIGN_CRATES: [&str; 7] =
    ["std", "core", "alloc", "dlmalloc", "compiler_builtins", "wit_bindgen", "__rustc"];
/// Prefixes of runtime functions without a crate in their names.
const FOREIGN_PREFIXES: [&str; 2] = ["__rust", "rust_"];
/// The function of wasi-libc that ends every panic of a guest for WASI.
const ABORT: &str = "abort";
/// The crate whose generated functions call the guest's: no author wrote them.
const SDK: &str = "lector_sdk";
/// Wasmtime's message for its limit on the bytes that one call may pass to the host (the error type is private).
const HOSTCALL_BYTES_EXCEEDED: &str = "too much data is being copied between the host and the guest";
/// Wasmtime's message for its limit on live handles.
const HANDLES_EXHAUSTED: &str = "store handle limit exceeded";

/// Message for unbounded recursion.
const RECURSED: &str = "the guest recursed until its stack was full";

/// Returns the fault of a guest that was ended by wasmtime or by a host function.
pub fn ended(error: &wasmtime::Error, state: &HostState) -> Fault {
    if let Some(stop) = error.downcast_ref::<AbortReason>() {
        return Fault::from(stop);
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return trapped(format!("the guest exited with code {}", exit.0), error);
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        let message = "all guest instances are in use; try again later";
        return Fault::new(Kind::Busy, "runtime_busy", message)
            .retry_after(Duration::from_secs(1))
            .with_detail(error);
    }
    if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
        return too_many_handles(state.call_state.call.budget.handles).with_detail(error);
    }
    if error.chain().any(|cause| cause.to_string().contains(HOSTCALL_BYTES_EXCEEDED)) {
        return Fault::new(
            Kind::GuestFault,
            "guest_result_too_large",
            "the guest passed more bytes to the host in one call than its budget allows",
        )
        .with_detail(detail_of(error));
    }
    if error.chain().any(|cause| cause.to_string().contains(HANDLES_EXHAUSTED)) {
        return too_many_handles(state.call_state.call.budget.handles).with_detail(detail_of(error));
    }
    // A guest that is refused memory or table elements mostly traps at once; the refusal is then the cause.
    if let Some(asked) = state.limits.memory_refused {
        let message = format!(
            "the guest needs more memory than the {} bytes of its budget; it requested {asked}",
            state.call_state.call.budget.memory_bytes
        );
        return Fault::new(Kind::GuestFault, "guest_memory_exceeded", message).with_detail(detail_of(error));
    }
    if let Some(asked) = state.limits.table_refused {
        let message = format!("the guest requested {asked} table elements, more than a guest may have");
        return Fault::new(Kind::GuestFault, "guest_memory_exceeded", message).with_detail(detail_of(error));
    }
    if let Some(refusal) = state.call_state.last_refusal() {
        return refusal.clone().with_detail(detail_of(error));
    }
    let what = match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => RECURSED.to_owned(),
        Some(Trap::MemoryOutOfBounds) if recursed(error) => RECURSED.to_owned(),
        Some(Trap::UnreachableCodeReached) => panicked(error, state),
        Some(trap) => format!("the guest trapped: {trap}"),
        None => "the guest was ended".to_owned(),
    };
    trapped(what, error)
}

/// Returns the fault of a call whose deadline passed. If the host had no operation in flight, or most of the time was
/// spent computing, the guest is to blame.
pub fn late(state: &HostState, elapsed: Duration) -> Fault {
    let computed = state.call_state.meter.computed();
    let waiting = state.call_state.accounting.in_flight();
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

/// Returns the message for a guest that executed `unreachable`, the last instruction of a panic: with its own sentence
/// and place if the call may tell them.
fn panicked(error: &wasmtime::Error, state: &HostState) -> String {
    match state.call_state.log.panic().filter(|_| state.call_state.tells_panics) {
        Some(panic) => match own_functions(error).iter().find(|name| is_authors(name)) {
            Some(function) => format!("the guest {panic} (in {function})"),
            None => format!("the guest {panic}"),
        },
        None => "the guest panicked or aborted (unreachable code)".to_owned(),
    }
}

fn trapped(message: String, error: &wasmtime::Error) -> Fault {
    Fault::new(Kind::GuestFault, "guest_trapped", message).with_detail(detail_of(error))
}

/// Returns the chain of causes and a short backtrace on the same line: the guest's own functions, innermost first.
fn detail_of(error: &wasmtime::Error) -> String {
    let causes = error.chain().map(|cause| cause.to_string().lines().next().unwrap_or_default().to_owned());
    // The outermost "cause" of a trap is the headline of wasmtime's rendering of the backtrace.
    let causes: Vec<String> = causes.filter(|line| !line.starts_with(BACKTRACE_HEADLINE)).collect();
    let mut out = printable(&causes.join(": "), CAUSES_BYTES_MAX);
    if error.downcast_ref::<WasmBacktrace>().is_some() {
        let _ = write!(out, " [{}]", own_functions(error).join(" < "));
    }
    out
}

/// Returns the names of the innermost functions of the guest's own, innermost first, without those of panics and of the
/// standard library.
fn own_functions(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    // The rendering is the only access to demangled names: `  3: 0x1f2a - module!function`.
    let rendered = trace.to_string();
    let names = rendered.lines().filter_map(|line| line.split_once(" - ").map(|(_, name)| name));
    let names = names.map(|name| name.split_once('!').map_or(name, |(_, function)| function).trim());
    let own = names.filter(|name| !is_foreign(name));
    own.take(FRAMES_MAX).map(|name| printable(without_hash(name), NAME_BYTES_MAX)).collect()
}

/// Returns the crate of a demangled function: `std` of `std[4dd2]::panicking::begin` and of `<std::io::Error as ..>::f`.
fn crate_of(function: &str) -> &str {
    let path = function.trim_start_matches(|char: char| !char.is_alphanumeric() && char != '_');
    path.split(|char: char| !char.is_alphanumeric() && char != '_').next().unwrap_or_default()
}

/// Returns whether a function is of the standard library or the bindings.
fn is_foreign(function: &str) -> bool {
    FOREIGN_CRATES.contains(&crate_of(function))
        || FOREIGN_PREFIXES.iter().any(|prefix| function.starts_with(prefix))
        || function == ABORT
}

/// Returns whether the author of the guest wrote the function: it is neither the SDK's nor an export that the linker made.
fn is_authors(function: &str) -> bool {
    function.contains("::") && !function.starts_with('[') && crate_of(function) != SDK
}

/// Returns the name without the hash that the older mangling of Rust appends.
fn without_hash(function: &str) -> &str {
    match function.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => function,
    }
}

/// Returns whether the innermost frames repeat a few functions. A guest's stack lies in its linear memory too, so
/// unbounded recursion mostly shows as an access out of bounds.
fn recursed(error: &wasmtime::Error) -> bool {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return false };
    let functions: Vec<u32> = trace.frames().iter().map(|frame| frame.func_index()).collect();
    let mut distinct = functions.clone();
    distinct.sort_unstable();
    distinct.dedup();
    functions.len() >= RECURSION_FRAMES_MIN && distinct.len() <= functions.len() / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_the_standard_library_are_recognized_in_both_manglings() {
        for foreign in [
            "std[4dd2b9749bd9ef22]::panicking::panic_with_hook",
            "core::panicking::panic_fmt",
            "<alloc[8a2965ea9f31b708]::vec::Vec<u8> as core::clone::Clone>::clone",
            "__rustc[1f2e]::rust_begin_unwind",
            "rust_panic",
            "wit_bindgen::rt::run_ctors_once",
            "abort",
        ] {
            assert!(is_foreign(foreign), "{foreign}");
        }
        for own in ["hostile::recurse", "<invoices::Reader as invoices::Read>::read", "stdlib_like::f"] {
            assert!(!is_foreign(own) && is_authors(own), "{own}");
        }
        for glue in [
            "lector_sdk::bindings::_export_cabi",
            "[async-lift]lector:ocr/pipeline@0.2.0#recognize",
            "<wasm function 3>",
        ] {
            assert!(!is_authors(glue), "{glue}");
        }
        assert_eq!(without_hash("hostile::recurse::h58362f6324bfc36b"), "hostile::recurse");
        assert_eq!(without_hash("hostile::hash"), "hostile::hash");
    }
}
