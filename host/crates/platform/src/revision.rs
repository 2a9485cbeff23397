//! Revisions, the routes to them, and the leases that requests hold on them.
//!
//! A revision is a component with settings, grants and limits, and never changes. Routes are one
//! immutable snapshot behind one pointer: a request reads it once and keeps its revision for its whole
//! life. Until deployments can be changed at run time the snapshot is written once, at the start.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use lector_core::{
    Budget, CallCtx, Declaration, DeploymentName, Fault, Kind, ModelName, RequestId, TenantName,
};

use crate::config::DeploymentConfig;
use crate::gate::{Gate, Pass};
use crate::reader::{Loader, Reader};

/// `configure` reads no page: what takes longer than this hangs.
const CONFIGURE_MAX: Duration = Duration::from_secs(30);
/// Largest component that is read from disk. The default guest is below 2 MB; compiling 200 MB takes minutes.
const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// A guest ready to read pages.
pub(crate) struct Revision {
    pub(crate) tenant: TenantName,
    pub(crate) deployment: DeploymentName,
    pub(crate) declaration: Declaration,
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) gate: Arc<Gate>,
    settings: Arc<str>,
    grants: Arc<BTreeMap<String, ModelName>>,
    budget: Budget,
}

impl Revision {
    /// Reads, loads and configures what `config` names, and has its models ready. A fault says at which of these
    /// steps it stopped.
    pub(crate) async fn make(
        tenant: TenantName,
        config: DeploymentConfig,
        loader: &dyn Loader,
    ) -> Result<Arc<Self>, Fault> {
        let name = config.name.clone();
        let wasm = component(&config).await?;
        let reader = loader.load(wasm).await.map_err(|fault| of(&name, fault))?;
        let settings: Arc<str> = config.settings.to_string().into();
        let mut revision = Self {
            tenant,
            deployment: config.name,
            declaration: Declaration { models: vec![], batching: vec![], features: vec![] },
            reader,
            gate: Arc::default(),
            settings: settings.clone(),
            grants: Arc::new(config.grants),
            budget: config.budget,
        };
        let ctx = revision.ctx(RequestId::from("configure"), Instant::now() + CONFIGURE_MAX);
        let answer = revision.reader.configure(&ctx, &settings).await.map_err(|fault| of(&name, fault))?;
        revision.declaration = answer.map_err(|complaint| {
            let at = if complaint.pointer.is_empty() { "/" } else { &complaint.pointer };
            Fault::new(
                Kind::Invalid,
                "settings_refused",
                format!(
                    "The guest of deployment `{name}` refuses its settings at `{at}`: {}",
                    complaint.message
                ),
            )
        })?;
        let missing: Vec<&str> = revision
            .declaration
            .models
            .iter()
            .filter(|alias| !revision.grants.contains_key(*alias))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            return Err(Fault::new(
                Kind::Denied,
                "grant_missing",
                format!(
                    "The guest of deployment `{name}` opens models that it is not granted: {}. Grant each alias a \
                     model of the catalogue.",
                    missing.join(", ")
                ),
            ));
        }
        // Only now is it known which models it opens; one that nobody opens would cost memory for nothing.
        loader.prepare(revision.models()).await.map_err(|fault| of(&name, fault))?;
        Ok(Arc::new(revision))
    }

    /// The catalogue's models behind the aliases that the guest declared.
    pub(crate) fn models(&self) -> Vec<ModelName> {
        self.declaration.models.iter().filter_map(|alias| self.grants.get(alias)).cloned().collect()
    }

    /// What a guest call of this revision is made with.
    pub(crate) fn ctx(&self, request: RequestId, deadline: Instant) -> CallCtx {
        CallCtx {
            tenant: self.tenant.clone(),
            deployment: self.deployment.clone(),
            request,
            settings: self.settings.clone(),
            grants: self.grants.clone(),
            budget: self.budget,
            deadline,
            weight: 1,
            batching: self.declaration.batching.as_slice().into(),
        }
    }

    /// A lease in the name of `holder`.
    pub(crate) fn lease(self: &Arc<Self>, holder: &str) -> Result<Lease, Fault> {
        let pass = self.gate.enter(holder.into(), usize::MAX).map_err(|_| {
            Fault::new(
                Kind::Unavailable,
                "revision_retired",
                "The revision was replaced just now: send the request again.",
            )
        })?;
        Ok(Lease { revision: self.clone(), _pass: pass })
    }
}

async fn component(config: &DeploymentConfig) -> Result<Vec<u8>, Fault> {
    let name = &config.name;
    let unreadable = |error: std::io::Error| {
        Fault::new(
            Kind::Unavailable,
            "component_unreadable",
            format!(
                "The component of deployment `{name}` cannot be read: build the guests, or correct its path."
            ),
        )
        .with_detail(format!("{}: {error}", config.component.display()))
    };
    let bytes = tokio::fs::metadata(&config.component).await.map_err(unreadable)?.len();
    if bytes > COMPONENT_BYTES_MAX {
        return Err(Fault::new(
            Kind::TooLarge,
            "component_too_large",
            format!(
                "The component of deployment `{name}` has {bytes} bytes, and at most {COMPONENT_BYTES_MAX} are taken."
            ),
        ));
    }
    tokio::fs::read(&config.component).await.map_err(unreadable)
}

/// A fault of loading or configuring, with the deployment's name before it.
fn of(name: &DeploymentName, mut fault: Fault) -> Fault {
    fault.message = format!("Deployment `{name}`: {}", fault.message);
    fault
}

/// The right to use one revision; while it is held the revision stays.
pub struct Lease {
    pub(crate) revision: Arc<Revision>,
    _pass: Pass,
}

impl Lease {
    /// The deployment that was asked for, or the default one.
    pub fn deployment(&self) -> &DeploymentName {
        &self.revision.deployment
    }

    /// SHA-256 of the component, hexadecimal.
    pub fn digest(&self) -> &str {
        self.revision.reader.digest()
    }

    /// What the guest said of itself when it was configured.
    pub fn declaration(&self) -> &Declaration {
        &self.revision.declaration
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("deployment", self.deployment())
            .field("digest", &self.digest())
            .finish()
    }
}

/// Which revision answers which deployment.
pub(crate) struct Snapshot {
    pub(crate) default: DeploymentName,
    pub(crate) live: BTreeMap<DeploymentName, Arc<Revision>>,
}

/// The pointer to the current snapshot.
pub(crate) struct Routes(RwLock<Arc<Snapshot>>);

impl Routes {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self(RwLock::new(Arc::new(snapshot)))
    }

    /// The snapshot as it is now.
    pub(crate) fn now(&self) -> Arc<Snapshot> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A lease on the revision that answers `deployment`.
    pub(crate) fn lease(&self, deployment: Option<&DeploymentName>, holder: &str) -> Result<Lease, Fault> {
        let snapshot = self.now();
        let name = deployment.unwrap_or(&snapshot.default);
        match snapshot.live.get(name) {
            Some(revision) => revision.lease(holder),
            None => {
                let shown: String = name.as_str().chars().take(64).collect();
                Err(Fault::new(
                    Kind::NotFound,
                    "deployment_not_found",
                    format!("There is no deployment `{shown}`: leave the name out for the default one."),
                ))
            }
        }
    }
}
