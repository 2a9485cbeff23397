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
pub(crate) struct Claims(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Held while engines are let go: who claimed one meanwhile would find it loaded, and gone a moment later.
    turn: tokio::sync::Mutex<()>,
    models: Mutex<BTreeMap<ModelName, Standing>>,
}

#[derive(Debug, Default)]
struct Standing {
    claims: usize,
    /// Since when there is none.
    free_since: Option<Instant>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ModelName, Standing>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Strikes off what does not stay; all models that do, or nothing where all do.
    fn staying(
        &self,
        needed: &BTreeSet<ModelName>,
        stays: impl Fn(&ModelName, &Standing) -> bool,
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
pub(crate) struct Claim {
    shared: Arc<Shared>,
    models: Vec<ModelName>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut models = self.shared.lock();
        for model in &self.models {
            let Some(standing) = models.get_mut(model) else { continue };
            standing.claims = standing.claims.saturating_sub(1);
            if standing.claims == 0 {
                standing.free_since = Some(Instant::now());
            }
        }
    }
}

impl Claims {
    /// Claims models, before they are loaded. Waits while engines are being let go, which takes as long as their last runs.
    pub(crate) async fn claim(&self, models: Vec<ModelName>) -> Claim {
        let _turn = self.0.turn.lock().await;
        let mut standings = self.0.lock();
        for model in &models {
            let standing = standings.entry(model.clone()).or_default();
            standing.claims += 1;
            standing.free_since = None;
        }
        drop(standings);
        Claim { shared: self.0.clone(), models }
    }

    /// Models that nobody has claimed for `linger` and that are none of `needed`: `let_go` is called with those that stay,
    /// if any is to go at all.
    pub(crate) async fn let_go<F: Future>(
        &self,
        linger: Duration,
        needed: impl FnOnce() -> BTreeSet<ModelName>,
        let_go: impl FnOnce(Vec<ModelName>) -> F,
    ) -> Option<F::Output> {
        let _turn = self.0.turn.lock().await;
        let due = |standing: &Standing| standing.free_since.is_some_and(|since| since.elapsed() >= linger);
        if !self.0.lock().values().any(due) {
            return None;
        }
        // After the claims: a deploy becomes a revision of the directory before it gives up its claim.
        let needed = needed();
        let stay = self.0.staying(&needed, |model, standing| !due(standing) || needed.contains(model))?;
        Some(let_go(stay).await)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn names(names: &[&str]) -> Vec<ModelName> {
        names.iter().map(|name| ModelName::from(*name)).collect()
    }

    async fn stay(claims: &Claims, linger: Duration, needed: &[&str]) -> Option<Vec<ModelName>> {
        let needed = names(needed).into_iter().collect();
        claims.let_go(linger, || needed, |stay| async { stay }).await
    }

    #[tokio::test]
    async fn a_model_goes_with_its_last_claim_and_after_a_while() {
        let (claims, now) = (Claims::default(), Duration::ZERO);
        let (first, second) =
            (claims.claim(names(&["det", "rec"])).await, claims.claim(names(&["rec"])).await);
        assert_eq!(stay(&claims, now, &[]).await, None, "all are claimed");
        drop(first);
        assert_eq!(stay(&claims, Duration::from_secs(60), &[]).await, None, "not yet");
        assert_eq!(stay(&claims, now, &["det"]).await, None, "needed by somebody else");
        assert_eq!(stay(&claims, now, &["new"]).await, Some(names(&["new", "rec"])));
        assert_eq!(stay(&claims, now, &[]).await, None, "gone already");
        drop(second);
        assert_eq!(stay(&claims, now, &[]).await, Some(vec![]));
    }

    #[tokio::test]
    async fn who_claims_while_engines_go_waits_for_it() {
        let claims = Claims::default();
        drop(claims.claim(names(&["det"])).await);
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let going = claims.let_go(Duration::ZERO, BTreeSet::new, |_| gone);
        let claiming = claims.claim(names(&["det"]));
        tokio::pin!(going, claiming);
        assert!(futures::poll!(&mut going).is_pending());
        assert!(futures::poll!(&mut claiming).is_pending());
        go.send(()).unwrap();
        assert!(going.await.is_some());
        let _claim = claiming.await;
        assert_eq!(stay(&claims, Duration::ZERO, &[]).await, None);
    }
}
