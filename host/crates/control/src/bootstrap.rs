//! The start of the control plane: builds the snapshot from the store and the configuration, and starts the background
//! tasks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use lector_core::{Blame, Clock, Documents, Engines, Fault, Kind, ModelName, TenantName};

use crate::access::Failures;
use crate::background_tasks::{BackgroundTasks, Task, Trigger};
use crate::canary_evaluation::InFlight;
use crate::clock::SystemClock;
use crate::config::ControlConfig;
use crate::directory::{Deployment, Directory};
use crate::events::AuditEvents;
use crate::mutations::write_lock::WriteLock;
use crate::pipeline::ComponentLoader;
use crate::plane::{ControlPlane, Defaults};
use crate::quarantine;
use crate::quarantine::faults::revision_quarantined;
use crate::revision_cache::RevisionCache;
use crate::store::{AuditQuery, Records, SqliteStore, Store, UsageQuery};
use crate::tenant::{Tenant, TenantPolicy, TenantRecord};
use crate::tenant_data::TenantData;
use crate::usage_counters::UsageCounts;
use crate::usage_counters::{FLUSH_EVERY, UsageCounters, day_of};
use crate::usage_flush::UsageFlusher;

/// Period of the canary evaluation: a breach is detected within this time, and an evaluation is cheap.
const CANARY_EVALUATION_EVERY: Duration = Duration::from_millis(200);
/// Period of the deletion of keys that ended long ago.
const KEY_COLLECTION_EVERY: Duration = Duration::from_secs(3600);
/// Period of the search for engines that no revision needs.
const ENGINE_RELEASE_EVERY: Duration = Duration::from_secs(1);
/// Period of the deletion of components without a revision. A deletion of revisions starts it at once; the period is
/// for components of deploys that failed at their last step.
const COMPONENT_COLLECTION_EVERY: Duration = Duration::from_secs(600);

impl ControlPlane {
    /// Opens the store, loads the routed revisions, and deploys the configuration's deployments that are new or
    /// changed. A shared deployment that cannot be loaded or configured is a fault that names it. A tenant's own
    /// revision that cannot be loaded is logged, and requests to it get the fault.
    pub async fn start(
        config: ControlConfig,
        loader: Arc<dyn ComponentLoader>,
        engines: Arc<dyn Engines>,
        documents: Arc<dyn Documents>,
    ) -> Result<Arc<Self>, Fault> {
        let store: Arc<dyn Store> = Arc::new(match &config.data_dir {
            Some(dir) => SqliteStore::open(dir)?,
            None => SqliteStore::in_memory()?,
        });
        Self::start_with(config, loader, engines, documents, store, Arc::new(SystemClock)).await
    }

    /// Starts on an open store, with a clock.
    pub async fn start_with(
        config: ControlConfig,
        loader: Arc<dyn ComponentLoader>,
        engines: Arc<dyn Engines>,
        documents: Arc<dyn Documents>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Fault> {
        check(&config)?;
        let collected = store.collect(None).await?;
        if collected != Default::default() {
            tracing::info!(
                collected.unfinished,
                collected.unnamed,
                "unfinished files and unreferenced components were deleted"
            );
        }
        let revision_cache = RevisionCache::new(loader, engines, store.clone(), clock.clone());
        let directory = directory(&config, &store, &revision_cache, &clock).await?;
        let newest = newest_entry(&*store).await?;
        let plane = Arc::new(Self {
            directory: Arc::new(ArcSwap::from_pointee(directory)),
            store,
            revision_cache,
            write_lock: WriteLock::default(),
            events: AuditEvents::after(newest),
            staging: Self::deploy_permits(),
            defaults: ArcSwap::from_pointee(defaults(&config)),
            documents,
            failures: Failures::new(clock.clone()),
            flusher: UsageFlusher::new()?,
            left: Arc::default(),
            background_tasks: BackgroundTasks::new(clock.clone()),
            clock,
            collection: Arc::default(),
            found_damaged: quarantine::Found::default(),
            tenant_data: TenantData::default(),
        });
        let host = plane.host("config")?;
        plane.deploy_configured(&host, config.deployments).await?;
        plane.start_background_tasks();
        Ok(plane)
    }

    fn start_background_tasks(self: &Arc<Self>) {
        let tasks = &self.background_tasks;
        let rollback = tasks.register("canary_rollback", Trigger::Task("canary_evaluation"));
        let (plane, in_flight) = (Arc::downgrade(self), InFlight::default());
        tasks.start("canary_evaluation", Trigger::Period(CANARY_EVALUATION_EVERY), move || {
            let (plane, in_flight, rollback) = (plane.upgrade()?, in_flight.clone(), rollback.clone());
            Some(async move {
                plane.evaluate_canaries(&rollback, &in_flight);
                Ok(())
            })
        });
        let plane = Arc::downgrade(self);
        tasks.start("usage_flush", Trigger::Period(FLUSH_EVERY), move || {
            let plane = plane.upgrade()?;
            Some(async move { plane.flush_usage().await })
        });
        let plane = Arc::downgrade(self);
        let trigger = Trigger::PeriodOrNotify(COMPONENT_COLLECTION_EVERY, self.collection.notify.clone());
        tasks.start("component_collection", trigger, move || {
            let plane = plane.upgrade()?;
            Some(async move { plane.collect_components().await })
        });
        let plane = Arc::downgrade(self);
        tasks.start("key_collection", Trigger::Period(KEY_COLLECTION_EVERY), move || {
            let plane = plane.upgrade()?;
            Some(async move { plane.collect_keys().await })
        });
        let plane = Arc::downgrade(self);
        tasks.start("engine_release", Trigger::Period(ENGINE_RELEASE_EVERY), move || {
            let plane = plane.upgrade()?;
            Some(async move {
                plane.release_engines().await;
                Ok(())
            })
        });
    }

    /// Begins a rollback for each revision that breaches its policy, each as a separate run.
    fn evaluate_canaries(self: &Arc<Self>, rollback: &Arc<Task>, in_flight: &InFlight) {
        for breach in self.breaches() {
            let Some(guard) = in_flight.begin(&breach) else { continue };
            let plane = self.clone();
            self.background_tasks.spawn(rollback, async move {
                let _guard = guard;
                plane.roll_back(breach).await
            });
        }
    }
}

/// Returns the number of the newest entry of the audit log; 0 if there is none.
async fn newest_entry(store: &dyn Store) -> Result<u64, Fault> {
    let newest = store.audit(AuditQuery { limit: 1, ..AuditQuery::default() }).await?;
    let readable = newest.rows.iter().map(|entry| entry.seq);
    let damaged = newest.damaged.iter().filter_map(|row| row.number);
    Ok(readable.chain(damaged).max().unwrap_or(0))
}

/// Checks the budgets and that the names are unique.
pub(crate) fn check(config: &ControlConfig) -> Result<(), Fault> {
    let misconfigured =
        |message: String| Fault::new(Kind::Invalid, "platform_config", message).blaming(Blame::Host);
    let mut names: Vec<_> = config.deployments.iter().map(|deployment| &deployment.name).collect();
    names.sort_unstable();
    if let Some(twice) =
        names.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first())).flatten()
    {
        return Err(misconfigured(format!(
            "Deployment `{twice}` is configured twice: give each deployment a unique name."
        )));
    }
    if !names.contains(&&config.default_deployment) {
        return Err(misconfigured(format!(
            "The default deployment `{}` is not in the configuration: name a configured deployment.",
            config.default_deployment
        )));
    }
    Ok(())
}

