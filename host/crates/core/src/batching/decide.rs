//! Implementation of [`decide`].

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Bucket, Costs, Decision, Dropped, Engine, Next, Planned, Waiting};
use crate::declared::Priority;
use crate::fair::{Shares, virtual_cost};
use crate::id::TenantName;

/// Fraction of a row's time that a larger batch must save; otherwise the row runs in the smaller batch. Below it the
/// prediction is noise, and every item of a batch waits for the whole batch.
const GAIN_MIN: f64 = 0.05;
/// Largest cost that another tenant's item may add to a run, as a fraction of the cost of a run of its own. Where a row
/// costs about the same in any batch, the first item would wait for other tenants' items and gain next to nothing; where
/// it adds little, as on an accelerator, all tenants gain.
const OTHER_TENANT_COST_MAX: f64 = 0.5;
/// Waiting time after which an item counts as one priority class higher.
const AGE_STEP: Duration = Duration::from_secs(2);
/// Smallest number of rows expected to arrive for which waiting is considered.
const ARRIVALS_MIN: f64 = 0.5;
/// Number of waiting times that are compared.
const WAITS: u32 = 4;

/// Decides the next action of an idle engine at `now`. Pure: the same arguments give the same answer.
pub fn decide(
    waiting: &[Waiting<'_>],
    engine: &Engine,
    shares: &Shares,
    costs: &Costs,
    now: Instant,
) -> Decision {
    let mut dropped = Vec::new();
    let mut live = Vec::with_capacity(waiting.len());
    // The earliest time at which an item that its tenant's policy holds back may run.
    let mut held_until: Option<Instant> = None;
    for (at, item) in waiting.iter().enumerate() {
        let too_late = || {
            let least = costs.least(item.bucket, item.rows).unwrap_or_default();
            now.checked_add(least).is_none_or(|end| item.deadline <= end)
        };
        match item.planned {
            _ if item.cancelled => dropped.push((at, Dropped::Cancelled)),
            _ if too_late() => dropped.push((at, Dropped::Expired)),
            Planned::Until(until) if until > now => {
                // Not later than the item's deadline.
                let until = until.min(item.deadline);
                held_until = Some(held_until.map_or(until, |earliest| earliest.min(until)));
            }
            _ => live.push(at),
        }
    }
    remove_background(waiting, &mut live, engine, held_until.is_some());
    let next = match head(waiting, &live, shares, now) {
        Some(head) => begin(&Inputs { waiting, live: &live, engine, shares, costs, now }, head, held_until),
        None => held_until.map_or(Next::Idle, Next::Wait),
    };
    Decision { dropped, next }
}

/// Removes background items from `live` unless they have the engines to themselves: a started run cannot be withdrawn,
/// and an item that arrives meanwhile would wait for it.
fn remove_background(waiting: &[Waiting<'_>], live: &mut Vec<usize>, engine: &Engine, others_are_held: bool) {
    let background = |at: &usize| waiting.get(*at).is_some_and(|item| item.hints.background);
    if engine.running > 0 || others_are_held || !live.iter().all(background) {
        live.retain(|at| !background(at));
    }
}

/// Arguments of the steps.
struct Inputs<'a> {
    waiting: &'a [Waiting<'a>],
    /// Positions of the items that may run.
    live: &'a [usize],
    engine: &'a Engine,
    shares: &'a Shares,
    costs: &'a Costs,
    now: Instant,
}

/// Returns the position of the first item of the batch.
fn head(waiting: &[Waiting<'_>], live: &[usize], shares: &Shares, now: Instant) -> Option<usize> {
    let order = |at: &usize| {
        let item = waiting.get(*at)?;
        Some((shares.start_of(item.tenant), urgency(item, now), *at))
    };
    live.iter().filter_map(order).min_by(by_share).map(|(_, _, at)| at)
}

fn by_share(a: &(f64, u64, usize), b: &(f64, u64, usize)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2))
}

/// Returns the rank within a tenant; the lowest runs first. Waiting lowers the rank, so that `low` items run
/// eventually.
fn urgency(item: &Waiting<'_>, now: Instant) -> u64 {
    let class: u64 = match item.hints.priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    };
    let aged = now.saturating_duration_since(item.offered).as_millis() / AGE_STEP.as_millis();
    class.saturating_sub(u64::try_from(aged).unwrap_or(u64::MAX))
}

