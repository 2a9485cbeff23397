//! Searchable PDFs: where pdfium finds the text that was put in, and what stays of the document.

use std::process::Command;
use std::sync::Arc;

use lector_core::{
    Blame, Direction, OpenDocument, PageText, PdfStandard, Point, Quad, Rect, Size, TextSpan, WordText,
};

use crate::builder::{Page, Pdf, hello};
use crate::support::{Dice, TestServer, code};

/// A distance of two pixels, which a reader of the file may differ by.
const PIXELS_OFF: f32 = 2.0;
/// Page images of 200 dpi.
const PIXELS_PER_POINT: f32 = 200.0 / 72.0;

fn upright(x: f32, y: f32, width: f32, height: f32) -> Quad {
    Quad([(x, y), (x + width, y), (x + width, y + height), (x, y + height)].map(|(x, y)| Point { x, y }))
}

fn word(text: &str, quad: Quad) -> WordText {
    WordText { text: text.into(), quad, direction: Direction::Ltr, space_follows: false }
}

fn page_text(index: u32, size: Size, words: Vec<WordText>) -> PageText {
    PageText { index, size, words }
}

async fn composed(document: &Arc<dyn OpenDocument>, pages: Vec<PageText>) -> Vec<u8> {
    let composed = document.compose(pages, PdfStandard::Own).await.unwrap();
    let bytes = composed.bytes();
    let file: Vec<u8> = composed.flat_map(|chunk| chunk.unwrap()).collect();
    assert_eq!(file.len() as u64, bytes);
    file
}

/// Returns the words that pdfium finds on a page, with their places in pixels of a page image of `size`.
async fn found(server: &TestServer, file: &[u8], index: u32, size: Size) -> Vec<(String, Rect, TextSpan)> {
    let page = server.open(file).await.unwrap().page(index).await.unwrap();
    let info = page.info();
    let (x, y) = (size.width as f32 / info.width_pt, size.height as f32 / info.height_pt);
    let spans = page.text_layer().await.unwrap().spans.into_iter();
    let placed = spans.map(|span| {
        let Rect { x: left, y: top, width, height } = span.area;
        let area = Rect { x: left * x, y: top * y, width: width * x, height: height * y };
        (span.text.clone(), area, span)
    });
    placed.collect()
}

fn assert_at(found: &[(String, Rect, TextSpan)], text: &str, quad: &Quad, what: &str) {
    let expect = quad.bounds();
    let of_text: Vec<&Rect> = found.iter().filter(|(t, ..)| t == text).map(|(_, area, _)| area).collect();
    let near = |area: &&&Rect| {
        [
            area.x - expect.x,
            area.y - expect.y,
            area.x + area.width - expect.x - expect.width,
            area.y + area.height - expect.y - expect.height,
        ]
        .iter()
        .all(|off| off.abs() <= PIXELS_OFF)
    };
    assert!(of_text.iter().any(|area| near(&area)), "{what}: `{text}` at {expect:?}, found {found:?}");
}

#[tokio::test]
async fn words_are_where_they_were_read_on_every_kind_of_page() {
    let server = TestServer::start(1).await;
    let others = OtherReaders::find();
    let boxes: [([i32; 4], Option<[i32; 4]>); 3] = [
        ([0, 0, 300, 400], None),
        ([-50, 20, 250, 420], None),
        ([0, 0, 500, 600], Some([100, 50, 400, 450])),
    ];
    for (media_box, crop_box) in boxes {
        for rotate in [0, 90, 180, 270] {
            for unit in ["", "/UserUnit 2.5"] {
                let what = format!("{media_box:?} {crop_box:?} {rotate} {unit}");
                let mut pdf = Pdf::new();
                pdf.page(&Page { media_box, crop_box, rotate, content: "0 0 m 9 9 l S", ..Page::default() });
                let bytes = String::from_utf8(pdf.bytes()).unwrap();
                // The replacement keeps the offsets of what follows: they are found by a repair otherwise.
                let bytes = if unit.is_empty() { bytes } else { with_unit(&bytes, unit) };
                let document = server.open(bytes.as_bytes()).await.unwrap();
                let image = document.page(0).await.unwrap().render(200.0, 1 << 24).await.unwrap();
                let size = image.size();
                let places = [
                    ("first", upright(20.0, 30.0, 150.0, 30.0)),
                    ("Größe", upright(size.width as f32 - 170.0, 100.0, 120.0, 24.0)),
                    ("last", upright(60.0, size.height as f32 - 60.0, 90.0, 40.0)),
                ];
                let words = places.iter().map(|(text, quad)| word(text, *quad)).collect();
                let file = composed(&document, vec![page_text(0, size, words)]).await;
                assert!(file.starts_with(bytes.as_bytes()), "{what}: the bytes of the document stay");
                let found = found(&server, &file, 0, size).await;
                for (text, quad) in &places {
                    assert_at(&found, text, quad, &what);
                }
                assert!(found.iter().all(|(_, _, span)| !span.visible), "{what}: the text is invisible");
                others.check(&file, &places, &what);
                let page = server.page(&file).await;
                let after = page.render(200.0, 1 << 24).await.unwrap();
                assert_eq!(after.samples(), image.samples(), "{what}: the page looks the same");
            }
        }
    }
    server.end().await;
}

