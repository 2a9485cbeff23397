//! Validates the raw configuration and resolves zeros and empty paths.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lector_control::{ControlConfig, DeploymentConfig, StorageLimits, is_name};
use lector_core::{DeploymentName, ModelName, TenantName};
use lector_jobs::{AddressRange, EgressPolicy, JobsConfig, WebhookConfig};
use lector_serving::ServingConfig;

use super::error::ConfigError;
use super::layers::Effective;
use super::raw::RawDeployment;
use super::{
    ClientConfig, ClientOrigins, ClientTls, CompatConfig, Config, Dialect, DocumentsConfig, EnginesConfig,
    GuestsConfig, HttpConfig, JobsSettings, LogConfig, Rate, ServerTlsFiles, TracesConfig, env, paths,
};

/// Default of `guests.instances_max`; each instance reserves address space, not memory.
const INSTANCES_MIN: usize = 64;

/// Validates the effective configuration for this machine.
pub(super) fn raise(effective: &Effective) -> Result<Config, ConfigError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let check = Check { effective };
    let mut guests = guests(effective, &check)?;
    let control = control(effective, &check, guests.memory_bytes_max)?;
    let serving = serving(effective, &check, cores)?;
    // An instance for every page in flight, as many for tenants beyond the bound, the readiness check, a summary, and
    // `configure`.
    let needed = serving.pages_in_flight_max.saturating_mul(2).saturating_add(4);
    match guests.instances_max as usize {
        0 => guests.instances_max = u32::try_from(needed.max(INSTANCES_MIN)).unwrap_or(u32::MAX),
        given if given < needed => {
            let problem = format!(
                "is {given}, but at least {needed} is required: 2 * platform.pages_in_flight_max + 4"
            );
            return Err(check.wrong("guests.instances_max", &problem));
        }
        _ => {}
    }
    let raw = &effective.raw;
    if raw.log.filter.parse::<tracing_subscriber::filter::EnvFilter>().is_err() {
        return Err(check.wrong("log.filter", "is not a filter: write it like `info` or `lector=debug,warn`"));
    }
    Ok(Config {
        http: http(effective, &check)?,
        engines: engines(effective, &check, cores)?,
        documents: documents(effective, &check, cores)?,
        guests,
        control,
        serving,
        jobs: jobs(effective, &check)?,
        client: client(effective, &check)?,
        admin_key_file: (!raw.platform.admin_key_file.is_empty())
            .then(|| raw.platform.admin_key_file.clone().into()),
        log: LogConfig { filter: raw.log.filter.clone(), format: raw.log.format },
        traces: traces(effective, &check)?,
    })
}

fn traces(effective: &Effective, check: &Check<'_>) -> Result<Option<TracesConfig>, ConfigError> {
    let raw = &effective.raw.traces;
    if !(0.0..=1.0).contains(&raw.sample_ratio) {
        return Err(check.wrong("traces.sample_ratio", "is not a part: write a number from 0 to 1"));
    }
    if raw.endpoint.is_empty() {
        return Ok(None);
    }
    let uri = raw.endpoint.parse::<axum::http::Uri>().ok();
    let scheme = uri.as_ref().and_then(|uri| uri.scheme_str());
    if !matches!(scheme, Some("http" | "https")) || uri.as_ref().is_none_or(|uri| uri.host().is_none()) {
        let problem = "is not the URL of a collector: write it like `http://127.0.0.1:4318`";
        return Err(check.wrong("traces.endpoint", problem));
    }
    Ok(Some(TracesConfig { endpoint: raw.endpoint.clone(), sample_ratio: raw.sample_ratio }))
}

