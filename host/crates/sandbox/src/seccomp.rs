//! The system calls that a process in the sandbox may make. There are several filters, and the kernel applies the
//! strictest result: calls that only an attacker would make kill the process, calls that are not on the allow-list fail
//! with EPERM (the C library probes for features and must survive that), the others are allowed.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// Allowed with any argument: memory, the socket and mappings received over it, time, randomness, locks, signals to
/// itself, exit.
const ALLOWED: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_read,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Also allowed to a process that starts threads.
const ALLOWED_WITH_THREADS: &[i64] = &[
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
];

/// Bits of the third argument of `mmap` and `mprotect`, and of the first of `clone`.
const EXECUTABLE: u64 = libc::PROT_EXEC.unsigned_abs() as u64;
const THREAD: u64 = libc::CLONE_THREAD.unsigned_abs() as u64;

/// System calls that no parser and no compiler makes, but an attacker would.
const DEADLY: &[i64] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_add_key,
    libc::SYS_bind,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_connect,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_kill,
    libc::SYS_listen,
    libc::SYS_memfd_create,
    libc::SYS_mount,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// Installs the filters permanently. `threads`: the process may start threads.
pub(super) fn install(threads: bool) -> Result<String, String> {
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(|e| format!("{e}"))?;
    // The deadly filter first: the last filter forbids further filters.
    let mut deadly: BTreeMap<i64, Vec<SeccompRule>> = DEADLY.iter().map(|call| (*call, Vec::new())).collect();
    let clone = if threads { vec![rule(0, SeccompCmpOp::MaskedEq(THREAD), 0)?] } else { Vec::new() };
    deadly.insert(libc::SYS_clone, clone);
    if !threads {
        deadly.insert(libc::SYS_clone3, Vec::new());
    }
    let deadly_calls = deadly.len();
    apply(deadly, SeccompAction::Allow, SeccompAction::KillProcess, arch)?;
    if threads {
        // A filter cannot see the flags of `clone3`, which are in memory. The C library then uses `clone`.
        let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        apply(clone3, SeccompAction::Allow, missing, arch)?;
    }
    let allowed = allowed(threads)?;
    let allowed_calls = allowed.len();
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    apply(allowed, denied, SeccompAction::Allow, arch)?;
    Ok(format!("{allowed_calls} calls allowed, {deadly_calls} deadly"))
}

fn allowed(threads: bool) -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    if threads {
        rules.extend(ALLOWED_WITH_THREADS.iter().map(|call| (*call, Vec::new())));
    }
    // No new executable memory: the third argument of both calls is the protection.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![rule(2, SeccompCmpOp::MaskedEq(EXECUTABLE), 0)?]);
    }
    // `abort` sends a signal to its own process; signals to other processes are forbidden.
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![rule(0, SeccompCmpOp::Eq, own)?]);
    Ok(rules)
}

fn rule(argument: u8, comparison: SeccompCmpOp, value: u64) -> Result<SeccompRule, String> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, comparison, value)
        .map_err(|e| e.to_string())?;
    SeccompRule::new(vec![condition]).map_err(|e| e.to_string())
}

fn apply(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    on_match: SeccompAction,
    arch: TargetArch,
) -> Result<(), String> {
    let filter = SeccompFilter::new(rules, otherwise, on_match, arch).map_err(|e| e.to_string())?;
    let program: BpfProgram = filter.try_into().map_err(|e: seccompiler::BackendError| e.to_string())?;
    seccompiler::apply_filter_all_threads(&program).map_err(|e| e.to_string())
}
