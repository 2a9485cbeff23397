//! The checks of `lector doctor`: what a server with this configuration needs from the machine.
//!
//! Each check gives a finding; one that is not good says what to do. Nothing is changed. Checks that start a part of the
//! server (engines, a render worker) are in `app`.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::app;
use crate::config::{Config, archive_dir};
use crate::{descriptors, tls};

/// Free bytes of a disk below which a finding warns: the engines of all models, and the documents of a busy day.
const DISK_FREE_BYTES: u64 = 5 << 30;
/// Memory below which a finding warns: the default models on one engine need 0.9 GiB, OpenVINO 1.3 GiB.
const MEMORY_BYTES: u64 = 2 << 30;

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// The server starts, with a disadvantage.
    Warning,
    /// The server does not start, or cannot read documents.
    Failure,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub subject: &'static str,
    /// How good it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do; `None` where there is nothing to do.
    pub action: Option<String>,
}

fn ok(subject: &'static str, found: impl Into<String>) -> Finding {
    Finding { subject, level: Level::Ok, found: found.into(), action: None }
}

fn warning(subject: &'static str, found: impl Into<String>, action: impl Into<String>) -> Finding {
    Finding { subject, level: Level::Warning, found: found.into(), action: Some(action.into()) }
}

fn failure(subject: &'static str, found: impl Into<String>, action: impl Into<String>) -> Finding {
    Finding { subject, level: Level::Failure, found: found.into(), action: Some(action.into()) }
}

/// Runs all checks.
pub async fn findings(config: &Config) -> Vec<Finding> {
    let mut found = vec![installation()];
    found.extend(engines(config).await);
    found.push(sandbox(config).await);
    found.extend([guests(config), processor(config), gpu(config), memory(), limits(config)]);
    found.extend(folders(config));
    found.extend([port("http.listen", config.http.listen), access(config), certificate(config), clock()]);
    if let Some(listen) = config.http.metrics_listen {
        found.push(port("http.metrics_listen", listen));
    }
    found
}

fn installation() -> Finding {
    let program = std::env::current_exe().unwrap_or_default();
    match archive_dir() {
        Some(dir) => ok("installation", format!("an unpacked archive in {}", dir.display())),
        None => ok("installation", format!("{}; libraries are in the cache", program.display())),
    }
}

/// Libraries, weights, and whether the engines start with them.
async fn engines(config: &Config) -> Vec<Finding> {
    if let Some(missing) = app::missing_for_reading(config) {
        let (found, action) = missing.split_once("; ").unwrap_or((&missing, "see deploy/README.md"));
        return vec![failure("libraries and models", found, action)];
    }
    let models = app::models(&config.engines).map_or(0, |models| models.len());
    let files =
        ok("libraries and models", format!("ONNX Runtime, pdfium, and the weights of {models} models"));
    let started = match app::try_engines(config).await {
        Ok(variants) => ok("engines", variants),
        Err(error) => failure(
            "engines",
            format!("{error:#}"),
            "check engines.providers and the libraries it names; `engines.providers = [\"cpu\"]` needs ONNX Runtime alone",
        ),
    };
    vec![files, started]
}

async fn sandbox(config: &Config) -> Finding {
    match app::try_render_worker(config).await {
        Ok((report, missing)) if missing.is_empty() => ok("sandbox", report),
        Ok((_, missing)) => warning(
            "sandbox",
            format!("render workers run without: {}", missing.join(", ")),
            "use a kernel with landlock and seccomp (Linux 5.13 or newer), or a container that permits them",
        ),
        Err(error) => failure(
            "sandbox",
            format!("{error:#}"),
            "if a layer of the sandbox is missing: use a kernel with landlock and seccomp (Linux 5.13 or newer), or accept the \
             risk with documents.sandbox = \"warn\"",
        ),
    }
}

