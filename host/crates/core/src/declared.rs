//! Batching settings as a guest declares them.

use serde::{Deserialize, Serialize};

/// Priority of a model's runs among the tenant's own runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before the others.
    High,
    /// In order of arrival.
    Normal,
    /// After the others; waiting raises the priority.
    Low,
}

/// Batching settings for the runs of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batching {
    /// Alias of the model.
    pub model: String,
    /// Largest number of rows in one batch; 0: the engine's limit.
    pub max_batch: u32,
    /// Longest wait for co-batched items, in microseconds.
    pub max_wait_us: u32,
    /// Widths preferred; empty: the engine's.
    pub preferred_widths: Vec<u32>,
    /// Priority.
    pub priority: Priority,
    /// Whether the rows never run together with another tenant's rows.
    pub isolated: bool,
}
