//! The driver of all background tasks.
//!
//! Owns the time at which a task runs, and the record of its runs: period, trigger, last start, duration and outcome. A
//! run that fails or panics is recorded and logged, and the task runs again at the next trigger. Independent of the
//! work of the tasks.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::Timestamp;
use lector_core::{Clock, Fault};
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;

use crate::api_types::timestamp;

/// Longest wait for runs in progress when the tasks are stopped.
const STOP_MAX: Duration = Duration::from_secs(1);

/// The trigger of a task.
#[derive(Clone, Debug)]
pub enum Trigger {
    /// The period.
    Period(Duration),
    /// The period, and additionally each notification.
    PeriodOrNotify(Duration, Arc<Notify>),
    /// Another task, by name.
    Task(&'static str),
}

impl Trigger {
    fn name(&self) -> String {
        match self {
            Self::Period(_) => "period".to_owned(),
            Self::PeriodOrNotify(..) => "period or notification".to_owned(),
            Self::Task(task) => format!("task {task}"),
        }
    }

    fn period(&self) -> Option<Duration> {
        match self {
            Self::Period(period) | Self::PeriodOrNotify(period, _) => Some(*period),
            Self::Task(_) => None,
        }
    }
}

/// The outcome of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Without a fault.
    Ok,
    /// With a fault.
    Failed,
    /// With a panic.
    Panicked,
    /// The server shut down and stopped the run.
    Stopped,
}

/// The status of a task, for operators.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BackgroundTask)]
pub struct BackgroundTaskStatus {
    /// Its name.
    pub name: &'static str,
    /// Time between two runs; absent if only the trigger starts a run.
    pub period_ms: Option<u64>,
    /// Name of the trigger.
    pub trigger: String,
    /// Runs that have begun.
    pub runs: u64,
    /// Runs that ended with a fault.
    pub failures: u64,
    /// Runs that panicked.
    pub panics: u64,
    /// Runs in progress.
    pub running: u64,
    /// Start of the last run.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_started_at: Option<Timestamp>,
    /// Duration of the last finished run, in milliseconds.
    pub last_duration_ms: Option<f64>,
    /// Outcome of the last finished run.
    pub last_outcome: Option<RunOutcome>,
    /// The fault or the panic of the last run that had one.
    pub last_error: Option<String>,
}

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    name: &'static str,
    trigger: Trigger,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    runs: u64,
    failures: u64,
    panics: u64,
    running: u64,
    last_started_at_ms: Option<u64>,
    last_duration: Option<Duration>,
    last_outcome: Option<RunOutcome>,
    last_error: Option<String>,
}

/// A run in progress. A run dropped before it is recorded counts as stopped.
struct Run<'a> {
    task: &'a Task,
    began: Instant,
    outcome: RunOutcome,
    error: Option<String>,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let mut state = self.task.lock();
        state.running = state.running.saturating_sub(1);
        state.failures += u64::from(self.outcome == RunOutcome::Failed);
        state.panics += u64::from(self.outcome == RunOutcome::Panicked);
        state.last_duration = Some(self.began.elapsed());
        state.last_outcome = Some(self.outcome);
        if self.error.is_some() {
            state.last_error = self.error.take();
        }
    }
}

