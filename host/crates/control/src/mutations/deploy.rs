//! Deploys: prepares a revision beside traffic, then writes and routes it in one mutation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::fair::{Account, FairSemaphore, Permit, Request};
use lector_core::{DeploymentName, Fault, Kind, ModelName, TenantName};
use serde_json::{Value, json};

use super::grants::{Grants, granted, still_granted};
use super::routes::{Destination, LOADS_MAX, Loaded, Rerouting, rerouted, route_changed, summary};
use super::{AuditContext, Mutation};
use crate::access::Principal;
use crate::api_types::DeploymentView;
use crate::config::DeploymentConfig;
use crate::deploy_pipeline::{
    COMPONENT_BYTES_MAX, DeployFault, Plan, PreparedRevision, Stage, of_configured, stage,
};
use crate::digest::Digest;
use crate::directory::{Deployment, Directory};
use crate::plane::ControlPlane;
use crate::revision::{RevisionRecord, WrappedRevision};
use crate::route::{RoutePrecondition, RouteRecord};
use crate::settings::Settings;
use crate::storage::NewRevision;
use crate::store::Change;
use crate::tenant::{BudgetSpec, Tenant, is_name, name_invalid};
use crate::wrapping;

/// Deploys in progress at once: each may hold a component and its machine code in memory, and compilation is serial
/// anyway.
const STAGING_MAX: usize = 2;
/// As many again for tenants without a deploy in progress, so that they do not wait for those of others.
const STAGING_EXTRA: usize = 2;
/// Revisions of a deployment that are kept in addition to those that a route or a rollback may need.
const REVISIONS_KEPT: usize = 50;
/// Name of the actor of deploys by configuration.
const CONFIG_ACTOR: &str = "config";
/// Most deployments of one tenant.
const DEPLOYMENTS_MAX: usize = 500;

/// The source of the component.
pub enum ComponentSource {
    /// The bytes of the component.
    Bytes(Vec<u8>),
    /// A component of another revision of the tenant, or of a shared deployment.
    Stored(Digest),
    /// The component of the newest revision of the deployment: only the settings change.
    Newest,
}

/// A request to deploy a revision.
pub struct DeployRequest {
    /// The deployment; created if it does not exist.
    pub deployment: DeploymentName,
    /// The component.
    pub component: ComponentSource,
    /// Settings for the guest's `configure`. `None`: those of the newest revision, or `{}`.
    pub settings: Option<Settings>,
    /// The models that the guest may open.
    pub grants: Grants,
    /// Limits of a guest call, bounded by the tenant's. `None`: the tenant's.
    pub budget: Option<BudgetSpec>,
    /// The deployment that it wraps, for a guest that imports `pipeline`. `None`: with
    /// [`ComponentSource::Newest`] the revision that the newest revision wraps, else none.
    pub wraps: Option<DeploymentName>,
    /// The traffic of the revision when it is ready; `None`: no traffic, except that the first revision of a deployment
    /// is promoted ([`Destination::NoTraffic`] prevents that).
    pub destination: Option<Destination>,
    /// The route that the caller expects the deployment to have.
    pub precondition: RoutePrecondition,
}

/// The result of a successful deploy.
#[derive(Clone, Debug)]
pub struct DeployOutcome {
    /// Number of the new revision.
    pub number: u32,
    /// The deployment after the deploy.
    pub deployment: DeploymentView,
    /// Whether it was promoted without a request, because it is the first revision of the deployment.
    pub promoted_as_first: bool,
    /// Duration of each stage.
    pub took: Vec<(Stage, Duration)>,
}

/// A prepared revision while it is written and routed.
struct Settling {
    /// The deployment before the deploy.
    before: Arc<Deployment>,
    /// Number of the new revision.
    number: u32,
    next: RouteRecord,
    /// The other revisions that the route wants.
    loaded: Loaded,
}

/// A permit for one deploy.
pub struct DeployPermit {
    _place: Permit,
}

impl ControlPlane {
    /// Checks that the key may deploy, before its component is received. Faults: that of a key without the right;
    /// `tenant_missing`.
    pub fn may_deploy(&self, principal: &Principal) -> Result<(), Fault> {
        principal.may_deploy()
    }

    /// Takes a permit for a deploy whose component has arrived. Waits up to `within`, in fair order over tenants; a
    /// tenant without a deploy in progress does not wait for another one's. Fault: `deploys_busy`.
    pub async fn deploy_permit(
        &self,
        principal: &Principal,
        within: Duration,
    ) -> Result<DeployPermit, Fault> {
        principal.may_deploy()?;
        let Account { tenant, weight } = principal.account().account();
        // All deploys count the same: their cost is not known before they are compiled.
        let acquired = self.staging.acquire(Request::one(tenant, weight, 1.0));
        let place = tokio::time::timeout(within, acquired).await.map_err(|_| {
            let message = format!(
                "{STAGING_MAX} deploys were in progress, the limit, for the {} s that this one could wait: try again \
                 when one is done.",
                within.as_secs()
            );
            Fault::new(Kind::Busy, "deploys_busy", message).retry_after(Duration::from_secs(2))
        })?;
        Ok(DeployPermit { _place: place })
    }

