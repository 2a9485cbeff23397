//! The inputs of an attempt at an engine variant, as far as they are visible from outside. A failure is valid for one
//! input fingerprint.
//!
//! Taken before an attempt and compared later: the description, the weights or the engine in the cache may have
//! changed.

use crate::cache::{EngineCache, EngineKey};
use crate::catalog::{LabelOrigin, ModelEntry};
use crate::file_fingerprint::FileFingerprint;

/// The inputs of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InputFingerprint {
    /// Digest of the key: weights, acceptance, libraries, driver, device, shapes.
    key: String,
    /// The reason why the variant may not serve the model at all.
    pub(super) excluded: Option<String>,
    weights: Option<FileFingerprint>,
    labels: Option<FileFingerprint>,
    /// The error of the last read of the catalog: a builder reads it, too.
    catalog_error: Option<String>,
    /// Fingerprint of the manifest of the engine in the cache.
    built: Option<FileFingerprint>,
}

impl InputFingerprint {
    pub(super) fn of(
        entry: &ModelEntry,
        key: &EngineKey,
        cache: &EngineCache,
        excluded: Option<String>,
        catalog_error: Option<String>,
    ) -> Self {
        let labels = entry.labels.as_ref().and_then(|labels| match &labels.from {
            LabelOrigin::File { path, .. } => FileFingerprint::of(path),
            LabelOrigin::Metadata { .. } | LabelOrigin::List(_) => None,
        });
        Self {
            key: key.digest(),
            excluded,
            weights: FileFingerprint::of(&entry.weights.path),
            labels,
            catalog_error,
            built: FileFingerprint::of(&cache.manifest_path(key)),
        }
    }

    /// Returns whether an attempt may have another outcome than an attempt with the inputs `before`. An engine that has
    /// disappeared does not count: hosts that share a cache and cannot load the engines that they build would trigger
    /// each other's builds.
    pub(super) fn is_other_than(&self, before: &Self) -> bool {
        let gone = self.built.is_none();
        *self != Self { built: if gone { None } else { before.built }, ..before.clone() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_failure_is_valid_for_its_inputs() {
        let here = FileFingerprint::of(std::path::Path::new("Cargo.toml"));
        let other = FileFingerprint::of(std::path::Path::new("src/lib.rs"));
        assert!(here.is_some() && other.is_some() && here != other);
        let input_fingerprint = InputFingerprint {
            key: "key".to_owned(),
            excluded: None,
            weights: here,
            labels: None,
            catalog_error: None,
            built: here,
        };
        let check = |change: fn(&mut InputFingerprint), expect: bool| {
            let mut now = input_fingerprint.clone();
            change(&mut now);
            assert_eq!(now.is_other_than(&input_fingerprint), expect, "{now:?}");
        };
        check(|_| {}, false);
        check(|b| b.key.push('2'), true);
        check(|b| b.excluded = Some("no acceptance".to_owned()), true);
        check(|b| b.weights = None, true);
        check(|b| b.labels = b.weights, true);
        check(|b| b.catalog_error = Some("broken".to_owned()), true);
        check(|b| b.built = None, false);
        assert!(
            InputFingerprint { built: other, ..input_fingerprint.clone() }.is_other_than(&input_fingerprint),
            "an engine was added"
        );
    }
}
