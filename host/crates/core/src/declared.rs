//! How runs may be gathered, as a guest declares it.

use serde::{Deserialize, Serialize};

/// Urgency of a model's runs among the tenant's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before the others.
    High,
    /// As they come.
    Normal,
    /// When nothing else waits.
    Low,
}

/// How runs of one model may be gathered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batching {
    /// Alias of the model.
    pub model: String,
    /// Most rows in one batch; 0: the engine's limit.
    pub max_batch: u32,
    /// Longest wait for company, in microseconds.
    pub max_wait_us: u32,
    /// Widths preferred; empty: the engine's.
    pub preferred_widths: Vec<u32>,
    /// Urgency.
    pub priority: Priority,
    /// True: never together with another tenant's rows.
    pub isolated: bool,
}
