//! What is installed of libtesseract: its folder, and the languages in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lector_sandbox::Policy;

/// The library's name in its folder.
pub(super) const LIBRARY: &str = "libtesseract.so.5";
/// Folder of the language data beside the library.
pub(super) const DATA: &str = "tessdata";
/// The data of script detection, a label like those of languages; it is used alone.
pub(super) const SCRIPT_DETECTION: &str = "osd";
/// Ending of a file of language data.
const DATA_ENDING: &str = "traineddata";

/// Where libtesseract is, and how its workers are started.
#[derive(Clone, Debug, Default)]
pub struct TesseractConfig {
    /// Folder of the library, of the libraries that it needs, and of the language data.
    pub dir: PathBuf,
    /// Program and arguments that become a worker ([`super::worker_main`]); empty: none can be started.
    pub worker_command: Vec<OsString>,
    /// The consequence of an incomplete sandbox.
    pub sandbox: Policy,
}

/// Returns the languages whose data is in the folder, in alphabetical order: the labels of the model.
///
/// # Errors
///
/// The library or all languages are missing; the text says how to get them.
pub fn languages(dir: &Path) -> Result<Vec<String>, String> {
    let missing =
        "run `cargo xtask setup --languages rus,kor,...`, or name the folder in engines.tesseract_dir";
    if !dir.join(LIBRARY).is_file() {
        return Err(format!("{LIBRARY} is not installed; {missing}"));
    }
    let files =
        std::fs::read_dir(dir.join(DATA)).map_err(|error| format!("no language data: {error}; {missing}"))?;
    let mut languages: Vec<String> = files
        .filter_map(|file| file.ok().map(|file| file.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == DATA_ENDING))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| is_language(name))
        .collect();
    languages.sort_unstable();
    if languages.is_empty() { Err(format!("no language is installed; {missing}")) } else { Ok(languages) }
}

/// Returns whether a text can name language data: it becomes a part of a path.
pub(super) fn is_language(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn languages_are_the_data_files_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let error = languages(dir.path()).unwrap_err();
        assert!(error.contains(LIBRARY) && error.contains("cargo xtask setup --languages"), "{error}");
        std::fs::write(dir.path().join(LIBRARY), "").unwrap();
        std::fs::create_dir(dir.path().join(DATA)).unwrap();
        assert!(languages(dir.path()).unwrap_err().contains("no language is installed"));
        for file in ["rus.traineddata", "chi_sim.traineddata", "a+b.traineddata", "pdf.ttf"] {
            std::fs::write(dir.path().join(DATA).join(file), "").unwrap();
        }
        assert_eq!(languages(dir.path()).unwrap(), ["chi_sim", "rus"]);
    }
}
