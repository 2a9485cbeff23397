//! The operation of a running server: reload of the configuration, replacement without a lost request, `lector bench`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, HANG, paths, process};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::ECHO_ONLY;

fn lector(gateway: &Gateway, args: &[&str]) -> Output {
    let mut command = Command::new(paths::lector());
    command.args(args).env("LECTOR__CLIENT__SERVER", &gateway.base).current_dir(paths::repo());
    command.output().expect("lector runs")
}

fn document() -> Vec<u8> {
    pdf::document(&[PageSpec::a4(&["page"])])
}

async fn logged(gateway: &Gateway, text: &str, times: usize) {
    let what = format!("`{text}` is in the log {times} times");
    process::until(&what, || gateway.log().matches(text).count() >= times).await;
}

#[tokio::test]
async fn a_changed_configuration_is_taken_over_or_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lector.toml");
    let write = |more: &str| std::fs::write(&file, format!("{ECHO_ONLY}\n{more}")).unwrap();
    write("[http]\nbody_bytes_max = 1000000");
    let gateway = Gateway::builder().arg("--config").arg(file.display().to_string()).start().await;
    assert_eq!(gateway.ocr("application/pdf", document(), "").await.status, 200);

    write("[http]\nbody_bytes_max = 100\n[engines]\nqueue_items_max = 7");
    process::signal(gateway.pid(), Signal::HUP);
    logged(&gateway, "configuration reloaded", 1).await;
    gateway.ocr("application/pdf", document(), "").await.problem(413, "body_too_large");
    assert!(
        gateway.log().contains("engines.queue_items_max"),
        "what needs a restart is listed: {}",
        gateway.log()
    );

    write("[http]\nbody_bytes_max = \"many\"");
    process::signal(gateway.pid(), Signal::HUP);
    logged(&gateway, "the configuration was not reloaded", 1).await;
    let output = lector(&gateway, &["config", "reload"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("http.body_bytes_max") && text.contains("config_invalid"), "{text}");
    gateway.ocr("application/pdf", document(), "").await.problem(413, "body_too_large");

    write("[http]\nbody_bytes_max = 1000000");
    for (args, dry_run) in [(&["config", "reload", "--dry-run"][..], true), (&["config", "reload"], false)] {
        let output = lector(&gateway, args);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(report["dry_run"], dry_run);
        assert_eq!(report["applied"][0]["key"], "http.body_bytes_max", "{report}");
        assert_eq!(
            (&report["applied"][0]["from"], &report["applied"][0]["to"]),
            (&100.into(), &1_000_000.into())
        );
        let status = gateway.ocr("application/pdf", document(), "").await.status;
        assert_eq!(status, if dry_run { 413 } else { 200 });
    }
    let audit = gateway.get("/api/v1/admin/audit").await.ok();
    let actors: Vec<&str> = audit["entries"]
        .as_array()
        .unwrap_or_else(|| panic!("{audit}"))
        .iter()
        .filter(|event| event["action"] == "config_reload")
        .map(|event| event["actor"].as_str().unwrap())
        .collect();
    assert_eq!(actors, ["open", "signal"], "newest first: {audit}");
}

/// What a client saw.
#[derive(Debug, Default)]
struct Tally {
    answers: AtomicUsize,
    /// Requests without an answer, or with another status than 200.
    lost: std::sync::Mutex<Vec<String>>,
    longest_ms: AtomicUsize,
    stop: AtomicBool,
}

/// Sends requests one after the other until it is told to stop. Unlike a library it repeats nothing: a connection that is
/// closed on a request is a lost request.
async fn requests(address: SocketAddr, tally: Arc<Tally>, pause: Duration, keep_alive: bool) {
    let body = document();
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let head = format!(
        "POST /api/v1/ocr HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/pdf\r\nconnection: {connection}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), &body].concat();
    let mut open = None;
    while !tally.stop.load(SeqCst) {
        let began = Instant::now();
        match tokio::time::timeout(HANG, exchange(address, open.take(), &request)).await {
            Ok(Ok((200, kept))) => {
                tally.answers.fetch_add(1, SeqCst);
                open = kept;
            }
            other => tally.lost.lock().unwrap().push(format!("{other:?}")),
        }
        tally.longest_ms.fetch_max(began.elapsed().as_millis() as usize, SeqCst);
        tokio::time::sleep(pause).await;
    }
}

/// Sends a request on the open connection or on a new one; returns the status, and the connection if it stays open.
async fn exchange(
    address: SocketAddr,
    open: Option<TcpStream>,
    request: &[u8],
) -> std::io::Result<(u16, Option<TcpStream>)> {
    let mut stream = match open {
        Some(open) => open,
        None => TcpStream::connect(address).await?,
    };
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    let head = loop {
        if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::Error::other("closed before the answer"));
        }
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    let length: usize = field("content-length:").and_then(|value| value.parse().ok()).expect("a length");
    while answer.len() < head + length {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::Error::other("closed in the answer"));
        }
    }
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let closes = field("connection:").is_some_and(|value| value == "close");
    Ok((status, (!closes).then_some(stream)))
}

/// Starts clients: some without a pause, one that thinks between its requests, one with a connection for each.
fn clients(address: SocketAddr) -> (Arc<Tally>, Vec<tokio::task::JoinHandle<()>>) {
    let tally = Arc::new(Tally::default());
    let client = |pause_ms, keep_alive| {
        let pause = Duration::from_millis(pause_ms);
        tokio::spawn(requests(address, tally.clone(), pause, keep_alive))
    };
    let running = vec![client(0, true), client(0, true), client(200, true), client(20, false)];
    (tally, running)
}

