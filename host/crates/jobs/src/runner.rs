//! The runner: claims documents of jobs, and reads some of their pages at a time.
//!
//! A **turn** is the work on one claim: at most `pages_per_turn` pages of one document. The next turn may belong to
//! another job, so a long job delays no other one by more than a turn. Pages are stored as they come. A turn that ends
//! early loses only the pages in progress.
//!
//! A turn has no more pages than are left of the tenant's daily quota, so a document with more pages than the quota is read
//! over several days; a job without a page left waits, and its document is not opened.
//!
//! Faults of a page that another attempt may not have (a crash of the server, no capacity, a deadline) are not stored.
//! Attempts are counted by the store before the work begins, so that a document that ends the process is counted, too.
//! After two attempts without a new page a turn has one page, which isolates the page that causes them. After
//! `attempts_max` of them that page, or a document that cannot be opened, gets the last fault as its result.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use lector_control::store::StoreError;
use lector_control::store::jobs::{Claim, ClaimQuery, ClaimRef, Release};
use lector_core::{Fault, Kind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::codes;
use crate::faults;
use crate::reading::{Reading, Stop, Turn};
use crate::service::Jobs;

/// Wait after an error of the store.
const STORE_WAIT: Duration = Duration::from_secs(1);
/// Wait after a full disk.
const FULL_WAIT: Duration = Duration::from_secs(30);
/// Longest wait between two attempts, and the first one.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// Longest wait for pages of the daily quota: the tenant may get a larger one before the day is over.
const QUOTA_WAIT_MAX: Duration = Duration::from_secs(600);
/// First wait after pages that found a part of the server busy, so that the attempts last longer than a rush.
const BUSY_PAGES_MIN: Duration = Duration::from_secs(4);

/// Returns whether an attempt that ended with the fault counts. No capacity for the document is no attempt; it is one for
/// pages that were begun, because a guest may answer so each time.
fn counts(fault: &Fault, begun: bool) -> bool {
    (begun || fault.kind != Kind::Busy) && !matches!(fault.code, "shutting_down" | "storage_full")
}

impl Jobs {
    /// Claims and works until the stop.
    pub(crate) async fn run(self: Arc<Self>) {
        let turns = Arc::new(Semaphore::new(self.config().running_max));
        loop {
            let turn = tokio::select! {
                () = self.stopped() => return,
                turn = turns.clone().acquire_owned() => turn,
            };
            // The semaphore is never closed.
            let Ok(turn) = turn else { return };
            match self.claim().await {
                Ok(Some(claim)) => {
                    self.tasks.spawn(self.clone().turn(claim, turn));
                }
                Ok(None) => {
                    drop(turn);
                    self.wait_for_work().await;
                }
                Err(error) => {
                    tracing::error!(%error, "the queue of jobs cannot be read");
                    drop(turn);
                    self.pause(STORE_WAIT).await;
                }
            }
        }
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = self.stopped() => {}
            () = self.sleep(time) => {}
        }
    }

    async fn claim(&self) -> Result<Option<Claim>, StoreError> {
        let claims_now_ms = self.claims_now_ms();
        let query = ClaimQuery {
            token: format!("{}-{}", self.process, self.claims.fetch_add(1, Relaxed)),
            now_ms: self.clock.now_ms(),
            claims_now_ms,
            until_ms: claims_now_ms.saturating_add(self.lease_ms()),
            tenant_claims_max: self.config().tenant_running_max,
        };
        self.store().claim(query).await
    }

    fn lease_ms(&self) -> u64 {
        u64::try_from(self.config().lease.as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits until a job may be ready.
    async fn wait_for_work(&self) {
        let wait = match self.store().next_due().await {
            Ok(due) => {
                let now_ms = self.clock.now_ms();
                // Due now and not claimed: the tenant has its limit of claims, whose ends notify.
                due.map_or(BACKOFF_MAX, |at| Duration::from_millis(at.saturating_sub(now_ms)))
                    .clamp(BACKOFF_MIN, BACKOFF_MAX)
            }
            Err(_) => STORE_WAIT,
        };
        tokio::select! {
            () = self.stopped() => {}
            () = self.ready.notified() => {}
            () = self.sleep(wait) => {}
        }
    }

    /// Works on a claim, and ends it.
    async fn turn(self: Arc<Self>, claim: Claim, _turn: OwnedSemaphorePermit) {
        let identity = claim.identity();
        let canceled = self.turn_begins(&identity);
        let turn = tokio::select! {
            () = self.stopped() => Turn::again(stopping()),
            () = canceled.cancelled() => Turn::Lost,
            () = self.renew(&identity) => Turn::Lost,
            turn = self.read(&claim) => match turn {
                Ok(turn) => turn,
                Err(Stop::Fault(fault)) => Turn::again(fault),
                Err(Stop::Store(StoreError::Conflict { .. })) => Turn::Lost,
                Err(Stop::Store(error)) => Turn::again(faults::stored(error)),
            },
        };
        self.turn_ends(&identity);
        let ended = matches!(turn, Turn::Ended);
        let attempts =
            claim.job.documents.iter().find(|of| of.number == claim.document).map_or(0, |of| of.attempts);
        let now_ms = self.clock.now_ms();
        let release = match turn {
            Turn::Lost => None,
            Turn::Ended | Turn::More => Some(Release { not_before_ms: 0, attempted: false, fault: None }),
            Turn::Again { fault, begun } => {
                let wait = wait_after(&fault, attempts, begun);
                tracing::info!(job = %identity.job, document = identity.document, attempts, %fault, wait_ms = wait.as_millis() as u64, "job attempt ended");
                let not_before_ms = now_ms.saturating_add(wait.as_millis() as u64);
                let (attempted, fault) = (counts(&fault, begun), Some(codes::to_json(&fault)));
                Some(Release { not_before_ms, attempted, fault })
            }
        };
        if let Some(release) = release {
            match self.store().release(identity.clone(), release).await {
                // The last document ended the job and the claim.
                Ok(()) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => tracing::error!(job = %identity.job, %error, "a claim ends only with its time"),
            }
        }
        if ended {
            self.has_ended(&identity.job);
        } else {
            self.has_changed(&identity.job);
        }
        self.ready.notify_one();
    }

    /// Renews the claim until it is lost.
    async fn renew(&self, claim: &ClaimRef) {
        loop {
            self.sleep(self.config().lease / 3).await;
            let until_ms = self.claims_now_ms().saturating_add(self.lease_ms());
            match self.store().renew(claim.job.clone(), claim.token.clone(), until_ms).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(job = %claim.job, %error, "a claim was not renewed"),
            }
        }
    }

    async fn read(&self, claim: &Claim) -> Result<Turn, Stop> {
        let reading = Reading { jobs: self, claim, identity: claim.identity() };
        reading.run().await
    }
}

fn stopping() -> Fault {
    Fault::new(Kind::Unavailable, "shutting_down", "The server stopped while it read the document.")
}

/// Returns the time before the next attempt: that of the fault, and longer after each attempt that counts.
fn wait_after(fault: &Fault, attempts: u32, begun: bool) -> Duration {
    let named = fault.retry_after.unwrap_or_default();
    match fault.code {
        "storage_full" => return FULL_WAIT,
        "quota_exceeded" => return named.clamp(BACKOFF_MIN, QUOTA_WAIT_MAX),
        _ => {}
    }
    let first = if begun && fault.kind == Kind::Busy { BUSY_PAGES_MIN } else { BACKOFF_MIN };
    let doubled = first.saturating_mul(1 << attempts.saturating_sub(1).min(6));
    let wait = if counts(fault, begun) { named.max(doubled) } else { fault.retry_after.unwrap_or(doubled) };
    wait.clamp(BACKOFF_MIN, BACKOFF_MAX)
}
