//! Errors of the catalog.

use std::path::{Path, PathBuf};

use lector_core::ModelName;

use super::digest::Sha256;

/// Why the catalog, or a model of it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A folder or file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A folder or file cannot be written.
    #[error("cannot write {}", path.display())]
    Unwritable {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A `model.toml` is malformed: invalid TOML, an unknown or a missing key.
    #[error("{} is not a model description", path.display())]
    Malformed {
        /// The path.
        path: PathBuf,
        /// The position and the cause.
        source: Box<toml::de::Error>,
    },
    /// A `model.toml` has an invalid value.
    #[error("{}: {what}", path.display())]
    Invalid {
        /// The path.
        path: PathBuf,
        /// The invalid value, and the valid ones.
        what: String,
    },
    /// A file of a model is missing.
    #[error("model {model} lacks {}; run `cargo xtask setup` to fetch it", path.display())]
    Missing {
        /// The model.
        model: ModelName,
        /// The file.
        path: PathBuf,
    },
    /// A file of a model does not have the digest of its description.
    #[error(
        "{} of model {model} has sha256 {found}, expected {expected}; delete it and run `cargo xtask setup`",
        path.display()
    )]
    Differs {
        /// The model.
        model: ModelName,
        /// The file.
        path: PathBuf,
        /// Digest in `model.toml`.
        expected: Sha256,
        /// Digest of the file.
        found: Sha256,
    },
    /// The labels of a model are missing or invalid.
    #[error("labels of model {model}: {what}")]
    Labels {
        /// The model.
        model: ModelName,
        /// The cause.
        what: String,
    },
}

impl CatalogError {
    /// Returns whether the error is in a file of that model, judged by the path.
    pub(crate) fn concerns(&self, model: &ModelName) -> bool {
        let named = |path: &Path| path.components().any(|part| part.as_os_str() == model.as_str());
        match self {
            Self::Unreadable { path, .. }
            | Self::Unwritable { path, .. }
            | Self::Malformed { path, .. }
            | Self::Invalid { path, .. } => named(path),
            Self::Missing { model: of, .. }
            | Self::Differs { model: of, .. }
            | Self::Labels { model: of, .. } => of == model,
        }
    }

    /// Returns the message without paths, for clients that must not see them.
    pub(crate) fn without_paths(&self) -> String {
        let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::Unreadable { path, .. } => format!("`{}` of the catalog cannot be read", file(path)),
            Self::Unwritable { path, .. } => format!("`{}` of the catalog cannot be written", file(path)),
            Self::Malformed { .. } | Self::Invalid { .. } => {
                "a model description in the catalog is invalid".to_owned()
            }
            Self::Missing { model, path } => {
                format!("model {model} lacks `{}`; `cargo xtask setup` fetches it", file(path))
            }
            Self::Differs { model, path, .. } => {
                format!("`{}` of model {model} is not the file that its description names", file(path))
            }
            Self::Labels { .. } => self.to_string(),
        }
    }

    /// Returns the error of a file of a model that cannot be read.
    pub(super) fn of_file(model: &ModelName, path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            std::io::ErrorKind::NotFound => Self::Missing { model: model.clone(), path },
            _ => Self::Unreadable { path, source },
        }
    }

    /// Returns an error unless the digest of a model's file is the expected one.
    pub(super) fn unless_same(
        model: &ModelName,
        path: &Path,
        expected: &Sha256,
        found: Sha256,
    ) -> Result<(), Self> {
        if *expected == found {
            return Ok(());
        }
        let (model, path, expected) = (model.clone(), path.to_owned(), expected.clone());
        Err(Self::Differs { model, path, expected, found })
    }
}
