//! The error of what tesseract does and Lector does not do.

use anyhow::bail;

/// Returns the error of an output that Lector cannot make.
pub(super) fn refused<T>(what: &str, instead: &str) -> anyhow::Result<T> {
    bail!("{what} is not supported by Lector{instead}")
}