impl Task {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Run<'_> {
        let mut state = self.lock();
        state.runs += 1;
        state.running += 1;
        state.last_started_at_ms = Some(self.clock.now_ms());
        drop(state);
        Run { task: self, began: Instant::now(), outcome: RunOutcome::Stopped, error: None }
    }

    async fn run(&self, work: impl Future<Output = Result<(), Fault>> + Send) {
        let mut run = self.begin();
        let ended = AssertUnwindSafe(work).catch_unwind().await;
        (run.outcome, run.error) = match ended {
            Ok(Ok(())) => (RunOutcome::Ok, None),
            Ok(Err(fault)) => {
                tracing::error!(task = self.name, %fault, "a background task failed; it runs again at the next trigger");
                (RunOutcome::Failed, Some(fault.to_string()))
            }
            Err(panic) => {
                let message = message(panic.as_ref());
                tracing::error!(
                    task = self.name,
                    panic = message,
                    "a background task panicked; it runs again at the next trigger. This is a bug in the server: report it"
                );
                (RunOutcome::Panicked, Some(message))
            }
        };
    }

    fn status(&self) -> BackgroundTaskStatus {
        let state = self.lock().clone();
        BackgroundTaskStatus {
            name: self.name,
            period_ms: self
                .trigger
                .period()
                .map(|period| u64::try_from(period.as_millis()).unwrap_or(u64::MAX)),
            trigger: self.trigger.name(),
            runs: state.runs,
            failures: state.failures,
            panics: state.panics,
            running: state.running,
            last_started_at: state.last_started_at_ms.map(timestamp),
            last_duration_ms: state.last_duration.map(|took| took.as_secs_f64() * 1e3),
            last_outcome: state.last_outcome,
            last_error: state.last_error,
        }
    }
}

/// Returns the message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

/// The background tasks of one server.
#[derive(Debug)]
pub struct BackgroundTasks {
    clock: Arc<dyn Clock>,
    tasks: Mutex<Vec<Arc<Task>>>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl BackgroundTasks {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, tasks: Mutex::default(), stop: CancellationToken::new(), tracker: TaskTracker::new() }
    }

    /// Registers a task that [`spawn`](Self::spawn) runs.
    pub(crate) fn register(&self, name: &'static str, trigger: Trigger) -> Arc<Task> {
        let task = Arc::new(Task { name, trigger, clock: self.clock.clone(), state: Mutex::default() });
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task.clone());
        task
    }

    /// Runs `work` now and at each `trigger`, one run after the other. The task ends when the tasks are stopped, or when `work`
    /// returns `None` because its subject is gone.
    pub fn start<F>(
        &self,
        name: &'static str,
        trigger: Trigger,
        work: impl Fn() -> Option<F> + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        let task = self.register(name, trigger.clone());
        let (stop, clock) = (self.stop.clone(), self.clock.clone());
        let runs = async move {
            let Some(period) = trigger.period() else { return };
            loop {
                let next = clock.sleep_until(clock.now() + period);
                let Some(work) = work() else { return };
                task.run(work).await;
                tokio::select! {
                    () = next => {}
                    () = notified(&trigger) => {}
                }
            }
        };
        self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = runs => {}
            }
        });
    }

    /// Runs `work` once as a run of `task`, concurrently with other runs.
    pub(crate) fn spawn(
        &self,
        task: &Arc<Task>,
        work: impl Future<Output = Result<(), Fault>> + Send + 'static,
    ) {
        let (task, stop) = (task.clone(), self.stop.clone());
        self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task.run(work) => {}
            }
        });
    }

    /// Ends all tasks and stops the runs in progress.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(STOP_MAX, self.tracker.wait()).await.is_err() {
            tracing::warn!("a background task did not stop in time");
        }
    }

    /// Returns the status of each task, in start order.
    pub fn status(&self) -> Vec<BackgroundTaskStatus> {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().map(|task| task.status()).collect()
    }
}

