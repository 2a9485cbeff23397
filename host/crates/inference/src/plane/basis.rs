//! What a try of a rung stands on, as far as it can be seen from outside: a failure holds for that, and for nothing else.
//!
//! Taken before a try, and held against what is there later: another description, other weights, an engine that somebody put
//! into the cache.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use crate::cache::{EngineCache, EngineKey};
use crate::catalogue::{LabelOrigin, ModelEntry};

/// What can be seen of a file without reading it; `None`: it is not there.
type Stamp = Option<(u64, Option<SystemTime>, u64)>;

/// What a try stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Basis {
    /// Digest of the key: weights, acceptance, libraries, driver, device, shapes.
    key: String,
    /// Why the rung may not serve the model at all.
    pub(super) excluded: Option<String>,
    weights: Stamp,
    labels: Stamp,
    /// Why the catalogue could not be read: a builder reads it, too.
    trouble: Option<String>,
    /// The manifest of the engine in the cache.
    built: Stamp,
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
            LabelOrigin::File { path, .. } => stamp(path),
            LabelOrigin::Metadata { .. } | LabelOrigin::List(_) => None,
        });
        Self {
            key: key.digest(),
            excluded,
            weights: stamp(&entry.weights.path),
            labels,
            trouble,
            built: stamp(&cache.manifest_path(key)),
        }
    }

    /// Whether a try may have another end than one that stood on `before`. An engine that is gone is no reason: hosts that
    /// share a cache, and cannot load what they build, would set one another building.
    pub(super) fn is_other_than(&self, before: &Self) -> bool {
        let gone = self.built.is_none();
        *self != Self { built: if gone { None } else { before.built }, ..before.clone() }
    }
}

fn stamp(path: &Path) -> Stamp {
    let data = fs::metadata(path).ok()?;
    Some((data.len(), data.modified().ok(), data.ino()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_failure_holds_for_what_it_stood_on() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("manifest.json");
        fs::write(&file, "{}").unwrap();
        let one = stamp(&file);
        fs::write(dir.path().join("new"), "{}").unwrap();
        fs::rename(dir.path().join("new"), &file).unwrap();
        let other = stamp(&file);
        assert!(one.is_some() && one != other, "another file of the same length");
        let basis = Basis {
            key: "key".to_owned(),
            excluded: None,
            weights: one,
            labels: None,
            trouble: None,
            built: one,
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
