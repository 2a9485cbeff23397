//! Attacks with documents.

use std::sync::Arc;

use lector_tests::pdf;

use super::arena::Arena;
use super::files;

/// Concurrent clients of an attack.
const CLIENTS: usize = 4;

/// Posts the documents in turn until the attack is over, at least each once. No document is a server error.
async fn post(arena: Arc<Arena>, path: &'static str, documents: Vec<(&'static str, Vec<u8>)>) -> u64 {
    let client = async |first: usize| {
        let mut sent = 0_u64;
        while !arena.is_over() || sent < documents.len() as u64 {
            let (content_type, bytes) = &documents[(first + sent as usize) % documents.len()];
            let status = arena.attack(path, content_type, bytes.clone()).await;
            assert_ne!(status, 500, "{content_type} of {} bytes", bytes.len());
            sent += 1;
        }
        sent
    };
    futures::future::join_all((0..CLIENTS).map(client)).await.into_iter().sum()
}

const PDF: &str = "application/pdf";

#[tokio::test(flavor = "multi_thread")]
async fn bombs() {
    // A document that is stuck ends soon after the attack.
    let arena = Arena::start_with(|builder| {
        builder.set("documents.open_timeout_s", 3).set("documents.render_timeout_s", 3)
    })
    .await;
    let form = "multipart/form-data; boundary=b";
    let forms = files::forms().map(|bytes| (form, bytes)).to_vec();
    arena.beside("multipart bombs", post(arena.clone(), "/api/v1/ocr/batch", forms)).await;
    arena.beside("picture bombs", post(arena.clone(), "/api/v1/ocr", files::pictures())).await;
    let bombs = vec![(PDF, pdf::content_bomb(200 << 20)), (PDF, pdf::image_bomb(12_000))];
    arena.beside("PDF bombs", post(arena.clone(), "/api/v1/ocr", bombs)).await;
    let trees = files::page_trees().map(|bytes| (PDF, bytes)).to_vec();
    arena.beside("page trees of 100,000", post(arena.clone(), "/api/v1/ocr?pages=1", trees)).await;
    let words = vec![(PDF, pdf::word_bomb(12, 60, 150))];
    let path = "/api/v1/ocr?text_layer=only&words=true";
    arena.beside("word bombs", post(arena.clone(), path, words)).await;
    let chains = vec![(PDF, files::chained_tables())];
    arena.beside("PDFs that open slowly", post(arena.clone(), "/api/v1/ocr", chains)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_renders() {
    const DRAWN: &str = "[http]\nconnections_max = 256\n[platform]\ndefault_deployment = \"echo\"\n[[deployments]]\n\
        name = \"echo\"\ncomponent = \"guest/target/components/echo.wasm\"\n[[deployments]]\nname = \"drawn\"\n\
        component = \"guest/target/components/echo.wasm\"\nsettings = { mood = \"render\" }\n";
    let arena = Arena::start_with(|builder| builder.config(DRAWN).set("documents.render_timeout_s", 2)).await;
    let tiles = vec![(PDF, files::tiling())];
    let path = "/api/v1/deployments/drawn/ocr";
    // Known shortfall: a render cannot be interrupted, and a tenant may occupy every worker. A page of another tenant
    // waits for the end of one render of it, at most `render_timeout_s`.
    let most = |alone: f64| 3.0 * alone + 5_000.0;
    arena.beside_within("PDFs that render slowly", post(arena.clone(), path, tiles), most).await;
}

/// Patterns in settings that take exponential time in an engine that backtracks, on texts that they almost match.
#[tokio::test(flavor = "multi_thread")]
async fn patterns() {
    const REDACT: &str = "[http]\nconnections_max = 256\n[platform]\ndefault_deployment = \"echo\"\n[[deployments]]\n\
        name = \"echo\"\ncomponent = \"guest/target/components/echo.wasm\"\n[[deployments]]\nname = \"redact\"\n\
        component = \"guest/target/components/redact.wasm\"\n[deployments.settings]\n\
        patterns = [{ kind = \"evil\", pattern = \"(a+)+[!]\" }, { kind = \"worse\", pattern = \"(a|a)*b(a|aa)+[!]\" }]\n\
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
