//! Paths: the repository, the cache outside git, and the lock that serializes set-ups. The only module that derives
//! paths from the environment.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Version of the ONNX Runtime that the server loads.
pub const ONNXRUNTIME_VERSION: &str = "1.31.1";
/// Version of the OpenVINO that the server loads if it is faster.
pub const OPENVINO_VERSION: &str = "2026.4.1";
/// Version of the libtesseract that the server loads for languages that no ONNX model reads.
pub const TESSERACT_VERSION: &str = "5.3.0";
/// Build number of the pdfium in the wheel that `setup` unpacks.
pub const PDFIUM_BUILD: &str = "8149";

/// The repository and the cache.
pub struct Places {
    /// Root of the repository.
    pub root: PathBuf,
    /// Downloads and builds shared by all checkouts of a user.
    pub cache: PathBuf,
}

impl Places {
    /// Finds both, and creates the cache folder.
    pub fn find() -> Result<Self> {
        // `cargo run` sets the package's current folder; the compiled-in path serves a binary started by hand.
        let here = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = here
            .join("../..")
            .canonicalize()
            .with_context(|| format!("{} is not in a repository", here.display()))?;
        let cache = cache_root()?;
        fs::create_dir_all(&cache)
            .with_context(|| format!("cannot create the cache folder {}", cache.display()))?;
        if cache.to_string_lossy().contains(char::is_whitespace) {
            bail!(
                "the cache path {} contains white space, which compiler flags cannot contain: set LECTOR_CACHE to another folder",
                cache.display()
            );
        }
        Ok(Self { root, cache })
    }

    /// Returns a path inside the repository.
    pub fn repo(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Folder of downloaded wheels.
    pub fn wheels(&self) -> PathBuf {
        self.cache.join("wheels")
    }

    /// Path of the ONNX Runtime library.
    pub fn onnxruntime(&self) -> PathBuf {
        self.cache
            .join(format!("lib/onnxruntime-{ONNXRUNTIME_VERSION}/libonnxruntime.so.{ONNXRUNTIME_VERSION}"))
    }

    /// Folder of ONNX Runtime with its GPU providers, which must be in the same folder.
    pub fn onnxruntime_gpu(&self) -> PathBuf {
        self.cache.join(format!("lib/onnxruntime-gpu-{ONNXRUNTIME_VERSION}"))
    }

    /// Folder of the CUDA libraries.
    pub fn cuda(&self) -> PathBuf {
        self.cache.join("lib/cuda-13")
    }

    /// Folder of the OpenVINO libraries.
    pub fn openvino(&self) -> PathBuf {
        self.cache.join(format!("lib/openvino-{OPENVINO_VERSION}"))
    }

    /// Folder of libtesseract, the libraries that it needs, and its language data.
    pub fn tesseract(&self) -> PathBuf {
        self.cache.join(format!("lib/tesseract-{TESSERACT_VERSION}"))
    }

    /// Path of the pdfium library.
    pub fn pdfium(&self) -> PathBuf {
        self.cache.join(format!("lib/pdfium-{PDFIUM_BUILD}/libpdfium.so"))
    }

    /// Folder of built guest components.
    pub fn components(&self) -> PathBuf {
        self.repo("guest/target/components")
    }

    /// Path of the server's release binary, or of `$LECTOR_BIN`.
    pub fn lector(&self) -> PathBuf {
        env::var_os("LECTOR_BIN").map_or_else(|| self.repo("target/release/lector"), PathBuf::from)
    }

    /// Returns a path for messages: relative to the repository if it is inside.
    pub fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// Waits until no other set-up uses the cache. The lock is released on drop, or when the process dies.
    pub fn lock(&self) -> Result<CacheLock> {
        let path = self.cache.join("setup.lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                println!("another set-up uses {}: waiting for it", self.cache.display());
                file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(CacheLock { _file: file })
    }
}

/// Lock on the cache.
pub struct CacheLock {
    _file: File,
}

/// Returns the cache root as the server's configuration does: `$LECTOR_CACHE`, else `$XDG_CACHE_HOME/lector`, else
/// `$HOME/.cache/lector`.
fn cache_root() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = set("LECTOR_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|base| base.join("lector")))
        .or_else(|| set("HOME").map(|base| base.join(".cache/lector")))
        .context("no home folder: set LECTOR_CACHE to a folder for downloads")?;
    std::path::absolute(&path).with_context(|| format!("cannot resolve {}", path.display()))
}
