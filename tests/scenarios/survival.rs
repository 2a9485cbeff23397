//! Durability: mutations interrupted by SIGKILL, and a backup taken while the server runs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lector_tests::answer::all_text;
use lector_tests::{Answer, Gateway, paths};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{ECHO_ONLY, ask, component, deploy, greeting, says};

/// Rounds of the power cuts below; `LECTOR_CRASH_ROUNDS` sets more.
const ROUNDS: u32 = 12;

fn rounds() -> u32 {
    let asked = std::env::var_os("LECTOR_CRASH_ROUNDS").and_then(|rounds| rounds.to_str()?.parse().ok());
    asked.unwrap_or(ROUNDS)
}

/// Returns an instant in a mutation that takes about `length`; the rounds cover the whole of it.
fn instant(round: u32, length: Duration) -> Duration {
    length * (round * 7919 % 61) / 60
}

#[tokio::test]
async fn a_power_cut_at_any_instant_leaves_the_last_acknowledged_state() {
    let folder = tempfile::tempdir().unwrap();
    let rounds = rounds();
    let mut acknowledged = String::from("configured");
    for round in 0..rounds {
        let gateway = server(folder.path()).await;
        let now = live(&gateway, round).await;
        let before = format!("g{}", round.saturating_sub(1));
        assert!(
            now == acknowledged || now == before,
            "round {round}: {now}, acknowledged was {acknowledged}"
        );
        acknowledged = now;
        let options = json!({ "settings": { "greeting": format!("g{round}") }, "promote": true });
        let instant = instant(round, Duration::from_millis(90));
        let answered = tokio::select! {
            biased;
            answer = deploy(&gateway, "", "greet", component("echo"), options) => Some(answer),
            () = tokio::time::sleep(instant) => None,
        };
        if let Some(answer) = answered {
            assert_eq!(answer.status, 201, "{}", answer.text());
            acknowledged = format!("g{round}");
        }
        gateway.kill();
    }
    let gateway = server(folder.path()).await;
    let now = live(&gateway, rounds).await;
    assert!(
        now == acknowledged || now == format!("g{}", rounds - 1),
        "{now}, acknowledged was {acknowledged}"
    );
    // A deploy that was answered survives, on a machine too slow for any of the deploys above, too.
    let options = json!({ "settings": { "greeting": "last" }, "promote": true });
    assert_eq!(deploy(&gateway, "", "greet", component("echo"), options).await.status, 201);
    gateway.kill();
    assert_eq!(live(&server(folder.path()).await, rounds).await, "last");
}

async fn server(data: &Path) -> Gateway {
    Gateway::builder().config(ECHO_ONLY).set("platform.data_dir", data.display()).start().await
}

