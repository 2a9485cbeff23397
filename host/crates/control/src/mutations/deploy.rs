//! A new revision: staged beside traffic, then written and routed in one act.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::{DeploymentName, Fault, Kind, ModelName, TenantName};
use serde_json::Value;

use super::routes::{Destination, LOADS_MAX, Loaded, rerouted, route_changed, summary};
use super::{AuditContext, Mutation};
use crate::access::Principal;
use crate::api_types::DeploymentView;
use crate::config::DeploymentConfig;
use crate::deploy_pipeline::{
    COMPONENT_BYTES_MAX, DeployFault, Plan, PreparedRevision, Stage, of_configured, stage,
};
use crate::digest::Digest;
use crate::directory::Deployment;
use crate::plane::ControlPlane;
use crate::revision::RevisionRecord;
use crate::route::RouteRecord;
use crate::settings::Settings;
use crate::store::Change;
use crate::tenant::{BudgetSpec, Tenant, is_name, name_invalid};
use crate::usage_counters::now_ms;

/// Deploys being staged at once: each may hold a component and its code in memory, and one compiles at a time anyway.
const STAGING_MAX: usize = 2;
/// Revisions of a deployment that are kept beside those that a route or a rollback could want.
const REVISIONS_KEPT: usize = 50;
/// Deployments of one tenant.
const DEPLOYMENTS_MAX: usize = 500;

/// Where the component comes from.
pub enum ComponentSource {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// One that a revision of the tenant, or one lent by the host, is made of.
    Stored(Digest),
    /// That of the newest revision of the deployment: settings alone are new.
    Newest,
}

/// What is deployed.
pub struct DeployRequest {
    /// Into which deployment; a new one is made.
    pub deployment: DeploymentName,
    /// The guest.
    pub component: ComponentSource,
    /// For the guest's `configure`: a JSON object. `None`: those of the newest revision, or `{}`.
    pub settings: Option<Value>,
    /// Models by alias, each among the tenant's. `None`: all that the tenant has.
    pub grants: Option<BTreeMap<String, ModelName>>,
    /// Limits of a guest call; the tenant's are a bound on them. `None`: the tenant's.
    pub budget: Option<BudgetSpec>,
    /// What comes after it is ready; `None`: nothing, but the first revision of a deployment goes live, there being nothing
    /// to protect.
    pub destination: Option<Destination>,
}

/// A deploy that went well.
#[derive(Clone, Debug)]
pub struct DeployOutcome {
    /// The new revision's number.
    pub number: u32,
    /// The deployment as it is now.
    pub deployment: DeploymentView,
    /// Time of each stage.
    pub took: Vec<(Stage, Duration)>,
}

/// A staged revision on its way into a route.
struct Settling {
    /// The deployment as it was.
    before: Arc<Deployment>,
    /// The new revision's number.
    number: u32,
    next: RouteRecord,
    /// The other revisions that the route wants.
    loaded: Loaded,
}

/// The right to stage one deploy.
pub struct DeployPermit<'a> {
    _place: tokio::sync::SemaphorePermit<'a>,
}

