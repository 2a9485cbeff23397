//! The batching policy of a revision (the export `batching`): when the host asks it, and how its answers are counted.
//!
//! Owns the failure count and the counters; `batching_policy/instance.rs` makes the calls, and
//! `batching_policy/slots.rs` bounds the number of instances. A lane asks the policy on its owner thread while it has
//! nothing to run, so nothing here waits: if another lane is asking the policy, or no instance slot is free, the hints
//! of the pipeline info apply.
//!
//! Created by [`crate::Guest`] for a revision. Lanes call it through the [`Planner`] of the call.

mod instance;
mod slots;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};

use lector_core::batching::plan::{BatchingPolicyStatus, InvalidPlan, Plan, Planner, Question, Reply};
use lector_core::{Budget, CallCtx, TenantName};

use crate::bindings::policy::BatchingPolicyPre;
use crate::compute_meter::processor_time;
use crate::executor::Executor;
use crate::state::HostState;
use crate::status::{Loaded, PolicyCounts};
pub use instance::BUDGET;
use instance::{Called, Failed, Instance};
use slots::Occupant;
pub use slots::{POLICY_INSTANCES_MAX, Places};

/// Failures after which the policy is disabled.
pub const FAILURES_MAX: u32 = 8;
/// Successful answers in a row that reduce the failure count by one.
const GOOD_PER_FAILURE: u32 = 64;
/// Memory limit of an instance.
const MEMORY_BYTES_MAX: u64 = 16 << 20;
/// Maximum tenants whose instances are remembered while they have no run in flight.
const TENANTS_MAX: usize = 64;
/// Maximum length of the description of a failure, in characters.
const FAULT_CHARS_MAX: usize = 300;

/// The batching policy of one revision. Cheap to clone.
#[derive(Clone)]
pub struct BatchingPolicyRunner {
    shared: Arc<Shared>,
    /// One instance per tenant: several tenants can use a shared deployment, and no state may pass between them. Kept
    /// outside of [`Shared`], which every instance refers to: inside, the two would keep each other and the machine
    /// code in memory for ever.
    instances: Arc<Mutex<Vec<Arc<PolicyInstance>>>>,
}

/// The parts that the instances of all tenants share. Must not refer to an instance.
struct Shared {
    executor: Arc<Executor>,
    pre: BatchingPolicyPre<HostState>,
    digest: String,
    began: Instant,
    record: Record,
    _loaded: Arc<Loaded>,
}

/// Answer counts and failure count of the policy, over all tenants.
#[derive(Default)]
struct Record {
    counts: PolicyCounts,
    failures: AtomicU32,
    good_in_a_row: AtomicU32,
    disabled: AtomicBool,
    last_fault: Mutex<Option<String>>,
}

/// The batching policy as the lanes of one tenant call it.
struct PolicyInstance {
    shared: Arc<Shared>,
    /// Weak reference to this value, for the slots, which end its instance to free a slot.
    me: Weak<PolicyInstance>,
    call: CallCtx,
    /// The instance. Lanes of different models share it; it answers one question at a time.
    instance: Mutex<Option<Instance>>,
    /// Place of its last question in the order of all questions to all policies.
    asked_at: AtomicU64,
}

impl std::fmt::Debug for BatchingPolicyRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchingPolicyRunner").field("digest", &self.shared.digest).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PolicyInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyInstance").field("digest", &self.shared.digest).finish_non_exhaustive()
    }
}

impl BatchingPolicyRunner {
    pub(crate) fn new(
        executor: Arc<Executor>,
        pre: BatchingPolicyPre<HostState>,
        digest: String,
        loaded: Arc<Loaded>,
    ) -> Self {
        let (began, record) = (Instant::now(), Record::default());
        let shared = Arc::new(Shared { executor, pre, digest, began, record, _loaded: loaded });
        Self { shared, instances: Arc::default() }
    }

    /// Returns the planner that lanes ask about the runs of the tenant of `ctx`.
    pub fn planner(&self, ctx: &CallCtx) -> Arc<dyn Planner> {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(policy_instance) =
            instances.iter().find(|policy_instance| policy_instance.is_of(&ctx.tenant))
        {
            return policy_instance.clone();
        }
        if instances.len() >= TENANTS_MAX {
            instances.retain(|policy_instance| Arc::strong_count(policy_instance) > 1);
        }
        let policy_instance = PolicyInstance::new(self.shared.clone(), ctx);
        instances.push(policy_instance.clone());
        policy_instance
    }

    /// Returns the counts and the last fault.
    pub fn status(&self) -> BatchingPolicyStatus {
        let Record { counts, disabled, last_fault, .. } = &self.shared.record;
        BatchingPolicyStatus {
            disabled: disabled.load(Ordering::Relaxed),
            last_fault: last_fault.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ..counts.snapshot()
        }
    }
}

