//! Processes that die or stop, and a disk that is full.

use std::io::Write;
use std::time::{Duration, Instant};

use lector_tests::gateway::can_mount;
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{HANG, process};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use rustix::process::Signal;
use serde_json::json;

use super::arena::Arena;

/// Waits until a page of the victim is read.
async fn until_read(arena: &Arena) {
    let body = pdf::document(&[PageSpec::a4(&["still here"])]);
    let end = Instant::now() + HANG;
    loop {
        let request = arena.gateway.pdf("/api/v1/ocr", body.clone()).bearer_auth(&arena.victim);
        if request.send().await.is_ok_and(|answer| answer.status() == 200) {
            return;
        }
        assert!(Instant::now() < end, "no page is read:\n{}", arena.gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_stopped_workers_are_replaced() {
    let arena = Arena::start_with(|builder| {
        builder.set("documents.open_timeout_s", 2).set("documents.text_timeout_s", 2)
    })
    .await;
    until_read(&arena).await;
    for _ in 0..5 {
        for worker in process::descendants(arena.gateway.pid()) {
            process::signal(worker, Signal::KILL);
        }
        until_read(&arena).await;
    }
    // A worker that is stopped exceeds its time limit, and is replaced.
    for worker in process::descendants(arena.gateway.pid()).into_iter().take(1) {
        process::signal(worker, Signal::STOP);
    }
    until_read(&arena).await;
    // All of them.
    for worker in process::descendants(arena.gateway.pid()) {
        process::signal(worker, Signal::STOP);
    }
    until_read(&arena).await;
    arena.victim().await;
}

/// On a full disk documents are read, and keys revoked and deployments rolled back; other changes are refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_reading_revocation_and_rollback() {
    if !can_mount() {
        eprintln!("SKIPPED: this machine allows no user namespace with a file system");
        return;
    }
    let arena = Arena::start_with(|builder| builder.on_small_disk(48)).await;
    let wasm = lector_tests::paths::repo().join("guest/target/components/echo.wasm");
    let wasm = std::fs::read(wasm).unwrap();
    let deploy = async |greeting: &str| {
        let options = json!({ "settings": { "greeting": greeting }, "promote": true });
        let form =
            Form::new().text("options", options.to_string()).part("component", Part::bytes(wasm.clone()));
        let request = arena.gateway.client.put(arena.gateway.url("/api/v1/deployments/greet"));
        lector_tests::Answer::read(request.bearer_auth(&arena.victim).multipart(form).send().await.unwrap())
            .await
    };
    for greeting in ["one", "two"] {
        let answer = deploy(greeting).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let made = arena.key("victim").await;
    let id = made["record"]["id"].as_str().unwrap();

    let mut ballast = std::fs::File::create(arena.gateway.data().join("ballast")).unwrap();
    let block = vec![7_u8; 64 << 10];
    let mut step = block.len();
    while step > 0 {
        match ballast.write(&block[..step]) {
            Ok(written) if written > 0 => {}
            _ => step /= 2,
        }
    }
    deploy("three").await.problem(503, "storage_full");
    arena.victim().await;
    let path = format!("/api/v1/keys/{id}");
    arena.ask(&arena.victim, Method::DELETE, &path, None).await.ok();
    arena.ask(&arena.victim, Method::POST, "/api/v1/deployments/greet/rollback", None).await.ok();
    arena
        .ask(made["key"].as_str().unwrap(), Method::GET, "/api/v1/usage", None)
        .await
        .problem(401, "key_invalid");
    drop(ballast);
    std::fs::remove_file(arena.gateway.data().join("ballast")).unwrap();
    let answer = deploy("four").await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}
