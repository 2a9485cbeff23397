//! From a component and settings to a revision that is known to work, stage by stage.
//!
//! Owns the order of the stages and what each proves. Nothing that fails here leaves a trace: a revision is written only
//! when it is ready. Runs beside traffic; how many at once is bounded by `deploy.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::batching::plan;
use lector_core::port::DocumentHint;
use lector_core::{
    Blame, DeploymentName, Documents, Fault, Kind, ModelName, PageRequest, PipelineInfo, RequestId,
    TenantName,
};
use serde::Serialize;

use crate::digest::Digest;
use crate::model_references::ModelReference;
use crate::pipeline::{PageCall, Pipeline};
use crate::revision::{Revision, RevisionRecord};
use crate::revision_cache::RevisionCache;
use crate::settings::Settings;
use crate::smoke_test::SMOKE_TEST_PNG;
use crate::tenant::{BudgetSpec, Capability, Tenant};
use crate::usage_counters::now_ms;

/// `configure` reads no page: what takes longer than this hangs.
const CONFIGURE_MAX: Duration = Duration::from_secs(30);
/// The golden page on engines that may just have been loaded.
const REHEARSAL_MAX: Duration = Duration::from_secs(60);
/// Largest component. The default guest is below 2 MB; compiling 200 MB takes minutes.
pub(crate) const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// Where a deploy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Bytes and settings are there and within their bounds.
    Received,
    /// A component of this host's world; every import is granted.
    Validated,
    /// Machine code.
    Compiled,
    /// The guest accepts its settings, and every model that it opens is granted.
    Configured,
    /// The engines of those models are loaded.
    Prepared,
    /// It read the golden page.
    Rehearsed,
    /// Written; nothing but a route is missing.
    Ready,
}

impl Stage {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Validated => "validated",
            Self::Compiled => "compiled",
            Self::Configured => "configured",
            Self::Prepared => "prepared",
            Self::Rehearsed => "smoke_test",
            Self::Ready => "ready",
        }
    }
}

/// A deploy that ended before it was ready. What was live is live as before.
#[derive(Clone, Debug)]
pub struct DeployFault {
    /// The stage that was not reached.
    pub stage: Stage,
    /// Why.
    pub fault: Fault,
}

/// What is to become a revision.
pub(crate) struct Plan {
    pub(crate) deployment: DeploymentName,
    pub(crate) wasm: Vec<u8>,
    pub(crate) settings: Settings,
    pub(crate) grants: BTreeMap<String, ModelName>,
    pub(crate) budget: BudgetSpec,
    /// Whether it reads the golden page before it is ready.
    pub(crate) rehearse: bool,
    pub(crate) created_by: String,
}

/// A revision that is known to work and has no number yet.
pub(crate) struct PreparedRevision {
    pub(crate) record: RevisionRecord,
    pub(crate) wasm: Vec<u8>,
    pub(crate) pipeline: Arc<dyn Pipeline>,
    /// On its models.
    pub(crate) reference: ModelReference,
    /// Time of each stage.
    pub(crate) took: Vec<(Stage, Duration)>,
}

