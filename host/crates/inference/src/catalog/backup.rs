//! Backup and restore of an operator's own models: files by digest, and an index of their paths.
//!
//! ```text
//! TO/index.json      path below the folder of models, digest and length of each file
//! TO/9f86d081…       the content of a file, under its SHA-256
//! ```
//! The copy is the folder at one moment: where a file changed meanwhile, the folder is copied again. Called by the
//! command line; needs no server.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{CatalogError, Sha256, digest};
use crate::file_fingerprint::FileFingerprint;

const INDEX: &str = "index.json";
/// Largest index that is read; that of the most files is far smaller.
const INDEX_BYTES_MAX: u64 = 64 << 20;
/// A folder with more files, or deeper ones, is not a catalog.
const FILES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 8;
/// Most copies of a folder that changes meanwhile.
const ROUNDS_MAX: usize = 3;

/// The result of a backup or a restore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupSummary {
    /// Names of the models.
    pub models: Vec<String>,
    /// Number of files.
    pub files: usize,
    /// Bytes of the files.
    pub bytes: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    files: Vec<Indexed>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Indexed {
    path: PathBuf,
    sha256: String,
    bytes: u64,
}

/// Returns the names of the models in an operator's own folder, which may be missing.
pub fn own_models(own_models_dir: &Path) -> Result<Vec<String>, CatalogError> {
    Ok(names(file_fingerprints(own_models_dir)?.keys()))
}

/// Copies an operator's own models into the new folder `to`.
pub fn backup(own_models_dir: &Path, to: &Path) -> Result<BackupSummary, CatalogError> {
    for _ in 0..ROUNDS_MAX {
        fs::create_dir_all(to).map_err(|source| unwritable(to, source))?;
        let before = file_fingerprints(own_models_dir)?;
        let mut files = Vec::with_capacity(before.len());
        for path in before.keys() {
            match put(&own_models_dir.join(path), to)? {
                Some((sha256, bytes)) => files.push(Indexed { path: path.clone(), sha256, bytes }),
                // The file has been removed, which the comparison below will show.
                None => break,
            }
        }
        if file_fingerprints(own_models_dir)? != before {
            fs::remove_dir_all(to).map_err(|source| unwritable(to, source))?;
            continue;
        }
        let kept = BackupSummary {
            models: names(before.keys()),
            files: files.len(),
            bytes: files.iter().map(|file| file.bytes).sum(),
        };
        let index = serde_json::to_vec_pretty(&Index { files }).unwrap_or_default();
        let place = to.join(INDEX);
        fs::write(&place, index)
            .and_then(|()| File::open(&place)?.sync_all())
            .map_err(|e| unwritable(&place, e))?;
        File::open(to).and_then(|dir| dir.sync_all()).map_err(|source| unwritable(to, source))?;
        return Ok(kept);
    }
    let what = format!(
        "its models changed during each of {ROUNDS_MAX} copies; try again when no model is being added"
    );
    Err(invalid(own_models_dir, what))
}

