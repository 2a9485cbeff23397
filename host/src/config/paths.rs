//! Default locations of files that the configuration does not name by an absolute path.

use std::path::{Path, PathBuf};

/// Path below the cache root; `cargo xtask setup` defines the layout.
pub(super) const ONNXRUNTIME: &str = "lib/onnxruntime-1.31.1/libonnxruntime.so.1.31.1";
/// The ONNX Runtime with GPU providers, from another wheel.
pub(super) const ONNXRUNTIME_GPU: &str = "lib/onnxruntime-gpu-1.31.1/libonnxruntime.so.1.31.1";
pub(super) const OPENVINO_DIR: &str = "lib/openvino-2026.4.1";
pub(super) const TESSERACT_DIR: &str = "lib/tesseract-5.3.0";
pub(super) const CUDA_DIR: &str = "lib/cuda-13";
pub(super) const ENGINES_DIR: &str = "engines";
pub(super) const PDFIUM_DIR: &str = "lib/pdfium-8149";
pub(super) const CODE_DIR: &str = "code";

/// Folder of built guests in a checkout; in an unpacked archive they are in [`ARCHIVE_GUESTS`].
const CHECKOUT_GUESTS: &str = "guest/target/components";
const ARCHIVE_GUESTS: &str = "guests";
/// Folder of the compiled guests in an unpacked archive.
pub const ARCHIVE_CODE: &str = "code";
/// File that only an unpacked archive has, beside the program: the digests of its files.
pub const ARCHIVE_MARKER: &str = "SHA256SUMS";

/// Returns a relative path in the working directory, or else in a folder above the program: the program of a checkout or
/// of an unpacked archive finds its models and guests from any working directory. A path that does not exist is returned
/// as one in the working directory, for the error message.
pub(super) fn found(path: &str) -> PathBuf {
    found_from(path, std::env::current_exe().ok().as_deref())
}

fn found_from(path: &str, program: Option<&Path>) -> PathBuf {
    let path = Path::new(path);
    if path.is_absolute() || path.exists() {
        return path.to_owned();
    }
    let above = program.into_iter().flat_map(|program| program.ancestors().skip(1));
    let guest = path.strip_prefix(CHECKOUT_GUESTS).ok().map(|guest| Path::new(ARCHIVE_GUESTS).join(guest));
    let mut candidates =
        above.flat_map(|dir| [Some(dir.join(path)), guest.as_ref().map(|guest| dir.join(guest))]).flatten();
    candidates.find(|path| path.exists()).unwrap_or_else(|| path.to_owned())
}

/// Returns the folder of the archive that this program was unpacked from; `None` for the program of a checkout. Its
/// libraries become code of this process. For that reason they are searched in this folder only, and not in every folder
/// above the program: one of those may belong to another user.
pub(super) fn archive() -> Option<PathBuf> {
    archive_of(&std::env::current_exe().ok()?)
}

/// `PROGRAM` is in the folder itself, or in its folder `bin`.
fn archive_of(program: &Path) -> Option<PathBuf> {
    let dir = program.parent()?;
    let dir = if dir.file_name().is_some_and(|name| name == "bin") { dir.parent()? } else { dir };
    (dir.join(ARCHIVE_MARKER).is_file() && dir.join("lib").is_dir()).then(|| dir.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_program_finds_the_files_of_its_archive() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("lector-1");
        for sub in ["lib", "guests", "models", "bin"] {
            std::fs::create_dir_all(root.join(sub)).unwrap();
        }
        std::fs::write(root.join("guests/standard.wasm"), "").unwrap();
        let program = root.join("lector");
        assert_eq!(archive_of(&program), None, "without the marker");
        std::fs::write(root.join(ARCHIVE_MARKER), "").unwrap();
        assert_eq!(archive_of(&program), Some(root.clone()));
        assert_eq!(archive_of(&root.join("bin/lector")), Some(root.clone()));
        assert_eq!(archive_of(&root.join("guests/lector")), None, "a program elsewhere in it");
        let component = "guest/target/components/standard.wasm";
        assert_eq!(found_from(component, Some(&program)), root.join("guests/standard.wasm"));
        assert_eq!(
            found_from("no-such-folder-of-models", Some(&program)),
            Path::new("no-such-folder-of-models")
        );
        // A checkout comes first where a program is below one.
        std::fs::create_dir_all(root.join("guest/target/components")).unwrap();
        std::fs::write(root.join(component), "").unwrap();
        assert_eq!(found_from(component, Some(&program)), root.join(component));
    }
}
