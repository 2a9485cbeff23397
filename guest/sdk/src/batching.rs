//! A batching policy of the guest's own, beside the pipeline.
//!
//! A guest that has one implements [`BatchingPolicy`] and says so in its export line: `export!(Mine, batching)`. The host
//! asks it while runs of the revision wait in front of a model; it has 200 microseconds of computing for an answer.

use crate::Pipeline;

pub use crate::bindings::policy::exports::lector::ocr::batching::{Decision, EngineState, WaitingRun};

/// Decides which of the revision's waiting runs go together, and when.
pub trait BatchingPolicy: Pipeline<Settings: 'static> {
    /// Decides about the runs that wait, in the order in which they came, one or more of them. `now_us` is a clock that
    /// only rises. The instance lives from call to call.
    ///
    /// An answer that comes late, a panic, or one that makes no sense (see the contract) counts as a failure; after eight of
    /// them what [`Pipeline::configure`] declared holds for good.
    fn plan(waiting: &[WaitingRun], engine: &EngineState, now_us: u64, settings: &Self::Settings)
    -> Decision;
}

#[cfg(target_family = "wasm")]
mod exports {
    use std::any::Any;
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::{BatchingPolicy, Decision, EngineState, WaitingRun};
    use crate::bindings::policy::exports::lector::ocr::batching::Guest;
    use crate::pipeline::{Component, tell_panics};
    use crate::{host, settings};

    thread_local! {
        /// Settings never change in an instance, and parsing them would take half of the time there is.
        static SETTLED: RefCell<Option<Rc<dyn Any>>> = const { RefCell::new(None) };
    }

    impl<P: BatchingPolicy> Guest for Component<P> {
        #[allow(clippy::expect_used, reason = "a trap is what the host counts")]
        fn plan(waiting: Vec<WaitingRun>, engine: EngineState, now_us: u64) -> Decision {
            let settled = SETTLED.with(|settled| settled.borrow().clone()).unwrap_or_else(|| {
                tell_panics();
                let parsed = settings::parse::<P::Settings>(&host::settings_get());
                let parsed: Rc<dyn Any> = Rc::new(parsed.expect("settings that `configure` accepted"));
                SETTLED.with(|settled| *settled.borrow_mut() = Some(parsed.clone()));
                parsed
            });
            let settings = settled.downcast_ref::<P::Settings>().expect("settings of this pipeline");
            P::plan(&waiting, &engine, now_us, settings)
        }
    }
}
