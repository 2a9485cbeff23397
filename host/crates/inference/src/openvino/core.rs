//! The OpenVINO core of the process: the owner of the plugin that computes.

use std::ptr::NonNull;
use std::sync::Mutex;

use super::api::{self, Api};

/// A core; models that it compiled keep it alive.
pub(super) struct Core {
    pub(super) api: &'static Api,
    pub(super) ptr: NonNull<api::Core>,
    pub(super) version: String,
    /// Held while the device's properties are set and a model is compiled or imported with them.
    pub(super) compile_options: Mutex<()>,
}

// SAFETY: OpenVINO documents its core as safe to use from several threads; only the properties for one compilation are
// not covered, and `compile_options` guards them.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: created by `ov_core_create`, freed once.
        unsafe { (self.api.ov_core_free)(self.ptr.as_ptr()) };
    }
}
