//! The one thread of this host that has engines built: whose turn is next, and the builder at work. Requests never wait for
//! it. An opening does where its ladder permits nothing that is there; it holds no lock meanwhile, and goes before all else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use lector_core::ModelName;

use super::Plane;
use crate::build::process::Running;
use crate::error::InferenceError;

#[derive(Default)]
pub(super) struct Improver {
    queue: Mutex<Queue>,
    changed: Condvar,
    pub(super) running: Running,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    /// Openings that wait for a first engine.
    first: VecDeque<(ModelName, SyncSender<()>)>,
    /// Models that something serves, and that could be served better.
    better: VecDeque<ModelName>,
    /// Models with a rung that failed, and when it is tried again.
    again: BTreeMap<ModelName, Instant>,
    stopped: bool,
}

/// What the thread does next.
enum Turn {
    First(ModelName, SyncSender<()>),
    Better(ModelName),
}

impl Queue {
    fn next(&mut self) -> Option<Turn> {
        if let Some((model, done)) = self.first.pop_front() {
            return Some(Turn::First(model, done));
        }
        let now = Instant::now();
        let due = self.again.iter().find(|(_, at)| **at <= now).map(|(model, _)| model.clone());
        if let Some(model) = due {
            self.again.remove(&model);
            return Some(Turn::Better(model));
        }
        self.better.pop_front().map(Turn::Better)
    }
}

impl Improver {
    /// Starts the thread. It ends with [`stop`](Self::stop), or when the plane is gone.
    pub(super) fn start(plane: &Arc<Plane>) -> Result<(), InferenceError> {
        let weak = Arc::downgrade(plane);
        let thread = std::thread::Builder::new()
            .name("engine-improver".to_owned())
            .spawn(move || work(&weak))
            .map_err(|source| InferenceError::Improver { source })?;
        *plane.improver.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Has a model looked at when its turn comes.
    pub(super) fn enqueue(&self, model: &ModelName) {
        let mut queue = self.lock();
        if !queue.better.contains(model) {
            queue.better.push_back(model.clone());
        }
        drop(queue);
        self.changed.notify_all();
    }

    /// Has a model looked at, not before that time.
    pub(super) fn enqueue_at(&self, model: &ModelName, at: Instant) {
        let mut queue = self.lock();
        let planned = queue.again.entry(model.clone()).or_insert(at);
        *planned = at.min(*planned);
        drop(queue);
        self.changed.notify_all();
    }

    /// Has a model looked at that nothing serves, before all others, and waits until that is done. Bounded by the time of
    /// the build at work and of one build a rung.
    pub(super) fn wait_for_first(&self, model: &ModelName) -> Result<(), InferenceError> {
        let (done, wait) = sync_channel(1);
        let mut queue = self.lock();
        if queue.stopped {
            return Err(InferenceError::Stopped);
        }
        queue.first.push_back((model.clone(), done));
        drop(queue);
        self.changed.notify_all();
        // The other end goes without a word when everything ends.
        wait.recv().map_err(|_| InferenceError::Stopped)
    }

    /// Ends the builder at work and the thread. A second call does nothing.
    pub(super) fn stop(&self) {
        let mut queue = self.lock();
        queue.stopped = true;
        queue.first.clear();
        drop(queue);
        self.changed.notify_all();
        self.running.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last one to let go of the plane may be the thread itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the thread that improves engines ended by a panic");
        }
    }

    /// Nothing panics while it is held, so a poisoned lock holds a sound state.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next turn; `None`: the end.
    fn next(&self) -> Option<Turn> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return None;
            }
            if let Some(turn) = queue.next() {
                return Some(turn);
            }
            let wait = queue.again.values().min().map(|at| at.saturating_duration_since(Instant::now()));
            queue = match wait {
                Some(wait) => {
                    self.changed.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

fn work(weak: &Weak<Plane>) {
    loop {
        let Some(plane) = weak.upgrade() else { return };
        match plane.improver.next() {
            Some(Turn::First(model, done)) => {
                plane.build_first(&model);
                // Whoever waited may be gone.
                let _ = done.send(());
            }
            Some(Turn::Better(model)) => plane.improve(&model),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.next())
            .map(|turn| match turn {
                Turn::First(model, _) => format!("first {model}"),
                Turn::Better(model) => format!("better {model}"),
            })
            .collect()
    }

    #[test]
    fn who_waits_comes_first_and_who_failed_comes_when_it_is_time() {
        let (done, _wait) = sync_channel(1);
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.better.push_back("b".into());
        queue.again.insert("due".into(), now);
        queue.again.insert("later".into(), now + Duration::from_secs(3600));
        queue.first.push_back(("a".into(), done));
        assert_eq!(names(&mut queue), ["first a", "better due", "better b"]);
        assert!(queue.again.contains_key(&ModelName::from("later")));
    }

    #[test]
    fn an_opening_that_waits_ends_with_the_improver() {
        let improver = Arc::new(Improver::default());
        let waiting = std::thread::spawn({
            let improver = improver.clone();
            move || improver.wait_for_first(&"m".into())
        });
        while improver.lock().first.is_empty() && !waiting.is_finished() {
            std::thread::yield_now();
        }
        improver.stop();
        assert!(matches!(waiting.join(), Ok(Err(InferenceError::Stopped))));
        assert!(matches!(improver.wait_for_first(&"m".into()), Err(InferenceError::Stopped)));
    }
}
