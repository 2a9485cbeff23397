//! Opening a model: its weights become sessions, and a lane in front of them.

use std::sync::Arc;

use lector_core::ModelInfo;
use lector_core::model::PortInfo;
use ort::environment::Environment;

use crate::catalogue::{ModelEntry, Reduce, Task};
use crate::check::Limits;
use crate::config::InferenceConfig;
use crate::cores::Cores;
use crate::ctc;
use crate::engine::Engine;
use crate::error::InferenceError;
use crate::lane::{Lane, LaneParts};
use crate::onnx;
use crate::session::{OrtEngine, Recipe, ports};

/// Sessions and lane of one model.
pub(super) fn lane(
    entry: &ModelEntry,
    config: &InferenceConfig,
    environment: &Environment,
    cores: &Arc<Cores>,
) -> Result<Lane, InferenceError> {
    let provider = config.provider;
    let refuse = |what: String| InferenceError::Session { model: entry.name.clone(), provider, what };
    let seats = config.plan.seats(entry.task);
    let recipe = Recipe {
        environment,
        provider,
        threads: if provider.uses_cores() { seats.threads } else { 1 },
        shared_arena: config.shared_arena && provider.uses_cores(),
    };
    let mut weights = entry.read_weights()?;
    let labels = entry.read_labels(&weights)?;
    if let Some(Reduce::Ctc) = entry.engine.reduce {
        let outputs = onnx::outputs(&weights);
        let [logits] = outputs.as_slice() else {
            return Err(refuse(format!("engine.reduce takes a model with one output, not with {outputs:?}")));
        };
        weights.extend(ctc::tail(logits));
    }
    let sessions =
        (0..seats.sessions).map(|_| recipe.build(&weights)).collect::<Result<Vec<_>, _>>().map_err(refuse)?;
    drop(weights);
    let (inputs, outputs) = match sessions.first() {
        Some(session) => ports(session).map_err(refuse)?,
        None => return Err(refuse("no session".to_owned())),
    };
    let info = Arc::new(describe(entry, inputs, outputs, labels).map_err(refuse)?);
    let engines = sessions.into_iter().map(|s| Box::new(OrtEngine(s)) as Box<dyn Engine>).collect();
    Lane::start(LaneParts {
        info,
        limits: Limits {
            width: entry.engine.width,
            side: entry.engine.side,
            run_pixels_max: config.run_pixels_max,
        },
        provider,
        seats,
        queue_items_max: config.queue_items_max,
        cores: cores.clone(),
        calibrate: true,
        engines,
    })
}

/// What guests may know of the model.
fn describe(
    entry: &ModelEntry,
    mut inputs: Vec<PortInfo>,
    outputs: Vec<PortInfo>,
    labels: Vec<String>,
) -> Result<ModelInfo, String> {
    // A classifier takes one size; some exports leave it open, and every other would be slow and wrong.
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
        return Err(format!("{classes} classes, but the catalogue has {} labels", labels.len()));
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
