//! The sandbox of processes that read bytes from outside: render workers and the component compiler.
//!
//! Six layers, each of which stops most attacks alone: no open descriptors except those of the [`Role`], death with the
//! host, resource limits, `no_new_privs`, landlock (no file, no TCP, no outgoing signal or abstract socket), seccomp (an
//! allow-list; calls that only an attacker would make kill the process). The starter of the process clears its
//! environment. A process enters the sandbox before it parses the first byte, and reports the state of every layer to
//! the host; a [`Policy`] decides whether an incomplete sandbox is an error. Called by `document` and `runtime`.
//!
//! Landlock counts as in force from its first version on: seccomp also forbids the sockets and signals that only later
//! versions restrict.
#![warn(missing_docs)]

mod seccomp;

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::str::FromStr;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use serde::{Deserialize, Serialize};

/// A kind of process, which decides its descriptors, its limits and whether it may start threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// One thread, and the socket that [`isolate`] returned as the only descriptor besides the standard streams.
    RenderWorker {
        /// Limit of private memory (`RLIMIT_DATA`), bytes.
        memory_bytes: u64,
    },
    /// Starts threads, and uses the three standard streams only.
    Compiler {
        /// Limit of the address space (`RLIMIT_AS`), bytes.
        memory_bytes: u64,
    },
}

/// The consequence of a sandbox that the kernel does not support completely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The process is not used.
    #[default]
    Enforce,
    /// The process is used, and the missing layers are logged and shown in the status.
    Warn,
}

impl Policy {
    /// Returns the missing layers as an error where this policy requires all of them.
    pub fn check(self, report: &SandboxReport) -> Result<(), String> {
        if self == Policy::Warn || report.is_complete() {
            return Ok(());
        }
        Err(format!(
            "the sandbox is incomplete ({}); use a kernel and a container runtime that allow landlock and seccomp, or \
             accept the risk with documents.sandbox = \"warn\"",
            report.missing().join(", ")
        ))
    }

    /// Returns the name, as [`Policy::from_str`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Enforce => "enforce",
            Policy::Warn => "warn",
        }
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Policy::Enforce, Policy::Warn];
        let found = known.into_iter().find(|policy| policy.name() == name);
        found.ok_or_else(|| format!("`{name}` is not a sandbox policy: use enforce or warn"))
    }
}

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

/// State of the sandbox of a process, as the process reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxReport {
    /// Only the descriptors of the role are open.
    pub descriptors: Layer,
    /// A render worker dies with the host thread that started it (a compiler ends when its input closes); no ptrace.
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
    pub fn none() -> Self {
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

    /// Returns every missing layer, as `name: reason`.
    pub fn missing(&self) -> Vec<String> {
        let missing = |(name, layer): (&str, &Layer)| match layer {
            Layer::InForce(_) => None,
            Layer::Missing(reason) => Some(format!("{name}: {reason}")),
        };
        self.layers().into_iter().filter_map(missing).collect()
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

/// First step of a render worker, before anything is loaded: moves the socket from standard input, which must be one,
/// and makes the process die with its parent.
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

/// Last step before bytes from outside are parsed. After it the process has no file, no network, no child process and
/// no new executable memory. The process must have one thread; a compiler starts its threads afterwards.
pub fn enter(role: Role) -> SandboxReport {
    // Each layer is entered even if another one failed; seccomp is the last, because it forbids the system calls of the
    // others.
    let descriptors = Layer::of(close_others(role));
    let parent_death = Layer::of(die_with_parent(role));
    let limits = Layer::of(limit(role));
    let no_new_privs = Layer::of(renounce_privileges());
    let threads = single_threaded();
    let landlock = Layer::of(threads.clone().and_then(|()| restrict()));
    let seccomp = Layer::of(threads.and_then(|()| seccomp::install(matches!(role, Role::Compiler { .. }))));
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

fn close_others(role: Role) -> Result<String, String> {
    let (first, form) = match role {
        Role::RenderWorker { .. } => {
            let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty());
            if let Ok(null) = null {
                let _ = rustix::stdio::dup2_stdin(null.as_fd());
            }
            (SOCKET + 1, "only the socket")
        }
        Role::Compiler { .. } => (SOCKET, "only the standard streams"),
    };
    close_from(first).map_err(|e| e.to_string())?;
    Ok(form.into())
}

fn die_with_parent(role: Role) -> Result<String, String> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|e| e.to_string())?;
    // The signal follows the thread that started the process. A task of an async runtime starts a compiler, and its
    // thread may end; a compiler reads its input instead, which ends with the host.
    if let Role::Compiler { .. } = role {
        return Ok("end of input".into());
    }
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

fn limit(role: Role) -> Result<String, String> {
    // The descriptors that are open stay open; new ones get numbers below the limit.
    const DESCRIPTORS_MAX: u64 = 8;
    let bytes = match role {
        Role::RenderWorker { memory_bytes } | Role::Compiler { memory_bytes } => memory_bytes,
    };
    let mut limits = vec![
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Memlock, 0),
        (Resource::Nofile, DESCRIPTORS_MAX),
    ];
    match role {
        // Data rather than address space: the body limit and the pixel limit already bound a mapped document and the
        // host's pixel buffer.
        Role::RenderWorker { .. } => limits.extend([(Resource::Data, bytes), (Resource::Nproc, 0)]),
        // The kernel counts threads as processes, so this role has no limit of processes; seccomp forbids them.
        Role::Compiler { .. } => limits.push((Resource::As, bytes)),
    }
    for (resource, bound) in limits {
        let bound = Rlimit { current: Some(bound), maximum: Some(bound) };
        rustix::process::setrlimit(resource, bound).map_err(|e| format!("{resource:?}: {e}"))?;
    }
    Ok(format!("{} MiB of memory, no files, no processes", bytes >> 20))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn an_incomplete_sandbox_is_an_error_unless_permitted() {
        let there = Layer::InForce("on".into());
        let mut report = SandboxReport {
            descriptors: there.clone(),
            parent_death: there.clone(),
            limits: there.clone(),
            no_new_privs: there.clone(),
            landlock: there.clone(),
            seccomp: there,
        };
        assert_eq!(Policy::Enforce.check(&report), Ok(()));
        report.landlock = Layer::Missing("the kernel lacks it".into());
        assert_eq!(report.missing(), ["landlock: the kernel lacks it"]);
        let error = Policy::Enforce.check(&report).unwrap_err();
        assert!(
            error.contains("landlock: the kernel lacks it") && error.contains("documents.sandbox"),
            "{error}"
        );
        assert_eq!(Policy::Warn.check(&report), Ok(()));
    }

    #[test]
    fn a_policy_is_read_by_its_name() {
        for policy in [Policy::Enforce, Policy::Warn] {
            assert_eq!(policy.name().parse(), Ok(policy));
        }
        assert!("off".parse::<Policy>().is_err());
    }
}
