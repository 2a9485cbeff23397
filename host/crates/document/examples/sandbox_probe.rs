//! Enters the sandbox of a render worker and tries to escape. `tests/document/sandbox.rs` starts it with the name of an
//! attempt and checks how it ends. Standard input must be a Unix socket.
//!
//! Exit code 0: the attempt failed with an error. 1: it succeeded. 3: the sandbox is incomplete. Death by SIGSYS or
//! SIGABRT: the kernel ended the process.
#![allow(clippy::disallowed_methods)]

use std::process::ExitCode;

use lector_document::sandbox;

const MEMORY_BYTES: u64 = 256 << 20;

fn main() -> ExitCode {
    let attempt = std::env::args().nth(1).unwrap_or_default();
    let Ok(_socket) = sandbox::isolate() else { return ExitCode::from(4) };
    if !sandbox::enter(MEMORY_BYTES).is_complete() {
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
        "nothing" => false,
        _ => true,
    };
    if got_out { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
