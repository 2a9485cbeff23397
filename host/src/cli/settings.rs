//! The options that all commands have, and the configuration of commands that are no server.

use std::collections::BTreeSet;
use std::path::PathBuf;

use lector_core::DeploymentName;

use crate::config::{Config, Effective, Origin, Sources};

use super::failure::Failure;

/// Sources of the configuration; every command has these flags.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Settings {
    /// Configuration file (default: $LECTOR_CONFIG, else ./lector.toml if it exists)
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Set one configuration key, e.g. `--set platform.documents_max=8`; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

/// Returns the sources of the configuration that the flags name.
pub(super) fn sources_of(settings: Settings) -> Result<Sources, Failure> {
    let mut sources = Sources { file: settings.config, ..Sources::default() };
    for pair in settings.set {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Failure::Usage(anyhow::anyhow!("--set {pair}: write it like --set platform.documents_max=8"))
        })?;
        sources.flags.push((key.trim().to_owned(), value.trim().to_owned(), "--set"));
    }
    Ok(sources)
}

/// Limits the log of a command to errors and warnings unless a source sets a filter: the command reports its own
/// failures.
pub(super) fn errors_only(mut config: Config, effective: &Effective) -> Config {
    if effective.origin("log.filter") == Origin::Default {
        "error".clone_into(&mut config.log.filter);
    }
    config
}

/// Leaves the deployments that a command reads with: the named one, or the default, and those that it wraps. The others would be
/// loaded for nothing. A name that is not configured leaves all of them; the start or the first request reports it.
pub(super) fn only_used(mut config: Config, name: Option<&DeploymentName>) -> Config {
    let control = &mut config.control;
    let wanted = name.unwrap_or(&control.default_deployment).clone();
    let (mut used, mut next) = (BTreeSet::new(), Some(wanted.clone()));
    while let Some(name) = next {
        let Some(found) = control.deployments.iter().find(|deployment| deployment.name == name) else {
            return config;
        };
        next = found.wraps.clone();
        if !used.insert(name) {
            // They wrap each other, which the start refuses.
            break;
        }
    }
    control.deployments.retain(|deployment| used.contains(&deployment.name));
    control.default_deployment = wanted;
    config
}

/// Makes the host inside a command keep no state and leave the files of a server alone.
pub(super) fn ephemeral(mut config: Config) -> Config {
    config.control.data_dir = None;
    // The only tenant may use all of the memory.
    config.serving.tenant_held_bytes_max = config.serving.held_bytes_max;
    config.control.tenant_images_bytes_max = 0;
    config
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_command_loads_the_deployments_that_it_reads_with() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lector.toml");
        std::fs::write(&file, "").unwrap();
        let sources = Sources { file: Some(file), ..Sources::default() };
        let (config, _) = Config::load(&sources).unwrap();
        let left = |name: Option<&str>| {
            let name = name.map(DeploymentName::from);
            let control = only_used(config.clone(), name.as_ref()).control;
            let names: Vec<String> = control.deployments.iter().map(|of| of.name.to_string()).collect();
            (control.default_deployment.to_string(), names.join(" "))
        };
        let expected = |default: &str, all: &str| (default.to_owned(), all.to_owned());
        assert_eq!(left(None), expected("standard", "standard"));
        assert_eq!(left(Some("standard-tiny")), expected("standard-tiny", "standard-tiny"));
        assert_eq!(left(Some("redact")), expected("redact", "standard redact"), "with the one that it wraps");
        assert_eq!(left(Some("none")), expected("standard", "standard standard-tiny redact"));
    }
}