/// Returns the batch of the first item, or a wait for more items.
fn begin(inputs: &Inputs<'_>, head: usize, held_until: Option<Instant>) -> Next {
    let Some(first) = inputs.waiting.get(head) else { return Next::Idle };
    let members = composition(inputs, first, head);
    let size = best_size(inputs, first.bucket, &members);
    let batch: Vec<usize> = members.iter().take(size).map(|member| member.at).collect();
    // Items that the tenant's batching policy put together are not held back.
    if first.planned == Planned::Free
        && !inputs.engine.row_by_row
        && size == members.len()
        && let Some(until) = worth_waiting(inputs, &members)
    {
        return Next::Wait(held_until.map_or(until, |held| held.min(until)));
    }
    Next::Run(batch)
}

/// A candidate for the batch, with the totals of the batch up to and including it.
struct Member {
    at: usize,
    /// Rows of the batch up to and including this item.
    rows: u32,
    /// Earliest deadline up to and including this item.
    deadline: Instant,
    /// Largest number of rows that all of these items accept.
    rows_max: u32,
    /// Whether the tenant's batching policy put it together with the first item.
    wanted: bool,
}

/// Returns all items that can join the first one, in order: the first item, then by share, with the items before
/// charged.
fn composition<'a>(inputs: &'a Inputs<'a>, first: &Waiting<'a>, head: usize) -> Vec<Member> {
    let row_pixels = first.bucket.row_pixels().max(1);
    let by_pixels = u32::try_from(inputs.engine.pixels_max / row_pixels).unwrap_or(u32::MAX);
    let engine_max = inputs.engine.rows_max.min(by_pixels).max(first.rows);
    let limit = |item: &Waiting<'_>| item.hints.rows_max.unwrap_or(u32::MAX).max(item.rows);
    let mut members = vec![Member {
        at: head,
        rows: first.rows,
        deadline: first.deadline,
        rows_max: engine_max.min(limit(first)),
        wanted: true,
    }];
    if inputs.engine.rows_max < 2 {
        return members;
    }
    let row_ms = inputs.costs.predict_ms(first.bucket, 1);
    let mut starts = Starts { inputs, row_ms, of: BTreeMap::new() };
    starts.charge(first);
    let mut isolated = first.hints.isolated;
    let mut mixed = false;
    let mut left: Vec<usize> = inputs
        .live
        .iter()
        .copied()
        .filter(|at| *at != head && inputs.waiting.get(*at).is_some_and(|item| item.bucket == first.bucket))
        .collect();
    let together = |item: &Waiting<'_>| {
        matches!(first.planned, Planned::Together(_))
            && item.planned == first.planned
            && item.tenant == first.tenant
    };
    while let Some(last) = members.last() {
        let (rows, rows_max, deadline) = (last.rows, last.rows_max, last.deadline);
        let ms = inputs.costs.predict_ms(first.bucket, rows);
        let cheap = |item: &Waiting<'_>| {
            let with = item.rows.saturating_add(rows);
            let added_ms = inputs.costs.predict_ms(first.bucket, with) - ms;
            // A size that was never seen is tried once.
            !inputs.costs.has_seen(first.bucket, with)
                || added_ms <= inputs.costs.predict_ms(first.bucket, item.rows) * OTHER_TENANT_COST_MAX
        };
        let fits = |item: &Waiting<'_>| {
            let other_tenant = item.tenant != first.tenant;
            let excluded = (other_tenant && (isolated || item.hints.isolated || !cheap(item)))
                || (mixed && item.hints.isolated);
            !excluded && item.rows.saturating_add(rows) <= rows_max.min(limit(item))
        };
        // Items that the tenant's policy put together come first, then the order of shares.
        let order = |place: usize, at: usize| {
            let item = inputs.waiting.get(at)?;
            fits(item).then(|| (!together(item), (starts.of(item), urgency(item, inputs.now), at), place))
        };
        let next = left
            .iter()
            .enumerate()
            .filter_map(|(place, at)| order(place, *at))
            .min_by(|a, b| a.0.cmp(&b.0).then(by_share(&a.1, &b.1)));
        let Some((_, (_, _, at), place)) = next else { break };
        left.swap_remove(place);
        let Some(item) = inputs.waiting.get(at) else { break };
        members.push(Member {
            at,
            rows: rows + item.rows,
            deadline: deadline.min(item.deadline),
            rows_max: rows_max.min(limit(item)),
            wanted: together(item),
        });
        isolated |= item.hints.isolated;
        mixed |= item.tenant != first.tenant;
        starts.charge(item);
    }
    members
}

