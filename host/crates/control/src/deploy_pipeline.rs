//! The deploy pipeline: turns a component and settings into a tested revision, stage by stage.
//!
//! Owns the order of the stages and the check of each. A failure leaves no trace: a revision is written only when it is
//! ready. Runs beside traffic; `mutations/deploy.rs` limits the number of deploys at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::batching::plan;
use lector_core::port::DocumentHint;
use lector_core::{
    Blame, DeploymentName, Documents, Fault, Kind, ModelName, OptionsSchema, PageRequest, PipelineInfo,
    RequestId, TenantName,
};
use serde::Serialize;

use crate::digest::Digest;
use crate::model_references::ModelReference;
use crate::pipeline::{PageCall, Pipeline, WrappedPipelines};
use crate::revision::{Revision, RevisionRecord, WrappedRevision};
use crate::revision_cache::RevisionCache;
use crate::settings::Settings;
use crate::smoke_test::SMOKE_TEST_PNG;
use crate::storage::ComponentPins;
use crate::tenant::{BudgetSpec, Capability, Tenant};
use crate::wrapping;

/// Longest time of `configure` and of `describe`, which read no page.
const CONFIGURE_MAX: Duration = Duration::from_secs(30);
/// Longest time for the smoke-test page, on engines that may just have been loaded.
const SMOKE_TEST_MAX: Duration = Duration::from_secs(60);
/// Largest component. The default guest is below 2 MB; compiling 200 MB takes minutes.
pub(crate) const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// A stage of a deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The bytes and settings are complete and within their limits.
    Received,
    /// The component fits the contract, and every import is granted.
    Validated,
    /// The component is machine code.
    Compiled,
    /// The guest accepts its settings, every model that it opens is granted, and the schema of its options is supported.
    Configured,
    /// The engines of these models are loaded.
    Prepared,
    /// The revision read the smoke-test page.
    SmokeTest,
    /// The revision is written, and may be routed to.
    Ready,
}

impl Stage {
    /// Returns the name of the stage in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Validated => "validated",
            Self::Compiled => "compiled",
            Self::Configured => "configured",
            Self::Prepared => "prepared",
            Self::SmokeTest => "smoke_test",
            Self::Ready => "ready",
        }
    }
}

/// The failure of a deploy. It changes nothing.
#[derive(Clone, Debug)]
pub struct DeployFault {
    /// The stage that was not reached.
    pub stage: Stage,
    /// The fault.
    pub fault: Fault,
}

/// The parts of a new revision.
pub(crate) struct Plan {
    pub(crate) deployment: DeploymentName,
    pub(crate) wasm: Vec<u8>,
    pub(crate) settings: Settings,
    pub(crate) grants: BTreeMap<String, ModelName>,
    /// The revision that it inherits them from.
    pub(crate) grants_of: Option<u32>,
    pub(crate) budget: BudgetSpec,
    /// The revision that it wraps.
    pub(crate) wraps: Option<WrappedRevision>,
    /// Pins of the components of the stages that it wraps.
    pub(crate) pins: ComponentPins,
    /// Whether the smoke-test page is read before the revision is ready.
    pub(crate) smoke_test: bool,
    pub(crate) created_at_ms: u64,
    pub(crate) created_by: String,
}

/// A tested revision without a number.
pub(crate) struct PreparedRevision {
    pub(crate) record: RevisionRecord,
    pub(crate) wasm: Vec<u8>,
    /// Pins of the components of the stages that it wraps.
    pub(crate) pins: ComponentPins,
    pub(crate) pipeline: Arc<dyn Pipeline>,
    pub(crate) wrapped: WrappedPipelines,
    /// References on its models.
    pub(crate) reference: ModelReference,
    /// Duration of each stage.
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
    let capabilities = &tenant.record.policy.capabilities;
    granted_imports(&inspected.imports, capabilities).map_err(at(Stage::Validated))?;
    wrapping::agrees(inspected.wraps, plan.wraps.as_ref()).map_err(at(Stage::Validated))?;
    for wrapped in plan.wraps.iter().flat_map(WrappedRevision::stages) {
        granted_stage(wrapped, capabilities, revision_cache).await.map_err(at(Stage::Validated))?;
    }
    clock.reached(Stage::Validated);

