//! Two states of a server, one interval apart: rates, and what waits for what.

use std::collections::BTreeMap;
use std::time::Instant;

use super::figures::seconds;
use crate::http::server_status::{LaneStatus, ServerStatus, TenantStatus};

/// The state of the server, and the time of its arrival.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) status: ServerStatus,
    pub(super) at: Instant,
}

/// Rates between two samples, per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) pages: f64,
    pub(super) pages_failed: f64,
    pub(super) documents: f64,
    pub(super) refused: f64,
    /// Pages of each tenant.
    pub(super) tenants: BTreeMap<String, f64>,
    /// By model.
    pub(super) lanes: BTreeMap<String, LaneRates>,
}

/// Rates of a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LaneRates {
    /// Runs per second.
    pub(super) runs: f64,
    /// Rows per second.
    pub(super) rows: f64,
    /// Part of the time of all sessions that was spent in runs, 0 to 1.
    pub(super) busy: f64,
    /// Mean wait of the items that began to run, in seconds; `None`: none began.
    pub(super) wait_s: Option<f64>,
}

impl Rates {
    /// Returns the rates between two samples; `None` where the server was restarted between them, or no time has passed.
    pub(super) fn between(old: &Sample, new: &Sample) -> Option<Self> {
        let time = new.at.checked_duration_since(old.at)?.as_secs_f64();
        if time <= 0.0 || new.status.uptime_s < old.status.uptime_s {
            return None;
        }
        let rate = |old: u64, new: u64| new.saturating_sub(old) as f64 / time;
        let (before, now) = (&old.status.totals, &new.status.totals);
        let known: BTreeMap<&str, &TenantStatus> =
            old.status.tenants.iter().map(|tenant| (tenant.tenant.as_str(), tenant)).collect();
        let tenants = new.status.tenants.iter().filter_map(|tenant| {
            let old = known.get(tenant.tenant.as_str())?;
            Some((tenant.tenant.clone(), rate(old.pages_ended, tenant.pages_ended)))
        });
        let known: BTreeMap<&str, &LaneStatus> =
            old.status.lanes.iter().map(|lane| (lane.model.as_str(), lane)).collect();
        let lanes = new.status.lanes.iter().filter_map(|lane| {
            // A lane that was closed and opened counts from zero.
            let old = known.get(lane.model.as_str()).filter(|old| old.runs <= lane.runs)?;
            Some((lane.model.clone(), LaneRates::between(old, lane, time)))
        });
        Some(Self {
            pages: rate(before.pages_ok, now.pages_ok),
            pages_failed: rate(before.pages_failed, now.pages_failed),
            documents: rate(before.documents_completed, now.documents_completed),
            refused: rate(refused(&old.status), refused(&new.status)),
            tenants: tenants.collect(),
            lanes: lanes.collect(),
        })
    }
}

impl LaneRates {
    fn between(old: &LaneStatus, new: &LaneStatus, time: f64) -> Self {
        let waits = new.waits.saturating_sub(old.waits);
        let busy = (new.busy_s - old.busy_s) / time / new.sessions.max(1) as f64;
        Self {
            runs: (new.runs - old.runs) as f64 / time,
            rows: new.rows.saturating_sub(old.rows) as f64 / time,
            busy: busy.clamp(0.0, 1.0),
            wait_s: (waits > 0).then(|| (new.waited_s - old.waited_s).max(0.0) / waits as f64),
        }
    }
}

fn refused(status: &ServerStatus) -> u64 {
    let of = &status.totals;
    of.server_overloaded + of.tenant_overloaded + of.tenant_memory_exceeded + of.tenant_uploads_exceeded
}

/// Returns a sentence for each wait: what waits, and for what.
pub(super) fn waits(status: &ServerStatus, rates: Option<&Rates>) -> Vec<String> {
    let mut waits = Vec::new();
    if status.draining {
        waits.push(format!("The server drains: it ends after {}.", count(status.documents.now, "document")));
    }
    for tenant in &status.tenants {
        waits.extend(waits_of_tenant(status, tenant));
    }
    for lane in status.lanes.iter().filter(|lane| lane.queued > 0) {
        let rates = rates.and_then(|rates| rates.lanes.get(&lane.model));
        let busy = rates.map_or(String::new(), |rates| format!(", {:.0} % busy", 100.0 * rates.busy));
        waits.push(format!(
            "{} {} for {} of {}{busy}: about {}.",
            count(lane.queued, "run"),
            verb(lane.queued),
            count(lane.sessions, "session"),
            lane.model,
            seconds(lane.backlog_s)
        ));
    }
    for engine in status.engines.iter().filter(|engine| engine.upgrading) {
        let next = match engine.not_ready.as_slice() {
            [] => "a better engine".to_owned(),
            of => of.join(", "),
        };
        waits.push(format!("{} runs on {} and waits for {next}.", engine.model, engine.serving));
    }
    if let Some(jobs) = &status.jobs {
        if jobs.queued > 0 {
            let (queued, running) = (count(jobs.queued, "job"), jobs.running);
            waits.push(format!("{queued} {} for the {running} that run.", verb(jobs.queued)));
        }
        if jobs.webhooks_waiting > 0 {
            let webhooks = count(jobs.webhooks_waiting, "webhook");
            waits.push(format!("{webhooks} {} for the next attempt.", verb(jobs.webhooks_waiting)));
        }
    }
    waits
}

