//! The decision itself.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Bucket, Costs, Decision, Dropped, Engine, Next, Planned, Waiting};
use crate::declared::Priority;
use crate::fair::{Shares, price};
use crate::id::TenantName;

/// Share of a row's time that a larger batch must save, or the row runs in the smaller one: below it the prediction is
/// noise, and every member of a batch waits for all of it.
const GAIN_MIN: f64 = 0.05;
/// The same where each new shape is compiled and kept.
const GAIN_MIN_DEAR: f64 = 0.2;
/// Share of what a run of its own would cost that another tenant's item may add to a run. Where a row costs about the
/// same in any company, as on a processor, whoever's turn it is would wait for strangers and gain next to nothing; where
/// it costs little beside others, as on an accelerator, all gain.
const STRANGER_COST_MAX: f64 = 0.5;
/// Every so often that an item waited, it counts as one class more urgent.
const AGE_STEP: Duration = Duration::from_secs(2);
/// Least part of a row that must be expected to arrive for waiting to be thought about.
const COMPANY_MIN: f64 = 0.5;
/// In how many steps the possible waits are looked at.
const WAITS: u32 = 4;

/// Decides what an engine that is free does at `now`. Pure: the same arguments, the same answer.
pub fn decide(
    waiting: &[Waiting<'_>],
    engine: &Engine,
    shares: &Shares,
    costs: &Costs,
    now: Instant,
) -> Decision {
    let mut dropped = Vec::new();
    let mut live = Vec::with_capacity(waiting.len());
    // The earliest moment at which an item that its tenant holds back becomes free.
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
                // Never beyond the moment at which it could still be run in time.
                let until = until.min(item.deadline);
                held_until = Some(held_until.map_or(until, |earliest| earliest.min(until)));
            }
            _ => live.push(at),
        }
    }
    first_those_that_are_waited_for(waiting, &mut live, engine, held_until.is_some());
    let next = match head(waiting, &live, shares, now) {
        Some(head) => begin(&Look { waiting, live: &live, engine, shares, costs, now }, head, held_until),
        None => held_until.map_or(Next::Idle, Next::Wait),
    };
    Decision { dropped, next }
}

/// What is done in the background has the engines to itself or not at all: a run that has begun is not taken back, and
/// whoever comes meanwhile would wait for it.
fn first_those_that_are_waited_for(
    waiting: &[Waiting<'_>],
    live: &mut Vec<usize>,
    engine: &Engine,
    others_are_held: bool,
) {
    let background = |at: &usize| waiting.get(*at).is_some_and(|item| item.hints.background);
    if engine.running > 0 || others_are_held || !live.iter().all(background) {
        live.retain(|at| !background(at));
    }
}

/// All that the steps look at.
struct Look<'a> {
    waiting: &'a [Waiting<'a>],
    /// Positions of the items that may run.
    live: &'a [usize],
    engine: &'a Engine,
    shares: &'a Shares,
    costs: &'a Costs,
    now: Instant,
}

/// The item whose turn it is.
fn head(waiting: &[Waiting<'_>], live: &[usize], shares: &Shares, now: Instant) -> Option<usize> {
    let turn = |at: &usize| {
        let item = waiting.get(*at)?;
        Some((shares.start_of(item.tenant), urgency(item, now), *at))
    };
    live.iter().filter_map(turn).min_by(by_turn).map(|(_, _, at)| at)
}

fn by_turn(a: &(f64, u64, usize), b: &(f64, u64, usize)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2))
}

/// Rank within a tenant, the least first. Waiting makes more urgent, so that `low` is served at last.
fn urgency(item: &Waiting<'_>, now: Instant) -> u64 {
    let class: u64 = match item.hints.priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    };
    let aged = now.saturating_duration_since(item.offered).as_millis() / AGE_STEP.as_millis();
    class.saturating_sub(u64::try_from(aged).unwrap_or(u64::MAX))
}

