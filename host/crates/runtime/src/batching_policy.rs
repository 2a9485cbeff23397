//! A revision's own program for its batches (the export `batching`): whether it is asked, and what its answers were worth.
//!
//! Owns the strikes and the counts; calls are `batching_policy/instance.rs`, the bound on instances is `batching_policy/places.rs`. The
//! program is asked on the owner thread of a lane that has nothing to run meanwhile, so nothing here waits: where it is
//! being asked already, or there is no room for its instance, the declared settings hold.
//! Made by [`crate::Guest`] for a revision; asked by the lanes through [`Planner`], which they have from the call.

mod instance;
mod slots;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};

use lector_core::batching::plan::{BatchingPolicyStatus, InvalidPlan, Plan, Planner, Question};
use lector_core::{Budget, CallCtx, TenantName};

use crate::bindings::policy::BatchingPolicyPre;
use crate::runtime::Runtime;
use crate::state::HostState;
use instance::{Called, Instance};
pub use slots::{POLICY_INSTANCES_MAX, Places};

/// Computing time of one answer.
pub const BUDGET: Duration = Duration::from_micros(200);
/// Bad answers after which it is not asked any more.
pub const FAILURES_MAX: u32 = 8;
/// Good answers in a row that make up for a bad one.
const GOOD_FOR_STRIKE: u32 = 64;
/// Memory of an instance.
const MEMORY_BYTES_MAX: u64 = 16 << 20;
/// Tenants whose instances are remembered though no run of theirs is under way.
const TENANTS_MAX: usize = 64;
/// Longest account of a bad answer.
const FAULT_CHARS_MAX: usize = 300;

/// The program of one revision. Cheap to share.
#[derive(Clone)]
pub struct BatchingPolicyRunner(Arc<Shared>);

struct Shared {
    runtime: Arc<Runtime>,
    pre: BatchingPolicyPre<HostState>,
    digest: String,
    began: Instant,
    record: Record,
    /// A deployment can be lent to several tenants: what one of them does is not for the instance of another.
    voices: Mutex<Vec<Arc<PolicyInstance>>>,
}

/// How the program did, over all tenants.
#[derive(Default)]
struct Record {
    counts: Counts,
    failures: AtomicU32,
    good_in_a_row: AtomicU32,
    disabled: AtomicBool,
    last_fault: Mutex<Option<String>>,
}

/// What became of questions: of one program, or of all.
#[derive(Debug, Default)]
pub struct Counts {
    pub asked: AtomicU64,
    pub late: AtomicU64,
    pub trapped: AtomicU64,
    pub invalid: AtomicU64,
    pub skipped: AtomicU64,
    pub computed_ns: AtomicU64,
    /// Programs given up.
    pub disabled: AtomicU64,
}

/// The program as one tenant's lanes ask it.
struct PolicyInstance {
    shared: Arc<Shared>,
    /// Itself, for those who end its instance to make room.
    me: Weak<PolicyInstance>,
    call: CallCtx,
    /// One question at a time; lanes of different models share it.
    instance: Mutex<Option<Instance>>,
    /// Microseconds after the program was made.
    asked_at: AtomicU64,
}

impl std::fmt::Debug for BatchingPolicyRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("digest", &self.0.digest).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PolicyInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voice").field("digest", &self.shared.digest).finish_non_exhaustive()
    }
}

impl BatchingPolicyRunner {
    pub(crate) fn new(runtime: Arc<Runtime>, pre: BatchingPolicyPre<HostState>, digest: String) -> Self {
        Self(Arc::new(Shared {
            runtime,
            pre,
            digest,
            began: Instant::now(),
            record: Record::default(),
            voices: Mutex::default(),
        }))
    }

    /// What the lanes ask about the runs of the tenant that `ctx` is a call for.
    pub fn planner(&self, ctx: &CallCtx) -> Arc<dyn Planner> {
        let mut voices = self.0.voices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(policy_instance) =
            voices.iter().find(|policy_instance| policy_instance.is_of(&ctx.tenant))
        {
            return policy_instance.clone();
        }
        if voices.len() >= TENANTS_MAX {
            voices.retain(|policy_instance| Arc::strong_count(policy_instance) > 1);
        }
        let policy_instance = PolicyInstance::new(self.0.clone(), ctx);
        voices.push(policy_instance.clone());
        policy_instance
    }

    /// Figures.
    pub fn status(&self) -> BatchingPolicyStatus {
        let Record { counts, disabled, last_fault, .. } = &self.0.record;
        BatchingPolicyStatus {
            disabled: disabled.load(Ordering::Relaxed),
            last_fault: last_fault.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ..counts.snapshot()
        }
    }
}

