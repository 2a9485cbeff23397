//! What guests run on: the engine, the guest threads, the permits for instances, the counters. Shared by all guests and
//! their batching policies; does not know how a component becomes a guest (`runtime.rs`).

use std::sync::Arc;

use lector_core::fair::{Charge, FairSemaphore, Order, Permit, Request};
use lector_core::{CallCtx, Engines, Fault, Kind};
use wasmtime::Engine;

use crate::batching_policy::Places;
use crate::blocking::Blocking;
use crate::call_deadline::CallDeadline;
use crate::config::{RuntimeConfig, RuntimeError};
use crate::epoch_ticker::EpochTicker;
use crate::log_rate::LogRates;
use crate::state::HostState;
use crate::status::Counters;
use crate::threads::Threads;

/// Cost at which a call counts in the queue for instance permits, for each of its stages: that of a usual page.
const CALL_COST_MS: f64 = 100.0;

/// The resources that all guests share.
pub struct Executor {
    pub engine: Engine,
    /// The engines on which guests run their models.
    pub engines: Arc<dyn Engines>,
    pub blocking: Blocking,
    pub epoch_ticker: EpochTicker,
    pub threads: Threads,
    pub counters: Counters,
    pub log_rates: Arc<LogRates>,
    /// Slots for instances of batching policies.
    pub policy_slots: Places,
    instances: FairSemaphore,
    instances_max: u32,
}

impl Executor {
    /// Returns the data of a Store for `call`, with its `deadline`.
    pub fn state(&self, call: CallCtx, deadline: Arc<CallDeadline>) -> HostState {
        HostState::new(call, deadline, self.engines.clone(), self.blocking.clone(), &self.log_rates)
    }

    /// Starts the threads of the guests and of the epochs.
    pub fn start(
        engine: Engine,
        config: &RuntimeConfig,
        engines: Arc<dyn Engines>,
    ) -> Result<Arc<Self>, RuntimeError> {
        let epoch_ticker = EpochTicker::start(&engine).map_err(RuntimeError::EpochTicker)?;
        let threads = Threads::start(config.blocking_threads).map_err(RuntimeError::Threads)?;
        let instances_max = config.instances_max.max(1);
        Ok(Arc::new(Self {
            engine,
            engines,
            blocking: Blocking::new(config.blocking_threads),
            epoch_ticker,
            threads,
            counters: Counters::default(),
            log_rates: Arc::default(),
            policy_slots: Places::new(),
            instances: FairSemaphore::new(instances_max as usize),
            instances_max,
        }))
    }

    /// Acquires an instance permit for the guest of a call and one for each pipeline that it wraps, all at once: if a
    /// guest kept its own permit while it waited for the permit of its inner pipeline, such guests could deadlock. The
    /// inner call uses the permit that the outer call acquired. Permits are granted by the shares of the tenants.
    pub async fn places(&self, ctx: &CallCtx) -> Result<Option<Permit>, Fault> {
        if ctx.depth > 0 {
            return Ok(None);
        }
        let stages = 1 + ctx.wrapped.as_ref().map_or(0, |wrapped| u32::from(wrapped.depth()));
        if stages > self.instances_max {
            let max = self.instances_max;
            let message = format!(
                "the pipeline has {stages} stages, and the server runs at most {max} guests at once; wrap fewer pipelines"
            );
            return Err(Fault::new(Kind::Unavailable, "pipeline_too_deep", message));
        }
        let cost_ms = CALL_COST_MS * f64::from(stages);
        let charge = Charge { client: ctx.tenant.clone(), weight: ctx.weight, cost_ms };
        let request = Request { charge, permits: stages as usize, order: Order::Arrival };
        Ok(Some(self.instances.acquire(request).await))
    }
}
