//! A noisy neighbor: one tenant sends ten times its share, three others a steady trickle. Tenants, keys and limits are
//! real.

use anyhow::{Result, ensure};
use serde_json::json;

use super::Setting;
use crate::client::{Lanes, admin, lanes, lanes_between};
use crate::report::Report;
use crate::traffic::{Samples, Stream, closed_as, open};

const TENANTS: [&str; 4] = ["noisy", "steady-a", "steady-b", "steady-c"];
/// Load of the noisy tenant, relative to its share.
const NOISE: f64 = 10.0;
/// Load of each other tenant, relative to its share.
const TRICKLE: f64 = 0.4;
/// Clients of the closed loop that measures the capacity.
const CAPACITY_CLIENTS: usize = 16;

pub fn run(setting: &Setting<'_>) -> Result<Report> {
    let (gateway, admin) = admin::server(setting.places, "bench-load-noisy-neighbor")?;
    let keys = TENANTS.map(|name| admin::tenant(&gateway, &admin, name));
    let keys: Vec<String> = keys.into_iter().collect::<Result<_>>()?;
    let key = |at: usize| keys.get(at).map(String::as_str);
    let (path, upload) = (setting.path(), &setting.upload);

    let capacity = closed_as(&gateway, key(0), &path, upload, CAPACITY_CLIENTS, setting.seconds.min(20.0));
    ensure!(!capacity.latencies_s.is_empty(), "the document was not read");
    let share = capacity.per_s() / TENANTS.len() as f64;
    let trickle = TRICKLE * share;
    // The three trickles without and with the noise have the same arrivals, so that only the noise differs.
    let stream = |at: usize, per_s: f64| Stream { key: key(at), per_s };
    let streams = [stream(1, trickle), stream(2, trickle), stream(3, trickle), stream(0, NOISE * share)];
    let quiet = open(&gateway, &path, upload, streams.get(..3).unwrap_or_default(), setting.seconds);
    let busy = lanes(&gateway)?;
    let beside = open(&gateway, &path, upload, &streams, setting.seconds);
    let batch_s = longest_run_s(&lanes_between(&busy, &lanes(&gateway)?));
    gateway.stop()?;

    let mut report = Report::default();
    report.row(capacity.row("capacity"));
    for (name, samples) in TENANTS.iter().skip(1).zip(&quiet) {
        report.row(samples.row(&format!("{name}, without the noise")));
    }
    for (name, samples) in TENANTS.iter().cycle().skip(1).zip(&beside) {
        report.row(samples.row(name));
        report.row(json!({ "mean_ms_of": name, "stages": samples.stages() }));
    }
    let victims = || beside.iter().take(3);
    let worst = |of: &[Samples]| of.iter().map(|samples| samples.quantile_s(0.99)).fold(0.0, f64::max);
    let (solo, worst) = (worst(&quiet), worst(beside.get(..3).unwrap_or_default()));
    report.row(
        json!({ "longest_mean_run_of_a_lane_s": batch_s, "share_per_s": share, "trickle_per_s": trickle }),
    );
    report.at_most(
        "victims' worst p99, s (1.5 times that without the noise and a batch)",
        1.5 * solo + batch_s,
        worst,
    );
    report.none("victims' requests refused", victims().map(|samples| samples.refusals_s.len()).sum());
    report.none("failed or unanswered", beside.iter().map(|s| s.failed + s.unanswered).sum());
    report.at_least("Jain's index of the shares", 0.95, jain(&beside, &streams, capacity.per_s()));
    Ok(report)
}

/// Returns Jain's index of the ratio between each tenant's throughput and its fair one (max-min fairness): its demand,
/// or an equal part of what tenants with less demand leave.
fn jain(got: &[Samples], asked: &[Stream<'_>], capacity_per_s: f64) -> f64 {
    let demands: Vec<f64> = asked.iter().map(|stream| stream.per_s).collect();
    let fair = max_min(&demands, capacity_per_s);
    let share = |((samples, fair), demand): ((&Samples, &f64), &f64)| {
        // A tenant below its share is measured by the share of its requests that were read, others by their rate.
        let asked = samples.latencies_s.len() as f64 / samples.sent.max(1) as f64;
        if fair < demand { (samples.per_s() / fair).min(1.0) } else { asked }
    };
    let shares: Vec<f64> = got.iter().zip(&fair).zip(&demands).map(share).collect();
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|share| share * share).sum::<f64>());
    sum * sum / (shares.len() as f64 * squares)
}

fn max_min(demands: &[f64], capacity: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..demands.len()).collect();
    let demand = |at: usize| demands.get(at).copied().unwrap_or(0.0);
    order.sort_by(|a, b| demand(*a).total_cmp(&demand(*b)));
    let (mut given, mut left) = (vec![0.0; demands.len()], capacity);
    for (done, at) in order.iter().enumerate() {
        let gets = demand(*at).min(left / (demands.len() - done) as f64);
        left -= gets;
        if let Some(given) = given.get_mut(*at) {
            *given = gets;
        }
    }
    given
}

/// Returns the longest mean run time of a lane.
fn longest_run_s(lanes: &Lanes) -> f64 {
    lanes.values().map(|lane| lane.busy_s / lane.runs).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modest_get_what_they_ask_and_the_rest_is_shared() {
        assert_eq!(max_min(&[100.0, 1.0, 2.0], 12.0), [9.0, 1.0, 2.0]);
        assert_eq!(max_min(&[100.0, 100.0], 12.0), [6.0, 6.0]);
        assert_eq!(max_min(&[1.0, 1.0], 12.0), [1.0, 1.0]);
    }
}
