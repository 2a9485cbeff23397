//! Opening a model: engines of the best available variant, and a lane in front of them.

use std::sync::Arc;
use std::time::Instant;

use lector_core::ModelInfo;
use lector_core::model::PortInfo;

use super::Plane;
use super::engine_states::VariantState;
use crate::catalog::{ModelEntry, Task};
use crate::check::Limits;
use crate::engine::Engine;
use crate::engine_builder::Source;
use crate::error::InferenceError;
use crate::lane::{Lane, LaneParts};
use crate::provider::EngineVariant;
use crate::tesseract::{self, TesseractEngine};

impl Plane {
    /// Opens the lane of a model; `None`: an engine must be built first.
    pub(super) fn lane(&self, entry: &ModelEntry) -> Result<Option<Lane>, InferenceError> {
        if entry.task == Task::Transcription {
            return self.lane_of_tesseract(entry).map(Some);
        }
        let config = &self.config;
        let session_config = config.plan.session_config(entry.task);
        let source = Source::read(entry)?;
        let Some((variant, made)) = self.first_engines(entry, &source)? else { return Ok(None) };
        let refuse = |what: String| InferenceError::Model { model: entry.name.clone(), what };
        let info = Arc::new(describe(entry, made.inputs, made.outputs, source.labels).map_err(refuse)?);
        let lane = Lane::start(LaneParts {
            info,
            limits: Limits {
                width: entry.engine.width,
                side: entry.engine.side,
                run_pixels_max: config.run_pixels_max,
            },
            variant,
            session_config,
            queue_items_max: config.queue_items_max,
            cores: self.cores.clone(),
            calibrate: true,
            engines: made.engines,
        })?;
        Ok(Some(lane))
    }

    /// Opens the lane of a model that libtesseract reads. Its workers are started by the first runs.
    fn lane_of_tesseract(&self, entry: &ModelEntry) -> Result<Lane, InferenceError> {
        let (config, started) = (&self.config, Instant::now());
        entry.verify()?;
        let refuse = |what: String| InferenceError::Model { model: entry.name.clone(), what };
        let languages: Arc<[String]> = tesseract::languages(&config.tesseract.dir).map_err(refuse)?.into();
        let session_config = config.plan.session_config(entry.task);
        let shared = Arc::new(config.tesseract.clone());
        let engine = || Box::new(TesseractEngine::new(shared.clone(), languages.clone())) as Box<dyn Engine>;
        let engines = (0..session_config.sessions).map(|_| engine()).collect();
        let (inputs, outputs) = tesseract::ports();
        let info = ModelInfo {
            name: entry.name.clone(),
            inputs,
            outputs,
            labels: languages.iter().cloned().collect(),
            width_buckets: Vec::new(),
            max_batch: entry.engine.max_batch,
        };
        let variant = EngineVariant::TESSERACT;
        let lane = Lane::start(LaneParts {
            info: Arc::new(info),
            limits: Limits { width: None, side: None, run_pixels_max: config.run_pixels_max },
            variant,
            session_config,
            queue_items_max: config.queue_items_max,
            cores: self.cores.clone(),
            // A flat picture, the smallest input, is answered without libtesseract and teaches nothing.
            calibrate: false,
            engines,
        })?;
        self.engine_states.note(&entry.name, variant, VariantState::Ready);
        self.engine_states.serves(entry, variant, None, started.elapsed());
        Ok(lane)
    }
}

/// Returns the description of the model for guests.
fn describe(
    entry: &ModelEntry,
    mut inputs: Vec<PortInfo>,
    outputs: Vec<PortInfo>,
    labels: Vec<String>,
) -> Result<ModelInfo, String> {
    // A classifier takes one size. Some exports leave it open; every other size would be slow and give wrong classes.
    if entry.task == Task::Classification {
        let extents = [(2, entry.preprocess.height), (3, entry.preprocess.width)];
        for shape in inputs.iter_mut().map(|port| &mut port.shape) {
            for (axis, extent) in extents {
                if let (Some(open @ ..0), Some(extent)) = (shape.get_mut(axis), extent) {
                    *open = i64::from(extent);
                }
            }
        }
    }
    let classes = outputs.first().and_then(|port| port.shape.last()).filter(|&&n| n > 0);
    if let Some(&classes) = classes
        && !labels.is_empty()
        && usize::try_from(classes) != Ok(labels.len())
    {
        return Err(format!("{classes} classes, but the catalog has {} labels", labels.len()));
    }
    let width_buckets = entry
        .engine
        .width
        .map_or_else(Vec::new, |steps| (1..=steps.max / steps.step).map(|n| n * steps.step).collect());
    Ok(ModelInfo {
        name: entry.name.clone(),
        inputs,
        outputs,
        labels: labels.into(),
        width_buckets,
        max_batch: entry.engine.max_batch,
    })
}
