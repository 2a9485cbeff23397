//! Hard limits of one guest call.

use std::time::Duration;

/// Limits of one guest call. Reaching one ends the call with a fault that names it, except where the field says
/// otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Wall-clock time of the call. Waits for an instance and for engines that serve other calls are not counted, up to as
    /// much again.
    pub wall: Duration,
    /// Computing time of the guest; time spent waiting for the host does not count.
    pub compute: Duration,
    /// Bytes of the guest's linear memory.
    pub memory_bytes: u64,
    /// Host resources (images, tensors, models, spans) that the guest may hold at once.
    pub handles: u32,
    /// Bytes of pixels, tensors and embedded text that the guest may hold in the host at once.
    pub host_bytes: u64,
    /// Number of calls into the host.
    pub host_calls: u64,
    /// Bytes of log messages; messages beyond it are dropped and counted.
    pub log_bytes: u64,
    /// Largest number of pixels of one rendering.
    pub pixels_max: u64,
    /// Bytes of the result (text, findings, warnings).
    pub result_bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(120),
            compute: Duration::from_secs(10),
            memory_bytes: 256 << 20,
            handles: 4096,
            host_bytes: 512 << 20,
            host_calls: 200_000,
            log_bytes: 64 << 10,
            pixels_max: 40_000_000,
            result_bytes: 16 << 20,
        }
    }
}
