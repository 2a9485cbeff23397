//! Attacks with documents.

use std::sync::Arc;

use lector_tests::pdf;

use super::arena::{Arena, Attack, minutes};
use super::files;

/// Concurrent clients of an attack.
const CLIENTS: usize = 4;

/// Path of a deployment that renders its pages.
pub const DRAWN_PATH: &str = "/api/v1/deployments/drawn/ocr";

/// Posts the documents in turn until the attack is over, at least each once. No document is a server error.
pub async fn post(arena: Arc<Arena>, path: &'static str, documents: Vec<(&'static str, Vec<u8>)>) -> u64 {
    let attackers = vec![arena.attacker.clone()];
    post_as(arena, attackers, path, documents).await
}

/// As [`post`], with the keys of several tenants, each with as many clients.
pub async fn post_as(
    arena: Arc<Arena>,
    attackers: Vec<String>,
    path: &'static str,
    documents: Vec<(&'static str, Vec<u8>)>,
) -> u64 {
    send(arena, attackers, path, documents, false).await
}

/// As [`post_as`], where a page may also be a server error: that of a guest which traps.
pub async fn flood(
    arena: Arc<Arena>,
    attackers: Vec<String>,
    path: &'static str,
    documents: Vec<(&'static str, Vec<u8>)>,
) -> u64 {
    send(arena, attackers, path, documents, true).await
}

async fn send(
    arena: Arc<Arena>,
    attackers: Vec<String>,
    path: &'static str,
    documents: Vec<(&'static str, Vec<u8>)>,
    may_trap: bool,
) -> u64 {
    let client = async |key: &str, first: usize| {
        let mut sent = 0_u64;
        while !arena.is_over() || sent < documents.len() as u64 {
            let (content_type, bytes) = &documents[(first + sent as usize) % documents.len()];
            let status = arena.attack_as(key, path, content_type, bytes.clone()).await;
            assert!(may_trap || status != 500, "{path}: {content_type} of {} bytes", bytes.len());
            sent += 1;
        }
        sent
    };
    let clients = attackers.iter().flat_map(|key| (0..CLIENTS).map(move |first| (key, first)));
    futures::future::join_all(clients.map(|(key, first)| client(key, first))).await.into_iter().sum()
}

const PDF: &str = "application/pdf";

/// A guest that reads embedded text, and `drawn`, the same one, which renders its page.
const DRAWN: &str = "[http]\nconnections_max = 256\n[platform]\ndefault_deployment = \"echo\"\n[[deployments]]\n\
     name = \"echo\"\ncomponent = \"guest/target/components/echo.wasm\"\n[[deployments]]\nname = \"drawn\"\n\
     component = \"guest/target/components/echo.wasm\"\nsettings = { mood = \"render\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn bombs() {
    // A document that is stuck ends soon after the attack.
    let arena = Arena::start_with(|builder| {
        let builder = builder.config(DRAWN).set("documents.open_timeout_s", 3);
        builder.set("documents.render_timeout_s", 3)
    })
    .await;
    for (name, attack) in attacks(&arena) {
        arena.beside(name, attack).await;
    }
}

/// Returns the attacks by documents that are larger or slower than they look, each with its name.
pub fn attacks(arena: &Arc<Arena>) -> Vec<(&'static str, Attack)> {
    let form = "multipart/form-data; boundary=b";
    let forms = files::forms().map(|bytes| (form, bytes)).to_vec();
    let mut bombs = vec![(PDF, pdf::content_bomb(200 << 20)), (PDF, pdf::image_bomb(12_000))];
    bombs.extend(files::filters().map(|bytes| (PDF, bytes)));
    let trees = files::page_trees().map(|bytes| (PDF, bytes)).to_vec();
    let words = vec![(PDF, pdf::word_bomb(12, 60, 150))];
    let chains = vec![(PDF, files::chained_tables())];
    let posted = |path: &'static str, documents: Vec<(&'static str, Vec<u8>)>| {
        Box::pin(post(arena.clone(), path, documents)) as Attack
    };
    vec![
        ("multipart bombs", posted("/api/v1/ocr/batch", forms)),
        ("picture bombs", posted(DRAWN_PATH, files::pictures())),
        ("PDF bombs", posted(DRAWN_PATH, bombs)),
        ("page trees of 100,000", posted("/api/v1/ocr?pages=1", trees)),
        ("word bombs", posted("/api/v1/ocr?text_layer=only&words=true", words)),
        ("PDFs that open slowly", posted("/api/v1/ocr", chains)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_renders() {
    let arena = Arena::start_with(|builder| builder.config(DRAWN).set("documents.render_timeout_s", 2)).await;
    let tiles = vec![(PDF, files::tiling())];
    arena.beside("PDFs that render slowly", post(arena.clone(), DRAWN_PATH, tiles.clone())).await;

    // As many tenants as workers, the one in reserve included. The victim waits for the shortest of their jobs to be slow and
    // give way, and for the start of a process.
    let mut attackers = vec![arena.attacker.clone()];
    for name in ["second", "third", "fourth"] {
        attackers.push(arena.tenant(name).await);
    }
    // The short form finds waits of many seconds, and does not measure.
    let most = |alone: f64| 3.0 * alone + if minutes().is_some() { 1_500.0 } else { 5_000.0 };
    let attack = post_as(arena.clone(), attackers, DRAWN_PATH, tiles);
    arena.beside_within("slow PDFs of four tenants", attack, most).await;
    let ready = arena.gateway.get("/readyz").await.ok();
    eprintln!("render workers: {}", ready["parts"]["workers"]);
}

/// Guests that compute until their budget ends, in as many calls at once as the tenant may have.
#[tokio::test(flavor = "multi_thread")]
async fn spinning_guests() {
    const SPIN: &str = "[http]\nconnections_max = 256\n[platform]\ndefault_deployment = \"echo\"\n[[deployments]]\n\
        name = \"echo\"\ncomponent = \"guest/target/components/echo.wasm\"\n[[deployments]]\nname = \"spin\"\n\
        component = \"guest/target/components/hostile.wasm\"\nsettings = { behavior = \"spin-in-recognize\" }\n\
        [deployments.budget]\nwall_ms = 20000\ncompute_ms = 300\n\
        [deployments.grants]\nmodel = \"pp-ocrv6-tiny-det\"\n";
    let arena = Arena::start_unready_with(|builder| builder.config(SPIN)).await;
    let page = pdf::document(&[pdf::PageSpec::a4(&["a page"])]);
    let path = "/api/v1/deployments/spin/ocr";
    let pages = vec![(PDF, page.clone())];
    arena.beside("spinning guests", post(arena.clone(), path, pages.clone())).await;
    let many = pdf::document(&vec![pdf::PageSpec::a4(&["one of many"]); 8]);
    arena.beside("documents of eight spinning pages", post(arena.clone(), path, vec![(PDF, many)])).await;
    // It is the guest's fault, and the client's page: no error of the server.
    assert_eq!(arena.attack(path, PDF, page).await, 422);
}

/// Patterns in settings that take exponential time in an engine that backtracks, on texts that they almost match.
#[tokio::test(flavor = "multi_thread")]
async fn patterns() {
    const REDACT: &str = "[http]\nconnections_max = 256\n[platform]\ndefault_deployment = \"echo\"\n[[deployments]]\n\
        name = \"echo\"\ncomponent = \"guest/target/components/echo.wasm\"\n[[deployments]]\nname = \"redact\"\n\
        component = \"guest/target/components/redact.wasm\"\nwraps = \"standard\"\n[deployments.settings]\n\
        patterns = [{ kind = \"evil\", pattern = \"(a+)+[!]\" }, { kind = \"worse\", pattern = \"(a|a)*b(a|aa)+[!]\" }]\n\
        [[deployments]]\nname = \"standard\"\ncomponent = \"guest/target/components/standard.wasm\"\n\
        [deployments.grants]\ndetection = \"pp-ocrv6-small-det\"\nrecognition = \"pp-ocrv6-small-rec\"\n\
        detection-tiny = \"pp-ocrv6-tiny-det\"\nrecognition-tiny = \"pp-ocrv6-tiny-rec\"\n\
        textline-orientation = \"textline-orientation\"\npage-orientation = \"page-orientation\"\n";
    let arena = Arena::start_with(|builder| builder.config(REDACT)).await;
    let line = "a".repeat(60);
    let page = pdf::PageSpec::a4(&[line.as_str(); 40]);
    let texts = vec![(PDF, pdf::document(&[page]))];
    let path = "/api/v1/deployments/redact/ocr?text_layer=only";
    arena.beside("ReDoS in patterns", post(arena.clone(), path, texts)).await;
}