/// Virtual start times of the tenants with the items so far charged.
struct Starts<'a> {
    inputs: &'a Inputs<'a>,
    row_ms: f64,
    of: BTreeMap<&'a TenantName, f64>,
}

impl<'a> Starts<'a> {
    fn of(&self, item: &Waiting<'_>) -> f64 {
        self.of.get(item.tenant).copied().unwrap_or_else(|| self.inputs.shares.start_of(item.tenant))
    }

    fn charge(&mut self, item: &Waiting<'a>) {
        let start = self.of(item) + virtual_cost(item.weight, self.row_ms * f64::from(item.rows));
        self.of.insert(item.tenant, start);
    }
}

/// Returns the number of items to run: as many as lower the cost of a row, at most this engine's part of the waiting
/// rows, and none that would make another item late.
fn best_size(inputs: &Inputs<'_>, bucket: &Bucket, members: &[Member]) -> usize {
    let total = members.last().map_or(1, |member| member.rows);
    let part = total.div_ceil(inputs.engine.idle_others + 1);
    let (mut best, mut best_row_ms, mut alone_rows) = (1, f64::INFINITY, 1);
    for (at, member) in members.iter().enumerate() {
        let ms = inputs.costs.predict_ms(bucket, member.rows);
        let row_ms = ms / f64::from(member.rows.max(1));
        if at == 0 {
            (best_row_ms, alone_rows) = (row_ms, member.rows);
            continue;
        }
        let end = inputs.now.checked_add(Duration::from_secs_f64((ms / 1e3).clamp(0.0, 1e6)));
        if end.is_none_or(|end| end > member.deadline) {
            break;
        }
        if member.wanted {
            (best, best_row_ms) = (at + 1, best_row_ms.min(row_ms));
            continue;
        }
        if inputs.engine.row_by_row || member.rows > part.max(alone_rows) {
            break;
        }
        // A size near twice the largest one seen is tried once, because a prediction can be wrong either way.
        let trial = at == 1
            && !inputs.costs.has_seen(bucket, member.rows)
            && inputs.costs.has_seen(bucket, alone_rows);
        if row_ms < best_row_ms * (1.0 - GAIN_MIN) || trial {
            (best, best_row_ms) = (at + 1, best_row_ms.min(row_ms));
        }
    }
    best
}

/// Returns the time until which waiting for more items of the bucket pays: the sum of the waits of present and expected
/// items is less than if the present ones ran now. `None`: run now.
fn worth_waiting(inputs: &Inputs<'_>, members: &[Member]) -> Option<Instant> {
    // A single item never waits.
    if inputs.live.len() < 2 {
        return None;
    }
    let last = members.last()?;
    let items = || members.iter().filter_map(|member| inputs.waiting.get(member.at));
    let bucket = items().next()?.bucket;
    // The first time at which an item's longest wait or deadline ends.
    let longest_wait = items()
        .map(|item| (item.offered + item.hints.wait_max).saturating_duration_since(inputs.now))
        .min()
        .filter(|left| !left.is_zero())?;
    let free_rows = f64::from(last.rows_max.min(inputs.engine.rows_max).saturating_sub(last.rows));
    let (here, rate) = (f64::from(last.rows), inputs.costs.arrivals_per_s(bucket, inputs.now));
    let cost_s = |rows: f64| inputs.costs.predict_ms(bucket, rows.ceil().max(1.0) as u32) / 1e3;
    let mut best: Option<(f64, Duration)> = None;
    for step in 1..=WAITS {
        let wait = longest_wait * step / WAITS;
        let wait_s = wait.as_secs_f64();
        let coming = (rate * wait_s).min(free_rows);
        let end_s = wait_s + cost_s(here + coming);
        let in_time =
            inputs.now.checked_add(Duration::from_secs_f64(end_s)).is_some_and(|end| end <= last.deadline);
        if coming < ARRIVALS_MIN || !in_time {
            continue;
        }
        let now_sum = here * cost_s(here) + coming * (cost_s(here) + cost_s(coming) - wait_s / 2.0).max(0.0);
        let wait_sum = here * end_s + coming * (end_s - wait_s / 2.0);
        if wait_sum < now_sum * (1.0 - GAIN_MIN) && best.is_none_or(|(sum, _)| wait_sum - now_sum < sum) {
            best = Some((wait_sum - now_sum, wait));
        }
    }
    best.and_then(|(_, wait)| inputs.now.checked_add(wait))
}
