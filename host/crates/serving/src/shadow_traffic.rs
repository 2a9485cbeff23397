//! Shadow traffic: a shadow revision reads the same page again, in the background; the result is compared with the
//! answer and dropped.
//!
//! Owns the limits on that work, of each tenant and in all, and its lowest priority: a shadow reads only while a page slot
//! is free and no request waits for one, its runs go to idle engines only, and it gives up after a short wait. The work is
//! part of that of the service, and ends with it. Called by the pipeline for pages of the sample.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_control::{Held, PageCall, PermitRequest, Revision, work_of};
use lector_core::{Clock, HostMemory, KeyedLimit, Kind, TenantName, Transcript};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::page_scheduler::{PageScheduler, PageSlot};

/// Most shadow pages that wait or run at once. Each holds its document open.
const AT_ONCE_MAX: usize = 8;
/// Most of them of one tenant: the pages of one shadow that reads slowly must not keep those of other tenants out.
const TENANT_AT_ONCE_MAX: usize = 2;
/// Longest wait for a free slot.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest time for reading a page.
const READ_MAX: Duration = Duration::from_secs(60);

/// The shadow pages that wait or run.
pub(crate) struct Shadows {
    places: KeyedLimit<TenantName>,
    work: TaskTracker,
    cut_off: CancellationToken,
}

/// A page that was read, and the input for reading it again.
pub(crate) struct Sample {
    pub(crate) revision: Arc<Revision>,
    pub(crate) call: PageCall,
    /// The permits that the page needs from its tenant's limits.
    pub(crate) own: PermitRequest,
    pub(crate) index: u32,
    pub(crate) live: Arc<Held<Transcript>>,
    /// Work time of the live revision, without waits.
    pub(crate) live_worked: Duration,
}

/// Returns the limit on the shadow pages of each tenant and in all.
fn places() -> KeyedLimit<TenantName> {
    KeyedLimit::new(TENANT_AT_ONCE_MAX, AT_ONCE_MAX)
}

impl Shadows {
    /// `work` has the tasks that the service waits for at its end, and `cut_off` ends them.
    pub(crate) fn new(work: TaskTracker, cut_off: CancellationToken) -> Self {
        Self { places: places(), work, cut_off }
    }

    /// Reads the page again if there is capacity; otherwise counts it as skipped.
    pub(crate) fn read(&self, sample: Sample, page_scheduler: &PageScheduler, clock: &Arc<dyn Clock>) {
        let Some(place) = self.places.take(&sample.call.ctx.tenant) else {
            sample.revision.shadow.skipped();
            return;
        };
        let (page_scheduler, waited) = (page_scheduler.clone(), clock.sleep_until(clock.now() + WAIT_MAX));
        let (revision, cut_off) = (sample.revision.clone(), self.cut_off.clone());
        self.work.spawn(async move {
            let _place = place;
            let free = page_scheduler.wait_free(&sample.call.ctx.tenant, sample.own.clone());
            let slot = tokio::select! {
                slot = free => slot,
                () = waited => return revision.shadow.skipped(),
                () = cut_off.cancelled() => return revision.shadow.skipped(),
            };
            tokio::select! {
                () = compare(sample, &slot) => {}
                () = cut_off.cancelled() => revision.shadow.skipped(),
            }
            drop(slot);
        });
    }
}

async fn compare(sample: Sample, slot: &PageSlot) {
    let Sample { revision, mut call, own: _, index, live, live_worked } = sample;
    call.ctx.deadline = Instant::now() + READ_MAX;
    call.ctx.background = true;
    call.ctx.memory = slot.memory().cloned().map(|memory| memory as Arc<dyn HostMemory>);
    // The lease makes a drain of the revision wait for the shadow, too.
    let Ok(_lease) = revision.lease("shadow") else { return };
    let tenant = call.ctx.tenant.clone();
    let run = call.read(index).await;
    if let Some(memory) = slot.memory() {
        revision.cost_model.learn_bytes(&tenant, memory.peak());
    }
    match run.result {
        Ok(shadow) => {
            let (a, b) = (live.text(), shadow.text());
            let lines = (live.lines.len(), shadow.lines.len());
            // Compares work only: a shadow has low priority, so its waits say nothing about it.
            let took = (live_worked, work_of(&run.timing));
            revision.shadow.compared((&a, lines.0, took.0), (&b, lines.1, took.1));
        }
        // It waited for engines with the lowest priority, without success.
        Err(fault) if matches!(fault.kind, Kind::Busy | Kind::Deadline | Kind::Unavailable) => {
            revision.shadow.skipped();
        }
        Err(fault) => {
            tracing::info!(page = index + 1, revision = revision.record.number, %fault, "the shadow did not read the page");
            revision.shadow.failed();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_shadows_of_one_tenant_leave_places_to_others() {
        let places = places();
        let take = |tenant: &str| places.take(&tenant.into());
        let flood: Vec<_> = std::iter::from_fn(|| take("flood")).take(100).collect();
        assert_eq!(flood.len(), TENANT_AT_ONCE_MAX);
        let other = take("other").unwrap();
        let all: Vec<_> = (0..100).filter_map(|tenant| take(&format!("t{tenant}"))).collect();
        assert_eq!(flood.len() + 1 + all.len(), AT_ONCE_MAX);
        drop(flood);
        assert!(take("flood").is_some());
        drop((other, all));
        assert!(places.is_empty(), "a tenant without shadow pages is forgotten");
    }
}
