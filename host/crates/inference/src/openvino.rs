//! OpenVINO: compiles a model for the cores of this machine, in bf16 where the processor supports it.
//!
//! Owns the one OpenVINO core of the process, compiled models and their requests. Must not know lanes or the catalog.
//! The C interface ([`api`]) is called directly.

mod api;
mod compiled;
mod core;
mod ffi;
mod request;

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::{Path, PathBuf};
use std::ptr::{NonNull, null_mut};
use std::sync::{Arc, Mutex, PoisonError};

use api::Api;
pub(crate) use compiled::Compiled;
pub(crate) use core::CompileOptions;
use core::{Core, OptionsInUse, Use};
use ffi::{check, cstring};

/// The only device in use; OpenVINO on Intel GPUs would be another provider.
const DEVICE: &CStr = c"CPU";
/// The first version with the interface used here.
const VERSION_MIN: (u32, u32) = (2026, 4);
/// The version that `cargo xtask setup` fetches, for messages.
pub const VERSION: &str = "2026.4.1";

/// Why OpenVINO cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum OpenVinoError {
    /// The folder or its library does not exist.
    #[error("OpenVINO {VERSION} is not in {}: no libopenvino_c.so there; run `cargo xtask setup`, or name its folder in engines.openvino_dir", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// The library cannot be loaded.
    #[error("cannot load OpenVINO from {}: {what}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The cause.
        what: String,
    },
    /// The version is too old.
    #[error("OpenVINO in {} is version {found}, at least {}.{} is needed ({VERSION} is what `cargo xtask setup` fetches)", path.display(), VERSION_MIN.0, VERSION_MIN.1)]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that it reports.
        found: String,
    },
    /// Another copy is loaded in this process, which can hold one.
    #[error("OpenVINO is loaded from {} already, so not from {}", loaded.display(), asked.display())]
    Twice {
        /// The copy in use.
        loaded: PathBuf,
        /// The requested copy.
        asked: PathBuf,
    },
}

/// OpenVINO cannot be unloaded: it is loaded at the first use and kept.
static LOADED: Mutex<Option<(PathBuf, OpenVino)>> = Mutex::new(None);

/// The loaded library and its core.
#[derive(Clone)]
pub(crate) struct OpenVino(Arc<Core>);

