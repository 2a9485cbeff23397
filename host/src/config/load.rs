//! Loads the configuration: merges the sources, then validates.

use super::env::Environment;
use super::layers::{Effective, Sources};
use super::{Config, ConfigError, validate};

impl Config {
    /// Reads, merges and validates all sources. `Effective` holds the source of each value.
    pub fn load(sources: &Sources) -> Result<(Self, Effective), ConfigError> {
        let effective = Effective::gather(sources, Environment::of_process())?;
        let config = validate::raise(&effective)?;
        Ok((config, effective))
    }
}
