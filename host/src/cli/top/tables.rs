//! The tables of `lector top`, and how figures are written in them.

use super::sample::{LaneRates, Rates};
use crate::http::server_status::{EngineStatus, LaneStatus, ServerStatus, TenantStatus};

/// A table: the names of its columns, and its rows.
pub(super) struct Table {
    pub(super) columns: &'static [&'static str],
    /// Number of columns of text; those behind them are figures, to the right.
    pub(super) texts: usize,
    pub(super) rows: Vec<Vec<String>>,
    /// Line below the rows, where not all are known.
    pub(super) note: Option<String>,
}

impl Table {
    /// Returns the widths of the columns: that of their longest cell.
    pub(super) fn widths(&self) -> Vec<usize> {
        let width = |column: usize, name: &str| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).chain([name.len()]).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(|(column, name)| width(column, name)).collect()
    }

    /// Returns the cells of a row in columns of these widths.
    pub(super) fn line<'a>(&self, widths: &[usize], cells: impl Iterator<Item = &'a str>) -> String {
        let cell = |(column, (cell, width)): (usize, (&str, &usize))| match column < self.texts {
            true => format!("{cell:<width$}  "),
            false => format!("{cell:>width$}  "),
        };
        cells.zip(widths).enumerate().map(cell).collect()
    }
}

/// Written where a rate is not known yet.
const UNKNOWN: &str = "-";

/// Tenants with work.
pub(super) fn tenants(status: &ServerStatus, rates: Option<&Rates>) -> Table {
    let row = |tenant: &TenantStatus| {
        let rate = rates.and_then(|rates| rates.tenants.get(&tenant.tenant));
        vec![
            tenant.tenant.clone(),
            tenant.weight.to_string(),
            with_waiting(tenant.uploads, tenant.uploads_waiting),
            with_waiting(tenant.documents, tenant.documents_waiting),
            with_waiting(tenant.pages_running, tenant.pages_waiting),
            rate.map_or(UNKNOWN.to_owned(), |rate| format!("{rate:.1}")),
            seconds(tenant.pending_work_s),
            bytes(tenant.held_bytes),
        ]
    };
    let idle = status.tenants_idle;
    Table {
        texts: 1,
        columns: &["TENANT", "WEIGHT", "UPLOADS", "DOCUMENTS", "PAGES", "PAGES/S", "PENDING", "BYTES"],
        rows: status.tenants.iter().map(row).collect(),
        note: (idle > 0).then(|| format!("{idle} without work")),
    }
}

/// The lanes.
pub(super) fn lanes(status: &ServerStatus, rates: Option<&Rates>) -> Table {
    let row = |lane: &LaneStatus| {
        let rates = rates.and_then(|rates| rates.lanes.get(&lane.model));
        let rate = |of: fn(&LaneRates) -> String| rates.map_or(UNKNOWN.to_owned(), of);
        vec![
            lane.model.clone(),
            lane.variant.clone(),
            lane.sessions.to_string(),
            with_waiting(lane.running, lane.queued),
            rate(|rates| format!("{:.0} %", 100.0 * rates.busy)),
            rate(|rates| format!("{:.1}", rates.runs)),
            rate(|rates| format!("{:.1}", rates.rows)),
            rate(|rates| rates.wait_s.map_or(UNKNOWN.to_owned(), seconds)),
        ]
    };
    Table {
        texts: 2,
        columns: &["MODEL", "ENGINE", "SESSIONS", "RUNS", "BUSY", "RUNS/S", "ROWS/S", "WAIT"],
        rows: status.lanes.iter().map(row).collect(),
        note: None,
    }
}

/// The engines of the loaded models.
pub(super) fn engines(status: &ServerStatus) -> Table {
    let row = |engine: &EngineStatus| {
        let not_ready = match engine.not_ready.as_slice() {
            [] => UNKNOWN.to_owned(),
            of => of.join(", "),
        };
        vec![engine.model.clone(), engine.serving.clone(), not_ready]
    };
    Table {
        texts: 3,
        columns: &["MODEL", "SERVED BY", "NOT READY"],
        rows: status.engines.iter().map(row).collect(),
        note: None,
    }
}

/// Writes what is in progress, and what waits: `2 +5`.
fn with_waiting(now: u64, waiting: u64) -> String {
    match waiting {
        0 => now.to_string(),
        _ => format!("{now} +{waiting}"),
    }
}

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
        assert_eq!((with_waiting(2, 0), with_waiting(2, 5)), ("2".to_owned(), "2 +5".to_owned()));
    }
}
