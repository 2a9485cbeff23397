//! A tenant whose documents take long to open or to render, beside another tenant: real PDFs, real render workers.
//!
//! `host/crates/document/src/pool/work/tests.rs` tests the same order with fake workers, without a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Answer, Gateway, GatewayBuilder};
use serde_json::json;

use crate::server::{tenant, until};

/// Documents that the attacker sends at once.
const ATTACKS: usize = 24;
/// Documents of the victim, one after another.
const VICTIMS: usize = 3;
/// Number of the attacker's documents that may end while one of the victim's is read: none has to, because a worker is in
/// reserve, but the attacker's two workers go on meanwhile.
const ENDED_MAX: usize = 4;

/// A guest that renders its page, and two render workers for a tenant.
fn gateway() -> GatewayBuilder {
    Gateway::builder()
        .config(
            "[platform]\ndefault_deployment = \"drawn\"\n[[deployments]]\nname = \"drawn\"\n\
             component = \"guest/target/components/echo.wasm\"\nsettings = { mood = \"render\" }\n",
        )
        .set("documents.workers", 2)
}

async fn read(gateway: &Gateway, key: &str, document: Vec<u8>) -> Answer {
    let request = gateway.pdf("/api/v1/deployments/drawn/ocr", document).bearer_auth(key);
    Answer::read(request.send().await.expect("an answer")).await
}

/// Sends the attacker's documents, then reads the victim's while they wait. Returns the attacker's answers.
async fn attack(builder: GatewayBuilder, document: Vec<u8>) -> Vec<Answer> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admin.key");
    let gateway = Arc::new(builder.set("platform.admin_key_file", file.display()).start().await);
    let admin = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let attacker = tenant(&gateway, &admin, "attacker", json!({})).await;
    let victim = tenant(&gateway, &admin, "victim", json!({})).await;
    let letter = || pdf::document(&[PageSpec::a4(&["A page like any other"])]);
    read(&gateway, &victim, letter()).await.ok();

    let ended = Arc::new(AtomicUsize::new(0));
    let attacks: Vec<_> = (0..ATTACKS)
        .map(|_| {
            let (gateway, key, document) = (gateway.clone(), attacker.clone(), document.clone());
            let ended = ended.clone();
            tokio::spawn(async move {
                let answer = read(&gateway, &key, document).await;
                ended.fetch_add(1, Ordering::SeqCst);
                answer
            })
        })
        .collect();
    let line = format!("lector_documents_in_flight {ATTACKS}\n");
    until("every document of the attacker is admitted", async || {
        gateway.get("/metrics").await.text().contains(&line)
    })
    .await;
    for number in 0..VICTIMS {
        let before = ended.load(Ordering::SeqCst);
        read(&gateway, &victim, letter()).await.ok();
        let meanwhile = ended.load(Ordering::SeqCst) - before;
        assert!(meanwhile <= ENDED_MAX, "document {number} waited for {meanwhile} of the attacker's");
    }
    assert!(ended.load(Ordering::SeqCst) < ATTACKS, "the attack lasted longer than the victim's documents");
    futures::future::join_all(attacks).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn documents_that_take_long_to_open_delay_another_tenant_by_one_of_them() {
    let document = pdf::chained_cross_references(250);
    assert!(document.len() < 100_000, "{} bytes", document.len());
    attack(gateway(), document).await;
}

#[tokio::test]
async fn pages_that_take_long_to_render_end_at_the_limit_of_computing_time() {
    let document = pdf::fine_tiling();
    assert!(document.len() < 1_000, "{} bytes", document.len());
    let answers = attack(gateway().set("documents.page_cpu_s", 1), document).await;
    for answer in answers {
        assert!(answer.text().contains("page_cpu_exceeded"), "{}", answer.text());
    }
}

#[tokio::test]
async fn the_server_states_what_its_sandbox_lacks() {
    let gateway = gateway().start().await;
    let ready = gateway.get("/readyz").await.ok();
    let workers = &ready["parts"]["workers"];
    let missing = workers["sandbox_missing"].as_array().unwrap().len();
    let named = workers["sandbox"][0].as_str().unwrap().matches("MISSING").count();
    assert_eq!(missing, named, "{workers}");
}
