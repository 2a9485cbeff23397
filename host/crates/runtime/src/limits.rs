//! Limits of the linear memory and tables of one Store.

use lector_core::Budget;
use wasmtime::ResourceLimiter;

/// Maximum elements of all tables of a guest together. A table element costs the host 8 bytes; the largest known guests
/// (an interpreter compiled to wasm) have about 20,000.
const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Maximum core instances of one component: its modules and the adapters between them.
const CORE_INSTANCES_MAX: usize = 64;

/// Counts over all memories and tables of a Store. Refusals are recorded: in most cases a guest whose growth is refused
/// traps a moment later, and the refusal is the cause to report.
#[derive(Debug)]
pub struct Limits {
    memory_max: usize,
    memory: usize,
    table: usize,
    /// Bytes requested when growth was last refused.
    pub memory_refused: Option<usize>,
    /// Table elements requested when growth was last refused.
    pub table_refused: Option<usize>,
}

impl Limits {
    pub fn new(budget: &Budget) -> Self {
        Self {
            memory_max: usize::try_from(budget.memory_bytes).unwrap_or(usize::MAX),
            memory: 0,
            table: 0,
            memory_refused: None,
            table_refused: None,
        }
    }

    /// Returns the bytes of linear memory. Memories never shrink, so this is also the peak.
    pub fn memory_bytes(&self) -> u64 {
        self.memory as u64
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.memory_max {
            self.memory_refused = Some(total);
            return Ok(false);
        }
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table.saturating_add(desired.saturating_sub(current));
        if total > TABLE_ELEMENTS_MAX {
            self.table_refused = Some(total);
            return Ok(false);
        }
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        self.table = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        CORE_INSTANCES_MAX
    }
}
