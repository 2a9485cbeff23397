//! Invalid input gets a clear error response, and other requests are not affected.

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, paths};

fn good() -> Vec<u8> {
    pdf::document(&[PageSpec::a4(&["A good neighbor"])])
}

async fn neighbor(gateway: &Gateway) {
    let json = gateway.ocr("application/pdf", good(), "").await.ok();
    assert!(json["pages"][0]["text"].as_str().unwrap().contains("A good neighbor"), "{json}");
}

#[tokio::test]
async fn files_that_are_not_documents() {
    let gateway = Gateway::builder().with_tiny().start().await;
    gateway.ocr("application/pdf", b"".to_vec(), "").await.problem(422, "document_empty");
    gateway
        .ocr("application/pdf", b"%PDF-1.7\nnothing follows".to_vec(), "")
        .await
        .problem(422, "pdf_invalid");
    let whole = good();
    let cut = gateway.ocr("application/pdf", whole[..whole.len() / 4].to_vec(), "").await;
    assert!((400..500).contains(&cut.status), "{}", cut.text());
    gateway.ocr("application/pdf", pdf::without_pages(), "").await.problem(422, "pdf_no_pages");
    gateway
        .ocr("application/octet-stream", b"PK\x03\x04 a zip".to_vec(), "")
        .await
        .problem(415, "document_unsupported_type");
    gateway.ocr("text/plain", b"just text".to_vec(), "").await.problem(415, "document_unsupported_type");
    gateway.ocr("image/png", good(), "").await.problem(415, "content_type_mismatch");
    let mut png = paths::data("line.png");
    png.truncate(png.len() / 2);
    gateway.ocr("image/png", png, "").await.problem(422, "image_invalid");
    neighbor(&gateway).await;
}

#[tokio::test]
async fn pages_that_are_too_large() {
    let gateway = Gateway::builder().with_tiny().start().await;
    for side in [8400.0, 14400.0] {
        let spec = PageSpec { width: side, height: side, ..PageSpec::a4(&["Poster"]) };
        let bytes = pdf::document(&[spec]);
        // An explicit resolution is rejected with an error that names the highest possible one.
        let answer = gateway.ocr("application/pdf", bytes.clone(), "text_layer=never&dpi=300").await;
        let problem = answer.problem(413, "page_too_many_pixels");
        assert!(problem["detail"].as_str().unwrap().contains("dpi or less"), "{problem}");
        assert_eq!(problem["blame"], "client");
        // A resolution chosen by the pipeline is lowered, with a warning.
        let json = gateway.ocr("application/pdf", bytes, "text_layer=never").await.ok();
        assert!(!json["pages"][0]["warnings"].as_array().unwrap().is_empty(), "{json}");
    }
    let mut png = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(20_000, 20_000).write_to(&mut png, image::ImageFormat::Png).unwrap();
    gateway.ocr("image/png", png.into_inner(), "").await.problem(413, "image_too_large");
    neighbor(&gateway).await;
}

#[tokio::test]
async fn bombs_cost_only_themselves() {
    let gateway = Gateway::builder().with_tiny().set("documents.render_timeout_s", 5).start().await;
    let bombs = [("picture", pdf::image_bomb(30_000)), ("content", pdf::content_bomb(1 << 30))];
    for (name, bomb) in bombs {
        assert!(bomb.len() < 4 << 20, "{name} is {} bytes", bomb.len());
        let (answer, ()) =
            tokio::join!(gateway.ocr("application/pdf", bomb, "text_layer=never"), neighbor(&gateway));
        // pdfium may or may not handle it within the limits; it must not hang, crash the server or return a wrong
        // response.
        assert!(
            matches!(answer.status, 200 | 413 | 422 | 500 | 504),
            "{name}: {} {}",
            answer.status,
            answer.text()
        );
    }
    neighbor(&gateway).await;
}

#[tokio::test]
async fn passwords() {
    let gateway = Gateway::builder().with_tiny().start().await;
    let Some(corpus) = paths::corpus() else { return };
    let bytes = std::fs::read(corpus.join("pikepdf__graph-encrypted.pdf")).unwrap();
    gateway.ocr("application/pdf", bytes.clone(), "").await.problem(422, "pdf_password_required");
    let send = |password: &'static str| {
        let request = gateway.pdf("/api/v1/ocr", bytes.clone()).header("x-document-password", password);
        async move { lector_tests::Answer::read(request.send().await.unwrap()).await }
    };
    send("wrong").await.problem(422, "pdf_password_wrong");
    send("owner").await.ok();
}