fn http(effective: &Effective, check: &Check<'_>) -> Result<HttpConfig, ConfigError> {
    let raw = &effective.raw.http;
    let address = |key: &str, text: &str| -> Result<SocketAddr, ConfigError> {
        text.parse()
            .map_err(|_| check.wrong(key, "is not an address: write it like `127.0.0.1:8080` or `[::1]:0`"))
    };
    let metrics_listen = match raw.metrics_listen.as_str() {
        "" => None,
        text => Some(address("http.metrics_listen", text)?),
    };
    if raw.private_operations && metrics_listen.is_none() {
        return Err(check.wrong("http.private_operations", "needs an address: set http.metrics_listen"));
    }
    let connections_max = check.positive("http.connections_max", raw.connections_max)?;
    Ok(HttpConfig {
        listen: address("http.listen", &raw.listen)?,
        metrics_listen,
        traced: !effective.raw.traces.endpoint.is_empty(),
        private_operations: raw.private_operations,
        tls: server_tls(effective, check)?,
        trusted_proxies: ranges(check, "http.trusted_proxies", &raw.trusted_proxies)?,
        allow_insecure_public: raw.allow_insecure_public,
        body_bytes_max: check.positive("http.body_bytes_max", raw.body_bytes_max)?,
        header_timeout: check.seconds("http.header_timeout_s", raw.header_timeout_s)?,
        body_idle_timeout: check.seconds("http.body_idle_timeout_s", raw.body_idle_timeout_s)?,
        transfer_rate_min: Rate {
            // 0 is allowed: any rate.
            bytes_per_s: raw.transfer_bytes_per_s_min,
            window: check.seconds("http.transfer_window_s", raw.transfer_window_s)?,
        },
        request_timeout: check.seconds("http.request_timeout_s", raw.request_timeout_s)?,
        connections_max,
        connections_per_address_max: or(raw.connections_per_address_max, three_quarters(connections_max)),
        batch_files_max: check.positive("http.batch_files_max", raw.batch_files_max)?,
        // 0 is allowed: stop at once.
        drain_timeout: Duration::from_secs(check.at_most(
            "http.drain_timeout_s",
            raw.drain_timeout_s,
            SECONDS_MAX,
        )?),
        compat: compat(effective, check)?,
    })
}

/// Returns the files of the server's TLS. A certificate without its key is an error, and not a server without TLS.
fn server_tls(effective: &Effective, check: &Check<'_>) -> Result<Option<ServerTlsFiles>, ConfigError> {
    let raw = &effective.raw.http;
    let keys = ("http.tls_certificate_file", "http.tls_key_file");
    let pair = pair(check, keys, &raw.tls_certificate_file, &raw.tls_key_file)?;
    let client_ca = given(&raw.tls_client_ca_file).map(PathBuf::from);
    match pair {
        None if client_ca.is_some() => Err(check.wrong(
            "http.tls_client_ca_file",
            "needs a certificate of the server: set http.tls_certificate_file and http.tls_key_file",
        )),
        None => Ok(None),
        Some((certificate, key)) => Ok(Some(ServerTlsFiles { certificate, key, client_ca })),
    }
}

fn pair(
    check: &Check<'_>,
    (certificate_key, key_key): (&str, &str),
    certificate: &str,
    key: &str,
) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
    match (given(certificate), given(key)) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some((certificate.into(), key.into()))),
        (Some(_), None) => {
            Err(check.wrong(certificate_key, &format!("needs its private key: set {key_key}")))
        }
        (None, Some(_)) => {
            Err(check.wrong(key_key, &format!("needs its certificate: set {certificate_key}")))
        }
    }
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn ranges(check: &Check<'_>, key: &str, texts: &[String]) -> Result<Vec<AddressRange>, ConfigError> {
    let range = |text: &String| {
        AddressRange::parse(text).ok_or_else(|| {
            let problem =
                format!("has `{text}`, which is no address or range: write it like `10.1.0.0/16` or `::1`");
            check.wrong(key, &problem)
        })
    };
    texts.iter().map(range).collect()
}

