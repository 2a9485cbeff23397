//! CPU time and memory of a process and all its descendants, read from /proc while they run.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often the resident set is read: often enough to see a page's peak, and one short file for each process.
const EVERY: Duration = Duration::from_millis(50);
/// Looks between two searches for new members and readings of the proportional set: the kernel walks all pages for that one,
/// some 10 ms for a GiB, on the cores of those who are measured.
const FULL_LOOK_EVERY: u32 = 40;
/// `USER_HZ`, which Linux fixes for all programs.
const TICKS_PER_S: f64 = 100.0;
/// Pages of memory on the machines that the libraries are pinned for.
const PAGE_KIB: u64 = 4;

/// Seconds of CPU that the tree has used so far, those of its ended members included.
fn cpu_s(root: u32) -> f64 {
    let all = stats();
    let ticks: u64 = tree(&all, root)
        .into_iter()
        .filter_map(|pid| all.get(&pid))
        .map(|stat| stat.own_ticks + stat.ended_children_ticks)
        .sum();
    ticks as f64 / TICKS_PER_S
}

/// Seconds that all cores of the machine have been busy so far, whoever kept them so.
fn machine_busy_s() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // proc(5): user, nice, system, idle, iowait, irq, softirq, steal; what guests use is in user already.
    let ticks = fields.take(8).enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    ticks.filter_map(|(_, field)| field.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_S
}

/// Seconds of CPU by the name of thread (the root's) or process (its children's), numbers at the end left out. Threads that
/// have ended are not in it.
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

/// What a process tree and the rest of the machine used during some work.
#[derive(Default)]
pub struct Usage {
    pub wall_s: f64,
    pub cpu_s: f64,
    /// CPU seconds of all other processes of the machine.
    pub others_s: f64,
    /// CPU seconds by kind of thread or process.
    pub by_thread: BTreeMap<String, f64>,
    pub peak: Peak,
}

impl Usage {
    /// Does the work; returns its result and the usage.
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
    /// Resident set of all processes added up: memory that they share counts once for each.
    pub rss_kib: u64,
    /// Proportional set: memory that they share counts once.
    pub pss_kib: u64,
}

/// Memory of the tree now.
pub fn memory_now(root: u32) -> Peak {
    let pids = tree(&stats(), root);
    Peak { rss_kib: rss_kib(&pids), pss_kib: pss_kib(&pids) }
}

/// Open file descriptors of one process.
pub fn open_fds(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Watches a tree until it is asked for what it saw.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Peak>,
}

impl Watch {
    /// Starts to look.
    pub fn start(root: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut peak, mut pids) = (Peak::default(), Vec::new());
            for look in 0_u32.. {
                // The last look is a full one, too.
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

    /// Ends it and gives the peak.
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

/// proc(5): after the name in brackets come state, parent, …; field numbers there count from 1 at the pid.
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
