//! Proves that the sandbox holds: attempts to escape from both roles, and the work that a compiler must be able to do. Where
//! the kernel lacks a layer a test prints that and passes; under `LECTOR_REQUIRE_SANDBOX=1` it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// End of an attempt: an exit code, or a signal.
#[derive(Debug, PartialEq)]
enum End {
    Refused,
    Killed,
    Aborted,
    Other(std::process::ExitStatus),
}

/// Returns the path of the probe, which cargo builds next to the tests.
fn probe() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = target.join("examples/sandbox_probe");
    assert!(program.is_file(), "no {program:?}: cargo builds it with the tests of the whole package");
    program
}

fn attempt(role: &str, name: &str) -> End {
    let (host, worker) = UnixStream::pair().unwrap();
    // Nothing is sent: a read of the probe ends at once.
    host.shutdown(std::net::Shutdown::Write).unwrap();
    let status = Command::new(probe())
        .args([role, name])
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(worker)))
        .stdout(Stdio::null())
        // The file size limit of the sandbox would end the probe at a message to a file.
        .stderr(Stdio::null())
        .status()
        .unwrap();
    match (status.code(), status.signal()) {
        (Some(0), _) => End::Refused,
        (_, Some(libc::SIGSYS)) => End::Killed,
        (_, Some(libc::SIGABRT)) => End::Aborted,
        _ => End::Other(status),
    }
}

/// Returns whether this kernel supports every layer; otherwise the tests are skipped.
fn is_complete(role: &str) -> bool {
    let end = attempt(role, "nothing");
    if end == End::Refused {
        return true;
    }
    assert!(std::env::var_os("LECTOR_REQUIRE_SANDBOX").is_none(), "the sandbox is not complete ({end:?})");
    eprintln!("SKIPPED: the sandbox is not complete on this kernel ({end:?})");
    false
}

#[test]
fn every_escape_of_a_render_worker_fails() {
    if !is_complete("render-worker") {
        return;
    }
    for name in ["read-file", "list-folder", "write-file", "stat-file", "executable-memory"] {
        assert_eq!(attempt("render-worker", name), End::Refused, "{name}");
    }
    for name in ["socket", "unix-socket", "fork", "thread", "exec", "kill-parent"] {
        assert_eq!(attempt("render-worker", name), End::Killed, "{name}");
    }
    assert_eq!(attempt("render-worker", "memory"), End::Aborted);
    let other = attempt("render-worker", "no such attempt");
    assert!(matches!(other, End::Other(_)), "the probe tells success from failure: {other:?}");
}

#[test]
fn every_escape_of_a_compiler_fails_and_its_threads_work() {
    if !is_complete("compiler") {
        return;
    }
    assert_eq!(attempt("compiler", "compile"), End::Refused, "threads, memory and streams work");
    for name in ["read-file", "list-folder", "write-file", "stat-file", "executable-memory"] {
        assert_eq!(attempt("compiler", name), End::Refused, "{name}");
    }
    for name in ["socket", "unix-socket", "fork", "exec", "kill-parent"] {
        assert_eq!(attempt("compiler", name), End::Killed, "{name}");
    }
    assert_eq!(attempt("compiler", "memory"), End::Aborted);
    let other = attempt("compiler", "thread");
    assert!(matches!(other, End::Other(_)), "a compiler may start threads: {other:?}");
}
