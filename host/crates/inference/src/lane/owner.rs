//! An owner thread: the only thread that runs the engine in its slot.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lector_core::port::{BatchComposition, WorkDone, WorkItem};
use lector_core::{Fault, Kind, ModelName, TenantName, Tensor};

use super::item::Ticket;
use super::queue::{Batch, Shared, bucket};
use crate::cores::{Claimant, Cores, NoTenant};
use crate::engine::Slot;
use crate::lane_counters::LaneCounters;
use crate::provider::EngineVariant;

pub(super) struct Owner {
    pub(super) slot: Arc<Slot>,
    pub(super) model: ModelName,
    pub(super) queue: Shared,
    pub(super) counters: Arc<LaneCounters>,
    pub(super) cores: Arc<Cores>,
    /// Runs from which the first costs are learned, fewest rows first; empty for all owner threads of a lane but one.
    pub(super) calibration: Vec<Vec<(String, Tensor)>>,
    pub(super) calibration_outputs: Vec<String>,
}

/// Runs of each size at a calibration. The first run of a session is the slowest and is not counted.
const CALIBRATION_RUNS: usize = 3;

impl Owner {
    /// Runs until the queue is closed.
    pub(super) fn work(mut self) {
        self.calibrate();
        let claimant: Arc<dyn Claimant> = self.queue.clone();
        while self.queue.wait(&self.counters) {
            // The cores are acquired before the batch is chosen, so that items that expire meanwhile are not run and
            // the batch is formed at the last moment.
            let cores = self.cores.clone();
            let mut permit = Some(cores.take(self.slot.cores_per_run(), &claimant));
            while let Some(mut held) = permit.take() {
                let Some(batch) = self.queue.take(&self.counters) else { break };
                // From here on: the time that batching policies took is not that of the batch's tenants.
                held.charge_to(charges(&batch), Instant::now());
                self.serve(batch);
                permit = held.again(self.slot.cores_per_run(), &claimant);
            }
        }
    }

    /// Learns the costs of a launch and of a row on the smallest inputs: milliseconds on a CPU.
    fn calibrate(&mut self) {
        let (cores, no_tenant) = (self.cores.clone(), Arc::new(NoTenant) as Arc<dyn Claimant>);
        for inputs in std::mem::take(&mut self.calibration) {
            let _permit = cores.take(self.slot.cores_per_run(), &no_tenant);
            let rows = rows(&inputs);
            let outputs = &self.calibration_outputs;
            let bucket = bucket(&inputs, outputs);
            for run in 0..CALIBRATION_RUNS {
                let started = Instant::now();
                match run_caught(&self.slot, &inputs, outputs) {
                    Ok(_) if run > 0 => self.queue.learn(&bucket, rows, started.elapsed()),
                    Ok(_) => {}
                    // The first real run of this kind will fail too, and be answered.
                    Err(cause) => {
                        tracing::warn!(model = %self.model, rows, cause, "a calibration run failed");
                        break;
                    }
                }
            }
        }
    }

    fn serve(&self, batch: Batch) {
        let Batch { run, tickets, bucket, rows } = batch;
        let mut tenants: Vec<_> = tickets.iter().map(|ticket| &ticket.item.tenant).collect();
        tenants.sort_unstable();
        tenants.dedup();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let composition =
            BatchComposition { run, rows, items: count(tickets.len()), tenants: count(tenants.len()) };
        let span = tickets.first().map(|ticket| ticket.span.clone()).unwrap_or_else(tracing::Span::none);
        let items = composition.items;
        let entered =
            tracing::debug_span!(parent: &span, "inference", model = %self.model, run, rows, items).entered();
        for other in tickets.iter().skip(1) {
            entered.follows_from(&other.span);
        }
        self.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let outcome = self.run(&tickets);
        let took = started.elapsed();
        self.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.queue.ended(&bucket, rows, outcome.is_ok().then_some(took));
        self.counters.ran(&composition, &bucket, took);
        match outcome {
            Ok((outputs, variant)) => {
                for (ticket, outputs) in tickets.into_iter().zip(outputs) {
                    self.answer(ticket, Ok((outputs, variant)), started, took, composition);
                }
            }
            Err(cause) if tickets.len() > 1 => {
                // The item that caused the failure is unknown: each item runs alone, so that only that item fails.
                tracing::warn!(model = %self.model, items, cause, "a merged run failed; its items are run one by one");
                LaneCounters::add(&self.counters.merged_failures, 1);
                for ticket in tickets {
                    self.serve_alone(ticket);
                }
            }
            Err(cause) => {
                for ticket in tickets {
                    self.answer(ticket, Err(cause.clone()), started, took, composition);
                }
            }
        }
    }