/// Returns the values of the configuration that apply where a tenant names none.
pub(crate) fn defaults(config: &ControlConfig) -> Defaults {
    Defaults {
        shared_models: shared_models(config),
        engine_idle_ttl: config.engine_idle_ttl,
        storage: config.tenant_storage,
        tenant_images_bytes_max: config.tenant_images_bytes_max,
    }
}

/// Returns all models that the configuration grants to its deployments: the models of tenants whose policy names none.
fn shared_models(config: &ControlConfig) -> BTreeMap<String, ModelName> {
    let mut models = BTreeMap::new();
    let default = |name: &lector_core::DeploymentName| *name == config.default_deployment;
    // The default deployment comes last: its model wins where two deployments use an alias for different models.
    let (first, rest): (Vec<_>, Vec<_>) = config.deployments.iter().partition(|of| default(&of.name));
    for deployment in rest.into_iter().chain(first) {
        models.extend(deployment.grants.clone());
    }
    models
}

/// Builds the snapshot from the records of the store, with every routed revision in memory.
async fn directory(
    config: &ControlConfig,
    store: &Arc<dyn Store>,
    revision_cache: &RevisionCache,
    clock: &Arc<dyn Clock>,
) -> Result<Directory, Fault> {
    let mut records = store.load().await?;
    quarantine::log(&records.damaged);
    let quarantined = quarantine::tenants(&records, &config.tenant);
    let mut deployments = quarantine::deployments(&mut records);
    let Records { mut tenants, keys, damaged, .. } = records;
    if !tenants.iter().any(|tenant| tenant.name == config.tenant) {
        // Not written to the store: until an administrator sets a policy, the default of this version applies.
        let (name, policy) = (config.tenant.clone(), TenantPolicy::default());
        tenants.push(TenantRecord { name, created_at_ms: 0, policy });
    }
    let today = day_of(clock.now_ms());
    let used: HashMap<TenantName, UsageCounts> = {
        let query = UsageQuery { tenant: None, days: (today, today) };
        store.usage(query).await?.rows.into_iter().map(|row| (row.tenant, row.counts)).collect()
    };
    let tenant = |record: TenantRecord| {
        let counts = used.get(&record.name).copied().unwrap_or_default();
        let usage = Arc::new(UsageCounters::resumed(clock.clone(), today, counts));
        (record.name.clone(), Tenant::new(record, usage, config.tenant_images_bytes_max))
    };
    for deployment in deployments.values_mut() {
        load(deployment, revision_cache).await;
    }
    Ok(Directory {
        host: config.tenant.clone(),
        default: config.default_deployment.clone(),
        tenants: tenants.into_iter().map(tenant).collect(),
        keys: keys.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect(),
        deployments: deployments.into_iter().map(|(name, deployment)| (name, Arc::new(deployment))).collect(),
        quarantined,
        damaged,
    })
}

/// Loads the revisions that the route wants. A revision that cannot be loaded does not stop the others.
async fn load(deployment: &mut Deployment, revision_cache: &RevisionCache) {
    let route = deployment.route.clone();
    for number in route.wanted() {
        let loaded = match deployment.revisions.get(&number) {
            Some(record) => revision_cache.get(record).await,
            None => Err(revision_quarantined(&route.deployment, number)),
        };
        if let Err(fault) = &loaded {
            tracing::error!(tenant = %route.tenant, deployment = %route.deployment, revision = number, %fault, "a live revision cannot be loaded: its requests get 503");
        }
        deployment.loaded.insert(number, loaded);
    }
}
