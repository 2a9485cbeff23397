//! The readiness check: reads the smoke-test page through the whole path (render worker, guest, engines) of each shared
//! deployment. Tenants' own deployments read it when they are deployed.
//!
//! The server is ready if at least one shared deployment reads the page: an orchestrator takes a server that is not
//! ready out of service, and one broken deployment must not do that to the others. The report names the broken ones.
//!
//! Owns the last answer, kept for a time, and the check in progress. Callers of `/readyz` need no key, so they must not
//! be able to cause work: there is at most one check at a time, it continues without the client that began it, and the
//! next one begins after a pause that depends on its duration. Called by `/readyz` and at the start of `serve`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, join_all};
use lector_control::{Lease, PageCall, SMOKE_TEST_PNG, SMOKE_TEST_WORD, Tenant};
use lector_core::port::DocumentHint;
use lector_core::{DeploymentName, Fault, Kind, OpenDocument, PageRequest, RequestId};
use tokio_util::task::AbortOnDropHandle;

use crate::faults::{deadline_exceeded, shutting_down};
use crate::plane::DataPlane;

/// Pause after a check in which all pages were read: with three deployments, checks take about 4 % of a core.
const PAUSE_READY: Duration = Duration::from_secs(10);
/// Pause after a check with a failure: a server that recovers is soon ready again.
const PAUSE_FAILED: Duration = Duration::from_secs(2);
/// A pause is at least this multiple of the duration of the check, so that slow checks take a bounded part of the time.
const PAUSE_PER_CHECK: u32 = 4;
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A busy server may be slow to answer the check; a page that it read this recently is an equivalent answer.
const RECENT_PAGE: Duration = Duration::from_secs(5);

/// The report of a successful check.
#[derive(Clone, Debug)]
pub struct ReadinessReport {
    /// Duration of the whole check.
    pub took: Duration,
    /// One entry for each deployment that read the page.
    pub deployments: Vec<CheckedDeployment>,
    /// The deployments that did not, each with its fault.
    pub failed: Vec<(DeploymentName, Fault)>,
    /// Set if the check failed for lack of capacity, and a recently read page replaced it.
    pub from_recent_page: bool,
}

/// The result of one deployment.
#[derive(Clone, Debug)]
pub struct CheckedDeployment {
    /// Its name.
    pub name: DeploymentName,
    /// Duration of its smoke-test page.
    pub took: Duration,
    /// Whether it found the word on the page. A special-purpose pipeline need not find it.
    pub word_found: bool,
}

type Answer = Result<ReadinessReport, Fault>;

/// The check that ended last.
struct LastCheck {
    /// The end of the pause after it.
    until: Instant,
    answer: Answer,
    /// Number of the deployments that did not read the page.
    failed: usize,
}

#[derive(Default)]
struct State {
    last: Option<LastCheck>,
    /// The check in progress.
    running: Option<Shared<BoxFuture<'static, Answer>>>,
}

/// The last answer, and the check in progress.
#[derive(Default)]
pub(crate) struct ReadinessCheck {
    state: Arc<Mutex<State>>,
}

impl ReadinessCheck {
    /// Returns the last answer during the pause after it, else the answer of the check in progress, or of a new one.
    pub(crate) async fn answer(&self, plane: &Arc<DataPlane>, deadline: Duration) -> Answer {
        if plane.is_draining() {
            return Err(shutting_down());
        }
        let check = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match &*state {
                State { last: Some(last), .. } if plane.control.clock().now() < last.until => {
                    return last.answer.clone();
                }
                State { running: Some(check), .. } => check.clone(),
                _ => {
                    let check = begin(self.state.clone(), plane.clone(), deadline);
                    state.running = Some(check.clone());
                    check
                }
            }
        };
        let late = |_| deadline_exceeded("while another readiness check ran");
        // Longer than the check itself, which ends at the deadline.
        tokio::time::timeout(deadline + Duration::from_secs(1), check).await.map_err(late)?
    }
}

impl ReadinessCheck {
    /// Returns the number of deployments that failed in the last check.
    pub(crate) fn failed(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last.as_ref().map_or(0, |last| last.failed)
    }
}