impl ControlPlane {
    /// A place for one deploy, taken before its component comes in: `deploys_busy` while there is none.
    pub fn deploy_permit(&self, principal: &Principal) -> Result<DeployPermit<'_>, Fault> {
        principal.may_manage()?;
        let place = self.staging.try_acquire().map_err(|_| {
            let message = format!("{STAGING_MAX} deploys are being prepared: try again when one is done.");
            Fault::new(Kind::Busy, "deploys_busy", message).retry_after(Duration::from_secs(2))
        })?;
        Ok(DeployPermit { _place: place })
    }

    /// Stages a component with its settings, and makes it a revision. Until the answer everything is as it was, and so it
    /// stays where the answer is a fault.
    pub async fn deploy(
        &self,
        _place: DeployPermit<'_>,
        principal: &Principal,
        request: DeployRequest,
    ) -> Result<DeployOutcome, DeployFault> {
        let received = |fault| DeployFault { stage: Stage::Received, fault };
        principal.may_manage().map_err(received)?;
        let destination = request.destination;
        let plan = self.plan(principal, request).await.map_err(received)?;
        let staged = stage(plan, &principal.tenant, &self.revision_cache, &self.documents).await?;
        let mut took = staged.took.clone();
        let settling = Instant::now();
        let ready = |fault| DeployFault { stage: Stage::Ready, fault };
        let (number, deployment) = self.settle(principal, staged, destination).await.map_err(ready)?;
        took.push((Stage::Ready, settling.elapsed()));
        Ok(DeployOutcome { number, deployment, took })
    }

    /// How many deploys are staged at once.
    pub(crate) fn deploy_permits() -> tokio::sync::Semaphore {
        tokio::sync::Semaphore::new(STAGING_MAX)
    }

    async fn plan(&self, principal: &Principal, request: DeployRequest) -> Result<Plan, Fault> {
        let name = request.deployment;
        if !is_name(name.as_str()) {
            return Err(name_invalid("deployment", name.as_str()));
        }
        let directory = self.directory.load_full();
        let own = directory.own(principal.tenant(), &name).ok();
        if own.is_none() && directory.owned(principal.tenant()).count() >= DEPLOYMENTS_MAX {
            let message = format!("A tenant has at most {DEPLOYMENTS_MAX} deployments: drop one first.");
            return Err(Fault::new(Kind::Conflict, "too_many_deployments", message));
        }
        let newest = own.and_then(|deployment| deployment.revisions.values().next_back());
        let inherits = request.settings.is_none() || matches!(request.component, ComponentSource::Newest);
        if let (true, Some(own)) = (inherits, own) {
            inheritable(own)?;
        }
        let digest = match &request.component {
            ComponentSource::Bytes(_) => None,
            ComponentSource::Stored(digest) => {
                let shared = directory.deployments.values().filter(|deployment| deployment.route.shared);
                let mut known =
                    directory.owned(principal.tenant()).chain(shared).flat_map(|of| of.revisions.values());
                let known = known.any(|revision| revision.component == *digest);
                Some(known.then(|| digest.clone()).ok_or_else(|| component_not_found(digest.as_str()))?)
            }
            ComponentSource::Newest => {
                Some(newest.map(|revision| revision.component.clone()).ok_or_else(|| {
                    let message = format!("Deployment `{name}` has no revision yet: send a component.");
                    Fault::new(Kind::Invalid, "component_missing", message)
                })?)
            }
        };
        let wasm = match (request.component, digest) {
            (ComponentSource::Bytes(bytes), _) => bytes,
            (_, Some(digest)) => {
                let stored = self.store.blob(digest.clone()).await?;
                stored.ok_or_else(|| component_not_found(digest.as_str()))?
            }
            // Every other source has set the digest.
            (_, None) => return Err(component_not_found("")),
        };
        let settings = match &request.settings {
            Some(settings) => Settings::of(settings)?,
            None => newest.map(|revision| revision.settings.clone()).unwrap_or_default(),
        };
        let models = self.models_of(&principal.tenant);
        let limits = principal.limits().budget;
        Ok(Plan {
            deployment: name,
            wasm,
            settings,
            grants: granted(request.grants, models)?,
            budget: request.budget.map_or(limits, |budget| budget.at_most(limits)),
            rehearse: true,
            created_by: principal.actor.id.clone(),
        })
    }

    /// Models that the tenant's guests may open.
    pub(crate) fn models_of(&self, tenant: &Tenant) -> BTreeMap<String, ModelName> {
        tenant.record.policy.models.clone().unwrap_or_else(|| self.shared_models.clone())
    }

    /// Writes a staged revision and routes to it.
    async fn settle(
        &self,
        principal: &Principal,
        staged: PreparedRevision,
        destination: Option<Destination>,
    ) -> Result<(u32, DeploymentView), Fault> {
        let tenant = principal.tenant();
        let name = staged.record.deployment.clone();
        // A file beside the database: written first, so that no revision ever names what is not there. If the act
        // fails nothing names it, and the next start collects it.
        self.store.put_blob(Arc::new(staged.wasm)).await?;
        let (mut mutation, Settling { before, number, next, mut loaded }) =
            self.loaded_for_deploy(tenant, &name, destination).await?;

        let record = Arc::new(RevisionRecord { number, ..staged.record });
        mutation.change(Change::PutRevision((*record).clone()));
        mutation.change(Change::PutRoute(next.clone()));
        let mut with = (*before).clone();
        for surplus in surplus(&with, &next) {
            mutation.change(Change::DeleteRevision(tenant.clone(), name.clone(), surplus));
            with.revisions.remove(&surplus);
        }
        with.revisions.insert(number, record.clone());
        let revision = self.revision_cache.put(record.clone(), staged.pipeline, staged.reference).await;
        if next.wanted().any(|wanted| wanted == number) {
            loaded.insert(number, Ok(revision));
        }
        let (from, mut to) = (summary(&before.route), summary(&next));
        if let Value::Object(members) = &mut to {
            members.insert("revision".to_owned(), number.into());
            members.insert("component".to_owned(), record.component.as_str().into());
        }
        let deployment = rerouted(&with, next, loaded);
        let view = DeploymentView::of(&deployment);
        mutation.directory.deployments.insert((tenant.clone(), name.clone()), Arc::new(deployment));
        let note = AuditContext {
            actor: &principal.actor,
            tenant: Some(tenant),
            action: "deploy",
            target: name.to_string(),
            from,
            to,
        };
        mutation.commit(note).await?;
        Ok((number, view))
    }

    /// Loads the other revisions that the route will want, then takes the write lock; again where the deployment was
    /// changed meanwhile.
    async fn loaded_for_deploy(
        &self,
        tenant: &TenantName,
        name: &DeploymentName,
        destination: Option<Destination>,
    ) -> Result<(Mutation, Settling), Fault> {
        for _ in 0..LOADS_MAX {
            let known = self.directory.load_full().own(tenant, name).ok().cloned();
            let settling = self.settling(known.as_ref(), tenant, name, destination).await?;
            let mutation = self.begin().await;
            let same = match (&known, mutation.directory.own(tenant, name)) {
                (Some(known), Ok(now)) => Arc::ptr_eq(known, now),
                (None, Err(_)) => true,
                _ => false,
            };
            if same {
                return Ok((mutation, settling));
            }
        }
        Err(route_changed(name))
    }

    async fn settling(
        &self,
        known: Option<&Arc<Deployment>>,
        tenant: &TenantName,
        name: &DeploymentName,
        destination: Option<Destination>,
    ) -> Result<Settling, Fault> {
        let fresh = || Arc::new(Deployment::new(RouteRecord::new(tenant.clone(), name.clone())));
        let before = known.cloned().unwrap_or_else(fresh);
        let now = now_ms();
        let (number, numbered) = before.route.with_revision(now);
        let empty = before.revisions.is_empty() && before.quarantined.is_empty();
        let first = empty.then_some(Destination::Promote(None));
        let mut next = match destination.or(first) {
            Some(destination) => destination.step(&numbered, number, now)?,
            None => numbered,
        };
        next.version = before.route.version + 1;
        let mut loaded = BTreeMap::new();
        for wanted in next.wanted().filter(|wanted| *wanted != number) {
            loaded.insert(wanted, self.wanted(&before, wanted).await?);
        }
        Ok(Settling { before, number, next, loaded })
    }

    /// Makes the configuration's deployments revisions of the host's tenant where they are new or changed. Called at the
    /// start, before anybody is served.
    pub(crate) async fn deploy_configured(
        &self,
        host: &Principal,
        deployments: Vec<DeploymentConfig>,
    ) -> Result<(), Fault> {
        let tenant = host.tenant().clone();
        let named: Vec<DeploymentName> =
            deployments.iter().map(|deployment| deployment.name.clone()).collect();
        for config in deployments {
            let name = config.name.clone();
            let wasm = component(&config).await?;
            let settings = Settings::of(&config.settings).map_err(|mut fault| {
                fault.message = format!("Deployment `{name}`: {}", fault.message);
                fault
            })?;
            let wanted = RevisionRecord {
                tenant: tenant.clone(),
                deployment: name.clone(),
                number: 0,
                component: Digest::of(&wasm),
                component_bytes: wasm.len() as u64,
                settings: settings.clone(),
                grants: config.grants.clone(),
                budget: config.budget.into(),
                pipeline_info: lector_core::PipelineInfo {
                    models: vec![],
                    batching: vec![],
                    features: vec![],
                },
                created_at_ms: 0,
                created_by: host.actor.id.clone(),
            };
            let directory = self.directory.load_full();
            let own = directory.own(&tenant, &name).ok();
            let newest = own.and_then(|own| {
                own.revisions.values().rev().find(|revision| revision.created_by == wanted.created_by)
            });
            if let Some(same) = newest.filter(|newest| newest.is_made_of(&wanted)) {
                if !own.is_some_and(|own| own.route.shared) {
                    self.share(host, &name, same.number).await?;
                }
                continue;
            }
            let plan = Plan {
                deployment: name.clone(),
                wasm,
                settings,
                grants: config.grants,
                budget: config.budget.into(),
                // The whole host reads the golden page once it has started.
                rehearse: false,
                created_by: host.actor.id.clone(),
            };
            let of = |failed| of_configured(&tenant, &name, failed);
            let staged =
                stage(plan, &host.tenant, &self.revision_cache, &self.documents).await.map_err(of)?;
            let (number, _) = self.settle(host, staged, Some(Destination::Promote(None))).await?;
            self.share(host, &name, number).await?;
        }
        let directory = self.directory.load_full();
        let gone =
            directory.owned(&tenant).filter(|of| of.route.shared && !named.contains(&of.route.deployment));
        for deployment in gone {
            let (name, step) =
                (&deployment.route.deployment, |route: &RouteRecord, now_ms| Ok(route.withdraw(now_ms)));
            self.reroute(&host.actor, &tenant, name, "seed_withdrawn", None, Value::Null, &step).await?;
        }
        Ok(())
    }

    /// Lends a deployment of the host's to every tenant; one that was withdrawn before is live again.
    async fn share(&self, host: &Principal, name: &DeploymentName, revision: u32) -> Result<(), Fault> {
        let step = move |route: &RouteRecord, now_ms: u64| {
            let idle = route.weights.is_empty();
            let next = if idle { route.promote(revision, None, now_ms) } else { route.clone() };
            Ok(RouteRecord { shared: true, version: route.version + 1, ..next })
        };
        let shared =
            self.reroute(&host.actor, host.tenant(), name, "seed", Some(revision), Value::Null, &step);
        shared.await.map(|_| ())
    }
}

