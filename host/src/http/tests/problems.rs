//! Every problem code is declared by an operation, and either provoked here or named with the tests that provoke it.
//! Each response of these tests is also checked against the OpenAPI document (`conformance.rs`).

use std::collections::BTreeSet;

use axum::http::Method;
use lector_serving::fakes::Behavior;
use serde_json::{Value, json};

use super::app::{TestApp, TestRequest};
use super::conformance;
use crate::http::problem::codes;

/// Codes of responses to requests that match no operation.
const OF_NO_OPERATION: [&str; 1] = ["method_not_allowed"];

/// Codes that need what this process does not have, with the tests that provoke them.
const ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "tests/limits.rs, access.rs: load, time, keys",
        &["server_overloaded", "shutting_down", "auth_throttled", "rate_limited", "quota_exceeded"],
    ),
    (
        "unit tests of http: bodies, connections, exporters",
        &[
            "body_incomplete",
            "body_stalled",
            "body_too_slow",
            "connections_full",
            "local_only",
            "submission_too_large",
            "table_too_large",
            "export_failed",
        ],
    ),
    ("reload/tests.rs: the configuration", &["config_invalid", "config_not_reloadable"]),
    ("crates/inference: the catalog", &["model_unavailable"]),
    (
        "crates/document: composing",
        &[
            "document_compose_cpu_exceeded",
            "document_compose_crashed",
            "document_compose_timeout",
            "document_not_composable",
        ],
    ),
    ("crates/control: bytes of pages", &["tenant_images_exceeded"]),
    (
        "tests/jobs.rs, crates/jobs: jobs and webhooks",
        &[
            "idempotency_key_reused",
            "job_attempts_exhausted",
            "job_changed",
            "job_data_damaged",
            "job_document_not_found",
            "job_not_finished",
            "job_not_found",
            "job_page_not_found",
            "job_summary_missing",
            "jobs_disabled",
            "tenant_job_bytes_exceeded",
            "tenant_jobs_exceeded",
        ],
    ),
    ("tests/files.rs: uploaded files", &["file_not_found", "tenant_files_exceeded"]),
    (
        "tests/compat: the APIs of other software",
        &[
            "compat_model_not_found",
            "compat_model_not_ready",
            "compat_task_not_finished",
            "compat_task_not_found",
            "compat_unsupported",
            "compat_url_refused",
        ],
    ),
    (
        "crates/serving: admission, results",
        &[
            "tenant_overloaded",
            "tenant_memory_exceeded",
            "tenant_uploads_exceeded",
            "document_result_too_large",
            "summary_too_large",
        ],
    ),
    (
        "crates/control: limits of the store, damage, races",
        &[
            "too_many_keys",
            "too_many_tenants",
            "too_many_deployments",
            "too_many_event_streams",
            "too_many_changes",
            "followers_too_many",
            "tenant_storage_exceeded",
            "settings_too_deep",
            "settings_too_large",
            "deploys_busy",
            "route_changed",
            "no_randomness",
            "revision_quarantined",
            "revision_unavailable",
            "deployment_quarantined",
            "tenant_quarantined",
            "newest_quarantined",
            "component_unreadable",
            "storage_full",
            "storage_read_only",
            "storage_damaged",
            "storage_unavailable",
        ],
    ),
    (
        "crates/document: render workers",
        &[
            "document_unsupported_type",
            "document_too_many_pages",
            "document_memory_exceeded",
            "document_open_crashed",
            "document_open_timeout",
            "document_open_cpu_exceeded",
            "document_abandoned",
            "document_worker_failed",
            "documents_busy",
            "documents_unavailable",
            "pdf_invalid",
            "pdf_no_pages",
            "pdf_password_required",
            "pdf_password_wrong",
            "pdf_encryption_unsupported",
            "image_invalid",
            "image_unsupported",
            "image_too_large",
            "page_invalid",
            "page_crashed",
            "page_timeout",
            "page_cpu_exceeded",
            "page_text_crashed",
            "page_text_timeout",
            "page_render_crashed",
            "page_render_timeout",
            "page_too_many_pixels",
            "page_too_much_text",
            "dpi_invalid",
        ],
    ),
    (
        "crates/runtime: guests and components",
        &[
            "guest_compute_exceeded",
            "guest_deadline",
            "guest_host_calls_exceeded",
            "guest_memory_exceeded",
            "guest_host_memory_exceeded",
            "guest_handles_exceeded",
            "guest_result_too_large",
            "guest_answer_invalid",
            "guest_error_invalid",
            "language_not_installed",
            "guest_error_too_large",
            "guest_error_denied",
            "guest_error_busy",
            "guest_error_deadline",
            "guest_error_failed",
            "pipeline_not_wrapped",
            "pipeline_too_deep",
            "render_dpi_invalid",
            "image_argument_invalid",
            "image_operation_failed",
            "runtime_busy",
            "runtime_defect",
            "component_is_core_module",
            "component_import_unknown",
            "component_world_mismatch",
            "component_too_large",
            "component_too_costly",
            "compiler_died",
            "compiler_timeout",
            "compiler_missing",
        ],
    ),
    (
        "crates/inference: engines and lanes",
        &[
            "engine_queue_full",
            "engine_deadline",
            "engine_stopped",
            "engine_run_failed",
            "engine_lost",
            "model_not_found",
            "model_unknown",
            "model_without_engine",
            "model_input_invalid",
            "model_output_invalid",
            "model_labels_too_many",
            "model_not_granted",
        ],
    ),
];