    let pipeline =
        revision_cache.pipeline(&digest, &plan.wasm, tenant.name()).await.map_err(at(Stage::Compiled))?;
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
        options_schema: None,
        wraps: plan.wraps.map(Box::new),
        created_at_ms: plan.created_at_ms,
        created_by: plan.created_by,
    };
    let wrapped = revision_cache.wrapped(&record).await.map_err(at(Stage::Compiled))?;
    clock.reached(Stage::Compiled);

    let trial = |record: &RevisionRecord| {
        // The revision has no number yet.
        let log = revision_cache.guest_logs().sink(0);
        Revision::new(Arc::new(record.clone()), pipeline.clone(), wrapped.clone(), log, None)
    };
    record.pipeline_info =
        configured(&trial(&record), tenant, plan.grants_of).await.map_err(at(Stage::Configured))?;
    record.options_schema = described(&trial(&record), tenant).await.map_err(at(Stage::Configured))?;
    clock.reached(Stage::Configured);

    let reference = revision_cache.prepare(&record).await.map_err(at(Stage::Prepared))?;
    clock.reached(Stage::Prepared);

    let tried = trial(&record);
    planned(&tried, tenant).await.map_err(at(Stage::SmokeTest))?;
    if plan.smoke_test {
        smoke_tested(&tried, tenant, documents).await.map_err(at(Stage::SmokeTest))?;
        clock.reached(Stage::SmokeTest);
    }
    Ok(PreparedRevision {
        record,
        wasm: plan.wasm,
        pins: plan.pins,
        pipeline,
        wrapped,
        reference,
        took: clock.took,
    })
}

/// Converts a guest's fault into a fault of the client that deploys the guest, because this client can correct it.
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
        let message = format!(
            "The component has {bytes} bytes, and at most {COMPONENT_BYTES_MAX} are accepted: make it smaller."
        );
        return Err(Fault::new(Kind::TooLarge, "component_too_large", message));
    }
    plan.settings.checked()?;
    if let Some(zero) = plan.budget.zero() {
        let message = format!("`budget.{zero}` must be 1 or more: with 0 the guest cannot run.");
        return Err(Fault::new(Kind::Invalid, "budget_invalid", message));
    }
    Ok(())
}

/// Checks every import against the tenant's capabilities; the fault names each import without one.
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
        "The component imports interfaces that the tenant may not use: {}. Build it without them, or ask an administrator for the \
         capability.",
        missing.join(", ")
    );
    Err(Fault::new(Kind::Denied, "grant_missing", message))
}

/// Checks the imports of a wrapped component against the tenant's capabilities.
async fn granted_stage(
    stage: &WrappedRevision,
    capabilities: &BTreeSet<Capability>,
    revision_cache: &RevisionCache,
) -> Result<(), Fault> {
    let wasm = revision_cache.component(&stage.component, &(&stage.deployment, stage.revision)).await?;
    let inspected = revision_cache.loader().inspect(&wasm);
    inspected.and_then(|inspected| granted_imports(&inspected.imports, capabilities)).map_err(|mut fault| {
        fault.message = format!("The wrapped deployment `{}`: {}", stage.deployment, fault.message);
        fault
    })
}

/// Returns the pipeline info. Checks that every model that it opens is granted; `grants_of` is the revision that the grants
/// are inherited from.
async fn configured(
    trial: &Revision,
    tenant: &Tenant,
    grants_of: Option<u32>,
) -> Result<PipelineInfo, Fault> {
    let ctx = trial.ctx(tenant, RequestId::from("configure"), Instant::now() + CONFIGURE_MAX);
    let answer = trial.pipeline.configure(&ctx, &ctx.settings).await?;
    let pipeline_info = answer.map_err(|config_error| {
        let at = if config_error.pointer.is_empty() { "/" } else { &config_error.pointer };
        let message = format!("The guest rejects its settings at `{at}`: {}", config_error.message);
        Fault::new(Kind::Invalid, "settings_refused", message)
    })?;
    let missing: Vec<&str> = pipeline_info
        .models
        .iter()
        .filter(|alias| !trial.record.grants.contains_key(*alias))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(pipeline_info);
    }
    let missing = missing.join(", ");
    let whose = grants_of.map_or_else(String::new, |number| {
        format!(" The deploy names no grants, so the guest has those of revision {number} that the tenant still has.")
    });
    let message = format!(
        "The guest opens models without a grant: {missing}.{whose} Grant each alias that it opens a model of the catalog (`grants`; \
         command line: `--grant ALIAS=MODEL`), or all models of the tenant (`all_models`; command line: `--all-models`)."
    );
    Err(Fault::new(Kind::Denied, "grant_missing", message))
}

