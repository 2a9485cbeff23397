//! Composition of the batch that an item ran in.

/// The run that an item was part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchComposition {
    /// Number of the run in its lane, from 1; 0 where there was no lane.
    pub run: u64,
    /// Rows of all items.
    pub rows: u32,
    /// Number of items, this one included.
    pub items: u32,
    /// Number of tenants, this one's included.
    pub tenants: u32,
}
