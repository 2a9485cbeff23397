//! Configuration: merges defaults, one TOML file, the environment and flags into one validated [`Config`].
//!
//! Owns every key, its default and its validation. The only module that reads the environment. Depends on no engine and
//! no transport; `app` and `cli` read it.
//!
//! [`RawConfig`](raw::RawConfig) holds values as written; [`Config`] holds validated values. `deploy/lector.toml`
//! documents every key, and a test compares it with the defaults.

mod compat;
mod contexts;
mod env;
mod error;
mod example;
mod layers;
mod load;
mod origin;
mod paths;
mod print;
mod raw;
mod reload;
mod renamed;
mod validate;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lector_control::ControlConfig;
use lector_core::ModelName;
use lector_jobs::{AddressRange, JobsConfig};
use lector_serving::ServingConfig;

pub use compat::{CompatConfig, Dialect};
pub use contexts::{Context, ContextChoice, Contexts};
pub use env::{TesseractVariables, cache_root};
pub use error::ConfigError;
pub use example::example_with;
pub use layers::{Effective, Sources};
pub use origin::Origin;
pub use paths::{ARCHIVE_CODE, ARCHIVE_MARKER};
pub use reload::{ConfigChange, Reload};
pub use validate::machine_memory;

/// Returns the folder of the archive that this program was unpacked from; `None` for the program of a checkout.
pub fn archive_dir() -> Option<PathBuf> {
    paths::archive()
}

/// The validated configuration.
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
    /// `[[deployments]]`, and the keys of `[platform]` for the control plane.
    pub control: ControlConfig,
    /// The keys of `[platform]` for the data plane.
    pub serving: ServingConfig,
    /// File for the first administrator's key; `None`: no key is created at start.
    pub admin_key_file: Option<PathBuf>,
    /// `[jobs]`; `None`: jobs are disabled.
    pub jobs: Option<JobsSettings>,
    /// `[client]`: commands that call a server.
    pub client: ClientConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// `[traces]`; `None`: no traces are sent.
    pub traces: Option<TracesConfig>,
}

/// The gateway.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Address to listen on; port 0 selects a free port.
    pub listen: SocketAddr,
    /// Whether the server may listen on an address other than loopback without keys.
    pub allow_insecure_public: bool,
    /// Largest body of one document, and of one file of a batch.
    pub body_bytes_max: u64,
    /// Maximum time to receive the head of a request.
    pub header_timeout: Duration,
    /// Maximum time without progress while a body is received or a response is sent.
    pub body_idle_timeout: Duration,
    /// Minimum rate of a body while the server waits for it, and of a response while the server waits to send it.
    pub transfer_rate_min: Rate,
    /// Default and maximum deadline of a request.
    pub request_timeout: Duration,
    /// Private address that serves metrics with tenant labels without a key; `None`: there is none.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether requests are traced (`[traces]`).
    pub traced: bool,
    /// Whether `/metrics`, `/readyz` and the pages about the API are served on `metrics_listen` alone.
    pub private_operations: bool,
    /// The certificate of the server; `None`: it speaks plain HTTP.
    pub tls: Option<ServerTlsFiles>,
    /// Addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<AddressRange>,
    /// Maximum number of connections.
    pub connections_max: usize,
    /// Maximum number of connections of one client address.
    pub connections_per_address_max: usize,
    /// Maximum number of files in a batch.
    pub batch_files_max: usize,
    /// Maximum time that a shutdown waits for documents in flight.
    pub drain_timeout: Duration,
    /// `[compat]`: the APIs of other software.
    pub compat: CompatConfig,
}

/// The files of the server's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsFiles {
    /// The certificate, and those between it and the authority, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// Authorities of client certificates; `None`: clients need none.
    pub client_ca: Option<PathBuf>,
}

/// The TLS of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Authorities beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Certificate and private key, for servers that require them.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A minimum rate of a transfer.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Bytes per second; 0: any rate.
    pub bytes_per_s: u64,
    /// The time over which the rate is measured.
    pub window: Duration,
}

