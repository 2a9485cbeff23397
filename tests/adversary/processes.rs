//! Processes that die or stop, and a disk that is full.

use std::io::Write;
use std::time::{Duration, Instant};

use lector_tests::gateway::can_mount;
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Answer, Gateway, HANG, paths, process};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use rustix::process::Signal;
use serde_json::json;

use super::arena::{Arena, CONFIG};

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

/// The server and all its processes are killed at once, while documents are read and a component is deployed. Nothing is left
/// running, and the next server has the tenants, their keys and their deployments.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_of_everything_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arena = Arena::start_with(|builder| builder.set("platform.data_dir", data.display())).await;
    let wasm = std::fs::read(paths::repo().join("guest/target/components/echo.wasm")).unwrap();
    let deploy = |gateway: &Gateway, key: &str, name: &str, wasm: Vec<u8>| {
        let options = json!({ "settings": { "greeting": "kept" }, "promote": true });
        let form = Form::new().text("options", options.to_string()).part("component", Part::bytes(wasm));
        let path = format!("/api/v1/deployments/{name}");
        gateway.client.put(gateway.url(&path)).bearer_auth(key).multipart(form).send()
    };
    let answer =
        Answer::read(deploy(&arena.gateway, &arena.victim, "greet", wasm.clone()).await.unwrap()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = arena.key("victim").await;
    let (kept, revoked) = (arena.victim.clone(), made["key"].as_str().unwrap().to_owned());
    let path = format!("/api/v1/keys/{}", made["record"]["id"].as_str().unwrap());
    arena.ask(&kept, Method::DELETE, &path, None).await.ok();

    // A component that was never compiled: a custom section makes it another one.
    let unseen = [&wasm[..], &[0, 5, 4], b"kill"].concat();
    let deploying = tokio::spawn(deploy(&arena.gateway, &arena.attacker, "other", unseen));
    let body = pdf::document(&vec![PageSpec::a4(&["one of many"]); 50]);
    let reading: Vec<_> = (0..4)
        .map(|_| tokio::spawn(arena.gateway.pdf("/api/v1/ocr", body.clone()).bearer_auth(&kept).send()))
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let workers = process::descendants(arena.gateway.pid());
    workers.iter().for_each(|worker| process::signal(*worker, Signal::KILL));
    let arena = std::sync::Arc::into_inner(arena).expect("no attack runs");
    let children = arena.gateway.kill();
    futures::future::join_all(reading).await;
    let _ = deploying.await;
    process::until("its processes end", || !children.iter().any(|&pid| process::alive(pid))).await;

    let gateway = Gateway::builder().config(CONFIG).set("platform.data_dir", data.display()).start().await;
    let page = pdf::document(&[PageSpec::a4(&["still here"])]);
    let request = gateway.pdf("/api/v1/deployments/greet/ocr", page).bearer_auth(&kept);
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert!(answer.ok()["pages"][0]["text"].to_string().contains("kept"), "{}", answer.text());
    let usage = |key: &str| gateway.client.get(gateway.url("/api/v1/usage")).bearer_auth(key).send();
    Answer::read(usage(&revoked).await.unwrap()).await.problem(401, "key_invalid");
    Answer::read(usage(&arena.attacker).await.unwrap()).await.ok();
}

/// A server whose data folder is on a read-only file system does not start, names the folder, and leaves it as it was.
#[tokio::test]
async fn a_read_only_data_folder_is_named_at_the_start() {
    if !can_mount() {
        eprintln!("SKIPPED: this machine allows no user namespace with a file system");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("lector.toml"));
    std::fs::write(&config, CONFIG).unwrap();
    let server = || Gateway::builder().config(CONFIG).set("platform.data_dir", data.display());
    server().start().await.stop().await;
    let mounts = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
    let output = std::process::Command::new("timeout")
        .args(["60", "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounts])
        .arg(&data)
        .arg(paths::lector())
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .env("LECTOR__PLATFORM__DATA_DIR", &data)
        .env("LECTOR__DOCUMENTS__SANDBOX", "warn")
        .current_dir(paths::repo())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&*data.to_string_lossy()), "{stderr}");
    server().start().await.stop().await;
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
