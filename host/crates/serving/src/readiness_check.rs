//! The readiness check: reads the smoke-test page through the whole path (render worker, guest, engines) of each shared
//! deployment. Tenants' own deployments read it when they are deployed.
//!
//! Owns the last answer, kept for a short time. Called by `/readyz` and at the start of `serve`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_control::{PageCall, SMOKE_TEST_PNG, SMOKE_TEST_WORD, is_quarantine};
use lector_core::port::DocumentHint;
use lector_core::{DeploymentName, Fault, Kind, PageRequest, RequestId};
use tokio::sync::Mutex;

use crate::faults::{deadline_exceeded, shutting_down};
use crate::plane::DataPlane;

/// How long an answer is valid: checks cause at most one page a second per deployment.
const KEPT: Duration = Duration::from_secs(1);
/// A busy server may be slow to answer the check; a page that it read this recently is an equivalent answer.
const RECENT_PAGE: Duration = Duration::from_secs(5);

/// The report of a successful check.
#[derive(Clone, Debug)]
pub struct ReadinessReport {
    /// Duration of the whole check.
    pub took: Duration,
    /// One entry for each deployment.
    pub deployments: Vec<CheckedDeployment>,
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

/// The last answer.
#[derive(Default)]
pub(crate) struct ReadinessCheck {
    last: Mutex<Option<(Instant, Result<ReadinessReport, Fault>)>>,
}

impl ReadinessCheck {
    /// Returns the last answer if it is recent, or a new one. Concurrent checks share one answer.
    pub(crate) async fn answer(
        &self,
        plane: &DataPlane,
        deadline: Duration,
    ) -> Result<ReadinessReport, Fault> {
        if plane.is_draining() {
            return Err(shutting_down());
        }
        let until = Instant::now() + deadline;
        let late = |_| deadline_exceeded("while another readiness check ran");
        let mut last = tokio::time::timeout_at(until.into(), self.last.lock()).await.map_err(late)?;
        if let Some((at, answer)) = &*last
            && at.elapsed() < KEPT
        {
            return answer.clone();
        }
        let answer = match tokio::time::timeout_at(until.into(), probe(plane, until)).await {
            Ok(answer) => answer,
            Err(_) => Err(deadline_exceeded("before the smoke-test page was read")),
        };
        let answer = answer.or_else(|fault| recent_page_instead(plane, fault));
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

async fn probe(plane: &DataPlane, until: Instant) -> Result<ReadinessReport, Fault> {
    let started = Instant::now();
    let hint = DocumentHint { content_type: Some("image/png".to_owned()), password: None };
    let (host, shared) = plane.control.shared_deployments("probe")?;
    let document = plane.documents.open(host.account(), Arc::new(SMOKE_TEST_PNG.to_vec()), hint).await?;
    let (mut deployments, mut in_quarantine) = (Vec::new(), None);
    for lease in shared {
        let lease = match lease {
            Ok(lease) => lease,
            // The server serves the other deployments; metrics and the list of damaged rows show this one.
            Err(fault) if is_quarantine(&fault) => {
                in_quarantine = Some(fault);
                continue;
            }
            Err(fault) => return Err(fault),
        };
        let (name, revision) = (lease.deployment(), lease.revision());
        let call = PageCall {
            document: document.clone(),
            pipeline: revision.pipeline.clone(),
            ctx: revision.ctx(&host, RequestId::from("probe"), until),
            options: PageRequest { page_count: 1, ..PageRequest::default() },
        };
        // The check takes no page slot: it must answer on an overloaded server, too.
        let begun = Instant::now();
        let run = call.read(0).await;
        let transcript = run.result.map_err(|mut fault| {
            fault.message =
                format!("Deployment `{name}` did not read the smoke-test page: {}", fault.message);
            fault
        })?;
        let word_found = transcript.text().to_lowercase().contains(SMOKE_TEST_WORD);
        deployments.push(CheckedDeployment { name: name.clone(), took: begun.elapsed(), word_found });
    }
    match in_quarantine {
        Some(fault) if deployments.is_empty() => Err(fault),
        _ => Ok(ReadinessReport { took: started.elapsed(), deployments, from_recent_page: false }),
    }
}

/// Replaces a check that failed for lack of capacity or time with a recently read page, if there is one.
fn recent_page_instead(plane: &DataPlane, fault: Fault) -> Result<ReadinessReport, Fault> {
    let full = matches!(fault.kind, Kind::Busy | Kind::Deadline);
    match plane.admission.counters.last_page_ok() {
        Some(at) if full && at.elapsed() < RECENT_PAGE => {
            Ok(ReadinessReport { took: Duration::ZERO, deployments: Vec::new(), from_recent_page: true })
        }
        _ => Err(fault),
    }
}
