//! A gateway with two tenants: the victim, whose pages are measured, and the attacker.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Answer, Gateway, GatewayBuilder, HANG, quantile};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};

/// The attacker's address. The victim uses 127.0.0.1.
pub const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Time for an attack to begin before the victim is measured.
const HEAD_START: Duration = Duration::from_millis(300);
/// Pause between two pages of the victim: a steady load that does not saturate the server.
const PAUSE: Duration = Duration::from_millis(2);
/// Time by which the victim's median may be later than three times the one of its run alone, in milliseconds: the attackers
/// and their clients use the same cores.
const MEDIAN_SPARE_MS: f64 = 500.0;
/// Number of attacks over which the minutes of a long run are spread.
const ATTACKS: u32 = 32;

/// A server without engines, with the limits that the attacks aim at.
pub const CONFIG: &str = r#"
[http]
connections_max = 256
[platform]
default_deployment = "echo"
[[deployments]]
name = "echo"
component = "guest/target/components/echo.wasm"
"#;

/// An attack, which runs until [`Arena::is_over`] and returns the number of its attempts.
pub type Attack = Pin<Box<dyn Future<Output = u64> + Send>>;

/// Returns the minutes of a long run; `None` for the short one.
pub fn minutes() -> Option<u32> {
    std::env::var_os("LECTOR_ADVERSARY_MINUTES")?.to_str()?.parse().ok()
}

pub struct Arena {
    pub gateway: Gateway,
    pub admin: String,
    pub victim: String,
    pub attacker: String,
    /// A client at the attacker's address.
    pub client: reqwest::Client,
    over: AtomicBool,
    kills: AtomicU64,
    /// Times of the victim's pages alone, sorted.
    quiet: OnceLock<Vec<f64>>,
    _folder: TempDir,
}

impl Arena {
    /// Starts a server with both tenants.
    pub async fn start() -> Arc<Self> {
        Self::start_with(|builder| builder).await
    }