fn compat(effective: &Effective, check: &Check<'_>) -> Result<CompatConfig, ConfigError> {
    let raw = &effective.raw.compat;
    let public_url = raw.public_url.trim_end_matches('/');
    if !public_url.is_empty() && !public_url.starts_with("http://") && !public_url.starts_with("https://") {
        return Err(check.wrong(
            "compat.public_url",
            "is not the address of a server: write it like `https://ocr.example.org`, or leave it empty",
        ));
    }
    let models = &raw.models;
    let dialects = [
        (Dialect::Mistral, raw.mistral, &models.mistral),
        (Dialect::OpenWebUi, raw.openwebui, &models.openwebui),
        (Dialect::Docling, raw.docling, &models.docling),
        (Dialect::Azure, raw.azure, &models.azure),
        (Dialect::PaddleOcr, raw.paddleocr, &models.paddleocr),
        // Its models are those of the catalog.
        (Dialect::OpenInference, raw.openinference, &BTreeMap::new()),
        // Its calls name deployments.
        (Dialect::Mcp, raw.mcp, &BTreeMap::new()),
    ];
    let mut named = BTreeMap::new();
    for (dialect, _, models) in dialects {
        for (model, deployment) in models {
            if !is_name(deployment) {
                let key = format!("compat.models.{}.{model}", dialect.name());
                let problem = format!("is `{deployment}`: use the name of a deployment (a-z, 0-9 and -)");
                return Err(check.wrong(&key, &problem));
            }
            named.insert((dialect, model.clone()), DeploymentName::from(deployment.as_str()));
        }
    }
    Ok(CompatConfig {
        enabled: dialects.iter().filter(|(_, on, _)| *on).map(|(dialect, ..)| *dialect).collect(),
        models: named,
        public_url: (!public_url.is_empty()).then(|| public_url.to_owned()),
        ttl: check.seconds("compat.ttl_s", raw.ttl_s)?,
        tenant_files_bytes_max: check
            .positive("compat.tenant_files_bytes_max", raw.tenant_files_bytes_max)?,
    })
}

/// Returns the default share of one client address: the rest is for others, such as probes.
fn three_quarters(connections_max: usize) -> usize {
    connections_max.saturating_sub(connections_max / 4).max(1)
}

fn client(effective: &Effective, check: &Check<'_>) -> Result<ClientConfig, ConfigError> {
    let raw = &effective.raw.client;
    if !raw.server.starts_with("http://") && !raw.server.starts_with("https://") {
        return Err(check.wrong(
            "client.server",
            "is not the address of a server: write it like `http://127.0.0.1:8080`",
        ));
    }
    let keys = ("client.tls_certificate_file", "client.tls_key_file");
    let tls = ClientTls {
        ca_file: given(&raw.tls_ca_file).map(PathBuf::from),
        identity: pair(check, keys, &raw.tls_certificate_file, &raw.tls_key_file)?,
    };
    Ok(ClientConfig {
        server: raw.server.trim_end_matches('/').to_owned(),
        key: given(&raw.key),
        tenant: given(&raw.tenant),
        tls,
        origins: ClientOrigins {
            server: effective.origin("client.server"),
            key: effective.origin("client.key"),
            tenant: effective.origin("client.tenant"),
        },
    })
}

fn engines(effective: &Effective, check: &Check<'_>, cores: usize) -> Result<EnginesConfig, ConfigError> {
    let raw = &effective.raw.engines;
    // A preference list with a GPU needs the library with GPU providers.
    let mut words = raw.providers.iter().chain(raw.model_providers.values().flatten());
    let gpu = words.any(|word| word.starts_with("cuda") || word.starts_with("tensorrt"));
    let library = if gpu { paths::ONNXRUNTIME_GPU } else { paths::ONNXRUNTIME };
    Ok(EnginesConfig {
        providers: raw.providers.clone(),
        cpu_features: raw.cpu_features.clone(),
        model_providers: raw
            .model_providers
            .iter()
            .map(|(model, words)| (ModelName::from(model.as_str()), words.clone()))
            .collect(),
        library: library_at(&raw.library, library)?,
        gpu_library: library_at(&raw.library, paths::ONNXRUNTIME_GPU)?,
        openvino_dir: library_at(&raw.openvino_dir, paths::OPENVINO_DIR)?,
        tesseract_dir: library_at(&raw.tesseract_dir, paths::TESSERACT_DIR)?,
        gpu_dirs: raw
            .gpu_dirs
            .iter()
            .map(|dir| library_at(dir, paths::CUDA_DIR))
            .collect::<Result<_, ConfigError>>()?,
        models_dir: paths::found(&raw.models_dir),
        own_models_dir: match raw.own_models_dir.as_str() {
            "" => data_dir(&effective.raw.platform.data_dir)?.join("models"),
            path => path.into(),
        },
        cache_dir: in_cache(&raw.cache_dir, paths::ENGINES_DIR)?,
        cache_bytes_max: raw.cache_bytes_max,
        build: raw.build,
        build_timeout: check.seconds("engines.build_timeout_s", raw.build_timeout_s)?,
        gpu_memory_bytes_max: raw.gpu_memory_bytes_max,
        threads: or(check.at_most("engines.threads", raw.threads, 1024)?, cores),
        queue_items_max: check.positive("engines.queue_items_max", raw.queue_items_max)?,
    })
}

