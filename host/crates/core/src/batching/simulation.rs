//! Simulates a lane on its own clock: tenants that offer items, one or more engines with a known cost, and the decision
//! under test between them. Nothing sleeps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;
use crate::fair::Shares;

pub(super) fn bucket(width: usize) -> Bucket {
    Bucket::new(vec![vec![3, 48, width]], vec!["y".to_owned()])
}

/// A tenant that offers an item of one row at a fixed interval, at most `waiting_max` at once.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) tenant: TenantName,
    pub(super) weight: u32,
    pub(super) every: Duration,
    pub(super) waiting_max: usize,
    pub(super) hints: BatchingHints,
    pub(super) width: usize,
}

impl Source {
    pub(super) fn new(tenant: &str, every_ms: u64) -> Self {
        Self {
            tenant: tenant.into(),
            weight: 1,
            every: Duration::from_millis(every_ms),
            waiting_max: 64,
            hints: BatchingHints::default(),
            width: 320,
        }
    }
}

/// Results of one source.
#[derive(Clone, Debug, Default)]
pub(super) struct Got {
    pub(super) served_ms: f64,
    pub(super) latencies_ms: Vec<f64>,
    pub(super) turned_away: usize,
}

impl Got {
    pub(super) fn quantile_ms(&self, share: f64) -> f64 {
        let mut sorted = self.latencies_ms.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * share) as usize]
    }
}

pub(super) struct Lane {
    pub(super) rows_max: u32,
    pub(super) engines: usize,
    /// Milliseconds of a run, by width and number of rows.
    pub(super) cost_ms: fn(usize, u32) -> f64,
}

struct Item {
    source: usize,
    offered: Instant,
    bucket: Bucket,
    width: usize,
}

/// Runs the simulation for `length`; returns the results of each source and the number of runs.
pub(super) fn simulate(lane: &Lane, sources: &[Source], length: Duration) -> (Vec<Got>, usize) {
    let start = Instant::now();
    let end = start + length;
    let (mut shares, mut costs) = (Shares::default(), Costs::default());
    let mut queue: Vec<Item> = Vec::new();
    let mut got = vec![Got::default(); sources.len()];
    let mut next_offer: Vec<Instant> =
        (0..sources.len()).map(|n| start + Duration::from_micros(37 * n as u64)).collect();
    let mut running: BTreeMap<(Instant, usize), (Vec<Item>, u32)> = BTreeMap::new();
    let (mut now, mut wake, mut runs) = (start, None::<Instant>, 0);
    while now < end {
        // Order: runs that end, offers, actions of idle engines.
        while let Some((&(at, run), _)) = running.first_key_value().filter(|((at, _), _)| *at <= now) {
            let (items, rows) = running.remove(&(at, run)).unwrap();
            let ms = (lane.cost_ms)(items[0].width, rows);
            costs.learn(&items[0].bucket, rows, Duration::from_secs_f64(ms / 1e3));
            for item in &items {
                got[item.source].served_ms += ms / items.len() as f64;
                got[item.source].latencies_ms.push(at.duration_since(item.offered).as_secs_f64() * 1e3);
            }
        }
        for (n, source) in sources.iter().enumerate() {
            while next_offer[n] <= now {
                let offered = next_offer[n];
                next_offer[n] += source.every;
                if queue.iter().filter(|item| item.source == n).count() >= source.waiting_max {
                    got[n].turned_away += 1;
                    continue;
                }
                costs.arrived(&bucket(source.width), 1, offered);
                queue.push(Item { source: n, offered, bucket: bucket(source.width), width: source.width });
            }
        }
        wake = wake.filter(|at| *at > now);
        while running.len() < lane.engines && wake.is_none() && !queue.is_empty() {
            let view: Vec<Waiting<'_>> = queue
                .iter()
                .map(|item| Waiting {
                    tenant: &sources[item.source].tenant,
                    weight: sources[item.source].weight,
                    bucket: &item.bucket,
                    rows: 1,
                    offered: item.offered,
                    deadline: now + Duration::from_secs(3600),
                    cancelled: false,
                    hints: sources[item.source].hints,
                    planned: Planned::Free,
                })
                .collect();
            let engine = Engine {
                rows_max: lane.rows_max,
                pixels_max: u64::MAX,
                idle_others: (lane.engines - running.len() - 1) as u32,
                running: running.len() as u32,
                row_by_row: false,
            };
            match decide(&view, &engine, &shares, &costs, now).next {
                Next::Run(batch) => {
                    let head = &queue[batch[0]];
                    shares.serve(&sources[head.source].tenant);
                    let rows = batch.len() as u32;
                    let predicted = costs.predict_ms(&head.bucket, rows) / f64::from(rows);
                    for at in &batch {
                        let source = &sources[queue[*at].source];
                        shares.charge(&source.tenant, source.weight, predicted);
                    }
                    let ms = (lane.cost_ms)(head.width, rows);
                    let mut places = batch.clone();
                    places.sort_unstable_by(|a, b| b.cmp(a));
                    let items: Vec<Item> = places.into_iter().map(|at| queue.remove(at)).collect();
                    running.insert((now + Duration::from_secs_f64(ms / 1e3), runs), (items, rows));
                    runs += 1;
                    if queue.is_empty() {
                        shares.rest();
                    }
                }
                Next::Wait(until) => wake = Some(until),
                Next::Idle => break,
            }
        }
        let run = running.first_key_value().map(|((at, _), _)| *at);
        let offer = next_offer.iter().min().copied();
        now = [run, offer, wake].into_iter().flatten().min().unwrap().max(now + Duration::from_nanos(1));
        // An arrival may end a wait.
        if offer.is_some_and(|at| at <= now) {
            wake = None;
        }
    }
    (got, runs)
}
