//! Where things stand: the repository, the cache outside git, and the lock that keeps two set-ups apart.
//! The only module that turns the environment into paths.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The version of ONNX Runtime whose library the host loads.
pub const ONNXRUNTIME_VERSION: &str = "1.31.1";
/// The version of OpenVINO whose libraries the host loads where they are faster.
pub const OPENVINO_VERSION: &str = "2026.4.1";
/// The build number of pdfium inside the wheel that `setup` unpacks.
pub const PDFIUM_BUILD: &str = "8149";

/// The repository and the cache.
pub struct Places {
    /// Root of the repository.
    pub root: PathBuf,
    /// What is fetched or built once and shared by all checkouts of one user.
    pub cache: PathBuf,
}

impl Places {
    /// Finds both; makes the cache folder.
    pub fn find() -> Result<Self> {
        // `cargo run` says where the package stands now; the compiled-in path serves a binary started by hand.
        let here = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = here
            .join("../..")
            .canonicalize()
            .with_context(|| format!("no repository above {}", here.display()))?;
        let cache = cache_root()?;
        fs::create_dir_all(&cache)
            .with_context(|| format!("cannot make the cache folder {}", cache.display()))?;
        if cache.to_string_lossy().contains(char::is_whitespace) {
            bail!(
                "the cache path {} holds white space, which compiler flags cannot carry: set LECTOR_CACHE to another folder",
                cache.display()
            );
        }
        Ok(Self { root, cache })
    }

    /// A path inside the repository.
    pub fn repo(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Downloaded wheels.
    pub fn wheels(&self) -> PathBuf {
        self.cache.join("wheels")
    }

    /// The ONNX Runtime library.
    pub fn onnxruntime(&self) -> PathBuf {
        self.cache
            .join(format!("lib/onnxruntime-{ONNXRUNTIME_VERSION}/libonnxruntime.so.{ONNXRUNTIME_VERSION}"))
    }

    /// The folder of ONNX Runtime with its GPU providers, which must stand beside it.
    pub fn onnxruntime_gpu(&self) -> PathBuf {
        self.cache.join(format!("lib/onnxruntime-gpu-{ONNXRUNTIME_VERSION}"))
    }

    /// The folder of CUDA's libraries.
    pub fn cuda(&self) -> PathBuf {
        self.cache.join("lib/cuda-13")
    }

    /// The folder of OpenVINO's libraries.
    pub fn openvino(&self) -> PathBuf {
        self.cache.join(format!("lib/openvino-{OPENVINO_VERSION}"))
    }

    /// The pdfium library.
    pub fn pdfium(&self) -> PathBuf {
        self.cache.join(format!("lib/pdfium-{PDFIUM_BUILD}/libpdfium.so"))
    }

    /// Built guest components.
    pub fn components(&self) -> PathBuf {
        self.repo("guest/target/components")
    }

    /// The release binary of the host, or another one that `$LECTOR_BIN` names.
    pub fn lector(&self) -> PathBuf {
        env::var_os("LECTOR_BIN").map_or_else(|| self.repo("target/release/lector"), PathBuf::from)
    }

    /// A path for messages: relative to the repository where it is inside.
    pub fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// Waits until no other set-up works on the cache. Released when dropped, or when the process dies.
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
                println!("another set-up works on {}: waiting for it", self.cache.display());
                file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(CacheLock { _file: file })
    }
}

/// Held while the cache changes.
pub struct CacheLock {
    _file: File,
}

/// `$LECTOR_CACHE`, else `$XDG_CACHE_HOME/lector`, else `$HOME/.cache/lector`: as the host's configuration does.
fn cache_root() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = set("LECTOR_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|base| base.join("lector")))
        .or_else(|| set("HOME").map(|base| base.join(".cache/lector")))
        .context("no home folder: set LECTOR_CACHE to a folder for downloads")?;
    std::path::absolute(&path).with_context(|| format!("cannot resolve {}", path.display()))
}
