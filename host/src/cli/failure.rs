//! The failure of a command, and its exit code.

use crate::config::ConfigError;

/// A failed command, as far as the exit code is concerned.
pub(super) enum Failure {
    /// Invalid arguments or configuration.
    Usage(anyhow::Error),
    /// A failure while the command ran.
    Work(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Work(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.into())
    }
}
