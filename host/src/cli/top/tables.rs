//! The tables of `lector top`.

use super::figures::{bytes, seconds};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_apart() {
        assert_eq!((with_waiting(2, 0), with_waiting(2, 5)), ("2".to_owned(), "2 +5".to_owned()));
    }
}
