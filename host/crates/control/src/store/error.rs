//! Why the store did not do what it was asked, and what that is to those who asked.

use std::path::PathBuf;
use std::time::Duration;

use lector_core::{Fault, Kind};

/// What failed, on what.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder cannot be used.
    #[error("opening the data folder {dir}: {problem}", dir = dir.display())]
    Open {
        /// The folder.
        dir: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Another process holds the data folder.
    #[error("the data folder {dir} is in use by another server: stop it, or give this one a folder of its own (platform.data_dir)", dir = dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// A later version of Lector has written there.
    #[error("the data folder {dir} has schema {found}, and this version knows schemas up to {known}: use the version that wrote it, or restore a backup", dir = dir.display())]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// As found.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// Reading.
    #[error("reading {what} from the store")]
    Read {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Writing; nothing was changed.
    #[error("writing {what} to the store")]
    Write {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk is full; nothing was changed.
    #[error("writing {what}: the disk of the data folder is full")]
    Full {
        /// What.
        what: &'static str,
    },
    /// The disk, folder or file may not be written; nothing was changed.
    #[error("writing {what}: the data folder cannot be written")]
    ReadOnly {
        /// What.
        what: &'static str,
    },
    /// The record is not at the version that the change was made for.
    #[error("{what} was changed by somebody else meanwhile")]
    Conflict {
        /// What.
        what: String,
    },
    /// What is there is not what was put there.
    #[error("{what} is damaged")]
    Damaged {
        /// What.
        what: String,
    },
}

impl StoreError {
    /// Of a write to a file.
    pub fn write(what: &'static str, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{
            FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        match source.kind() {
            // The last one where the process may not write files of that size.
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full { what },
            PermissionDenied | ReadOnlyFilesystem => Self::ReadOnly { what },
            _ => Self::Write { what, source: source.into() },
        }
    }

    /// Of a read of a file.
    pub(crate) fn read(what: &'static str, source: std::io::Error) -> Self {
        Self::Read { what, source: source.into() }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        // The whole chain is for the log; those who ask learn whether anything was changed, and whether to come back.
        let detail = chain(&error);
        let fault = match &error {
            StoreError::Conflict { .. } => Fault::new(
                Kind::Conflict,
                "route_changed",
                "Somebody else changed the same thing at the same time: look at it again, then repeat.",
            ),
            StoreError::Full { .. } => Fault::new(
                Kind::Unavailable,
                "storage_full",
                "The server's disk is full. Nothing was changed, and documents are read as before; tell the operator.",
            ),
            StoreError::ReadOnly { .. } => Fault::new(
                Kind::Unavailable,
                "storage_read_only",
                "The server cannot write its data folder. Nothing was changed, and documents are read as before; tell the operator.",
            ),
            StoreError::Damaged { .. } => Fault::new(
                Kind::Unavailable,
                "storage_damaged",
                "What the server had kept is damaged: deploy it again, or have the operator restore a backup.",
            ),
            _ => Fault::new(
                Kind::Unavailable,
                "storage_unavailable",
                "The server could not reach its own records. Nothing was changed; try again, and tell the operator.",
            )
            .retry_after(Duration::from_secs(5)),
        };
        fault.with_detail(detail)
    }
}

/// The causes of an error on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
