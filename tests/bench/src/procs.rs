//! CPU time and memory of a process and all its descendants, read from /proc while they run.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Sampling interval of the resident set: short enough to see the peak of a page; it reads one short file per process.
const EVERY: Duration = Duration::from_millis(50);
/// Number of samples between two scans for new processes and of the proportional set, for which the kernel walks all
/// pages: some 10 ms per GiB, on the measured cores.
const FULL_LOOK_EVERY: u32 = 40;
/// `USER_HZ`, which Linux fixes for all programs.
const TICKS_PER_S: f64 = 100.0;
/// Size of a memory page on the machines that the libraries are pinned for.
const PAGE_KIB: u64 = 4;

/// Returns the CPU seconds of the tree so far, including those of exited members.
fn cpu_s(root: u32) -> f64 {
    let all = stats();
    let ticks: u64 = tree(&all, root)
        .into_iter()
        .filter_map(|pid| all.get(&pid))
        .map(|stat| stat.own_ticks + stat.ended_children_ticks)
        .sum();
    ticks as f64 / TICKS_PER_S
}

/// Returns the busy seconds of all cores of the machine so far.
fn machine_busy_s() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guest time is included in user.
    let ticks = fields.take(8).enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    ticks.filter_map(|(_, field)| field.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_S
}

/// Returns the CPU seconds by name of thread (the root's) or process (its children's), without trailing numbers. Exited
/// threads are not included.
fn cpu_by_thread(root: u32) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let mut add = |name: &str, ticks: u64| {
        let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        *found.entry(name.to_owned()).or_default() += ticks as f64 / TICKS_PER_S;
    };
    for task in fs::read_dir(format!("/proc/{root}/task")).into_iter().flatten().flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if let Some(stat) = parse(&read("stat")) {
            add(&read("comm"), stat.own_ticks);
        }
    }
    let all = stats();
    for pid in tree(&all, root).into_iter().filter(|pid| *pid != root) {
        let name = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let role = name.split('\0').find(|word| word.contains("worker") || word.contains("builder"));
        if let Some(stat) = all.get(&pid) {
            add(&format!("process {}", role.unwrap_or("other")), stat.own_ticks);
        }
    }
    found
}

/// Usage by a process tree and the rest of the machine during some work.
#[derive(Default)]
pub struct Usage {
    pub wall_s: f64,
    pub cpu_s: f64,
    /// CPU seconds of all other processes of the machine.
    pub others_s: f64,
    /// CPU seconds by name of thread or process.
    pub by_thread: BTreeMap<String, f64>,
    pub peak: Peak,
}

impl Usage {
    /// Runs `work`; returns its result and the usage.
    pub fn during<T>(root: u32, work: impl FnOnce() -> T) -> (T, Self) {
        let watch = Watch::start(root);
        let (before, cpu_before, busy_before) = (cpu_by_thread(root), cpu_s(root), machine_busy_s());
        let began = Instant::now();
        let result = work();
        let (wall_s, cpu_s) = (began.elapsed().as_secs_f64(), cpu_s(root) - cpu_before);
        let others_s = (machine_busy_s() - busy_before - cpu_s).max(0.0);
        let mut by_thread = cpu_by_thread(root);
        for (name, seconds) in before {
            *by_thread.entry(name).or_default() -= seconds;
        }
        by_thread.retain(|_, seconds| *seconds > 0.0);
        (result, Self { wall_s, cpu_s, others_s, by_thread, peak: watch.peak() })
    }
}

/// Highest memory seen, in KiB.
#[derive(Clone, Copy, Default)]
pub struct Peak {
    /// Resident set of all processes added up: shared memory counts once for each process.
    pub rss_kib: u64,
    /// Proportional set: shared memory counts once.
    pub pss_kib: u64,
}

/// Returns the current memory of the tree.
pub fn memory_now(root: u32) -> Peak {
    let pids = tree(&stats(), root);
    Peak { rss_kib: rss_kib(&pids), pss_kib: pss_kib(&pids) }
}

/// Returns the number of open file descriptors of a process.
pub fn open_fds(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// A sampler of a process tree.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Peak>,
}

impl Watch {
    /// Starts the sampler.
    pub fn start(root: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut peak, mut pids) = (Peak::default(), Vec::new());
            for look in 0_u32.. {
                // The last sample includes the full scan.
                let last = asked.load(Ordering::Relaxed);
                if last || look % FULL_LOOK_EVERY == 0 {
                    pids = tree(&stats(), root);
                    peak.pss_kib = peak.pss_kib.max(pss_kib(&pids));
                }
                peak.rss_kib = peak.rss_kib.max(rss_kib(&pids));
                if last {
                    break;
                }
                thread::sleep(EVERY);
            }
            peak
        });
        Self { stop, thread }
    }

    /// Stops the sampler and returns the peak.
    pub fn peak(self) -> Peak {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn rss_kib(pids: &[u32]) -> u64 {
    // proc(5): size and resident, in pages.
    let of = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).map(|pages| pages * PAGE_KIB).sum()
}

fn pss_kib(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<u64>().ok())
    };
    pids.iter().filter_map(of).sum()
}

struct Stat {
    parent: u32,
    own_ticks: u64,
    ended_children_ticks: u64,
}

fn stats() -> BTreeMap<u32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))
        })
        .collect()
}

/// Parses /proc/PID/stat, see proc(5): after the name in brackets come state, parent, ...; field numbers there count
/// from 1 at the pid.
fn parse(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: field(4)? as u32,
        own_ticks: field(14)? + field(15)?,
        ended_children_ticks: field(16)? + field(17)?,
    })
}

fn tree(all: &BTreeMap<u32, Stat>, root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_no_trouble() {
        let mut fields = vec!["0"; 50];
        for (number, value) in [(4, "7"), (14, "100"), (15, "20"), (16, "3"), (17, "4")] {
            fields[number - 3] = value;
        }
        fields[0] = "S";
        let stat = parse(&format!("42 (a) b (c)) {}", fields.join(" "))).unwrap();
        assert_eq!((stat.parent, stat.own_ticks, stat.ended_children_ticks), (7, 120, 7));
    }

    #[test]
    fn this_process_is_seen() {
        let me = std::process::id();
        let Peak { rss_kib, pss_kib } = memory_now(me);
        assert!(rss_kib > 0 && pss_kib > 0);
        assert!(cpu_s(me) >= 0.0);
    }
}
