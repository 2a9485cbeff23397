//! The model catalog for the command line: lists, shows, verifies and adds models.

use std::path::Path;

use anyhow::{Context, bail};
use lector_core::ModelName;
use lector_inference::build::Task as BuildTask;
use lector_inference::catalog::{self, BackupSummary, LabelOrigin, ModelImport, Steps};
use lector_inference::provider::UnknownProvider;
use lector_inference::tesseract;
use lector_inference::{Catalog, EngineCache, EngineVariant, Inference, InferenceConfig, ModelEntry, Task};
use lector_sandbox::Policy;

use super::engines;
use crate::config::EnginesConfig;

/// A model of the catalog, to print.
#[derive(Clone, Debug)]
pub struct ModelLine {
    /// Name.
    pub name: String,
    /// Task: detection, recognition, classification or transcription.
    pub task: String,
    /// Size of the weights in bytes.
    pub bytes: u64,
    /// Whether the weights are installed.
    pub present: bool,
    /// License of the weights.
    pub license: String,
    /// Description, one sentence.
    pub description: String,
}

fn catalog(config: &EnginesConfig) -> anyhow::Result<Catalog> {
    let (shipped, own) = (&config.models_dir, &config.own_models_dir);
    Catalog::read_both(shipped, Some(own))
        .with_context(|| format!("reading the model catalog in {} and {}", shipped.display(), own.display()))
}

fn find(config: &EnginesConfig, name: &str) -> anyhow::Result<ModelEntry> {
    let found = catalog(config)?.find(&ModelName::from(name)).cloned();
    found.with_context(|| format!("model {name} is not in the catalog: see `lector models list`"))
}

/// Returns the catalog, without starting an engine.
pub fn models(config: &EnginesConfig) -> anyhow::Result<Vec<ModelLine>> {
    let line = |entry: &ModelEntry| ModelLine {
        name: entry.name.to_string(),
        task: entry.task.as_str().to_owned(),
        bytes: entry.weights.bytes,
        present: entry.present(),
        license: entry.license.clone(),
        description: entry.description.clone(),
    };
    Ok(catalog(config)?.entries().iter().map(line).collect())
}

/// Returns the description of a model, the state of its files, and its engines in the cache, as (heading, text).
pub fn model_sheet(config: &EnginesConfig, name: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let entry = find(config, name)?;
    let mut sheet = vec![
        ("name", entry.name.to_string()),
        ("task", entry.task.as_str().to_owned()),
        ("description", entry.description.clone()),
        ("license", entry.license.clone()),
        ("weights", entry.weights.path.display().to_string()),
        ("sha256", entry.weights.sha256.to_string()),
        ("bytes", entry.weights.bytes.to_string()),
        (
            "source",
            entry.source.as_ref().map_or_else(
                || "an operator's own".to_owned(),
                |source| {
                    let (package, version) = (&source.package, &source.version);
                    format!("{package} {version}, {} (wheel sha256 {})", source.path, source.wheel_sha256)
                },
            ),
        ),
        ("labels", labels(&entry)),
        ("shapes", shapes(&entry)),
        ("preprocess", preprocess(&entry)),
        ("acceptance", acceptance(&entry)),
    ];
    for finding in entry.validate() {
        let outcome =
            finding.outcome.map_or_else(|why| format!("WRONG: {why}"), |what| format!("ok: {what}"));
        sheet.push(("file", format!("{}: {outcome}", finding.about)));
    }
    let cache = EngineCache::new(config.cache_dir.clone(), config.cache_bytes_max);
    let entries = cache
        .entries()
        .with_context(|| format!("reading the engine cache in {}", config.cache_dir.display()))?;
    let own = entries.iter().filter(|(_, manifest)| manifest.key.model == name);
    let engines = own.map(|(dir, manifest)| {
        let outcome = match manifest.acceptance.accepted {
            _ if manifest.key.model_sha256 != entry.weights.sha256.as_str() => "of other weights",
            true => "accepted",
            false => "refused",
        };
        let (folder, variant) = (dir.file_name().unwrap_or_default().to_string_lossy(), manifest.key.variant);
        let (megabytes, summary) = (manifest.bytes() as f64 / 1e6, manifest.acceptance.summary());
        ("engine", format!("{variant} {outcome}, {megabytes:.1} MB, {folder}: {summary}"))
    });
    sheet.extend(engines);
    Ok(sheet)
}

fn labels(entry: &ModelEntry) -> String {
    let Some(labels) = &entry.labels else { return "none".to_owned() };
    let from = match &labels.from {
        LabelOrigin::Metadata { key } => format!("metadata `{key}` of the weights"),
        LabelOrigin::File { path, sha256 } => {
            let digest = sha256.as_ref().map_or_else(String::new, |digest| format!(", sha256 {digest}"));
            format!("{}{digest}", path.display())
        }
        LabelOrigin::List(list) => format!("{list:?}"),
    };
    match (labels.prefix.as_slice(), labels.suffix.as_slice()) {
        ([], []) => from,
        (prefix, suffix) => format!("{from}, with {prefix:?} before and {suffix:?} after"),
    }
}

