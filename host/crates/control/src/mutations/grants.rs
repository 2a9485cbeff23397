//! The models that a deploy grants to the guest: named, inherited, or all of the tenant.

use std::collections::BTreeMap;

use lector_core::{Fault, Kind, ModelName};

/// Most grants of a deploy: a guest opens at most 64 models, and 64 more where the host has them.
const GRANTS_MAX: usize = 128;
/// Longest alias of a model, in bytes: that of the pipeline info.
const ALIAS_BYTES_MAX: usize = 256;

/// The models that a deploy grants to the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Grants {
    /// Those of the newest revision that the tenant still has; all models of the tenant for the first revision of a
    /// deployment.
    #[default]
    Inherited,
    /// All models of the tenant.
    All,
    /// These, by alias; each is one of the tenant's models.
    Named(BTreeMap<String, ModelName>),
}

/// Returns the grants that a deploy names; a fault if the tenant does not have one of the models.
pub(super) fn granted(
    asked: BTreeMap<String, ModelName>,
    models: &BTreeMap<String, ModelName>,
) -> Result<BTreeMap<String, ModelName>, Fault> {
    if asked.len() > GRANTS_MAX || asked.keys().any(|alias| alias.len() > ALIAS_BYTES_MAX) {
        let message = format!(
            "`grants` has {} aliases, the longest of {} bytes; at most {GRANTS_MAX} of {ALIAS_BYTES_MAX} bytes are accepted: send \
             those of the models that the guest opens.",
            asked.len(),
            asked.keys().map(String::len).max().unwrap_or(0)
        );
        return Err(Fault::new(Kind::Invalid, "body_invalid", message));
    }
    let missing: Vec<&str> = asked
        .values()
        .filter(|model| !models.values().any(|own| own == *model))
        .map(ModelName::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(asked);
    }
    let message = format!(
        "The tenant may not use the models {}: leave them out, or ask an administrator to grant them.",
        missing.join(", ")
    );
    Err(Fault::new(Kind::Denied, "grant_missing", message))
}

/// Returns the grants of the newest revision without those of models that the tenant no longer has. The deploy fails if the
/// guest opens one of them.
pub(super) fn still_granted(
    newest: &BTreeMap<String, ModelName>,
    models: &BTreeMap<String, ModelName>,
) -> BTreeMap<String, ModelName> {
    let still = newest.iter().filter(|(_, model)| models.values().any(|own| own == *model));
    still.map(|(alias, model)| (alias.clone(), model.clone())).collect()
}