    /// Runs the deploy pipeline, and makes the result a revision. A fault leaves everything unchanged.
    pub async fn deploy(
        &self,
        _place: DeployPermit,
        principal: &Principal,
        request: DeployRequest,
    ) -> Result<DeployOutcome, DeployFault> {
        let received = |fault| DeployFault { stage: Stage::Received, fault };
        principal.may_manage().map_err(received)?;
        let (destination, precondition) = (request.destination, request.precondition.clone());
        let plan = self.plan(principal, request).await.map_err(received)?;
        let staged = stage(plan, &principal.tenant, &self.revision_cache, &self.documents).await?;
        let mut took = staged.took.clone();
        let settling = Instant::now();
        let ready = |fault| DeployFault { stage: Stage::Ready, fault };
        let (number, deployment) =
            self.settle(principal, staged, destination, &precondition).await.map_err(ready)?;
        took.push((Stage::Ready, settling.elapsed()));
        let promoted_as_first =
            destination.is_none() && deployment.weights.iter().any(|weight| weight.revision == number);
        Ok(DeployOutcome { number, deployment, promoted_as_first, took })
    }

    /// Returns the semaphore of deploys in progress.
    pub(crate) fn deploy_permits() -> FairSemaphore {
        FairSemaphore::with_extra(STAGING_MAX, STAGING_EXTRA)
    }

    async fn plan(&self, principal: &Principal, request: DeployRequest) -> Result<Plan, Fault> {
        let name = request.deployment;
        if !is_name(name.as_str()) {
            return Err(name_invalid("deployment", name.as_str()));
        }
        let directory = self.directory.load_full();
        let own = directory.own(principal.tenant(), &name).ok();
        // Checked again with the write lock; here, so that a deploy in vain is not compiled.
        request.precondition.check(&name, own.map(|own| &*own.route))?;
        if own.is_none() {
            may_have_deployment(&directory, principal.tenant())?;
        }
        let newest = own.and_then(|deployment| deployment.revisions.values().next_back());
        let models = self.models_of(&principal.tenant);
        let inherits = request.settings.is_none()
            || matches!(request.component, ComponentSource::Newest)
            // A tenant without models has nothing to inherit.
            || (request.grants == Grants::Inherited && !models.is_empty());
        if let (true, Some(own)) = (inherits, own) {
            inheritable(own)?;
        }
        let wraps = match (&request.wraps, &request.component) {
            (Some(wraps), _) => Some(wrapping::pinned(&directory, &principal.tenant, &name, wraps)?),
            (None, ComponentSource::Newest) => newest.and_then(|newest| newest.wraps.as_deref()).cloned(),
            (None, _) => None,
        };
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
        let settings = match request.settings {
            Some(settings) => settings,
            None => newest.map(|revision| revision.settings.clone()).unwrap_or_default(),
        };
        // Checked again when the revision is written; here before minutes of work.
        let wrapped_settings = wraps.iter().flat_map(WrappedRevision::stages).map(|stage| &stage.settings);
        let settings_bytes =
            std::iter::once(&settings).chain(wrapped_settings).map(|one| one.as_str().len() as u64).sum();
        let new = NewRevision {
            component: &Digest::of(&wasm),
            component_bytes: wasm.len() as u64,
            settings_bytes,
            wraps: wraps.as_ref(),
        };
        self.defaults.load().storage.check(&directory, principal.tenant(), principal.limits(), new)?;
        if let Some(wraps) = &wraps {
            wrapping::granted(wraps, &models)?;
        }
        let wraps = wraps.map(|wraps| wraps.with_optional_of(&models));
        let inherited = newest.filter(|_| request.grants == Grants::Inherited);
        let grants = match (request.grants, inherited) {
            (Grants::Named(named), _) => granted(named, &models)?,
            (_, Some(newest)) => still_granted(&newest.grants, &models),
            (_, None) => models,
        };
        let limits = principal.limits().budget;
        Ok(Plan {
            deployment: name,
            wasm,
            settings,
            grants,
            grants_of: inherited.map(|newest| newest.number),
            pins: self.collection.pins(wraps.as_ref()),
            budget: request.budget.map_or(limits, |budget| budget.at_most(limits)),
            wraps,
            smoke_test: true,
            created_at_ms: self.clock.now_ms(),
            created_by: principal.actor.id.clone(),
        })
    }

