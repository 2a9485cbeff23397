//! The reload of the configuration of a running server: on SIGHUP, and by `POST /api/v1/admin/config/reload`.
//!
//! Owns the order that makes it safe: read and validate everything, make what can fail (certificates, the client of
//! webhooks), write the audit event, then replace the values of each part, which cannot fail. The keys are in
//! `config/reload.rs`.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use anyhow::Context;
use futures::FutureExt;
use futures::future::BoxFuture;
use lector_control::{Admin, ConfigReload as AuditedReload, ControlPlane};
use lector_core::{Blame, Fault, Kind};
use lector_jobs::Jobs;
use lector_serving::DocumentService;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::config::{Config, ConfigChange, Effective, HttpConfig, Reload, Sources};
use crate::http::{ConfigReload, Gateway, ReloadReport};
use crate::telemetry::LogFilter;
use crate::tls::ServerTls;
use crate::webhooks::WebhookClient;

/// The parts of a running server that a reload changes.
pub(crate) struct Parts {
    pub(crate) control: Arc<ControlPlane>,
    pub(crate) service: Arc<DocumentService>,
    pub(crate) jobs: Option<Arc<Jobs>>,
    pub(crate) webhooks: Option<Arc<WebhookClient>>,
    pub(crate) tls: Option<Arc<ServerTls>>,
    pub(crate) filter: LogFilter,
    /// The gateway holds this reloader, and ends first.
    pub(crate) gateway: Weak<Gateway>,
    /// The address of the server.
    pub(crate) address: SocketAddr,
    /// Returns the limits of the gateway that this process can have.
    pub(crate) bounded: fn(&Config) -> anyhow::Result<HttpConfig>,
}

/// Reloads the configuration.
pub(crate) struct Reloader {
    parts: Parts,
    sources: Sources,
    /// The values in force. Held by the reload in progress; there is at most one.
    running: Mutex<Effective>,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}

/// What is made before anything is replaced, because it can fail.
struct Made {
    gateway: Arc<Gateway>,
    http: HttpConfig,
    tls: Option<Arc<ServerTls>>,
    webhooks: Option<WebhookClient>,
}

impl Reloader {
    pub(crate) fn new(parts: Parts, sources: Sources, effective: Effective) -> Arc<Self> {
        Arc::new(Self { parts, sources, running: Mutex::new(effective) })
    }

    /// Reloads for the sender of a signal; the result is in the log.
    pub(crate) async fn by_signal(&self) {
        // Logged where it happens.
        let _ = self.reload_as(&Admin::by_signal(), false).await;
    }

    async fn reload_as(&self, admin: &Admin, dry_run: bool) -> Result<ReloadReport, Fault> {
        let mut running = self.running.lock().await;
        let outcome = self.reload_from(&mut running, admin, dry_run).await;
        match &outcome {
            Ok(report) => tracing::info!(
                applied = keys(&report.applied),
                needs_restart = keys(&report.needs_restart),
                unchanged = report.unchanged,
                dry_run,
                "configuration reloaded"
            ),
            Err(fault) => {
                tracing::error!(%fault, "the configuration was not reloaded: the server keeps the one that it has");
            }
        }
        outcome
    }

    async fn reload_from(
        &self,
        running: &mut Effective,
        admin: &Admin,
        dry_run: bool,
    ) -> Result<ReloadReport, Fault> {
        let read = running.reload(&self.sources).map_err(anyhow::Error::from);
        let made = read.and_then(|reload| Ok((self.make(&reload)?, reload)));
        let (made, reload) = made.map_err(|error| invalid(&error))?;
        let report = ReloadReport {
            dry_run,
            applied: reload.applied,
            needs_restart: reload.needs_restart,
            unchanged: reload.unchanged as u64,
        };
        if dry_run {
            return Ok(report);
        }
        let of = |value: fn(&ConfigChange) -> &Value| -> Value {
            let values = report.applied.iter().map(|change| (change.key.clone(), value(change).clone()));
            Value::Object(values.collect::<Map<_, _>>())
        };
        let changes = AuditedReload { from: of(|change| &change.from), to: of(|change| &change.to) };
        let Parts { control, service, jobs, webhooks, tls, filter, .. } = &self.parts;
        control.reload(admin, &reload.config.control, changes).await?;
        service.retune(&reload.config.serving);
        if let (Some(jobs), Some(settings)) = (jobs, reload.config.jobs) {
            jobs.retune(settings.config);
        }
        if let (Some(webhooks), Some(new)) = (webhooks, &made.webhooks) {
            webhooks.adopt(new);
        }
        if let (Some(tls), Some(new)) = (tls, &made.tls) {
            tls.adopt(new);
        }
        made.gateway.reconfigure(made.http);
        if let Err(error) = filter.replace(&reload.config.log.filter) {
            // It was validated: only a log that has ended does not take it.
            tracing::error!(error = format!("{error:#}"), "the filter of the log stays");
        }
        *running = reload.effective;
        Ok(report)
    }

    fn make(&self, reload: &Reload) -> anyhow::Result<Made> {
        let config = &reload.config;
        let gateway = self.parts.gateway.upgrade().context("the server stops")?;
        if self.parts.control.is_open()
            && !self.parts.address.ip().is_loopback()
            && !config.http.allow_insecure_public
        {
            anyhow::bail!(
                "`http.allow_insecure_public` is false, {} is not a loopback address, and there are no keys: create an \
                 administrator's key first (lector keys create --admin)",
                self.parts.address
            );
        }
        // Also with the same names: the files may have changed.
        let tls = match (&self.parts.tls, &config.http.tls) {
            (Some(_), Some(files)) => Some(ServerTls::load(files.clone())?),
            _ => None,
        };
        let webhooks = match (&self.parts.webhooks, &config.jobs) {
            (Some(_), Some(settings)) => {
                let webhooks = &settings.config.webhooks;
                let made = WebhookClient::new(webhooks.egress.clone(), webhooks.timeout);
                Some(made.context("making the client for webhooks")?)
            }
            _ => None,
        };
        Ok(Made { gateway, http: (self.parts.bounded)(config)?, tls, webhooks })
    }
}

impl ConfigReload for Reloader {
    fn reload<'a>(&'a self, admin: &'a Admin, dry_run: bool) -> BoxFuture<'a, Result<ReloadReport, Fault>> {
        self.reload_as(admin, dry_run).boxed()
    }
}

fn keys(changes: &[ConfigChange]) -> String {
    changes.iter().map(|change| change.key.as_str()).collect::<Vec<_>>().join(", ")
}

fn invalid(error: &anyhow::Error) -> Fault {
    let message = format!(
        "The configuration is invalid, and nothing was changed: {error:#}. Correct it, and reload again."
    );
    Fault::new(Kind::Conflict, "config_invalid", message).blaming(Blame::Client)
}

#[cfg(test)]
mod tests;
