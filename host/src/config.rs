//! Configuration: defaults, one TOML file, the environment and flags become one validated [`Config`].
//!
//! Owns every key, its default and its check. The only place that reads the environment. Knows no
//! engine and no transport; `app` and `cli` are its readers.
//!
//! [`RawConfig`](raw::RawConfig) is what was written; [`Config`] is what it means. `deploy/lector.toml`
//! documents every key, and a test holds it to the defaults.

mod env;
mod error;
mod layers;
mod paths;
mod print;
mod raw;
mod renamed;
mod validate;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lector_control::ControlConfig;
use lector_core::ModelName;
use lector_serving::ServingConfig;

pub use env::cache_root;
pub use error::ConfigError;
pub use layers::{Effective, Origin};

/// Everything, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[http]`: the gateway.
    pub http: HttpConfig,
    /// `[engines]`: inference.
    pub engines: EnginesConfig,
    /// `[documents]`: render workers.
    pub documents: DocumentsConfig,
    /// `[guests]`: the sandbox.
    pub guests: GuestsConfig,
    /// `[[deployments]]`, and of `[platform]` what the control plane is started with.
    pub control: ControlConfig,
    /// Of `[platform]` what the data plane is started with.
    pub serving: ServingConfig,
    /// Where a first administrator's key is written, if one is to be made at the start.
    pub admin_key_file: Option<PathBuf>,
    /// `[client]`: commands that ask a server.
    pub client: ClientConfig,
    /// `[log]`.
    pub log: LogConfig,
}

/// The gateway.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where to listen; port 0: any free one.
    pub listen: SocketAddr,
    /// Whether an address that others reach may be listened on although the house has no keys.
    pub allow_insecure_public: bool,
    /// Largest body of one document, and of one file of a batch.
    pub body_bytes_max: u64,
    /// Longest time that a request's head may take.
    pub header_timeout: Duration,
    /// Longest time in which not one byte of a body comes in, or of an answer is taken.
    pub body_idle_timeout: Duration,
    /// Deadline of a request that states none, and the longest one that it may state.
    pub request_timeout: Duration,
    /// Connections at once.
    pub connections_max: usize,
    /// Files of one batch.
    pub batch_files_max: usize,
    /// Longest time that a shutdown waits for what is there.
    pub drain_timeout: Duration,
}

/// Inference.
#[derive(Clone, Debug)]
pub struct EnginesConfig {
    /// Who may compute, in the order in which they are wanted: `auto`, `openvino/bf16`, `cuda:0`, ...
    pub providers: Vec<String>,
    /// `auto`, and the processor features that are hidden: `-avx512_bf16`, ...
    pub cpu_features: Vec<String>,
    /// The same as `providers`, for single models.
    pub model_providers: BTreeMap<ModelName, Vec<String>>,
    /// `libonnxruntime.so`.
    pub library: PathBuf,
    /// The same for a GPU, whether or not one is on a ladder.
    pub gpu_library: PathBuf,
    /// Folder with OpenVINO.
    pub openvino_dir: PathBuf,
    /// Folders with CUDA and TensorRT.
    pub gpu_dirs: Vec<PathBuf>,
    /// The model catalog.
    pub models_dir: PathBuf,
    /// An operator's own models.
    pub own_models_dir: PathBuf,
    /// Built engines.
    pub cache_dir: PathBuf,
    /// Most bytes of them; 0: no limit.
    pub cache_bytes_max: u64,
    /// Whether missing engines are built in the background.
    pub build: bool,
    /// Longest time of one build.
    pub build_timeout: Duration,
    /// Most device memory of one session; 0: no limit.
    pub gpu_memory_bytes_max: u64,
    /// CPU threads for inference.
    pub threads: usize,
    /// Runs that may wait for one model.
    pub queue_items_max: usize,
}

/// Render workers.
#[derive(Clone, Debug)]
pub struct DocumentsConfig {
    /// Folder with `libpdfium.so`.
    pub pdfium_dir: PathBuf,
    /// Worker processes.
    pub workers: usize,
    /// Longest time to open a document.
    pub open_timeout: Duration,
    /// Longest time to read one text layer.
    pub text_timeout: Duration,
    /// Longest time to render one page.
    pub render_timeout: Duration,
    /// Memory of one worker.
    pub worker_memory_bytes: u64,
    /// Pixels of one picture.
    pub image_pixels_max: u64,
    /// Pages of one document.
    pub pages_max: u32,
    /// Most characters of the text layer of one page.
    pub text_characters_max: u32,
    /// Most words of the text layer of one page.
    pub text_words_max: u32,
}

/// The sandbox.
#[derive(Clone, Debug)]
pub struct GuestsConfig {
    /// Where compiled guests are kept; `None`: nowhere.
    pub code_cache_dir: Option<PathBuf>,
    /// Most bytes of them; 0: no limit.
    pub code_cache_bytes_max: u64,
    /// Longest time of compiling one component.
    pub compile_timeout: Duration,
    /// Address space of the process that does it.
    pub compile_memory_bytes: u64,
    /// Guest instances at once.
    pub instances_max: u32,
    /// Most that a budget may give one linear memory.
    pub memory_bytes_max: u64,
}

/// Commands that ask a server.
#[derive(Clone)]
pub struct ClientConfig {
    /// Its address, without a slash at the end.
    pub server: String,
    /// What they show; `None`: a server without keys.
    pub key: Option<String>,
    /// The tenant that an administrator acts for.
    pub tenant: Option<String>,
}

impl std::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Which events: `info`, `lector=debug,warn`, ...
    pub filter: String,
    /// How they are written.
    pub format: LogFormat,
}

/// How log events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where configuration comes from besides the defaults and the environment.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`; it must exist.
    pub file: Option<PathBuf>,
    /// Values of flags: (dotted key, text as in the environment, the flag's name).
    pub flags: Vec<(String, String, &'static str)>,
}

impl Config {
    /// Reads, lays over one another and checks all sources. `Effective` knows where each value came from.
    pub fn load(sources: &Sources) -> Result<(Self, Effective), ConfigError> {
        let effective = Effective::gather(sources, env::Environment::of_process())?;
        let config = validate::raise(&effective)?;
        Ok((config, effective))
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