fn documents(effective: &Effective, check: &Check<'_>, cores: usize) -> Result<DocumentsConfig, ConfigError> {
    let raw = &effective.raw.documents;
    Ok(DocumentsConfig {
        pdfium_dir: library_at(&raw.pdfium_dir, paths::PDFIUM_DIR)?,
        // Rendering takes a small part of the time of a page: half the cores are enough to keep inference busy. At
        // least two, so that one document opens while another renders.
        workers: or(check.at_most("documents.workers", raw.workers, 256)?, (cores / 2).clamp(2, 16)),
        reserve_workers: check.at_most("documents.reserve_workers", raw.reserve_workers, 256)?,
        open_timeout: check.seconds("documents.open_timeout_s", raw.open_timeout_s)?,
        text_timeout: check.seconds("documents.text_timeout_s", raw.text_timeout_s)?,
        render_timeout: check.seconds("documents.render_timeout_s", raw.render_timeout_s)?,
        open_cpu: check.seconds("documents.open_cpu_s", raw.open_cpu_s)?,
        page_cpu: check.seconds("documents.page_cpu_s", raw.page_cpu_s)?,
        sandbox: raw.sandbox,
        worker_memory_bytes: check.positive("documents.worker_memory_bytes", raw.worker_memory_bytes)?,
        image_pixels_max: check.positive("documents.image_pixels_max", raw.image_pixels_max)?,
        pages_max: check.positive("documents.pages_max", raw.pages_max)?,
        text_characters_max: check.positive("documents.text_characters_max", raw.text_characters_max)?,
        text_words_max: check.at_most(
            "documents.text_words_max",
            check.positive("documents.text_words_max", raw.text_words_max)?,
            TEXT_WORDS_MAX,
        )?,
    })
}

fn guests(effective: &Effective, check: &Check<'_>) -> Result<GuestsConfig, ConfigError> {
    let raw = &effective.raw.guests;
    let code_cache_dir =
        raw.code_cache.then(|| in_cache(&raw.code_cache_dir, paths::CODE_DIR)).transpose()?;
    Ok(GuestsConfig {
        code_cache_dir,
        code_cache_bytes_max: raw.code_cache_bytes_max,
        compile_cpu: check.seconds("guests.compile_cpu_s", raw.compile_cpu_s)?,
        compile_timeout: check.seconds("guests.compile_timeout_s", raw.compile_timeout_s)?,
        compile_memory_bytes: check.positive("guests.compile_memory_bytes", raw.compile_memory_bytes)?,
        instances_max: raw.instances_max,
        memory_bytes_max: check.positive("guests.memory_bytes_max", raw.memory_bytes_max)?,
    })
}

fn serving(effective: &Effective, check: &Check<'_>, cores: usize) -> Result<ServingConfig, ConfigError> {
    let raw = &effective.raw.platform;
    Ok(ServingConfig {
        documents_max: check.positive("platform.documents_max", raw.documents_max)?,
        wait_max: check.seconds("platform.wait_max_s", raw.wait_max_s)?,
        // Two more than cores: the engines stay busy while some pages render or compute in their guests.
        pages_in_flight_max: or(
            check.at_most("platform.pages_in_flight_max", raw.pages_in_flight_max, 4096)?,
            cores + 2,
        ),
        pages_per_document_max: check
            .positive("platform.pages_per_document_max", raw.pages_per_document_max)?,
        held_bytes_max: check.positive("platform.held_bytes_max", raw.held_bytes_max)?,
        tenant_held_bytes_max: check.positive("platform.tenant_held_bytes_max", raw.tenant_held_bytes_max)?,
        tenant_uploads_max: check.positive("platform.tenant_uploads_max", raw.tenant_uploads_max)?,
        document_result_bytes_max: check
            .positive("platform.document_result_bytes_max", raw.document_result_bytes_max)?,
    })
}

