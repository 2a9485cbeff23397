//! The engine upgrader: the one thread of this host that starts builds, and its queue. Requests never wait for it. An
//! opening waits where no available engine is on the model's provider preference list; it holds no lock and no thread
//! meanwhile, and has priority over all other work. The caller of [`Upgrader::start`] does the work itself
//! ([`UpgradeWork`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lector_core::ModelName;
use tokio::sync::oneshot;

use crate::build::process::Running;
use crate::error::InferenceError;

/// The work of the upgrader's thread.
pub(super) trait UpgradeWork: Send + Sync + 'static {
    /// Returns the upgrader.
    fn upgrader(&self) -> &Upgrader;
    /// Builds a first engine of a model that has none.
    fn build_first(&self, model: &ModelName);
    /// Builds and loads the best engine of an open model.
    fn upgrade(&self, model: &ModelName);
    /// Retries failed variants whose inputs have changed.
    fn check_for_changes(&self);
}

#[derive(Default)]
pub(super) struct Upgrader {
    queue: Mutex<Queue>,
    changed: Condvar,
    pub(super) running: Running,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    /// Openings that wait for a first engine.
    first: VecDeque<(ModelName, oneshot::Sender<()>)>,
    /// Models that are served, and that could be served by a better variant.
    better: VecDeque<ModelName>,
    /// Models with a failed variant, and the time of its next attempt.
    again: BTreeMap<ModelName, Instant>,
    /// Time from which models are upgraded; `None`: at once.
    upgrades_from: Option<Instant>,
    /// Time of the next check for changed inputs, and the interval of the checks; `None`: no checks.
    watch: Option<(Instant, Duration)>,
    stopped: bool,
}

/// The next work of the thread.
enum Work {
    First(ModelName, oneshot::Sender<()>),
    Better(ModelName),
    Watch,
}

impl Queue {
    fn next(&mut self, now: Instant) -> Option<Work> {
        if let Some((model, done)) = self.first.pop_front() {
            return Some(Work::First(model, done));
        }
        if let Some((at, pause)) = self.watch.filter(|(at, _)| *at <= now) {
            self.watch = Some((at.max(now) + pause, pause));
            return Some(Work::Watch);
        }
        let due = self.again.iter().find(|(_, at)| **at <= now).map(|(model, _)| model.clone());
        if let Some(model) = due {
            self.again.remove(&model);
            return Some(Work::Better(model));
        }
        if self.upgrades_from.is_some_and(|from| from > now) {
            return None;
        }
        self.better.pop_front().map(Work::Better)
    }

    /// Returns the time until the next planned work; `None`: no work is planned.
    fn idle_for(&self, now: Instant) -> Option<Duration> {
        let watch = self.watch.iter().map(|(at, _)| at);
        let upgrades = self.upgrades_from.iter().filter(|from| !self.better.is_empty() && **from > now);
        self.again.values().chain(watch).chain(upgrades).min().map(|at| at.saturating_duration_since(now))
    }
}

impl Upgrader {
    /// Starts the thread. It ends with [`stop`](Self::stop), or when the plane is dropped.
    /// `start_pause`: time without upgrades from now on, for the start of the host and its first pages. `watch_pause`: interval
    /// of the checks for changed inputs.
    pub(super) fn start<T: UpgradeWork>(
        upgrades: &Arc<T>,
        start_pause: Duration,
        watch_pause: Duration,
    ) -> Result<(), InferenceError> {
        let upgrader = upgrades.upgrader();
        let now = Instant::now();
        {
            let mut queue = upgrader.lock();
            queue.upgrades_from = Some(now + start_pause);
            queue.watch = Some((now + watch_pause, watch_pause));
        }
        let weak = Arc::downgrade(upgrades);
        let thread = std::thread::Builder::new()
            .name("engine-upgrader".to_owned())
            .spawn(move || work(&weak))
            .map_err(|source| InferenceError::Upgrader { source })?;
        *upgrader.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Enqueues an upgrade of a model.
    pub(super) fn enqueue(&self, model: &ModelName) {
        let mut queue = self.lock();
        if !queue.better.contains(model) {
            queue.better.push_back(model.clone());
        }
        drop(queue);
        self.changed.notify_all();
    }

    /// Enqueues an upgrade of a model, not before the time `at`.
    pub(super) fn enqueue_at(&self, model: &ModelName, at: Instant) {
        let mut queue = self.lock();
        let planned = queue.again.entry(model.clone()).or_insert(at);
        *planned = at.min(*planned);
        drop(queue);
        self.changed.notify_all();
    }

    /// Enqueues a first build of a model that has no engine, before all other work. The receiver gets a message when it
    /// is done, which takes the current build and one build for each variant at most, and is closed without one at the
    /// shutdown.
    pub(super) fn enqueue_first(&self, model: &ModelName) -> Result<oneshot::Receiver<()>, InferenceError> {
        let (done, wait) = oneshot::channel();
        let mut queue = self.lock();
        if queue.stopped {
            return Err(InferenceError::Stopped);
        }
        queue.first.push_back((model.clone(), done));
        drop(queue);
        self.changed.notify_all();
        Ok(wait)
    }

    /// Ends the current build and the thread. A second call does nothing.
    pub(super) fn stop(&self) {
        let mut queue = self.lock();
        queue.stopped = true;
        queue.first.clear();
        drop(queue);
        self.changed.notify_all();
        self.running.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread itself may drop the last reference to the plane.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the engine upgrader thread panicked");
        }
    }

