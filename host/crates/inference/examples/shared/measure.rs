//! Inputs that look like print, and the measurements of the process. For the examples beside it.

/// Returns dark strokes on white paper, normalized to -1..1: as sparse as print, and the same at every call.
pub fn page_like([rows, channels, height, width]: [usize; 4]) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut data = Vec::with_capacity(rows * channels * height * width);
    let columns: Vec<bool> = (0..width)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.is_multiple_of(4)
        })
        .collect();
    for _ in 0..rows * channels {
        for y in 0..height {
            let text = (y % 32) > 8 && (y % 32) < 26;
            data.extend(columns.iter().enumerate().map(|(x, &on)| {
                if text && on && (x + y) % 7 < 5 { -0.9 } else { 0.96 - (x % 5) as f32 * 0.01 }
            }));
        }
    }
    data
}

/// Returns a value of `/proc/self/status` (`VmRSS`, `VmHWM`) in MiB.
pub fn status_mib(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Returns the CPU time of the process so far, user and system.
pub fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
