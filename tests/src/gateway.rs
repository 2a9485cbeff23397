//! A real gateway as a child process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::Answer;
use crate::{HANG, paths, process};

/// Limits concurrent gateways: each holds its engines in memory, and the machine may have two cores.
static ROOM: LazyLock<std::sync::Arc<Semaphore>> = LazyLock::new(|| std::sync::Arc::new(Semaphore::new(2)));

/// See [`GatewayBuilder::with_echo`].
const ECHO: &str = r#"
[platform]
default_deployment = "echo"
[[deployments]]
name = "echo"
component = "guest/target/components/echo.wasm"
"#;

/// See [`GatewayBuilder::with_tiny`].
const TINY: &str = r#"
[platform]
default_deployment = "tiny"
[[deployments]]
name = "tiny"
component = "guest/target/components/standard.wasm"
settings = { tier = "tiny", page_orientation = false, line_orientation = false }
[deployments.grants]
detection-tiny = "pp-ocrv6-tiny-det"
recognition-tiny = "pp-ocrv6-tiny-rec"
"#;

/// Settings that differ from the defaults.
#[derive(Default)]
pub struct GatewayBuilder {
    env: Vec<(String, String)>,
    config: Option<String>,
    /// Shell commands that run before the server.
    before: Vec<String>,
    args: Vec<String>,
    small_disk_mib: Option<u32>,
    authorities: Vec<rustls::pki_types::CertificateDer<'static>>,
    socket: Option<std::net::TcpListener>,
}

/// Returns whether this machine allows a file system in a mount namespace of its own.
pub fn can_mount() -> bool {
    let mounts = "mount -t tmpfs -o size=1m tmpfs /tmp";
    let tried = Command::new("unshare").args(NAMESPACE).args(["sh", "-c", mounts]).output();
    tried.is_ok_and(|output| output.status.success())
}

/// Arguments of `unshare` for a process with its own mounts.
const NAMESPACE: [&str; 3] = ["--user", "--map-root-user", "--mount"];

