//! Where things are found that the configuration does not name by an absolute path.

use std::path::{Path, PathBuf};

/// Below the cache root, as the set-up task lays it out.
pub(super) const ONNXRUNTIME: &str = "lib/onnxruntime-1.31.1/libonnxruntime.so.1.31.1";
/// The same with the providers of GPUs, from another wheel.
pub(super) const ONNXRUNTIME_GPU: &str = "lib/onnxruntime-gpu-1.31.1/libonnxruntime.so.1.31.1";
pub(super) const OPENVINO_DIR: &str = "lib/openvino-2026.4.1";
pub(super) const CUDA_DIR: &str = "lib/cuda-13";
pub(super) const ENGINES_DIR: &str = "engines";
pub(super) const PDFIUM_DIR: &str = "lib/pdfium-8149";
pub(super) const CODE_DIR: &str = "code";

/// A relative path as seen from the working directory, or else from a folder above the program: a
/// checkout's own program finds the checkout's models and guests wherever it is called from. A path
/// that is found nowhere is taken from the working directory, for the message that it is missing.
pub(super) fn found(path: &str) -> PathBuf {
    let path = Path::new(path);
    if path.is_absolute() || path.exists() {
        return path.to_owned();
    }
    let program = std::env::current_exe().ok();
    let above = program.iter().flat_map(|program| program.ancestors().skip(1));
    above.map(|dir| dir.join(path)).find(|path| path.exists()).unwrap_or_else(|| path.to_owned())
}