/// Inference.
#[derive(Clone, Debug)]
pub struct EnginesConfig {
    /// Provider preference list: `auto`, `openvino/bf16`, `cuda:0`, ...
    pub providers: Vec<String>,
    /// `auto`, and hidden processor features: `-avx512_bf16`, ...
    pub cpu_features: Vec<String>,
    /// Provider preference lists of single models.
    pub model_providers: BTreeMap<ModelName, Vec<String>>,
    /// Path of `libonnxruntime.so`.
    pub library: PathBuf,
    /// Path of the ONNX Runtime with GPU providers, set even if no GPU is configured.
    pub gpu_library: PathBuf,
    /// Folder with OpenVINO.
    pub openvino_dir: PathBuf,
    /// Folder with libtesseract and its language data.
    pub tesseract_dir: PathBuf,
    /// Folders with CUDA and TensorRT.
    pub gpu_dirs: Vec<PathBuf>,
    /// Folder of the model catalog.
    pub models_dir: PathBuf,
    /// Folder of an operator's own models.
    pub own_models_dir: PathBuf,
    /// Folder of built engines.
    pub cache_dir: PathBuf,
    /// Maximum size of the engine cache; 0: no limit.
    pub cache_bytes_max: u64,
    /// Whether missing engines are built in the background.
    pub build: bool,
    /// Maximum time of one build.
    pub build_timeout: Duration,
    /// Maximum device memory of one session; 0: no limit.
    pub gpu_memory_bytes_max: u64,
    /// CPU threads for inference.
    pub threads: usize,
    /// Maximum number of runs that wait for one model.
    pub queue_items_max: usize,
}

/// Render workers.
#[derive(Clone, Debug)]
pub struct DocumentsConfig {
    /// Folder with `libpdfium.so`.
    pub pdfium_dir: PathBuf,
    /// Number of worker processes that one tenant may use.
    pub workers: usize,
    /// Number of further worker processes, for tenants that hold none.
    pub reserve_workers: usize,
    /// Maximum time to open a document.
    pub open_timeout: Duration,
    /// Maximum time to read the text layer of a page.
    pub text_timeout: Duration,
    /// Maximum time to render a page.
    pub render_timeout: Duration,
    /// Maximum computing time to open a document.
    pub open_cpu: Duration,
    /// Maximum computing time for one request on a page: its pixels, text or size.
    pub page_cpu: Duration,
    /// The consequence of an incomplete sandbox, of render workers and of the component compiler.
    pub sandbox: SandboxPolicy,
    /// Memory limit of one worker.
    pub worker_memory_bytes: u64,
    /// Maximum number of pixels of an image file.
    pub image_pixels_max: u64,
    /// Maximum number of pages of a document.
    pub pages_max: u32,
    /// Maximum number of characters in the text layer of a page.
    pub text_characters_max: u32,
    /// Maximum number of words in the text layer of a page.
    pub text_words_max: u32,
}

/// The sandbox.
#[derive(Clone, Debug)]
pub struct GuestsConfig {
    /// Folder of compiled guests; `None`: they are not kept.
    pub code_cache_dir: Option<PathBuf>,
    /// Maximum size of the code cache; 0: no limit.
    pub code_cache_bytes_max: u64,
    /// Processor time to compile a component, over all threads.
    pub compile_cpu: Duration,
    /// Wall-clock time to compile a component.
    pub compile_timeout: Duration,
    /// Address-space limit of the compiler process.
    pub compile_memory_bytes: u64,
    /// Maximum number of guest instances.
    pub instances_max: u32,
    /// Maximum linear memory that a budget may give.
    pub memory_bytes_max: u64,
}

/// Jobs.
#[derive(Clone, Debug)]
pub struct JobsSettings {
    /// The work on jobs.
    pub config: JobsConfig,
    /// Folder of jobs, in the data folder.
    pub dir: PathBuf,
    /// Free bytes of the disk below which new jobs are refused.
    pub disk_free_bytes_min: u64,
}

/// Configuration of commands that call a server.
#[derive(Clone)]
pub struct ClientConfig {
    /// Address of the server, without a trailing slash.
    pub server: String,
    /// API key; `None`: the server has no keys.
    pub key: Option<String>,
    /// Tenant for which an administrator acts.
    pub tenant: Option<String>,
    /// TLS, where the address is one of https.
    pub tls: ClientTls,
    /// The sources of these values, for messages.
    pub origins: ClientOrigins,
}

/// The sources of the values of a [`ClientConfig`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOrigins {
    /// Of the address.
    pub server: Origin,
    /// Of the key.
    pub key: Origin,
    /// Of the tenant.
    pub tenant: Origin,
}

impl std::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Filter: `info`, `lector=debug,warn`, ...
    pub filter: String,
    /// Format of the events.
    pub format: LogFormat,
}

/// Where traces are sent.
#[derive(Clone, Debug)]
pub struct TracesConfig {
    /// Base URL of the collector (OTLP over HTTP).
    pub endpoint: String,
    /// Part of the requests that are traced, 0 to 1; a client that sends a trace context decides for its own.
    pub sample_ratio: f64,
}

/// The consequence of a sandbox that the kernel does not support completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxPolicy {
    /// The server does not start.
    Enforce,
    /// The server starts, logs what is missing, and shows it in `/readyz`.
    Warn,
}

/// Format of log events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
