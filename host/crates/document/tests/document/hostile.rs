//! Invalid input: each kind has its code, and other documents are not affected.

use std::time::Duration;

use lector_document::DocumentConfig;

use crate::builder::{Page, Pdf, hello};
use crate::support::{Dice, PIXELS_MAX, TestServer, code, config, corpus};

#[tokio::test]
async fn every_defect_has_its_code() {
    let server = TestServer::with(DocumentConfig { pages_max: 3, ..config(1) }).await;
    let hello = hello();
    let check = async |bytes: &[u8], content_type, password, expect: &str| {
        assert_eq!(code(server.open_as(bytes, content_type, password).await), expect);
    };
    check(b"", None, None, "document_empty").await;
    check(b"plain words", None, None, "document_unsupported_type").await;
    check(&hello, Some("image/png"), None, "content_type_mismatch").await;
    check(b"%PDF-1.7\n", None, None, "pdf_invalid").await;
    check(&[b"%PDF-1.7\n".as_slice(), &[7; 5000]].concat(), None, None, "pdf_invalid").await;
    check(&Pdf::new().bytes(), None, None, "pdf_no_pages").await;
    let mut long = Pdf::new();
    for _ in 0..4 {
        long.page(&Page::default());
    }
    check(&long.bytes(), None, None, "document_too_many_pages").await;
    check(b"\x89PNG\r\n\x1a\n", None, None, "image_invalid").await;
    let document = server.open_as(&hello, Some("application/octet-stream"), Some("unused")).await.unwrap();
    assert_eq!((document.page_count(), document.content_type()), (1, "application/pdf"));
    assert_eq!(code(document.page(1).await), "page_out_of_range");
    assert_eq!(code(document.page(0).await.unwrap().render(-3.0, PIXELS_MAX).await), "dpi_invalid");
    if let Some(corpus) = corpus() {
        let locked = std::fs::read(corpus.join("pikepdf__graph-encrypted.pdf")).unwrap();
        check(&locked, None, None, "pdf_password_required").await;
        check(&locked, None, Some("wrong"), "pdf_password_wrong").await;
        check(&locked, None, Some("nul\0inside"), "pdf_password_wrong").await;
        for password in ["owner", "user"] {
            let page = server.open_as(&locked, None, Some(password)).await.unwrap().page(0).await.unwrap();
            page.render(50.0, PIXELS_MAX).await.unwrap();
        }
    }
    server.end().await;
}

#[tokio::test]
async fn huge_pages_are_refused_before_memory_is_taken() {
    let server = TestServer::start(1).await;
    for side in [8400, 14400] {
        let page = Page { media_box: [0, 0, side, side], ..Page::default() };
        let page = server.page(&Pdf::new().page(&page).bytes()).await;
        let answered = server.workers.status().answered;
        let fault = page.render(200.0, PIXELS_MAX).await.err().unwrap();
        assert_eq!(server.workers.status().answered, answered, "no worker was asked");
        assert_eq!(fault.code, "page_too_many_pixels");
        let words: Vec<&str> = fault.message.split_whitespace().collect();
        let named = words.windows(2).find(|pair| pair[1] == "dpi").unwrap()[0];
        let image = page.render(named.parse().unwrap(), PIXELS_MAX).await.unwrap();
        assert!(image.size().pixels() <= PIXELS_MAX && image.size().pixels() > PIXELS_MAX * 9 / 10);
    }
    server.end().await;
}

/// A stream that unpacks to far more than its size. PNG's pixels are a zlib stream, which PDF reads as well.
fn bomb(side: u32) -> Vec<u8> {
    let mut png = Vec::new();
    let zeros = vec![0_u8; (side * side) as usize];
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    image::ImageEncoder::write_image(encoder, &zeros, side, side, image::ExtendedColorType::L8).unwrap();
    let mut data = Vec::new();
    let mut at = 8;
    while let Some(head) = png.get(at..at + 8) {
        let length = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        if &head[4..] == b"IDAT" {
            data.extend(&png[at + 8..at + 8 + length]);
        }
        at += length + 12;
    }
    let mut pdf = Pdf::new();
    let entries = format!(
        "/Filter /FlateDecode /DecodeParms << /Predictor 15 /Colors 1 /BitsPerComponent 8 /Columns {side} >> \
         /Type /XObject /Subtype /Image /Width {side} /Height {side} /BitsPerComponent 8 /ColorSpace /DeviceGray"
    );
    let image = pdf.stream(&entries, &data);
    // Used twice: as a picture, and as the content of a page, where all of it is unpacked at once.
    let xobjects = format!("/I {image} 0 R");
    pdf.page(&Page { content: "q 300 0 0 400 0 0 cm /I Do Q", xobjects, ..Page::default() });
    let content = format!(
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 400] /Contents {image} 0 R /Resources << >> >>"
    );
    pdf.add_page(content);
    pdf.bytes()
}

