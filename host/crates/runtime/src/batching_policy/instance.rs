//! One instance of a batching policy, which lives from call to call, and the limits of a call.
//!
//! A call is polled on the calling thread and never waits. Its computing time is read from the CPU clock of this
//! thread, so that load on the machine does not count against the policy. At every epoch (a millisecond) a call that
//! has used up its time is aborted; the time of a call that returns is checked afterwards.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use lector_core::CallCtx;
use lector_core::batching::plan::{Plan, Question};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{Store, UpdateDeadline};

use crate::abort::AbortReason;
use crate::bindings::policy::exports::lector::ocr::batching::{Decision, EngineState, WaitingRun};
use crate::bindings::policy::{BatchingPolicy, BatchingPolicyPre};
use crate::call_deadline::CallDeadline;
use crate::compute_meter::processor_time;
use crate::error_mapping;
use crate::executor::Executor;
use crate::state::HostState;

/// Computing time limit of one answer.
pub const BUDGET: Duration = Duration::from_micros(200);
/// Computing time limit of the start of an instance and of its first answer: both run on cold memory, and the first
/// answer parses the settings.
const COLD: Duration = Duration::from_millis(5);
/// Maximum bytes that one call may pass to the host: an answer with as many items as the question, and log lines.
const HOSTCALL_BYTES_MAX: usize = 64 << 10;
/// Maximum handles of all kinds.
const HANDLES_MAX: usize = 1024;
/// Maximum polls of one call. A call that is woken during its poll is polled again; after this many polls it counts as
/// waiting.
const POLLS_MAX: u32 = 16;

/// The reason why there is no answer.
pub enum Failed {
    Late(Duration),
    Trapped(String),
    /// The policy was not asked; it is not at fault.
    Skipped,
}

/// An instance and its Store.
pub struct Instance {
    store: Store<HostState>,
    exports: BatchingPolicy,
    executor: Arc<Executor>,
    compute_time: Arc<ComputeTime>,
    /// Whether it has answered before.
    warm: bool,
    _slot: OwnedSemaphorePermit,
}

/// The result of one call.
pub struct Called {
    pub outcome: Result<Plan, Failed>,
    pub took: Duration,
    /// Whether the instance can be called again.
    pub alive: bool,
}

/// The computing time of the call in progress, on the CPU clock of the calling thread.
#[derive(Default)]
struct ComputeTime {
    began_ns: AtomicU64,
    limit_ns: AtomicU64,
}

impl ComputeTime {
    fn start(&self, limit: Duration) {
        self.limit_ns.store(nanos(limit), Ordering::Relaxed);
        self.began_ns.store(nanos(processor_time()), Ordering::Relaxed);
    }

    fn took(&self) -> Duration {
        processor_time().saturating_sub(Duration::from_nanos(self.began_ns.load(Ordering::Relaxed)))
    }

    fn limit(&self) -> Duration {
        Duration::from_nanos(self.limit_ns.load(Ordering::Relaxed))
    }

    fn is_over(&self) -> bool {
        self.took() > self.limit()
    }
}

impl Instance {
    /// Starts an instance for the revision of `call`.
    pub fn start(
        executor: &Arc<Executor>,
        pre: &BatchingPolicyPre<HostState>,
        call: &CallCtx,
        slot: OwnedSemaphorePermit,
    ) -> Result<Self, Failed> {
        let mut state =
            executor.state(call.clone(), CallDeadline::new(call.deadline, Instant::now(), call.budget.wall));
        // Its faults are read by those who deploy it.
        state.call_state.tells_panics = true;
        let mut store = Store::new(&executor.engine, state);
        store.limiter(|state| &mut state.limits);
        let compute_time = Arc::new(ComputeTime::default());
        store.epoch_deadline_callback({
            let compute_time = compute_time.clone();
            move |_| {
                if compute_time.is_over() {
                    Err(AbortReason::Compute(compute_time.limit()).into())
                } else {
                    Ok(UpdateDeadline::Continue(1))
                }
            }
        });
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(1);
        compute_time.start(COLD);
        let exports = match at_once(executor, pre.instantiate_async(&mut store)) {
            None => {
                return Err(Failed::Trapped(
                    "its start waited, which a batching policy may not do".to_owned(),
                ));
            }
            Some(Ok(exports)) => exports,
            Some(Err(error)) => return Err(ended(&error, &store, compute_time.took())),
        };
        Ok(Self { store, exports, executor: executor.clone(), compute_time, warm: false, _slot: slot })
    }

    /// Asks the policy one question.
    pub fn call(&mut self, question: &Question, now: Duration) -> Called {
        let (waiting, engine) = translated(question);
        let limit = if std::mem::replace(&mut self.warm, true) { BUDGET } else { COLD };
        let Self { store, exports, executor, compute_time, .. } = self;
        store.set_epoch_deadline(1);
        compute_time.start(limit);
        let call = exports.lector_ocr_batching().call_plan(&mut *store, &waiting, &engine, micros(now));
        let answered = at_once(executor, call);
        let took = compute_time.took();
        let (outcome, alive) = match answered {
            None => (Err(Failed::Trapped("it waited, which a batching policy may not do".to_owned())), false),
            Some(Err(error)) => (Err(ended(&error, store, took)), false),
            Some(Ok(_)) if took > limit => (Err(Failed::Late(took)), true),
            Some(Ok(Decision::Run(ids))) => (Ok(Plan::Run(ids)), true),
            Some(Ok(Decision::Wait(us))) => (Ok(Plan::Wait(Duration::from_micros(us))), true),
        };
        Called { outcome, took, alive }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let dropped = self.store.data().call_state.log.close();
        self.executor.counters.log_bytes_dropped.fetch_add(dropped, Ordering::Relaxed);
    }
}

/// Returns the reason why a call has no answer, with wasmtime's message if there is one.
fn ended(error: &wasmtime::Error, store: &Store<HostState>, took: Duration) -> Failed {
    if let Some(AbortReason::Compute(_)) = error.downcast_ref() {
        return Failed::Late(took);
    }
    let fault = error_mapping::ended(error, store.data());
    Failed::Trapped(match fault.detail {
        Some(detail) => format!("{} ({detail})", fault.message),
        None => fault.message,
    })
}

fn translated(question: &Question) -> (Vec<WaitingRun>, EngineState) {
    let items = question.items.iter().zip(&question.rows_max_of);
    let waiting = items
        .map(|(item, rows_max)| WaitingRun {
            id: item.id,
            bucket: item.bucket,
            width: item.width,
            rows: item.rows,
            rows_max: *rows_max,
            waited_us: micros(item.waited),
            remaining_us: micros(item.left),
        })
        .collect();
    let engine = EngineState {
        model: question.model.to_string(),
        sessions: question.sessions,
        running: question.running,
        run_one_us: micros(question.run_one),
        run_full_us: micros(question.run_full),
    };
    (waiting, engine)
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Returns the output of a future that does not wait; `None` if it is still pending.
fn at_once<F: Future>(executor: &Executor, future: F) -> Option<F::Output> {
    // A timer that the guest requests through WASI needs the clock of a tokio runtime.
    let _entered = executor.threads.enter();
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let mut future = pin!(future);
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if !woken.0.swap(false, Ordering::Acquire) {
            return None;
        }
    }
    None
}

/// Returns a time in microseconds.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