async fn notified(trigger: &Trigger) {
    match trigger {
        Trigger::PeriodOrNotify(_, notify) => notify.notified().await,
        _ => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use lector_core::Kind;
    use lector_core::clock::ManualClock;

    use super::*;

    /// Lets the tasks run until `is` holds; fails after ten seconds.
    async fn until(what: &str, is: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !is() {
            assert!(Instant::now() < end, "waited too long until {what}");
            tokio::task::yield_now().await;
        }
    }

    fn background_tasks() -> BackgroundTasks {
        BackgroundTasks::new(Arc::new(ManualClock::default()))
    }

    fn hourly(notify: &Arc<Notify>) -> Trigger {
        Trigger::PeriodOrNotify(Duration::from_secs(3600), notify.clone())
    }

    #[tokio::test]
    async fn a_panic_and_a_fault_are_reported_and_the_task_runs_on() {
        let (tasks, notify) = (background_tasks(), Arc::new(Notify::new()));
        let runs = Arc::new(AtomicU64::new(0));
        let counted = runs.clone();
        tasks.start("t", hourly(&notify), move || {
            let run = counted.fetch_add(1, SeqCst);
            Some(async move {
                match run {
                    0 => panic!("expected by the test"),
                    1 => Err(Fault::new(Kind::Unavailable, "storage_full", "The disk is full.")),
                    _ => Ok(()),
                }
            })
        });
        let status = || tasks.status().remove(0);
        let finished = |runs: u64| move |of: &BackgroundTaskStatus| of.runs == runs && of.running == 0;
        until("the first run ends", || finished(1)(&status())).await;
        let first = status();
        assert_eq!((first.panics, first.last_outcome), (1, Some(RunOutcome::Panicked)));
        assert_eq!(first.last_error.as_deref(), Some("expected by the test"));
        notify.notify_one();
        until("the second run ends", || finished(2)(&status())).await;
        assert_eq!(status().last_outcome, Some(RunOutcome::Failed));
        notify.notify_one();
        until("the third run ends", || finished(3)(&status())).await;
        let third = status();
        assert_eq!((third.failures, third.panics, third.last_outcome), (1, 1, Some(RunOutcome::Ok)));
        assert_eq!(third.period_ms, Some(3_600_000));
        assert!(third.last_error.unwrap().contains("storage_full"), "the last error stays visible");
        tasks.stop().await;
        notify.notify_one();
        tokio::task::yield_now().await;
        assert_eq!(runs.load(SeqCst), 3);
    }

    #[tokio::test]
    async fn a_task_runs_once_a_period() {
        let clock = ManualClock::default();
        let tasks = BackgroundTasks::new(Arc::new(clock.clone()));
        tasks.start("t", Trigger::Period(Duration::from_secs(60)), || Some(async { Ok(()) }));
        for run in 1..=3 {
            until("it waits for the next run", || clock.waits() == 1).await;
            let status = tasks.status().remove(0);
            assert_eq!((status.runs, status.last_started_at), (run, Some(timestamp(clock.now_ms()))));
            clock.advance(Duration::from_secs(59));
            assert_eq!(tasks.status()[0].runs, run, "not yet");
            clock.advance(Duration::from_secs(1));
            until("the next run begins", || tasks.status()[0].runs == run + 1).await;
        }
    }

    #[tokio::test]
    async fn spawned_runs_do_not_wait_for_each_other_and_are_stopped() {
        let tasks = background_tasks();
        let beside = tasks.register("beside", Trigger::Task("t"));
        tasks.spawn(&beside, std::future::pending());
        tasks.spawn(&beside, async { Ok(()) });
        let status = || tasks.status().remove(0);
        until("one of two runs has ended", || status().runs == 2 && status().running == 1).await;
        assert_eq!(status().last_outcome, Some(RunOutcome::Ok));
        tasks.stop().await;
        assert_eq!((status().running, status().last_outcome), (0, Some(RunOutcome::Stopped)));
    }

    #[tokio::test]
    async fn a_task_ends_with_its_subject() {
        let (tasks, notify) = (background_tasks(), Arc::new(Notify::new()));
        let owner = Arc::new(());
        let weak = Arc::downgrade(&owner);
        tasks.start("t", hourly(&notify), move || weak.upgrade().map(|_| async { Ok(()) }));
        until("it has run", || tasks.status()[0].runs == 1).await;
        drop(owner);
        notify.notify_one();
        until("it has ended", || tasks.tracker.is_empty()).await;
        assert_eq!(tasks.status()[0].runs, 1);
    }
}
