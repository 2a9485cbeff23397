//! The inference plane as a whole: catalogue, environment, one lane a model. Implements [`Engines`].

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use lector_core::model::PortInfo;
use lector_core::port::{WorkDone, WorkItem};
use lector_core::{Blame, Engines, Fault, Kind, ModelInfo, ModelName};
use ort::environment::Environment;

use crate::catalogue::{Catalogue, ModelEntry, Reduce, Task};
use crate::check::Limits;
use crate::config::InferenceConfig;
use crate::cores::Cores;
use crate::ctc;
use crate::engine::Engine;
use crate::environment::environment;
use crate::error::InferenceError;
use crate::lane::{Answer, Lane, LaneParts};
use crate::meter::LaneStatus;
use crate::onnx;
use crate::session::{OrtEngine, Recipe, ports};

/// The engines of this host.
pub struct Inference {
    catalogue: Catalogue,
    lanes: BTreeMap<ModelName, Lane>,
    probe_timeout: Duration,
}

impl Inference {
    /// Loads ONNX Runtime, checks the digests of the weights, builds the sessions and starts their lanes. Takes about
    /// a tenth of a second for each session; blocks.
    pub fn start(config: InferenceConfig) -> Result<Arc<Self>, InferenceError> {
        config.validate()?;
        let catalogue = Catalogue::read(&config.models_dir)?;
        let wanted = wanted(&catalogue, &config.models)?;
        let environment = environment(&config.library)?;
        let cores = Arc::new(Cores::new(config.threads));
        let mut lanes = BTreeMap::new();
        for entry in wanted {
            let started = Instant::now();
            let lane = lane(entry, &config, &environment, &cores)?;
            let status = lane.status();
            tracing::info!(
                model = %entry.name, provider = %config.provider, sessions = status.sessions,
                threads = status.threads_per_session, ms = started.elapsed().as_millis(), "lane open"
            );
            lanes.insert(entry.name.clone(), lane);
        }
        Ok(Arc::new(Self { catalogue, lanes, probe_timeout: config.probe_timeout }))
    }

    /// All models of the catalogue, loaded or not.
    pub fn catalogue(&self) -> &[ModelEntry] {
        self.catalogue.entries()
    }

    /// The lanes, by the name of their model.
    pub fn lanes(&self) -> Vec<LaneStatus> {
        self.lanes.values().map(Lane::status).collect()
    }

    /// Runs the smallest input through every lane. Blocks for the configured time at most.
    pub fn probe(&self) -> Result<(), Fault> {
        let deadline = Instant::now() + self.probe_timeout;
        let answers: Vec<(&ModelName, Answer)> = self
            .lanes
            .iter()
            .map(|(name, lane)| Ok((name, lane.probe(deadline)?)))
            .collect::<Result<_, Fault>>()?;
        for (name, answer) in answers {
            match wait_until(answer, deadline) {
                Some(Ok(answer)) => answer.map(drop)?,
                Some(Err(_)) => return Err(lost(name)),
                None => {
                    let waited = format!("no answer in {} ms", self.probe_timeout.as_millis());
                    let message = format!("model {name} did not answer a probe in time");
                    return Err(
                        Fault::new(Kind::Unavailable, "engine_probe_timeout", message).with_detail(waited)
                    );
                }
            }
        }
        Ok(())
    }

    /// Takes no more work, answers what waits with a fault, lets runs end and joins the owner threads. Blocks; a
    /// second call does nothing.
    pub fn shutdown(&self) {
        self.lanes.values().for_each(Lane::close);
        self.lanes.values().for_each(Lane::join);
    }
}

impl Engines for Inference {
    fn model(&self, name: &ModelName) -> Option<Arc<ModelInfo>> {
        self.lanes.get(name).map(|lane| lane.info().clone())
    }

    fn infer(&self, item: WorkItem) -> BoxFuture<'static, Result<WorkDone, Fault>> {
        let name = item.model.clone();
        let offered = match self.lanes.get(&name) {
            Some(lane) => lane.offer(item),
            None => {
                Err(Fault::new(Kind::NotFound, "model_not_found", format!("model {name} is not served here"))
                    .blaming(Blame::Host))
            }
        };
        // The answer is the only thing that the future holds: dropping it withdraws the item.
        Box::pin(async move { offered?.await.map_err(|_| lost(&name))? })
    }
}

/// An owner thread ended without an answer, which only a defect can cause.
fn lost(model: &ModelName) -> Fault {
    Fault::new(Kind::Bug, "engine_lost", format!("model {model} lost the run"))
}

fn wanted<'a>(catalogue: &'a Catalogue, models: &[ModelName]) -> Result<Vec<&'a ModelEntry>, InferenceError> {
    if models.is_empty() {
        return Ok(catalogue.entries().iter().collect());
    }
    let find = |model: &ModelName| {
        catalogue.find(model).ok_or_else(|| InferenceError::ModelUnknown {
            model: model.clone(),
            known: catalogue.entries().iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    };
    models.iter().map(find).collect()
}

/// Sessions and lane of one model.
fn lane(
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

/// Waits on this thread for a future; `None` at the deadline.
fn wait_until<F: Future>(future: F, deadline: Instant) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        std::thread::park_timeout(deadline.checked_duration_since(Instant::now())?);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn waiting_ends_with_the_answer_or_at_the_deadline() {
        let soon = || Instant::now() + Duration::from_millis(20);
        assert_eq!(wait_until(std::future::pending::<()>(), soon()), None);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || sender.send(7));
        assert_eq!(wait_until(receiver, Instant::now() + Duration::from_secs(60)), Some(Ok(7)));
        thread.join().unwrap().unwrap();
    }
}