fn guests(config: &Config) -> Finding {
    let missing: Vec<String> = config
        .control
        .deployments
        .iter()
        .filter(|deployment| !deployment.component.is_file())
        .map(|deployment| format!("{} ({})", deployment.name, deployment.component.display()))
        .collect();
    if missing.is_empty() {
        return ok("guests", format!("the components of {} deployments", config.control.deployments.len()));
    }
    let action = match archive_dir() {
        Some(_) => app::how_to_install(),
        None => "run `cargo xtask guests`, or name the components in [[deployments]]".to_owned(),
    };
    failure("guests", format!("no component for {}", missing.join(", ")), action)
}

fn processor(config: &Config) -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let bf16 = std::arch::is_x86_feature_detected!("avx512bf16");
    let features = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512_bf16", bf16),
    ];
    let names: Vec<&str> = features.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    let found = format!("{cores} cores, {}", names.join(", "));
    let (_, avx2) = features[0];
    if !avx2 {
        return warning(
            "processor",
            found,
            "use a processor with AVX2: without it a page takes several times as long",
        );
    }
    if bf16 && config.engines.cpu_features.iter().any(|word| word.starts_with("-avx512")) {
        return warning(
            "processor",
            found,
            "engines.cpu_features hides avx512: remove it to compute in bf16",
        );
    }
    ok("processor", found)
}

fn gpu(config: &Config) -> Finding {
    let present = Path::new("/dev/nvidiactl").exists();
    let wanted =
        config.engines.providers.iter().any(|word| word.starts_with("cuda") || word.starts_with("tensorrt"));
    match (present, wanted) {
        (false, false) => ok("GPU", "none, and none is configured"),
        (true, true) => ok("GPU", "present and configured; `lector engines preflight` checks its libraries"),
        (true, false) => warning(
            "GPU",
            "present, and not used",
            "run `lector engines preflight`, and set engines.providers, e.g. [\"cuda:0\", \"cpu\"]",
        ),
        (false, true) => failure(
            "GPU",
            "engines.providers names one, and there is no NVIDIA device",
            "install the driver, pass the device to the container, or remove it from engines.providers",
        ),
    }
}

fn memory() -> Finding {
    let bytes = crate::config::machine_memory();
    let found = format!("{:.1} GiB for this process", bytes as f64 / f64::from(1 << 30));
    if bytes < MEMORY_BYTES {
        let action =
            "give the server 2 GiB, or use the deployment standard-tiny with engines.providers = [\"cpu\"]";
        return warning("memory", found, action);
    }
    ok("memory", found)
}

fn limits(config: &Config) -> Finding {
    let files = descriptors::raise();
    let (wanted, documents) = (config.http.connections_max, config.serving.documents_max);
    match descriptors::connections_within(files, wanted, documents) {
        Ok(connections) if connections >= wanted => {
            ok("limits", format!("{files} open files, for {connections} connections"))
        }
        Ok(connections) => warning(
            "limits",
            format!("{files} open files are enough for {connections} connections of {wanted}"),
            "raise the limit (`ulimit -n`, LimitNOFILE), or lower http.connections_max",
        ),
        Err(error) => {
            failure("limits", format!("{error}"), "raise the limit: `ulimit -n 65536`, LimitNOFILE=65536")
        }
    }
}

/// The data folder and the caches: whether this user may write there, and the free space.
fn folders(config: &Config) -> Vec<Finding> {
    let data = config.control.data_dir.clone();
    let code = config.guests.code_cache_dir.clone();
    let named = [
        ("data folder", "platform.data_dir", data),
        ("engine cache", "engines.cache_dir", Some(config.engines.cache_dir.clone())),
        ("code cache", "guests.code_cache_dir", code),
    ];
    named.into_iter().filter_map(|(subject, key, dir)| Some(folder(subject, key, &dir?))).collect()
}

