//! Reads processes from /proc: descendants, memory, file descriptors.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::HANG;

fn stat(pid: u32) -> Option<(u32, char)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = &text[text.rfind(')')? + 2..];
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

/// Returns all living processes below `root` (without zombies and `root` itself).
pub fn descendants(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok())
            && let Some((parent, state)) = stat(pid)
            && state != 'Z'
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut todo = vec![root];
    while let Some(pid) = todo.pop() {
        for &child in children.get(&pid).into_iter().flatten() {
            found.push(child);
            todo.push(child);
        }
    }
    found
}

/// Returns those of the descendants that were started with this argument.
pub fn descendants_named(root: u32, argument: &str) -> Vec<u32> {
    let started_so = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0).any(|part| part == argument.as_bytes())
    };
    descendants(root).into_iter().filter(started_so).collect()
}

/// Returns whether the process exists and is not a zombie.
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(_, state)| state != 'Z')
}

/// Returns the number of open file descriptors of a process.
pub fn fds(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map(|d| d.count()).unwrap_or(0)
}

/// Returns the resident memory of a process in bytes.
pub fn resident(pid: u32) -> u64 {
    let text =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("statm")).unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Returns the number of executable mappings of a process that are not of a file: machine code that was made at run
/// time, such as that of components.
pub fn code_mappings(pid: u32) -> usize {
    let maps =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("maps")).unwrap_or_default();
    // ADDRESSES PERMISSIONS OFFSET DEVICE INODE PATH
    let is_code = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields.as_slice(), [_, permissions, _, _, "0"] if permissions.contains('x'))
    };
    maps.lines().filter(is_code).count()
}

/// Waits until `condition` is true; fails with `what` after a timeout.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + HANG;
    while !condition() {
        assert!(Instant::now() < end, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends a signal by number (15 = TERM, 9 = KILL).
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid as i32) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}
