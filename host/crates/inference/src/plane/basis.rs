//! What a try of a rung stands on, as far as it can be seen from outside: a failure holds for that, and for nothing else.
//!
//! Taken before a try, and held against what is there later: another description, other weights, an engine that somebody put
//! into the cache.

use crate::cache::{EngineCache, EngineKey};
use crate::catalogue::{LabelOrigin, ModelEntry};
use crate::stamp::Stamp;

/// What a try stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Basis {
    /// Digest of the key: weights, acceptance, libraries, driver, device, shapes.
    key: String,
    /// Why the rung may not serve the model at all.
    pub(super) excluded: Option<String>,
    weights: Option<Stamp>,
    labels: Option<Stamp>,
    /// Why the catalogue could not be read: a builder reads it, too.
    trouble: Option<String>,
    /// The manifest of the engine in the cache.
    built: Option<Stamp>,
}

impl Basis {
    pub(super) fn of(
        entry: &ModelEntry,
        key: &EngineKey,
        cache: &EngineCache,
        excluded: Option<String>,
        trouble: Option<String>,
    ) -> Self {
        let labels = entry.labels.as_ref().and_then(|labels| match &labels.from {
            LabelOrigin::File { path, .. } => Stamp::of(path),
            LabelOrigin::Metadata { .. } | LabelOrigin::List(_) => None,
        });
        Self {
            key: key.digest(),
            excluded,
            weights: Stamp::of(&entry.weights.path),
            labels,
            trouble,
            built: Stamp::of(&cache.manifest_path(key)),
        }
    }

    /// Whether a try may have another end than one that stood on `before`. An engine that is gone is no reason: hosts that
    /// share a cache, and cannot load what they build, would set one another building.
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
    fn a_failure_holds_for_what_it_stood_on() {
        let here = Stamp::of(std::path::Path::new("Cargo.toml"));
        let other = Stamp::of(std::path::Path::new("src/lib.rs"));
        assert!(here.is_some() && other.is_some() && here != other);
        let basis = Basis {
            key: "key".to_owned(),
            excluded: None,
            weights: here,
            labels: None,
            trouble: None,
            built: here,
        };
        let check = |change: fn(&mut Basis), expect: bool| {
            let mut now = basis.clone();
            change(&mut now);
            assert_eq!(now.is_other_than(&basis), expect, "{now:?}");
        };
        check(|_| {}, false);
        check(|b| b.key.push('2'), true);
        check(|b| b.excluded = Some("no acceptance".to_owned()), true);
        check(|b| b.weights = None, true);
        check(|b| b.labels = b.weights, true);
        check(|b| b.trouble = Some("broken".to_owned()), true);
        check(|b| b.built = None, false);
        assert!(Basis { built: other, ..basis.clone() }.is_other_than(&basis), "an engine was put there");
    }
}