    /// Runs an item of a merged run that failed.
    fn serve_alone(&self, ticket: Ticket) {
        if ticket.reply.is_closed() {
            return LaneCounters::add(&self.counters.skipped_cancelled, 1);
        }
        let started = Instant::now();
        let outcome = run_caught(&self.slot, &ticket.item.inputs, &ticket.item.outputs);
        let took = started.elapsed();
        let composition = BatchComposition { run: 0, rows: ticket.rows, items: 1, tenants: 1 };
        self.counters.ran(&composition, &ticket.bucket, took);
        self.answer(ticket, outcome, started, took, composition);
    }

    fn answer(
        &self,
        ticket: Ticket,
        outcome: Result<(Vec<Tensor>, EngineVariant), String>,
        started: Instant,
        run: Duration,
        composition: BatchComposition,
    ) {
        let queue_wait = started.saturating_duration_since(ticket.offered);
        self.counters.waited(&ticket.bucket, ticket.rows, ticket.item.scheduling.content, queue_wait);
        let Ticket { item, reply, .. } = ticket;
        drop(item);
        let answer = match outcome {
            Ok((outputs, variant)) => {
                let variant = (variant.provider.as_str(), variant.precision.as_str());
                Ok(WorkDone { outputs, queue_wait, run, composition, variant })
            }
            Err(cause) => Err(self.failed(cause)),
        };
        // The caller may have gone during the run.
        let _ = reply.send(answer);
    }

    /// Runs all items at once; returns the outputs of each item, and the engine variant.
    fn run(&self, tickets: &[Ticket]) -> Result<(Vec<Vec<Tensor>>, EngineVariant), String> {
        let first = &tickets.first().ok_or("an empty batch")?.item;
        if tickets.len() == 1 {
            let (outputs, variant) = run_caught(&self.slot, &first.inputs, &first.outputs)?;
            return Ok((vec![outputs], variant));
        }
        let inputs = joined(tickets).ok_or("inputs of one bucket do not fit together")?;
        let (whole, variant) = run_caught(&self.slot, &inputs, &first.outputs)?;
        drop(inputs);
        let outputs = split_rows(&whole, tickets).ok_or("an output cannot be split by rows")?;
        Ok((outputs, variant))
    }

    fn failed(&self, cause: String) -> Fault {
        LaneCounters::add(&self.counters.failures, 1);
        tracing::warn!(model = %self.model, cause, "a run failed");
        let message = format!("model {} failed on this input", self.model);
        Fault::new(Kind::Bug, "engine_run_failed", message).with_detail(cause)
    }
}

/// Returns the tenants whose shares are charged for a run, by rows. Background items are free: they use time that no
/// other item wanted.
fn charges(batch: &Batch) -> Vec<(TenantName, u32, f64)> {
    let of = |ticket: &Ticket| {
        let WorkItem { tenant, scheduling, .. } = &ticket.item;
        let part = f64::from(ticket.rows) / f64::from(batch.rows.max(1));
        (!scheduling.hints.background).then(|| (tenant.clone(), scheduling.weight, part))
    };
    batch.tickets.iter().filter_map(of).collect()
}

/// Concatenates the inputs along the batch axis, by name: items may list them in any order.
fn joined(tickets: &[Ticket]) -> Option<Vec<(String, Tensor)>> {
    let first = &tickets.first()?.item.inputs;
    let join = |(name, _): &(String, Tensor)| {
        let of = |ticket: &'_ Ticket| -> Option<Tensor> {
            ticket.item.inputs.iter().find(|(own, _)| own == name).map(|(_, tensor)| tensor.clone())
        };
        let parts: Vec<Tensor> = tickets.iter().map(of).collect::<Option<_>>()?;
        Some((name.clone(), Tensor::concat(&parts.iter().collect::<Vec<_>>())?))
    };
    first.iter().map(join).collect()
}

/// Splits the outputs into those of each item.
fn split_rows(whole: &[Tensor], tickets: &[Ticket]) -> Option<Vec<Vec<Tensor>>> {
    let rows: Vec<usize> = tickets.iter().map(|ticket| ticket.rows as usize).collect();
    let mut of_item: Vec<Vec<Tensor>> = tickets.iter().map(|_| Vec::with_capacity(whole.len())).collect();
    for output in whole {
        for (outputs, part) in of_item.iter_mut().zip(output.split(&rows)?) {
            outputs.push(part);
        }
    }
    Some(of_item)
}

/// Returns the rows of a run's inputs.
pub(super) fn rows(inputs: &[(String, Tensor)]) -> u32 {
    inputs.first().map_or(1, |(_, tensor)| u32::try_from(tensor.rows()).unwrap_or(u32::MAX)).max(1)
}

/// Runs the engine and turns a panic into an error. A panic on the Rust side of ONNX Runtime does not damage the
/// session's state, which lives on the other side; the run has failed, and the lane continues.
fn run_caught(
    slot: &Slot,
    inputs: &[(String, Tensor)],
    outputs: &[String],
) -> Result<(Vec<Tensor>, EngineVariant), String> {
    let run = || {
        let mut engine = slot.for_run();
        Ok((engine.run(inputs, outputs)?, engine.variant()))
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(format!("panic: {}", panic_text(&*panic))))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "without a message",
    }
}
