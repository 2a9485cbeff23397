//! Configuration errors: the problem, its location, and the correction.

use std::path::PathBuf;

use super::origin::Origin;

/// Reason why the configuration is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the configuration file {path}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("parsing the configuration file {path}")]
    Parse {
        /// Path of the file.
        path: PathBuf,
        /// Error of the parser.
        source: toml::de::Error,
    },
    /// An unknown key.
    #[error("unknown key `{key}` ({origin}){}", .closest.as_ref().map(|key| format!("; did you mean `{key}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key as written.
        key: String,
        /// Source of the key.
        origin: Origin,
        /// The most similar known key.
        closest: Option<String>,
    },
    /// A key that was renamed.
    #[error("`{key}` was renamed to `{now}` in 0.2 ({origin})")]
    RenamedKey {
        /// The key as written.
        key: String,
        /// Source of the key.
        origin: Origin,
        /// The new name.
        now: &'static str,
    },
    /// A value of the wrong type.
    #[error("`{key}` takes {expected}, but the value is {found} ({origin})")]
    Type {
        /// The key.
        key: String,
        /// Source of the value.
        origin: Origin,
        /// Expected type.
        expected: &'static str,
        /// The value that was found.
        found: String,
    },
    /// An invalid value.
    #[error("`{key}` {problem} ({origin})")]
    Value {
        /// The key.
        key: String,
        /// Source of the value.
        origin: Origin,
        /// The problem and the correction.
        problem: String,
    },
    /// Values that a running server would take over, beside values that only a restart changes.
    #[error("the new values do not go with those that need a restart: {0}; restart the server")]
    NeedsRestart(Box<ConfigError>),
    /// A table without a required key.
    #[error("the configuration is incomplete: {0}")]
    Shape(String),
    /// The file of contexts.
    #[error("{} {problem}", path.display())]
    Contexts {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A context that does not exist.
    #[error("there is no context `{name}`; those of {} are {known}", path.display())]
    ContextUnknown {
        /// Its name.
        name: String,
        /// The file of contexts.
        path: PathBuf,
        /// The existing ones.
        known: String,
    },
    /// A context whose key is in a variable that is not set.
    #[error(
        "the key of the context `{name}` is that of the environment variable {variable}, which is not set"
    )]
    ContextKey {
        /// Name of the context.
        name: String,
        /// The variable.
        variable: String,
    },
    /// A variable for a key that is not set.
    #[error(
        "the environment variable {variable}, which has the key, is not set: set it, or leave --key-env out"
    )]
    KeyVariable {
        /// The variable.
        variable: String,
    },
    /// A server and a context of another one.
    #[error(
        "the server of the context `{name}` is {server}, not {other}: give one of --context and --server"
    )]
    ContextServer {
        /// Name of the context.
        name: String,
        /// Its server.
        server: String,
        /// The server of the flag.
        other: String,
    },
    /// No variable determines the configuration folder of the user.
    #[error(
        "neither XDG_CONFIG_HOME nor HOME is set: set XDG_CONFIG_HOME to the folder for lector/contexts.toml"
    )]
    NoConfigRoot,
    /// No variable determines the cache folder.
    #[error("neither LECTOR_CACHE nor XDG_CACHE_HOME nor HOME is set: set LECTOR_CACHE to the cache folder")]
    NoCacheRoot,
    /// No variable determines the data folder.
    #[error("neither XDG_DATA_HOME nor HOME is set: set platform.data_dir to the data folder")]
    NoDataRoot,
}