fn waits_of_tenant(status: &ServerStatus, of: &TenantStatus) -> Vec<String> {
    let (name, mut waits) = (&of.tenant, Vec::new());
    if of.uploads_waiting > 0 {
        let uploads = count(of.uploads_waiting, "upload");
        waits.push(format!("{uploads} of {name} {} for memory.", verb(of.uploads_waiting)));
    }
    if of.documents_waiting > 0 {
        // A full server, or the tenant's part of one that is not.
        let what = match status.documents.now >= status.documents.max {
            true => format!("one of {} places", status.documents.max),
            false => "a place in the tenant's share".to_owned(),
        };
        let documents = count(of.documents_waiting, "document");
        waits.push(format!("{documents} of {name} {} for {what}.", verb(of.documents_waiting)));
    }
    if of.pages_waiting > 0 {
        let pages = count(of.pages_waiting, "page");
        let slots = count(status.page_slots.max, "page slot");
        waits.push(format!("{pages} of {name} {} for one of {slots}.", verb(of.pages_waiting)));
    }
    waits
}

fn count(number: u64, of: &str) -> String {
    match number {
        1 => format!("1 {of}"),
        _ => format!("{number} {of}s"),
    }
}

fn verb(number: u64) -> &'static str {
    if number == 1 { "waits" } else { "wait" }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::Duration;

    use super::*;
    use crate::http::server_status::{EngineStatus, JobsStatus, Used};

    /// Returns the sample of a server that has been up for `uptime_s`, with a lane and a tenant.
    fn sample(start: Instant, uptime_s: u64, change: impl FnOnce(&mut ServerStatus)) -> Sample {
        let mut status = ServerStatus { uptime_s: uptime_s as f64, ..ServerStatus::default() };
        status.lanes.push(LaneStatus { model: "rec".to_owned(), sessions: 2, ..LaneStatus::default() });
        status.tenants.push(TenantStatus { tenant: "acme".to_owned(), ..TenantStatus::default() });
        change(&mut status);
        Sample { status, at: start + Duration::from_secs(uptime_s) }
    }

    #[test]
    fn rates_are_of_the_time_between_two_samples() {
        let start = Instant::now();
        let old = sample(start, 10, |status| status.totals.pages_ok = 5);
        let new = sample(start, 12, |status| {
            (status.totals.pages_ok, status.totals.tenant_overloaded) = (11, 4);
            status.tenants[0].pages_ended = 8;
            let lane = &mut status.lanes[0];
            (lane.runs, lane.rows, lane.busy_s, lane.waits, lane.waited_s) = (6, 60, 3.0, 4, 2.0);
        });
        let rates = Rates::between(&old, &new).unwrap();
        assert_eq!((rates.pages, rates.refused, rates.tenants["acme"]), (3.0, 2.0, 4.0));
        let expected = LaneRates { runs: 3.0, rows: 30.0, busy: 0.75, wait_s: Some(0.5) };
        assert_eq!(rates.lanes["rec"], expected);
        // A server that was restarted, and the same sample twice.
        assert_eq!(Rates::between(&new, &Sample { at: new.at + Duration::from_secs(1), ..old }), None);
        assert_eq!(Rates::between(&new, &new), None);
        let reopened = sample(start, 13, |status| status.lanes[0].runs = 1);
        assert!(Rates::between(&new, &reopened).unwrap().lanes.is_empty(), "a lane that counts from zero");
    }

    #[test]
    fn each_wait_is_a_sentence() {
        let start = Instant::now();
        let Sample { mut status, .. } = sample(start, 1, |_| ());
        assert_eq!(waits(&status, None), Vec::<String>::new());
        status.page_slots = Used { now: 4, max: 4 };
        status.documents = Used { now: 3, max: 64 };
        let tenant = &mut status.tenants[0];
        (tenant.uploads_waiting, tenant.documents_waiting, tenant.pages_waiting) = (1, 2, 3);
        (status.lanes[0].queued, status.lanes[0].backlog_s) = (7, 0.25);
        status.engines.push(EngineStatus {
            model: "rec".to_owned(),
            serving: "cpu/f32".to_owned(),
            upgrading: true,
            not_ready: vec!["openvino/bf16 building (12 s)".to_owned()],
        });
        status.jobs = Some(JobsStatus { queued: 2, running: 1, webhooks_waiting: 1 });
        let mut rates = Rates::default();
        rates.lanes.insert("rec".to_owned(), LaneRates { busy: 0.5, ..LaneRates::default() });
        let expected = [
            "1 upload of acme waits for memory.",
            "2 documents of acme wait for a place in the tenant's share.",
            "3 pages of acme wait for one of 4 page slots.",
            "7 runs wait for 2 sessions of rec, 50 % busy: about 250 ms.",
            "rec runs on cpu/f32 and waits for openvino/bf16 building (12 s).",
            "2 jobs wait for the 1 that run.",
            "1 webhook waits for the next attempt.",
        ];
        assert_eq!(waits(&status, Some(&rates)), expected);
        (status.draining, status.documents.now) = (true, 64);
        let all = waits(&status, None);
        assert_eq!(all[0], "The server drains: it ends after 64 documents.");
        assert!(all[2].ends_with("wait for one of 64 places."), "{all:?}");
    }
}
