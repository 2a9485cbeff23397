//! The one ONNX Runtime environment of the process: its library, its log, its memory arena.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::AsPointer;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};

use crate::error::InferenceError;

/// ONNX Runtime allows one environment a process and cannot be unloaded; it is made at the first start and kept.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// The environment, on the library at `path`. A second call with the same path gives the same one.
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

/// The version of the library at `path`, for the keys of engines: from its name, and from its build.
pub(crate) fn onnxruntime_version(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{} {}", name.strip_prefix("libonnxruntime.so.").unwrap_or(&name), ort::info())
}

/// ONNX Runtime's log into the host's. What it calls an error comes back as one from the call that failed, and is
/// reported there; here it is context.
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

/// One arena for the runs of all CPU sessions: memory that a detection has used serves the next recognition, where
/// arenas of their own would each keep their peak. Sessions opt in by `with_env_allocators`.
fn register_arena(environment: &Environment) -> Result<(), ort::Error> {
    let info = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Arena, MemoryType::Default)?;
    // SAFETY: the environment and the description outlive the call, and ONNX Runtime copies the description; a null
    // configuration asks for the defaults; a status that is not null is owned by the error made of it.
    unsafe {
        let status = (ort::api().CreateAndRegisterAllocator)(
            environment.ptr().cast_mut(),
            info.ptr(),
            std::ptr::null(),
        );
        ort::Error::result_from_status(status)
    }
}
