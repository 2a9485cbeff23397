//! A host in this process with one guest, for `guest check`, `test` and `dev`. Needs no server and no GPU.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use lector_control::DeploymentConfig;
use lector_core::{DeploymentName, Fault, PageRequest, RequestId};
use lector_serving::{DocumentRequest, DocumentResult};
use serde_json::{Map, Value};

use super::explained;
use super::golden::Suite;
use crate::app::{self, Host};
use crate::cli::files::bytes_of;
use crate::config::Config;

/// A document that takes longer is assumed to hang: test documents have few pages.
const DOCUMENT_MAX: Duration = Duration::from_secs(600);

/// Name of the deployment of the guest.
pub(super) const GUEST: &str = "guest";

/// Returns the configuration with this component as its only deployment, beside those that it wraps. The guest has the
/// default deployment's grants, and `set` changes it. All run on the CPU in f32: an author's machine has no other
/// engine, and other engines round differently.
pub(super) fn only(
    mut config: Config,
    component: &Path,
    wraps: Option<DeploymentName>,
    set: impl FnOnce(&mut DeploymentConfig),
) -> Config {
    config.engines.providers = vec!["cpu".to_owned()];
    config.engines.model_providers.clear();
    let control = &mut config.control;
    let mut configured = std::mem::take(&mut control.deployments);
    let guest = configured.iter().find(|deployment| deployment.name == control.default_deployment).cloned();
    if let Some(mut guest) = guest {
        guest.name = DeploymentName::from(GUEST);
        guest.component = component.to_owned();
        guest.settings = serde_json::json!({});
        guest.wraps = wraps.clone();
        set(&mut guest);
        control.deployments.push(guest);
    }
    let mut next = wraps;
    // Each is taken out of the list, so that deployments that wrap each other end the loop; the start reports them.
    while let Some(at) = next.and_then(|name| configured.iter().position(|of| of.name == name)) {
        let wrapped = configured.swap_remove(at);
        next = wrapped.wraps.clone();
        control.deployments.push(wrapped);
    }
    control.default_deployment = DeploymentName::from(GUEST);
    config
}

/// A configured guest.
pub(super) struct Reading {
    host: Host,
    request: PageRequest,
    guest_options: Map<String, Value>,
    held_bytes_max: u64,
}

impl Reading {
    /// Starts a host with the settings of `suite`. Fails with a message if the machine lacks a library or a model.
    pub(super) async fn start(config: &Config, component: &Path, suite: &Suite) -> anyhow::Result<Self> {
        if let Some(missing) = app::missing_for_reading(config) {
            anyhow::bail!("nothing can be read on this machine: {missing}");
        }
        let config = only(config.clone(), component, suite.wraps.clone(), |guest| {
            guest.settings = suite.settings.clone();
            if let Some(grants) = &suite.grants {
                guest.grants = grants.clone();
            }
        });
        let host = Host::start(&config).await?;
        let (request, guest_options) = (suite.request, suite.guest_options.clone());
        Ok(Self { host, request, guest_options, held_bytes_max: config.serving.held_bytes_max })
    }

    /// Reads one document. The outer error is one of this machine; the fault is one of the document.
    pub(super) async fn document(&self, file: &Path) -> anyhow::Result<Result<Box<DocumentResult>, Fault>> {
        let bytes = bytes_of(file, self.held_bytes_max).await.with_context(|| file.display().to_string())?;
        let principal = self.host.control.of_this_machine()?;
        let mut request = DocumentRequest::new(RequestId::from("guest"), DOCUMENT_MAX);
        // A fault then has the panic message of the guest and the place in its source.
        request.options = PageRequest { explain: true, ..self.request };
        request.guest_options = self.guest_options.clone();
        Ok(self.host.service.read(&principal, request, bytes).await)
    }

    /// Stops the host.
    pub(super) async fn stop(self) {
        self.host.stop().await;
    }
}

/// Returns what failed, with explanations: the fault of the document, or those of its pages and of its summary. Empty for a
/// document that was read.
pub(super) fn faults_of(answer: &Result<Box<DocumentResult>, Fault>) -> String {
    let shown = |fault: &Fault| explained::fault(&fault.to_string());
    let result = match answer {
        Ok(result) => result,
        Err(fault) => return format!("{}\n", shown(fault)),
    };
    let mut report = String::new();
    for page in &result.pages {
        if let Err(fault) = &page.outcome {
            let _ = writeln!(report, "page {}: {}", page.index + 1, shown(fault));
        }
    }
    if let Some(fault) = &result.summary_fault {
        let _ = writeln!(report, "summary: {}", shown(fault));
    }
    report
}

/// Returns the text of a document.
pub(super) fn text_of(result: &DocumentResult) -> anyhow::Result<String> {
    let bytes = lector_export::document(lector_export::TEXT, result)?;
    String::from_utf8(bytes).context("the text is not UTF-8")
}
