//! Reads the state of the parts of the server as plain samples, for metrics and readiness.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lector_core::batching::plan::BatchingPolicyStatus;
use lector_document::DocumentWorkers;
use lector_inference::Inference;
use lector_inference::lane_counters::{BOUNDS_ROWS, BOUNDS_S, HistogramStatus};
use lector_runtime::Runtime;
use lector_sandbox::SandboxReport;

use super::engines;
use crate::metrics::{
    EngineSample, GpuSample, GuestsSample, HistogramSample, LaneSample, StatusSource, WorkersSample,
};

/// Source of the samples.
pub(super) struct HostStatus {
    pub(super) inference: Arc<Inference>,
    pub(super) documents: Arc<DocumentWorkers>,
    pub(super) runtime: Arc<Runtime>,
    pub(super) instances_max: u32,
}

impl fmt::Debug for HostStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostStatus").finish_non_exhaustive()
    }
}

fn histogram(bounds: impl Iterator<Item = f64>, counts: &[u64], sum: f64) -> HistogramSample {
    let bounds = bounds.chain([f64::MAX]);
    HistogramSample { buckets: bounds.zip(counts.iter().copied()).collect(), sum }
}

fn times(status: &HistogramStatus) -> HistogramSample {
    histogram(BOUNDS_S.iter().copied(), &status.counts, status.sum.as_secs_f64())
}

impl StatusSource for HostStatus {
    fn lanes(&self) -> Vec<LaneSample> {
        let lanes = self.inference.lanes().into_iter();
        lanes
            .map(|lane| LaneSample {
                model: lane.model.to_string(),
                provider: lane.provider.to_owned(),
                precision: lane.precision.to_owned(),
                sessions: lane.sessions,
                queue_depth: lane.queue_depth,
                in_flight: usize::try_from(lane.in_flight).unwrap_or(usize::MAX),
                runs: lane.runs,
                rows: lane.rows,
                items: vec![
                    ("ok", lane.items.saturating_sub(lane.failures)),
                    ("failed", lane.failures),
                    ("expired", lane.skipped_expired),
                    ("cancelled", lane.skipped_cancelled),
                    ("refused_full", lane.refused_full),
                    ("refused_invalid", lane.refused_invalid),
                ],
                items_merged: lane.shared_items,
                rows_max: lane.rows_max,
                pixels: lane.pixels,
                padded_pixels: lane.padded_pixels,
                backlog: lane.backlog,
                queue_wait: times(&lane.queue_wait),
                run: times(&lane.run),
                batch_rows: histogram(
                    BOUNDS_ROWS.iter().map(|rows| *rows as f64),
                    &lane.batch_rows.counts,
                    lane.batch_rows.sum as f64,
                ),
                busy: lane.busy,
            })
            .collect()
    }

    fn engines(&self) -> Vec<EngineSample> {
        self.inference.engines().into_iter().map(engines::reading).collect()
    }

    fn gpus(&self) -> Vec<GpuSample> {
        lector_inference::gpu::readings().into_iter().map(engines::gpu_sample).collect()
    }

    fn workers(&self) -> WorkersSample {
        let status = self.documents.status();
        WorkersSample {
            alive: status.alive,
            idle: status.idle,
            wanted: status.workers,
            respawns: status.respawns,
            recycled: status.recycled,
            gave_way: status.gave_way,
            sandbox_missing: status.sandbox.as_ref().map(SandboxReport::missing).unwrap_or_default(),
            sandbox: status.sandbox.map(|report| report.to_string()).into_iter().collect(),
        }
    }

    fn guests(&self) -> GuestsSample {
        let status = self.runtime.status();
        let BatchingPolicyStatus { asked, late, trapped, invalid, skipped, computed_us, .. } =
            status.batching_policies;
        let applied = asked.saturating_sub(late + trapped + invalid + skipped);
        GuestsSample {
            plans: vec![
                ("applied", applied),
                ("late", late),
                ("trapped", trapped),
                ("invalid", invalid),
                ("skipped", skipped),
            ],
            plans_computed: Duration::from_micros(computed_us),
            policies_disabled: status.policies_disabled,
            components: status.components,
            idle_memory_bytes: status.idle_memory_bytes,
            live: status.live,
            live_max: u64::from(self.instances_max),
            started: status.started,
            traps: status.faults.into_iter().map(|(code, count)| (code.to_owned(), count)).collect(),
        }
    }
}
