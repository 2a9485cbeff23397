//! A document is sent over HTTP, and its text returned.

use lector_tests::answer::all_text;
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, paths};
use serde_json::Value;

/// Keeps letters and digits only, to compare text without spacing.
fn squeeze(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

#[tokio::test]
async fn a_pdf_is_read_from_pixels() {
    let gateway = Gateway::start().await;
    let pages = [
        PageSpec::a4(&["The quick brown fox jumps over the lazy dog.", "Invoice number 2026-11-23"]),
        PageSpec::a4(&["Page two speaks of sessions and lanes.", "Total amount due: 1,234.56 EUR"]),
    ];
    let answer = gateway.ocr("application/pdf", pdf::document(&pages), "text_layer=never").await;
    let json = answer.ok();
    assert_eq!(json["pages"].as_array().unwrap().len(), 2);
    for (page, spec) in json["pages"].as_array().unwrap().iter().zip(&pages) {
        assert_eq!(squeeze(page["text"].as_str().unwrap()), squeeze(&spec.lines.join("")), "{page}");
        for line in page["lines"].as_array().unwrap() {
            assert_eq!(line["source"], "ocr");
            assert!(line["confidence"].as_f64().unwrap() > 0.8, "{line}");
            assert_eq!(line["quad"].as_array().unwrap().len(), 4);
        }
        assert!(page["timing_ms"]["total"].as_f64().unwrap() > 0.0);
    }
    let timing = answer.header("server-timing");
    for part in ["render", "queue", "guest", "total"] {
        assert!(timing.contains(part), "no {part} in Server-Timing: {timing}");
    }
}

#[tokio::test]
async fn quads_lie_where_the_text_lies() {
    let gateway = Gateway::start().await;
    let pages = [PageSpec::a4(&["Somewhere near the top"])];
    let json = gateway
        .ocr("application/pdf", pdf::document(&pages), "text_layer=never&dpi=144&words=true")
        .await
        .ok();
    let page = &json["pages"][0];
    assert_eq!(page["dpi"].as_f64().unwrap(), 144.0);
    assert_eq!(page["size"]["width"].as_u64().unwrap().abs_diff(1190), 0, "{}", page["size"]);
    let line = &page["lines"][0];
    // Baseline at 80 pt from the top, 60 pt from the left, 14 pt Helvetica, at two pixels per point.
    let corner = |i: usize| {
        let at = |k: usize| line["quad"][i][k].as_f64().unwrap();
        (at(0), at(1))
    };
    let ((left, top), (right, bottom)) = (corner(0), corner(2));
    assert!((left - 120.0).abs() < 12.0 && (bottom - 164.0).abs() < 14.0, "{line}");
    assert!((10.0..60.0).contains(&(bottom - top)) && right > left + 200.0, "{line}");
    let words: Vec<&str> =
        line["words"].as_array().unwrap().iter().map(|w| w["text"].as_str().unwrap()).collect();
    assert_eq!(words, ["Somewhere", "near", "the", "top"]);
}

#[tokio::test]
async fn embedded_text_is_used_where_it_is_real() {
    let gateway = Gateway::start().await;
    let pages = [PageSpec::a4(&["Embedded words need no engine."; 8])];
    let json = gateway.ocr("application/pdf", pdf::document(&pages), "").await.ok();
    let lines = json["pages"][0]["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 8, "{json}");
    assert!(
        lines.iter().all(|l| l["source"] == "text-layer" && l["text"] == "Embedded words need no engine."),
        "{json}"
    );
    assert_eq!(json["pages"][0]["timing_ms"]["inference"].as_object().map_or(0, |m| m.len()), 0, "{json}");
}

#[tokio::test]
async fn the_tiny_models_read_too() {
    let gateway = Gateway::builder().set("documents.workers", 1).start().await;
    let pages = [PageSpec::a4(&["A smaller model for the fast tier"])];
    let answer = gateway
        .post(
            "/api/v1/deployments/standard-tiny/ocr?text_layer=never",
            "application/pdf",
            pdf::document(&pages),
        )
        .await;
    // The default configuration defines the deployments; one uses the tiny models.
    assert!(squeeze(&all_text(&answer.ok())).contains("smallermodel"), "{}", answer.text());
}

#[tokio::test]
async fn every_format_is_served() {
    let gateway = Gateway::start().await;
    let bytes = pdf::document(&[PageSpec::a4(&["Format me & <escape> me"])]);
    let text = gateway.ocr("application/pdf", bytes.clone(), "format=text").await;
    assert!(text.header("content-type").starts_with("text/plain"), "{text:?}");
    assert!(text.text().contains("Format me & <escape> me"), "{}", text.text());
    let markdown = gateway.ocr("application/pdf", bytes.clone(), "format=markdown").await;
    assert!(markdown.header("content-type").starts_with("text/markdown"), "{markdown:?}");
    let hocr = gateway.ocr("application/pdf", bytes.clone(), "format=hocr&words=true").await;
    assert!(hocr.header("content-type").contains("html"), "{hocr:?}");
    for part in ["ocr_page", "ocr_par", "ocr_line", "ocrx_word", "bbox", "baseline", ">&lt;escape&gt;</span>"]
    {
        assert!(hocr.text().contains(part), "no {part}: {}", hocr.text());
    }
    // A format that needs words asks the guest for them.
    for (format, content_type, part) in [
        ("html", "text/html", "&lt;escape&gt;"),
        ("alto", "application/alto+xml", "CONTENT=\"&lt;escape&gt;\""),
        ("page-xml", "application/vnd.prima.page+xml", "<Unicode>&lt;escape&gt;</Unicode>"),
        ("tsv", "text/tab-separated-values", "\t<escape>\n"),
        ("docling", "application/json", "DoclingDocument"),
        ("doctags", "text/plain; charset=utf-8", "<doctag>"),
        ("ndjson", "application/x-ndjson", "\"event\":\"document_end\""),
    ] {
        let answer = gateway.ocr("application/pdf", bytes.clone(), &format!("format={format}")).await;
        assert!(answer.header("content-type").starts_with(content_type), "{answer:?}");
        assert!(answer.text().contains(part), "{format} has no {part}: {}", answer.text());
    }
    let two = pdf::document(&[PageSpec::a4(&["One"]), PageSpec::a4(&["Two"])]);
    gateway.ocr("application/pdf", two, "format=page-xml").await.problem(422, "format_one_page");
    let json = gateway.ocr("application/pdf", bytes, "format=json").await.ok();
    assert_eq!(json["pages"][0]["page"], 1);
}

#[tokio::test]
async fn images_of_every_kind_are_read() {
    let gateway = Gateway::start().await;
    let picture = image::load_from_memory(&paths::data("line.png")).unwrap().to_rgb8();
    let formats = [
        (image::ImageFormat::Png, "image/png"),
        (image::ImageFormat::Jpeg, "image/jpeg"),
        (image::ImageFormat::Tiff, "image/tiff"),
        (image::ImageFormat::WebP, "image/webp"),
        (image::ImageFormat::Bmp, "image/bmp"),
        (image::ImageFormat::Gif, "image/gif"),
    ];
    for (format, content_type) in formats {
        let mut bytes = std::io::Cursor::new(Vec::new());
        if format == image::ImageFormat::Gif {
            image::DynamicImage::from(picture.clone()).to_rgba8().write_to(&mut bytes, format).unwrap();
        } else {
            picture.write_to(&mut bytes, format).unwrap();
        }
        let json = gateway.ocr(content_type, bytes.into_inner(), "").await.ok();
        assert!(squeeze(&all_text(&json)).contains("HelloLector2026"), "{content_type}: {json}");
    }
}

#[tokio::test]
async fn a_page_on_its_side_is_turned() {
    let gateway = Gateway::start().await;
    for turns in [1u32, 2, 3] {
        let picture = turned(turns);
        let json = gateway.ocr("image/png", picture, "").await.ok();
        let text = squeeze(&all_text(&json));
        assert!(text.contains("standsonitsside"), "turned by {turns} quarter turns: {json}");
    }
}

/// Returns the committed page image, rotated clockwise by quarter turns, as PNG.
fn turned(turns: u32) -> Vec<u8> {
    let upright = image::load_from_memory(&paths::data("sides.png")).unwrap();
    let turned = match turns {
        1 => upright.rotate90(),
        2 => upright.rotate180(),
        _ => upright.rotate270(),
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    turned.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn twenty_clients_at_once_get_their_own_text() {
    let gateway = Gateway::start().await;
    let requests = (0..20).map(|i| {
        let gateway = &gateway;
        async move {
            let text = format!("Client number {i} waits for nobody");
            let bytes = pdf::document(&[PageSpec::a4(&[&text])]);
            loop {
                let answer = gateway.ocr("application/pdf", bytes.clone(), "text_layer=never").await;
                if answer.status == 503 {
                    assert!(answer.header("retry-after").parse::<u64>().is_ok(), "{answer:?}");
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    continue;
                }
                let json: Value = answer.ok();
                assert!(squeeze(&all_text(&json)).contains(&squeeze(&text)), "{json}");
                break;
            }
        }
    });
    futures::future::join_all(requests).await;
}
