//! Import of an operator's own model: copies its files into a folder of the catalog, and writes a description from the
//! contents of the ONNX file. Properties that no file contains (preprocessing, acceptance) are taken from a similar
//! model, or left out.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use lector_core::ModelName;

use super::{
    Acceptance, CatalogError, LabelOrigin, ModelEntry, Sha256, Steps, Task, Thresholds, labels, raw,
};
use crate::onnx;

/// Largest file that protocol buffers, and so ONNX, support.
const WEIGHTS_BYTES_MAX: u64 = 1 << 31;
const LABELS_BYTES_MAX: u64 = 16 << 20;
/// Keys under which exporters store the texts of classes.
const LABEL_KEYS: [&str; 4] = ["character", "dictionary", "labels", "names"];
const WEIGHTS: &str = "model.onnx";
const LABELS: &str = "labels.txt";

/// A model to import.
#[derive(Clone, Debug)]
pub struct ModelImport<'a> {
    /// Its name in the catalog.
    pub name: ModelName,
    /// The task.
    pub task: Task,
    /// One sentence.
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// The ONNX file.
    pub weights: &'a Path,
    /// Texts of its classes, one a line; `None`: in the file's metadata, or none.
    pub labels: Option<&'a Path>,
    /// A model whose preprocessing, shapes and acceptance apply where the file has none.
    pub like: Option<&'a ModelEntry>,
}