/// Takes a plan through all stages.
pub(crate) async fn stage(
    plan: Plan,
    tenant: &Arc<Tenant>,
    revision_cache: &RevisionCache,
    documents: &Arc<dyn Documents>,
) -> Result<PreparedRevision, DeployFault> {
    let mut clock = StageClock::default();
    let at = |stage: Stage| move |fault: Fault| DeployFault { stage, fault: to_deployer(fault) };

    received(&plan).map_err(at(Stage::Received))?;
    let digest = Digest::of(&plan.wasm);
    clock.reached(Stage::Received);

    let inspected = revision_cache.loader().inspect(&plan.wasm).map_err(at(Stage::Validated))?;
    granted_imports(&inspected.imports, &tenant.record.policy.capabilities).map_err(at(Stage::Validated))?;
    clock.reached(Stage::Validated);

    let pipeline = revision_cache.pipeline(&digest, &plan.wasm).await.map_err(at(Stage::Compiled))?;
    clock.reached(Stage::Compiled);

    let mut record = RevisionRecord {
        tenant: tenant.name().clone(),
        deployment: plan.deployment,
        number: 0,
        component: digest,
        component_bytes: plan.wasm.len() as u64,
        settings: plan.settings,
        grants: plan.grants,
        budget: plan.budget,
        pipeline_info: PipelineInfo { models: vec![], batching: vec![], features: vec![] },
        created_at_ms: now_ms(),
        created_by: plan.created_by,
    };
    record.pipeline_info = configured(&record, &pipeline, tenant).await.map_err(at(Stage::Configured))?;
    clock.reached(Stage::Configured);

    let reference = revision_cache.prepare(record.models()).await.map_err(at(Stage::Prepared))?;
    clock.reached(Stage::Prepared);

    planned(&record, &pipeline, tenant).await.map_err(at(Stage::Rehearsed))?;
    if plan.rehearse {
        rehearsed(&record, &pipeline, tenant, documents).await.map_err(at(Stage::Rehearsed))?;
        clock.reached(Stage::Rehearsed);
    }
    Ok(PreparedRevision { record, wasm: plan.wasm, pipeline, reference, took: clock.took })
}

/// What is the guest's fault on a page is the deployer's when the guest is being deployed: an answer that can be acted upon.
fn to_deployer(fault: Fault) -> Fault {
    if fault.blame != Blame::Guest {
        return fault;
    }
    Fault { kind: Kind::Invalid, blame: Blame::Client, ..fault }
}

#[derive(Default)]
struct StageClock {
    last: Option<Instant>,
    took: Vec<(Stage, Duration)>,
}

impl StageClock {
    fn reached(&mut self, stage: Stage) {
        let now = Instant::now();
        self.took.push((stage, self.last.map_or(Duration::ZERO, |last| now - last)));
        self.last = Some(now);
    }
}

fn received(plan: &Plan) -> Result<(), Fault> {
    let bytes = plan.wasm.len() as u64;
    if bytes > COMPONENT_BYTES_MAX {
        let message =
            format!("The component has {bytes} bytes, and at most {COMPONENT_BYTES_MAX} are taken.");
        return Err(Fault::new(Kind::TooLarge, "component_too_large", message));
    }
    plan.settings.checked()?;
    if let Some(zero) = plan.budget.zero() {
        let message = format!("`budget.{zero}` must be 1 or more: with 0 the guest could not run.");
        return Err(Fault::new(Kind::Invalid, "budget_invalid", message));
    }
    Ok(())
}

/// Every import against what the tenant may; each that it may not is named.
fn granted_imports(imports: &[String], capabilities: &BTreeSet<Capability>) -> Result<(), Fault> {
    let needed = imports.iter().filter_map(|import| Some((import, Capability::of_import(import)?)));
    let missing: Vec<String> = needed
        .filter(|(_, capability)| !capabilities.contains(capability))
        .map(|(import, capability)| format!("`{}` for {import}", capability.as_str()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "The component imports what the tenant is not granted: {}. Build it without, or ask an administrator for the \
         capability.",
        missing.join(", ")
    );
    Err(Fault::new(Kind::Denied, "grant_missing", message))
}

async fn configured(
    record: &RevisionRecord,
    pipeline: &Arc<dyn Pipeline>,
    tenant: &Tenant,
) -> Result<PipelineInfo, Fault> {
    let trial = Revision::new(Arc::new(record.clone()), pipeline.clone(), None);
    let ctx = trial.ctx(tenant, RequestId::from("configure"), Instant::now() + CONFIGURE_MAX);
    let answer = pipeline.configure(&ctx, &ctx.settings).await?;
    let pipeline_info = answer.map_err(|config_error| {
        let at = if config_error.pointer.is_empty() { "/" } else { &config_error.pointer };
        let message = format!("The guest refuses its settings at `{at}`: {}", config_error.message);
        Fault::new(Kind::Invalid, "settings_refused", message)
    })?;
    let missing: Vec<&str> = pipeline_info
        .models
        .iter()
        .filter(|alias| !record.grants.contains_key(*alias))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(pipeline_info);
    }
    let message = format!(
        "The guest opens models that it is not granted: {}. Grant each alias a model of the catalog.",
        missing.join(", ")
    );
    Err(Fault::new(Kind::Denied, "grant_missing", message))
}

