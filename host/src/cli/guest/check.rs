//! `lector guest check`: inspects a component, and reads the smoke-test page with it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use lector_core::DeploymentName;

use super::pipeline_runner::{GUEST, only};
use crate::app::{self, Host};
use crate::cli::failure::Failure;
use crate::cli::runtime::block_on;
use crate::cli::terminal;
use crate::config::Config;

/// Maximum time of the smoke-test page on a cold machine whose engines are built.
const DRY_RUN_MAX: Duration = Duration::from_secs(60);
/// Maximum size of a component; far larger than any guest.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Maximum size of a settings file.
const SETTINGS_BYTES_MAX: u64 = 1 << 20;

pub(super) fn run(
    file: &Path,
    settings: Option<&Path>,
    wraps: Option<DeploymentName>,
    config: Config,
) -> Result<ExitCode, Failure> {
    let wasm = read(file, FILE_BYTES_MAX)?;
    let settings = match settings {
        Some(settings) => json_of(settings)?,
        None => serde_json::json!({}),
    };
    let inspection =
        app::inspect_guest(&wasm).map_err(|fault| anyhow::anyhow!("{}: {fault}", file.display()))?;
    terminal::print(&inspection.report)?;
    if let Err(fault) = inspection.check {
        return Err(anyhow::anyhow!("{}: {fault}", file.display()).into());
    }
    let accepted = settings.to_string();
    let config = only(config, file, wraps, |guest| guest.settings = settings);
    if let Some(missing) = app::missing_for_reading(&config) {
        terminal::print(&format!("dry run   skipped: {missing}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = block_on(&config, async {
        let host = Host::start(&config).await?;
        let status = host.service.status();
        let answer = host.service.check_readiness(DRY_RUN_MAX).await;
        host.stop().await;
        let probed = answer.map_err(|fault| anyhow::anyhow!("dry run: {fault}"))?;
        Ok((status, probed))
    })?;
    let (status, probed) = report;
    for deployment in status.deployments.iter().filter(|deployment| deployment.name.as_str() == GUEST) {
        terminal::print(&format!(
            "configure accepts {accepted}; opens {}; features: {}\n",
            listed(&deployment.models),
            listed(&deployment.features)
        ))?;
        if let Some(schema) = &deployment.options_schema {
            terminal::print(&format!("options   {}\n", schema.value()))?;
        }
    }
    for deployment in probed.deployments.iter().filter(|deployment| deployment.name.as_str() == GUEST) {
        terminal::print(&format!(
            "dry run   read the smoke-test page in {:.0} ms{}\n",
            deployment.took.as_secs_f64() * 1e3,
            if deployment.word_found { "" } else { "; it did not find the expected word" },
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::metadata(file).with_context(|| format!("reading {}", file.display()))?.len();
    if bytes > bytes_max {
        bail!("{} has {bytes} bytes; the limit is {bytes_max}", file.display());
    }
    std::fs::read(file).with_context(|| format!("reading {}", file.display()))
}

/// Reads the settings of a guest from a file: TOML if its name ends so, JSON otherwise.
fn json_of(file: &Path) -> anyhow::Result<serde_json::Value> {
    let bytes = read(file, SETTINGS_BYTES_MAX)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))?;
    let is_toml = file.extension().is_some_and(|end| end == "toml");
    let settings: serde_json::Value = if is_toml {
        toml::from_str(&text).with_context(|| format!("{} is not TOML", file.display()))?
    } else {
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?
    };
    if !settings.is_object() {
        bail!("{} must contain an object", file.display());
    }
    Ok(settings)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
