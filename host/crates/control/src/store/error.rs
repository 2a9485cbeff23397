//! Errors of the store, and their conversion to faults.

use std::path::PathBuf;
use std::time::Duration;

use lector_core::{Fault, Kind, error_chain};

/// An error of the store, with the object that it concerns.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder cannot be used.
    #[error("opening the data folder {dir}: {problem}", dir = dir.display())]
    Open {
        /// The folder.
        dir: PathBuf,
        /// The problem, and what to do.
        problem: String,
    },
    /// Another process holds the data folder.
    #[error("the data folder {dir} is in use by another server: stop it, or give this one a folder of its own (platform.data_dir)", dir = dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// A later version of Lector has written to the data folder.
    #[error("the data folder {dir} has schema {found}, and this version supports schemas up to {known}: use the version that wrote it, or restore a backup", dir = dir.display())]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// The schema version of the folder.
        found: u32,
        /// The newest supported version.
        known: u32,
    },
    /// A read failed.
    #[error("reading {what} from the store")]
    Read {
        /// The object.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A write failed; nothing was changed.
    #[error("writing {what} to the store")]
    Write {
        /// The object.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk is full; nothing was changed.
    #[error("writing {what}: the disk of the data folder is full")]
    Full {
        /// The object.
        what: &'static str,
    },
    /// The disk, folder or file is not writable; nothing was changed.
    #[error("writing {what}: the data folder cannot be written")]
    ReadOnly {
        /// The object.
        what: &'static str,
    },
    /// The record is not at the version that the change expects.
    #[error("{what} was changed concurrently")]
    Conflict {
        /// The object.
        what: String,
    },
    /// The stored content is not the content that was written.
    #[error("{what} is damaged")]
    Damaged {
        /// The object.
        what: String,
    },
}

impl StoreError {
    /// Makes an error of a write to a file.
    pub fn write(what: &'static str, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{
            FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        match source.kind() {
            // The last one: the process may not write files of that size.
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full { what },
            PermissionDenied | ReadOnlyFilesystem => Self::ReadOnly { what },
            _ => Self::Write { what, source: source.into() },
        }
    }

    /// Makes an error of a read from a file.
    pub(crate) fn read(what: &'static str, source: std::io::Error) -> Self {
        Self::Read { what, source: source.into() }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        // The full chain goes to the log; the client learns whether anything was changed, and whether to retry.
        let detail = error_chain(&error);
        let fault = match &error {
            StoreError::Conflict { .. } => Fault::new(
                Kind::Conflict,
                "route_changed",
                "Another client changed the same object at the same time: check its state, then repeat the request.",
            ),
            StoreError::Full { .. } => Fault::new(
                Kind::Unavailable,
                "storage_full",
                "The server's disk is full. Nothing was changed, and documents are still read: tell the operator.",
            ),
            StoreError::ReadOnly { .. } => Fault::new(
                Kind::Unavailable,
                "storage_read_only",
                "The server cannot write its data folder. Nothing was changed, and documents are still read: tell the operator.",
            ),
            StoreError::Damaged { .. } => Fault::new(
                Kind::Unavailable,
                "storage_damaged",
                "The stored component is damaged: deploy it again, or have the operator restore a backup.",
            ),
            _ => Fault::new(
                Kind::Unavailable,
                "storage_unavailable",
                "The server could not use its store. Nothing was changed: try again, and tell the operator.",
            )
            .retry_after(Duration::from_secs(5)),
        };
        fault.with_detail(detail)
    }
}
