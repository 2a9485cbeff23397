//! `model.toml` as written ([`RawModel`]) and its validation ([`entry`]). Unknown keys are errors.

use std::path::{Component, Path, PathBuf};

use lector_core::ModelName;
use serde::Deserialize;

use super::acceptance::{self, RawAcceptance};
use super::digest::Sha256;
use super::entry::ModelEntry;
use super::error::CatalogError;
use super::labels::LabelOrigin;
use super::labels::LabelSource;
use super::spec::{EngineSpec, Preprocess, Reduce, Source, Steps, Task, Weights};

/// Largest extent of an input; greater ones are invalid for OCR.
const EXTENT_MAX: u32 = 16_384;
/// Most rows of a run.
const BATCH_MAX: u32 = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    name: String,
    task: Task,
    description: String,
    #[serde(alias = "licence")]
    license: String,
    weights: RawWeights,
    source: Option<RawSource>,
    labels: Option<RawLabels>,
    engine: RawEngine,
    #[serde(default)]
    preprocess: RawPreprocess,
    acceptance: Option<RawAcceptance>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWeights {
    file: String,
    sha256: String,
    bytes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    package: String,
    version: String,
    wheel_sha256: String,
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawFrom {
    Metadata,
    File,
    List,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLabels {
    from: RawFrom,
    key: Option<String>,
    file: Option<String>,
    list: Option<Vec<String>>,
    #[serde(default)]
    prefix: Vec<String>,
    #[serde(default)]
    suffix: Vec<String>,
    source: Option<RawLabelsSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLabelsSource {
    /// Member of the wheel; read by `cargo xtask setup`.
    #[serde(rename = "path")]
    _path: String,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEngine {
    reduce: Option<Reduce>,
    width_step: Option<u32>,
    width_max: Option<u32>,
    side_step: Option<u32>,
    side_max: Option<u32>,
    max_batch: u32,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPreprocess {
    channels: Option<String>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    height: Option<u32>,
    width: Option<u32>,
}

/// Reads and validates the description at `path`.
pub(super) fn entry(path: &Path) -> Result<ModelEntry, CatalogError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| CatalogError::Unreadable { path: path.to_owned(), source })?;
    let raw: RawModel = toml::from_str(&text)
        .map_err(|e| CatalogError::Malformed { path: path.to_owned(), source: Box::new(e) })?;
    raise(raw, path.parent().unwrap_or(Path::new("")))
        .map_err(|what| CatalogError::Invalid { path: path.to_owned(), what })
}

fn raise(raw: RawModel, folder: &Path) -> Result<ModelEntry, String> {
    let folder_name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if raw.name != folder_name {
        return Err(format!("name is `{}`, but the folder is `{folder_name}`; they must be equal", raw.name));
    }
    plain_name(&raw.name)?;
    let engine = engine(raw.engine)?;
    if engine.reduce.is_some() && raw.task != Task::Recognition {
        return Err("engine.reduce = \"ctc\" is for task = \"recognition\" alone".to_owned());
    }
    let source = raw.source.map(|s| {
        let wheel_sha256 = digest("source.wheel_sha256", &s.wheel_sha256)?;
        Ok::<_, String>(Source { package: s.package, version: s.version, wheel_sha256, path: s.path })
    });
    let catalog = folder.parent().unwrap_or(Path::new(""));
    let acceptance = raw.acceptance.map(|a| acceptance::raise(a, raw.task, catalog)).transpose()?;
    Ok(ModelEntry {
        name: ModelName::from(raw.name),
        task: raw.task,
        description: raw.description,
        license: raw.license,
        weights: Weights {
            path: beside(folder, "weights.file", &raw.weights.file)?,
            sha256: digest("weights.sha256", &raw.weights.sha256)?,
            bytes: raw.weights.bytes,
        },
        source: source.transpose()?,
        labels: raw.labels.map(|l| labels(l, folder)).transpose()?,
        engine,
        preprocess: preprocess(raw.preprocess)?,
        acceptance,
    })
}

/// Checks that a text can be the name of a model, and so of a folder.
pub(super) fn plain_name(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    if name.bytes().all(plain) && name.bytes().any(|b| b != b'.') {
        Ok(())
    } else {
        Err(format!("name `{name}` may hold only a-z, 0-9, `-` and `.`, and not dots alone"))
    }
}

fn engine(raw: RawEngine) -> Result<EngineSpec, String> {
    if !(1..=BATCH_MAX).contains(&raw.max_batch) {
        return Err(format!("engine.max_batch is {}, must be 1 to {BATCH_MAX}", raw.max_batch));
    }
    Ok(EngineSpec {
        reduce: raw.reduce,
        width: steps("width", raw.width_step, raw.width_max)?,
        side: steps("side", raw.side_step, raw.side_max)?,
        max_batch: raw.max_batch,
    })
}

fn steps(what: &str, step: Option<u32>, max: Option<u32>) -> Result<Option<Steps>, String> {
    match (step, max) {
        (None, None) => Ok(None),
        (Some(step), Some(max)) if step > 0 && max >= step && max % step == 0 && max <= EXTENT_MAX => {
            Ok(Some(Steps { step, max }))
        }
        _ => Err(format!(
            "engine.{what}_step and engine.{what}_max go together; the maximum is a multiple of the step, at most {EXTENT_MAX}"
        )),
    }
}

fn labels(raw: RawLabels, folder: &Path) -> Result<LabelSource, String> {
    let from = match (raw.from, raw.key, raw.file, raw.list) {
        (RawFrom::Metadata, Some(key), None, None) => LabelOrigin::Metadata { key },
        (RawFrom::File, None, Some(file), None) => LabelOrigin::File {
            path: beside(folder, "labels.file", &file)?,
            sha256: raw.source.map(|s| digest("labels.source.sha256", &s.sha256)).transpose()?,
        },
        (RawFrom::List, None, None, Some(list)) => LabelOrigin::List(list),
        _ => {
            return Err(
                "labels.from = \"metadata\" takes `key`, \"file\" takes `file`, \"list\" takes `list`, \
                        and nothing of the others"
                    .to_owned(),
            );
        }
    };
    Ok(LabelSource { from, prefix: raw.prefix, suffix: raw.suffix })
}

fn preprocess(raw: RawPreprocess) -> Result<Preprocess, String> {
    if let Some(channels) = &raw.channels
        && !matches!(channels.as_str(), "rgb" | "bgr")
    {
        return Err(format!("preprocess.channels is `{channels}`, must be \"rgb\" or \"bgr\""));
    }
    if [raw.height, raw.width].into_iter().flatten().any(|n| n == 0 || n > EXTENT_MAX) {
        return Err(format!("preprocess.height and preprocess.width must be 1 to {EXTENT_MAX}"));
    }
    let RawPreprocess { channels, mean, std, height, width } = raw;
    Ok(Preprocess { channels, mean, std, height, width })
}

/// Returns the path of a file of the model's folder; a path that leaves it is an error.
fn beside(folder: &Path, key: &str, file: &str) -> Result<PathBuf, String> {
    let mut components = Path::new(file).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(name)), None) => Ok(folder.join(name)),
        _ => Err(format!("{key} is `{file}`, must be the name of a file beside model.toml")),
    }
}

fn digest(key: &str, text: &str) -> Result<Sha256, String> {
    Sha256::parse(text).ok_or_else(|| format!("{key} must be 64 lower-case hexadecimal digits"))
}