    pub async fn start_with(set: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Arc<Self> {
        Self::start_of(set, true).await
    }

    /// As [`start_with`](Self::start_with), with a deployment that cannot read the smoke-test page.
    pub async fn start_unready_with(set: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Arc<Self> {
        Self::start_of(set, false).await
    }

    async fn start_of(set: impl FnOnce(GatewayBuilder) -> GatewayBuilder, ready: bool) -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("admin.key");
        let builder = Gateway::builder()
            .config(CONFIG)
            .set("platform.admin_key_file", file.display())
            .set("log.filter", "warn");
        let builder = set(builder);
        let gateway = if ready { builder.start().await } else { builder.start_unready().await };
        let admin = std::fs::read_to_string(file).unwrap().trim().to_owned();
        let client = lector_tests::http_client()
            .no_proxy()
            .local_address(ATTACKER)
            .pool_max_idle_per_host(0)
            .timeout(HANG)
            .build()
            .unwrap();
        let mut arena = Self {
            gateway,
            admin,
            victim: String::new(),
            attacker: String::new(),
            client,
            over: AtomicBool::new(false),
            kills: AtomicU64::new(0),
            quiet: OnceLock::new(),
            _folder: folder,
        };
        arena.victim = arena.tenant("victim").await;
        arena.attacker = arena.tenant("attacker").await;
        Arc::new(arena)
    }

    /// Creates a tenant; returns its key.
    pub async fn tenant(&self, name: &str) -> String {
        let path = format!("/api/v1/admin/tenants/{name}");
        assert_eq!(self.ask(&self.admin, Method::PUT, &path, Some(json!({}))).await.status, 201);
        self.key(name).await["key"].as_str().expect("a key").to_owned()
    }

    /// Creates a key of a tenant; returns it with its record.
    pub async fn key(&self, tenant: &str) -> Value {
        let owner = json!({ "tenant": tenant });
        let made = self.ask(&self.admin, Method::POST, "/api/v1/admin/keys", Some(owner)).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()
    }

    /// Sends a request from the victim's address.
    pub async fn ask(&self, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.gateway.client.request(method, self.gateway.url(path)).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::read(request.send().await.expect("an answer")).await
    }

    /// Sends a document from the attacker's address; returns the status, or 0 for a broken connection.
    pub async fn attack(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> u16 {
        self.attack_as(&self.attacker, path, content_type, body).await
    }

    /// As [`attack`](Self::attack), with the key of another tenant.
    pub async fn attack_as(
        &self,
        key: &str,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> u16 {
        let request = self.client.post(self.gateway.url(path)).header("content-type", content_type);
        let sent = request.bearer_auth(key).body(body).send().await;
        let Ok(answer) = sent else { return 0 };
        let status = answer.status().as_u16();
        let _ = answer.bytes().await;
        status
    }

    /// Lets attacks run until [`end`](Self::end).
    pub fn begin(&self) {
        self.over.store(false, Relaxed);
    }

    /// Makes the attacks end.
    pub fn end(&self) {
        self.over.store(true, Relaxed);
    }

    /// Counts a process of the server that an attack killed.
    pub fn killed(&self) {
        self.kills.fetch_add(1, Relaxed);
    }

    /// Returns the number of processes of the server that attacks killed.
    pub fn kills(&self) -> u64 {
        self.kills.load(Relaxed)
    }

    /// Returns whether the attack must end.
    pub fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.base.trim_start_matches("http://").parse().unwrap()
    }

    /// Opens a connection from the attacker's address.
    pub async fn connect(&self) -> std::io::Result<TcpStream> {
        connect_from(ATTACKER, self.address()).await
    }

    /// Reads one page of the victim; returns the time in milliseconds.
    async fn page(&self, body: &[u8]) -> f64 {
        let began = Instant::now();
        let request = self.gateway.pdf("/api/v1/ocr", body).bearer_auth(&self.victim);
        let answer = Answer::read(request.send().await.expect("the victim is answered")).await;
        let took = began.elapsed().as_secs_f64() * 1e3;
        let pages = answer.ok()["pages"].as_array().map(Vec::len);
        assert_eq!(pages, Some(1), "{}", answer.text());
        took
    }

    /// Returns the times of the victim's pages, sorted; asserts every response.
    pub async fn victim(&self) -> Vec<f64> {
        let body = pdf::document(&[PageSpec::a4(&["A page like any other"])]);
        let time = minutes()
            .map_or(Duration::from_millis(700), |minutes| Duration::from_secs(60) * minutes / ATTACKS / 2);
        let began = Instant::now();
        let mut took = Vec::new();
        while took.len() < 30 || began.elapsed() < time {
            took.push(self.page(&body).await);
            tokio::time::sleep(PAUSE).await;
        }
        took.sort_by(f64::total_cmp);
        took
    }

    /// Returns the times of the victim's pages alone. The short form measures them once: its bounds are loose.
    async fn quiet(&self) -> Vec<f64> {
        match self.quiet.get() {
            Some(quiet) if minutes().is_none() => quiet.clone(),
            _ => {
                let quiet = self.victim().await;
                self.quiet.get_or_init(|| quiet.clone());
                quiet
            }
        }
    }

    /// Measures the victim alone, then beside the attack, which runs until [`is_over`](Self::is_over) and returns the
    /// number of its attempts. No page of the victim may fail or be late.
    pub async fn beside(self: &Arc<Self>, name: &str, attack: impl Future<Output = u64> + Send + 'static) {
        // The short form runs on shared machines, where other processes delay a page now and then: its bounds find a victim
        // that waits for an attacker, and the long form measures.
        let most = |alone: f64| if minutes().is_some() { 1.5 * alone } else { 3.0 * alone + 1_500.0 };
        self.beside_within(name, attack, most).await;
    }

    /// As [`beside`](Self::beside), with a bound of its own on the victim's 99th percentile, in milliseconds, given the
    /// one of its run alone. The median has a bound that does not depend on the attack: half of the pages see nothing of
    /// what else the machine does, and a victim that waits for each page of an attacker is late with all of them.
    pub async fn beside_within(
        self: &Arc<Self>,
        name: &str,
        attack: impl Future<Output = u64> + Send + 'static,
        most: impl FnOnce(f64) -> f64,
    ) {
        self.begin();
        let quiet = self.quiet().await;
        let (alone, median_alone) = (quantile(&quiet, 0.99), quantile(&quiet, 0.5));
        // A task of its own, so that the work of the attacker does not delay the victim's client.
        let attack = tokio::spawn(attack);
        tokio::time::sleep(HEAD_START).await;
        let took = self.victim().await;
        self.end();
        let attempts = tokio::time::timeout(HANG, attack).await.expect("the attack ends").expect("no panic");
        let (beside, median) = (quantile(&took, 0.99), quantile(&took, 0.5));
        let ratio = beside / alone;
        eprintln!(
            "{name:<28}{attempts:>9} attempts; p99 of the victim: alone {alone:>7.1} ms, beside {beside:>7.1} ms, \
             ratio {ratio:.2}; median {median_alone:.1} and {median:.1} ms"
        );
        assert!(attempts > 0, "{name}: nothing was attempted");
        let most = most(alone);
        assert!(beside <= most, "{name}: p99 {beside:.1} ms, alone {alone:.1} ms, at most {most:.1} ms");
        let median_max = 3.0 * median_alone + MEDIAN_SPARE_MS;
        assert!(
            median <= median_max,
            "{name}: median {median:.1} ms, alone {median_alone:.1} ms, at most {median_max:.1} ms"
        );
        self.settled().await;
    }

    /// Waits until the server has no document in flight.
    pub async fn settled(&self) {
        let end = Instant::now() + HANG;
        while !self.gateway.get("/metrics").await.text().contains("lector_documents_in_flight 0\n") {
            assert!(Instant::now() < end, "documents are left in flight");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Opens a connection from a loopback address.
pub async fn connect_from(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}