/// The head's batch, or a wait for more of it.
fn begin(look: &Look<'_>, head: usize, held_until: Option<Instant>) -> Next {
    let Some(first) = look.waiting.get(head) else { return Next::Idle };
    let members = composition(look, first, head);
    let size = best_size(look, first.bucket, &members);
    let batch: Vec<usize> = members.iter().take(size).map(|member| member.at).collect();
    // What the tenant's own program put together is not kept waiting by us.
    if first.planned == Planned::Free
        && size == members.len()
        && let Some(until) = worth_waiting(look, &members)
    {
        return Next::Wait(held_until.map_or(until, |held| held.min(until)));
    }
    Next::Run(batch)
}

/// A candidate for the batch, with what the batch has become with it.
struct Member {
    at: usize,
    /// Rows of the batch up to and with this one.
    rows: u32,
    /// The first deadline among them.
    deadline: Instant,
    /// Most rows that all of them accept.
    rows_max: u32,
    /// Whether the tenant's program wants it beside the head.
    wanted: bool,
}

/// All that can join the head, in the order in which they would: the head first, then whoever's turn is next when those
/// before are charged.
fn composition<'a>(look: &'a Look<'a>, first: &Waiting<'a>, head: usize) -> Vec<Member> {
    let row_pixels = first.bucket.row_pixels().max(1);
    let by_pixels = u32::try_from(look.engine.pixels_max / row_pixels).unwrap_or(u32::MAX);
    let engine_max = look.engine.rows_max.min(by_pixels).max(first.rows);
    let limit = |item: &Waiting<'_>| item.hints.rows_max.unwrap_or(u32::MAX).max(item.rows);
    let mut members = vec![Member {
        at: head,
        rows: first.rows,
        deadline: first.deadline,
        rows_max: engine_max.min(limit(first)),
        wanted: true,
    }];
    if look.engine.rows_max < 2 {
        return members;
    }
    let row_ms = look.costs.predict_ms(first.bucket, 1);
    let mut starts = Starts { look, row_ms, of: BTreeMap::new() };
    starts.charge(first);
    let mut isolated = first.hints.isolated;
    let mut mixed = false;
    let mut left: Vec<usize> = look
        .live
        .iter()
        .copied()
        .filter(|at| *at != head && look.waiting.get(*at).is_some_and(|item| item.bucket == first.bucket))
        .collect();
    let together = |item: &Waiting<'_>| {
        matches!(first.planned, Planned::Together(_))
            && item.planned == first.planned
            && item.tenant == first.tenant
    };
    while let Some(last) = members.last() {
        let (rows, rows_max, deadline) = (last.rows, last.rows_max, last.deadline);
        let ms = look.costs.predict_ms(first.bucket, rows);
        let cheap = |item: &Waiting<'_>| {
            let with = item.rows.saturating_add(rows);
            let added_ms = look.costs.predict_ms(first.bucket, with) - ms;
            // What nobody knows is tried once.
            !look.costs.has_seen(first.bucket, with)
                || added_ms <= look.costs.predict_ms(first.bucket, item.rows) * STRANGER_COST_MAX
        };
        let fits = |item: &Waiting<'_>| {
            let stranger = item.tenant != first.tenant;
            let apart = (stranger && (isolated || item.hints.isolated || !cheap(item)))
                || (mixed && item.hints.isolated);
            !apart && item.rows.saturating_add(rows) <= rows_max.min(limit(item))
        };
        // What the tenant's program put together goes first, then by turn.
        let turn = |place: usize, at: usize| {
            let item = look.waiting.get(at)?;
            fits(item).then(|| (!together(item), (starts.of(item), urgency(item, look.now), at), place))
        };
        let next = left
            .iter()
            .enumerate()
            .filter_map(|(place, at)| turn(place, *at))
            .min_by(|a, b| a.0.cmp(&b.0).then(by_turn(&a.1, &b.1)));
        let Some((_, (_, _, at), place)) = next else { break };
        left.swap_remove(place);
        let Some(item) = look.waiting.get(at) else { break };
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

/// Where the tenants stand once the members so far are charged.
struct Starts<'a> {
    look: &'a Look<'a>,
    row_ms: f64,
    of: BTreeMap<&'a TenantName, f64>,
}

