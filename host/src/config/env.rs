//! The environment, read once. Nothing else in the house reads it.

use std::path::PathBuf;

use super::error::ConfigError;

/// What stands before a key: `LECTOR__HTTP__LISTEN` is `http.listen`.
const PREFIX: &str = "LECTOR__";

/// The variables that matter.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `LECTOR_CONFIG`: the file, where no flag names one.
    pub(super) config_file: Option<PathBuf>,
    /// `LECTOR__…`: (variable, value), sorted by name.
    pub(super) keys: Vec<(String, String)>,
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        let mut keys: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            // A value that is no text is kept as far as it is, so that its key is not ignored in silence.
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        keys.sort();
        Self { config_file: path_of("LECTOR_CONFIG"), keys }
    }
}

/// `LECTOR__HTTP__BODY_BYTES_MAX` -> `http.body_bytes_max`.
pub(super) fn key_of(variable: &str) -> String {
    variable.trim_start_matches(PREFIX).to_lowercase().replace("__", ".")
}

/// Where fetched libraries and compiled guests are kept: `LECTOR_CACHE`, else `lector` in
/// `XDG_CACHE_HOME`, else in `~/.cache`.
pub fn cache_root() -> Result<PathBuf, ConfigError> {
    path_of("LECTOR_CACHE")
        .or_else(|| path_of("XDG_CACHE_HOME").map(|dir| dir.join("lector")))
        .or_else(|| path_of("HOME").map(|dir| dir.join(".cache/lector")))
        .ok_or(ConfigError::NoCacheRoot)
}

/// Where tenants, deployments and their components are kept: `lector` in `XDG_DATA_HOME`, else in `~/.local/share`.
pub fn data_root() -> Result<PathBuf, ConfigError> {
    path_of("XDG_DATA_HOME")
        .or_else(|| path_of("HOME").map(|dir| dir.join(".local/share")))
        .map(|dir| dir.join("lector"))
        .ok_or(ConfigError::NoDataRoot)
}

fn path_of(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