    /// No code panics while it holds the lock, so the state of a poisoned lock is consistent.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next work; `None`: the upgrader has been stopped.
    fn next(&self) -> Option<Work> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return None;
            }
            let now = Instant::now();
            if let Some(work) = queue.next(now) {
                return Some(work);
            }
            queue = match queue.idle_for(now) {
                Some(wait) => {
                    self.changed.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

fn work<T: UpgradeWork>(weak: &Weak<T>) {
    loop {
        let Some(upgrades) = weak.upgrade() else { return };
        match upgrades.upgrader().next() {
            Some(Work::First(model, done)) => {
                upgrades.build_first(&model);
                // The waiting opening may have been dropped.
                let _ = done.send(());
            }
            Some(Work::Better(model)) => upgrades.upgrade(&model),
            Some(Work::Watch) => upgrades.check_for_changes(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::retry_backoff::{Failure, RetryBackoff};
    use super::*;

    fn name(work: Work) -> String {
        match work {
            Work::First(model, _) => format!("first {model}"),
            Work::Better(model) => format!("better {model}"),
            Work::Watch => "watch".to_owned(),
        }
    }

    fn names(queue: &mut Queue, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| queue.next(now)).map(name).collect()
    }

    #[test]
    fn openings_come_first_and_retries_come_when_they_are_due() {
        let (done, _wait) = oneshot::channel();
        let (now, pause) = (Instant::now(), Duration::from_secs(10));
        let mut queue = Queue { watch: Some((now, pause)), ..Queue::default() };
        queue.better.push_back("b".into());
        queue.again.insert("due".into(), now);
        queue.again.insert("later".into(), now + Duration::from_secs(3600));
        queue.first.push_back(("a".into(), done));
        assert_eq!(queue.idle_for(now), Some(Duration::ZERO));
        assert_eq!(names(&mut queue, now), ["first a", "watch", "better due", "better b"]);
        assert!(queue.again.contains_key(&ModelName::from("later")));
        assert_eq!(queue.idle_for(now), Some(pause), "the next watch comes before the next try");
        assert_eq!(names(&mut queue, now + Duration::from_secs(3600)), ["watch", "better later"]);
        queue.watch = None;
        assert_eq!(queue.idle_for(now), None);
    }

    #[test]
    fn upgrades_wait_for_the_start_of_the_host_and_openings_do_not() {
        let (done, _wait) = oneshot::channel();
        let (now, pause) = (Instant::now(), Duration::from_secs(3));
        let mut queue = Queue { upgrades_from: Some(now + pause), ..Queue::default() };
        assert_eq!(queue.idle_for(now), None);
        queue.better.push_back("b".into());
        queue.first.push_back(("a".into(), done));
        assert_eq!(names(&mut queue, now), ["first a"]);
        assert_eq!(queue.idle_for(now), Some(pause));
        assert_eq!(names(&mut queue, now + pause), ["better b"]);
        assert_eq!(queue.idle_for(now + pause), None);
    }

    /// A variant that fails for ever, on a simulated clock.
    #[test]
    fn a_variant_without_quick_retries_is_retried_rarely_for_as_long_as_the_host_runs() {
        let hour = Duration::from_secs(3600);
        let retry_backoff = RetryBackoff { soon: Duration::from_secs(60), rare: hour };
        let start = Instant::now();
        let (mut queue, mut now, mut attempts) = (Queue::default(), start, Vec::new());
        queue.again.insert("m".into(), now);
        while now < start + 100 * hour {
            if let Some(Work::Better(model)) = queue.next(now) {
                attempts.push(now - start);
                queue.again.insert(model, now + retry_backoff.after(attempts.len(), Failure::Building).time);
            }
            now += queue.idle_for(now).unwrap_or(hour);
        }
        let minutes: Vec<u64> = attempts.iter().map(|at| at.as_secs() / 60).collect();
        assert_eq!(minutes, [0, 1, 11, 71, 191, 431, 911, 1871, 3311, 4751], "100 hours: ten builds");
    }

    #[test]
    fn an_opening_that_waits_ends_with_the_upgrader() {
        let upgrader = Upgrader::default();
        let waiting = upgrader.enqueue_first(&"m".into());
        upgrader.stop();
        assert!(waiting.is_ok_and(|wait| wait.blocking_recv().is_err()));
        assert!(matches!(upgrader.enqueue_first(&"m".into()), Err(InferenceError::Stopped)));
    }
}