/// Begins a check, in a task of its own: it does not end with the client that asked for it.
fn begin(
    state: Arc<Mutex<State>>,
    plane: Arc<DataPlane>,
    deadline: Duration,
) -> Shared<BoxFuture<'static, Answer>> {
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        let started = Instant::now();
        let until = started + deadline;
        let answer = match tokio::time::timeout_at(until.into(), probe(&plane, until)).await {
            Ok(answer) => answer,
            Err(_) => Err(deadline_exceeded("before the smoke-test page was read")),
        };
        let answer = answer.or_else(|fault| recent_page_instead(&plane, fault));
        let pause = pause(started.elapsed(), answer.as_ref().is_ok_and(|report| report.failed.is_empty()));
        let failed = match &answer {
            Ok(report) => report.failed.len(),
            // Without a report, none read the page.
            Err(_) => plane.control.shared_deployments_count(),
        };
        let until = plane.control.clock().now() + pause;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { last: Some(LastCheck { until, answer: answer.clone(), failed }), running: None };
        answer
    }));
    let panicked = |error| {
        Fault::new(Kind::Bug, "internal", "The readiness check failed inside the server; report it.")
            .with_detail(error)
    };
    async move { task.await.map_err(panicked)? }.boxed().shared()
}

fn pause(took: Duration, ok: bool) -> Duration {
    let least = if ok { PAUSE_READY } else { PAUSE_FAILED };
    (took * PAUSE_PER_CHECK).clamp(least, PAUSE_MAX)
}

async fn probe(plane: &DataPlane, until: Instant) -> Answer {
    let started = Instant::now();
    let hint = DocumentHint { content_type: Some("image/png".to_owned()), password: None };
    let (host, shared) = plane.control.shared_deployments("probe")?;
    let document = plane.documents.open(host.account(), Arc::new(SMOKE_TEST_PNG.to_vec()), hint).await?;
    let read = shared.into_iter().map(async |(name, lease)| match lease {
        Ok(lease) => read_page(&host, &document, &lease, until).await.map_err(|fault| (name, fault)),
        Err(fault) => Err((name, fault)),
    });
    // All at once: a deployment that hangs takes no time from the others.
    let (mut deployments, mut failed) = (Vec::new(), Vec::new());
    for read in join_all(read).await {
        match read {
            Ok(checked) => deployments.push(checked),
            Err(failure) => failed.push(failure),
        }
    }
    match failed.first() {
        Some((_, fault)) if deployments.is_empty() => Err(fault.clone()),
        _ => Ok(ReadinessReport { took: started.elapsed(), deployments, failed, from_recent_page: false }),
    }
}

async fn read_page(
    host: &Tenant,
    document: &Arc<dyn OpenDocument>,
    lease: &Lease,
    until: Instant,
) -> Result<CheckedDeployment, Fault> {
    let (name, revision) = (lease.deployment(), lease.revision());
    let call = PageCall {
        document: document.clone(),
        pipeline: revision.pipeline.clone(),
        ctx: revision.ctx(host, RequestId::from("probe"), until),
        options: PageRequest { page_count: 1, ..PageRequest::default() },
    };
    // The check takes no page slot: it must answer on an overloaded server, too.
    let begun = Instant::now();
    let late = |_| deadline_exceeded("before the smoke-test page was read");
    let result = tokio::time::timeout_at(until.into(), call.read(0)).await.map_err(late);
    let transcript = result.and_then(|run| run.result).map_err(|mut fault| {
        fault.message = format!("Deployment `{name}` did not read the smoke-test page: {}", fault.message);
        fault
    })?;
    let word_found = transcript.text().to_lowercase().contains(SMOKE_TEST_WORD);
    Ok(CheckedDeployment { name: name.clone(), took: begun.elapsed(), word_found })
}

/// Replaces a check that failed for lack of capacity or time with a recently read page, if there is one.
fn recent_page_instead(plane: &DataPlane, fault: Fault) -> Result<ReadinessReport, Fault> {
    let full = matches!(fault.kind, Kind::Busy | Kind::Deadline);
    match plane.admission.counters.last_page_ok() {
        Some(at) if full && at.elapsed() < RECENT_PAGE => Ok(ReadinessReport {
            took: Duration::ZERO,
            deployments: Vec::new(),
            failed: Vec::new(),
            from_recent_page: true,
        }),
        _ => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_take_a_bounded_part_of_the_time() {
        let s = Duration::from_secs;
        assert_eq!(pause(Duration::from_millis(400), true), s(10));
        assert_eq!(pause(s(5), true), s(20));
        assert_eq!(pause(Duration::from_millis(10), false), s(2));
        assert_eq!(pause(s(30), false), s(30));
    }
}
