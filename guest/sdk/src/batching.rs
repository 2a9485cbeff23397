//! The batching policy of a guest, an optional export beside the pipeline.
//!
//! A guest with its own policy implements [`BatchingPolicy`] and names it in its export line: `export!(Mine,
//! batching)`. The host asks the policy while runs of the revision wait in front of a model; an answer may take 200
//! microseconds of computing time.

use crate::Pipeline;

pub use crate::bindings::policy::exports::lector::ocr::batching::{Decision, EngineState, WaitingRun};

/// A policy that decides which waiting runs of the revision are batched, and when.
pub trait BatchingPolicy: Pipeline<Settings: 'static> {
    /// Decides about the waiting runs (at least one), in order of arrival. `now_us` is a monotonic clock in
    /// microseconds. The instance lives from call to call.
    ///
    /// A late answer, a panic, or an invalid answer (see the contract) counts as a failure. After eight failures the
    /// policy is disabled, and the batching hints of [`Pipeline::configure`] apply for good.
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
        /// Parsed settings. They never change in an instance, and parsing them would take half of the available time.
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
