//! The rooms behind the platform as plain figures, for metrics and readiness.

use std::fmt;
use std::sync::Arc;

use lector_document::DocumentWorkers;
use lector_inference::Inference;
use lector_runtime::Runtime;

use super::engines;
use crate::metrics::{EngineReading, GpuReading, GuestsReading, LaneReading, Parts, WorkersReading};

/// The rooms.
pub(super) struct HostParts {
    pub(super) inference: Arc<Inference>,
    pub(super) documents: Arc<DocumentWorkers>,
    pub(super) runtime: Arc<Runtime>,
    pub(super) instances_max: u32,
}

impl fmt::Debug for HostParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostParts").finish_non_exhaustive()
    }
}

impl Parts for HostParts {
    fn lanes(&self) -> Vec<LaneReading> {
        let lanes = self.inference.lanes().into_iter();
        lanes
            .map(|lane| LaneReading {
                model: lane.model.to_string(),
                provider: lane.provider.to_owned(),
                precision: lane.precision.to_owned(),
                sessions: lane.sessions,
                queue_depth: lane.queue_depth,
                in_flight: usize::try_from(lane.in_flight).unwrap_or(usize::MAX),
                runs: lane.runs,
                rows: lane.rows,
                expired: lane.skipped_expired,
                busy: lane.busy,
            })
            .collect()
    }

    fn engines(&self) -> Vec<EngineReading> {
        self.inference.engines().into_iter().map(engines::reading).collect()
    }

    fn gpus(&self) -> Vec<GpuReading> {
        lector_inference::gpu::readings().into_iter().map(engines::gpu_reading).collect()
    }

    fn workers(&self) -> WorkersReading {
        let status = self.documents.status();
        WorkersReading {
            alive: status.alive,
            idle: status.idle,
            wanted: status.workers,
            respawns: status.respawns,
            sandbox: status.sandbox.map(|report| report.to_string()).into_iter().collect(),
        }
    }

    fn guests(&self) -> GuestsReading {
        let status = self.runtime.status();
        GuestsReading {
            live: status.live,
            live_max: u64::from(self.instances_max),
            started: status.started,
            traps: status.faults.into_iter().map(|(code, count)| (code.to_owned(), count)).collect(),
        }
    }
}