/// Programs that read the files, too, where they are installed: poppler's pdftotext, and qpdf.
struct OtherReaders {
    pdftotext: bool,
    qpdf: bool,
}

impl OtherReaders {
    fn find() -> Self {
        let installed = |program: &str| {
            let runs = Command::new(program).arg("--version").output().is_ok();
            if !runs {
                eprintln!("SKIPPED: {program} is not installed, and does not check the searchable PDFs");
            }
            runs
        };
        Self { pdftotext: installed("pdftotext"), qpdf: installed("qpdf") }
    }

    /// Checks that the words are found in their places, and that the file has no faults.
    fn check(&self, file: &[u8], places: &[(&str, Quad)], what: &str) {
        let folder = std::env::temp_dir().join(format!("lector-compose-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file.pdf");
        std::fs::write(&path, file).unwrap();
        if self.qpdf {
            let checked = Command::new("qpdf").arg("--check").arg(&path).output().unwrap();
            assert!(checked.status.success(), "{what}: {}", String::from_utf8_lossy(&checked.stdout));
        }
        if self.pdftotext {
            let arguments = ["-cropbox", "-bbox", path.to_str().unwrap(), "-"];
            let read = Command::new("pdftotext").args(arguments).output().unwrap();
            let html = String::from_utf8(read.stdout).unwrap();
            let page = html.split("<page ").nth(1).unwrap();
            // The size that the page states is not turned with it; the words are.
            let (x, y) = (PIXELS_PER_POINT, PIXELS_PER_POINT);
            for (text, quad) in places {
                let word = page.split("<word ").find(|word| word.contains(&format!(">{text}<")));
                let word = word.unwrap_or_else(|| panic!("{what}: no `{text}` in {page}"));
                let bounds = quad.bounds();
                let off = [
                    number(word, "xMin") * x - bounds.x,
                    number(word, "yMin") * y - bounds.y,
                    number(word, "xMax") * x - bounds.x - bounds.width,
                    number(word, "yMax") * y - bounds.y - bounds.height,
                ];
                assert!(off.iter().all(|off| off.abs() <= PIXELS_OFF), "{what}: `{text}` is off by {off:?}");
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// Returns the number of an attribute.
fn number(element: &str, attribute: &str) -> f32 {
    let value = element.split(&format!("{attribute}=\"")).nth(1).unwrap();
    value.split('"').next().unwrap().parse().unwrap()
}

/// Returns the file with a unit in its page object, and a table that is right.
fn with_unit(bytes: &str, unit: &str) -> String {
    let (objects, _) = bytes.split_once("xref\n").unwrap();
    let objects = objects.replace("/Type /Page ", &format!("/Type /Page {unit} "));
    let offsets: Vec<usize> = objects.match_indices(" 0 obj").map(|(at, _)| at - 1).collect();
    let entries: String = offsets.iter().map(|offset| format!("{offset:010} 00000 n \n")).collect();
    let (size, xref) = (offsets.len() + 1, objects.len());
    format!(
        "{objects}xref\n0 {size}\n0000000000 65535 f \n{entries}trailer\n<< /Size {size} /Root 1 0 R >>\n\
         startxref\n{xref}\n%%EOF\n"
    )
}

#[tokio::test]
async fn any_boxes_at_any_angle_are_found() {
    let server = TestServer::start(1).await;
    let document = server.open(&hello()).await.unwrap();
    let size = Size { width: 1250, height: 1667 };
    let mut dice = Dice(14);
    for round in 0..12 {
        // A grid with wide gaps: pdfium takes letters as far apart as they are wide for one word.
        let mut places = Vec::new();
        for row in 0..10_usize {
            for column in 0..3_usize {
                let length = 2 + dice.roll(9);
                let text: String = (0..length).map(|_| char::from(b'a' + dice.roll(26) as u8)).collect();
                let (height, width) = (12.0 + dice.roll(40) as f32, 60.0 + dice.roll(180) as f32);
                let (x, y) = (20.0 + column as f32 * 400.0, 30.0 + row as f32 * 150.0);
                places
                    .push((text, upright(x + dice.roll(30) as f32, y + dice.roll(60) as f32, width, height)));
            }
        }
        let words = places.iter().map(|(text, quad)| word(text, *quad)).collect();
        let file = composed(&document, vec![page_text(0, size, words)]).await;
        let found = found(&server, &file, 0, size).await;
        for (text, quad) in &places {
            assert_at(&found, text, quad, &format!("round {round}"));
        }
    }
    // Reads upwards, downwards and upside down.
    let turned = |corners: [(f32, f32); 4]| Quad(corners.map(|(x, y)| Point { x, y }));
    let places = [
        ("upwards", turned([(100.0, 500.0), (100.0, 300.0), (130.0, 300.0), (130.0, 500.0)])),
        ("downwards", turned([(330.0, 300.0), (330.0, 500.0), (300.0, 500.0), (300.0, 300.0)])),
        ("overhead", turned([(800.0, 430.0), (600.0, 430.0), (600.0, 400.0), (800.0, 400.0)])),
    ];
    let words = places.iter().map(|(text, quad)| word(text, *quad)).collect();
    let file = composed(&document, vec![page_text(0, size, words)]).await;
    let found = found(&server, &file, 0, size).await;
    for (text, quad) in &places {
        // The words of turned lines are reported in parts by some readers; pdfium has their characters in place.
        let bounds = quad.bounds();
        let inside = |area: &Rect| {
            area.x >= bounds.x - PIXELS_OFF
                && area.y >= bounds.y - PIXELS_OFF
                && area.x + area.width <= bounds.x + bounds.width + PIXELS_OFF
                && area.y + area.height <= bounds.y + bounds.height + PIXELS_OFF
        };
        let parts = found.iter().filter(|(_, area, span)| !span.visible && inside(area));
        let letters: String = parts.map(|(part, ..)| part.as_str()).collect();
        let sorted = |text: &str| {
            let mut letters: Vec<char> = text.chars().collect();
            letters.sort_unstable();
            letters
        };
        assert_eq!(sorted(&letters), sorted(text), "{found:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn scripts_and_spaces_come_back_as_they_were() {
    let server = TestServer::start(1).await;
    let document = server.open(&hello()).await.unwrap();
    let size = Size { width: 1250, height: 1667 };
    let mut words = Vec::new();
    let texts = ["Ελλάδα", "Россия", "日本語", "한국어", "ไทย", "हिन्दी", "𝄞clef", "שלום", "العربية"];
    for (at, text) in texts.iter().enumerate() {
        let rtl = at >= 7;
        let direction = if rtl { Direction::Rtl } else { Direction::Ltr };
        let quad = upright(100.0, 100.0 + at as f32 * 150.0, 300.0, 40.0);
        words.push(WordText { direction, ..word(text, quad) });
    }
    let file = composed(&document, vec![page_text(0, size, words)]).await;
    let found = found(&server, &file, 0, size).await;
    for (at, text) in texts.iter().enumerate() {
        assert_at(&found, text, &upright(100.0, 100.0 + at as f32 * 150.0, 300.0, 40.0), "scripts");
    }
    server.end().await;
}

#[tokio::test]
async fn what_a_page_says_already_is_not_written_again() {
    let server = TestServer::start(1).await;
    let bytes = hello();
    let document = server.open(&bytes).await.unwrap();
    let size = Size { width: 1250, height: 1667 };
    let known = found(&server, &bytes, 0, size).await;
    let (text, place, _) = known.iter().find(|(text, ..)| text == "Hello").unwrap();
    let quad = upright(place.x, place.y, place.width, place.height);
    let file = composed(&document, vec![page_text(0, size, vec![word(text, quad)])]).await;
    assert_eq!(file, bytes, "there is nothing to add");
    // Another word at the same place, and the same word elsewhere, are text of the page.
    let elsewhere = upright(100.0, 1200.0, 200.0, 40.0);
    let words = vec![word("Hallo", quad), word("Hello", elsewhere)];
    let file = composed(&document, vec![page_text(0, size, words)]).await;
    let after = found(&server, &file, 0, size).await;
    assert_eq!(after.iter().filter(|(_, _, span)| !span.visible).count(), 2, "{after:?}");
    assert_at(&after, "Hello", &elsewhere, "elsewhere");
    server.end().await;
}

#[tokio::test]
async fn pictures_become_pages() {
    let server = TestServer::start(1).await;
    for (name, bytes) in crate::pictures::samples() {
        let document = server.open(&bytes).await.unwrap();
        let page = document.page(0).await.unwrap();
        let dpi = page.info().native_dpi.unwrap();
        let before = page.render(dpi, 1 << 24).await.unwrap();
        let size = before.size();
        let quad = upright(
            size.width as f32 * 0.25,
            size.height as f32 * 0.25,
            size.width as f32 * 0.5,
            size.height as f32 * 0.5,
        );
        let file = composed(&document, vec![page_text(0, size, vec![word("picture", quad)])]).await;
        assert!(file.starts_with(b"%PDF-"), "{name}");
        let again = server.open(&file).await.unwrap();
        assert_eq!(again.page_count(), document.page_count(), "{name}: pages without text are pages, too");
        let page = again.page(0).await.unwrap();
        let after = page.render(dpi, 1 << 24).await.unwrap();
        assert!(
            after.size().width.abs_diff(size.width) <= 1 && after.size().height.abs_diff(size.height) <= 1
        );
        assert_similar(before.samples(), after.samples(), before.size() == after.size(), name);
        let found = found(&server, &file, 0, size).await;
        assert_at(&found, "picture", &quad, name);
    }
    server.end().await;
}

/// Asserts that two renderings show the same: pdfium's own decoder and scaling differ in the last bits.
fn assert_similar(before: &[u8], after: &[u8], same_size: bool, name: &str) {
    let mean = |bytes: &[u8]| bytes.iter().map(|b| f64::from(*b)).sum::<f64>() / bytes.len() as f64;
    assert!((mean(before) - mean(after)).abs() < 6.0, "{name}: {} and {}", mean(before), mean(after));
    if same_size {
        let off: f64 = before.iter().zip(after).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
        assert!(off / (before.len() as f64) < 8.0, "{name}: off by {}", off / before.len() as f64);
    }
}

#[tokio::test]
async fn documents_that_may_not_be_changed_are_refused() {
    let server = TestServer::start(1).await;
    let size = Size { width: 300, height: 400 };
    let text = || vec![page_text(0, size, vec![word("a", upright(10.0, 10.0, 20.0, 10.0))])];
    // Certified against every change.
    let mut pdf = Pdf::new();
    pdf.page(&Page::default());
    let reference = "[<< /Type /SigRef /TransformMethod /DocMDP /TransformParams << /P 1 /V /1.2 >> >>]";
    let signature = pdf.add(format!(
        "<< /Type /Sig /Filter /Adobe.PPKLite /ByteRange [0 1 2 3] /Contents <00> /Reference {reference} >>"
    ));
    let field = pdf.add(format!(
        "<< /Type /Annot /Subtype /Widget /FT /Sig /T (s) /V {signature} 0 R /Rect [0 0 0 0] >>"
    ));
    let certified = String::from_utf8(pdf.bytes()).unwrap();
    let form = format!("/Type /Catalog /AcroForm << /SigFlags 3 /Fields [{field} 0 R] >>");
    let certified = rebuilt(&certified.replace("/Type /Catalog", &form));
    let document = server.open(certified.as_bytes()).await.unwrap();
    assert_eq!(code(document.compose(text(), PdfStandard::Own).await), "document_not_composable");
    // Signed, and changes are allowed: the bytes that the signature covers stay.
    let signed = rebuilt(&certified.replace("/P 1", "/P 2"));
    let document = server.open(signed.as_bytes()).await.unwrap();
    assert!(composed(&document, text()).await.starts_with(signed.as_bytes()));
    server.end().await;
}

#[tokio::test]
async fn a_pdf_a_names_its_standard_and_its_colors_or_what_is_in_its_way() {
    let server = TestServer::start(1).await;
    let size = Size { width: 300, height: 400 };
    let quad = upright(30.0, 200.0, 100.0, 20.0);
    let text = || vec![page_text(0, size, vec![word("added", quad)])];
    let others = OtherReaders::find();
    let marks: [&[u8]; 6] = [
        b"<pdfaid:part>2</pdfaid:part>",
        b"<pdfaid:conformance>B</pdfaid:conformance>",
        b"/GTS_PDFA1",
        b"/OutputIntents",
        b"/Metadata",
        b"/ID[<",
    ];
    let has = |file: &[u8], mark: &[u8]| file.windows(mark.len()).any(|window| window == mark);
    let conforms = |file: &[u8], what: &str| {
        for mark in marks {
            assert!(has(file, mark), "{what}: no {}", String::from_utf8_lossy(mark));
        }
        let second = file.split(|byte| *byte == b'\n').nth(1).unwrap();
        assert!(second[0] == b'%' && second[1..5].iter().all(|byte| *byte >= 128), "{what}");
    };
    // A picture becomes a file of its own.
    let picture = image::DynamicImage::new_rgb8(300, 400);
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let document = server.open(png.get_ref()).await.unwrap();
    let plain = composed(&document, text()).await;
    assert!(!has(&plain, b"pdfaid"));
    let made = document.compose(text(), PdfStandard::A2b).await.unwrap();
    let file: Vec<u8> = made.flat_map(|chunk| chunk.unwrap()).collect();
    conforms(&file, "a picture");
    assert_at(&found(&server, &file, 0, size).await, "added", &quad, "a picture");
    others.check(&file, &[], "a picture");
    // A PDF without anything that the standard forbids keeps its bytes.
    let mut pdf = Pdf::new();
    let content = pdf.stream("", b"0.2 0.4 0.6 rg 10 10 50 50 re f");
    pdf.add_page(format!(
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 400] /Contents {content} 0 R /Resources << >> >>"
    ));
    let drawn = String::from_utf8(pdf.bytes()).unwrap();
    let drawn = rebuilt(&drawn.replacen("%PDF-1.7\n", "%PDF-1.7\n%\u{e9}\u{e9}\n", 1));
    let document = server.open(drawn.as_bytes()).await.unwrap();
    for text in [text(), Vec::new()] {
        let made = document.compose(text, PdfStandard::A2b).await.unwrap();
        let file: Vec<u8> = made.flat_map(|chunk| chunk.unwrap()).collect();
        assert!(file.starts_with(drawn.as_bytes()));
        conforms(&file, "a PDF");
        others.check(&file, &[], "a PDF");
    }
    // What is in the way is named.
    let document = server.open(&hello()).await.unwrap();
    let fault = document.compose(text(), PdfStandard::A2b).await.err().unwrap();
    assert_eq!(fault.code, "document_not_composable");
    for part in ["PDF/A-2b", "the font Helvetica is not embedded", "marks binary data"] {
        assert!(fault.message.contains(part), "{}", fault.message);
    }
    server.end().await;
}

/// Returns the file with a table that is right.
fn rebuilt(bytes: &str) -> String {
    with_unit(bytes, "")
}

#[tokio::test]
async fn a_file_with_a_wrong_table_is_written_anew() {
    let server = TestServer::start(1).await;
    let size = Size { width: 300, height: 400 };
    let whole = String::from_utf8(hello()).unwrap();
    // Every offset is wrong, and pdfium repairs the file when it opens it.
    let damaged = whole.replace("/Type /Catalog", "/Type  /Catalog   ");
    let document = server.open(damaged.as_bytes()).await.unwrap();
    let quad = upright(30.0, 200.0, 100.0, 20.0);
    let file = composed(&document, vec![page_text(0, size, vec![word("added", quad)])]).await;
    let found = found(&server, &file, 0, size).await;
    assert_at(&found, "added", &quad, "repaired");
    assert!(found.iter().any(|(text, ..)| text == "Hello"), "{found:?}");
    server.end().await;
}

#[tokio::test]
async fn broken_files_fail_alone() {
    let server = TestServer::start(1).await;
    let size = Size { width: 300, height: 400 };
    let quad = upright(30.0, 200.0, 100.0, 20.0);
    let text = || vec![page_text(0, size, vec![word("added", quad)])];
    let mut dice = Dice(95);
    let mut composed_files = 0;
    for round in 0..80_usize {
        let mut bytes = hello();
        for _ in 0..=dice.roll(6) {
            let at = dice.roll(bytes.len());
            bytes[at] = u8::try_from(dice.roll(256)).unwrap();
        }
        if round % 4 == 0 {
            bytes.truncate(bytes.len() / 2 + dice.roll(bytes.len() / 2));
        }
        let Ok(document) = server.open(&bytes).await else { continue };
        match document.compose(text(), PdfStandard::Own).await {
            Ok(composed) => {
                composed_files += 1;
                let file: Vec<u8> = composed.flat_map(|chunk| chunk.unwrap()).collect();
                let again = server.open(&file).await.unwrap();
                assert_eq!(again.page_count(), document.page_count(), "round {round}");
            }
            Err(fault) => assert_eq!(fault.blame, Blame::Client, "round {round}: {fault}"),
        }
    }
    assert!(composed_files > 0, "no broken file was composed");
    let document = server.open(&hello()).await.unwrap();
    composed(&document, text()).await;
    server.end().await;
}
