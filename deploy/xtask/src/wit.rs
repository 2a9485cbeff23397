//! The released files of the contract: `wit/RELEASED` lists `SHA256  PATH` for each file under `wit/`. A released file
//! never changes, so that guests built against it keep working.
//!
//! `tidy` fails if the list and the files differ; `cargo xtask release-wit` writes the list.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::places::Places;
use crate::shell;

/// File name of the list.
const LIST: &str = "RELEASED";

#[derive(clap::Args)]
pub struct Arguments {
    /// Replace the entries of changed files; only for a version that is not published
    #[arg(long)]
    rewrite: bool,
}

/// Writes the list.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let entries = release(&places.repo("wit"), arguments.rewrite)?;
    println!("wit/{LIST}: {entries} files");
    Ok(())
}

/// Writes the list in `folder`. A changed or missing file that is listed is an error, unless `rewrite`.
fn release(folder: &Path, rewrite: bool) -> Result<usize> {
    let files = hashes(folder)?;
    if !rewrite && folder.join(LIST).is_file() {
        let changed: Vec<String> = listed(folder)?
            .into_iter()
            .filter(|(path, sha256)| files.get(path) != Some(sha256))
            .map(|(path, _)| path)
            .collect();
        if !changed.is_empty() {
            bail!(
                "released files have changed: {}. Put the change into a new version; `--rewrite` is for a version that is \
                 not published yet",
                changed.join(", ")
            );
        }
    }
    let mut text =
        String::from("# Written by `cargo xtask release-wit`. A file that is listed here never changes.\n");
    for (path, sha256) in &files {
        text.push_str(&format!("{sha256}  {path}\n"));
    }
    fs::write(folder.join(LIST), text)
        .with_context(|| format!("cannot write the list in {}", folder.display()))?;
    Ok(files.len())
}

/// Returns every difference between the list and the files in `folder`.
pub fn violations(folder: &Path) -> Result<Vec<String>> {
    if !folder.join(LIST).is_file() {
        return Ok(vec![format!("wit/{LIST} is missing: run `cargo xtask release-wit`")]);
    }
    let (listed, files) = (listed(folder)?, hashes(folder)?);
    let mut found = Vec::new();
    for (path, sha256) in &listed {
        match files.get(path) {
            None => found.push(format!("wit/{path} is released and missing")),
            Some(now) if now != sha256 => {
                found.push(format!(
                    "wit/{path} is released and has changed: put the change into a new version"
                ));
            }
            Some(_) => {}
        }
    }
    for path in files.keys().filter(|path| !listed.contains_key(*path)) {
        found.push(format!("wit/{path} is not in wit/{LIST}: run `cargo xtask release-wit`"));
    }
    Ok(found)
}

fn listed(folder: &Path) -> Result<BTreeMap<String, String>> {
    let list = folder.join(LIST);
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.split_once("  ") {
            Some((sha256, path)) => Ok((path.to_owned(), sha256.to_owned())),
            None => bail!("wit/{LIST}: `{line}` is not `SHA256  PATH`"),
        })
        .collect()
}

/// Returns the files of the contract under `folder`: relative path and hash.
fn hashes(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    gather(folder, "", &mut found)?;
    Ok(found)
}

fn gather(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            gather(&path, &format!("{name}/"), found)?;
        } else if path.extension().is_some_and(|end| end == "wit") {
            found.insert(name, shell::sha256(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::shell::Scratch;

    #[test]
    fn every_difference_is_found() {
        let scratch = Scratch::new(&std::env::temp_dir(), "wit").unwrap();
        let folder = scratch.path();
        let write = |path: &str, text: &str| {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let check = |expected: &[&str]| {
            let found = violations(folder).unwrap();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{found}: {expected}");
            }
        };
        write("world.wit", "a");
        write("deps/types/types.wit", "b");
        check(&["RELEASED is missing"]);
        assert_eq!(release(folder, false).unwrap(), 2);
        check(&[]);
        write("README.md", "not of the contract");
        check(&[]);
        write("world.wit", "changed");
        check(&["world.wit is released and has changed"]);
        assert!(release(folder, false).unwrap_err().to_string().contains("world.wit"));
        check(&["world.wit is released and has changed"]);
        release(folder, true).unwrap();
        check(&[]);
        write("more.wit", "c");
        check(&["more.wit is not in"]);
        assert_eq!(release(folder, false).unwrap(), 3);
        fs::remove_file(folder.join("deps/types/types.wit")).unwrap();
        check(&["deps/types/types.wit is released and missing"]);
        assert!(release(folder, false).is_err());
        write(LIST, "nonsense");
        assert!(violations(folder).is_err());
    }
}
