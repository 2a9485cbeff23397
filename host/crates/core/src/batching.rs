//! Which waiting items run next, and together: decisions of a lane, without a lane.
//!
//! Owns the words for it ([`Waiting`], [`Engine`], [`Next`]), what runs cost ([`Costs`]) and the decision ([`decide`]).
//! Knows no queue, no thread and no engine; time is handed in. Called by the lanes of `lector-inference`; the shares of
//! tenants are [`crate::fair::Shares`].
//!
//! The order of things: the dead go first (caller gone, deadline that cannot be met). Whose turn it is decides the
//! tenants' shares, and among a tenant's own its priorities, aged. That item is the head; what fits beside it (same
//! bucket, same outputs, isolation respected) joins in the same order, up to the engine's bounds, as far as the learned
//! costs say that it gains: on a device with a launch to pay merging gains a lot, on a CPU next to nothing, and where it
//! gains nothing every row runs alone and is answered earlier. An engine is kept waiting for more company only where
//! the head's tenant allows it and the expected sum of waits becomes smaller by it; a lone item never waits. What nobody
//! waits for (a shadow's runs) is looked at only while nothing else waits or runs.

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

/// What may run together: inputs of the same shape but for the batch axis, and the same outputs. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bucket(Arc<Key>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    /// Of each input, without the batch axis.
    shapes: Vec<Vec<usize>>,
    /// In the order asked for.
    outputs: Vec<String>,
    /// Elements of one row of the first input.
    row_elements: u64,
}

impl Bucket {
    /// The bucket of items with such inputs (shapes without the batch axis) and outputs.
    pub fn new(shapes: Vec<Vec<usize>>, outputs: Vec<String>) -> Self {
        let row_elements =
            shapes.first().map_or(1, |shape| shape.iter().fold(1u64, |n, &e| n.saturating_mul(e as u64)));
        Self(Arc::new(Key { shapes, outputs, row_elements }))
    }

    /// Shape of the first input, without the batch axis.
    pub fn shape(&self) -> &[usize] {
        self.0.shapes.first().map_or(&[], Vec::as_slice)
    }

    /// A measure of what `rows` rows cost: elements of the first input.
    pub fn work(&self, rows: u32) -> f64 {
        self.0.row_elements.max(1) as f64 * f64::from(rows)
    }

    /// Pixels of one row (height times width) where the input is an image, else its elements.
    pub fn row_pixels(&self) -> u64 {
        match self.shape() {
            [_, height, width] => (*height as u64).saturating_mul(*width as u64),
            _ => self.0.row_elements,
        }
    }
}

/// What a tenant wishes for the runs of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchingHints {
    /// Most rows in one batch; `None`: the engine's limit.
    pub rows_max: Option<u32>,
    /// Longest wait for company.
    pub wait_max: Duration,
    /// Urgency among the tenant's own.
    pub priority: Priority,
    /// Never together with another tenant's rows.
    pub isolated: bool,
    /// Nobody waits for the answer: run only while the lane has nothing else to do, never beside anything else, and on
    /// nobody's share.
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

/// What the tenant's own program said of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Planned {
    /// Nothing: the declared wishes hold.
    #[default]
    Free,
    /// It is to run, together with the others of this number.
    Together(u64),
    /// It is to wait until then.
    Until(Instant),
}

/// A waiting item as the decision sees it. The order of a list of them is the order in which they were offered.
#[derive(Clone, Debug)]
pub struct Waiting<'a> {
    /// For whom.
    pub tenant: &'a TenantName,
    /// The tenant's weight.
    pub weight: u32,
    /// What it may run together with.
    pub bucket: &'a Bucket,
    /// Its rows, 1 or more.
    pub rows: u32,
    /// When it was offered.
    pub offered: Instant,
    /// After this its answer is of no use.
    pub deadline: Instant,
    /// Its caller has gone.
    pub cancelled: bool,
    /// What its tenant declared.
    pub hints: BatchingHints,
    /// What its tenant's program said.
    pub planned: Planned,
}

/// The engines of the lane as the decision sees them.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// Most rows of one run; 0 or 1: runs cannot be merged.
    pub rows_max: u32,
    /// Most pixels of one run.
    pub pixels_max: u64,
    /// Sessions that have nothing to do, the one that asks left out.
    pub idle_others: u32,
    /// Sessions that run at the moment.
    pub running: u32,
    /// Whether it compiles and keeps something for each new shape: then no size is tried for the sake of knowing it, and a
    /// larger one must save more.
    pub per_shape_compile_cost: bool,
}

/// Why an item is dropped unrun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Its caller has gone.
    Cancelled,
    /// Its deadline has passed, or will have before the shortest run of its kind ends.
    Expired,
}

/// What the engine that asked does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// These, in one run, by their position; the first is the one whose turn it was.
    Run(Vec<usize>),
    /// Nothing before then, unless something new arrives.
    Wait(Instant),
    /// Nothing: nothing live waits.
    Idle,
}

/// The decision over a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// To be dropped, by position, rising.
    pub dropped: Vec<(usize, Dropped)>,
    /// And then?
    pub next: Next,
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
