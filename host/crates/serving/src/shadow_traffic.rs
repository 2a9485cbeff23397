//! A candidate reads along: the same page again, in the background, compared with the answer and thrown away.
//!
//! Owns the bound on that work and its place behind everything else: a shadow reads only while a place for pages is free
//! that nobody waits for, its runs go to engines that have nothing else to do, and it gives up soon. Called by the
//! pipeline for pages of the sample.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_control::{Held, PageCall, PermitRequest, Revision, work_of};
use lector_core::{Kind, Transcript};
use tokio::sync::Semaphore;

use crate::page_scheduler::PageScheduler;

/// Shadow pages that wait or run at once. Each holds its document open.
const AT_ONCE_MAX: usize = 4;
/// Longest wait for a free place.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// So often it looks for one.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Longest reading.
const READ_MAX: Duration = Duration::from_secs(60);

/// The places for shadows.
#[derive(Debug)]
pub(crate) struct Shadows(Arc<Semaphore>);

impl Default for Shadows {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE_MAX)))
    }
}

/// A page that was answered, and what it takes to read it again.
pub(crate) struct Sample {
    pub(crate) revision: Arc<Revision>,
    pub(crate) call: PageCall,
    /// What the page takes of its tenant's bounds.
    pub(crate) own: PermitRequest,
    pub(crate) index: u32,
    pub(crate) live: Arc<Held<Transcript>>,
    /// What reading it took, without waits.
    pub(crate) live_worked: Duration,
}

impl Shadows {
    /// Reads the page again when there is room; says so in the revision's figures when there is not.
    pub(crate) fn read(&self, sample: Sample, page_scheduler: &PageScheduler) {
        let Ok(place) = self.0.clone().try_acquire_owned() else {
            sample.revision.shadow.skipped();
            return;
        };
        let page_scheduler = page_scheduler.clone();
        tokio::spawn(async move {
            let _place = place;
            let until = Instant::now() + WAIT_MAX;
            let turn = loop {
                if let Some(turn) = page_scheduler.free(&sample.call.ctx.tenant, sample.own.clone()) {
                    break turn;
                }
                if Instant::now() >= until {
                    sample.revision.shadow.skipped();
                    return;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            };
            compare(sample).await;
            drop(turn);
        });
    }
}

async fn compare(sample: Sample) {
    let Sample { revision, mut call, own: _, index, live, live_worked } = sample;
    call.ctx.deadline = Instant::now() + READ_MAX;
    call.ctx.background = true;
    // A shadow is work like any other to those who wait for the revision to be free.
    let Ok(_lease) = revision.lease("shadow") else { return };
    let run = call.read(index).await;
    match run.result {
        Ok(shadow) => {
            let (a, b) = (live.text(), shadow.text());
            let lines = (live.lines.len(), shadow.lines.len());
            // Work alone: a shadow waits more than whoever is waited for, which says nothing about it.
            let took = (live_worked, work_of(&run.timing));
            revision.shadow.compared((&a, lines.0, took.0), (&b, lines.1, took.1));
        }
        // It waited for the engines behind everybody else, and in vain.
        Err(fault) if matches!(fault.kind, Kind::Busy | Kind::Deadline | Kind::Unavailable) => {
            revision.shadow.skipped();
        }
        Err(fault) => {
            tracing::info!(page = index + 1, revision = revision.record.number, %fault, "the shadow did not read the page");
            revision.shadow.failed();
        }
    }
}
