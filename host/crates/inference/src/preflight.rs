//! Checks for the libraries that a GPU provider needs. They are loaded, as the provider itself will load them; the
//! result names each missing library and the package that contains it. Libraries from the configured folders stay
//! loaded, so that the provider's library, which knows only their names, finds them.
//!
//! The names are those that the libraries of ONNX Runtime 1.31.1 (CUDA 13, TensorRT 10) need.

use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::provider::Provider;

/// A library that a GPU provider needs, and the package that contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) file: &'static str,
    pub(crate) from: &'static str,
}

const fn needed(file: &'static str, from: &'static str) -> Needed {
    Needed { file, from }
}

/// In the order of their own dependencies.
const CUDA: [Needed; 8] = [
    needed("libcuda.so.1", "the NVIDIA driver 580 or newer (in a container: its runtime mounts it)"),
    needed("libcudart.so.13", "nvidia-cuda-runtime 13"),
    needed("libnvrtc.so.13", "nvidia-cuda-nvrtc 13"),
    needed("libcublasLt.so.13", "nvidia-cublas 13"),
    needed("libcublas.so.13", "nvidia-cublas 13"),
    needed("libcurand.so.10", "nvidia-curand 10"),
    needed("libcufft.so.12", "nvidia-cufft 12"),
    needed("libcudnn.so.9", "nvidia-cudnn-cu13 9"),
];
const TENSORRT: [Needed; 2] = [
    needed(
        "libnvinfer.so.10",
        "TensorRT 10.13 or newer for CUDA 13, which no package index has: see deploy/README.md",
    ),
    needed(
        "libnvonnxparser.so.10",
        "TensorRT 10.13 or newer for CUDA 13, which no package index has: see deploy/README.md",
    ),
];
/// Expected beside `libonnxruntime.so`, which searches there and nowhere else.
const PROVIDER_SHARED: Needed =
    needed("libonnxruntime_providers_shared.so", "onnxruntime-gpu 1.31.1 (`cargo xtask setup --gpu`)");
const PROVIDER_CUDA: Needed =
    needed("libonnxruntime_providers_cuda.so", "onnxruntime-gpu 1.31.1 (`cargo xtask setup --gpu`)");
const PROVIDER_TENSORRT: Needed =
    needed("libonnxruntime_providers_tensorrt.so", "onnxruntime-gpu 1.31.1 (`cargo xtask setup --gpu`)");

/// Where to search.
#[derive(Clone, Debug, Default)]
pub struct GpuPlaces {
    /// Path of `libonnxruntime.so`.
    pub library: PathBuf,
    /// Folders with CUDA's and TensorRT's libraries, searched before those of the system.
    pub dirs: Vec<PathBuf>,
}

/// A missing library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingLibrary {
    /// Its file name.
    pub file: String,
    /// The package that contains it, with the version.
    pub from: String,
    /// Why it could not be loaded.
    pub why: String,
}

/// Returns every missing library that `provider` needs; none for the providers of the CPU.
pub fn missing(provider: Provider, places: &GpuPlaces) -> Vec<MissingLibrary> {
    let beside: &[Needed] = match provider {
        Provider::Cpu | Provider::OpenVino | Provider::Tesseract => return Vec::new(),
        Provider::Cuda { .. } => &[PROVIDER_SHARED, PROVIDER_CUDA],
        Provider::TensorRt { .. } => &[PROVIDER_SHARED, PROVIDER_CUDA, PROVIDER_TENSORRT],
    };
    let own = places.library.parent().unwrap_or(Path::new(""));
    let mut missing: Vec<MissingLibrary> = beside
        .iter()
        .filter(|needed| !own.join(needed.file).is_file())
        .map(|needed| MissingLibrary {
            file: needed.file.to_owned(),
            from: needed.from.to_owned(),
            why: format!("it must be beside {}", places.library.display()),
        })
        .collect();
    let tensorrt = matches!(provider, Provider::TensorRt { .. });
    let system = CUDA.iter().chain(if tensorrt { &TENSORRT[..] } else { &[] });
    missing.extend(system.filter_map(|needed| {
        let why = keep_loaded(needed.file, &places.dirs).err()?;
        Some(MissingLibrary { file: needed.file.to_owned(), from: needed.from.to_owned(), why })
    }));
    missing
}

/// Returns a sentence for the operator.
pub(crate) fn sentence(missing: &[MissingLibrary]) -> String {
    let parts: Vec<String> =
        missing.iter().map(|one| format!("{} (from {}; {})", one.file, one.from, one.why)).collect();
    format!("missing {}", parts.join(", "))
}

fn keep_loaded(file: &str, dirs: &[PathBuf]) -> Result<(), String> {
    let in_dirs = dirs.iter().map(|dir| dir.join(file)).filter(|path| path.is_file());
    let mut why = String::new();
    for path in in_dirs.chain([PathBuf::from(file)]) {
        // SAFETY: initializers of the library run, which the operator requests by naming a provider that needs it.
        match unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => {
                // Its symbols must stay: it is never unloaded.
                std::mem::forget(library);
                return Ok(());
            }
            Err(error) => {
                // The loader's message is the cause.
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                why = cause.unwrap_or_else(|| error.to_string());
            }
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn providers_of_the_cpu_need_nothing() {
        let places = GpuPlaces::default();
        assert!(missing(Provider::Cpu, &places).is_empty());
        assert!(missing(Provider::OpenVino, &places).is_empty());
    }

    #[test]
    fn missing_libraries_are_named_with_their_packages() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libonnxruntime.so");
        // A file of the right name that is not a library: found, tried, and reported with the loader's message.
        std::fs::write(folder.path().join("libnvinfer.so.10"), b"nothing").unwrap();
        let places = GpuPlaces { library, dirs: vec![folder.path().to_owned()] };
        let missing = missing(Provider::TensorRt { device: 0 }, &places);
        let find = |file: &str| missing.iter().find(|one| one.file == file).unwrap();
        assert!(find("libonnxruntime_providers_tensorrt.so").from.contains("setup --gpu"));
        let text = sentence(&missing);
        for expect in ["libonnxruntime_providers_cuda.so", "1.31.1", "libnvinfer.so.10", "TensorRT 10.13"] {
            assert!(text.contains(expect), "{text} lacks {expect}");
        }
        assert!(!find("libnvinfer.so.10").why.is_empty());
    }
}
