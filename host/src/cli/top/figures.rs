//! How `lector top` writes figures.

/// Writes a time in seconds with two digits or so: `12 ms`, `1.2 s`, `3 min`, `2 h 5 min`.
pub(super) fn seconds(time: f64) -> String {
    let minutes = (time / 60.0) as u64;
    match time {
        _ if time <= 0.0 => "0 s".to_owned(),
        _ if time < 0.9995 => format!("{:.0} ms", 1e3 * time),
        _ if time < 10.0 => format!("{time:.1} s"),
        _ if time < 120.0 => format!("{time:.0} s"),
        _ if minutes < 120 => format!("{minutes} min"),
        _ if minutes < 48 * 60 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} days", minutes / (24 * 60)),
    }
}

/// Writes a number of bytes in the units of 1000: `1.2 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            let digits = usize::from(unit != "B" && value < 9.95);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1e3;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (time, expected) in [
            (0.0, "0 s"),
            (0.0121, "12 ms"),
            (0.9996, "1.0 s"),
            (9.94, "9.9 s"),
            (61.0, "61 s"),
            (150.0, "2 min"),
            (11_580.0, "3 h 13 min"),
            (400_000.0, "4 days"),
        ] {
            assert_eq!(seconds(time), expected);
        }
        for (number, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_234, "1.2 kB"),
            (999_600, "1.0 MB"),
            (123_456_789, "123 MB"),
            (3_400_000_000_000, "3.4 TB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
    }
}
