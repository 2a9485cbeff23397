//! The sandbox of live workers in the kernel's view. `lector-sandbox` tests attempts to escape from it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::builder::endless;
use crate::support::{HANG, TestServer, config, example};

#[test]
fn a_worker_started_by_hand_names_the_host() {
    let started = Command::new(example("render_worker")).stdin(Stdio::null()).output().unwrap();
    assert_eq!(started.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&started.stderr).contains("by the Lector host"));
}

#[tokio::test]
async fn the_kernel_confirms_what_a_worker_reports() {
    let mut server = TestServer::start(1).await;
    server.settle().await;
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