impl GatewayBuilder {
    /// Sets a configuration key, e.g. `http.body_bytes_max`, through the environment.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        let name = format!("LECTOR__{}", key.to_uppercase().replace('.', "__"));
        self.env.push((name, value.to_string()));
        self
    }

    /// Sets the configuration file.
    pub fn config(mut self, toml: impl Into<String>) -> Self {
        self.config = Some(toml.into());
        self
    }

    /// Configures the smallest guest alone, which needs no engine and is ready at once: for tests of everything around it.
    pub fn with_echo(self) -> Self {
        self.config(ECHO)
    }

    /// Configures the standard guest with the two smallest models alone: for tests that compare embedded text alone, or none.
    pub fn with_tiny(self) -> Self {
        self.config(TINY)
    }

    /// Makes the client of the tests trust an authority: for a server with TLS.
    pub fn trusting(mut self, authority: rustls::pki_types::CertificateDer<'static>) -> Self {
        self.authorities.push(authority);
        self
    }

    /// Adds an argument of `lector serve`.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Passes a listening socket to the server, as a service manager does.
    pub fn on_socket(mut self, socket: &std::net::TcpListener) -> Self {
        self.socket = Some(socket.try_clone().expect("a copy of the socket"));
        // The socket is the standard input of the shell; the server expects it as its first descriptor after the three.
        self.before.push("exec 3<&0 0</dev/null && export LISTEN_FDS=1".to_owned());
        self
    }

    /// Makes the server ignore a signal, given by its shell name.
    pub fn ignoring(mut self, signal: &'static str) -> Self {
        // A program inherits ignored signals from the shell.
        self.before.push(format!("trap '' {signal}"));
        self
    }

    /// Sets the hard and soft limit of open files, so that the server cannot raise it.
    pub fn open_files_max(mut self, most: u32) -> Self {
        self.before.push(format!("ulimit -n {most}"));
        self
    }

    /// Puts the data folder on a file system of this size; see [`can_mount`] and [`Gateway::data`].
    pub fn on_small_disk(mut self, mib: u32) -> Self {
        self.small_disk_mib = Some(mib);
        self
    }

    /// Starts the server and waits until it is ready.
    pub async fn start(self) -> Gateway {
        let gateway = self.spawn().await;
        gateway.answers("/readyz").await;
        gateway
    }

    /// Starts the server and waits until it responds: with a deployment that cannot read the smoke-test page it is
    /// never ready.
    pub async fn start_unready(self) -> Gateway {
        let gateway = self.spawn().await;
        gateway.answers("/healthz").await;
        gateway
    }

    async fn spawn(self) -> Gateway {
        let permit = ROOM.clone().acquire_owned().await.expect("never closed");
        let home = tempfile::tempdir().expect("a temporary folder");
        let port_file = home.path().join("port.json");
        let log = home.path().join("log.txt");
        let data = home.path().join("data");
        let mut command = match (self.small_disk_mib, &self.before[..]) {
            (Some(mib), _) => {
                let mounts =
                    "mkdir \"$0\" && mount -t tmpfs -o size=\"$1\"m tmpfs \"$0\" && shift && exec \"$@\"";
                let mut shell = Command::new("unshare");
                shell
                    .args(NAMESPACE)
                    .args(["sh", "-c", mounts])
                    .arg(&data)
                    .arg(mib.to_string())
                    .arg(paths::lector());
                shell
            }
            (None, []) => Command::new(paths::lector()),
            (None, before) => {
                let mut shell = Command::new("sh");
                shell
                    .arg("-c")
                    .arg(format!("{} && exec \"$0\" \"$@\"", before.join(" && ")))
                    .arg(paths::lector());
                shell
            }
        };
        command.arg("serve").args(["--listen", "127.0.0.1:0"]).arg("--port-file").arg(&port_file);
        command.args(&self.args);
        if let Some(toml) = &self.config {
            let file = home.path().join("lector.toml");
            std::fs::write(&file, toml).expect("write the configuration");
            command.arg("--config").arg(file);
        }
        let child = command
            // A data folder of its own: only one server may use a data folder at a time.
            .env("LECTOR__PLATFORM__DATA_DIR", &data)
            // The suite also runs where the kernel or the container lacks a layer; `sandbox` tests the layers.
            .env("LECTOR__DOCUMENTS__SANDBOX", "warn")
            .envs(self.env)
            .current_dir(paths::repo())
            .stdin(
                self.socket.map_or(Stdio::null(), |socket| Stdio::from(std::os::fd::OwnedFd::from(socket))),
            )
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a log file"))
            .spawn()
            .expect("lector starts");
        let mut gateway = Gateway {
            child,
            successor: None,
            base: String::new(),
            log,
            port_file: port_file.clone(),
            data,
            _home: home,
            client: client(&self.authorities),
            stopped: false,
            _permit: permit,
        };
        gateway.base = gateway.address(&port_file).await;
        gateway
    }
}