impl ModelImport<'_> {
    /// Writes the model into a folder of its own below `own_models_dir`, whole or not at all. Checks the description
    /// against the file first; the caller runs the model.
    pub fn import(&self, own_models_dir: &Path) -> Result<ModelEntry, CatalogError> {
        let name = self.name.as_str();
        let place = own_models_dir.join(name);
        let invalid = |path: &Path, what: String| CatalogError::Invalid { path: path.to_owned(), what };
        raw::plain_name(name).map_err(|what| invalid(&place, what))?;
        if place.exists() {
            return Err(invalid(
                &place,
                "a model with this name exists already: choose another name, or delete that model first"
                    .to_owned(),
            ));
        }
        let weights = read(self.weights, WEIGHTS_BYTES_MAX)?;
        let labels = self.labels.map(|path| read(path, LABELS_BYTES_MAX)).transpose()?;
        let draft = Draft::new(own_models_dir)?;
        let folder = draft.0.join(name);
        let golden = self.golden();
        let description = self
            .describe(&weights, labels.as_deref(), &golden)
            .map_err(|what| invalid(self.weights, what))?;
        make(&folder)?;
        write(&folder.join(WEIGHTS), &weights)?;
        if let Some(labels) = labels {
            write(&folder.join(LABELS), &labels)?;
        }
        if !golden.is_empty() {
            make(&folder.join("golden"))?;
        }
        for (from, file) in &golden {
            write(&folder.join("golden").join(file), &read(from, WEIGHTS_BYTES_MAX)?)?;
        }
        write(&folder.join("model.toml"), description.as_bytes())?;
        let wrong: Vec<String> = raw::entry(&folder.join("model.toml"))?
            .validate()
            .into_iter()
            .filter_map(|finding| Some(format!("{}: {}", finding.about, finding.outcome.err()?)))
            .collect();
        if !wrong.is_empty() {
            return Err(invalid(self.weights, wrong.join("; ")));
        }
        let unwritable = |source| CatalogError::Unwritable { path: place.clone(), source };
        fs::rename(&folder, &place).map_err(unwritable)?;
        raw::entry(&place.join("model.toml"))
    }

    /// Returns the golden pictures to copy, and their names: those of a model of the same task and input height.
    fn golden(&self) -> Vec<(PathBuf, String)> {
        let acceptance = self.like.filter(|like| like.task == self.task).and_then(|l| l.acceptance.as_ref());
        let named = |path: &PathBuf| Some((path.clone(), path.file_name()?.to_str()?.to_owned()));
        acceptance.map_or_else(Vec::new, |acceptance| acceptance.golden.iter().filter_map(named).collect())
    }

    fn describe(
        &self,
        weights: &[u8],
        labels: Option<&[u8]>,
        golden: &[(PathBuf, String)],
    ) -> Result<String, String> {
        let inputs = onnx::input_ports(weights);
        let [input] = inputs.as_slice() else {
            return Err(format!("no ONNX model with one input: it has {}", inputs.len()));
        };
        let outputs = onnx::output_ports(weights);
        let classes = outputs.first().and_then(|port| port.shape.as_ref()?.last().copied().flatten());
        let mut text = format!(
            "name = {}\ntask = \"{}\"\ndescription = {}\nlicense = {}\n\n[weights]\nfile = \"{WEIGHTS}\"\nsha256 = \"{}\"\nbytes = {}\n",
            quoted(self.name.as_str()),
            self.task.as_str(),
            quoted(&self.description),
            quoted(&self.license),
            Sha256::of(weights),
            weights.len(),
        );
        if let Some(labels) = self.label_lines(weights, labels, classes)? {
            text += &format!("\n[labels]\n{labels}");
        }
        text += "\n[engine]\n";
        if self.task == Task::Recognition && outputs.len() == 1 {
            text += "reduce = \"ctc\"\n";
        }
        text += &self.shape_lines(&input.shape.clone().unwrap_or_default());
        let acceptance = self.like.and_then(|like| like.acceptance.as_ref());
        if let Some(acceptance) = acceptance.filter(|_| !golden.is_empty()) {
            text += &self.acceptance_lines(acceptance, golden)?;
        }
        Ok(text)
    }

    /// Returns the rest of `[engine]`, and `[preprocess]`: values that the file fixes, else those of the similar model,
    /// else defaults.
    fn shape_lines(&self, shape: &[Option<u64>]) -> String {
        let like = self.like;
        let fixed = |axis: usize| u32::try_from(shape.get(axis).copied().flatten()?).ok();
        let pinned = |axis, of: fn(&ModelEntry) -> Option<u32>| fixed(axis).or_else(|| like.and_then(of));
        let height = pinned(2, |like| like.preprocess.height);
        let width = pinned(3, |like| like.preprocess.width);
        let mut text = String::new();
        let (side, line) = (Steps { step: 32, max: 4096 }, Steps { step: 64, max: 3200 });
        let (prefix, steps) = match self.task {
            Task::Detection if height.is_none() => ("side", like.and_then(|l| l.engine.side).or(Some(side))),
            Task::Recognition if width.is_none() => {
                ("width", like.and_then(|l| l.engine.width).or(Some(line)))
            }
            _ => ("", None),
        };
        if let Some(Steps { step, max }) = steps {
            text += &format!("{prefix}_step = {step}\n{prefix}_max = {max}\n");
        }
        let usual = match self.task {
            Task::Detection => 4,
            Task::Recognition => 16,
            Task::Classification | Task::Transcription => 8,
        };
        let max_batch = fixed(0).unwrap_or_else(|| like.map_or(usual, |like| like.engine.max_batch));
        text += &format!("max_batch = {max_batch}\n\n[preprocess]\n");
        let spec = like.map(|like| &like.preprocess);
        if let Some(channels) = spec.and_then(|spec| spec.channels.as_deref()) {
            text += &format!("channels = {}\n", quoted(channels));
        }
        for (key, extent) in [("height", height), ("width", width)] {
            text += &extent.map_or_else(String::new, |extent| format!("{key} = {extent}\n"));
        }
        for (key, triple) in [("mean", spec.and_then(|s| s.mean)), ("std", spec.and_then(|s| s.std))] {
            text += &triple.map_or_else(String::new, |triple| format!("{key} = {triple:?}\n"));
        }
        text
    }

    fn acceptance_lines(
        &self,
        acceptance: &Acceptance,
        golden: &[(PathBuf, String)],
    ) -> Result<String, String> {
        let name = |(_, file): &(PathBuf, String)| quoted(&format!("{}/golden/{file}", self.name));
        let names: Vec<String> = golden.iter().map(name).collect();
        let precisions: Vec<String> = acceptance.precisions.iter().map(|p| quoted(p.as_str())).collect();
        let limits = match acceptance.thresholds {
            Thresholds::Detection(limits) => toml::to_string(&limits),
            Thresholds::Recognition(limits) => toml::to_string(&limits),
            Thresholds::Classification(limits) => toml::to_string(&limits),
        };
        let limits =
            limits.map_err(|error| format!("the acceptance limits cannot be written as TOML: {error}"))?;
        Ok(format!(
            "\n[acceptance]\ngolden = [{}]\nprecisions = [{}]\n\n[acceptance.limits]\n{limits}",
            names.join(", "),
            precisions.join(", ")
        ))
    }

    /// Returns the lines of `[labels]`; `None`: the model needs no labels.
    fn label_lines(
        &self,
        weights: &[u8],
        file: Option<&[u8]>,
        classes: Option<u64>,
    ) -> Result<Option<String>, String> {
        let (from, texts) = match file {
            Some(bytes) => {
                let text = String::from_utf8(bytes.to_vec()).map_err(|_| "the labels are not UTF-8")?;
                (format!("from = \"file\"\nfile = \"{LABELS}\"\n"), labels::lines(&text))
            }
            None => {
                let found = LABEL_KEYS.into_iter().find_map(|key| Some((key, onnx::metadata(weights, key)?)));
                match (found, self.like.and_then(|like| like.labels.as_ref())) {
                    (Some((key, text)), _) => {
                        (format!("from = \"metadata\"\nkey = \"{key}\"\n"), labels::lines(&text))
                    }
                    (None, Some(labels)) if matches!(labels.from, LabelOrigin::List(_)) => {
                        let LabelOrigin::List(list) = &labels.from else { return Ok(None) };
                        let quoted: Vec<String> = list.iter().map(|label| quoted(label)).collect();
                        (format!("from = \"list\"\nlist = [{}]\n", quoted.join(", ")), list.clone())
                    }
                    _ if self.task == Task::Recognition => {
                        return Err(format!(
                            "a recognizer needs the texts of its classes, and the metadata has none of the keys {}: name a file of labels",
                            LABEL_KEYS.join(", ")
                        ));
                    }
                    _ => return Ok(None),
                }
            }
        };
        if self.task != Task::Recognition {
            return Ok(Some(from));
        }
        // The blank of CTC is the first class; exporters leave it out of the texts, and often a space at the end.
        let beyond = classes.map(|classes| i128::from(classes) - texts.len() as i128);
        match beyond {
            Some(0) => Ok(Some(from)),
            Some(1) => Ok(Some(from + "prefix = [\"\"]\n")),
            Some(2) | None => Ok(Some(from + "prefix = [\"\"]\nsuffix = [\" \"]\n")),
            Some(_) => Err(format!(
                "{} labels for {} classes; there must be as many, or one or two fewer (the blank, the space)",
                texts.len(),
                classes.unwrap_or_default()
            )),
        }
    }
}

/// A hidden folder beside the models, which the catalog ignores; removed when it is dropped.
struct Draft(PathBuf);

impl Draft {
    fn new(own_models_dir: &Path) -> Result<Self, CatalogError> {
        let dir = own_models_dir.join(format!(".adding-{}", std::process::id()));
        make(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, dir = %self.0.display(), "a temporary folder could not be removed");
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, CatalogError> {
    let unreadable = |source| CatalogError::Unreadable { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > bytes_max {
        let what = format!("{bytes} bytes; the limit is {bytes_max}");
        return Err(CatalogError::Invalid { path: path.to_owned(), what });
    }
    fs::read(path).map_err(unreadable)
}

fn make(dir: &Path) -> Result<(), CatalogError> {
    fs::create_dir_all(dir).map_err(|source| CatalogError::Unwritable { path: dir.to_owned(), source })
}

/// Syncs to the disk: the rename that follows must not be visible before the file's content.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CatalogError> {
    let unwritable = |source| CatalogError::Unwritable { path: path.to_owned(), source };
    fs::write(path, bytes).and_then(|()| File::open(path)?.sync_all()).map_err(unwritable)
}
