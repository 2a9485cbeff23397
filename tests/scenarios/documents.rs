//! Documents of several pages and kinds.

use lector_tests::Gateway;
use lector_tests::answer::all_text;
use lector_tests::pdf::{self, PageSpec};

#[tokio::test]
async fn chosen_pages_only() {
    let gateway = Gateway::builder().with_tiny().start().await;
    let pages: Vec<PageSpec> = (1..=9).map(|i| PageSpec::a4(&[&format!("This is page {i}")])).collect();
    let json = gateway.ocr("application/pdf", pdf::document(&pages), "pages=2-3,7").await.ok();
    let numbers: Vec<u64> =
        json["pages"].as_array().unwrap().iter().map(|p| p["page"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 3, 7]);
    assert_eq!(json["page_count"], 9);
    assert!(all_text(&json).contains("This is page 7"));
}

#[tokio::test]
async fn a_rotated_page_is_read_as_displayed() {
    let gateway = Gateway::builder().with_tiny().start().await;
    for rotate in [0, 90, 180, 270] {
        let spec = PageSpec {
            rotate,
            ..PageSpec::a4(&["Displayed on its side by the PDF itself", "with a second line of text"])
        };
        let json = gateway.ocr("application/pdf", pdf::document(&[spec]), "text_layer=only").await.ok();
        let (w, h) = (
            json["pages"][0]["size"]["width"].as_u64().unwrap(),
            json["pages"][0]["size"]["height"].as_u64().unwrap(),
        );
        assert_eq!(rotate % 180 == 90, w > h, "{rotate}: {w} x {h}");
        assert!(all_text(&json).contains("Displayed on its side"), "{rotate}: {json}");
    }
}

#[tokio::test]
async fn a_tiff_of_several_pages() {
    let gateway = Gateway::start().await;
    let picture = image::load_from_memory(&lector_tests::paths::data("line.png")).unwrap().to_luma8();
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    for _ in 0..3 {
        encoder
            .write_image::<tiff::encoder::colortype::Gray8>(picture.width(), picture.height(), &picture)
            .unwrap();
    }
    let json = gateway.ocr("image/tiff", bytes.into_inner(), "").await.ok();
    assert_eq!(json["pages"].as_array().unwrap().len(), 3, "{json}");
    assert_eq!(all_text(&json).matches("Lector").count(), 3, "{json}");
}

#[tokio::test]
async fn a_blank_page_is_an_empty_answer() {
    let gateway = Gateway::builder().with_tiny().start().await;
    let json =
        gateway.ocr("application/pdf", pdf::document(&[PageSpec::a4(&[])]), "text_layer=never").await.ok();
    assert_eq!(json["pages"][0]["lines"].as_array().unwrap().len(), 0, "{json}");
}
