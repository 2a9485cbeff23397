//! The configuration as written: one field per key, with its default. An empty path or a 0, where documented, means
//! that `validate` determines the value.

use std::collections::BTreeMap;

use lector_control::BudgetSpec;
use serde::{Deserialize, Serialize};

use super::{LogFormat, SandboxPolicy};

/// The whole file. The order of the fields is the order of the output of `lector config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    pub http: RawHttp,
    pub engines: RawEngines,
    pub documents: RawDocuments,
    pub guests: RawGuests,
    pub platform: RawPlatform,
    pub jobs: RawJobs,
    pub log: RawLog,
    pub traces: RawTraces,
    pub client: RawClient,
    pub compat: RawCompat,
    pub deployments: Vec<RawDeployment>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawHttp {
    pub listen: String,
    pub allow_insecure_public: bool,
    pub metrics_listen: String,
    pub private_operations: bool,
    pub tls_certificate_file: String,
    pub tls_key_file: String,
    pub tls_client_ca_file: String,
    pub trusted_proxies: Vec<String>,
    pub body_bytes_max: u64,
    pub header_timeout_s: u64,
    pub body_idle_timeout_s: u64,
    pub transfer_bytes_per_s_min: u64,
    pub transfer_window_s: u64,
    pub request_timeout_s: u64,
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub batch_files_max: usize,
    pub drain_timeout_s: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawEngines {
    pub providers: Vec<String>,
    pub cpu_features: Vec<String>,
    pub library: String,
    pub openvino_dir: String,
    pub tesseract_dir: String,
    pub gpu_dirs: Vec<String>,
    pub models_dir: String,
    pub own_models_dir: String,
    pub cache_dir: String,
    pub cache_bytes_max: u64,
    pub build: bool,
    pub build_timeout_s: u64,
    pub gpu_memory_bytes_max: u64,
    pub threads: usize,
    pub queue_items_max: usize,
    /// By model name; the one table whose keys are names of the catalog.
    pub model_providers: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDocuments {
    pub pdfium_dir: String,
    pub workers: usize,
    pub reserve_workers: usize,
    pub open_timeout_s: u64,
    pub text_timeout_s: u64,
    pub render_timeout_s: u64,
    pub open_cpu_s: u64,
    pub page_cpu_s: u64,
    pub sandbox: SandboxPolicy,
    pub worker_memory_bytes: u64,
    pub image_pixels_max: u64,
    pub pages_max: u32,
    pub text_characters_max: u32,
    pub text_words_max: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawGuests {
    pub code_cache: bool,
    pub code_cache_dir: String,
    pub code_cache_bytes_max: u64,
    pub compile_cpu_s: u64,
    pub compile_timeout_s: u64,
    pub compile_memory_bytes: u64,
    pub instances_max: u32,
    pub memory_bytes_max: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPlatform {
    pub data_dir: String,
    pub admin_key_file: String,
    pub tenant: String,
    pub default_deployment: String,
    pub documents_max: usize,
    pub wait_max_s: u64,
    pub pages_in_flight_max: usize,
    pub pages_per_document_max: u32,
    pub held_bytes_max: u64,
    pub tenant_held_bytes_max: u64,
    pub tenant_uploads_max: u64,
    pub tenant_images_bytes_max: u64,
    pub document_result_bytes_max: u64,
    pub tenant_revisions_max: u64,
    pub tenant_stored_bytes_max: u64,
    pub engine_idle_ttl_s: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawJobs {
    pub enabled: bool,
    pub running_max: usize,
    pub tenant_running_max: u32,
    pub pages_per_turn: u32,
    pub pages_per_document_max: u32,
    pub attempts_max: u32,
    pub lease_s: u64,
    pub turn_timeout_s: u64,
    pub retention_s: u64,
    pub retention_max_s: u64,
    pub tenant_jobs_max: u64,
    pub tenant_bytes_max: u64,
    pub disk_free_bytes_min: u64,
    pub webhook_attempts_max: u32,
    pub webhook_timeout_s: u64,
    pub webhook_addresses: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLog {
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTraces {
    pub endpoint: String,
    pub sample_ratio: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawClient {
    pub server: String,
    pub key: String,
    pub tenant: String,
    pub tls_ca_file: String,
    pub tls_certificate_file: String,
    pub tls_key_file: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCompat {
    pub mistral: bool,
    pub openwebui: bool,
    pub docling: bool,
    pub azure: bool,
    pub paddleocr: bool,
    pub openinference: bool,
    pub mcp: bool,
    pub public_url: String,
    pub ttl_s: u64,
    pub tenant_files_bytes_max: u64,
    pub models: RawCompatModels,
}

/// By the name of the client's model: tables whose keys are free.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCompatModels {
    pub mistral: BTreeMap<String, String>,
    pub openwebui: BTreeMap<String, String>,
    pub docling: BTreeMap<String, String>,
    pub azure: BTreeMap<String, String>,
    pub paddleocr: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDeployment {
    pub name: String,
    pub component: String,
    #[serde(default)]
    pub wraps: String,
    #[serde(default)]
    pub settings: toml::Table,
    #[serde(default)]
    pub grants: BTreeMap<String, String>,
    #[serde(default)]
    pub budget: BudgetSpec,
}

/// Aliases that the guests of this repository open, and their catalog models.
const GRANTS: [(&str, &str); 7] = [
    ("detection", "pp-ocrv6-small-det"),
    ("recognition", "pp-ocrv6-small-rec"),
    ("detection-tiny", "pp-ocrv6-tiny-det"),
    ("recognition-tiny", "pp-ocrv6-tiny-rec"),
    ("textline-orientation", "textline-orientation"),
    ("page-orientation", "page-orientation"),
    ("scripts", "tesseract"),
];

impl RawDeployment {
    /// Returns the deployment of a guest that reads pages with the standard steps itself.
    fn built_in(name: &str, component: &str, settings: toml::Table) -> Self {
        Self {
            name: name.to_owned(),
            component: format!("guest/target/components/{component}.wasm"),
            wraps: String::new(),
            settings,
            grants: GRANTS.map(|(alias, model)| (alias.to_owned(), model.to_owned())).into(),
            budget: BudgetSpec::default(),
        }
    }

    /// Returns the deployment of a guest that wraps the built-in deployment `wraps`, which opens the models.
    fn wrapper(name: &str, wraps: &str) -> Self {
        Self {
            wraps: wraps.to_owned(),
            grants: BTreeMap::new(),
            ..Self::built_in(name, name, toml::Table::new())
        }
    }
}

impl Default for RawConfig {
    fn default() -> Self {
        let tiny = toml::Table::from_iter([("tier".to_owned(), "tiny".into())]);
        Self {
            http: RawHttp {
                listen: "127.0.0.1:8080".to_owned(),
                allow_insecure_public: false,
                metrics_listen: String::new(),
                private_operations: false,
                tls_certificate_file: String::new(),
                tls_key_file: String::new(),
                tls_client_ca_file: String::new(),
                trusted_proxies: Vec::new(),
                body_bytes_max: 100 << 20,
                header_timeout_s: 10,
                body_idle_timeout_s: 20,
                transfer_bytes_per_s_min: 1024,
                transfer_window_s: 10,
                request_timeout_s: 300,
                connections_max: 1024,
                connections_per_address_max: 0,
                batch_files_max: 256,
                drain_timeout_s: 30,
            },
            engines: RawEngines {
                providers: vec!["auto".to_owned()],
                cpu_features: vec!["auto".to_owned()],
                library: String::new(),
                openvino_dir: String::new(),
                tesseract_dir: String::new(),
                gpu_dirs: vec![String::new()],
                models_dir: "models".to_owned(),
                own_models_dir: String::new(),
                cache_dir: String::new(),
                cache_bytes_max: 20 << 30,
                build: true,
                build_timeout_s: 3600,
                gpu_memory_bytes_max: 0,
                threads: 0,
                queue_items_max: 256,
                model_providers: BTreeMap::new(),
            },
            documents: RawDocuments {
                pdfium_dir: String::new(),
                workers: 0,
                reserve_workers: 1,
                open_timeout_s: 30,
                text_timeout_s: 15,
                render_timeout_s: 30,
                open_cpu_s: 10,
                page_cpu_s: 15,
                sandbox: SandboxPolicy::Enforce,
                worker_memory_bytes: 2 << 30,
                image_pixels_max: 120_000_000,
                pages_max: 20_000,
                text_characters_max: 250_000,
                text_words_max: 60_000,
            },
            guests: RawGuests {
                code_cache: true,
                code_cache_dir: String::new(),
                code_cache_bytes_max: 2 << 30,
                compile_cpu_s: 120,
                compile_timeout_s: 600,
                compile_memory_bytes: 4 << 30,
                instances_max: 0,
                memory_bytes_max: 512 << 20,
            },
            platform: RawPlatform {
                data_dir: String::new(),
                admin_key_file: String::new(),
                tenant: "default".to_owned(),
                default_deployment: "standard".to_owned(),
                documents_max: 64,
                wait_max_s: 60,
                pages_in_flight_max: 0,
                pages_per_document_max: 5_000,
                held_bytes_max: 1 << 30,
                tenant_held_bytes_max: 256 << 20,
                tenant_uploads_max: 64,
                tenant_images_bytes_max: 0,
                document_result_bytes_max: 128 << 20,
                tenant_revisions_max: 1000,
                tenant_stored_bytes_max: 1 << 30,
                engine_idle_ttl_s: 60,
            },
            jobs: RawJobs {
                enabled: true,
                running_max: 4,
                tenant_running_max: 2,
                pages_per_turn: 32,
                pages_per_document_max: 20_000,
                attempts_max: 5,
                lease_s: 60,
                turn_timeout_s: 300,
                retention_s: 24 * 3600,
                retention_max_s: 30 * 24 * 3600,
                tenant_jobs_max: 1000,
                tenant_bytes_max: 10 << 30,
                disk_free_bytes_min: 1 << 30,
                webhook_attempts_max: 8,
                webhook_timeout_s: 10,
                webhook_addresses: Vec::new(),
            },
            client: RawClient {
                server: "http://127.0.0.1:8080".to_owned(),
                key: String::new(),
                tenant: String::new(),
                tls_ca_file: String::new(),
                tls_certificate_file: String::new(),
                tls_key_file: String::new(),
            },
            compat: RawCompat {
                mistral: true,
                openwebui: true,
                docling: true,
                azure: true,
                paddleocr: true,
                openinference: true,
                mcp: true,
                public_url: String::new(),
                ttl_s: 3600,
                tenant_files_bytes_max: 128 << 20,
                models: RawCompatModels::default(),
            },
            log: RawLog { filter: "info".to_owned(), format: LogFormat::Text },
            traces: RawTraces { endpoint: String::new(), sample_ratio: 1.0 },
            deployments: vec![
                RawDeployment::built_in("standard", "standard", toml::Table::new()),
                RawDeployment::built_in("standard-tiny", "standard", tiny),
                RawDeployment::wrapper("redact", "standard"),
            ],
        }
    }
}
