//! The interface between a lane and an engine, and the slot in which an owner thread keeps its engine. ONNX Runtime
//! sessions ([`crate::session`]), OpenVINO requests and test engines implement the trait.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lector_core::Tensor;

use crate::provider::EngineVariant;

/// A model on a device, run by one thread at a time.
pub(crate) trait Engine: Send {
    /// Runs the model over checked inputs and returns the named outputs in that order. The error is the cause, for the
    /// log; it concerns this run alone.
    fn run(&mut self, inputs: &[(String, Tensor)], outputs: &[String]) -> Result<Vec<Tensor>, String>;

    /// Returns whether it computes the rows of a run one by one, so that a row is no cheaper beside others.
    fn is_row_by_row(&self) -> bool {
        false
    }
}

/// An engine that takes fewer rows in a run than its lane: it runs a longer batch in parts.
pub(crate) struct InParts {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) rows_max: usize,
}

impl Engine for InParts {
    fn run(&mut self, inputs: &[(String, Tensor)], outputs: &[String]) -> Result<Vec<Tensor>, String> {
        let rows = inputs.first().map_or(0, |(_, tensor)| tensor.rows());
        if rows <= self.rows_max {
            return self.engine.run(inputs, outputs);
        }
        let unsplittable = || "the inputs or outputs cannot be split by rows".to_owned();
        let most = self.rows_max.max(1);
        let sizes: Vec<usize> = (0..rows).step_by(most).map(|from| most.min(rows - from)).collect();
        let mut inputs_left: Vec<(String, std::vec::IntoIter<Tensor>)> = inputs
            .iter()
            .map(|(name, tensor)| {
                Ok((name.clone(), tensor.split(&sizes).ok_or_else(unsplittable)?.into_iter()))
            })
            .collect::<Result<_, String>>()?;
        let mut parts: Vec<Vec<Tensor>> = outputs.iter().map(|_| Vec::with_capacity(sizes.len())).collect();
        for _ in &sizes {
            let inputs = inputs_left
                .iter_mut()
                .map(|(name, left)| Ok((name.clone(), left.next().ok_or_else(unsplittable)?)))
                .collect::<Result<Vec<_>, String>>()?;
            for (part, output) in parts.iter_mut().zip(self.engine.run(&inputs, outputs)?) {
                part.push(output);
            }
        }
        let whole =
            |part: Vec<Tensor>| Tensor::concat(&part.iter().collect::<Vec<_>>()).ok_or_else(unsplittable);
        parts.into_iter().map(whole).collect()
    }

    fn is_row_by_row(&self) -> bool {
        self.rows_max <= 1 || self.engine.is_row_by_row()
    }
}

/// An engine with its variant.
pub(crate) struct InstalledEngine {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) variant: EngineVariant,
}

/// The slot of one owner thread's engine. The owner thread [locks it](Slot::for_run) for each run; a better engine is
/// [swapped in](Slot::swap) between two runs, without effect on any item.
pub(crate) struct Slot {
    engine: Mutex<InstalledEngine>,
    /// Installed before the next run, or at once where the owner is idle.
    next: Mutex<Option<InstalledEngine>>,
    cores_per_run: AtomicUsize,
}

impl Slot {
    pub(crate) fn new(engine: InstalledEngine, cores_per_run: usize) -> Self {
        Self { engine: Mutex::new(engine), next: Mutex::default(), cores_per_run: cores_per_run.into() }
    }

    /// Returns the core permits of a run; 0 where the engine does not use this machine's cores.
    pub(crate) fn cores_per_run(&self) -> usize {
        self.cores_per_run.load(Ordering::Relaxed)
    }

    /// Returns the engine, locked for one run.
    pub(crate) fn for_run(&self) -> EngineInUse<'_> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        self.advance(&mut engine);
        EngineInUse(engine)
    }

    /// Installs another engine. Returns when it is installed: at once, or when the current run has ended. The old
    /// engine and its memory are freed by then.
    pub(crate) fn swap(&self, engine: InstalledEngine, cores_per_run: usize) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(engine);
        self.cores_per_run.store(cores_per_run, Ordering::Relaxed);
        // A busy owner may win the lock for many runs; it then installs the engine itself.
        self.advance(&mut self.engine.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn advance(&self, engine: &mut InstalledEngine) {
        if let Some(next) = self.next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            *engine = next;
        }
    }
}

/// An engine while it runs.
pub(crate) struct EngineInUse<'a>(MutexGuard<'a, InstalledEngine>);

impl EngineInUse<'_> {
    /// Returns the engine variant.
    pub(crate) fn variant(&self) -> EngineVariant {
        self.0.variant
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::TensorData;

    use super::*;

    /// Doubles, and rejects more rows than it takes.
    struct Doubling(usize);

    impl Engine for Doubling {
        fn run(&mut self, inputs: &[(String, Tensor)], _: &[String]) -> Result<Vec<Tensor>, String> {
            let tensor = &inputs[0].1;
            assert!(tensor.rows() <= self.0);
            let doubled = tensor.as_f32().unwrap().iter().map(|value| value * 2.0).collect();
            Ok(vec![Tensor::new(tensor.shape(), TensorData::F32(doubled)).unwrap()])
        }
    }

    #[test]
    fn a_long_run_is_split_and_its_outputs_are_joined() {
        for (rows, rows_max) in [(1, 4), (4, 4), (5, 2), (7, 3), (3, 1)] {
            let input: Vec<f32> = (0..rows * 2).map(|n| n as f32).collect();
            let tensor = Tensor::new(&[rows, 2], TensorData::F32(input.clone())).unwrap();
            let mut engine = InParts { engine: Box::new(Doubling(rows_max)), rows_max };
            let out = engine.run(&[("x".to_owned(), tensor)], &["y".to_owned()]).unwrap().remove(0);
            assert_eq!(out.shape(), [rows, 2]);
            let doubled: Vec<f32> = input.iter().map(|value| value * 2.0).collect();
            assert_eq!(out.as_f32().unwrap(), doubled, "{rows} in parts of {rows_max}");
        }
    }
}
