//! The sandbox of a worker, entered before the first byte of a document arrives.
//!
//! Six layers, each of which stops most attacks alone: no open descriptors except the socket, no environment (the pool
//! starts the worker without one), resource limits, `no_new_privs`, landlock (no file, no TCP, no outgoing signal or
//! abstract socket), seccomp (an allow-list; calls that only an attacker would make kill the process). The worker
//! reports to the host which layers the kernel lacks, and the host logs it; no layer is dropped silently. Public for
//! the test that tries to escape.

mod seccomp;

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use serde::{Deserialize, Serialize};

/// State of one layer of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layer {
    /// The layer is in force, in this form.
    InForce(String),
    /// The layer is missing, for this reason.
    Missing(String),
}

impl Layer {
    fn of<E: fmt::Display>(result: Result<String, E>) -> Self {
        match result {
            Ok(form) => Layer::InForce(form),
            Err(reason) => Layer::Missing(reason.to_string()),
        }
    }

    /// Returns whether the layer is in force.
    pub fn is_in_force(&self) -> bool {
        matches!(self, Layer::InForce(_))
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::InForce(form) => f.write_str(form),
            Layer::Missing(reason) => write!(f, "MISSING ({reason})"),
        }
    }
}

/// State of a worker's sandbox, as the worker reports it when it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxReport {
    /// Only standard streams and the socket are open.
    pub descriptors: Layer,
    /// The worker dies with the host thread that started it; no core dumps, no ptrace.
    pub parent_death: Layer,
    /// Limits on memory, files, processes, core dumps.
    pub limits: Layer,
    /// No program can give the process more rights.
    pub no_new_privs: Layer,
    /// Kernel access control on files, TCP, signals and abstract sockets.
    pub landlock: Layer,
    /// The system call filter.
    pub seccomp: Layer,
}

impl SandboxReport {
    /// Returns the report of a process that is not ready.
    pub(crate) fn none() -> Self {
        let unknown = Layer::Missing("not ready yet".into());
        Self {
            descriptors: unknown.clone(),
            parent_death: unknown.clone(),
            limits: unknown.clone(),
            no_new_privs: unknown.clone(),
            landlock: unknown.clone(),
            seccomp: unknown,
        }
    }

    /// Returns every layer, with its name.
    pub fn layers(&self) -> [(&'static str, &Layer); 6] {
        [
            ("descriptors", &self.descriptors),
            ("parent_death", &self.parent_death),
            ("limits", &self.limits),
            ("no_new_privs", &self.no_new_privs),
            ("landlock", &self.landlock),
            ("seccomp", &self.seccomp),
        ]
    }

    /// Returns whether every layer is in force.
    pub fn is_complete(&self) -> bool {
        self.layers().iter().all(|(_, layer)| layer.is_in_force())
    }
}

impl fmt::Display for SandboxReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (name, layer)) in self.layers().into_iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{name}: {layer}")?;
        }
        Ok(())
    }
}

/// First step, before anything is loaded: moves the socket from standard input, which must be one, and makes the
/// process die with its parent.
pub fn isolate() -> Result<OwnedFd, String> {
    let kind = rustix::net::sockopt::socket_domain(rustix::stdio::stdin());
    if kind != Ok(rustix::net::AddressFamily::UNIX) {
        return Err("standard input is not a Unix socket".into());
    }
    // `enter` checks and reports the result.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let _ = close_from(SOCKET);
    // Makes the kernel kill a worker before the host when memory runs out. Needs /proc.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), SOCKET)
        .map_err(|e| format!("moving the socket: {e}"))?;
    Ok(socket)
}

/// Last step before bytes from outside are read. After it the process has no file, no network, no child process and no
/// new executable memory.
pub fn enter(memory_bytes: u64) -> SandboxReport {
    // Each layer is entered even if another one failed; seccomp is the last, because it forbids the system calls of the
    // others.
    let descriptors = Layer::of(close_all_but_socket());
    let parent_death = Layer::of(die_with_parent());
    let limits = Layer::of(limit(memory_bytes));
    let no_new_privs = Layer::of(renounce_privileges());
    let threads = single_threaded();
    let landlock = Layer::of(threads.clone().and_then(|()| restrict()));
    let seccomp = Layer::of(threads.and_then(|()| seccomp::install()));
    SandboxReport { descriptors, parent_death, limits, no_new_privs, landlock, seccomp }
}

/// Checks that the process has one thread: landlock applies to the calling thread and its children only.
fn single_threaded() -> Result<(), String> {
    let tasks = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    match tasks {
        Ok(1) => Ok(()),
        Ok(several) => Err(format!("{several} threads are running already")),
        // Without /proc the check is impossible; no code starts a thread before this point.
        Err(_) => Ok(()),
    }
}

/// Number of the descriptor to which `isolate` moves the socket.
const SOCKET: i32 = 3;

/// Out of 1000; a worker is cheap to replace.
const OOM_SCORE: &str = "800";

/// Closes descriptors that the parent passed by mistake or a library left open.
fn close_from(first: i32) -> std::io::Result<()> {
    // SAFETY: plain numbers. No object of this process owns a descriptor from `first` on: this is called before any was
    // opened, and again when only the socket is open, whose number is lower.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, i32::MAX, 0) };
    if closed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn close_all_but_socket() -> Result<String, String> {
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty());
    if let Ok(null) = null {
        let _ = rustix::stdio::dup2_stdin(null.as_fd());
    }
    close_from(SOCKET + 1).map_err(|e| e.to_string())?;
    Ok("only the socket".into())
}

fn die_with_parent() -> Result<String, String> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|e| e.to_string())?;
    let signal = rustix::process::parent_process_death_signal().map_err(|e| e.to_string())?;
    (signal == Some(Signal::KILL)).then(|| "kill".to_owned()).ok_or_else(|| "not set".into())
}

fn renounce_privileges() -> Result<String, String> {
    rustix::thread::set_no_new_privs(true).map_err(|e| e.to_string())?;
    match rustix::thread::no_new_privs() {
        Ok(true) => Ok("on".into()),
        Ok(false) => Err("off".into()),
        Err(e) => Err(e.to_string()),
    }
}

fn limit(memory_bytes: u64) -> Result<String, String> {
    // Data rather than address space: the body limit and the pixel limit already bound a mapped document and the host's
    // pixel buffer.
    let limits = [
        (Resource::Data, memory_bytes),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Memlock, 0),
        (Resource::Nofile, 8),
    ];
    for (resource, bound) in limits {
        let bound = Rlimit { current: Some(bound), maximum: Some(bound) };
        rustix::process::setrlimit(resource, bound).map_err(|e| format!("{resource:?}: {e}"))?;
    }
    Ok(format!("{} MiB of memory, no files, no processes", memory_bytes >> 20))
}

fn restrict() -> Result<String, String> {
    // The newest rules that this crate supports; an older kernel enforces the ones that it supports.
    const KNOWN: ABI = ABI::V7;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(KNOWN)))
        .and_then(|rules| rules.scope(Scope::from_all(KNOWN)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.restrict_self())
        .map_err(|e| e.to_string())?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok("files, TCP, signals".into()),
        RulesetStatus::PartiallyEnforced => Ok(format!("partly ({:?})", status.landlock)),
        RulesetStatus::NotEnforced => Err(format!("{:?}", status.landlock)),
    }
}
