//! The server of these tests, its requests and its answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use axum::response::Response;
use futures::FutureExt;
use futures::future::BoxFuture;
use lector_control::store::{SqliteJobStore, SqliteStore};
use lector_core::clock::ManualClock;
use lector_jobs::{EgressPolicy, Jobs, JobsConfig, Parts, WebhookConfig, WebhookRequest, WebhookTransport};
use lector_serving::DocumentService;
use lector_serving::fakes::{Behavior, Script, TestConfig, config, platform_at};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::conformance;
use crate::config::{HttpConfig, Rate};
use crate::http::{AppState, router};
use crate::metrics::{
    EngineSample, GpuSample, GuestsSample, LaneSample, Metrics, StatusSource, WorkersSample,
};

/// A server with one deployment, `standard`, on an empty store in memory, at noon of 2026-01-01 UTC.
pub(crate) struct TestApp {
    router: Router,
    state: AppState,
    pub(crate) service: Arc<DocumentService>,
    /// What the guests do.
    pub(super) script: Arc<Script>,
    pub(super) clock: ManualClock,
    /// The folder of jobs, if there are jobs.
    _jobs: Option<tempfile::TempDir>,
}

/// A transport whose messages are all accepted.
struct Accepting;

impl WebhookTransport for Accepting {
    fn send(&self, _: WebhookRequest) -> BoxFuture<'_, Result<u16, String>> {
        async { Ok(204) }.boxed()
    }
}

#[derive(Debug)]
struct FakeStatus;

impl StatusSource for FakeStatus {
    fn lanes(&self) -> Vec<LaneSample> {
        Vec::new()
    }

    fn engines(&self) -> Vec<EngineSample> {
        Vec::new()
    }

    fn gpus(&self) -> Vec<GpuSample> {
        Vec::new()
    }

    fn workers(&self) -> WorkersSample {
        WorkersSample { alive: 1, wanted: 1, ..WorkersSample::default() }
    }

    fn guests(&self) -> GuestsSample {
        GuestsSample::default()
    }
}

impl TestApp {
    /// Starts a server whose guests read each page at once.
    pub(crate) async fn start() -> Self {
        Self::with(|_, _| {}).await
    }

    /// Starts a server with an adjusted configuration: 4 page slots and 8 documents otherwise.
    pub(super) async fn with(adjust: impl FnOnce(&mut TestConfig, &mut HttpConfig)) -> Self {
        Self::configured(adjust).await.0
    }

    async fn configured(adjust: impl FnOnce(&mut TestConfig, &mut HttpConfig)) -> (Self, HttpConfig) {
        let mut platform = config(4, 8, ("detection", "model"));
        let mut http = Self::http_config();
        adjust(&mut platform, &mut http);
        let (script, clock) = (Script::new(Behavior::Read), ManualClock::default());
        let store = Arc::new(SqliteStore::in_memory().unwrap());
        let service = platform_at(&script, platform, store, Arc::new(clock.clone())).await.unwrap();
        let metrics = Metrics::new(service.clone(), Arc::new(FakeStatus));
        let state = AppState::new(service.clone(), metrics, http.clone());
        let router = router::router(state.clone());
        (Self { router, state, service, script, clock, _jobs: None }, http)
    }

    fn http_config() -> HttpConfig {
        HttpConfig {
            traced: false,
            listen: ([127, 0, 0, 1], 0).into(),
            allow_insecure_public: false,
            body_bytes_max: 1 << 20,
            header_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(60),
            metrics_listen: None,
            private_operations: false,
            tls: None,
            trusted_proxies: Vec::new(),
            transfer_rate_min: Rate { bytes_per_s: 0, window: Duration::from_secs(10) },
            connections_max: 100,
            connections_per_address_max: 100,
            batch_files_max: 8,
            drain_timeout: Duration::from_secs(60),
            compat: crate::config::CompatConfig::default(),
        }
    }

