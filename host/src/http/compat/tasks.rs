//! Asynchronous calls: a document is read in the background, and its client asks for the state and the result.
//!
//! The only module that knows how such calls are kept: in memory, bounded per tenant, until they expire or the server
//! stops. A task of another tenant does not exist. Results count against the tenant's limit of held bytes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lector_core::{Clock, Fault, Kind, TenantName};
use lector_serving::Event;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::reading::Reading;

/// Time after which a tenant without room should try again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The state of a task.
#[derive(Clone, Debug)]
pub(super) enum TaskState {
    /// The document waits for its place.
    Pending,
    /// Pages are being read: how many have been read, of how many.
    Running(u32, u32),
    /// The document was read.
    Done(Arc<Reading>),
    /// The document was not read.
    Failed(Arc<Fault>),
}

impl TaskState {
    /// Returns whether the state is final.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Failed(_))
    }
}

/// A task as its client sees it.
#[derive(Clone, Debug)]
pub(super) struct TaskView {
    pub(super) id: String,
    pub(super) labels: Arc<Labels>,
    pub(super) created_ms: u64,
    /// Time of the last change of the state.
    pub(super) updated_ms: u64,
    pub(super) state: TaskState,
}

/// What a dialect keeps with a task for its answers.
pub(super) type Labels = BTreeMap<&'static str, String>;

/// Sees the events of a document.
pub(super) type OnEvent = Box<dyn FnMut(&Event) + Send>;

struct Task {
    owner: TenantName,
    labels: Arc<Labels>,
    created_ms: u64,
    state: watch::Receiver<(TaskState, u64)>,
    /// Cancels the work when the task is forgotten.
    _work: AbortOnDropHandle<()>,
}

/// The tasks of all tenants, by id.
pub(super) struct Tasks {
    clock: Arc<dyn Clock>,
    ttl_ms: u64,
    tenant_tasks_max: usize,
    tasks: Mutex<BTreeMap<String, Task>>,
}

