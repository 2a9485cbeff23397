//! Metrics of the process, under the names of the Prometheus client libraries. Read from `/proc`; values that the
//! kernel does not provide are omitted.

use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::family::gauge;

/// Clock ticks per second in `/proc/self/stat`: 100 on every Linux (`getconf CLK_TCK`).
const TICKS_PER_S: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process {
    started_s: f64,
}

impl Default for Process {
    fn default() -> Self {
        // The registry is created at the start of the process; a resolution of seconds is sufficient.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self { started_s: now.map_or(0.0, |time| time.as_secs_f64()) }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        gauge(
            &mut encoder,
            "process_start_time_seconds",
            "Start time of the process since the epoch",
            self.started_s,
        )?;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(kilobytes) = field(&status, "VmRSS:") {
            gauge(
                &mut encoder,
                "process_resident_memory_bytes",
                "Resident memory, without worker processes",
                kilobytes * 1024.0,
            )?;
        }
        if let Some(kilobytes) = field(&status, "VmSize:") {
            gauge(&mut encoder, "process_virtual_memory_bytes", "Virtual memory", kilobytes * 1024.0)?;
        }
        if let Some(threads) = field(&status, "Threads:") {
            gauge(&mut encoder, "process_threads", "Threads", threads)?;
        }
        if let Ok(fds) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the descriptor of the listing itself.
            gauge(
                &mut encoder,
                "process_open_fds",
                "Open file descriptors",
                fds.count().saturating_sub(1) as f64,
            )?;
        }
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        if let Some(most) = field(&limits, "Max open files") {
            gauge(&mut encoder, "process_max_fds", "Maximum number of open file descriptors", most)?;
        }
        if let Some(cpu_s) = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_s(&stat)) {
            let kind = MetricType::Counter;
            let name = "process_cpu_seconds";
            ConstCounter::new(cpu_s).encode(encoder.encode_descriptor(
                name,
                "CPU time, user and system",
                None,
                kind,
            )?)?;
        }
        Ok(())
    }
}

/// Returns the first number after `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Returns user and system time in seconds from a `/proc/[pid]/stat` line: fields 14 and 15 (proc(5)). Fields are
/// counted after the name, which is in parentheses and may contain any character.
fn cpu_s(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_parsed() {
        assert_eq!(cpu_s("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0"), Some(3.0));
        assert_eq!(field("A:\t1 kB\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12.0));
        assert_eq!(
            field("Max open files            1024                 4096   files", "Max open files"),
            Some(1024.0)
        );
        assert_eq!(field("", "x"), None);
    }
}