/// A revision cannot take over from a newest one that cannot be read; from an older one it must not in silence.
fn inheritable(deployment: &Deployment) -> Result<(), Fault> {
    let readable = deployment.revisions.keys().next_back();
    match deployment.quarantined.keys().next_back().filter(|damaged| Some(*damaged) > readable) {
        None => Ok(()),
        Some(damaged) => {
            let message = format!(
                "Revision {damaged} of deployment `{}`, the newest one, cannot be read from the server's store: send a \
                 component and settings.",
                deployment.route.deployment
            );
            Err(Fault::new(Kind::Conflict, "newest_quarantined", message))
        }
    }
}

/// Numbers of the oldest revisions beyond those that are kept.
fn surplus(deployment: &Deployment, next: &RouteRecord) -> Vec<u32> {
    let free: Vec<u32> = deployment.revisions.keys().copied().filter(|number| !next.names(*number)).collect();
    let surplus = free.len().saturating_sub(REVISIONS_KEPT);
    free.into_iter().take(surplus).collect()
}

/// Models by alias, none that the tenant has not.
fn granted(
    asked: Option<BTreeMap<String, ModelName>>,
    models: BTreeMap<String, ModelName>,
) -> Result<BTreeMap<String, ModelName>, Fault> {
    let Some(asked) = asked else { return Ok(models) };
    let missing: Vec<&str> = asked
        .values()
        .filter(|model| !models.values().any(|own| own == *model))
        .map(ModelName::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(asked);
    }
    let message = format!(
        "The tenant is not granted the models {}: an administrator can grant them.",
        missing.join(", ")
    );
    Err(Fault::new(Kind::Denied, "grant_missing", message))
}

fn component_not_found(digest: &str) -> Fault {
    let message = format!("There is no component `{digest}` among the tenant's: send its bytes.");
    Fault::new(Kind::NotFound, "component_not_found", message)
}

/// The component that the configuration names.
async fn component(config: &DeploymentConfig) -> Result<Vec<u8>, Fault> {
    let name = &config.name;
    let unreadable = |error: std::io::Error| {
        let message = format!(
            "The component of deployment `{name}` cannot be read: build the guests, or correct its path."
        );
        Fault::new(Kind::Unavailable, "component_unreadable", message)
            .with_detail(format!("{}: {error}", config.component.display()))
    };
    let bytes = tokio::fs::metadata(&config.component).await.map_err(unreadable)?.len();
    if bytes > COMPONENT_BYTES_MAX {
        let message = format!(
            "The component of deployment `{name}` has {bytes} bytes, and at most {COMPONENT_BYTES_MAX} are taken."
        );
        return Err(Fault::new(Kind::TooLarge, "component_too_large", message));
    }
    tokio::fs::read(&config.component).await.map_err(unreadable)
}