async fn rehearsed(
    record: &RevisionRecord,
    pipeline: &Arc<dyn Pipeline>,
    tenant: &Tenant,
    documents: &Arc<dyn Documents>,
) -> Result<(), Fault> {
    let until = Instant::now() + REHEARSAL_MAX;
    let hint = DocumentHint { content_type: Some("image/png".to_owned()), password: None };
    let trial = Revision::new(Arc::new(record.clone()), pipeline.clone(), None);
    let call = PageCall {
        document: documents.open(tenant.account(), Arc::new(SMOKE_TEST_PNG.to_vec()), hint).await?,
        pipeline: pipeline.clone(),
        ctx: trial.ctx(tenant, RequestId::from("rehearsal"), until),
        options: PageRequest { page_count: 1, ..PageRequest::default() },
    };
    let run = call.read(0).await;
    run.result.map(|_| ()).map_err(|mut fault| {
        fault.message = format!("The guest did not read the golden page: {}", fault.message);
        fault
    })
}

/// A batching program that is given up in its first moments under load helps nobody: it is asked here what lanes will ask.
async fn planned(
    record: &RevisionRecord,
    pipeline: &Arc<dyn Pipeline>,
    tenant: &Tenant,
) -> Result<(), Fault> {
    let trial = Revision::new(Arc::new(record.clone()), pipeline.clone(), None);
    let ctx = trial.ctx(tenant, RequestId::from("rehearsal"), Instant::now() + REHEARSAL_MAX);
    let (Some(batching_policy), Some(planner)) = (&trial.batching_policy, ctx.planner) else { return Ok(()) };
    // Milliseconds at the worst; all the same they are not for the threads that serve.
    let asked = tokio::task::spawn_blocking(move || plan::trial(planner.as_ref(), Instant::now())).await;
    let question = match asked {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(question)) => question,
        Err(error) => {
            let message = "The guest's batching program could not be asked; report it.";
            return Err(Fault::new(Kind::Bug, "internal", message).with_detail(error));
        }
    };
    let Some(cause) = batching_policy.status().last_fault else {
        let message = "There is no room for the guest's batching program at the moment; try again.";
        return Err(Fault::new(Kind::Busy, "runtime_busy", message).retry_after(Duration::from_secs(1)));
    };
    let message =
        format!("The guest's batching program gave no answer that counts about {question}: {cause}.");
    Err(Fault::new(Kind::Invalid, "batching_plan_failed", message))
}

/// A fault of staging, with the deployment's name before it: for those who started the host, not a deploy.
pub(crate) fn of_configured(tenant: &TenantName, name: &DeploymentName, failed: DeployFault) -> Fault {
    let DeployFault { stage, mut fault } = failed;
    fault.message = format!("Deployment `{name}`: {}", fault.message);
    let detail = fault.detail.take().unwrap_or_default();
    fault.with_detail(format_args!("of tenant {tenant}, not {}: {detail}", stage.as_str()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn each_import_without_a_grant_is_named() {
        let imports = [
            "lector:ocr/types@0.1.0",
            "lector:ocr/image@0.1.0",
            "lector:ocr/inference@0.1.0",
            "wasi:io/poll@0.2.0",
        ]
        .map(str::to_owned);
        granted_imports(&imports, &Capability::ALL.into()).unwrap();
        let fault = granted_imports(&imports, &BTreeSet::from([Capability::Image])).unwrap_err();
        assert_eq!((fault.code, fault.kind), ("grant_missing", Kind::Denied));
        for named in ["`inference` for lector:ocr/inference@0.1.0", "`wasi` for wasi:io/poll@0.2.0"] {
            assert!(fault.message.contains(named), "{fault}");
        }
        assert!(!fault.message.contains("lector:ocr/image"), "{fault}");
    }
}