/// Copies the output of [`backup`] in `from` into an operator's folder. An equal file that exists stays; a different
/// one is an error, and nothing is copied. A folder without an index holds no models.
pub fn restore(from: &Path, own_models_dir: &Path) -> Result<BackupSummary, CatalogError> {
    let Some(index) = index(from)? else { return Ok(BackupSummary::default()) };
    let mut missing = Vec::new();
    for file in &index.files {
        let place = own_models_dir.join(&file.path);
        match Sha256::of_file(&place) {
            Ok(there) if there.as_str() == file.sha256 => {}
            Ok(_) => {
                let what = "another file is there already: move it away, or restore with --without-models";
                return Err(invalid(&place, what.to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push((file, place)),
            Err(source) => return Err(CatalogError::Unreadable { path: place, source }),
        }
    }
    // Descriptions come last: a folder without one is not a model, so no model appears before all its files.
    missing.sort_by_key(|(file, _)| file.path.ends_with("model.toml"));
    for (file, place) in missing {
        let folder = place.parent().unwrap_or(own_models_dir);
        fs::create_dir_all(folder).map_err(|source| unwritable(folder, source))?;
        let temporary = folder.join(format!(".restoring-{}", std::process::id()));
        let copied = copy(&from.join(&file.sha256), &temporary).and_then(|copied| match copied {
            Some((sha256, _)) if sha256 == file.sha256 => {
                fs::rename(&temporary, &place).map_err(|source| unwritable(&place, source))
            }
            _ => Err(invalid(
                &from.join(&file.sha256),
                format!("it does not have the content of {}", file.path.display()),
            )),
        });
        if copied.is_err() {
            // An error here would hide the first one.
            let _ = fs::remove_file(&temporary);
        }
        copied?;
        File::open(folder).and_then(|dir| dir.sync_all()).map_err(|source| unwritable(folder, source))?;
    }
    let paths = index.files.iter().map(|file| &file.path);
    let bytes = index.files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.bytes));
    Ok(BackupSummary { models: names(paths), files: index.files.len(), bytes })
}

fn index(from: &Path) -> Result<Option<Index>, CatalogError> {
    let path = from.join(INDEX);
    let wrong = |what: String| invalid(&path, what);
    match FileFingerprint::of(&path) {
        None => return Ok(None),
        Some(file_fingerprint) if file_fingerprint.bytes > INDEX_BYTES_MAX => {
            return Err(wrong(format!(
                "{} bytes are too many for an index of models",
                file_fingerprint.bytes
            )));
        }
        Some(_) => {}
    }
    let bytes = fs::read(&path).map_err(|source| CatalogError::Unreadable { path: path.clone(), source })?;
    let index: Index =
        serde_json::from_slice(&bytes).map_err(|error| wrong(format!("it is not an index: {error}")))?;
    for file in &index.files {
        let plain = file.path.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || file.path.as_os_str().is_empty() || Sha256::parse(&file.sha256).is_none() {
            return Err(wrong(format!("{} is not a file of a model", file.path.display())));
        }
    }
    Ok(Some(index))
}

/// Returns all files below a folder that are not hidden, by their path in it.
fn file_fingerprints(dir: &Path) -> Result<BTreeMap<PathBuf, Option<FileFingerprint>>, CatalogError> {
    let mut found = BTreeMap::new();
    if !dir.is_dir() {
        return Ok(found);
    }
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let place = dir.join(&folder);
        let unreadable = |source| CatalogError::Unreadable { path: place.clone(), source };
        for entry in fs::read_dir(&place).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            // Models that are being added.
            if name.to_string_lossy().starts_with('.') {
                continue;
            }
            let path = folder.join(name);
            let full = dir.join(&path);
            if !full.is_dir() {
                found.insert(path, FileFingerprint::of(&full));
            } else if depth < DEPTH_MAX {
                folders.push((path, depth + 1));
            } else {
                return Err(invalid(&full, format!("folders of models may be at most {DEPTH_MAX} deep")));
            }
            if found.len() > FILES_MAX {
                return Err(invalid(
                    dir,
                    format!("more than {FILES_MAX} files; this is not a catalog of models"),
                ));
            }
        }
    }
    Ok(found)
}

/// Returns the folders with a description.
fn names<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Vec<String> {
    let described = paths.filter(|path| path.components().count() == 2 && path.ends_with("model.toml"));
    let folder = |path: &PathBuf| Some(path.parent()?.to_string_lossy().into_owned());
    described.filter_map(folder).collect()
}

/// Copies a file into `to` under its digest; `None`: the file does not exist.
fn put(path: &Path, to: &Path) -> Result<Option<(String, u64)>, CatalogError> {
    let temporary = to.join(format!("copying-{}", std::process::id()));
    let copied = copy(path, &temporary)?;
    if let Some((sha256, _)) = &copied {
        let place = to.join(sha256);
        fs::rename(&temporary, &place).map_err(|source| unwritable(&place, source))?;
    }
    Ok(copied)
}

/// Copies a file and syncs it to the disk; returns its digest and length; `None`: the file does not exist.
fn copy(from: &Path, to: &Path) -> Result<Option<(String, u64)>, CatalogError> {
    let mut source = match File::open(from) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CatalogError::Unreadable { path: from.to_owned(), source }),
    };
    let mut target = File::create(to).map_err(|source| unwritable(to, source))?;
    let sha256 = digest::while_copying(&mut source, &mut target)
        .and_then(|sha256| target.sync_all().map(|()| sha256))
        .map_err(|source| unwritable(to, source))?;
    let bytes = target.metadata().map_err(|source| unwritable(to, source))?.len();
    Ok(Some((sha256.as_str().to_owned(), bytes)))
}

