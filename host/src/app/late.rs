//! Engines that start after the runtime that will use them: which models are needed is known only when
//! the guests are configured, and guests are configured by the runtime.

use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use futures::future::BoxFuture;
use lector_core::port::{WorkDone, WorkItem};
use lector_core::{Engines, Fault, Kind, ModelInfo, ModelName};
use lector_inference::Inference;

/// Nothing yet, then the engines for good.
#[derive(Default)]
pub(super) struct LateEngines(OnceLock<Arc<Inference>>);

impl LateEngines {
    /// From now on they are there.
    pub(super) fn set(&self, inference: Arc<Inference>) {
        // Set once, by `Host::start`; a second value would be ignored.
        let _ = self.0.set(inference);
    }
}

impl Engines for LateEngines {
    fn model(&self, name: &ModelName) -> Option<Arc<ModelInfo>> {
        self.0.get()?.model(name)
    }

    fn infer(&self, item: WorkItem) -> BoxFuture<'static, Result<WorkDone, Fault>> {
        match self.0.get() {
            Some(inference) => inference.infer(item),
            None => {
                let fault = Fault::new(
                    Kind::Unavailable,
                    "engines_starting",
                    "The engines are still starting: try again in a moment.",
                );
                async move { Err(fault) }.boxed()
            }
        }
    }
}
