//! Text layers: the areas of words match the rendered page, for any box and rotation of the page.

use lector_core::{Image, Rect, TextLayer};

use crate::builder::{Page, Pdf, hello};
use crate::support::{PIXELS_MAX, TestServer, config};

fn words(layer: &TextLayer) -> Vec<&str> {
    layer.spans.iter().map(|span| span.text.as_str()).collect()
}

/// Returns the box around all pixels that are not white, in points.
fn ink(image: &Image, dpi: f32) -> Rect {
    let (width, size) = (image.size().width as usize, dpi / 72.0);
    let (mut x0, mut y0, mut x1, mut y1) = (usize::MAX, usize::MAX, 0, 0);
    for (at, pixel) in image.samples().chunks_exact(3).enumerate() {
        if pixel.iter().any(|v| *v < 128) {
            let (x, y) = (at % width, at / width);
            (x0, y0, x1, y1) = (x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1));
        }
    }
    assert!(x1 > 0, "the page is blank");
    let [x, y, right, bottom] = [x0, y0, x1, y1].map(|v| v as f32 / size);
    Rect { x, y, width: right - x, height: bottom - y }
}

fn around(layer: &TextLayer) -> Rect {
    let left = layer.spans.iter().map(|s| s.area.x).fold(f32::INFINITY, f32::min);
    let top = layer.spans.iter().map(|s| s.area.y).fold(f32::INFINITY, f32::min);
    let right = layer.spans.iter().map(|s| s.area.x + s.area.width).fold(0.0, f32::max);
    let bottom = layer.spans.iter().map(|s| s.area.y + s.area.height).fold(0.0, f32::max);
    Rect { x: left, y: top, width: right - left, height: bottom - top }
}

#[tokio::test]
async fn word_areas_match_the_ink_on_rotated_and_cropped_pages() {
    let server = TestServer::start(1).await;
    for rotate in [0, 90, 180, 270] {
        for crop_box in [None, Some([30, 200, 280, 390])] {
            for media_box in [[0, 0, 300, 400], [-40, 10, 310, 420]] {
                let content = "BT /F1 24 Tf 50 300 Td (Hello world) Tj ET";
                let page = Page { media_box, crop_box, rotate, content, ..Page::default() };
                let page = server.page(&Pdf::new().page(&page).bytes()).await;
                let r = crop_box.unwrap_or(media_box);
                let (wide, high) = ((r[2] - r[0]) as f32, (r[3] - r[1]) as f32);
                let expect = if rotate % 180 == 0 { (wide, high) } else { (high, wide) };
                assert_eq!((page.info().width_pt, page.info().height_pt), expect);

                let layer = page.text_layer().await.unwrap();
                assert_eq!(words(&layer), ["Hello", "world"], "turned by {rotate}");
                assert_eq!(layer.unmapped, 0);
                assert!(layer.spans.iter().all(|s| s.visible && (s.font_size - 24.0).abs() < 0.1));
                assert!(!layer.spans[0].ends_line && layer.spans[1].ends_line);
                let (seen, said) =
                    (ink(&page.render(144.0, PIXELS_MAX).await.unwrap(), 144.0), around(&layer));
                let inside = seen.x >= said.x - 1.0
                    && seen.y >= said.y - 1.0
                    && seen.x + seen.width <= said.x + said.width + 1.0
                    && seen.y + seen.height <= said.y + said.height + 1.0;
                let tight = said.width.max(said.height) - seen.width.max(seen.height) < 6.0;
                assert!(
                    inside && tight,
                    "turned by {rotate}, crop {crop_box:?}: seen {seen:?}, said {said:?}"
                );
            }
        }
    }
    server.end().await;
}

