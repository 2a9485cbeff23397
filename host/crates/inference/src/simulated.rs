//! A real lane in front of a simulated accelerator, whose runs take a configured time.
//!
//! For measurements of the lane itself (merging, fair shares, batching policies) where no accelerator is available. The
//! figures are not those of a GPU. Called by the benches and by tests.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use lector_core::model::PortInfo;
use lector_core::port::{WorkDone, WorkItem};
use lector_core::{Blame, Dtype, Engines, Fault, Kind, ModelInfo, ModelName, Tensor, TensorData};

use crate::check::Limits;
use crate::config::SessionConfig;
use crate::cores::Cores;
use crate::engine::Engine;
use crate::error::InferenceError;
use crate::lane::{Lane, LaneParts};
use crate::lane_counters::LaneStatus;
use crate::provider::EngineVariant;

/// Columns of input and output for a bench that wants one bucket.
pub const COLUMNS: usize = 4;

/// The costs of a run.
#[derive(Clone, Copy, Debug)]
pub struct Accelerator {
    /// Cost of every run.
    pub launch: Duration,
    /// Cost of every row.
    pub per_row: Duration,
    /// Most rows of one run; 1: no merging.
    pub rows_max: u32,
    /// Most waiting items.
    pub queue_items_max: usize,
}

/// One lane of a model with one input `x` and one output `y`, both f32[-1, -1]: `y` is twice `x`, and every width is a
/// bucket.
pub struct Simulated {
    name: ModelName,
    lane: Lane,
}

impl Simulated {
    /// Starts the lane of a model named `name`.
    pub fn start(name: &str, accelerator: Accelerator) -> Result<Arc<Self>, InferenceError> {
        let name = ModelName::from(name);
        let port = |port: &str| PortInfo { name: port.to_owned(), dtype: Dtype::F32, shape: vec![-1, -1] };
        let info = ModelInfo {
            name: name.clone(),
            inputs: vec![port("x")],
            outputs: vec![port("y")],
            labels: Arc::from([]),
            width_buckets: Vec::new(),
            max_batch: accelerator.rows_max,
        };
        let lane = Lane::start(LaneParts {
            info: Arc::new(info),
            limits: Limits { width: None, side: None, run_pixels_max: u64::MAX },
            variant: EngineVariant::REFERENCE,
            session_config: SessionConfig { sessions: 1, threads: 1 },
            queue_items_max: accelerator.queue_items_max,
            cores: Arc::new(Cores::new(1)),
            calibrate: true,
            engines: vec![Box::new(Device(accelerator))],
        })?;
        Ok(Arc::new(Self { name, lane }))
    }

    /// Returns the metrics of the lane.
    pub fn status(&self) -> LaneStatus {
        self.lane.status()
    }
}

impl Engines for Simulated {
    fn model(&self, name: &ModelName) -> Option<Arc<ModelInfo>> {
        (*name == self.name).then(|| self.lane.info().clone())
    }

    fn prepare(&self, models: Vec<ModelName>) -> BoxFuture<'static, Result<(), Fault>> {
        let unknown = models.into_iter().find(|model| *model != self.name);
        Box::pin(async move {
            match unknown {
                Some(model) => Err(Fault::new(
                    Kind::NotFound,
                    "model_not_found",
                    format!("model {model} is not simulated"),
                )),
                None => Ok(()),
            }
        })
    }

    fn retain(&self, _: Vec<ModelName>) -> BoxFuture<'static, Vec<ModelName>> {
        Box::pin(async { Vec::new() })
    }

    fn infer(&self, item: WorkItem) -> BoxFuture<'static, Result<WorkDone, Fault>> {
        let offered = self.lane.offer(item);
        let lost = |cause| {
            Fault::new(Kind::Bug, "engine_lost", "the simulated device did not answer the run")
                .blaming(Blame::Host)
                .with_detail(cause)
        };
        Box::pin(async move { offered?.await.map_err(lost)? })
    }
}

struct Device(Accelerator);

impl Engine for Device {
    fn run(&mut self, inputs: &[(String, Tensor)], outputs: &[String]) -> Result<Vec<Tensor>, String> {
        let (_, x) = inputs.first().ok_or("no input")?;
        let doubled = x.as_f32().ok_or("no numbers")?.iter().map(|value| value * 2.0).collect();
        let y = Tensor::new(x.shape(), TensorData::F32(doubled)).ok_or("no tensor")?;
        let rows = u32::try_from(x.rows()).unwrap_or(u32::MAX);
        // The work of a device takes no CPU: the owner thread waits.
        std::thread::sleep(self.0.launch + self.0.per_row * rows);
        Ok(outputs.iter().map(|_| y.clone()).collect())
    }
}
