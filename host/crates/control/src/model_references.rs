//! Model references: every revision in memory and every deploy in progress holds references on its models.
//!
//! Owns the counts, the idle time of models without references, and the lock that keeps an engine from being released
//! while it gets a reference. Independent of engines: the caller (`engine_release.rs`) releases them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lector_core::{Clock, ModelName};

/// The reference counts.
#[derive(Clone, Debug)]
pub(crate) struct ModelReferences(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    /// Held while engines are released: a reference taken meanwhile would find the engine loaded just before it is
    /// closed.
    release_lock: tokio::sync::Mutex<()>,
    models: Mutex<BTreeMap<ModelName, ModelUsage>>,
}

#[derive(Debug, Default)]
struct ModelUsage {
    model_references: usize,
    /// Time of the last release; `None` while there are references.
    free_since: Option<Instant>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ModelName, ModelUsage>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the models that do not stay; returns those that do, or `None` if all do.
    fn staying(
        &self,
        needed: &BTreeSet<ModelName>,
        stays: impl Fn(&ModelName, &ModelUsage) -> bool,
    ) -> Option<Vec<ModelName>> {
        let mut models = self.lock();
        let before = models.len();
        models.retain(|model, usage| stays(model, usage));
        let stay = || models.keys().chain(needed).cloned().collect::<BTreeSet<_>>();
        (models.len() < before).then(|| stay().into_iter().collect())
    }
}

/// A hold on models, which stay loaded until it is dropped.
#[derive(Debug)]
pub(crate) struct ModelReference {
    shared: Arc<Shared>,
    models: Vec<ModelName>,
}

impl Drop for ModelReference {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        let mut models = self.shared.lock();
        for model in &self.models {
            let Some(usage) = models.get_mut(model) else { continue };
            usage.model_references = usage.model_references.saturating_sub(1);
            if usage.model_references == 0 {
                usage.free_since = Some(now);
            }
        }
    }
}

impl ModelReferences {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { clock, release_lock: Default::default(), models: Mutex::default() }))
    }

    /// Takes references on models, before they are loaded. Waits while engines are released, which takes as long as
    /// their last runs.
    pub(crate) async fn reference(&self, models: Vec<ModelName>) -> ModelReference {
        let _release_lock = self.0.release_lock.lock().await;
        let mut usages = self.0.lock();
        for model in &models {
            let usage = usages.entry(model.clone()).or_default();
            usage.model_references += 1;
            usage.free_since = None;
        }
        drop(usages);
        ModelReference { shared: self.0.clone(), models }
    }

    /// Finds models that have had no references for `idle_ttl` and are not `needed`. If there are any, calls
    /// `release_idle` with the models that stay.
    pub(crate) async fn release_idle<F: Future>(
        &self,
        idle_ttl: Duration,
        needed: impl FnOnce() -> BTreeSet<ModelName>,
        release_idle: impl FnOnce(Vec<ModelName>) -> F,
    ) -> Option<F::Output> {
        let _release_lock = self.0.release_lock.lock().await;
        let now = self.0.clock.now();
        let idle = |since: Instant| now.saturating_duration_since(since) >= idle_ttl;
        let due = |usage: &ModelUsage| usage.free_since.is_some_and(idle);
        if !self.0.lock().values().any(due) {
            return None;
        }
        // Read after the counts: a deploy becomes a revision of the directory before it drops its references.
        let needed = needed();
        let stay = self.0.staying(&needed, |model, usage| !due(usage) || needed.contains(model))?;
        Some(release_idle(stay).await)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::clock::ManualClock;

    use super::*;

    fn names(names: &[&str]) -> Vec<ModelName> {
        names.iter().map(|name| ModelName::from(*name)).collect()
    }

    async fn stay(
        model_references: &ModelReferences,
        idle_ttl: Duration,
        needed: &[&str],
    ) -> Option<Vec<ModelName>> {
        let needed = names(needed).into_iter().collect();
        model_references.release_idle(idle_ttl, || needed, |stay| async { stay }).await
    }

    #[tokio::test]
    async fn a_model_is_released_after_its_last_reference_and_the_idle_ttl() {
        let clock = ManualClock::default();
        let (model_references, ttl) =
            (ModelReferences::new(Arc::new(clock.clone())), Duration::from_secs(60));
        let (first, second) = (
            model_references.reference(names(&["det", "rec"])).await,
            model_references.reference(names(&["rec"])).await,
        );
        assert_eq!(stay(&model_references, ttl, &[]).await, None, "all have references");
        drop(first);
        clock.advance(ttl - Duration::from_millis(1));
        assert_eq!(stay(&model_references, ttl, &[]).await, None, "not yet");
        clock.advance(Duration::from_millis(1));
        assert_eq!(stay(&model_references, ttl, &["det"]).await, None, "needed by another user");
        assert_eq!(stay(&model_references, ttl, &["new"]).await, Some(names(&["new", "rec"])));
        assert_eq!(stay(&model_references, ttl, &[]).await, None, "gone already");
        drop(second);
        clock.advance(ttl);
        assert_eq!(stay(&model_references, ttl, &[]).await, Some(vec![]));
    }

    #[tokio::test]
    async fn a_reference_waits_while_engines_are_released() {
        let model_references = ModelReferences::new(Arc::new(ManualClock::default()));
        drop(model_references.reference(names(&["det"])).await);
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let going = model_references.release_idle(Duration::ZERO, BTreeSet::new, |_| gone);
        let claiming = model_references.reference(names(&["det"]));
        tokio::pin!(going, claiming);
        assert!(futures::poll!(&mut going).is_pending());
        assert!(futures::poll!(&mut claiming).is_pending());
        go.send(()).unwrap();
        assert!(going.await.is_some());
        let _claim = claiming.await;
        assert_eq!(stay(&model_references, Duration::ZERO, &[]).await, None);
    }
}