#[tokio::test]
async fn a_bomb_is_one_page_error() {
    let server = TestServer::with(DocumentConfig { worker_memory_bytes: 96 << 20, ..config(1) }).await;
    let bytes = bomb(16_000);
    assert!(bytes.len() < 2 << 20);
    let document = server.open(&bytes).await.unwrap();
    let good = server.page(&hello()).await;
    for index in 0..2 {
        let page = document.page(index).await.unwrap();
        let result = page.render(72.0, PIXELS_MAX).await;
        eprintln!("bomb, page {index}: {:?}", result.as_ref().map(|image| image.size()).map_err(|f| f.code));
        // The picture can be unpacked row by row; the content of the second page cannot.
        match result {
            Ok(image) => assert_eq!((index, image.samples()[0]), (0, 0), "drawn, black as it is, or refused"),
            Err(fault) => assert_eq!(fault.code, "document_memory_exceeded"),
        }
        good.render(72.0, PIXELS_MAX).await.unwrap();
    }
    server.end().await;
}

/// Codes that damage may cause; any other code is a defect of this crate.
const DAMAGE: [&str; 14] = [
    "document_unsupported_type",
    "pdf_invalid",
    "pdf_password_required",
    "pdf_encryption_unsupported",
    "pdf_no_pages",
    "document_too_many_pages",
    "page_invalid",
    "page_too_many_pixels",
    "document_memory_exceeded",
    "page_render_timeout",
    "page_render_crashed",
    "page_text_crashed",
    "document_open_crashed",
    "image_invalid",
];

#[tokio::test]
async fn damaged_files_never_hang_and_never_stop_the_server() {
    // Short for files that hang, and long enough for a valid page on a busy machine.
    let limit = Duration::from_secs(8);
    let limits =
        DocumentConfig { open_timeout: limit, text_timeout: limit, render_timeout: limit, ..config(2) };
    let server = TestServer::with(limits).await;
    let mut seeds = vec![hello()];
    if let Some(corpus) = corpus() {
        let names = [
            "ocrmypdf__formxobject.pdf",
            "ocrmypdf__jbig2.pdf",
            "pikepdf__ccitt-endofline-true.pdf",
            "pikepdf__pike-jp2.pdf",
            "pikepdf__form.pdf",
            "pikepdf__fpdf2_cjk_short.pdf",
            "img2pdf__CMYK.jpg.pdf",
        ];
        seeds.extend(names.iter().filter_map(|name| std::fs::read(corpus.join(name)).ok()));
    }
    let good = server.page(&hello()).await;
    let mut dice = Dice(0x5eed);
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    let mut rounds = 0;
    while rounds < 300 {
        rounds += 1;
        let bytes = damaged(&seeds[rounds % seeds.len()], &mut dice);
        let outcome = async {
            let document = server.open(&bytes).await?;
            let page = document.page(0).await?;
            page.text_layer().await?;
            page.render(50.0, 4_000_000).await
        };
        let code = code(outcome.await);
        *seen.entry(code).or_default() += 1;
        assert!(code == "no fault" || DAMAGE.contains(&code), "{code}");
        if rounds % 50 == 0 {
            good.render(36.0, PIXELS_MAX).await.unwrap();
        }
    }
    eprintln!("{rounds} mutations: {seen:?}; {:?}", server.workers.status().respawns);
    good.render(36.0, PIXELS_MAX).await.unwrap();
    server.end().await;
}

/// Returns the bytes truncated, overwritten, or with a part doubled or left out.
fn damaged(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len());
        let len = dice.roll(64).min(bytes.len() - at);
        match dice.roll(6) {
            0 => bytes.truncate(at.max(16)),
            1 => bytes[at..at + len].iter_mut().for_each(|byte| *byte = 0),
            2 => drop(bytes.drain(at..at + len)),
            3 => {
                let piece = bytes[at..at + len].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                for _ in 0..=dice.roll(20) {
                    let at = dice.roll(bytes.len());
                    bytes[at] = u8::try_from(dice.roll(256)).unwrap();
                }
            }
        }
    }
    bytes
}
