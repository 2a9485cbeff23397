//! Which models somebody needs: every revision in memory and every deploy under way holds a claim on its own.
//!
//! Owns the count, how long a model that nobody claims stays loaded, and the order that keeps an engine from being let go
//! while somebody takes it up. Knows no engine: letting go is the caller's (`rounds.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lector_core::ModelName;

/// The count.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelReferences(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Held while engines are let go: who claimed one meanwhile would find it loaded, and gone a moment later.
    turn: tokio::sync::Mutex<()>,
    models: Mutex<BTreeMap<ModelName, ModelUsage>>,
}

#[derive(Debug, Default)]
struct ModelUsage {
    model_references: usize,
    /// Since when there is none.
    free_since: Option<Instant>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ModelName, ModelUsage>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Strikes off what does not stay; all models that do, or nothing where all do.
    fn staying(
        &self,
        needed: &BTreeSet<ModelName>,
        stays: impl Fn(&ModelName, &ModelUsage) -> bool,
    ) -> Option<Vec<ModelName>> {
        let mut models = self.lock();
        let before = models.len();
        models.retain(|model, standing| stays(model, standing));
        let stay = || models.keys().chain(needed).cloned().collect::<BTreeSet<_>>();
        (models.len() < before).then(|| stay().into_iter().collect())
    }
}

/// While it is held its models stay loaded.
#[derive(Debug)]
pub(crate) struct ModelReference {
    shared: Arc<Shared>,
    models: Vec<ModelName>,
}

impl Drop for ModelReference {
    fn drop(&mut self) {
        let mut models = self.shared.lock();
        for model in &self.models {
            let Some(standing) = models.get_mut(model) else { continue };
            standing.model_references = standing.model_references.saturating_sub(1);
            if standing.model_references == 0 {
                standing.free_since = Some(Instant::now());
            }
        }
    }
}

impl ModelReferences {
    /// Claims models, before they are loaded. Waits while engines are being let go, which takes as long as their last runs.
    pub(crate) async fn reference(&self, models: Vec<ModelName>) -> ModelReference {
        let _turn = self.0.turn.lock().await;
        let mut standings = self.0.lock();
        for model in &models {
            let standing = standings.entry(model.clone()).or_default();
            standing.model_references += 1;
            standing.free_since = None;
        }
        drop(standings);
        ModelReference { shared: self.0.clone(), models }
    }

    /// Models that nobody has claimed for `idle_ttl` and that are none of `needed`: `release_idle` is called with those that stay,
    /// if any is to go at all.
    pub(crate) async fn release_idle<F: Future>(
        &self,
        idle_ttl: Duration,
        needed: impl FnOnce() -> BTreeSet<ModelName>,
        release_idle: impl FnOnce(Vec<ModelName>) -> F,
    ) -> Option<F::Output> {
        let _turn = self.0.turn.lock().await;
        let due =
            |standing: &ModelUsage| standing.free_since.is_some_and(|since| since.elapsed() >= idle_ttl);
        if !self.0.lock().values().any(due) {
            return None;
        }
        // After the claims: a deploy becomes a revision of the directory before it gives up its claim.
        let needed = needed();
        let stay = self.0.staying(&needed, |model, standing| !due(standing) || needed.contains(model))?;
        Some(release_idle(stay).await)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
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
    async fn a_model_goes_with_its_last_claim_and_after_a_while() {
        let (model_references, now) = (ModelReferences::default(), Duration::ZERO);
        let (first, second) = (
            model_references.reference(names(&["det", "rec"])).await,
            model_references.reference(names(&["rec"])).await,
        );
        assert_eq!(stay(&model_references, now, &[]).await, None, "all are claimed");
        drop(first);
        assert_eq!(stay(&model_references, Duration::from_secs(60), &[]).await, None, "not yet");
        assert_eq!(stay(&model_references, now, &["det"]).await, None, "needed by somebody else");
        assert_eq!(stay(&model_references, now, &["new"]).await, Some(names(&["new", "rec"])));
        assert_eq!(stay(&model_references, now, &[]).await, None, "gone already");
        drop(second);
        assert_eq!(stay(&model_references, now, &[]).await, Some(vec![]));
    }

    #[tokio::test]
    async fn who_claims_while_engines_go_waits_for_it() {
        let model_references = ModelReferences::default();
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