#[tokio::test]
async fn lines_columns_hyphens_and_hidden_text() {
    let server = TestServer::start(1).await;
    let content = "BT /F1 12 Tf 20 350 Td (one two) Tj 150 0 Td (right) Tj -150 -14 Td (exam-) Tj 0 -14 Td (ple \
                   end) Tj 3 Tr 0 -60 Td (hidden) Tj 0 Tr 0 -500 Td (outside) Tj ET \
                   q 2 0 0 2 20 40 cm BT /F1 10 Tf (big) Tj ET Q";
    let page = server.page(&Pdf::new().page(&Page { content, ..Page::default() }).bytes()).await;
    let layer = page.text_layer().await.unwrap();
    let said: Vec<(&str, bool, bool)> =
        layer.spans.iter().map(|s| (s.text.as_str(), s.ends_line, s.visible)).collect();
    assert_eq!(
        said,
        [
            ("one", false, true),
            ("two", true, true),
            ("right", true, true),
            ("exam-", true, true),
            ("ple", false, true),
            ("end", true, true),
            ("hidden", true, false),
            ("big", true, true),
        ]
    );
    let big = layer.spans.last().unwrap();
    assert!((big.font_size - 20.0).abs() < 0.1, "the size as displayed: {}", big.font_size);
    server.end().await;
}

#[tokio::test]
async fn pictures_are_found_in_forms_and_clipped_to_the_page() {
    let server = TestServer::start(1).await;
    let mut pdf = Pdf::new();
    let image = pdf.stream(
        "/Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceRGB",
        b"\xff\x00\x00",
    );
    let form = pdf.stream(
        &format!(
            "/Type /XObject /Subtype /Form /BBox [0 0 100 100] /Matrix [2 0 0 2 0 0] \
             /Resources << /XObject << /I {image} 0 R >> >>"
        ),
        b"q 30 0 0 20 5 5 cm /I Do Q",
    );
    let content = "q 1 0 0 1 100 200 cm /Fm Do Q q 100 0 0 100 250 350 cm /I Do Q q 5 0 0 5 9 9 cm /I Do Q";
    let xobjects = format!("/I {image} 0 R /Fm {form} 0 R");
    pdf.page(&Page { content, xobjects, ..Page::default() });
    let page = server.page(&pdf.bytes()).await;
    let layer = page.text_layer().await.unwrap();
    let expect = [
        Rect { x: 110.0, y: 400.0 - 250.0, width: 60.0, height: 40.0 },
        Rect { x: 250.0, y: 0.0, width: 50.0, height: 50.0 },
    ];
    assert_eq!(layer.pictures, expect, "the 5 pt one is too small to matter");
    let image = page.render(72.0, PIXELS_MAX).await.unwrap();
    let at = |x: usize, y: usize| image.samples()[(y * 300 + x) * 3..][..3].to_vec();
    assert_eq!(at(140, 170), [255, 0, 0], "red is red: the order of the bytes is RGB");
    assert_eq!(at(5, 5), [255, 255, 255]);
    server.end().await;
}

#[tokio::test]
async fn form_fields_and_annotations_are_drawn() {
    let Some(corpus) = crate::support::corpus() else { return };
    let server = TestServer::start(1).await;
    let bytes = std::fs::read(corpus.join("pikepdf__form.pdf")).unwrap();
    let page = server.page(&bytes).await;
    let image = page.render(72.0, PIXELS_MAX).await.unwrap();
    assert!(image.samples().iter().any(|v| *v < 100), "the form is blank");
    let plain = server.page(&hello()).await;
    assert!(plain.render(72.0, PIXELS_MAX).await.is_ok());
    server.end().await;
}

#[tokio::test]
async fn a_page_of_too_many_words_or_characters_is_refused_and_not_cut() {
    let limits = lector_document::DocumentConfig { text_words_max: 3, text_characters_max: 20, ..config(1) };
    let server = TestServer::with(limits).await;
    for (text, said) in [
        ("one two six", Ok(3)),
        ("one two six ten", Err("more than 3 words")),
        ("a b c d e", Err("more than 3 words")),
        ("abcdefghijklmnopqrstuvwxyz", Err("26 characters")),
    ] {
        let content = format!("BT /F1 8 Tf 20 350 Td ({text}) Tj ET");
        let page =
            server.page(&Pdf::new().page(&Page { content: &content, ..Page::default() }).bytes()).await;
        match (page.text_layer().await, said) {
            (Ok(layer), Ok(words)) => assert_eq!(layer.spans.len(), words, "{text}"),
            (Err(fault), Err(said)) => {
                assert_eq!((fault.code, fault.kind), ("page_too_much_text", lector_core::Kind::TooLarge));
                assert!(fault.message.contains(said), "{fault}");
            }
            (layer, _) => panic!("{text}: {layer:?}"),
        }
        assert!(page.render(72.0, PIXELS_MAX).await.is_ok(), "its pixels can be read all the same");
    }
    server.end().await;
}
