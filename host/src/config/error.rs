//! What is wrong with a configuration, where it stands, and what would be right.

use std::path::PathBuf;

use super::layers::Origin;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the configuration file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("parsing the configuration file {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: toml::de::Error,
    },
    /// A key that means nothing.
    #[error("unknown key `{key}` ({origin}){}", .closest.as_ref().map(|key| format!("; did you mean `{key}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key as it was written.
        key: String,
        /// Where.
        origin: Origin,
        /// The known key that is most like it.
        closest: Option<String>,
    },
    /// A key that had another name before.
    #[error("`{key}` was renamed to `{now}` in 0.2 ({origin})")]
    RenamedKey {
        /// The key as it was written.
        key: String,
        /// Where.
        origin: Origin,
        /// Its name now.
        now: &'static str,
    },
    /// A value of another type than the key has.
    #[error("`{key}` takes {expected}, and {found} stands there ({origin})")]
    Type {
        /// The key.
        key: String,
        /// Where.
        origin: Origin,
        /// What it takes.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A value that cannot be.
    #[error("`{key}` {problem} ({origin})")]
    Value {
        /// The key.
        key: String,
        /// Where.
        origin: Origin,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A table that does not hold what it must.
    #[error("the configuration is incomplete: {0}")]
    Shape(String),
    /// There is no place to look for fetched libraries.
    #[error("neither LECTOR_CACHE nor XDG_CACHE_HOME nor HOME is set: name the cache folder in LECTOR_CACHE")]
    NoCacheRoot,
    /// There is no place to keep anything.
    #[error("neither XDG_DATA_HOME nor HOME is set: name the data folder in platform.data_dir")]
    NoDataRoot,
}
