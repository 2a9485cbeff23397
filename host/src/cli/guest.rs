//! `lector guest check`: what a component is, and whether it reads a golden page.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use lector_core::DeploymentName;

use super::{Failure, block_on, terminal};
use crate::app::{self, Host};
use crate::config::Config;

/// The golden page on a cold machine: engines built, nothing warm.
const DRY_RUN_MAX: Duration = Duration::from_secs(60);
/// Far above any guest; a bound on what is read into memory.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What to do with guests.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Inspects a component, configures it with `{}` and lets it read a golden page
    Check {
        /// The component
        #[arg(value_name = "FILE.wasm")]
        file: PathBuf,
    },
}

pub(super) fn run(command: Command, config: Config) -> Result<ExitCode, Failure> {
    let Command::Check { file } = command;
    let wasm = read(&file)?;
    let inspection =
        app::inspect_guest(&wasm).map_err(|fault| anyhow::anyhow!("{}: {fault}", file.display()))?;
    terminal::print(&inspection.report)?;
    if let Err(fault) = inspection.verdict {
        return Err(anyhow::anyhow!("{}: {fault}", file.display()).into());
    }
    let config = only(config, &file);
    if let Some(missing) = app::missing_for_reading(&config) {
        terminal::print(&format!("dry run   skipped: {missing}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = block_on(&config, async {
        let host = Host::start(&config).await?;
        let status = host.platform.status();
        let answer = host.platform.probe(DRY_RUN_MAX).await;
        host.stop().await;
        let probed = answer.map_err(|fault| anyhow::anyhow!("dry run: {fault}"))?;
        Ok((status, probed))
    })?;
    let (status, probed) = report;
    for deployment in &status.deployments {
        terminal::print(&format!(
            "configure accepts {{}}; opens {}; features: {}\n",
            listed(&deployment.models),
            listed(&deployment.features)
        ))?;
    }
    for deployment in &probed.deployments {
        terminal::print(&format!(
            "dry run   read the golden page in {:.0} ms{}\n",
            deployment.took.as_secs_f64() * 1e3,
            if deployment.word_found { "" } else { "; it did not find the word written there" },
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::metadata(file).with_context(|| format!("reading {}", file.display()))?.len();
    if bytes > FILE_BYTES_MAX {
        bail!("{} has {bytes} bytes: that is no guest", file.display());
    }
    std::fs::read(file).with_context(|| format!("reading {}", file.display()))
}

/// The configuration with this component as its only deployment, granted what the default one is.
fn only(mut config: Config, file: &Path) -> Config {
    let platform = &mut config.platform;
    let default = platform.default_deployment.clone();
    platform.deployments.retain(|deployment| deployment.name == default);
    for deployment in &mut platform.deployments {
        deployment.name = DeploymentName::from("check");
        deployment.component = file.to_owned();
        deployment.settings = serde_json::json!({});
    }
    platform.default_deployment = DeploymentName::from("check");
    config
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
