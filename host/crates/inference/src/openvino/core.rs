//! The OpenVINO core of the process: the owner of the plugin that computes.

use std::ptr::NonNull;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::api::{self, Api};

/// Options of a compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompileOptions {
    /// Concurrent runs, each on a stream of its own.
    pub(crate) streams: usize,
    /// Threads over all streams.
    pub(crate) threads: usize,
    /// Whether operators compute in bf16 where they can.
    pub(crate) bf16: bool,
}

/// A core; models that it compiled keep it alive.
pub(super) struct Core {
    pub(super) api: &'static Api,
    pub(super) ptr: NonNull<api::Core>,
    pub(super) version: String,
    /// Which properties the device has now, and who relies on them.
    pub(super) in_use: OptionsInUse,
}

/// The options that the device's properties state. The properties are global, and a compilation or an import reads them at
/// some time: those with the same options run side by side, others wait.
#[derive(Default)]
pub(super) struct OptionsInUse {
    state: Mutex<State>,
    unused: Condvar,
}

#[derive(Default)]
struct State {
    options: Option<CompileOptions>,
    users: usize,
}

/// The options stay as they are until it is dropped.
pub(super) struct Use<'a>(&'a OptionsInUse);

impl OptionsInUse {
    /// Waits until no call uses other options, and calls `set` where the properties state others.
    pub(super) fn begin(
        &self,
        options: CompileOptions,
        set: impl FnOnce() -> Result<(), String>,
    ) -> Result<Use<'_>, String> {
        let mut state = self.lock();
        while state.users > 0 && state.options != Some(options) {
            state = self.unused.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.options != Some(options) {
            // Unknown until the call has succeeded.
            state.options = None;
            set()?;
            state.options = Some(options);
        }
        state.users += 1;
        Ok(Use(self))
    }

    /// Only `set` can panic under the lock, and then the options are unknown.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.lock().users -= 1;
        self.0.unused.notify_all();
    }
}

// SAFETY: OpenVINO documents its core as safe to use from several threads; only the properties for one compilation are
// not covered, and `in_use` guards them.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: created by `ov_core_create`, freed once.
        unsafe { (self.api.ov_core_free)(self.ptr.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn calls_with_the_same_options_share_them_and_others_wait() {
        let in_use = OptionsInUse::default();
        let [one, two] = [false, true].map(|bf16| CompileOptions { streams: 1, threads: 1, bf16 });
        let sets = AtomicUsize::new(0);
        let set = || {
            sets.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let first = in_use.begin(one, set).unwrap();
        drop(in_use.begin(one, set).unwrap());
        assert_eq!(sets.load(Ordering::SeqCst), 1);
        let released = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _other = in_use.begin(two, set).unwrap();
                assert_eq!(released.load(Ordering::SeqCst), 1, "the options were in use");
            });
            released.store(1, Ordering::SeqCst);
            drop(first);
        });
        assert_eq!(sets.load(Ordering::SeqCst), 2);
        assert!(in_use.begin(one, || Err("refused".to_owned())).is_err());
        drop(in_use.begin(two, set).unwrap());
        assert_eq!(sets.load(Ordering::SeqCst), 3, "after a failure the properties are unknown");
    }
}
