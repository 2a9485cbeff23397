//! The rooms behind the platform as plain figures, for metrics and readiness.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lector_core::batching::plan::ProgramStatus;
use lector_document::DocumentWorkers;
use lector_inference::Inference;
use lector_inference::meter::{BOUNDS_ROWS, BOUNDS_S, HistogramStatus};
use lector_runtime::Runtime;

use super::engines;
use crate::metrics::{
    EngineReading, GpuReading, GuestsReading, HistogramReading, LaneReading, Parts, WorkersReading,
};

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

fn histogram(bounds: impl Iterator<Item = f64>, counts: &[u64], sum: f64) -> HistogramReading {
    let bounds = bounds.chain([f64::MAX]);
    HistogramReading { buckets: bounds.zip(counts.iter().copied()).collect(), sum }
}

fn times(status: &HistogramStatus) -> HistogramReading {
    histogram(BOUNDS_S.iter().copied(), &status.counts, status.sum.as_secs_f64())
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
        let ProgramStatus { asked, late, trapped, absurd, passed_over, computed_us, .. } = status.programs;
        let taken = asked.saturating_sub(late + trapped + absurd + passed_over);
        GuestsReading {
            plans: vec![
                ("taken", taken),
                ("late", late),
                ("trapped", trapped),
                ("absurd", absurd),
                ("passed_over", passed_over),
            ],
            plans_computed: Duration::from_micros(computed_us),
            programs_disabled: status.programs_disabled,
            live: status.live,
            live_max: u64::from(self.instances_max),
            started: status.started,
            traps: status.faults.into_iter().map(|(code, count)| (code.to_owned(), count)).collect(),
        }
    }
}
