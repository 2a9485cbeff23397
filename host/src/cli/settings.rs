//! The options that all commands have, and the configuration of commands that are no server.

use std::path::PathBuf;

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

/// Makes the host inside a command keep no state and leave the files of a server alone.
pub(super) fn ephemeral(mut config: Config) -> Config {
    config.control.data_dir = None;
    // The only tenant may use all of the memory.
    config.serving.tenant_held_bytes_max = config.serving.held_bytes_max;
    config.control.tenant_images_bytes_max = 0;
    config
}
