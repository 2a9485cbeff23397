//! What a lane knows of an engine, and the slot in which an owner thread keeps it. ONNX Runtime sessions implement the
//! trait ([`crate::session`]); tests and other runtimes do, too.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lector_core::Tensor;

use crate::provider::Rung;

/// A model on a device, run by one thread at a time.
pub(crate) trait Engine: Send {
    /// Runs the model over checked inputs and gives the named outputs in that order. The error is the cause, for the
    /// log; it concerns this run alone.
    fn run(&mut self, inputs: &[(String, Tensor)], outputs: &[String]) -> Result<Vec<Tensor>, String>;
}

/// An engine and what it is.
pub(crate) struct Seated {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) rung: Rung,
}

/// The place of one owner thread's engine. The owner [takes it](Slot::for_run) for each run; a better engine is
/// [put in](Slot::swap) between two runs, and no item notices.
pub(crate) struct Slot {
    engine: Mutex<Seated>,
    /// Comes with the next run, or before it where the owner is idle.
    next: Mutex<Option<Seated>>,
    cores_per_run: AtomicUsize,
}

impl Slot {
    pub(crate) fn new(engine: Seated, cores_per_run: usize) -> Self {
        Self { engine: Mutex::new(engine), next: Mutex::default(), cores_per_run: cores_per_run.into() }
    }

    /// Permits that a run takes; 0 where the work is done elsewhere than on this machine's cores.
    pub(crate) fn cores_per_run(&self) -> usize {
        self.cores_per_run.load(Ordering::Relaxed)
    }

    /// The engine, for one run.
    pub(crate) fn for_run(&self) -> EngineInUse<'_> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        self.advance(&mut engine);
        EngineInUse(engine)
    }

    /// Puts another engine in. Returns when it is there: at once, or when the run that goes on has ended. The old one is
    /// gone then, with its memory.
    pub(crate) fn swap(&self, engine: Seated, cores_per_run: usize) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(engine);
        self.cores_per_run.store(cores_per_run, Ordering::Relaxed);
        // A busy owner may be faster with the lock for many runs; it then does this by itself.
        self.advance(&mut self.engine.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn advance(&self, engine: &mut Seated) {
        if let Some(next) = self.next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            *engine = next;
        }
    }
}

/// An engine while it runs.
pub(crate) struct EngineInUse<'a>(MutexGuard<'a, Seated>);

impl EngineInUse<'_> {
    /// What it is.
    pub(crate) fn rung(&self) -> Rung {
        self.0.rung
    }
}

impl Deref for EngineInUse<'_> {
    type Target = dyn Engine;

    fn deref(&self) -> &Self::Target {
        &*self.0.engine
    }
}

impl DerefMut for EngineInUse<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.0.engine
    }
}