impl OpenVino {
    /// Loads OpenVINO from `dir`. A second call with the same folder returns the same core.
    pub(crate) fn load(dir: &Path) -> Result<Self, OpenVinoError> {
        let missing = || OpenVinoError::Missing { dir: dir.to_owned() };
        let path = library_in(dir).and_then(|path| path.canonicalize().ok()).ok_or_else(missing)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some((from, openvino)) if *from == path => return Ok(openvino.clone()),
            Some((from, _)) => return Err(OpenVinoError::Twice { loaded: from.clone(), asked: path }),
            None => {}
        }
        let unusable = |what: String| OpenVinoError::Unusable { path: path.clone(), what };
        let api = api::load(&path).map_err(unusable)?;
        let version = version(api).map_err(unusable)?;
        if !is_new_enough(&version) {
            return Err(OpenVinoError::Version { path, found: version });
        }
        let mut core = null_mut();
        // SAFETY: the library is loaded; the output pointer is valid.
        check(api, unsafe { (api.ov_core_create)(&mut core) }).map_err(unusable)?;
        let ptr = NonNull::new(core).ok_or_else(|| unusable("it returned no core".to_owned()))?;
        let openvino = Self(Arc::new(Core { api, ptr, version, in_use: OptionsInUse::default() }));
        tracing::info!(library = %path.display(), version = openvino.version(), "OpenVINO loaded");
        *loaded = Some((path, openvino.clone()));
        Ok(openvino)
    }

    /// Returns its build number, e.g. `2026.4.1-22982-…`.
    pub(crate) fn version(&self) -> &str {
        &self.0.version
    }

    /// Compiles a serialized ONNX model.
    pub(crate) fn compile(&self, onnx: &[u8], compile_options: CompileOptions) -> Result<Compiled, String> {
        let (api, core) = (self.0.api, self.0.ptr.as_ptr());
        let mut model = null_mut();
        // SAFETY: the bytes live through the call, which copies what it keeps; no weights beside the model.
        check(api, unsafe {
            (api.ov_core_read_model_from_memory_buffer)(
                core,
                onnx.as_ptr().cast::<c_char>(),
                onnx.len(),
                std::ptr::null(),
                &mut model,
            )
        })?;
        let mut compiled = null_mut();
        let outcome = self.with(compile_options).and_then(|_in_use| {
            // SAFETY: core and model are alive; no properties are given beside those of the device.
            check(api, unsafe {
                (api.ov_core_compile_model_props)(
                    core,
                    model,
                    DEVICE.as_ptr(),
                    0,
                    std::ptr::null(),
                    &mut compiled,
                )
            })
        });
        // SAFETY: read above, freed once; the compiled model does not need it.
        unsafe { (api.ov_model_free)(model) };
        outcome.and_then(|()| Compiled::new(self.0.clone(), compiled, Vec::new()))
    }

    /// Imports the output of [`Compiled::export`], and keeps its bytes.
    pub(crate) fn import(&self, blob: Vec<u8>, compile_options: CompileOptions) -> Result<Compiled, String> {
        let api = self.0.api;
        let mut compiled = null_mut();
        let _in_use = self.with(compile_options)?;
        // SAFETY: core and bytes are alive through the call; the model keeps the bytes.
        check(api, unsafe {
            (api.ov_core_import_model)(
                self.0.ptr.as_ptr(),
                blob.as_ptr().cast::<c_char>(),
                blob.len(),
                DEVICE.as_ptr(),
                &mut compiled,
            )
        })?;
        Compiled::new(self.0.clone(), compiled, blob)
    }

    /// Gives the device the properties for a model until the result is dropped: an import uses no others.
    fn with(&self, compile_options: CompileOptions) -> Result<Use<'_>, String> {
        self.0.in_use.begin(compile_options, || self.set(compile_options))
    }

    /// Sets the device's properties.
    fn set(&self, compile_options: CompileOptions) -> Result<(), String> {
        let pairs = [
            ("INFERENCE_PRECISION_HINT", if compile_options.bf16 { "bf16" } else { "f32" }.to_owned()),
            ("EXECUTION_MODE_HINT", "PERFORMANCE".to_owned()),
            ("NUM_STREAMS", compile_options.streams.to_string()),
            ("INFERENCE_NUM_THREADS", compile_options.threads.to_string()),
            // The host's other threads share these cores.
            ("ENABLE_CPU_PINNING", "NO".to_owned()),
        ];
        let pairs = pairs
            .iter()
            .map(|(key, value)| Ok((cstring(key)?, cstring(value)?)))
            .collect::<Result<Vec<(CString, CString)>, String>>()?;
        let properties: Vec<api::Property> = pairs
            .iter()
            .map(|(key, value)| api::Property { key: key.as_ptr(), value: value.as_ptr().cast::<c_void>() })
            .collect();
        // SAFETY: keys and values are C strings that live through the call, which copies them.
        check(self.0.api, unsafe {
            (self.0.api.ov_core_set_properties)(
                self.0.ptr.as_ptr(),
                DEVICE.as_ptr(),
                properties.len(),
                properties.as_ptr(),
            )
        })
    }
}

/// Returns the path of `libopenvino_c.so`, with or without a version suffix.
fn library_in(dir: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libopenvino_c.so")))
        .collect();
    found.sort();
    found.pop()
}

fn version(api: &Api) -> Result<String, String> {
    let mut version = api::Version { build_number: std::ptr::null(), description: std::ptr::null() };
    // SAFETY: the output pointer is valid; its strings are freed below, after they were copied.
    check(api, unsafe { (api.ov_get_openvino_version)(&mut version) })?;
    let text = ffi::copied(version.build_number);
    // SAFETY: filled by the call above, freed once.
    unsafe { (api.ov_version_free)(&mut version) };
    text.ok_or_else(|| "it does not report its version".to_owned())
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) >= VERSION_MIN,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let check = |version: &str, expect: bool| assert_eq!(is_new_enough(version), expect, "{version}");
        check("2026.4.1-22982-abc-releases/2026/4", true);
        check("2026.10.0-1", true);
        check("2027.0.0", true);
        check("2026.3.9", false);
        check("2025.4.1", false);
        check("", false);
        check("custom", false);
    }

    #[test]
    fn a_folder_without_openvino_is_an_error_with_instructions() {
        let dir = tempfile::tempdir().unwrap_or_else(|e| unreachable!("{e}"));
        let error = OpenVino::load(dir.path()).err().map(|e| e.to_string()).unwrap_or_default();
        for expect in [VERSION, "libopenvino_c.so", "cargo xtask setup", "engines.openvino_dir"] {
            assert!(error.contains(expect), "{error} lacks {expect}");
        }
    }
}