/// Codes that a test has provoked, and the requests that got another answer.
#[derive(Default)]
struct Provoked(BTreeSet<&'static str>, Vec<String>);

impl Provoked {
    /// Sends a request, and notes whether it gets a problem with this code and one of its statuses.
    async fn by(&mut self, code: &'static str, request: TestRequest<'_>) {
        let answer = request.send().await;
        let entry = codes::find(code).unwrap_or_else(|| panic!("{code} is not in problem/codes"));
        if !entry.statuses.contains(&answer.status) || answer.json()["code"] != code {
            self.1.push(format!("{code}: {} {}", answer.status, answer.text()));
        }
        self.0.insert(entry.code);
    }
}

fn form(part: &str) -> String {
    format!("--b\r\n{part}\r\n--b--\r\n")
}

fn deploy_form(options: &str, component: &str) -> String {
    format!(
        "--b\r\nContent-Disposition: form-data; name=\"options\"\r\n\r\n{options}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"component\"\r\n\r\n{component}\r\n--b--\r\n"
    )
}

async fn documents(all: &mut Provoked) {
    let app = TestApp::with(|platform, http| {
        platform.serving.pages_per_document_max = 9;
        http.body_bytes_max = 1000;
    })
    .await;
    all.by("option_invalid", app.ocr("pages=0", 1)).await;
    all.by("unknown_option", app.ocr("color=blue", 1)).await;
    all.by("guest_option_invalid", app.ocr("guest_options=%7B%22a%22:1%7D", 1)).await;
    all.by("not_acceptable", app.ocr("", 1).header("accept", "image/png")).await;
    all.by("format_one_page", app.ocr("format=page-xml", 2)).await;
    all.by("page_out_of_range", app.ocr("pages=7", 3)).await;
    all.by("too_many_pages", app.ocr("", 10)).await;
    all.by("deployment_not_found", app.ocr("deployment=none", 1)).await;
    all.by("document_empty", app.ocr("", 1).body(Vec::<u8>::new())).await;
    all.by("body_too_large", app.ocr("", 1).body(vec![1u8; 1001])).await;
    let upload = |form: String| app.post("/api/v1/ocr").form(form);
    all.by("multipart_invalid", upload("no form".to_owned())).await;
    all.by("file_missing", upload("--b--\r\n".to_owned())).await;
    let file = "Content-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n\u{1}";
    all.by("too_many_files", upload(form(&format!("{file}\r\n--b\r\n{file}")))).await;
    app.script.on(1, Behavior::Fail);
    all.by("guest_trapped", app.ocr("pages=2", 2)).await;
    all.by("pages_failed", app.ocr("format=text", 2)).await;
    app.script.on(1, Behavior::Panic);
    all.by("internal", app.ocr("pages=2", 2)).await;
    app.script.on(1, Behavior::Unreadable);
    all.by("guest_error_unreadable", app.ocr("pages=2", 2)).await;
    app.script.on(1, Behavior::Hang);
    all.by("deadline_exceeded", app.ocr("pages=2&timeout=0.1", 2)).await;
    all.by("route_not_found", app.get("/api/v1/nothing")).await;
    all.by("method_not_allowed", app.get("/api/v1/ocr")).await;
    all.by("problem_not_found", app.get("/problems/nothing")).await;
    all.by("foreign_host", app.ocr("", 1).header("host", "evil.example")).await;
}

async fn deployments(all: &mut Provoked) {
    let app = TestApp::start().await;
    let path = "/api/v1/deployments/greet";
    let put = |options: Value, component: &str| {
        app.request(Method::PUT, path).form(deploy_form(&options.to_string(), component))
    };
    let stored = |options: Value| app.request(Method::PUT, path).json(options);
    let post = |step: &str, body: Value| app.post(&format!("{path}/{step}")).json(body);
    let csv = app.request(Method::PUT, path).header("content-type", "text/csv").body("a");
    all.by("content_type_mismatch", csv).await;
    all.by("component_missing", stored(json!({ "settings": {} }))).await;
    all.by("component_not_found", stored(json!({ "digest": "0".repeat(64) }))).await;
    all.by("component_invalid", put(json!({}), "no component")).await;
    all.by("body_invalid", put(json!({ "nonsense": 1 }), "one")).await;
    all.by("settings_invalid", put(json!({ "settings": [] }), "one")).await;
    all.by("settings_refused", put(json!({ "settings": { "bad": 1 } }), "one")).await;
    all.by("grant_missing", put(json!({ "grants": { "detection": "missing" } }), "one")).await;
    all.by("budget_invalid", put(json!({ "budget": { "compute_ms": 0 } }), "one")).await;
    all.by("wraps_invalid", put(json!({}), "wraps ")).await;
    all.by("batching_plan_failed", put(json!({}), "plans badly")).await;
    let nested = |depth: usize| format!("{{\"settings\":{}7{}}}", "{\"a\":".repeat(depth), "}".repeat(depth));
    all.by("json_too_deep", app.request(Method::PUT, path).form(deploy_form(&nested(40), "one"))).await;
    let name = app.request(Method::PUT, "/api/v1/deployments/No%20Name").form(deploy_form("{}", "one"));
    all.by("name_invalid", name).await;

    app.deploy("", "greet", "one ", json!({ "promote": false })).await;
    all.by("deployment_not_live", app.document(&format!("{path}/ocr"), 1)).await;
    post("promote", json!({ "revision": 1 })).send().await.ok();
    all.by("nothing_before", post("rollback", json!({}))).await;
    all.by("already_live", post("canary", json!({ "revision": 1, "percent": 5 }))).await;
    all.by("revision_not_found", post("promote", json!({ "revision": 7 }))).await;
    all.by("precondition_failed", post("promote", json!({ "revision": 1, "expected_revision": 9 }))).await;
    app.deploy("", "greet", "two ", json!({})).await;
    all.by("percent_invalid", post("canary", json!({ "revision": 2, "percent": 100 }))).await;
    let policy = json!({ "error_rate_max": 7.0 });
    let canary = json!({ "revision": 2, "percent": 5, "rollback_policy": policy });
    all.by("rollback_policy_invalid", post("canary", canary)).await;
    post("promote", json!({ "revision": 2 })).send().await.ok();
    post("rollback", json!({})).send().await.ok();
    all.by("revision_withdrawn", post("promote", json!({ "revision": 2 }))).await;
    all.by("json_too_large", post("promote", json!({ "force": "x".repeat(20_000) }))).await;
    let standard = app.request(Method::DELETE, "/api/v1/deployments/standard");
    all.by("deployment_is_configured", standard).await;
}

async fn tenants(all: &mut Provoked) {
    let app = TestApp::start().await;
    let keys = "/api/v1/admin/keys";
    all.by("admin_key_first", app.post(keys).json(json!({ "tenant": "default" }))).await;
    let made = app.post(keys).json(json!({ "admin": true })).send().await.created();
    let admin = made["key"].as_str().unwrap();
    let id = made["record"]["id"].as_str().unwrap();
    let request = |method: Method, path: &str| app.request(method, path).key(admin);
    all.by("key_missing", app.get("/api/v1/tenant")).await;
    all.by("key_invalid", app.get("/api/v1/tenant").key("lk_nonsense")).await;
    all.by("last_admin_key", request(Method::DELETE, &format!("{keys}/{id}"))).await;
    all.by("key_not_found", request(Method::DELETE, &format!("{keys}/0123456789abcdef"))).await;
    all.by(
        "label_invalid",
        request(Method::POST, keys).json(json!({ "admin": true, "label": "x".repeat(101) })),
    )
    .await;
    let grace = request(Method::POST, &format!("{keys}/{id}/rotate")).json(json!({ "grace_s": 1_u64 << 40 }));
    all.by("grace_invalid", grace).await;
    let tenant = "/api/v1/admin/tenants/acme";
    all.by("tenant_not_found", request(Method::GET, tenant)).await;
    let key = app.tenant(admin, "acme", json!({})).await;
    all.by("admin_only", app.get(keys).key(&key)).await;
    let again = request(Method::PUT, tenant).header("if-none-match", "*").json(json!({}));
    all.by("tenant_exists", again).await;
    all.by(
        "limits_invalid",
        request(Method::PUT, tenant).json(json!({ "limits": { "requests_per_s": 1.0, "burst": 0 } })),
    )
    .await;
    all.by("tenant_is_configured", request(Method::DELETE, "/api/v1/admin/tenants/default")).await;
    let deploy = |key: &str| {
        app.request(Method::PUT, "/api/v1/deployments/mine").key(key).form(deploy_form("{}", "one"))
    };
    all.by("tenant_missing", deploy(admin)).await;
}

#[tokio::test]
async fn every_problem_code_is_provoked_here_or_named_with_its_tests() {
    let mut all = Provoked::default();
    documents(&mut all).await;
    deployments(&mut all).await;
    tenants(&mut all).await;
    assert!(all.1.is_empty(), "other answers: {:#?}", all.1);
    let mut named: Vec<&str> = ELSEWHERE.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
    let twice: Vec<&&str> = named.iter().filter(|code| all.0.contains(**code)).collect();
    assert!(twice.is_empty(), "provoked here: remove from ELSEWHERE: {twice:?}");
    named.extend(&all.0);
    named.sort_unstable();
    let mut listed: Vec<&str> = codes::ALL.iter().map(|entry| entry.code).collect();
    listed.sort_unstable();
    assert_eq!(named, listed, "provoke each code of problem/codes here, or name it in ELSEWHERE");
}

#[test]
fn the_operations_declare_exactly_the_listed_codes() {
    let listed: BTreeSet<&str> = codes::ALL.iter().map(|entry| entry.code).collect();
    let declared = conformance::all_codes();
    // Codes of the APIs of other software, which have documents of their own.
    let undeclared: Vec<&&str> =
        listed.difference(&declared).filter(|code| !code.starts_with("compat_")).collect();
    assert_eq!(undeclared, OF_NO_OPERATION.iter().collect::<Vec<_>>(), "declared by no operation");
    let unlisted: Vec<&&str> = declared.difference(&listed).collect();
    assert!(unlisted.is_empty(), "declared, and not in problem/codes: {unlisted:?}");
}