impl Tasks {
    pub(super) fn new(clock: Arc<dyn Clock>, ttl: Duration, tenant_tasks_max: usize) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Self { clock, ttl_ms, tenant_tasks_max, tasks: Mutex::default() }
    }

    /// Locks the tasks without those that have expired.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Task>> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest_ms = self.clock.now_ms().saturating_sub(self.ttl_ms);
        tasks.retain(|_, task| {
            let state = task.state.borrow();
            !state.0.is_final() || state.1 > oldest_ms
        });
        tasks
    }

    /// Begins to read a document in the background. `begin` starts the reading, which reports its events.
    ///
    /// Faults: those of `begin`, and `compat_store_full`.
    pub(super) fn submit<Work>(
        &self,
        owner: TenantName,
        labels: Labels,
        begin: impl FnOnce(OnEvent) -> Result<Work, Fault>,
    ) -> Result<TaskView, Fault>
    where
        Work: Future<Output = Result<Reading, Fault>> + Send + 'static,
    {
        let id = uuid::Uuid::now_v7().to_string();
        let mut tasks = self.lock();
        self.make_room(&mut tasks, &owner)?;
        let created_ms = self.clock.now_ms();
        let (changes, state) = watch::channel((TaskState::Pending, created_ms));
        let changes = Arc::new(changes);
        let (clock, seen) = (self.clock.clone(), changes.clone());
        let set = move |changes: &watch::Sender<(TaskState, u64)>, state: TaskState| {
            changes.send_replace((state, clock.now_ms()));
        };
        let on_event = {
            let (set, mut read, mut all) = (set.clone(), 0, 0);
            move |event: &Event| {
                match event {
                    Event::Opened { selected, .. } => all = u32::try_from(selected.len()).unwrap_or(u32::MAX),
                    Event::Page { .. } | Event::PageError { .. } => read += 1,
                    Event::End { .. } | Event::Failed(_) => return,
                }
                set(&seen, TaskState::Running(read, all));
            }
        };
        let work = begin(Box::new(on_event))?;
        let work = tokio::spawn(async move {
            let state = match work.await {
                Ok(reading) => TaskState::Done(Arc::new(reading)),
                Err(fault) => TaskState::Failed(Arc::new(fault)),
            };
            set(&changes, state);
        });
        let labels = Arc::new(labels);
        let task = Task { owner, labels, created_ms, state, _work: AbortOnDropHandle::new(work) };
        let view = view(&id, &task);
        tasks.insert(id, task);
        Ok(view)
    }

    /// Forgets the oldest finished task of a tenant that has reached its limit.
    fn make_room(&self, tasks: &mut BTreeMap<String, Task>, owner: &TenantName) -> Result<(), Fault> {
        let own = || tasks.iter().filter(|(_, task)| task.owner == *owner);
        if own().count() < self.tenant_tasks_max {
            return Ok(());
        }
        let finished = own().filter(|(_, task)| task.state.borrow().0.is_final());
        let oldest = finished.min_by_key(|(_, task)| task.state.borrow().1).map(|(id, _)| id.clone());
        let Some(oldest) = oldest else {
            let message = format!(
                "{} asynchronous calls of the tenant are in progress, its limit (`compat.tenant_tasks_max`): try again \
                 in {} s.",
                self.tenant_tasks_max,
                RETRY_AFTER.as_secs()
            );
            return Err(Fault::new(Kind::Busy, "compat_store_full", message).retry_after(RETRY_AFTER));
        };
        tasks.remove(&oldest);
        Ok(())
    }

    /// Returns a task of the tenant.
    pub(super) fn get(&self, owner: &TenantName, id: &str) -> Result<TaskView, Fault> {
        let tasks = self.lock();
        let task = tasks.get(id).filter(|task| task.owner == *owner).ok_or_else(|| not_found(id))?;
        Ok(view(id, task))
    }

    /// Returns a task of the tenant when it is finished, or after `at_most`.
    pub(super) async fn wait(
        &self,
        owner: &TenantName,
        id: &str,
        at_most: Duration,
    ) -> Result<TaskView, Fault> {
        let state = {
            let tasks = self.lock();
            let task = tasks.get(id).filter(|task| task.owner == *owner);
            task.map(|task| task.state.clone())
        };
        if let Some(mut state) = state {
            // The end of the time, and of the task, are seen in the answer.
            let _ = tokio::time::timeout(at_most, state.wait_for(|(state, _)| state.is_final())).await;
        }
        self.get(owner, id)
    }

    /// Returns the tasks of the tenant with this label, the oldest first.
    pub(super) fn labeled(&self, owner: &TenantName, label: &'static str, value: &str) -> Vec<TaskView> {
        let tasks = self.lock();
        let own = tasks.iter().filter(|(_, task)| task.owner == *owner);
        let labeled = own.filter(|(_, task)| task.labels.get(label).is_some_and(|own| own == value));
        labeled.map(|(id, task)| view(id, task)).collect()
    }

    /// Cancels and forgets a task of the tenant.
    pub(super) fn forget(&self, owner: &TenantName, id: &str) -> Result<(), Fault> {
        let mut tasks = self.lock();
        if tasks.get(id).is_none_or(|task| task.owner != *owner) {
            return Err(not_found(id));
        }
        tasks.remove(id);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

fn view(id: &str, task: &Task) -> TaskView {
    let (state, updated_ms) = task.state.borrow().clone();
    let Task { labels, created_ms, .. } = task;
    TaskView { id: id.to_owned(), labels: labels.clone(), created_ms: *created_ms, updated_ms, state }
}

/// Returns the fault of a task that does not exist.
pub(super) fn not_found(id: &str) -> Fault {
    let id: String = id.chars().filter(|c| !c.is_control()).take(60).collect();
    let message = format!("The task `{id}` does not exist, or has expired: send the document again.");
    Fault::new(Kind::NotFound, "compat_task_not_found", message)
}
