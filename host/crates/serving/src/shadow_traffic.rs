//! Shadow traffic: a shadow revision reads the same page again, in the background; the result is compared with the
//! answer and dropped.
//!
//! Owns the limit on that work and its lowest priority: a shadow reads only while a page slot is free and no request
//! waits for one, its runs go to idle engines only, and it gives up after a short wait. Called by the pipeline for
//! pages of the sample.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_control::{Held, PageCall, PermitRequest, Revision, work_of};
use lector_core::{Clock, HostMemory, Kind, Transcript};
use tokio::sync::Semaphore;

use crate::page_scheduler::{PageScheduler, PageSlot};

/// Most shadow pages that wait or run at once. Each holds its document open.
const AT_ONCE_MAX: usize = 4;
/// Longest wait for a free slot.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest time for reading a page.
const READ_MAX: Duration = Duration::from_secs(60);

/// The permits for shadow pages.
#[derive(Debug)]
pub(crate) struct Shadows(Arc<Semaphore>);

impl Default for Shadows {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE_MAX)))
    }
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

impl Shadows {
    /// Reads the page again if there is capacity; otherwise counts it as skipped.
    pub(crate) fn read(&self, sample: Sample, page_scheduler: &PageScheduler, clock: &Arc<dyn Clock>) {
        let Ok(place) = self.0.clone().try_acquire_owned() else {
            sample.revision.shadow.skipped();
            return;
        };
        let (page_scheduler, waited) = (page_scheduler.clone(), clock.sleep_until(clock.now() + WAIT_MAX));
        tokio::spawn(async move {
            let _place = place;
            let free = page_scheduler.wait_free(&sample.call.ctx.tenant, sample.own.clone());
            let slot = tokio::select! {
                slot = free => slot,
                () = waited => {
                    sample.revision.shadow.skipped();
                    return;
                }
            };
            compare(sample, &slot).await;
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
