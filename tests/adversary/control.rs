//! Attacks on the control plane, the log and open routes.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Answer, Gateway, HANG};
use reqwest::Method;
use serde_json::{Value, json};

use super::arena::{Arena, Attack};

/// Sends requests from 8 clients at the attacker's address until the attack is over.
async fn requests(
    arena: Arc<Arena>,
    make: impl Fn(&Arena) -> reqwest::RequestBuilder + Send + Sync + 'static,
) -> u64 {
    let client = async || {
        let mut sent = 0_u64;
        while !arena.is_over() {
            let answer = make(&arena).send().await;
            if let Ok(answer) = answer {
                assert_ne!(answer.status().as_u16(), 500);
                let _ = answer.bytes().await;
            }
            sent += 1;
        }
        sent
    };
    futures::future::join_all((0..8).map(|_| client())).await.into_iter().sum()
}

fn failed_key(arena: &Arena) -> reqwest::RequestBuilder {
    let key = format!("lk_{}_{}", "0".repeat(16), "0".repeat(64));
    arena.client.get(arena.gateway.url("/api/v1/usage")).bearer_auth(key)
}

fn deep_json(arena: &Arena) -> reqwest::RequestBuilder {
    let body = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let request = arena.client.post(arena.gateway.url("/api/v1/keys")).bearer_auth(&arena.attacker);
    request.header("content-type", "application/json").body(body)
}