fn client(authorities: &[rustls::pki_types::CertificateDer<'static>]) -> reqwest::Client {
    // No idle connections: the server closes them during long tests.
    crate::http_client_trusting(authorities)
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(HANG)
        .build()
        .expect("a client")
}

/// A running gateway.
pub struct Gateway {
    child: Child,
    /// The process that has replaced `child`; it is no child of the test.
    successor: Option<u32>,
    pub base: String,
    pub client: reqwest::Client,
    log: PathBuf,
    port_file: PathBuf,
    data: PathBuf,
    _home: TempDir,
    stopped: bool,
    _permit: OwnedSemaphorePermit,
}

impl Gateway {
    /// Starts a gateway with the defaults.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    async fn address(&mut self, port_file: &Path) -> String {
        let end = Instant::now() + HANG;
        loop {
            if let Ok(bytes) = std::fs::read(port_file) {
                let json: Value = serde_json::from_slice(&bytes).expect("the port file is JSON");
                return json["listening"].as_str().expect("listening").to_owned();
            }
            if let Some(status) = self.child.try_wait().expect("wait") {
                panic!("the gateway ended at start with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < end, "no port file within {HANG:?}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn answers(&self, path: &str) {
        let end = Instant::now() + HANG;
        loop {
            if let Ok(answer) = self.client.get(self.url(path)).send().await
                && answer.status() == 200
            {
                return;
            }
            assert!(Instant::now() < end, "no {path} within {HANG:?}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub fn pid(&self) -> u32 {
        self.successor.unwrap_or_else(|| self.child.id())
    }

    /// Replaces the server by a successor (SIGUSR2), and waits until the successor serves and the server has ended.
    pub async fn replace(&mut self) {
        let old = self.pid();
        process::signal(old, Signal::USR2);
        let end = Instant::now() + HANG;
        loop {
            let bytes = std::fs::read(&self.port_file).expect("the port file");
            let json: Value = serde_json::from_slice(&bytes).expect("the port file is JSON");
            let pid = json["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("pid");
            if pid != old && self.ended() {
                self.successor = Some(pid);
                return;
            }
            assert!(Instant::now() < end, "no successor within {HANG:?}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Returns whether the process of the server has ended.
    fn ended(&mut self) -> bool {
        match self.successor {
            Some(pid) => !process::alive(pid),
            None => !matches!(self.child.try_wait(), Ok(None)),
        }
    }

    /// Returns the path of the data folder, also if it is on a file system that only the server sees.
    pub fn data(&self) -> PathBuf {
        let inside = self.data.strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", self.pid())).join(inside)
    }

    /// Returns the log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::read(self.client.get(self.url(path)).send().await.expect("an answer")).await
    }

    /// Builds a request that posts a PDF to a path such as `/api/v1/ocr?words=true`, for tests that add headers or
    /// stream the response.
    pub fn pdf(&self, path: &str, body: impl Into<Vec<u8>>) -> reqwest::RequestBuilder {
        self.client.post(self.url(path)).header("content-type", "application/pdf").body(body.into())
    }

    /// POSTs a raw body to a path such as `/api/v1/ocr?words=true`.
    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.client.post(self.url(path)).header("content-type", content_type).body(body.into());
        Answer::read(request.send().await.expect("an answer")).await
    }

    /// POSTs a document to `/api/v1/ocr` with a query such as `pages=1&words=true`.
    pub async fn ocr(&self, content_type: &str, body: impl Into<Vec<u8>>, query: &str) -> Answer {
        self.post(&format!("/api/v1/ocr?{query}"), content_type, body).await
    }

    /// POSTs files to `/api/v1/ocr/batch` and returns the events.
    pub async fn batch(&self, files: Vec<(String, Vec<u8>)>, query: &str) -> Vec<Value> {
        let mut form = reqwest::multipart::Form::new();
        for (name, bytes) in files {
            form = form.part("file", reqwest::multipart::Part::bytes(bytes).file_name(name));
        }
        let request = self.client.post(self.url(&format!("/api/v1/ocr/batch?{query}"))).multipart(form);
        let answer = Answer::read(request.send().await.expect("an answer")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        crate::answer::ndjson(&answer.body)
    }

    /// Stops the server with SIGTERM, waits for its exit, and asserts that no process is left.
    pub async fn stop(mut self) -> i32 {
        let children = process::descendants(self.pid());
        process::signal(self.pid(), Signal::TERM);
        let end = Instant::now() + HANG;
        let status = loop {
            if self.ended() {
                break self.child.wait().expect("wait");
            }
            assert!(Instant::now() < end, "it did not stop within {HANG:?}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.stopped = true;
        process::until("render workers end with the gateway", || {
            !children.iter().any(|&pid| process::alive(pid))
        })
        .await;
        status.code().unwrap_or(-1)
    }

    /// Kills the server as a power cut would, and returns its child processes.
    pub fn kill(mut self) -> Vec<u32> {
        let children = process::descendants(self.pid());
        process::signal(self.pid(), Signal::KILL);
        self.child.wait().expect("wait");
        self.stopped = true;
        children
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.stopped {
            return;
        }
        let children = process::descendants(self.pid());
        let died_before = self.ended();
        if std::thread::panicking() || died_before {
            eprintln!("--- the gateway's log ---\n{}", self.log());
        }
        process::signal(self.pid(), Signal::TERM);
        let end = Instant::now() + HANG;
        while !self.ended() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let hung = !self.ended();
        process::signal(self.pid(), Signal::KILL);
        let _ = self.child.wait();
        let end = Instant::now() + HANG;
        while children.iter().any(|&pid| process::alive(pid)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        if !std::thread::panicking() {
            assert!(!died_before, "the gateway died during the test");
            assert!(!hung, "the gateway did not stop on SIGTERM within {HANG:?}");
            let left: Vec<_> = children.into_iter().filter(|&pid| process::alive(pid)).collect();
            assert!(left.is_empty(), "processes left behind: {left:?}");
        }
    }
}