fn control(
    effective: &Effective,
    check: &Check<'_>,
    memory_bytes_max: u64,
) -> Result<ControlConfig, ConfigError> {
    let raw = &effective.raw.platform;
    let deployments = &effective.raw.deployments;
    let mut names = BTreeSet::new();
    for (number, deployment) in deployments.iter().enumerate() {
        named(check, number, deployment)?;
        if !names.insert(deployment.name.as_str()) {
            return Err(check
                .wrong("deployments", &format!("names `{}` twice: names must be unique", deployment.name)));
        }
        if deployment.budget.memory_bytes > memory_bytes_max {
            return Err(check.wrong(
                "deployments",
                &format!(
                    "gives `{}` more memory than guests.memory_bytes_max, which is {memory_bytes_max}",
                    deployment.name
                ),
            ));
        }
    }
    if !names.contains(raw.default_deployment.as_str()) {
        let known: Vec<&str> = names.into_iter().collect();
        return Err(check.wrong(
            "platform.default_deployment",
            &format!("is `{}`, but the deployments are: {}", raw.default_deployment, known.join(", ")),
        ));
    }
    if !is_name(&raw.tenant) {
        return Err(check.wrong(
            "platform.tenant",
            "is not a valid name: use 1 to 63 of a-z, 0-9 and -, and not - first",
        ));
    }
    let data_dir = data_dir(&raw.data_dir)?;
    Ok(ControlConfig {
        data_dir: Some(data_dir),
        tenant: TenantName::from(raw.tenant.as_str()),
        deployments: deployments.iter().map(deployment).collect::<Result<_, _>>()?,
        default_deployment: DeploymentName::from(raw.default_deployment.as_str()),
        tenant_images_bytes_max: match raw.tenant_images_bytes_max {
            0 => (machine_memory() / 8).max(TENANT_IMAGES_BYTES_MIN),
            bytes => check.at_least("platform.tenant_images_bytes_max", bytes, 1 << 20)?,
        },
        tenant_storage: StorageLimits {
            revisions: check.positive("platform.tenant_revisions_max", raw.tenant_revisions_max)?,
            bytes: check.positive("platform.tenant_stored_bytes_max", raw.tenant_stored_bytes_max)?,
        },
        // 0 is allowed: unload at once.
        engine_idle_ttl: Duration::from_secs(check.at_most(
            "platform.engine_idle_ttl_s",
            raw.engine_idle_ttl_s,
            SECONDS_MAX,
        )?),
    })
}

fn jobs(effective: &Effective, check: &Check<'_>) -> Result<Option<JobsSettings>, ConfigError> {
    let raw = &effective.raw.jobs;
    // Seconds beyond a week: finished jobs may be kept for longer.
    let kept = |key: &str, value: u64| check.at_most(key, value, KEPT_MAX_S).map(Duration::from_secs);
    let retention_max = kept("jobs.retention_max_s", raw.retention_max_s)?;
    let config = JobsConfig {
        running_max: check
            .positive("jobs.running_max", check.at_most("jobs.running_max", raw.running_max, 1024)?)?,
        tenant_running_max: check.positive("jobs.tenant_running_max", raw.tenant_running_max)?,
        pages_per_turn: check.positive("jobs.pages_per_turn", raw.pages_per_turn)?,
        pages_per_document_max: check.positive("jobs.pages_per_document_max", raw.pages_per_document_max)?,
        attempts_max: check.positive("jobs.attempts_max", raw.attempts_max)?,
        lease: check.seconds("jobs.lease_s", raw.lease_s)?,
        turn_timeout: check.seconds("jobs.turn_timeout_s", raw.turn_timeout_s)?,
        retention: kept(
            "jobs.retention_s",
            check.at_most("jobs.retention_s", raw.retention_s, raw.retention_max_s)?,
        )?,
        retention_max,
        tenant_jobs_max: check.positive("jobs.tenant_jobs_max", raw.tenant_jobs_max)?,
        tenant_bytes_max: check.positive("jobs.tenant_bytes_max", raw.tenant_bytes_max)?,
        webhooks: WebhookConfig {
            attempts_max: check.positive("jobs.webhook_attempts_max", raw.webhook_attempts_max)?,
            timeout: check.seconds("jobs.webhook_timeout_s", raw.webhook_timeout_s)?,
            egress: EgressPolicy { allow: ranges(check, "jobs.webhook_addresses", &raw.webhook_addresses)? },
        },
    };
    let dir = data_dir(&effective.raw.platform.data_dir)?.join("jobs");
    Ok(raw.enabled.then_some(JobsSettings { config, dir, disk_free_bytes_min: raw.disk_free_bytes_min }))
}

