//! A compiled model: its ports, its file, its requests.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use lector_core::model::PortInfo;

use super::api::{Api, CompiledModel};
use super::core::Core;
use super::ffi::{self, check, cstring, port};

/// A model compiled for the CPU.
#[derive(Clone)]
pub(crate) struct Compiled(Arc<Inner>);

struct Inner {
    ptr: NonNull<CompiledModel>,
    /// Keeps the core alive, which owns the plugin that computes.
    core: Arc<Core>,
    /// The file from which it was imported: OpenVINO computes on the weights in these very bytes. (When they were freed
    /// after the import, outputs had no rows, and then a segmentation fault followed.)
    _blob: Vec<u8>,
}

// SAFETY: a compiled model is not changed after it was made; OpenVINO allows several threads to create requests from it
// and to read its ports.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: made by the core, freed once; requests hold a reference to this.
        unsafe { (self.core.api.ov_compiled_model_free)(self.ptr.as_ptr()) };
    }
}

impl Compiled {
    /// Wraps a compiled model. `blob` is the file from which it was imported; empty where it was compiled.
    pub(super) fn new(core: Arc<Core>, ptr: *mut CompiledModel, blob: Vec<u8>) -> Result<Self, String> {
        let ptr = NonNull::new(ptr).ok_or_else(|| "OpenVINO returned no compiled model".to_owned())?;
        Ok(Self(Arc::new(Inner { ptr, core, _blob: blob })))
    }

    pub(super) fn api(&self) -> &'static Api {
        self.0.core.api
    }

    /// Returns the inputs, and the outputs of these names.
    pub(crate) fn ports(&self, outputs: &[String]) -> Result<(Vec<PortInfo>, Vec<PortInfo>), String> {
        let (api, model) = (self.api(), self.0.ptr.as_ptr());
        let mut count = 0;
        // SAFETY: the model is alive.
        check(api, unsafe { (api.ov_compiled_model_inputs_size)(model, &mut count) })?;
        let input = |index| {
            let mut found = null_mut();
            // SAFETY: the model is alive; the port is freed by `port`.
            check(api, unsafe { (api.ov_compiled_model_input_by_index)(model, index, &mut found) })?;
            port(api, found, None)
        };
        let output = |name: &String| {
            let mut found = null_mut();
            let text = cstring(name)?;
            // SAFETY: as above; the name is a C string.
            check(api, unsafe { (api.ov_compiled_model_output_by_name)(model, text.as_ptr(), &mut found) })?;
            port(api, found, Some(name))
        };
        let inputs = (0..count).map(input).collect::<Result<_, String>>()?;
        Ok((inputs, outputs.iter().map(output).collect::<Result<_, String>>()?))
    }

    /// Writes the model to a file for [`super::OpenVino::import`].
    pub(crate) fn export(&self, path: &Path) -> Result<(), String> {
        let text = std::ffi::CString::new(path.as_os_str().as_bytes())
            .map_err(|_| format!("{} holds a null character", path.display()))?;
        let api = self.api();
        // SAFETY: the model is alive, the path a C string.
        check(api, unsafe { (api.ov_compiled_model_export_model)(self.0.ptr.as_ptr(), text.as_ptr()) })
    }

    /// Returns the value of a property in effect, for the log.
    pub(crate) fn property(&self, key: &str) -> Option<String> {
        let api = self.api();
        let (key, mut value) = (cstring(key).ok()?, null_mut());
        // SAFETY: the model is alive, the key a C string.
        check(api, unsafe {
            (api.ov_compiled_model_get_property)(self.0.ptr.as_ptr(), key.as_ptr(), &mut value)
        })
        .ok()?;
        let text = ffi::copied(value);
        // SAFETY: returned by the call above, freed once.
        unsafe { (api.ov_free)(value) };
        text
    }

    pub(super) fn as_ptr(&self) -> *mut CompiledModel {
        self.0.ptr.as_ptr()
    }
}