async fn more_answers(tally: &Tally, more: usize) {
    let from = tally.answers.load(SeqCst);
    process::until("clients get answers", || tally.answers.load(SeqCst) >= from + more).await;
}

async fn no_request_was_lost(what: &str, tally: &Tally, running: Vec<tokio::task::JoinHandle<()>>) {
    tally.stop.store(true, SeqCst);
    for client in running {
        client.await.unwrap();
    }
    let lost = tally.lost.lock().unwrap();
    let (answers, longest_ms) = (tally.answers.load(SeqCst), tally.longest_ms.load(SeqCst));
    eprintln!("{what}: {} of {answers} requests lost, the longest took {longest_ms} ms", lost.len());
    assert!(lost.is_empty(), "{lost:?}");
}

fn address(gateway: &Gateway) -> SocketAddr {
    gateway.base.trim_start_matches("http://").parse().unwrap()
}

#[tokio::test]
async fn a_replaced_server_loses_no_request() {
    let mut gateway = Gateway::builder().config(ECHO_ONLY).start().await;
    let (tally, running) = clients(address(&gateway));
    more_answers(&tally, 20).await;
    let first = gateway.pid();
    gateway.replace().await;
    assert_ne!(gateway.pid(), first);
    more_answers(&tally, 20).await;
    gateway.replace().await;
    more_answers(&tally, 20).await;
    no_request_was_lost("two replacements", &tally, running).await;
    assert_eq!(gateway.get("/readyz").await.status, 200);
    assert_eq!(gateway.stop().await, 0);
}

#[tokio::test]
async fn a_server_whose_successor_fails_goes_on_to_serve() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lector.toml");
    std::fs::write(&file, ECHO_ONLY).unwrap();
    let gateway = Gateway::builder().arg("--config").arg(file.display().to_string()).start().await;
    std::fs::write(&file, "[platform]\nno_such_key = 1").unwrap();
    process::signal(gateway.pid(), Signal::USR2);
    logged(&gateway, "the server was not replaced", 1).await;
    assert_eq!(gateway.ocr("application/pdf", document(), "").await.status, 200);
    assert_eq!(gateway.stop().await, 0);
}

/// A service manager holds the socket, as systemd does with `lector.socket`, and restarts the server.
#[tokio::test]
async fn a_restart_behind_a_socket_of_the_service_manager_loses_no_request() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = || Gateway::builder().config(ECHO_ONLY).on_socket(&socket);
    let first = server().start().await;
    assert_eq!(address(&first), socket.local_addr().unwrap());
    let (tally, running) = clients(address(&first));
    more_answers(&tally, 20).await;
    assert_eq!(first.stop().await, 0);
    let second = server().start().await;
    more_answers(&tally, 20).await;
    no_request_was_lost("a restart", &tally, running).await;
    assert_eq!(second.stop().await, 0);
}

#[tokio::test]
async fn a_server_is_measured() {
    let gateway = Gateway::builder().config(ECHO_ONLY).start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("two.pdf");
    std::fs::write(&file, pdf::document(&[PageSpec::a4(&["one"]), PageSpec::a4(&["two"])])).unwrap();
    let file = file.to_str().unwrap();
    let bench = |more: &[&str]| {
        let args =
            [&["bench", &gateway.base, file, "--requests", "6", "--clients", "1,3"][..], more].concat();
        lector(&gateway, &args)
    };
    let output = bench(&["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    for (level, clients) in report["levels"].as_array().unwrap().iter().zip([1, 3]) {
        assert_eq!((&level["clients"], &level["pages"]), (&clients.into(), &12.into()), "{report}");
        assert!(level["latency_ms"]["p99"].as_f64().unwrap() > 0.0, "{report}");
    }
    let output = bench(&[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("highest rate"), "{output:?}");
    let output = lector(&gateway, &["bench", &gateway.base, Path::new("Cargo.toml").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "no document: {output:?}");

    let status = gateway.get("/api/v1/admin/status").await.ok();
    assert!(status["totals"]["pages_ok"].as_u64().unwrap() >= 48, "the pages of the bench: {status}");
    assert_eq!(status["draining"], false, "{status}");
}

#[tokio::test]
async fn top_prints_the_state_of_a_server() {
    let gateway = Gateway::builder().config(ECHO_ONLY).start().await;
    assert_eq!(gateway.ocr("application/pdf", document(), "").await.status, 200);
    let output = lector(&gateway, &["top", "--once", "--interval", "0.2"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let head = format!("lector {} at {}, up ", env!("CARGO_PKG_VERSION"), gateway.base);
    assert!(text.starts_with(&head), "{text}");
    assert!(text.contains("pages 0.0/s") && text.contains("Nothing waits."), "{text}");
    for part in ["Tenants", "Lanes", "Engines", "page slots", "render workers"] {
        assert!(text.contains(part), "{part}: {text}");
    }

    // A view needs a terminal; a server that is not there is named.
    let output = lector(&gateway, &["top"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && error.contains("lector top --once"), "{error}");
    let output = lector(&gateway, &["top", "--once", "--server", "http://127.0.0.1:9"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && error.contains("http://127.0.0.1:9 (flag --server)"),
        "{error}"
    );
}
