//! Decides which waiting items of a lane run next, and which of them run together.
//!
//! Owns the types ([`Waiting`], [`Engine`], [`Next`]), the cost model of runs ([`Costs`]) and the decision
//! ([`decide`]). Contains no queue, no thread and no engine; the caller passes the time. Called by the lanes of
//! `lector-inference`. The shares of tenants are in [`crate::fair::Shares`].
//!
//! The decision has these steps:
//! 1. Drop dead items: the caller has gone, or the deadline cannot be met.
//! 2. Select the first item: by the tenants' shares, then by priority and age among the items of one tenant.
//! 3. Add items that fit beside it (same bucket, same outputs, isolation respected) in the same order, up to the
//!    engine's limits, as long as the learned costs predict a gain. On a device with a high launch cost merging gains a
//!    lot; an engine on cores computes row by row, so each item runs alone and is answered earlier.
//! 4. Hold the engine back for more items only where the first item's tenant allows it and the expected sum of waiting
//!    times becomes smaller. A single item never waits.
//!
//! Background items (shadow traffic) run only while nothing else waits or runs.

mod cost;
mod decide;
pub mod plan;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::declared::{Batching, Priority};
use crate::id::TenantName;

pub use cost::Costs;
pub use decide::decide;
pub use plan::Planner;

/// Key of the items that may run together: the same input shapes except for the batch axis, and the same outputs. Cheap
/// to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bucket(Arc<Key>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    /// Shape of each input, without the batch axis.
    shapes: Vec<Vec<usize>>,
    /// Outputs, in the order of the request.
    outputs: Vec<String>,
    /// Elements of one row of the first input.
    row_elements: u64,
}

impl Bucket {
    /// Creates the bucket of items with these input shapes (without the batch axis) and outputs.
    pub fn new(shapes: Vec<Vec<usize>>, outputs: Vec<String>) -> Self {
        let row_elements =
            shapes.first().map_or(1, |shape| shape.iter().fold(1u64, |n, &e| n.saturating_mul(e as u64)));
        Self(Arc::new(Key { shapes, outputs, row_elements }))
    }

    /// Returns the shape of the first input, without the batch axis.
    pub fn shape(&self) -> &[usize] {
        self.0.shapes.first().map_or(&[], Vec::as_slice)
    }

    /// Returns the work of `rows` rows: the number of elements of the first input.
    pub fn work(&self, rows: u32) -> f64 {
        self.0.row_elements.max(1) as f64 * f64::from(rows)
    }

    /// Returns the pixels of one row (height times width) where the input is an image, else its elements.
    pub fn row_pixels(&self) -> u64 {
        match self.shape() {
            [_, height, width] => (*height as u64).saturating_mul(*width as u64),
            _ => self.0.row_elements,
        }
    }
}

/// A tenant's batching settings for the runs of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchingHints {
    /// Largest number of rows in one batch; `None`: the engine's limit.
    pub rows_max: Option<u32>,
    /// Longest wait for co-batched items.
    pub wait_max: Duration,
    /// Priority among the tenant's own items.
    pub priority: Priority,
    /// Whether the rows never run together with another tenant's rows.
    pub isolated: bool,
    /// Whether no client waits for the answer. The item then runs only while the lane has nothing else to do, never
    /// together with other items, and is not charged to a share.
    pub background: bool,
}

impl Default for BatchingHints {
    fn default() -> Self {
        Self {
            rows_max: None,
            wait_max: Duration::ZERO,
            priority: Priority::Normal,
            isolated: false,
            background: false,
        }
    }
}

impl From<&Batching> for BatchingHints {
    fn from(declared: &Batching) -> Self {
        Self {
            rows_max: Some(declared.max_batch).filter(|&rows| rows > 0),
            wait_max: Duration::from_micros(u64::from(declared.max_wait_us)),
            priority: declared.priority,
            isolated: declared.isolated,
            background: false,
        }
    }
}

/// The answer of the tenant's batching policy for one item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Planned {
    /// No answer: the declared settings apply.
    #[default]
    Free,
    /// The item runs, together with the other items of this number.
    Together(u64),
    /// The item waits until this time.
    Until(Instant),
}

/// A waiting item, as input of the decision. A list of items is in the order in which they were offered.
#[derive(Clone, Debug)]
pub struct Waiting<'a> {
    /// Tenant of the item.
    pub tenant: &'a TenantName,
    /// The tenant's weight.
    pub weight: u32,
    /// Bucket of the items that it may run together with.
    pub bucket: &'a Bucket,
    /// Number of rows, 1 or more.
    pub rows: u32,
    /// Time at which it was offered.
    pub offered: Instant,
    /// Time after which the answer is useless.
    pub deadline: Instant,
    /// Whether the caller has gone.
    pub cancelled: bool,
    /// Settings that the tenant declared.
    pub hints: BatchingHints,
    /// Answer of the tenant's batching policy.
    pub planned: Planned,
}

/// The engines of the lane, as input of the decision.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// Largest number of rows of one run; 0 or 1: runs cannot be merged.
    pub rows_max: u32,
    /// Largest number of pixels of one run.
    pub pixels_max: u64,
    /// Idle sessions, without the one that asks.
    pub idle_others: u32,
    /// Sessions that are running.
    pub running: u32,
    /// Whether the engine computes the rows of a run one by one, so that a row is no cheaper in a run with others. If so,
    /// only items that the tenant's batching policy put together share a run, and no item waits for others.
    pub row_by_row: bool,
}

/// Reason for which an item is dropped without a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The caller has gone.
    Cancelled,
    /// The deadline has passed, or would pass before the shortest run of this kind ends.
    Expired,
}

/// Next action of the engine that asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Runs these items, given by position, in one run. The first one was selected by share and priority.
    Run(Vec<usize>),
    /// Runs nothing before this time, unless a new item arrives.
    Wait(Instant),
    /// Runs nothing: no live item waits.
    Idle,
}

/// Result of [`decide`] for a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Items to drop, by rising position.
    pub dropped: Vec<(usize, Dropped)>,
    /// Action after the items were dropped.
    pub next: Next,
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
