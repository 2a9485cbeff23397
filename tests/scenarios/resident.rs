//! The duration of a deploy, and the memory of loaded revisions.

use std::time::Instant;

use lector_tests::answer::all_text;
use lector_tests::{Gateway, process, quantile};
use reqwest::Method;
use serde_json::json;

use crate::server::{ask, component, deploy, metric, says, unseen, until};

/// In the suite it asserts counts: revisions of one component share it in memory, each other component is one more, and
/// after a restart every revision is back with the same components, and reads. Times and bytes are only printed there;
/// `cargo xtask bench deploys` runs it long and asserts the targets of a deploy.
#[tokio::test]
async fn a_deploy_and_a_server_of_many_revisions() {
    let strict = std::env::var_os("LECTOR_BENCH").is_some_and(|name| name == "deploys");
    let (revisions, builds) = if strict { (200, 50) } else { (10, 2) };
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        Gateway::builder()
            .set("log.filter", "error")
            .set("guests.code_cache_dir", folder.path().join("code").display())
            .set("platform.data_dir", folder.path().join("data").display())
    };
    let began = Instant::now();
    builder().start().await.stop().await;
    let cold_s = began.elapsed().as_secs_f64();
    let gateway = builder().start().await;
    let loaded = metric(&gateway, "lector_components").await;
    let put = async |name: &str, wasm: Option<Vec<u8>>, settings: serde_json::Value| {
        let began = Instant::now();
        let options = json!({ "settings": settings, "promote": true });
        let answer = match wasm {
            Some(wasm) => deploy(&gateway, "", name, wasm, options).await,
            None => {
                let digest = shared_component(&gateway).await;
                let mut options = options;
                options["digest"] = digest.into();
                ask(&gateway, "", Method::PUT, &format!("/api/v1/deployments/{name}"), Some(options)).await
            }
        };
        assert_eq!(answer.status, 201, "{}", answer.text());
        (began.elapsed().as_secs_f64(), answer.json()["stages"].clone())
    };
    let (cold, stages) = put("timed", Some(unseen("standard", "cold")), json!({})).await;
    let mut warm: Vec<f64> = Vec::new();
    for _ in 0..5 {
        warm.push(put("timed", Some(component("standard")), json!({})).await.0);
    }
    warm.sort_by(f64::total_cmp);
    eprintln!("deploy of the standard guest, cold code cache {cold:.3} s ({stages})");
    eprintln!("deploy with a warm code cache, median of 5: {:.3} s", quantile(&warm, 0.5));

    let same_as_configured = async || metric(&gateway, "lector_components").await == loaded;
    until("the replaced component is freed", same_as_configured).await;
    let before = process::resident(gateway.pid());
    for number in 0..revisions {
        put(&format!("same-{number}"), None, json!({})).await;
    }
    assert_eq!(metric(&gateway, "lector_components").await, loaded, "revisions of one component share it");
    let same = process::resident(gateway.pid());
    for number in 0..builds {
        put(&format!("build-{number}"), Some(unseen("standard", &format!("b{number}"))), json!({})).await;
    }
    assert_eq!(
        metric(&gateway, "lector_components").await,
        loaded + builds as f64,
        "one more for each build"
    );
    let different = process::resident(gateway.pid());
    let each = |from: u64, to: u64, count: usize| (to as f64 - from as f64) / 1024.0 / count as f64;
    eprintln!(
        "resident: {} MiB before; {revisions} revisions of one component {:.0} KiB each; {builds} of as many \
         components {:.0} KiB each",
        before >> 20,
        each(before, same, revisions),
        each(same, different, builds),
    );
    gateway.stop().await;
    let began = Instant::now();
    let gateway = builder().start().await;
    let all_s = began.elapsed().as_secs_f64();
    eprintln!(
        "start until ready: {cold_s:.2} s with nothing compiled (and its stop), {all_s:.2} s with {} revisions, resident {} MiB",
        revisions + builds + 4,
        process::resident(gateway.pid()) >> 20,
    );
    // Every revision came back, and reads.
    assert_eq!(metric(&gateway, "lector_components").await, loaded + builds as f64, "after the restart");
    let listed = ask(&gateway, "", Method::GET, "/api/v1/deployments", None).await.ok();
    let named = |prefix: &str| {
        let names = listed["deployments"].as_array().unwrap().iter().filter_map(|of| of["name"].as_str());
        names.filter(|name| name.starts_with(prefix)).count()
    };
    assert_eq!((named("same-"), named("build-")), (revisions, builds), "{listed}");
    for name in ["timed".to_owned(), format!("same-{}", revisions - 1), format!("build-{}", builds - 1)] {
        let text = all_text(&says(&gateway, "", &name, "").await.ok());
        assert!(text.contains("page"), "{name}: {text}");
    }
    assert!(!strict || (cold < 2.0 && warm[2] < 0.3), "cold {cold:.3} s, warm {:.3} s", warm[2]);
}

/// Returns the digest of the component of the shared deployment `standard`.
async fn shared_component(gateway: &Gateway) -> String {
    let standard = ask(gateway, "", Method::GET, "/api/v1/deployments/standard", None).await.ok();
    standard["revisions"][0]["component"].as_str().unwrap().to_owned()
}