    /// Returns the routes, for tests that listen.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// Returns the state of a gateway in front of this server.
    pub(crate) fn state(&self) -> AppState {
        self.state.clone()
    }

    /// Sets what reloads the configuration.
    pub(crate) fn reload_by(&self, reload: Arc<dyn crate::http::ConfigReload>) {
        self.state.reload_by(reload);
    }

    /// Starts a server with jobs.
    pub(super) async fn with_jobs() -> Self {
        Self::with_jobs_and(|_, _| {}).await
    }

    /// Starts a server with jobs and an adjusted configuration.
    pub(super) async fn with_jobs_and(adjust: impl FnOnce(&mut TestConfig, &mut HttpConfig)) -> Self {
        let (mut app, http) = Self::configured(adjust).await;
        let dir = tempfile::tempdir().unwrap();
        let config = JobsConfig {
            running_max: 2,
            tenant_running_max: 2,
            pages_per_turn: 8,
            pages_per_document_max: 1000,
            attempts_max: 3,
            lease: Duration::from_secs(60),
            turn_timeout: Duration::from_secs(3600),
            retention: Duration::from_secs(60),
            retention_max: Duration::from_secs(600),
            tenant_jobs_max: 3,
            tenant_bytes_max: 1 << 20,
            webhooks: WebhookConfig {
                attempts_max: 3,
                timeout: Duration::from_secs(1),
                egress: EgressPolicy::default(),
            },
        };
        let parts = Parts {
            service: app.service.clone(),
            store: Arc::new(SqliteJobStore::open(dir.path(), 0).unwrap()),
            webhooks: Arc::new(Accepting),
            see: Box::new(|_| {}),
        };
        let jobs = Jobs::start(config, parts).unwrap();
        let metrics = Metrics::new(app.service.clone(), Arc::new(FakeStatus));
        let state = AppState::new(app.service.clone(), metrics, http).with_jobs(Some(jobs));
        app.router = router::router(state.clone());
        app.state = state;
        app._jobs = Some(dir);
        app
    }

    /// Starts a server that requires keys; returns its administrator's key.
    pub(super) async fn closed() -> (Self, String) {
        let app = Self::start().await;
        let admin = app.admin().await;
        (app, admin)
    }

    /// Creates the first administrator's key, which requires keys from then on; returns it.
    pub(crate) async fn admin(&self) -> String {
        let made = self.post("/api/v1/admin/keys").json(json!({ "admin": true })).send().await;
        made.created()["key"].as_str().unwrap().to_owned()
    }

    /// Creates a tenant with this policy; returns its key.
    pub(super) async fn tenant(&self, admin: &str, name: &str, policy: Value) -> String {
        let path = format!("/api/v1/admin/tenants/{name}");
        self.request(Method::PUT, &path).key(admin).json(policy).send().await.created();
        let whose = json!({ "tenant": name });
        let made = self.post("/api/v1/admin/keys").key(admin).json(whose).send().await.created();
        made["key"].as_str().unwrap().to_owned()
    }

    /// Deploys a component; its text is the beginning of each line that it reads.
    pub(super) async fn deploy(&self, key: &str, name: &str, component: &str, options: Value) -> Value {
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"options\"\r\n\r\n{options}\r\n\
             --b\r\nContent-Disposition: form-data; name=\"component\"\r\n\r\n{component}\r\n--b--\r\n"
        );
        let request = self.request(Method::PUT, &format!("/api/v1/deployments/{name}")).key(key);
        request.form(form).send().await.created()
    }

    /// Asks the private address for a path; returns the status.
    pub(super) async fn private(&self, path: &str) -> u16 {
        let request = Request::get(path).header(header::HOST, "localhost").body(Body::empty()).unwrap();
        router::private(self.state()).oneshot(request).await.unwrap().status().as_u16()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> TestRequest<'_> {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost"))]);
        TestRequest { app: self, method, path: path.to_owned(), headers, body: Body::empty() }
    }

    pub(crate) fn get(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::POST, path)
    }

    /// Returns a request for reading a document of `pages` pages.
    pub(super) fn ocr(&self, query: &str, pages: u8) -> TestRequest<'_> {
        self.document(&format!("/api/v1/ocr?{query}"), pages)
    }

    pub(super) fn document(&self, path: &str, pages: u8) -> TestRequest<'_> {
        self.post(path).header("content-type", "application/pdf").body(vec![pages])
    }
}

