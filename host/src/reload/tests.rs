#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::path::PathBuf;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::http::tests::app::TestApp;
use crate::telemetry;

/// A server whose configuration is a file of the test.
struct Running {
    app: TestApp,
    gateway: Arc<Gateway>,
    reloader: Arc<Reloader>,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Running {
    async fn start(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lector.toml");
        std::fs::write(&file, text).unwrap();
        let sources = Sources { file: Some(file.clone()), flags: Vec::new(), context: None };
        let (config, effective) = Config::load(&sources).unwrap();
        let app = TestApp::start().await;
        let gateway = Gateway::new(app.state());
        gateway.reconfigure(config.http.clone());
        app.service.retune(&config.serving);
        let parts = Parts {
            control: app.service.control().clone(),
            service: app.service.clone(),
            jobs: None,
            webhooks: None,
            tls: None,
            filter: filter(),
            gateway: Arc::downgrade(&gateway),
            address: config.http.listen,
            bounded: |config| Ok(config.http.clone()),
        };
        let reloader = Reloader::new(parts, sources, effective);
        Self { app, gateway, reloader, file, _dir: dir }
    }

    async fn reload(&self, text: &str, dry_run: bool) -> Result<ReloadReport, Fault> {
        std::fs::write(&self.file, text).unwrap();
        self.reloader.reload(&Admin::of_this_machine(), dry_run).await
    }

    /// Returns what a reload changes: the largest body, the most documents.
    fn values(&self) -> (u64, usize) {
        (self.gateway.config().body_bytes_max, self.app.service.status().documents_max)
    }

    async fn audited(&self) -> usize {
        let audit = self.app.get("/api/v1/admin/audit").send().await.ok();
        let entries = audit["entries"].as_array().unwrap().clone();
        entries.iter().filter(|entry| entry["action"] == "config_reload").count()
    }
}

/// A filter whose log is not read.
fn filter() -> LogFilter {
    static KEPT: OnceLock<LogFilter> = OnceLock::new();
    KEPT.get_or_init(|| {
        let (layer, filter) = telemetry::replaceable("info").unwrap();
        // The handle of a dropped layer replaces nothing.
        std::mem::forget(tracing_subscriber::registry().with(layer));
        filter
    })
    .clone()
}

const BEFORE: &str = "[http]\nbody_bytes_max = 1000\n[platform]\ndocuments_max = 5\n";
const AFTER: &str =
    "[http]\nbody_bytes_max = 2000\n[platform]\ndocuments_max = 6\n[engines]\nqueue_items_max = 9\n";

#[tokio::test]
async fn values_are_replaced_and_audited() {
    let running = Running::start(BEFORE).await;
    assert_eq!(running.values(), (1000, 5));
    let report = running.reload(AFTER, true).await.unwrap();
    assert_eq!((running.values(), running.audited().await), ((1000, 5), 0), "a dry run");
    assert_eq!(keys(&report.applied), "http.body_bytes_max, platform.documents_max");
    let report = running.reload(AFTER, false).await.unwrap();
    assert_eq!((running.values(), running.audited().await), ((2000, 6), 1));
    assert_eq!(keys(&report.needs_restart), "engines.queue_items_max");
    let again = running.reload(AFTER, false).await.unwrap();
    assert_eq!(
        (keys(&again.applied).as_str(), keys(&again.needs_restart).as_str()),
        ("", "engines.queue_items_max")
    );
    let back = running.reload(BEFORE, false).await.unwrap();
    assert_eq!((running.values(), back.needs_restart.len()), ((1000, 5), 0));
}

#[tokio::test]
async fn an_invalid_file_changes_nothing() {
    let running = Running::start(BEFORE).await;
    for (text, place) in [
        ("[http]\nbody_bytes_max = 2000\n[platform]\ndocuments_max = 0", "platform.documents_max"),
        ("[http]\nbody_bytes_max = 2000\nno_such_key = 1", "http.no_such_key"),
        ("[http]\nbody_bytes_max = 2000\n[http", "line 3"),
    ] {
        let fault = running.reload(text, false).await.unwrap_err();
        assert_eq!(fault.code, "config_invalid");
        assert!(fault.to_string().contains(place), "{fault}");
        assert_eq!((running.values(), running.audited().await), ((1000, 5), 0));
    }
}

#[tokio::test]
async fn the_route_reloads_and_the_defaults_of_tenants_change() {
    let running = Running::start(BEFORE).await;
    let unable = running.app.post("/api/v1/admin/config/reload").send().await;
    unable.problem(503, "config_not_reloadable");
    running.app.reload_by(running.reloader.clone());
    std::fs::write(&running.file, format!("{BEFORE}tenant_images_bytes_max = 4194304\n")).unwrap();
    let report = running.app.post("/api/v1/admin/config/reload").send().await.ok();
    assert_eq!(report["applied"][0]["key"], "platform.tenant_images_bytes_max", "{report}");
    let tenant = &running.app.service.control().tenants_with_counters()[0];
    assert_eq!(tenant.page_budget().host_bytes, 4_194_304);
    running.app.post("/api/v1/admin/config/reload?dryrun=1").send().await.problem(400, "option_invalid");
}

#[tokio::test]
async fn a_server_without_keys_on_a_public_address_stays_allowed() {
    let before = "[http]\nlisten = \"192.0.2.1:8080\"\nallow_insecure_public = true";
    let running = Running::start(before).await;
    let fault = running.reload("[http]\nlisten = \"192.0.2.1:8080\"", false).await.unwrap_err();
    assert!(fault.to_string().contains("allow_insecure_public"), "{fault}");
    running.app.admin().await;
    assert!(running.reload("[http]\nlisten = \"192.0.2.1:8080\"", false).await.is_ok());
}