    /// Checks that the tenant may keep one more revision.
    fn may_keep(
        &self,
        directory: &Directory,
        principal: &Principal,
        record: &RevisionRecord,
    ) -> Result<(), Fault> {
        let new = NewRevision {
            component: &record.component,
            component_bytes: record.component_bytes,
            settings_bytes: record.settings_bytes(),
            wraps: record.wraps.as_deref(),
        };
        self.defaults.load().storage.check(directory, principal.tenant(), principal.limits(), new)
    }

    /// Returns the models that the tenant's guests may open.
    pub(crate) fn models_of(&self, tenant: &Tenant) -> BTreeMap<String, ModelName> {
        tenant.record.policy.models.clone().unwrap_or_else(|| self.defaults.load().shared_models.clone())
    }

    /// Writes a prepared revision and routes to it.
    async fn settle(
        &self,
        principal: &Principal,
        staged: PreparedRevision,
        destination: Option<Destination>,
        precondition: &RoutePrecondition,
    ) -> Result<(u32, DeploymentView), Fault> {
        let tenant = principal.tenant();
        let name = staged.record.deployment.clone();
        // The component is a file beside the database, and it is written first, so that no revision names a missing
        // file. If the mutation fails, the collection of components deletes the file.
        let mut pins = staged.pins;
        pins.add(&staged.record.component);
        self.collection.written();
        self.store.put_blob(Arc::new(staged.wasm)).await?;
        let (mut mutation, Settling { before, number, mut next, mut loaded }) =
            self.loaded_for_deploy(principal, &name, destination, precondition).await?;
        mutation.pins = Some(pins);
        // A deploy takes minutes; its tenant may be deleted meanwhile, and another one of that name created.
        mutation.directory.same_tenant(&principal.tenant)?;

        let record = Arc::new(RevisionRecord { number, ..staged.record });
        // The deploys of the configuration are the operator's.
        if record.created_by != CONFIG_ACTOR {
            self.may_keep(&mutation.directory, principal, &record)?;
        }
        mutation.change(Change::PutRevision((*record).clone()));
        let mut with = (*before).clone();
        let surplus = surplus(&with, &next);
        next.withdrawn.retain(|number, _| !surplus.contains(number));
        mutation.change(Change::PutRoute(next.clone()));
        for surplus in surplus {
            mutation.change(Change::DeleteRevision(tenant.clone(), name.clone(), surplus));
            with.revisions.remove(&surplus);
        }
        with.revisions.insert(number, record.clone());
        let revision =
            self.revision_cache.put(record.clone(), staged.pipeline, staged.wrapped, staged.reference).await;
        if next.wanted().any(|wanted| wanted == number) {
            loaded.insert(number, Ok(revision));
        }
        let (from, mut to) = (summary(&before.route), summary(&next));
        if let Value::Object(members) = &mut to {
            members.insert("revision".to_owned(), number.into());
            members.insert("component".to_owned(), record.component.as_str().into());
            if let Some(wraps) = &record.wraps {
                let wraps = json!({ "deployment": wraps.deployment, "revision": wraps.revision });
                members.insert("wraps".to_owned(), wraps);
            }
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

    /// Loads the other revisions that the route will want, then takes the write lock; repeats this if the deployment
    /// was changed meanwhile.
    async fn loaded_for_deploy(
        &self,
        principal: &Principal,
        name: &DeploymentName,
        destination: Option<Destination>,
        precondition: &RoutePrecondition,
    ) -> Result<(Mutation, Settling), Fault> {
        let tenant = principal.tenant();
        for _ in 0..LOADS_MAX {
            let known = self.directory.load_full().own(tenant, name).ok().cloned();
            precondition.check(name, known.as_ref().map(|known| &*known.route))?;
            let settling = self.settling(known.as_ref(), tenant, name, destination).await?;
            let mutation = self.begin(&principal.actor).await?;
            let same = match (&known, mutation.directory.own(tenant, name)) {
                (Some(known), Ok(now)) => Arc::ptr_eq(known, now),
                (None, Err(_)) => {
                    may_have_deployment(&mutation.directory, tenant)?;
                    true
                }
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
        let now = self.clock.now_ms();
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

    /// Deploys the configuration's deployments that are new or changed, as revisions of the host's tenant. Called at
    /// the start, before the first request.
    pub(crate) async fn deploy_configured(
        &self,
        host: &Principal,
        deployments: Vec<DeploymentConfig>,
    ) -> Result<(), Fault> {
        let tenant = host.tenant().clone();
        let named: Vec<DeploymentName> =
            deployments.iter().map(|deployment| deployment.name.clone()).collect();
        for config in wrapping::ordered(deployments)? {
            let name = config.name.clone();
            let wasm = component(&config).await?;
            let settings = Settings::of(&config.settings).map_err(|mut fault| {
                fault.message = format!("Deployment `{name}`: {}", fault.message);
                fault
            })?;
            let directory = self.directory.load_full();
            // Pinned at each start: if the wrapped deployment has changed, this one gets a new revision.
            let wraps = config.wraps.as_ref();
            let wraps =
                wraps.map(|wraps| wrapping::pinned(&directory, &host.tenant, &name, wraps)).transpose()?;
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
                options_schema: None,
                wraps: wraps.clone().map(Box::new),
                created_at_ms: 0,
                created_by: host.actor.id.clone(),
            };
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
                grants_of: None,
                budget: config.budget.into(),
                pins: self.collection.pins(wraps.as_ref()),
                wraps,
                // The readiness check reads the smoke-test page when the server has started.
                smoke_test: false,
                created_at_ms: self.clock.now_ms(),
                created_by: host.actor.id.clone(),
            };
            let of = |failed| of_configured(&tenant, &name, failed);
            let staged =
                stage(plan, &host.tenant, &self.revision_cache, &self.documents).await.map_err(of)?;
            let (number, _) = self
                .settle(host, staged, Some(Destination::Promote(None)), &RoutePrecondition::default())
                .await?;
            self.share(host, &name, number).await?;
        }
        let directory = self.directory.load_full();
        let gone =
            directory.owned(&tenant).filter(|of| of.route.shared && !named.contains(&of.route.deployment));
        for deployment in gone {
            let (name, step) =
                (&deployment.route.deployment, |route: &RouteRecord, now_ms| Ok(route.withdraw(now_ms)));
            self.reroute(&host.actor, &tenant, name, Rerouting::asked("unshare", None), &step).await?;
        }
        Ok(())
    }

    /// Marks a deployment of the host's tenant as shared, and promotes `revision`.
    async fn share(&self, host: &Principal, name: &DeploymentName, revision: u32) -> Result<(), Fault> {
        let step = move |route: &RouteRecord, now_ms: u64| {
            let idle = route.weights.is_empty();
            let next = if idle { route.promote(revision, None, now_ms) } else { route.clone() };
            Ok(RouteRecord { shared: true, version: route.version + 1, ..next })
        };
        let rerouting = Rerouting::asked("share", Some(revision));
        self.reroute(&host.actor, host.tenant(), name, rerouting, &step).await.map(|_| ())
    }
}

/// Checks that the newest revision is readable, because a deploy may inherit its parts; inheriting from an older
/// revision would be a silent fallback.
fn inheritable(deployment: &Deployment) -> Result<(), Fault> {
    let readable = deployment.revisions.keys().next_back();
    match deployment.quarantined.keys().next_back().filter(|damaged| Some(*damaged) > readable) {
        None => Ok(()),
        Some(damaged) => {
            let message = format!(
                "Revision {damaged} of deployment `{}`, the newest one, cannot be read from the server's store: send a \
                 component, settings and `grants` or `all_models` (command line: `--grant ALIAS=MODEL` or `--all-models`).",
                deployment.route.deployment
            );
            Err(Fault::new(Kind::Conflict, "newest_quarantined", message))
        }
    }
}

/// Returns the numbers of the oldest revisions beyond those that are kept.
fn surplus(deployment: &Deployment, next: &RouteRecord) -> Vec<u32> {
    let free: Vec<u32> = deployment.revisions.keys().copied().filter(|number| !next.names(*number)).collect();
    let surplus = free.len().saturating_sub(REVISIONS_KEPT);
    free.into_iter().take(surplus).collect()
}

/// Checks that the tenant may have one more deployment.
fn may_have_deployment(directory: &Directory, tenant: &TenantName) -> Result<(), Fault> {
    if directory.owned(tenant).count() < DEPLOYMENTS_MAX {
        return Ok(());
    }
    let message = format!("The tenant has {DEPLOYMENTS_MAX} deployments, the limit: delete one first.");
    Err(Fault::new(Kind::Conflict, "too_many_deployments", message))
}

fn component_not_found(digest: &str) -> Fault {
    let message = format!("The tenant has no component `{digest}`: send the bytes of the component.");
    Fault::new(Kind::NotFound, "component_not_found", message)
}

/// Reads the component that the configuration names.
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
            "The component of deployment `{name}` has {bytes} bytes; at most {COMPONENT_BYTES_MAX} are accepted: make it smaller."
        );
        return Err(Fault::new(Kind::TooLarge, "component_too_large", message));
    }
    tokio::fs::read(&config.component).await.map_err(unreadable)
}