/// Asks the guest for the schema of its options.
async fn described(trial: &Revision, tenant: &Tenant) -> Result<Option<OptionsSchema>, Fault> {
    let ctx = trial.ctx(tenant, RequestId::from("describe"), Instant::now() + CONFIGURE_MAX);
    trial.pipeline.options_schema(&ctx).await
}

async fn smoke_tested(
    trial: &Revision,
    tenant: &Tenant,
    documents: &Arc<dyn Documents>,
) -> Result<(), Fault> {
    let until = Instant::now() + SMOKE_TEST_MAX;
    let hint = DocumentHint { content_type: Some("image/png".to_owned()), password: None };
    let call = PageCall {
        document: documents.open(tenant.account(), Arc::new(SMOKE_TEST_PNG.to_vec()), hint).await?,
        pipeline: trial.pipeline.clone(),
        ctx: trial.ctx(tenant, RequestId::from("smoke_test"), until),
        // A fault then has the guest's own panic message: the deployer may read it.
        options: PageRequest { page_count: 1, explain: true, ..PageRequest::default() },
    };
    let run = call.read(0).await;
    run.result.map(|_| ()).map_err(|mut fault| {
        fault.message = format!("The guest did not read the smoke-test page: {}", fault.message);
        fault
    })
}

/// Asks the guest's batching policy the questions that lanes will ask, so that a policy that would be disabled under
/// load fails the deploy.
async fn planned(trial: &Revision, tenant: &Tenant) -> Result<(), Fault> {
    let ctx = trial.ctx(tenant, RequestId::from("smoke_test"), Instant::now() + SMOKE_TEST_MAX);
    let (Some(batching_policy), Some(planner)) = (&trial.batching_policy, ctx.planner) else { return Ok(()) };
    // Takes milliseconds at most, which is too long for the threads that serve requests.
    let asked = tokio::task::spawn_blocking(move || plan::trial(planner.as_ref(), Instant::now())).await;
    let question = match asked {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(question)) => question,
        Err(error) => {
            let message =
                "The guest's batching policy could not be called. This is a bug in the server: report it.";
            return Err(Fault::new(Kind::Bug, "internal", message).with_detail(error));
        }
    };
    let Some(cause) = batching_policy.status().last_fault else {
        let message =
            "The server has no free instance for the guest's batching policy at the moment: try again.";
        return Err(Fault::new(Kind::Busy, "runtime_busy", message).retry_after(Duration::from_secs(1)));
    };
    let message = format!(
        "The guest's batching policy gave no valid answer about {question}: {cause}. Correct the policy, and deploy again."
    );
    Err(Fault::new(Kind::Invalid, "batching_plan_failed", message))
}

/// Adds the deployment's name to a fault of the deploy pipeline, for the operator that starts the host.
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
            "lector:ocr/model@0.2.0",
            "lector:image/images@0.2.0",
            "lector:inference/models@0.2.0",
            "wasi:io/poll@0.2.0",
        ]
        .map(str::to_owned);
        granted_imports(&imports, &Capability::ALL.into()).unwrap();
        let fault = granted_imports(&imports, &BTreeSet::from([Capability::Image])).unwrap_err();
        assert_eq!((fault.code, fault.kind), ("grant_missing", Kind::Denied));
        for named in ["`inference` for lector:inference/models@0.2.0", "`wasi` for wasi:io/poll@0.2.0"] {
            assert!(fault.message.contains(named), "{fault}");
        }
        assert!(!fault.message.contains("lector:image"), "{fault}");
    }
}