/// A request that can be changed until it is sent.
pub(crate) struct TestRequest<'a> {
    app: &'a TestApp,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Body,
}

/// Returns whether a path is Lector's own. The APIs of other software have documents of their own.
fn is_documented(path: &str) -> bool {
    const OWN: [&str; 6] = ["/api/v1", "/healthz", "/readyz", "/metrics", "/problems", "/openapi.json"];
    OWN.iter().any(|own| path.starts_with(own))
}

impl TestRequest<'_> {
    /// Sets a header.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        self
    }

    /// Sets the key; an empty one is not sent.
    pub(super) fn key(self, key: &str) -> Self {
        if key.is_empty() { self } else { self.header("authorization", &format!("Bearer {key}")) }
    }

    pub(super) fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Vec<u8> = bytes.into();
        self.headers.insert(header::CONTENT_LENGTH, bytes.len().into());
        self.body = bytes.into();
        self
    }

    /// Sets a body without a declared length.
    pub(super) fn stream(mut self, body: Body) -> Self {
        self.headers.remove(header::CONTENT_LENGTH);
        self.body = body;
        self
    }

    pub(super) fn json(self, value: Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// Sets a form whose boundary is `b`.
    pub(super) fn form(self, form: String) -> Self {
        self.header("content-type", "multipart/form-data; boundary=b").body(form)
    }

    /// Sends the request; returns the response before its body is read.
    pub(super) async fn begin(self) -> Response {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().unwrap();
        *request.headers_mut() = self.headers;
        self.app.router.clone().oneshot(request).await.unwrap()
    }

    /// Sends the request; returns the whole response, compared with the OpenAPI document.
    pub(crate) async fn send(self) -> Answer {
        let (method, path) = (self.method.clone(), self.path.clone());
        let (head, body) = self.begin().await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        let answer = Answer { status: head.status.as_u16(), headers: head.headers, body };
        if is_documented(&path) {
            conformance::check(&method, &path, &answer);
        }
        answer
    }
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Asserts success and returns the JSON.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// Asserts that something was created and returns the JSON.
    #[track_caller]
    pub(super) fn created(&self) -> Value {
        assert_eq!(self.status, 201, "{}", self.text());
        self.json()
    }

    /// Asserts a complete problem document with this status and code, and returns it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let document = self.json();
        assert_eq!((self.status, document["code"].as_str()), (status, Some(code)), "{document}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{document}");
        assert_eq!(document["status"], status, "{document}");
        assert_eq!(document["request_id"], self.header("x-request-id"), "{document}");
        assert!(document["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{document}");
        assert!(document["type"].as_str().is_some_and(|url| url.ends_with(code)), "{document}");
        assert!(document["title"].is_string() && document["blame"].is_string(), "{document}");
        let retry_after = document.get("retry_after").map(Value::to_string).unwrap_or_default();
        assert_eq!(self.header("retry-after"), retry_after, "{document}");
        document
    }
}

/// Waits until `is` holds; fails after a time that is long enough for a busy machine.
pub(super) async fn until(what: &str, is: impl Fn() -> bool) {
    lector_serving::fakes::until(what, is).await;
}

/// Returns the text of a document.
pub(super) fn all_text(json: &Value) -> String {
    let pages = json["pages"].as_array().unwrap().iter();
    pages.map(|page| page["text"].as_str().unwrap().trim()).collect::<Vec<_>>().join("|")
}
