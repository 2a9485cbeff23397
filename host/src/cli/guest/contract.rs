//! The contract that a project in another language than Rust carries.

use std::path::Path;

use anyhow::Context;
use wit_parser::{Resolve, WorldId};

/// The world with every import; those that the guest does not call need not be part of its component.
pub(super) const WORLD: &str = "wrapper";

/// Reads the contract of a project, and its world for wrappers.
pub(super) fn read(contract: &Path) -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(contract)
        .with_context(|| format!("reading the contract in {}", contract.display()))?;
    let world = resolve
        .select_world(&[package], Some(WORLD))
        .with_context(|| format!("the contract in {} has no world `{WORLD}`", contract.display()))?;
    Ok((resolve, world))
}
