//! An owner thread: it alone runs the engine in its slot.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use lector_core::port::WorkDone;
use lector_core::{Fault, Kind, ModelName};

use super::queue::{Queue, Ticket};
use crate::cores::Cores;
use crate::engine::Slot;
use crate::meter::Meter;

pub(super) struct Owner {
    pub(super) slot: Arc<Slot>,
    pub(super) model: ModelName,
    pub(super) queue: Arc<Queue>,
    pub(super) meter: Arc<Meter>,
    pub(super) cores: Arc<Cores>,
}

impl Owner {
    /// Runs until the queue is closed.
    pub(super) fn work(self) {
        while self.queue.wait() {
            // The cores first and the choice after: what has died while waiting for a core is not run, and a batch
            // is formed at the last moment.
            let _permit = self.cores.take(self.slot.cores_per_run());
            if let Some(ticket) = self.queue.take(&self.meter) {
                self.serve(ticket);
            }
        }
    }

    fn serve(&self, ticket: Ticket) {
        let Ticket { item, reply, offered, span } = ticket;
        let rows = item.inputs.first().map_or(1, |(_, tensor)| tensor.rows()) as u64;
        let _entered = tracing::debug_span!(parent: &span, "inference", model = %self.model, rows).entered();
        self.meter.in_flight.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let queue_wait = started.saturating_duration_since(offered);
        // A panic between ONNX Runtime and us says nothing about the session's own state, which lives across the
        // border; the run failed, the lane goes on.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.slot.for_run().run(&item.inputs, &item.outputs)));
        let run = started.elapsed();
        drop(item);
        self.meter.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.meter.ran(rows, queue_wait, run);
        let outcome = outcome.unwrap_or_else(|panic| Err(format!("panic: {}", panic_text(&*panic))));
        let answer = match outcome {
            Ok(outputs) => Ok(WorkDone { outputs, queue_wait, run }),
            Err(cause) => Err(self.failed(cause)),
        };
        // A caller that left while it ran gets nothing.
        let _ = reply.send(answer);
    }

    fn failed(&self, cause: String) -> Fault {
        Meter::add(&self.meter.failures, 1);
        tracing::warn!(model = %self.model, cause, "a run failed");
        let message = format!("model {} failed on this input", self.model);
        Fault::new(Kind::Bug, "engine_run_failed", message).with_detail(cause)
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "without a message",
    }
}