impl Counts {
    /// Without what is no count.
    pub fn snapshot(&self) -> BatchingPolicyStatus {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        BatchingPolicyStatus {
            asked: get(&self.asked),
            late: get(&self.late),
            trapped: get(&self.trapped),
            invalid: get(&self.invalid),
            skipped: get(&self.skipped),
            computed_us: get(&self.computed_ns) / 1000,
            disabled: false,
            last_fault: None,
        }
    }
}

/// Why there is no answer.
enum Failed {
    Late(Duration),
    Trapped(String),
    /// Not the program's doing.
    PassedOver,
}

impl PolicyInstance {
    fn new(shared: Arc<Shared>, ctx: &CallCtx) -> Arc<Self> {
        let budget = Budget {
            memory_bytes: ctx.budget.memory_bytes.min(MEMORY_BYTES_MAX),
            // Bounded by the epochs, call by call.
            host_calls: u64::MAX,
            compute: Duration::MAX,
            ..ctx.budget
        };
        // Without the planner that the call may carry: it would hold itself; and without who watches its page.
        let call = CallCtx {
            request: "batching".into(),
            budget,
            planner: None,
            page_observer: None,
            wrapped: None,
            ..ctx.clone()
        };
        Arc::new_cyclic(|me| Self {
            shared,
            me: me.clone(),
            call,
            instance: Mutex::default(),
            asked_at: AtomicU64::new(0),
        })
    }

    fn is_of(&self, tenant: &TenantName) -> bool {
        self.call.tenant == *tenant
    }

    fn ask(&self, question: &Question) -> Result<Plan, Failed> {
        let Shared { runtime, pre, began, .. } = &*self.shared;
        let mut slot = match self.instance.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Failed::PassedOver),
        };
        self.asked_at.store(micros(began.elapsed()), Ordering::Relaxed);
        let _running = runtime.epoch_ticker().enter();
        let mut live = match slot.take() {
            Some(live) => live,
            None => {
                let place = runtime.batching_policies().place(&self.me).ok_or(Failed::PassedOver)?;
                Instance::start(runtime, pre, &self.call, place)?
            }
        };
        let now = question.now.saturating_duration_since(*began);
        let Called { outcome, took, alive } = live.call(question, now);
        // After a trap an instance cannot be entered again.
        if alive {
            *slot = Some(live);
        }
        self.tally(|counts| &counts.computed_ns, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        outcome
    }

    /// Ends the instance where it is not being asked; whether there was one.
    fn end_instance(&self) -> bool {
        self.instance.try_lock().is_ok_and(|mut slot| slot.take().is_some())
    }

    /// Counts for the program and for the house.
    fn tally(&self, of: impl Fn(&Counts) -> &AtomicU64, by: u64) {
        for counts in [&self.shared.record.counts, &self.shared.runtime.counters().batching_policies] {
            of(counts).fetch_add(by, Ordering::Relaxed);
        }
    }

    fn strike(&self, what: &str) {
        let record = &self.shared.record;
        record.good_in_a_row.store(0, Ordering::Relaxed);
        let failures = record.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let fault: String = what.chars().take(FAULT_CHARS_MAX).collect();
        let (tenant, deployment, component) = (&self.call.tenant, &self.call.deployment, &self.shared.digest);
        if failures < FAILURES_MAX {
            tracing::debug!(%tenant, %deployment, %component, fault, failures, "a batching program gave a bad answer");
        } else if !record.disabled.swap(true, Ordering::Relaxed) {
            self.tally(|counts| &counts.disabled, 1);
            tracing::warn!(
                %tenant, %deployment, %component, fault, failures,
                "the batching program is not asked any more; what the guest declared holds"
            );
        }
        *record.last_fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    fn praise(&self) {
        let record = &self.shared.record;
        if record.good_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= GOOD_FOR_STRIKE {
            record.good_in_a_row.store(0, Ordering::Relaxed);
            // Where there is none to take back all is well.
            let _ = record.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        }
    }
}

impl Planner for PolicyInstance {
    fn plan(&self, question: &Question) -> Option<Plan> {
        if self.shared.record.disabled.load(Ordering::Relaxed) {
            self.end_instance();
            return None;
        }
        self.tally(|counts| &counts.asked, 1);
        match self.ask(question) {
            Ok(plan) => {
                self.praise();
                return Some(plan);
            }
            Err(Failed::PassedOver) => self.tally(|counts| &counts.skipped, 1),
            Err(Failed::Late(took)) => {
                self.tally(|counts| &counts.late, 1);
                self.strike(&format!("it computed for {} us", took.as_micros()));
            }
            Err(Failed::Trapped(cause)) => {
                self.tally(|counts| &counts.trapped, 1);
                self.strike(&cause);
            }
        }
        None
    }

    fn invalid(&self, why: InvalidPlan) {
        self.tally(|counts| &counts.invalid, 1);
        self.strike(&why.to_string());
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
