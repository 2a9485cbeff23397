//! The start of the platform: from what is on disk to what is in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lector_core::{Blame, Fault, Kind, ModelName, TenantName};

use crate::config::PlatformConfig;
use crate::directory::{Deployment, Directory};
use crate::meter::{Meter, day_of, now_ms};
use crate::quarantine;
use crate::shelf::Shelf;
use crate::store::{Records, Store, UsageCounts, UsageQuery};
use crate::tenant::{Tenant, TenantRecord, TenantTerms};

/// Limits that make no sense, names that are there twice.
pub(crate) fn check(config: &PlatformConfig) -> Result<(), Fault> {
    let misconfigured =
        |message: String| Fault::new(Kind::Invalid, "platform_config", message).blaming(Blame::Host);
    if config.documents_max == 0 || config.pages_in_flight_max == 0 || config.pages_per_document_max == 0 {
        return Err(misconfigured("The limits of the platform must be 1 or more.".to_owned()));
    }
    let mut names: Vec<_> = config.deployments.iter().map(|deployment| &deployment.name).collect();
    names.sort_unstable();
    if let Some(twice) =
        names.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first())).flatten()
    {
        return Err(misconfigured(format!(
            "Deployment `{twice}` is there twice: each needs a name of its own."
        )));
    }
    if !names.contains(&&config.default_deployment) {
        return Err(misconfigured(format!(
            "The default deployment `{}` is none of the deployments.",
            config.default_deployment
        )));
    }
    Ok(())
}

/// All models that the configuration's deployments are granted: what tenants get who were given none of their own.
pub(crate) fn lent_models(config: &PlatformConfig) -> BTreeMap<String, ModelName> {
    let mut models = BTreeMap::new();
    let default = |name: &lector_core::DeploymentName| *name == config.default_deployment;
    // The default deployment's last: where two mean something else by the same alias, it is right.
    let (first, rest): (Vec<_>, Vec<_>) = config.deployments.iter().partition(|of| default(&of.name));
    for deployment in rest.into_iter().chain(first) {
        models.extend(deployment.grants.clone());
    }
    models
}

/// The snapshot of what the store holds, every routed revision in memory.
pub(crate) async fn directory(
    config: &PlatformConfig,
    store: &Arc<dyn Store>,
    shelf: &Shelf,
) -> Result<Directory, Fault> {
    let mut records = store.load().await?;
    quarantine::log(&records.damaged);
    let quarantined = quarantine::tenants(&records, &config.tenant);
    let mut deployments = quarantine::deployments(&mut records);
    let Records { mut tenants, keys, damaged, .. } = records;
    if !tenants.iter().any(|tenant| tenant.name == config.tenant) {
        // Not written: until an administrator gives it terms it is what this version makes of it.
        let (name, terms) = (config.tenant.clone(), TenantTerms::default());
        tenants.push(TenantRecord { name, created_at_ms: 0, terms });
    }
    let today = day_of(now_ms());
    let used: HashMap<TenantName, UsageCounts> = {
        let query = UsageQuery { tenant: None, days: (today, today) };
        store.usage(query).await?.rows.into_iter().map(|row| (row.tenant, row.counts)).collect()
    };
    let tenant = |record: TenantRecord| {
        let counts = used.get(&record.name).copied().unwrap_or_default();
        (
            record.name.clone(),
            Tenant::new(record, Arc::new(Meter::resumed(today, counts)), config.tenant_images_bytes_max),
        )
    };
    for deployment in deployments.values_mut() {
        load(deployment, shelf).await;
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

/// Puts what the route wants into memory. One that cannot be there does not keep the others from being served.
async fn load(deployment: &mut Deployment, shelf: &Shelf) {
    let route = deployment.route.clone();
    for number in route.wanted() {
        let loaded = match deployment.revisions.get(&number) {
            Some(record) => shelf.get(record).await,
            None => Err(quarantine::revision_quarantined(&route.deployment, number)),
        };
        if let Err(fault) = &loaded {
            tracing::error!(tenant = %route.tenant, deployment = %route.deployment, revision = number, %fault, "a live revision cannot be loaded: it answers 503");
        }
        deployment.loaded.insert(number, loaded);
    }
}