/// Returns the attacks by requests, each with its name.
pub fn attacks(arena: &Arc<Arena>) -> Vec<(&'static str, Attack)> {
    let readyz = |arena: &Arena| arena.client.get(arena.gateway.url("/readyz"));
    vec![
        ("/readyz floods", Box::pin(requests(arena.clone(), readyz)) as Attack),
        ("failed keys", Box::pin(requests(arena.clone(), failed_key)) as Attack),
        ("deep JSON", Box::pin(requests(arena.clone(), deep_json)) as Attack),
        ("event streams", Box::pin(event_streams(arena.clone())) as Attack),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_and_with_a_key() {
    let arena = Arena::start().await;
    for (name, attack) in attacks(&arena) {
        arena.beside(name, attack).await;
        if name == "failed keys" {
            let throttled = Answer::read(failed_key(&arena).send().await.unwrap()).await;
            throttled.problem(429, "auth_throttled");
            // The limit of the attacker's address is not that of another one.
            arena.ask("lk_wrong", Method::GET, "/api/v1/usage", None).await.problem(401, "key_invalid");
        }
    }
}

/// Opens event streams until the limit of the tenant, and holds them.
async fn event_streams(arena: Arc<Arena>) -> u64 {
    let (mut held, mut refused) = (Vec::new(), 0_u64);
    while !arena.is_over() || refused == 0 {
        let request = arena.client.get(arena.gateway.url("/api/v1/events")).bearer_auth(&arena.attacker);
        match request.send().await {
            Ok(answer) if answer.status() == 200 => held.push(answer),
            Ok(answer) => {
                let refusal = Answer::read(answer).await;
                // Beside other attacks of this address, its connections may all be in use before the streams of its tenant are.
                let code = refusal.json()["code"].as_str().unwrap_or_default().to_owned();
                assert!(
                    ["too_many_event_streams", "connections_full"].contains(&code.as_str()),
                    "{}",
                    refusal.text()
                );
                refused += 1;
            }
            Err(_) => {}
        }
    }
    held.len() as u64 + refused
}

#[tokio::test(flavor = "multi_thread")]
async fn event_streams_end_with_their_key() {
    let arena = Arena::start().await;
    let made = arena.key("victim").await;
    let (key, id) = (made["key"].as_str().unwrap(), made["record"]["id"].as_str().unwrap());
    let events = arena.gateway.client.get(arena.gateway.url("/api/v1/events")).bearer_auth(key);
    let mut stream = events.send().await.unwrap().bytes_stream();
    let path = format!("/api/v1/keys/{id}");
    arena.ask(&arena.victim, Method::DELETE, &path, None).await.ok();
    let mut received = Vec::new();
    while let Some(chunk) = tokio::time::timeout(HANG, stream.next()).await.expect("the stream ends") {
        received.extend(chunk.unwrap());
    }
    let text = String::from_utf8_lossy(&received).into_owned();
    assert!(!text.contains("event: audit"), "a revoked key hears nothing: {text}");
}

#[tokio::test]
async fn a_client_cannot_forge_log_lines() {
    let arena = Arena::start_with(|builder| builder.set("log.filter", "info")).await;
    let evil = "x\n2026-01-01T00:00:00Z ERROR forged by a client \u{1b}[31m";
    let page = pdf::document(&[PageSpec::a4(&["a page"])]);
    let part = reqwest::multipart::Part::bytes(page).file_name(evil);
    let form = reqwest::multipart::Form::new().part("file", part);
    let batch = arena.client.post(arena.gateway.url("/api/v1/ocr/batch")).bearer_auth(&arena.attacker);
    batch.multipart(form).send().await.unwrap().bytes().await.unwrap();
    for path in ["/%0aforged%1b", "/api/v1/deployments/%0aforged%1b/ocr"] {
        arena.attack(path, "application/pdf", "x").await;
    }
    let label = json!({ "label": evil });
    arena.ask(&arena.attacker, Method::POST, "/api/v1/keys", Some(label)).await.problem(422, "label_invalid");
    let log = arena.gateway.log();
    assert!(log.contains("answered"), "{log}");
    assert!(!log.contains('\u{1b}'), "no escape code of a client: {log}");
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01") || line.starts_with("forged")), "{log}");
}

/// Requests of a web page whose name resolves to this machine (DNS rebinding), or of a page of another site, to every
/// route of a server without keys.
#[tokio::test]
async fn an_open_server_refuses_web_pages_on_every_route() {
    let config = "[platform]\ndefault_deployment = \"echo\"\n[[deployments]]\nname = \"echo\"\n\
                  component = \"guest/target/components/echo.wasm\"\n";
    let gateway = Gateway::builder().config(config).start().await;
    let openapi = gateway.get("/openapi.json").await.ok();
    let port = gateway.base.rsplit(':').next().unwrap().to_owned();
    let own = format!("127.0.0.1:{port}");
    let evil = format!("evil.example:{port}");
    let (own, evil) = (own.as_str(), evil.as_str());
    let foreign: [&[(&str, &str)]; 4] = [
        &[("host", evil)],
        &[("host", evil), ("origin", "http://evil.example")],
        &[("host", own), ("origin", "http://evil.example")],
        &[("host", own), ("sec-fetch-site", "cross-site")],
    ];
    let mut seen = 0;
    for (path, item) in openapi["paths"].as_object().unwrap() {
        if !path.starts_with("/api/") {
            continue;
        }
        for method in ["get", "put", "post", "delete"].into_iter().filter(|method| item.get(method).is_some())
        {
            let url = gateway.url(
                &path
                    .replace("{name}", "echo")
                    .replace("{number}", "1")
                    .replace("{id}", "k")
                    .replace("{tenant}", "default"),
            );
            for headers in foreign {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let mut request = gateway.client.request(method, &url);
                for (name, value) in headers {
                    request = request.header(*name, *value);
                }
                let answer = Answer::read(request.body("%PDF-1.7").send().await.unwrap()).await;
                answer.problem(403, "foreign_host");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "only {seen} requests");
    // Open routes tell nothing about tenants.
    let metrics = gateway.client.get(gateway.url("/metrics")).header("host", "evil.example");
    let text = Answer::read(metrics.send().await.unwrap()).await.text();
    assert!(text.contains("lector_metrics_tenant_labels 0") && !text.contains("tenant=\""), "{text}");
    let local = gateway.get("/metrics").await.text();
    assert!(
        local.contains("lector_metrics_tenant_labels 1") && local.contains("tenant=\"default\""),
        "{local}"
    );
}

/// Metrics of a server with keys: without a key, with a tenant's, with an administrator's, and on the private address.
#[tokio::test]
async fn tenant_labels_need_an_administrator_or_the_private_address() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let arena = Arena::start_with(|builder| builder.set("http.metrics_listen", &listen)).await;
    let has_tenants = |text: &str| text.contains("tenant=\"");
    assert!(!has_tenants(&arena.gateway.get("/metrics").await.text()));
    arena.ask(&arena.victim, Method::GET, "/metrics", None).await.problem(403, "admin_only");
    assert!(has_tenants(&arena.ask(&arena.admin, Method::GET, "/metrics", None).await.text()));
    let private = |path: &str| arena.gateway.client.get(format!("http://{listen}{path}")).send();
    assert!(has_tenants(&private("/metrics").await.unwrap().text().await.unwrap()));
    assert_eq!(private("/api/v1/usage").await.unwrap().status().as_u16(), 404);
}

/// A picture of 1 x 100,000,000 pixels and other documents are the client's fault, never a server error.
#[tokio::test]
async fn documents_are_client_errors() {
    let arena = Arena::start().await;
    let png = |width: u32, height: u32| {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
        bytes.extend([8, 0, 0, 0, 0]);
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[12..]);
        bytes.extend(crc.sum().to_be_bytes());
        bytes.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82");
        bytes
    };
    let narrow = pdf::assemble(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 1 14400] /UserUnit 10 >>".to_vec(),
    ]);
    let documents: [(&str, &str, Vec<u8>); 8] = [
        ("a long picture", "image/png", png(1, 100_000_000)),
        ("a wide picture", "image/png", png(100_000_000, 1)),
        ("a picture of no pixels", "image/png", png(0, 10)),
        ("a large picture", "image/png", png(60_000, 60_000)),
        ("a narrow page", "application/pdf", narrow),
        ("no pages", "application/pdf", pdf::without_pages()),
        ("noise", "application/pdf", b"%PDF-1.7 noise".to_vec()),
        ("nothing", "application/pdf", Vec::new()),
    ];
    for (name, content_type, bytes) in documents {
        let request = arena.gateway.client.post(arena.gateway.url("/api/v1/ocr?text_layer=never&dpi=300"));
        let request = request.header("content-type", content_type).bearer_auth(&arena.victim).body(bytes);
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert!(answer.status < 500, "{name}: {}", answer.text());
    }
}

/// However many clients ask, a readiness check reads at most one page of each deployment in 10 s.
#[tokio::test]
async fn a_readiness_check_costs_little() {
    let arena = Arena::start().await;
    let cpu = |pid: u32| -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = text[text.rfind(')').unwrap() + 2..].split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let pages = async || {
        let metrics = arena.gateway.get("/metrics").await.text();
        let line = metrics.lines().find(|line| line.starts_with("lector_guest_instances_started_total"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).expect("the metric exists")
    };
    let (before, began, used) = (pages().await, Instant::now(), cpu(arena.gateway.pid()));
    let mut asked = 0;
    while began.elapsed().as_secs() < 3 {
        let report: Value = arena.gateway.get("/readyz").await.ok();
        assert_eq!(report["status"], "ready");
        asked += 1;
    }
    let (checks, ticks) = (pages().await - before, cpu(arena.gateway.pid()) - used);
    eprintln!("{asked} readiness checks in 3 s: {checks} pages, {ticks} ticks of processor time");
    assert!(checks <= 1, "{asked} requests read {checks} pages");
}