fn unwritable(path: &Path, source: io::Error) -> CatalogError {
    CatalogError::Unwritable { path: path.to_owned(), source }
}

fn invalid(path: &Path, what: String) -> CatalogError {
    CatalogError::Invalid { path: path.to_owned(), what }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    }

    const MODELS: [(&str, &str); 6] = [
        ("a/model.toml", "a"),
        ("a/model.onnx", "weights"),
        ("a/golden/line.pgm", "picture"),
        ("b/model.toml", "b"),
        ("b/model.onnx", "weights"),
        (".adding-1/c/model.toml", "half"),
    ];

    #[test]
    fn models_are_restored_unchanged_and_content_is_stored_once() {
        let (own, out) = (folder(&MODELS), tempfile::tempdir().unwrap());
        let (copy, back) = (out.path().join("copy"), out.path().join("back"));
        let kept = backup(own.path(), &copy).unwrap();
        assert_eq!(kept, BackupSummary { models: vec!["a".to_owned(), "b".to_owned()], files: 5, bytes: 23 });
        assert_eq!(fs::read_dir(&copy).unwrap().count(), 5, "four contents and the index");
        assert_eq!(restore(&copy, &back).unwrap(), kept);
        for (path, content) in &MODELS[..5] {
            assert_eq!(fs::read_to_string(back.join(path)).unwrap(), *content, "{path}");
        }
        assert!(!back.join(".adding-1").exists());
        assert_eq!(fs::read_dir(back.join("a")).unwrap().count(), 3, "nothing is left over");
        // Again: equal files stay; a different file is not overwritten, and nothing else is done.
        fs::remove_file(back.join("a/model.onnx")).unwrap();
        fs::write(back.join("b/model.toml"), "mine").unwrap();
        let error = restore(&copy, &back).unwrap_err().to_string();
        assert!(error.contains("b/model.toml") && !back.join("a/model.onnx").exists(), "{error}");
        fs::write(back.join("b/model.toml"), "b").unwrap();
        assert_eq!(restore(&copy, &back).unwrap(), kept);
        assert_eq!(own_models(&back).unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_folder_without_models_is_an_empty_backup() {
        let out = tempfile::tempdir().unwrap();
        let none = out.path().join("none");
        assert_eq!(backup(&none, &out.path().join("copy")).unwrap(), BackupSummary::default());
        assert_eq!(restore(&out.path().join("copy"), &none).unwrap(), BackupSummary::default());
        assert_eq!(restore(&none, &none).unwrap(), BackupSummary::default(), "a backup of an older version");
        assert_eq!(own_models(&none).unwrap(), [""; 0]);
        assert!(!none.exists());
    }

    #[test]
    fn damaged_files_and_foreign_paths_are_rejected() {
        let check = |damage: &dyn Fn(&Path), expect: &str| {
            let (own, out) = (folder(&MODELS[..2]), tempfile::tempdir().unwrap());
            let (copy, back) = (out.path().join("copy"), out.path().join("x/back"));
            backup(own.path(), &copy).unwrap();
            damage(&copy);
            let error = restore(&copy, &back).unwrap_err();
            let text = lector_core::error_chain(&error);
            assert!(text.contains(expect), "{text} lacks {expect}");
            assert_eq!(own_models(&back).unwrap(), [""; 0], "no model is there half");
        };
        let weights = |copy: &Path| copy.join(Sha256::of(b"weights").as_str());
        let index = |from: &'static str, to: &'static str| {
            move |copy: &Path| {
                let text = fs::read_to_string(copy.join(INDEX)).unwrap();
                assert!(text.contains(from));
                fs::write(copy.join(INDEX), text.replace(from, to)).unwrap();
            }
        };
        check(
            &|copy| fs::write(weights(copy), "w3ights").unwrap(),
            "it does not have the content of a/model.onnx",
        );
        check(
            &|copy| fs::remove_file(weights(copy)).unwrap(),
            "it does not have the content of a/model.onnx",
        );
        check(&index("a/model.onnx", "../model.onnx"), "../model.onnx is not a file of a model");
        check(&index("a/model.onnx", "/a/model.onnx"), "/a/model.onnx is not a file of a model");
        check(&index("files", "fails"), "it is not an index");
    }
}
