//! Runs of a model that a client asks for by itself, without a guest.
//!
//! A run goes through the same steps as a document: the rate limit, an upload slot, the bytes as they arrive, a permit in
//! fair order over tenants. It counts as one page of the daily quota, and its engine time as usage. The lane of the model is
//! the guests' one, with the tenant's weight. Only models whose lane is open run: a request never builds an engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_control::{Principal, Reservation};
use lector_core::port::{Scheduling, WorkItem};
use lector_core::{Fault, ModelName, RequestId, Tensor};

use crate::admission::{Permit, ReceivedBytes, UploadSlot};
use crate::faults::{deadline_exceeded, shutting_down};
use crate::service::DocumentService;

/// A request for one run. The tenant is within its rate limit.
pub struct ModelRunSession {
    service: Arc<DocumentService>,
    principal: Principal,
    request: RequestId,
    deadline: Instant,
}

/// One run. The caller has checked its arguments against the model.
#[derive(Clone, Debug)]
pub struct ModelRun {
    /// The model.
    pub model: ModelName,
    /// Inputs by name.
    pub inputs: Vec<(String, Tensor)>,
    /// Names of the requested outputs.
    pub outputs: Vec<String>,
}

/// The outputs of a run. They count as memory of the tenant until they are dropped.
#[derive(Debug)]
pub struct ModelOutputs {
    /// The outputs, in the order of the request.
    pub tensors: Vec<Tensor>,
    /// Their memory.
    pub reservation: Reservation,
}

impl DocumentService {
    /// Begins a request for a run, before its bytes are received: counts it against the tenant's rate limit. Fault:
    /// `rate_limited`.
    pub fn begin_model_run(
        self: &Arc<Self>,
        principal: &Principal,
        request: RequestId,
        deadline: Instant,
    ) -> Result<ModelRunSession, Fault> {
        self.control().enter(principal)?;
        Ok(ModelRunSession { service: self.clone(), principal: principal.clone(), request, deadline })
    }
}

impl ModelRunSession {
    /// Gives an upload slot, before the body is read; `declared` are the announced bytes. Faults: as those of
    /// [`Session::receive`](crate::Session::receive).
    pub fn receive(&self, declared: Option<u64>) -> Result<UploadSlot, Fault> {
        let account = self.principal.account();
        let given = self.service.plane().admission.upload(account, declared, self.time_left());
        given.inspect_err(|_| account.usage.rejected())
    }

    /// Runs the model: waits for a place in fair order over tenants, then for the lane. Dropping the future withdraws the
    /// run. Faults: those of admission, `quota_exceeded`, `deadline_exceeded`, `shutting_down`, those of the engine.
    pub async fn run(
        self,
        slot: UploadSlot,
        received: ReceivedBytes,
        run: ModelRun,
    ) -> Result<ModelOutputs, Fault> {
        let time = self.time_left();
        let tenant = self.principal.account();
        let within = time.min(self.service.plane().admission.bounds().wait_max);
        let permit = slot.admit(received, time, within).await.inspect_err(|_| tenant.usage.rejected())?;
        drop(slot);
        permit.label(self.request.as_str());
        let cut_off = self.service.cut_off();
        tokio::select! {
            biased;
            () = cut_off.cancelled() => Err(shutting_down()),
            outcome = tokio::time::timeout_at(self.deadline.into(), self.admitted(&permit, run)) => {
                outcome.unwrap_or_else(|_| Err(deadline_exceeded("before the model had run")))
            }
        }
    }

    async fn admitted(&self, permit: &Permit, run: ModelRun) -> Result<ModelOutputs, Fault> {
        let tenant = self.principal.account();
        let mut quota = tenant.usage.reserve(1, tenant.limits().pages_per_day)?;
        let (rows, pixels) =
            run.inputs.first().map_or((0, 0), |(_, input)| (input.rows() as u64, input.pixels()));
        let item = WorkItem {
            model: run.model,
            tenant: tenant.name().clone(),
            inputs: run.inputs,
            outputs: run.outputs,
            deadline: self.deadline,
            scheduling: Scheduling { weight: tenant.record.policy.weight.max(1), ..Scheduling::default() },
        };
        quota.begun();
        let done = self.service.control().engines().infer(item).await;
        match &done {
            Ok(done) => {
                let all = f64::from(done.composition.rows).max(rows as f64).max(1.0);
                tenant.usage.model_run(pixels, done.run.mul_f64(rows as f64 / all), true);
            }
            Err(_) => tenant.usage.model_run(0, Duration::ZERO, false),
        }
        let tensors = done?.outputs;
        let bytes = tensors.iter().map(Tensor::bytes).sum();
        Ok(ModelOutputs { reservation: permit.memory().reserve(bytes).await, tensors })
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
