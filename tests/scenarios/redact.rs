//! A second guest, with different logic, on the same engines.

use lector_tests::Gateway;
use lector_tests::answer::{Answer, all_text};
use lector_tests::pdf::{self, PageSpec};

#[tokio::test]
async fn secrets_are_masked_and_reported() {
    let gateway = Gateway::start().await;
    let lines = [
        "Contact: jane.doe@example.com",
        "IBAN DE89 3704 0044 0532 0130 00",
        "Card 4111 1111 1111 1111",
        "Nothing to hide here",
    ];
    let bytes = pdf::document(&[PageSpec::a4(&lines)]);
    for text_layer in ["auto", "never"] {
        let path = format!("/api/v1/deployments/redact/ocr?text_layer={text_layer}");
        let json = gateway.post(&path, "application/pdf", bytes.clone()).await.ok();
        let text = all_text(&json);
        assert!(
            !text.contains("jane.doe") && !text.contains("0532 0130") && !text.contains("4111 1111"),
            "{text}"
        );
        assert!(text.contains("Nothing to hide here"), "{text}");
        let kinds: Vec<&str> = json["pages"][0]["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["kind"].as_str().unwrap())
            .collect();
        for kind in ["email", "iban", "card"] {
            assert!(kinds.contains(&kind), "{text_layer}: no {kind} in {kinds:?}");
        }
    }
}

#[tokio::test]
async fn a_header_chooses_the_deployment() {
    let gateway = Gateway::start().await;
    let request = gateway
        .pdf("/api/v1/ocr", pdf::document(&[PageSpec::a4(&["mail to someone@example.org now"])]))
        .header("x-lector-deployment", "redact");
    let json = Answer::read(request.send().await.unwrap()).await.ok();
    assert!(!all_text(&json).contains("someone@example.org"), "{json}");
    gateway
        .post("/api/v1/deployments/nobody/ocr", "application/pdf", b"%PDF".to_vec())
        .await
        .problem(404, "deployment_not_found");
}