/// Returns the live revision; before the first deploy it is not one of this test.
async fn live(gateway: &Gateway, round: u32) -> String {
    let answer = says(gateway, "", "greet", "").await;
    if answer.status == 404 {
        assert!(round <= 1 || answer.json()["code"] == "deployment_not_found", "{}", answer.text());
        return String::from("configured");
    }
    all_text(&answer.ok()).split(' ').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_power_cut_in_a_promote_or_a_rollback_leaves_one_of_both_states() {
    let folder = tempfile::tempdir().unwrap();
    let path = "/api/v1/deployments/greet";
    let gateway = server(folder.path()).await;
    for name in ["a", "b"] {
        let options = json!({ "settings": { "greeting": name }, "promote": true });
        assert_eq!(deploy(&gateway, "", "greet", component("echo"), options).await.status, 201);
    }
    gateway.kill();
    let (mut live, mut cut) = ("b".to_owned(), 0);
    for round in 0..rounds() {
        let gateway = server(folder.path()).await;
        let now = greeting(&gateway, "greet").await;
        assert!(["a", "b"].contains(&now.as_str()), "round {round}: {now}");
        assert!(live.is_empty() || now == live, "round {round}: {now}, acknowledged was {live}");
        let before = ask(&gateway, "", Method::GET, path, None).await.ok();
        // A rollback in every other round, if there is a previous route; else a promotion of the other revision.
        let back = round % 2 == 1 && !before["previous"].is_null();
        let other = if now == "a" { 2 } else { 1 };
        let (operation, body) = match back {
            true => ("rollback", None),
            false => ("promote", Some(json!({ "revision": other, "force": true }))),
        };
        let operation = format!("{path}/{operation}");
        let answered = tokio::select! {
            biased;
            answer = ask(&gateway, "", Method::POST, &operation, body) => Some(answer.ok()),
            () = tokio::time::sleep(instant(round, Duration::from_millis(6))) => None,
        };
        cut += u32::from(answered.is_none());
        // Not acknowledged: either state is valid, and the next start shows which.
        live = answered.map_or_else(String::new, |view| {
            if view["weights"][0]["revision"] == 1 { "a".to_owned() } else { "b".to_owned() }
        });
        gateway.kill();
    }
    eprintln!("{cut} of {} mutations were interrupted", rounds());
    let gateway = server(folder.path()).await;
    let now = greeting(&gateway, "greet").await;
    assert!(live.is_empty() || now == live, "{now}, acknowledged was {live}");
    consistent(&gateway, "").await;
}

/// Asserts that every change in the audit log starts from the state of the one before.
async fn consistent(gateway: &Gateway, key: &str) {
    let audit = ask(gateway, key, Method::GET, "/api/v1/audit?limit=1000", None).await.ok();
    let entries = audit["entries"].as_array().unwrap();
    let routes: Vec<&Value> = entries
        .iter()
        .filter(|entry| entry["target"] == "greet" && entry["to"]["version"].is_u64())
        .collect();
    for pair in routes.windows(2) {
        assert_eq!(pair[0]["from"]["version"], pair[1]["to"]["version"], "{pair:?}");
        assert_eq!(pair[0]["from"]["weights"], pair[1]["to"]["weights"], "{pair:?}");
    }
}

#[tokio::test]
async fn a_power_cut_in_a_rotation_leaves_one_good_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admin.key");
    let start = async || {
        let gateway = Gateway::builder()
            .config(ECHO_ONLY)
            .set("platform.data_dir", folder.path().join("data").display());
        // Set once: an existing file would be an error.
        if file.exists() { gateway } else { gateway.set("platform.admin_key_file", file.display()) }
            .start()
            .await
    };
    let gateway = start().await;
    let admin = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let tenant = "/api/v1/admin/tenants/acme";
    assert_eq!(ask(&gateway, &admin, Method::PUT, tenant, Some(json!({}))).await.status, 201);
    let make = json!({ "tenant": "acme" });
    let made = ask(&gateway, &admin, Method::POST, "/api/v1/admin/keys", Some(make)).await.json();
    let mut known = Some(made["key"].as_str().unwrap().to_owned());
    gateway.kill();
    for round in 0..rounds() {
        let gateway = start().await;
        let list = ask(&gateway, &admin, Method::GET, "/api/v1/admin/keys", None).await.ok();
        let good: Vec<&Value> = list["keys"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|key| key["active"] == true && key["scope"]["tenant"] == "acme")
            .collect();
        assert_eq!(good.len(), 1, "round {round}: {list}");
        let id = good[0]["id"].as_str().unwrap().to_owned();
        if let Some(key) = &known {
            says(&gateway, key, "echo", "").await.ok();
        }
        let old = known.take();
        let rotate = format!("/api/v1/admin/keys/{id}/rotate");
        let answered = tokio::select! {
            biased;
            answer = ask(&gateway, &admin, Method::POST, &rotate, None) => Some(answer),
            () = tokio::time::sleep(instant(round, Duration::from_millis(6))) => None,
        };
        if let Some(answer) = answered {
            known =
                Some(answer.json()["key"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned());
            if let Some(old) = old {
                says(&gateway, &old, "echo", "").await.problem(401, "key_invalid");
            }
        }
        gateway.kill();
    }
}

/// Runs a command on a data folder, and returns its output.
pub fn lector(data: &Path, arguments: &[&str]) -> String {
    let output = Command::new(paths::lector())
        .args(arguments)
        .env("LECTOR__PLATFORM__DATA_DIR", data)
        .current_dir(paths::repo())
        .output()
        .expect("lector runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_backup_taken_while_serving_serves_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy, back) =
        (folder.path().join("data"), folder.path().join("copy"), folder.path().join("back"));
    let gateway = server(&data).await;
    let options = json!({ "settings": { "greeting": "kept" }, "promote": true });
    assert_eq!(deploy(&gateway, "", "greet", component("echo"), options).await.status, 201);
    // Pages and mutations continue meanwhile.
    let copying = tokio::task::spawn_blocking({
        let (data, copy) = (data.clone(), copy.clone());
        move || lector(&data, &["backup", copy.to_str().unwrap()])
    });
    let mut pages = 0;
    while !copying.is_finished() || pages < 3 {
        let options = json!({ "settings": { "greeting": format!("later {pages}") } });
        let path = "/api/v1/deployments/greet";
        let answer: Answer = ask(&gateway, "", Method::PUT, path, Some(options)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(greeting(&gateway, "greet").await, "kept");
        pages += 1;
    }
    copying.await.unwrap();
    lector(&back, &["restore", copy.to_str().unwrap()]);
    let restored = server(&back).await;
    assert_eq!(greeting(&restored, "greet").await, "kept");
    let options = json!({ "settings": { "greeting": "new" }, "promote": true });
    assert_eq!(deploy(&restored, "", "greet", component("echo"), options).await.status, 201);
    assert_eq!(greeting(&restored, "greet").await, "new");
    assert_eq!(greeting(&gateway, "greet").await, "kept", "the restored server is separate");
}
