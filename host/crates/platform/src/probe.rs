//! Can the house read? A golden page goes the whole way, through each deployment that the configuration lends to all:
//! render worker, guest, engines. Tenants' own read theirs when they are deployed.
//!
//! Owns the last answer, kept for a moment. Called by `/readyz` and at the start of `serve`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::port::DocumentHint;
use lector_core::{DeploymentName, Fault, Kind, PageRequest, RequestId};
use tokio::sync::Mutex;

use crate::admission::shutting_down;
use crate::pipeline::{PageCall, deadline_exceeded};
use crate::platform::Platform;
use crate::quarantine::is_quarantine;

/// A small picture of the word below, in black on white.
pub(crate) const GOLDEN_PNG: &[u8] = include_bytes!("../assets/golden.png");
/// What a pipeline that reads finds in it.
const GOLDEN_WORD: &str = "lector";
/// How long an answer is good for: probing cannot cost more than one page a second and deployment.
const KEPT: Duration = Duration::from_secs(1);
/// A busy house may be slow to answer the probe; a page that it read so recently is as good an answer.
const RECENT_PAGE: Duration = Duration::from_secs(5);

/// A probe that passed.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// Time of the whole probe.
    pub took: Duration,
    /// One entry for each deployment.
    pub deployments: Vec<ProbedDeployment>,
    /// Set where the probe itself found no room, and a page read moments ago stands for it.
    pub stood_in: bool,
}

/// How one deployment did.
#[derive(Clone, Debug)]
pub struct ProbedDeployment {
    /// Its name.
    pub name: DeploymentName,
    /// Time of its golden page.
    pub took: Duration,
    /// Whether it found the word that is written there. A pipeline of a special purpose need not.
    pub word_found: bool,
}

/// The last answer.
#[derive(Default)]
pub(crate) struct Probe {
    last: Mutex<Option<(Instant, Result<ProbeReport, Fault>)>>,
}

impl Probe {
    /// The answer of a moment ago, or a new one. Probes at the same time share one answer.
    pub(crate) async fn answer(&self, platform: &Platform, deadline: Duration) -> Result<ProbeReport, Fault> {
        if platform.is_draining() {
            return Err(shutting_down());
        }
        let until = Instant::now() + deadline;
        let late = |_| deadline_exceeded("while another probe ran");
        let mut last = tokio::time::timeout_at(until.into(), self.last.lock()).await.map_err(late)?;
        if let Some((at, answer)) = &*last
            && at.elapsed() < KEPT
        {
            return answer.clone();
        }
        let answer = match tokio::time::timeout_at(until.into(), probe(platform, until)).await {
            Ok(answer) => answer,
            Err(_) => Err(deadline_exceeded("before the golden page was read")),
        };
        let answer = answer.or_else(|fault| stand_in(platform, fault));
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

async fn probe(platform: &Platform, until: Instant) -> Result<ProbeReport, Fault> {
    let started = Instant::now();
    let hint = DocumentHint { content_type: Some("image/png".to_owned()), password: None };
    let directory = platform.directory.load_full();
    let host = directory
        .tenants
        .get(&directory.host)
        .ok_or_else(|| Fault::new(Kind::Bug, "internal", "The host's own tenant is missing; report it."))?;
    let document = platform.documents.open(host.account(), Arc::new(GOLDEN_PNG.to_vec()), hint).await?;
    let lent = directory.owned(&directory.host).filter(|deployment| deployment.route.seed);
    let (mut deployments, mut in_quarantine) = (Vec::new(), None);
    for deployment in lent {
        let name = &deployment.route.deployment;
        let revision = match deployment.choose("probe") {
            Ok(revision) => revision,
            // The server reads with the others; metrics and the list of damaged rows tell of this one.
            Err(fault) if is_quarantine(&fault) => {
                in_quarantine = Some(fault);
                continue;
            }
            Err(fault) => return Err(fault),
        };
        let lease = revision.lease("probe")?;
        let call = PageCall {
            document: document.clone(),
            reader: lease.revision.reader.clone(),
            ctx: lease.revision.ctx(host, RequestId::from("probe"), until),
            options: PageRequest { page_count: 1, ..PageRequest::default() },
        };
        // The probe takes no turn: it must answer when the house is full, too.
        let begun = Instant::now();
        let run = call.read(0).await;
        let transcript = run.result.map_err(|mut fault| {
            fault.message = format!("Deployment `{name}` did not read the golden page: {}", fault.message);
            fault
        })?;
        let word_found = transcript.text().to_lowercase().contains(GOLDEN_WORD);
        deployments.push(ProbedDeployment { name: name.clone(), took: begun.elapsed(), word_found });
    }
    match in_quarantine {
        Some(fault) if deployments.is_empty() => Err(fault),
        _ => Ok(ProbeReport { took: started.elapsed(), deployments, stood_in: false }),
    }
}

/// A probe that failed for want of room or time passes if real pages are being read.
fn stand_in(platform: &Platform, fault: Fault) -> Result<ProbeReport, Fault> {
    let full = matches!(fault.kind, Kind::Busy | Kind::Deadline);
    match platform.admission.tally.last_page_ok() {
        Some(at) if full && at.elapsed() < RECENT_PAGE => {
            Ok(ProbeReport { took: Duration::ZERO, deployments: Vec::new(), stood_in: true })
        }
        _ => Err(fault),
    }
}