fn shapes(entry: &ModelEntry) -> String {
    let steps = |what: &str, steps: Option<Steps>| {
        steps.map(|Steps { step, max }| format!("{what} in steps of {step} up to {max}, "))
    };
    let engine = &entry.engine;
    let reduce = engine.reduce.map(|_| "reduced by CTC, ".to_owned());
    let parts = [reduce, steps("widths", engine.width), steps("sides", engine.side)];
    let parts: String = parts.into_iter().flatten().collect();
    format!("{parts}at most {} rows a run", engine.max_batch)
}

fn preprocess(entry: &ModelEntry) -> String {
    let spec = &entry.preprocess;
    let parts = [
        spec.channels.clone(),
        spec.height.map(|height| format!("height {height}")),
        spec.width.map(|width| format!("width {width}")),
        spec.mean.map(|mean| format!("mean {mean:?}")),
        spec.std.map(|std| format!("std {std:?}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "not described".to_owned() } else { parts.join(", ") }
}

fn acceptance(entry: &ModelEntry) -> String {
    if entry.task == Task::Transcription {
        return "none: only libtesseract serves it".to_owned();
    }
    entry.acceptance.as_ref().map_or_else(
        || "none: only cpu/f32 may serve it".to_owned(),
        |acceptance| {
            let precisions: Vec<&str> = acceptance.precisions.iter().map(|p| p.as_str()).collect();
            let (pictures, limits) = (acceptance.golden.len(), acceptance.thresholds);
            format!("{pictures} golden images, precisions {}, {limits:?}", precisions.join(", "))
        },
    )
}

/// Receiver of check results: model, subject, and outcome.
pub type OnResult<'a> = &'a mut dyn FnMut(&str, &str, &Result<String, String>);

/// Checks the files of models (none named: all) and runs their golden images on every engine variant of their
/// provider preference lists; missing engines are built. Returns true if every check passed.
pub fn models_verify(config: &EnginesConfig, names: &[String], report: OnResult<'_>) -> anyhow::Result<bool> {
    let catalog = catalog(config)?;
    let entries: Vec<ModelEntry> = match names {
        [] => catalog.entries().to_vec(),
        names => names.iter().map(|name| find(config, name)).collect::<anyhow::Result<_>>()?,
    };
    let mut good = true;
    for entry in &entries {
        let mut note = |about: &str, outcome: Result<String, String>| {
            report(entry.name.as_str(), about, &outcome);
            good &= outcome.is_ok();
            outcome.is_ok()
        };
        let mut fits = true;
        for finding in entry.validate() {
            fits &= note(finding.about, finding.outcome);
        }
        if entry.task == Task::Transcription {
            // libtesseract is optional: its absence is an error of a check that names the model.
            if let Err(why) = tesseract::languages(&config.tesseract_dir) {
                note("a run", if names.is_empty() { Ok(format!("none: {why}")) } else { Err(why) });
                continue;
            }
            if fits {
                note("a run", run(config, &entry.name));
            }
            continue;
        }
        if fits && note("a run", run(config, &entry.name)) {
            golden(config, entry, note)?;
        }
    }
    Ok(good)
}

/// Opens the model on the reference engine and runs the smallest input, to find errors that the file does not show.
fn run(config: &EnginesConfig, model: &ModelName) -> Result<String, String> {
    let message = |error: &dyn std::error::Error| {
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
    };
    let plane = engines::config(config, Policy::Enforce).map_err(|error| format!("{error:#}"))?;
    let reference =
        EngineVariant::REFERENCE.to_string().parse().map_err(|error: UnknownProvider| error.to_string())?;
    let plane = InferenceConfig {
        providers: vec![reference],
        model_providers: std::collections::BTreeMap::new(),
        builder_command: Vec::new(),
        ..plane
    };
    let inference = Inference::start(plane).map_err(|error| message(&error))?;
    inference.open(std::slice::from_ref(model)).map_err(|error| message(&error))?;
    let outcome = inference.probe().map_err(|fault| format!("{fault}"));
    inference.shutdown();
    outcome.map(|()| format!("the smallest input, on {}", inference.preference(model)))
}

/// Runs the golden images on every engine variant of the model's preference list. A missing engine is built, which
/// includes the comparison; an existing one is compared again.
fn golden(
    config: &EnginesConfig,
    entry: &ModelEntry,
    mut note: impl FnMut(&str, Result<String, String>) -> bool,
) -> anyhow::Result<()> {
    if entry.acceptance.is_none() {
        note("golden images", Ok("none: only cpu/f32 may serve it".to_owned()));
        return Ok(());
    }
    let inference = engines::orderer(config)?;
    for &variant in &inference.preference(&entry.name).variants {
        let order = |task| inference.order(task, &entry.name, variant, |_, _| {});
        let outcome = order(BuildTask::Build)
            .and_then(|built| if built.found { order(BuildTask::Verify) } else { Ok(built) });
        let about = format!("golden images on {variant}");
        note(
            &about,
            outcome.and_then(
                |o| if o.accepted { Ok(o.summary) } else { Err(format!("refused: {}", o.summary)) },
            ),
        );
    }
    Ok(())
}

/// Arguments of `lector models add`.
#[derive(Clone, Debug)]
pub struct ModelOrder<'a> {
    /// Name in the catalog.
    pub name: &'a str,
    /// Task; `None`: that of `like`.
    pub task: Option<&'a str>,
    /// The ONNX file.
    pub weights: &'a Path,
    /// File with the class labels, one per line.
    pub labels: Option<&'a Path>,
    /// Catalog model whose settings are copied.
    pub like: Option<&'a str>,
    /// Description, one sentence.
    pub description: Option<&'a str>,
    /// License as an SPDX expression.
    pub license: &'a str,
}

/// Verifies an operator's model and adds it to the catalog; a model that cannot run is not added. Returns true if every
/// engine variant was accepted.
pub fn models_add(
    config: &EnginesConfig,
    order: &ModelOrder<'_>,
    report: OnResult<'_>,
) -> anyhow::Result<bool> {
    let known = catalog(config)?;
    if known.find(&ModelName::from(order.name)).is_some() {
        bail!("model {} is already in the catalog: choose another name", order.name);
    }
    let like = order.like.map(|name| find(config, name)).transpose()?;
    let task = match (order.task, &like) {
        (Some(word), _) => Task::ONNX.into_iter().find(|task| task.as_str() == word).with_context(|| {
            format!("unknown task `{word}`: use detection, recognition or classification")
        })?,
        (None, Some(like)) => like.task,
        (None, None) => bail!("no task given: set --task, or --like with a model of the catalog"),
    };
    let file = order.weights.file_name().unwrap_or_default().to_string_lossy();
    let adoption = ModelImport {
        name: ModelName::from(order.name),
        task,
        description: order.description.map_or_else(|| format!("{file}, an operator's own."), str::to_owned),
        license: order.license.to_owned(),
        weights: order.weights,
        labels: order.labels,
        like: like.as_ref(),
    };
    let entry = adoption
        .import(&config.own_models_dir)
        .with_context(|| format!("adding {} to the catalog", order.weights.display()))?;
    let ran = run(config, &entry.name);
    report(order.name, "a run", &ran);
    if let Err(why) = ran {
        let folder = config.own_models_dir.join(order.name);
        std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        bail!("model {} cannot run and was not added to the catalog: {why}", order.name);
    }
    let mut accepted = true;
    golden(config, &entry, |about, outcome| {
        report(order.name, about, &outcome);
        accepted &= outcome.is_ok();
        outcome.is_ok()
    })?;
    Ok(accepted)
}

/// Returns the names of an operator's own models.
pub fn own_models(config: &EnginesConfig) -> anyhow::Result<Vec<String>> {
    let dir = &config.own_models_dir;
    catalog::own_models(dir).with_context(|| format!("listing the models in {}", dir.display()))
}

/// Copies an operator's own models into a folder.
pub fn models_backup(config: &EnginesConfig, to: &Path) -> anyhow::Result<BackupSummary> {
    let dir = &config.own_models_dir;
    catalog::backup(dir, to).with_context(|| format!("copying the models in {}", dir.display()))
}

/// Restores an operator's own models from a backup.
pub fn models_restore(config: &EnginesConfig, from: &Path) -> anyhow::Result<BackupSummary> {
    let dir = &config.own_models_dir;
    catalog::restore(from, dir).with_context(|| format!("copying models into {}", dir.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::config::{Config, Sources};

    #[test]
    fn libtesseract_may_be_absent_unless_its_model_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tesseract");
        let catalog = dir.path().join("models/tesseract");
        std::fs::create_dir_all(&catalog).unwrap();
        for file in ["model.toml", "languages.tsv"] {
            std::fs::copy(shipped.join(file), catalog.join(file)).unwrap();
        }
        let file = dir.path().join("lector.toml");
        std::fs::write(&file, "").unwrap();
        let flags = [("models_dir", "models"), ("own_models_dir", "own"), ("tesseract_dir", "nothing")]
            .map(|(key, at)| (format!("engines.{key}"), dir.path().join(at).display().to_string(), "--set"));
        let (config, _) =
            Config::load(&Sources { file: Some(file), flags: flags.into(), context: None }).unwrap();
        let check = |names: &[String]| {
            let mut runs = Vec::new();
            let good = models_verify(&config.engines, names, &mut |_, about, outcome| {
                runs.extend((about == "a run").then(|| outcome.clone()));
            });
            (good.unwrap(), runs)
        };
        let (good, runs) = check(&[]);
        let [Ok(why)] = runs.as_slice() else { panic!("{runs:?}") };
        assert!(good && why.contains("cargo xtask setup --languages"), "{why}");
        let (good, runs) = check(&["tesseract".to_owned()]);
        assert!(!good && matches!(runs.as_slice(), [Err(_)]), "{runs:?}");
    }
}