fn folder(subject: &'static str, key: &str, dir: &Path) -> Finding {
    let exists = existing(dir);
    let writable = rustix::fs::access(&exists, rustix::fs::Access::WRITE_OK).is_ok();
    if !writable {
        let action = format!("let this user write there, or set {key} to another folder");
        return failure(subject, format!("{} cannot be written", exists.display()), action);
    }
    let free = rustix::fs::statvfs(&exists).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    match free {
        Ok(free) if free < DISK_FREE_BYTES => warning(
            subject,
            format!("{}: {:.1} GB free", dir.display(), free as f64 / 1e9),
            format!("free some space, or set {key} to a folder on another disk"),
        ),
        Ok(free) => ok(subject, format!("{}: {:.1} GB free", dir.display(), free as f64 / 1e9)),
        Err(error) => warning(subject, format!("{}: {error}", dir.display()), format!("check {key}")),
    }
}

/// Returns the nearest folder that exists: the server creates the rest.
fn existing(dir: &Path) -> PathBuf {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    dir.ancestors().find(|dir| dir.exists()).map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

fn port(key: &'static str, listen: SocketAddr) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => ok(key, format!("{listen} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => warning(
            key,
            format!("{listen} is in use"),
            format!(
                "if it is not a running Lector (`lector healthcheck http://{listen}`), set {key} to another address"
            ),
        ),
        Err(error) => {
            failure(key, format!("{listen}: {error}"), format!("set {key} to an address of this machine"))
        }
    }
}

fn access(config: &Config) -> Finding {
    let loopback = config.http.listen.ip().is_loopback();
    match (loopback, config.http.allow_insecure_public) {
        (true, _) => ok("access", "only programs on this machine reach the server"),
        (false, true) => warning(
            "access",
            "other machines reach the server, and without keys they may use it (http.allow_insecure_public)",
            "create keys: `lector init`, or platform.admin_key_file",
        ),
        (false, false) => ok("access", "other machines reach the server, and need a key"),
    }
}

fn certificate(config: &Config) -> Finding {
    let Some(files) = &config.http.tls else {
        if config.http.listen.ip().is_loopback() {
            return ok("TLS", "none: the address is reached from this machine alone");
        }
        return warning(
            "TLS",
            "none: keys and documents are sent in plain text",
            "set http.tls_certificate_file and http.tls_key_file, or put a proxy with TLS in front",
        );
    };
    match tls::ServerTls::load(files.clone()) {
        Ok(_) => ok("TLS", format!("the certificate {}", files.certificate.display())),
        Err(error) => {
            failure("TLS", format!("{error:#}"), "check http.tls_certificate_file and http.tls_key_file")
        }
    }
}

/// Quotas, expiry and certificates go by the clock, which cannot be behind the program's own files.
fn clock() -> Finding {
    let program = std::env::current_exe().and_then(std::fs::metadata).and_then(|meta| meta.modified());
    let ahead = program.ok().and_then(|built| built.duration_since(SystemTime::now()).ok());
    match ahead {
        Some(ahead) if ahead > Duration::from_secs(3600) => warning(
            "clock",
            format!("the clock is {} hours behind the time of the program's file", ahead.as_secs() / 3600),
            "set the clock: `timedatectl set-ntp true`",
        ),
        _ => ok("clock", "not behind the files of the program"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_port_in_use_and_a_foreign_address_are_told_apart() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let found = port("http.listen", address);
        assert_eq!(found.level, Level::Warning);
        assert!(found.action.unwrap().contains("healthcheck"));
        // TEST-NET-1 is no address of any machine.
        let found = port("http.listen", "192.0.2.1:0".parse().unwrap());
        assert_eq!(found.level, Level::Failure, "{found:?}");
    }

    #[test]
    fn a_folder_that_does_not_exist_is_looked_at_where_it_would_be_created() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("a/b");
        assert_eq!(existing(&inside), dir.path());
        let found = folder("data folder", "platform.data_dir", &inside);
        assert_ne!(found.level, Level::Failure, "{found:?}");
        assert!(found.found.contains("a/b"), "{found:?}");
    }
}
