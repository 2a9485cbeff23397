//! The remaining budget of this call.

use crate::host;

pub use crate::bindings::lector::ocr::budget::Allowance;

/// Returns what is left of each limit now.
pub fn remaining() -> Allowance {
    host::budget_remaining()
}