impl PolicyInstance {
    fn new(shared: Arc<Shared>, ctx: &CallCtx) -> Arc<Self> {
        let budget = Budget {
            memory_bytes: ctx.budget.memory_bytes.min(MEMORY_BYTES_MAX),
            // Not limited: the epoch deadline bounds each call.
            host_calls: u64::MAX,
            compute: Duration::MAX,
            ..ctx.budget
        };
        // Without the planner of the call, which would be a reference cycle, and without the observer of its page.
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
        let Shared { executor, pre, began, .. } = &*self.shared;
        let mut slot = match self.instance.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Failed::Skipped),
        };
        self.asked_at.store(executor.policy_slots.next_question(), Ordering::Relaxed);
        let _running = executor.epoch_ticker.enter();
        let mut live = match slot.take() {
            Some(live) => live,
            None => {
                let me: Weak<dyn Occupant> = self.me.clone();
                let permit = executor.policy_slots.place(&me, &self.call.tenant).ok_or(Failed::Skipped)?;
                Instance::start(executor, pre, &self.call, permit)?
            }
        };
        let now = question.now.saturating_duration_since(*began);
        let Called { outcome, took, alive } = live.call(question, now);
        // An instance cannot be entered again after a trap.
        if alive {
            *slot = Some(live);
        }
        self.tally(|counts| &counts.computed_ns, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        outcome
    }

    /// Adds to the counts of this policy and to those of all policies.
    fn tally(&self, of: impl Fn(&PolicyCounts) -> &AtomicU64, by: u64) {
        for counts in [&self.shared.record.counts, &self.shared.executor.counters.batching_policies] {
            of(counts).fetch_add(by, Ordering::Relaxed);
        }
    }

    fn count_failure(&self, what: &str) {
        let record = &self.shared.record;
        record.good_in_a_row.store(0, Ordering::Relaxed);
        let failures = record.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let fault: String = what.chars().take(FAULT_CHARS_MAX).collect();
        let (tenant, deployment, component) = (&self.call.tenant, &self.call.deployment, &self.shared.digest);
        if failures < FAILURES_MAX {
            tracing::debug!(%tenant, %deployment, %component, fault, failures, "a batching policy failed");
        } else if !record.disabled.swap(true, Ordering::Relaxed) {
            self.tally(|counts| &counts.disabled, 1);
            tracing::warn!(
                %tenant, %deployment, %component, fault, failures,
                "the batching policy is disabled; the batching hints of the guest apply"
            );
        }
        *record.last_fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    fn count_success(&self) {
        let record = &self.shared.record;
        if record.good_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= GOOD_PER_FAILURE {
            record.good_in_a_row.store(0, Ordering::Relaxed);
            // At zero there is nothing to reduce.
            let _ = record.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        }
    }
}

impl Occupant for PolicyInstance {
    fn tenant(&self) -> &TenantName {
        &self.call.tenant
    }

    fn has_instance(&self) -> bool {
        // One that is answering has one.
        self.instance.try_lock().map_or(true, |slot| slot.is_some())
    }

    fn asked_at(&self) -> u64 {
        self.asked_at.load(Ordering::Relaxed)
    }

    fn end_instance(&self) -> bool {
        self.instance.try_lock().is_ok_and(|mut slot| slot.take().is_some())
    }
}

impl PolicyInstance {
    /// Returns the answer, if the policy has a usable one, and counts it.
    fn answer(&self, question: &Question) -> Option<Plan> {
        if self.shared.record.disabled.load(Ordering::Relaxed) {
            self.end_instance();
            return None;
        }
        self.tally(|counts| &counts.asked, 1);
        match self.ask(question) {
            Ok(plan) => {
                self.count_success();
                return Some(plan);
            }
            Err(Failed::Skipped) => self.tally(|counts| &counts.skipped, 1),
            Err(Failed::Late(took)) => {
                self.tally(|counts| &counts.late, 1);
                self.count_failure(&format!("it computed for {} us", took.as_micros()));
            }
            Err(Failed::Trapped(cause)) => {
                self.tally(|counts| &counts.trapped, 1);
                self.count_failure(&cause);
            }
        }
        None
    }
}

impl Planner for PolicyInstance {
    fn plan(&self, question: &Question) -> Reply {
        let began = processor_time();
        let plan = self.answer(question);
        Reply { plan, took: processor_time().saturating_sub(began) }
    }

    fn invalid(&self, why: InvalidPlan) {
        self.tally(|counts| &counts.invalid, 1);
        self.count_failure(&why.to_string());
    }
}
