//! The cost model of a revision: predicts the cost of a page before the page begins and while it is read.
//!
//! Predicts the bytes that a page holds in the host, too.
//!
//! Owns a mean for each tenant (tenants that share a revision may send different documents: letters or posters), and
//! the fit of [`lector_core::cost`] over the pages of all tenants. Called by the pipeline.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lector_core::TenantName;
use lector_core::cost::{Mean, PageCosts, PageSize};

/// Predicted costs of a page, in milliseconds; `None` where there was no prediction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prediction {
    /// Before the page began.
    pub nothing: Option<f64>,
    /// From its pixels.
    pub pixels: Option<f64>,
    /// From its pixels and crops.
    pub crops: Option<f64>,
}

/// Most tenants with a mean; beyond it the tenant with the oldest last page is forgotten.
const TENANTS_MAX: usize = 256;
/// Margin on the largest page so far: a page that needs more than is expected must take it from the other pages.
const BYTES_MARGIN: f64 = 1.25;
/// Forgetting factor of the largest page: after a page of twice the size, 35 usual ones.
const BYTES_FORGET: f64 = 0.98;

/// Predicts costs in milliseconds of work.
#[derive(Debug, Default)]
pub struct CostModel(Mutex<Learned>);

#[derive(Debug, Default)]
struct Learned {
    mean: Mean,
    of_tenants: BTreeMap<TenantName, OfTenant>,
    costs: PageCosts,
    pages: u64,
}

#[derive(Debug, Default)]
struct OfTenant {
    mean: Mean,
    /// Most bytes that a page held in the host, decreasing with each smaller page; 0 before the first one.
    bytes: f64,
    /// Sequence number of its last page.
    last: u64,
}

impl CostModel {
    fn lock(&self) -> MutexGuard<'_, Learned> {
        // A panic cannot leave these numbers inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Predicts the cost of a page of unknown size; `None` before the first page of any tenant.
    pub fn unseen(&self, tenant: &TenantName) -> Option<f64> {
        self.lock().unseen(tenant)
    }

    /// Predicts the cost of a page from the known part of its size; `None` if that is not enough. Crops are counted one
    /// by one: until all are known, the result is at least the prediction from the pixels.
    pub fn seen(&self, size: PageSize) -> Option<f64> {
        let learned = self.lock();
        let by_pixels = learned.costs.by_pixels(size.pixels)?;
        let by_crops = learned.costs.by_crops(size)?;
        Some(if size.crops == 0 { by_pixels } else { by_pixels.max(by_crops) })
    }

    /// Adds a page that was read; returns the earlier predictions of its cost.
    pub fn learn(&self, tenant: &TenantName, size: PageSize, ms: f64) -> Prediction {
        let mut learned = self.lock();
        let prediction = Prediction {
            nothing: learned.unseen(tenant),
            pixels: learned.costs.by_pixels(size.pixels),
            crops: learned.costs.by_crops(size),
        };
        learned.mean.learn(ms);
        learned.costs.learn(size, ms);
        learned.pages += 1;
        learned.of(tenant).mean.learn(ms);
        prediction
    }

    /// Predicts the bytes of pixels and tensors that a page of the tenant holds at once; `None` before its first page.
    pub fn bytes(&self, tenant: &TenantName) -> Option<u64> {
        let largest = self.lock().of_tenants.get(tenant)?.bytes;
        (largest > 0.0).then_some((largest * BYTES_MARGIN) as u64)
    }

    /// Adds the most bytes that a page held at once.
    pub fn learn_bytes(&self, tenant: &TenantName, bytes: u64) {
        let mut learned = self.lock();
        let of = learned.of(tenant);
        of.bytes = (of.bytes * BYTES_FORGET).max(bytes as f64);
    }
}

impl Learned {
    fn unseen(&self, tenant: &TenantName) -> Option<f64> {
        self.of_tenants.get(tenant).and_then(|of| of.mean.value()).or(self.mean.value())
    }

