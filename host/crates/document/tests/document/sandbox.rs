//! Proves that the sandbox holds: attempts to escape, and the kernel's view of a live worker.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::builder::endless;
use crate::support::{HANG, TestServer, config, example};

/// End of an attempt: an exit code, or a signal.
#[derive(Debug, PartialEq)]
enum End {
    Refused,
    Killed,
    Aborted,
    Other(std::process::ExitStatus),
}

fn attempt(name: &str) -> End {
    let (_host, worker) = UnixStream::pair().unwrap();
    let status = Command::new(example("sandbox_probe"))
        .arg(name)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(worker)))
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
fn is_complete() -> bool {
    let end = attempt("nothing");
    if end == End::Refused {
        return true;
    }
    eprintln!("SKIPPED: the sandbox is not complete on this kernel ({end:?})");
    false
}

#[test]
fn every_escape_fails() {
    if !is_complete() {
        return;
    }
    for name in ["read-file", "list-folder", "write-file", "stat-file", "executable-memory"] {
        assert_eq!(attempt(name), End::Refused, "{name}");
    }
    for name in ["socket", "unix-socket", "fork", "thread", "exec", "kill-parent"] {
        assert_eq!(attempt(name), End::Killed, "{name}");
    }
    assert_eq!(attempt("memory"), End::Aborted);
    assert!(matches!(attempt("no such attempt"), End::Other(_)), "the probe tells success from failure");
}

#[test]
fn a_worker_started_by_hand_names_the_host() {
    let started = Command::new(example("render_worker")).stdin(Stdio::null()).output().unwrap();
    assert_eq!(started.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&started.stderr).contains("by the Lector host"));
}

#[tokio::test]
async fn the_kernel_confirms_what_a_worker_reports() {
    let server = TestServer::start(1).await;
    let report = server.workers.status().sandbox.unwrap();
    let pid = server.pids[0];
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let says =
        |line: &str| status.lines().any(|l| l.split_whitespace().collect::<Vec<_>>().join(" ") == line);
    assert!(says("NoNewPrivs: 1") && report.no_new_privs.is_in_force(), "{report}");
    assert_eq!(says("Seccomp: 2"), report.seccomp.is_in_force(), "{report}");
    assert!(says("Threads: 1"));
    assert!(
        report.descriptors.is_in_force() && report.limits.is_in_force() && report.parent_death.is_in_force()
    );
    // The process is not dumpable: only root may read the rest.
    match std::fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(descriptors) => {
            assert_eq!(descriptors.count(), 4, "three standard streams and the socket");
            assert_eq!(
                std::fs::read(format!("/proc/{pid}/environ")).unwrap(),
                b"",
                "the environment is empty"
            );
        }
        Err(_) => eprintln!("SKIPPED: /proc/{pid}/fd is not readable for this user"),
    }
    server.end().await;
}

#[test]
fn a_busy_worker_dies_with_its_host() {
    let file = std::env::temp_dir().join(format!("lector-endless-{}.pdf", std::process::id()));
    std::fs::write(&file, endless()).unwrap();
    // The example is a host with one worker, and prints the worker's process id once it renders this file.
    let mut host = Command::new(example("busy_host"))
        .arg(config(1).pdfium_dir)
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let worker: u32 = line.trim().parse().unwrap();
    let alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
        stat.contains("(render_worker)") && !stat.contains(") Z ")
    };
    assert!(alive(), "worker {worker}");
    host.kill().unwrap();
    host.wait().unwrap();
    std::fs::remove_file(&file).unwrap();
    let deadline = Instant::now() + HANG;
    while alive() {
        assert!(Instant::now() < deadline, "worker {worker} outlives its host");
        std::thread::sleep(Duration::from_millis(5));
    }
}