/// Checks a name, which is used in request paths, logs and metrics.
fn named(check: &Check<'_>, number: usize, deployment: &RawDeployment) -> Result<(), ConfigError> {
    let name = &deployment.name;
    if is_name(name) {
        return Ok(());
    }
    let problem = format!("[{number}].name is `{name}`: use 1 to 63 of a-z, 0-9 and -, and not - first");
    Err(check.wrong("deployments", &problem))
}

fn deployment(raw: &RawDeployment) -> Result<DeploymentConfig, ConfigError> {
    let settings = serde_json::to_value(&raw.settings).map_err(|error| {
        ConfigError::Shape(format!(
            "the settings of deployment `{}` cannot be converted to JSON: {error}",
            raw.name
        ))
    })?;
    Ok(DeploymentConfig {
        name: DeploymentName::from(raw.name.as_str()),
        component: paths::found(&raw.component),
        settings,
        grants: raw
            .grants
            .iter()
            .map(|(alias, model)| (alias.clone(), ModelName::from(model.as_str())))
            .collect(),
        budget: raw.budget.into(),
        wraps: (!raw.wraps.is_empty()).then(|| DeploymentName::from(raw.wraps.as_str())),
    })
}

/// Returns `path`, or the default data folder.
fn data_dir(path: &str) -> Result<PathBuf, ConfigError> {
    if path.is_empty() { env::data_root() } else { Ok(path.into()) }
}

/// Returns `path`, or the location in the cache.
fn in_cache(path: &str, default: &str) -> Result<PathBuf, ConfigError> {
    if path.is_empty() { Ok(env::cache_root()?.join(default)) } else { Ok(paths::found(path)) }
}

/// Returns `path`, or the location of a library in the archive that this program belongs to, or else in the cache.
fn library_at(path: &str, default: &str) -> Result<PathBuf, ConfigError> {
    if !path.is_empty() {
        return Ok(paths::found(path));
    }
    match paths::archive().map(|dir| dir.join(default)).filter(|path| path.exists()) {
        Some(path) => Ok(path),
        None => in_cache("", default),
    }
}

fn or(value: usize, found_out: usize) -> usize {
    if value == 0 { found_out } else { value }
}

/// Minimum for the pixels and tensors of one page, on any machine.
const TENANT_IMAGES_BYTES_MIN: u64 = 1 << 30;

/// Returns the bytes of memory that the process may use: those of the machine, or of its cgroup.
pub fn machine_memory() -> u64 {
    let system = rustix::system::sysinfo();
    let machine = system.totalram.saturating_mul(u64::from(system.mem_unit));
    let cgroup = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let cgroup = cgroup.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    machine.min(cgroup)
}

/// Maximum number of words in a page's text layer: more do not fit into a message of a render worker.
const TEXT_WORDS_MAX: u32 = 500_000;

/// One week: a longer limit is assumed to be a mistake.
const SECONDS_MAX: u64 = 7 * 24 * 3600;

/// Ten years: longer than any archive of results should be on this disk.
const KEPT_MAX_S: u64 = 3653 * 24 * 3600;

/// Checks that report the source of a value.
struct Check<'a> {
    effective: &'a Effective,
}

impl Check<'_> {
    fn wrong(&self, key: &str, problem: &str) -> ConfigError {
        ConfigError::Value {
            key: key.to_owned(),
            origin: self.effective.origin(key),
            problem: problem.to_owned(),
        }
    }

    fn positive<T: PartialEq + Default>(&self, key: &str, value: T) -> Result<T, ConfigError> {
        if value == T::default() { Err(self.wrong(key, "must be 1 or more")) } else { Ok(value) }
    }

    fn at_least<T: PartialOrd + std::fmt::Display>(
        &self,
        key: &str,
        value: T,
        least: T,
    ) -> Result<T, ConfigError> {
        if value < least {
            Err(self.wrong(key, &format!("is {value}, but must be at least {least}")))
        } else {
            Ok(value)
        }
    }

    fn at_most<T: PartialOrd + std::fmt::Display>(
        &self,
        key: &str,
        value: T,
        most: T,
    ) -> Result<T, ConfigError> {
        if value > most {
            Err(self.wrong(key, &format!("is {value}, but must be at most {most}")))
        } else {
            Ok(value)
        }
    }

    fn seconds(&self, key: &str, value: u64) -> Result<Duration, ConfigError> {
        let value = self.positive(key, value)?;
        Ok(Duration::from_secs(self.at_most(key, value, SECONDS_MAX)?))
    }
}