    /// Returns the entry of a tenant that has read a page now.
    fn of(&mut self, tenant: &TenantName) -> &mut OfTenant {
        let last = self.pages;
        let of_tenants = &mut self.of_tenants;
        if of_tenants.len() >= TENANTS_MAX && !of_tenants.contains_key(tenant) {
            let oldest = of_tenants.iter().min_by_key(|(_, of)| of.last).map(|(name, _)| name.clone());
            oldest.and_then(|name| of_tenants.remove(&name));
        }
        let of = of_tenants.entry(tenant.clone()).or_default();
        of.last = last;
        of
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const LETTER: PageSize = PageSize { pixels: 2_000_000, crops: 800_000 };
    const POSTER: PageSize = PageSize { pixels: 20_000_000, crops: 8_000_000 };

    #[test]
    fn each_tenant_has_its_own_mean_and_newcomers_that_of_all() {
        let (cost_model, letters, posters) = (CostModel::default(), "letters".into(), "posters".into());
        assert_eq!(cost_model.unseen(&letters), None);
        for _ in 0..50 {
            cost_model.learn(&letters, LETTER, 400.0);
            cost_model.learn(&posters, POSTER, 4000.0);
        }
        assert_eq!(cost_model.unseen(&letters), Some(400.0));
        assert_eq!(cost_model.unseen(&posters), Some(4000.0));
        let all = cost_model.unseen(&"new".into()).unwrap();
        assert!((400.0..4000.0).contains(&all), "{all}");
    }

    #[test]
    fn the_bytes_of_a_page_are_those_of_the_largest_lately() {
        let (cost_model, tenant) = (CostModel::default(), "t".into());
        assert_eq!(cost_model.bytes(&tenant), None);
        cost_model.learn_bytes(&tenant, 400);
        cost_model.learn_bytes(&tenant, 100);
        assert_eq!(cost_model.bytes(&tenant), Some(490));
        assert_eq!(
            cost_model.bytes(&"other".into()),
            None,
            "no other tenant's pages say how large its pages are"
        );
        (0..200).for_each(|_| cost_model.learn_bytes(&tenant, 100));
        assert_eq!(cost_model.bytes(&tenant), Some(125));
    }

    #[test]
    fn predictions_improve_with_the_known_size() {
        let cost_model = CostModel::default();
        assert_eq!(cost_model.seen(LETTER), None);
        let tenant = "t".into();
        for _ in 0..20 {
            cost_model.learn(&tenant, LETTER, 400.0);
            cost_model.learn(&tenant, POSTER, 4000.0);
        }
        let near = |size, expect: f64| {
            let is = cost_model.seen(size).unwrap();
            assert!((is / expect - 1.0).abs() < 0.05, "{size:?}: {is}, not {expect}");
        };
        near(PageSize { crops: 0, ..LETTER }, 400.0);
        near(PageSize { crops: 0, ..POSTER }, 4000.0);
        near(PageSize { crops: 160_000, ..POSTER }, 4000.0);
        near(POSTER, 4000.0);
        let prediction = cost_model.learn(&tenant, POSTER, 4000.0);
        assert!(
            (prediction.crops.unwrap() - 4000.0).abs() < 200.0 && prediction.nothing.unwrap() < 3000.0,
            "{prediction:?}"
        );
    }

    #[test]
    fn tenants_that_are_remembered_are_bounded() {
        let cost_model = CostModel::default();
        for n in 0..2 * TENANTS_MAX {
            cost_model.learn(&format!("t{n}").as_str().into(), LETTER, n as f64);
        }
        let learned = cost_model.lock();
        assert_eq!(learned.of_tenants.len(), TENANTS_MAX);
        assert!(learned.of_tenants.contains_key(&format!("t{}", 2 * TENANTS_MAX - 1).as_str().into()));
    }
}
