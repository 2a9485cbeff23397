//! Calls to the tenants' batching policies: the policies that are due, and their questions.
//!
//! A policy is called when its items have changed since the last call, or when the wait that it asked for is over;
//! never by two owner threads at once. A decision of the lane waits for one policy of each tenant at most, however many
//! revisions the tenant has in flight; the others are asked before the next decisions. Called by the queue under its
//! lock, except for [`PlanQuery::ask`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::TenantName;
use lector_core::batching::plan::{ITEMS_MAX, PlanItem, Question, Reply};
use lector_core::batching::{Bucket, Costs, Planner};

use super::item::{Bounds, Ticket};

/// The batching policies with items in the lane, the one that was asked last at the end.
#[derive(Default)]
pub(super) struct BatchingPolicies(Vec<Policy>);

struct Policy {
    planner: Arc<dyn Planner>,
    /// The tenant of its items, and its weight.
    tenant: TenantName,
    weight: u32,
    /// Its items have changed since the last call.
    stale: bool,
    /// A call is under way.
    asked: bool,
    /// Time of the next call if its items do not change.
    wake: Option<Instant>,
}

/// A batching policy and its question.
pub(super) struct PlanQuery {
    pub(super) planner: Arc<dyn Planner>,
    /// The tenant that the computing time is charged to, and its weight.
    pub(super) tenant: TenantName,
    pub(super) weight: u32,
    pub(super) question: Question,
}

impl PlanQuery {
    /// Calls the policy; takes microseconds.
    pub(super) fn ask(&self) -> Reply {
        self.planner.plan(&self.question)
    }
}

impl BatchingPolicies {
    /// Marks the policy of an item that came or went.
    pub(super) fn changed(&mut self, ticket: &Ticket) {
        let (tenant, scheduling) = (&ticket.item.tenant, &ticket.item.scheduling);
        let Some(planner) = &scheduling.planner else { return };
        match self.0.iter_mut().find(|known| Arc::ptr_eq(&known.planner, planner)) {
            Some(known) => (known.stale, known.weight) = (true, scheduling.weight),
            None => self.0.push(Policy {
                planner: planner.clone(),
                tenant: tenant.clone(),
                weight: scheduling.weight,
                stale: true,
                asked: false,
                wake: None,
            }),
        }
    }

    /// Returns the next call that is due, of a tenant that is not among `asked`. Policies without an item are removed.
    pub(super) fn next(
        &mut self,
        asked: &[TenantName],
        waiting: &[Ticket],
        costs: &Costs,
        bounds: &Bounds,
        running: u32,
        now: Instant,
    ) -> Option<PlanQuery> {
        if self.0.is_empty() {
            return None;
        }
        let is_of = |ticket: &Ticket, planner: &Arc<dyn Planner>| {
            ticket.item.scheduling.planner.as_ref().is_some_and(|own| Arc::ptr_eq(own, planner))
        };
        self.0.retain(|known| known.asked || waiting.iter().any(|ticket| is_of(ticket, &known.planner)));
        let is_due = |known: &Policy| {
            !known.asked
                && (known.stale || known.wake.is_some_and(|wake| wake <= now))
                && !asked.contains(&known.tenant)
        };
        let mut known = self.0.remove(self.0.iter().position(is_due)?);
        (known.stale, known.asked) = (false, true);
        let (planner, tenant, weight) = (known.planner.clone(), known.tenant.clone(), known.weight);
        self.0.push(known);
        let items = waiting.iter().filter(|ticket| is_of(ticket, &planner)).take(ITEMS_MAX);
        let question = question(items, costs, bounds, running, now)?;
        Some(PlanQuery { planner, tenant, weight, question })
    }

    /// Records the end of a call.
    pub(super) fn answered(&mut self, query: &PlanQuery, wake: Option<Instant>) {
        if let Some(known) = self.0.iter_mut().find(|known| Arc::ptr_eq(&known.planner, &query.planner)) {
            (known.asked, known.wake) = (false, wake);
        }
    }
}

fn question<'a>(
    items: impl Iterator<Item = &'a Ticket>,
    costs: &Costs,
    bounds: &Bounds,
    running: u32,
    now: Instant,
) -> Option<Question> {
    let rows_max_in = |bucket: &Bucket| {
        let by_pixels = bounds.pixels_max / bucket.row_pixels().max(1);
        bounds.rows_max.min(u32::try_from(by_pixels).unwrap_or(u32::MAX)).max(1)
    };
    let mut buckets: Vec<&Bucket> = Vec::new();
    let (mut asked, mut rows_max_of) = (Vec::new(), Vec::new());
    let mut model = None;
    for ticket in items {
        let known = buckets.iter().position(|bucket| **bucket == ticket.bucket);
        let number = known.unwrap_or_else(|| {
            buckets.push(&ticket.bucket);
            buckets.len() - 1
        });
        model.get_or_insert_with(|| ticket.item.model.clone());
        let declared = ticket.item.scheduling.hints.rows_max.unwrap_or(u32::MAX);
        rows_max_of.push(rows_max_in(&ticket.bucket).min(declared).max(1));
        asked.push(PlanItem {
            id: ticket.id,
            bucket: u32::try_from(number).unwrap_or(u32::MAX),
            width: ticket.bucket.shape().last().map_or(0, |width| u32::try_from(*width).unwrap_or(u32::MAX)),
            rows: ticket.rows,
            waited: now.saturating_duration_since(ticket.offered),
            left: ticket.item.deadline.saturating_duration_since(now),
        });
    }
    let first = buckets.first()?;
    let run = |rows: u32| Duration::from_secs_f64(costs.predict_ms(first, rows) / 1e3);
    Some(Question {
        model: model?,
        rows_max: bounds.rows_max.max(1),
        sessions: bounds.sessions,
        running,
        run_one: run(1),
        run_full: run(rows_max_in(first)),
        rows_max_of,
        items: asked,
        now,
    })
}
