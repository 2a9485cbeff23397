//! The gateway: HTTP in front of the control plane and the document service.
//!
//! Owns HTTP: connections, routes, requests and their limits, the shape of responses, the translation of faults. Only
//! this module uses axum and hyper. Depends on the control plane, the document service and the formats; does not depend
//! on engines, renderers or guests. Called by `app.rs`, which passes a listener and the state.
//!
//! The path of a request: `listen` accepts the connection, `middleware` adds an id, a span and a log line, `router`
//! selects the handler, `options` parses the options, `body` and `upload` receive the documents, `ocr` returns the
//! response of one document, `batch` streams the events of several, `jobs` accepts documents that are read later. `problem` builds every error response.

mod auth;
mod batch;
mod body;
mod compat;
mod config_reload;
mod connection_table;
mod delivery;
mod engines;
mod extract;
mod files;
mod gateway;
mod health;
mod jobs;
mod json;
mod listen;
mod manage;
mod middleware;
mod ocr;
mod openapi;
mod options;
mod paging;
mod parsing;
mod pieces;
mod problem;
mod problem_pages;
mod proxy;
mod router;
mod socket;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod upload;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use body::BodyLimits;
use lector_control::{ControlPlane, Principal};
use lector_core::{Fault, Kind};
use lector_jobs::Jobs;
use lector_serving::DocumentService;

use crate::config::HttpConfig;
use crate::metrics::Metrics;

pub use config_reload::{ConfigReload, ReloadReport};
pub use gateway::Gateway;
pub use listen::{Drained, Ending, serve, serve_metrics};
pub use manage::status as server_status;

/// The state that every handler receives.
#[derive(Clone)]
pub struct AppState {
    /// The control plane: tenants, keys, deployments.
    control: Arc<ControlPlane>,
    /// The document service, which reads documents.
    service: Arc<DocumentService>,
    /// The jobs; `None`: the configuration disables them.
    jobs: Option<Arc<Jobs>>,
    /// The metrics.
    metrics: Arc<Metrics>,
    /// The limits of the gateway.
    config: Arc<HttpConfig>,
    /// Uploaded files, and what the APIs of other software keep between requests.
    compat: Arc<compat::stores::Stores>,
    /// Reloads the configuration; empty where there is none to reload.
    reload: Arc<OnceLock<Arc<dyn ConfigReload>>>,
    /// When the server started.
    started: Instant,
}

impl AppState {
    /// Creates the state of a gateway.
    pub fn new(service: Arc<DocumentService>, metrics: Arc<Metrics>, config: HttpConfig) -> Self {
        let control = service.control().clone();
        let compat = Arc::new(compat::stores::Stores::new(&config.compat, control.clock().clone()));
        compat.follow(&control);
        let reload = Arc::default();
        let (config, started) = (Arc::new(config), Instant::now());
        Self { control, service, jobs: None, metrics, config, compat, reload, started }
    }

    /// Returns the state with other limits of the gateway.
    fn with_config(&self, config: HttpConfig) -> Self {
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// Sets what reloads the configuration; the first one stays.
    pub fn reload_by(&self, reload: Arc<dyn ConfigReload>) {
        // A second one is a bug without a consequence.
        let _ = self.reload.set(reload);
    }

    /// Returns the state with jobs.
    pub fn with_jobs(self, jobs: Option<Arc<Jobs>>) -> Self {
        Self { jobs, ..self }
    }

    /// Returns the jobs, if there are any.
    pub fn all_jobs(&self) -> Option<Arc<Jobs>> {
        self.jobs.clone()
    }

    /// Returns the most bytes of a document of the principal: its tenant's own bound, within the one of the server.
    fn body_bytes_max(&self, principal: &Principal) -> u64 {
        principal.limits().document_bytes_max(self.config.body_bytes_max)
    }

    /// Returns the limits of a body: its bytes, the time for which the server waits for the client in all, and its end.
    fn body_limits(&self, bytes_max: u64, waits_max: Duration, until: Instant) -> BodyLimits {
        let (idle_max, rate_min) = (self.config.body_idle_timeout, self.config.transfer_rate_min);
        BodyLimits { bytes_max, idle_max, rate_min, waits_max, until }
    }

    /// Returns the jobs. Fault: `jobs_disabled`.
    fn jobs(&self) -> Result<&Arc<Jobs>, Fault> {
        self.jobs.as_ref().ok_or_else(|| {
            let message =
                "This server has no jobs: they are disabled (`jobs.enabled`), or its disk was full or read-only when it \
                           started. Send the document to /api/v1/ocr.";
            Fault::new(Kind::Unavailable, "jobs_disabled", message)
        })
    }
}
