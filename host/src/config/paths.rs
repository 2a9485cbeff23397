//! Default locations of files that the configuration does not name by an absolute path.

use std::path::{Path, PathBuf};

/// Path below the cache root; `cargo xtask setup` defines the layout.
pub(super) const ONNXRUNTIME: &str = "lib/onnxruntime-1.31.1/libonnxruntime.so.1.31.1";
/// The ONNX Runtime with GPU providers, from another wheel.
pub(super) const ONNXRUNTIME_GPU: &str = "lib/onnxruntime-gpu-1.31.1/libonnxruntime.so.1.31.1";
pub(super) const OPENVINO_DIR: &str = "lib/openvino-2026.4.1";
pub(super) const CUDA_DIR: &str = "lib/cuda-13";
pub(super) const ENGINES_DIR: &str = "engines";
pub(super) const PDFIUM_DIR: &str = "lib/pdfium-8149";
pub(super) const CODE_DIR: &str = "code";

/// Returns a relative path in the working directory, or else in a folder above the program: the program of a checkout
/// finds its models and guests from any working directory. A path that does not exist is returned as one in the working
/// directory, for the error message.
pub(super) fn found(path: &str) -> PathBuf {
    let path = Path::new(path);
    if path.is_absolute() || path.exists() {
        return path.to_owned();
    }
    let program = std::env::current_exe().ok();
    let above = program.iter().flat_map(|program| program.ancestors().skip(1));
    above.map(|dir| dir.join(path)).find(|path| path.exists()).unwrap_or_else(|| path.to_owned())
}
