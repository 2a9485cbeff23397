//! What a tenant sees of its guest's log and of its panics.

use std::process::{Command, Stdio};

use lector_tests::{Gateway, HANG, paths};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::server::{ECHO_ONLY, ask, component, deploy, says};

async fn lines(gateway: &Gateway, name: &str, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/deployments/{name}/logs{query}");
    ask(gateway, "", Method::GET, &path, None).await.ok()["lines"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_panic_of_the_smoke_test_is_in_the_problem_and_in_the_log() {
    let gateway = Gateway::builder().config(ECHO_ONLY).start().await;
    let options = json!({ "settings": { "mood": "panic" } });
    let problem =
        deploy(&gateway, "", "broken", component("echo"), options).await.problem(422, "guest_trapped");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("panicked at ") && detail.contains("lib.rs:"), "{problem}");
    assert!(detail.contains("the echo guest panics as configured"), "{problem}");
    // The function of the author, demangled, and none of the standard library.
    assert!(detail.contains("(in echo::") && !detail.contains("panicking"), "{problem}");
    let log = lines(&gateway, "broken", "").await;
    let line = log.iter().find(|line| line["level"] == "error").expect("a line of the panic");
    assert_eq!((&line["revision"], &line["request"]), (&Value::Null, &json!("smoke_test")), "{line}");
    assert!(line["message"].as_str().unwrap().contains("panics as configured"), "{line}");
    ask(&gateway, "", Method::GET, "/api/v1/deployments/nothing/logs", None)
        .await
        .problem(404, "deployment_not_found");
    gateway.stop().await;
}

#[tokio::test]
async fn a_log_is_bounded_and_can_be_followed() {
    let gateway = Gateway::builder().config(ECHO_ONLY).start().await;
    let options = json!({ "settings": { "mood": "chatter" }, "promote": true });
    assert_eq!(deploy(&gateway, "", "chats", component("echo"), options).await.status, 201);
    let mut follower = tokio::process::Command::new(paths::lector())
        .current_dir(paths::repo())
        .args(["--set", &format!("client.server={}", gateway.base), "logs", "chats", "-f", "--revision", "1"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    for _ in 0..4 {
        says(&gateway, "", "chats", "").await.ok();
    }
    let log = lines(&gateway, "chats", "?revision=1").await;
    let bytes: usize = log.iter().map(|line| line["message"].as_str().unwrap().len()).sum();
    assert!(!log.is_empty() && bytes <= 128 << 10, "{} lines of {bytes} bytes", log.len());
    assert!(log.iter().all(|line| line["revision"] == 1));
    let mut printed = BufReader::new(follower.stdout.take().unwrap()).lines();
    // A slow follower may first be told that it missed lines.
    let seen = async {
        while let Some(line) = printed.next_line().await.unwrap() {
            if line.contains("INFO") && line.contains("revision 1") {
                return true;
            }
        }
        false
    };
    assert!(tokio::time::timeout(HANG, seen).await.expect("a line in time"));
    follower.kill().await.unwrap();

    let out = Command::new(paths::lector())
        .current_dir(paths::repo())
        .args(["--set", &format!("client.server={}", gateway.base), "logs", "chats", "--json"])
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(line["deployment"], "chats");
    gateway.stop().await;
}
