//! The one ONNX Runtime environment of the process: its library, its log, its memory arena.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::AsPointer;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};

use crate::error::InferenceError;

/// ONNX Runtime allows one environment for each process and cannot be unloaded: it is made at the first start and kept.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// Returns the environment, on the library at `path`. A second call with the same path returns the same one.
pub(crate) fn environment(path: &Path) -> Result<Environment, InferenceError> {
    let missing = |_| InferenceError::LibraryMissing { path: path.to_owned() };
    let path = path.canonicalize().map_err(missing)?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*loaded {
        Some((from, environment)) if *from == path => return Ok(environment.clone()),
        Some((from, _)) => return Err(InferenceError::LibraryTwice { loaded: from.clone(), asked: path }),
        None => {}
    }
    let builder = ort::init_from(&path)
        .map_err(|source| InferenceError::LibraryUnusable { path: path.clone(), source })?;
    let refused = |e: ort::Error| InferenceError::Environment(e.to_string());
    let environment = builder
        .with_name("lector")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(refused)?;
    environment.set_log_level(LogLevel::Warning);
    register_arena(&environment).map_err(refused)?;
    tracing::info!(library = %path.display(), build = ort::info(), "ONNX Runtime loaded");
    *loaded = Some((path, environment.clone()));
    Ok(environment)
}

/// Returns the version of the library at `path`, for the keys of engines: from its file name, and from its build.
pub(crate) fn onnxruntime_version(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{} {}", name.strip_prefix("libonnxruntime.so.").unwrap_or(&name), ort::info())
}

/// Forwards ONNX Runtime's log to the host's. The failed call reports an error by itself; here it is context.
fn log(level: LogLevel, category: &str, _id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Fatal => tracing::error!(target: "onnxruntime", category, place, "{message}"),
        LogLevel::Error => tracing::warn!(target: "onnxruntime", category, place, "{message}"),
        LogLevel::Warning | LogLevel::Info => {
            tracing::debug!(target: "onnxruntime", category, place, "{message}");
        }
        LogLevel::Verbose => tracing::trace!(target: "onnxruntime", category, place, "{message}"),
    }
}

/// Registers one arena for the runs of all CPU sessions: a recognition reuses the memory of an earlier detection, where
/// separate arenas would each keep their peak. Sessions opt in by `with_env_allocators`.
fn register_arena(environment: &Environment) -> Result<(), ort::Error> {
    let info = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Arena, MemoryType::Default)?;
    // SAFETY: the environment and the description outlive the call, and ONNX Runtime copies the description; a null
    // configuration requests the defaults; a non-null status is owned by the error made of it.
    unsafe {
        let status = (ort::api().CreateAndRegisterAllocator)(
            environment.ptr().cast_mut(),
            info.ptr(),
            std::ptr::null(),
        );
        ort::Error::result_from_status(status)
    }
}
