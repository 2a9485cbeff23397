//! Enters the sandbox of a role (`render-worker` or `compiler`) and tries to escape. `tests/escape.rs` starts it with the
//! role and the name of an attempt and checks how it ends. Standard input must be a Unix socket.
//!
//! Exit code 0: the attempt failed with an error. 1: it succeeded. 3: the sandbox is incomplete. Death by SIGSYS or
//! SIGABRT: the kernel ended the process.
#![allow(clippy::disallowed_methods)]

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use lector_sandbox::{Role, enter, isolate};

const MEMORY_BYTES: u64 = 256 << 20;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (role, attempt) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    // Kept open: the render worker's only descriptor besides the standard streams.
    let mut _socket = None;
    let role = match role.as_str() {
        "compiler" => Role::Compiler { memory_bytes: MEMORY_BYTES },
        _ => {
            let Ok(moved) = isolate() else { return ExitCode::from(4) };
            _socket = Some(moved);
            Role::RenderWorker { memory_bytes: MEMORY_BYTES }
        }
    };
    let report = enter(role);
    if !report.is_complete() {
        let _ = writeln!(std::io::stderr(), "{report}");
        return ExitCode::from(3);
    }
    let got_out = match attempt.as_str() {
        "read-file" => std::fs::read("/proc/self/status").is_ok(),
        "list-folder" => std::fs::read_dir("/").is_ok(),
        "write-file" => std::fs::write("/tmp/lector-sandbox-probe", b"out").is_ok(),
        "stat-file" => std::fs::metadata("/etc/passwd").is_ok(),
        "socket" => std::net::TcpStream::connect("127.0.0.1:9").is_ok(),
        "unix-socket" => std::os::unix::net::UnixDatagram::unbound().is_ok(),
        // SAFETY: only a bare fork, whose child ends at once.
        "fork" => unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::_exit(0);
            }
            child > 0
        },
        "thread" => std::thread::Builder::new().spawn(|| ()).is_ok(),
        "exec" => std::os::unix::process::CommandExt::exec(&mut std::process::Command::new("/bin/true"))
            .raw_os_error()
            .is_none(),
        "kill-parent" => {
            // SAFETY: plain numbers; signal 0 only checks for permission.
            unsafe { libc::kill(libc::getppid(), 0) == 0 }
        }
        "executable-memory" => {
            // SAFETY: a new anonymous mapping without other users.
            let mapped = unsafe {
                let access = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                libc::mmap(std::ptr::null_mut(), 4096, access, flags, -1, 0)
            };
            mapped != libc::MAP_FAILED
        }
        "memory" => {
            let bytes = vec![1_u8; usize::try_from(MEMORY_BYTES).unwrap_or(usize::MAX)];
            std::hint::black_box(&bytes).len() > 1
        }
        // What a compiler does: threads with their own memory, and the standard streams. Succeeds by failing to escape.
        "compile" => {
            let work = |seed: usize| {
                let bytes: Vec<usize> = (0..1_usize << 18).map(|place| place.wrapping_mul(seed)).collect();
                bytes.iter().fold(0, |sum: usize, value| sum.wrapping_add(*value))
            };
            let names = (0..8).map(|number| format!("compile-{number}"));
            let threads: Vec<_> = names
                .enumerate()
                .filter_map(|(seed, name)| {
                    std::thread::Builder::new().name(name).spawn(move || work(seed)).ok()
                })
                .collect();
            let started = threads.len();
            let sums: Vec<usize> = threads.into_iter().filter_map(|thread| thread.join().ok()).collect();
            let written = std::io::stdout().write_all(b"done").and_then(|()| std::io::stdout().flush());
            let read = std::io::stdin().read(&mut [0]);
            started != 8 || sums.len() != 8 || written.is_err() || read.is_err()
        }
        "nothing" => false,
        _ => true,
    };
    if got_out { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