impl<'a> Starts<'a> {
    fn of(&self, item: &Waiting<'_>) -> f64 {
        self.of.get(item.tenant).copied().unwrap_or_else(|| self.look.shares.start_of(item.tenant))
    }

    fn charge(&mut self, item: &Waiting<'a>) {
        let start = self.of(item) + price(item.weight, self.row_ms * f64::from(item.rows));
        self.of.insert(item.tenant, start);
    }
}

/// How many of the members run: as many as make a row cheaper, but no more than leave the other free engines their part,
/// and none with whom somebody would be late.
fn best_size(look: &Look<'_>, bucket: &Bucket, members: &[Member]) -> usize {
    let total = members.last().map_or(1, |member| member.rows);
    let part = total.div_ceil(look.engine.idle_others + 1);
    let gain_min = if look.engine.per_shape_compile_cost { GAIN_MIN_DEAR } else { GAIN_MIN };
    let (mut best, mut best_row_ms, mut alone_rows) = (1, f64::INFINITY, 1);
    for (at, member) in members.iter().enumerate() {
        let ms = look.costs.predict_ms(bucket, member.rows);
        let row_ms = ms / f64::from(member.rows.max(1));
        if at == 0 {
            (best_row_ms, alone_rows) = (row_ms, member.rows);
            continue;
        }
        let end = look.now.checked_add(Duration::from_secs_f64((ms / 1e3).clamp(0.0, 1e6)));
        if end.is_none_or(|end| end > member.deadline) {
            break;
        }
        if member.wanted {
            (best, best_row_ms) = (at + 1, best_row_ms.min(row_ms));
            continue;
        }
        if member.rows > part.max(alone_rows) {
            break;
        }
        // A size near twice the largest one seen is tried once, for a prediction can be wrong either way.
        let trial = at == 1
            && !look.engine.per_shape_compile_cost
            && !look.costs.has_seen(bucket, member.rows)
            && look.costs.has_seen(bucket, alone_rows);
        if row_ms < best_row_ms * (1.0 - gain_min) || trial {
            (best, best_row_ms) = (at + 1, best_row_ms.min(row_ms));
        }
    }
    best
}

/// Until when it pays to wait for more of the bucket: where the waits of those here and of those expected sum up to less
/// than if those here ran now. `None`: run now.
fn worth_waiting(look: &Look<'_>, members: &[Member]) -> Option<Instant> {
    // A lone item never waits.
    if look.live.len() < 2 {
        return None;
    }
    let last = members.last()?;
    let items = || members.iter().filter_map(|member| look.waiting.get(member.at));
    let bucket = items().next()?.bucket;
    // The first of them whose patience or deadline ends.
    let patience = items()
        .map(|item| (item.offered + item.hints.wait_max).saturating_duration_since(look.now))
        .min()
        .filter(|left| !left.is_zero())?;
    let room = f64::from(last.rows_max.min(look.engine.rows_max).saturating_sub(last.rows));
    let (here, rate) = (f64::from(last.rows), look.costs.arrivals_per_s(bucket, look.now));
    let cost_s = |rows: f64| look.costs.predict_ms(bucket, rows.ceil().max(1.0) as u32) / 1e3;
    let mut best: Option<(f64, Duration)> = None;
    for step in 1..=WAITS {
        let wait = patience * step / WAITS;
        let wait_s = wait.as_secs_f64();
        let coming = (rate * wait_s).min(room);
        let end_s = wait_s + cost_s(here + coming);
        let in_time =
            look.now.checked_add(Duration::from_secs_f64(end_s)).is_some_and(|end| end <= last.deadline);
        if coming < COMPANY_MIN || !in_time {
            continue;
        }
        let now_sum = here * cost_s(here) + coming * (cost_s(here) + cost_s(coming) - wait_s / 2.0).max(0.0);
        let wait_sum = here * end_s + coming * (end_s - wait_s / 2.0);
        if wait_sum < now_sum * (1.0 - GAIN_MIN) && best.is_none_or(|(sum, _)| wait_sum - now_sum < sum) {
            best = Some((wait_sum - now_sum, wait));
        }
    }
    best.and_then(|(_, wait)| look.now.checked_add(wait))
}
