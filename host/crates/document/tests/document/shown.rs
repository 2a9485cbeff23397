//! The text layer is what a viewer shows: form fields and annotations, no layer that is off, nothing beside the page; and the
//! lines drawn around tables.

use lector_core::{LineSource, Rect, TextLayer};

use crate::builder::{Page, Pdf};
use crate::support::TestServer;

const FONT: &str = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>";
const CONTENT: &str = "BT /F1 12 Tf 20 350 Td (Name of the owner) Tj ET";

/// Adds the appearance stream of an annotation, with one line of text.
fn appearance(pdf: &mut Pdf, text: &str) -> usize {
    let font = pdf.add(FONT);
    let entries = format!(
        "/Type /XObject /Subtype /Form /BBox [0 0 200 20] /Resources << /Font << /F1 {font} 0 R >> >>"
    );
    pdf.stream(&entries, format!("BT /F1 10 Tf 2 5 Td ({text}) Tj ET").as_bytes())
}

/// Makes a page with annotations; `fields` of them, from the first, are the fields of a form.
fn annotated(pdf: &mut Pdf, annotations: &[usize], fields: usize, form: &str) -> Vec<u8> {
    let list = |numbers: &[usize]| numbers.iter().map(|n| format!("{n} 0 R ")).collect::<String>();
    let font = pdf.add(FONT);
    if fields > 0 {
        pdf.catalog += &format!(
            "/AcroForm << /Fields [{}] /DR << /Font << /F1 {font} 0 R >> >> /DA (/F1 10 Tf 0 g) {form} >>",
            list(&annotations[..fields])
        );
    }
    let entries = format!("/Annots [{}]", list(annotations));
    pdf.page(&Page { content: CONTENT, entries, ..Page::default() }).bytes()
}

/// Returns the words from a source, joined.
fn from(layer: &TextLayer, source: LineSource) -> String {
    let words: Vec<&str> =
        layer.spans.iter().filter(|span| span.source == source).map(|span| span.text.as_str()).collect();
    words.join(" ")
}

async fn layer_of(server: &TestServer, bytes: &[u8]) -> TextLayer {
    server.page(bytes).await.text_layer().await.unwrap()
}

#[tokio::test]
async fn form_fields_and_annotations_are_read_where_they_stand() {
    let server = TestServer::start(1).await;
    let mut pdf = Pdf::new();
    let value = appearance(&mut pdf, "Copper Kettle");
    let stamp = appearance(&mut pdf, "RECEIVED");
    let note = appearance(&mut pdf, "Please check");
    let annotations = [
        pdf.add(format!(
            "<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /V (Copper Kettle) /F 4 \
             /Rect [100 300 300 320] /AP << /N {value} 0 R >> >>"
        )),
        pdf.add(format!(
            "<< /Type /Annot /Subtype /Stamp /F 4 /Rect [50 100 250 120] /AP << /N {stamp} 0 R >> >>"
        )),
        pdf.add(format!(
            "<< /Type /Annot /Subtype /FreeText /Contents (x) /F 4 /Rect [50 200 250 220] /AP << /N {note} 0 R >> >>"
        )),
        // What only a window of its own shows.
        pdf.add("<< /Type /Annot /Subtype /Text /Contents (A remark) /F 4 /Rect [5 5 25 25] >>"),
    ];
    let bytes = annotated(&mut pdf, &annotations, 1, "");
    let page = server.page(&bytes).await;
    let layer = page.text_layer().await.unwrap();
    assert_eq!(from(&layer, LineSource::TextLayer), "Name of the owner");
    assert_eq!(from(&layer, LineSource::FormField), "Copper Kettle");
    assert_eq!(from(&layer, LineSource::Annotation).split(' ').count(), 3, "{layer:?}");
    let copper = layer.spans.iter().find(|span| span.text == "Copper").unwrap();
    assert!(copper.visible && (copper.area.x - 102.0).abs() < 2.0, "{copper:?}");
    assert!(copper.area.y > 78.0 && copper.area.y < 100.0, "{copper:?}");
    // The page is read again, and drawn, as it was.
    assert_eq!(page.text_layer().await.unwrap(), layer);
    assert!(page.render(72.0, 1_000_000).await.unwrap().samples().iter().any(|v| *v < 128));
    server.end().await;
}

#[tokio::test]
async fn values_without_an_appearance_and_the_states_of_buttons_are_read() {
    let server = TestServer::start(1).await;
    for form in ["", "/NeedAppearances true"] {
        let mut pdf = Pdf::new();
        let cross = appearance(&mut pdf, "4");
        let off = pdf.stream("/Type /XObject /Subtype /Form /BBox [0 0 20 20]", b"");
        let states = format!("/AP << /N << /Yes {cross} 0 R /Off {off} 0 R >> >>");
        let button = |name: &str, state: &str, y: u32, flags: u32| {
            format!(
                "<< /Type /Annot /Subtype /Widget /FT /Btn /Ff {flags} /T ({name}) /V /{state} /AS /{state} /F 4 \
                 /Rect [20 {y} 40 {}] {states} >>",
                y + 20
            )
        };
        let field = |name: &str, flags: u32, y: u32| {
            format!(
                "<< /Type /Annot /Subtype /Widget /FT /Tx /T ({name}) /V (Plain value) /DA (/F1 10 Tf 0 g) \
                 /Ff {flags} /F 4 /Rect [100 {y} 250 {}] >>",
                y + 20
            )
        };
        let annotations = [
            pdf.add(field("text", 0, 300)),
            pdf.add(field("password", 1 << 13, 270)),
            pdf.add(button("on", "Yes", 240, 0)),
            pdf.add(button("off", "Off", 210, 0)),
            pdf.add(button("chosen", "Yes", 180, 1 << 15)),
        ];
        let bytes = annotated(&mut pdf, &annotations, 5, form);
        let layer = layer_of(&server, &bytes).await;
        let mut words: Vec<&str> = layer
            .spans
            .iter()
            .filter(|span| span.source == LineSource::FormField)
            .map(|span| span.text.as_str())
            .collect();
        words.sort_unstable();
        assert_eq!(words, ["Plain", "value", "\u{25c9}", "\u{2610}", "\u{2611}"], "{form}: {layer:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn what_is_hidden_is_not_read() {
    let server = TestServer::start(1).await;
    let mut pdf = Pdf::new();
    let note = appearance(&mut pdf, "Secret");
    let annotation = |flags: u32| {
        format!(
            "<< /Type /Annot /Subtype /FreeText /Contents (Secret) /F {flags} /Rect [50 200 250 220] \
             /AP << /N {note} 0 R >> >>"
        )
    };
    // Hidden, and not for the screen.
    let annotations = [pdf.add(annotation(2)), pdf.add(annotation(32)), pdf.add(annotation(36))];
    let bytes = annotated(&mut pdf, &annotations, 0, "");
    let layer = layer_of(&server, &bytes).await;
    assert_eq!(layer.spans.len(), 4, "{layer:?}");
    server.end().await;
}

#[tokio::test]
async fn a_layer_that_is_off_is_not_read_and_one_that_is_on_is() {
    let server = TestServer::start(1).await;
    let mut pdf = Pdf::new();
    let off = pdf.add("<< /Type /OCG /Name (Draft) >>");
    let on = pdf.add("<< /Type /OCG /Name (Final) >>");
    let all_off = pdf.add(format!("<< /Type /OCMD /OCGs [{off} 0 R] /P /AnyOn >>"));
    let font = pdf.add(FONT);
    let mut form = |text: &str, more: &str| {
        let entries = format!(
            "/Type /XObject /Subtype /Form /BBox [0 0 300 400] {more} /Resources << /Font << /F1 {font} 0 R >> >>"
        );
        pdf.stream(&entries, text.as_bytes())
    };
    let hidden =
        form("BT /F1 12 Tf 20 200 Td (Withdrawn) Tj ET 20 195 m 90 195 l S", &format!("/OC {off} 0 R"));
    let shown = form("BT /F1 12 Tf 20 180 Td (Letterhead) Tj ET", "");
    let ocr = form("BT 3 Tr /F1 12 Tf 20 160 Td (Invisible) Tj ET", "");
    // White text on a black ground is shown.
    let white = form("0 g 10 130 200 30 re f 1 g BT /F1 12 Tf 20 140 Td (Inverse) Tj ET", "");
    pdf.catalog =
        format!("/OCProperties << /OCGs [{off} 0 R {on} 0 R] /D << /ON [{on} 0 R] /OFF [{off} 0 R] >> >>");
    // The draft lies over text that is shown.
    let content = "BT /F1 12 Tf 20 350 Td (Tariff) Tj ET \
                   /OC /Off BDC BT /F1 12 Tf 20 350 Td (Draft) Tj ET EMC \
                   /OC /On BDC BT /F1 12 Tf 20 300 Td (Valid) Tj ET EMC \
                   /OC /Member BDC BT /F1 12 Tf 20 280 Td (Membership) Tj ET EMC \
                   /H Do /S Do /O Do /W Do";
    let page = Page {
        content,
        xobjects: format!("/H {hidden} 0 R /S {shown} 0 R /O {ocr} 0 R /W {white} 0 R"),
        resources: format!("/Properties << /Off {off} 0 R /On {on} 0 R /Member {all_off} 0 R >>"),
        ..Page::default()
    };
    let bytes = pdf.page(&page).bytes();
    let page = server.page(&bytes).await;
    let before = page.render(72.0, 1_000_000).await.unwrap();
    let layer = page.text_layer().await.unwrap();
    let words: Vec<(&str, bool)> =
        layer.spans.iter().map(|span| (span.text.as_str(), span.visible)).collect();
    assert_eq!(
        words,
        [("Tariff", true), ("Valid", true), ("Letterhead", true), ("Invisible", false), ("Inverse", true)]
    );
    assert!(layer.rules.is_empty(), "the line of the hidden form is none: {:?}", layer.rules);
    let after = page.render(72.0, 1_000_000).await.unwrap();
    assert!(before.samples() == after.samples(), "the page is drawn as before");
    server.end().await;
}

#[tokio::test]
async fn text_beside_the_page_is_not_read() {
    let server = TestServer::start(1).await;
    let content = "BT /F1 12 Tf 60 300 Td (inside) Tj 0 -200 Td (below) Tj ET \
                   BT /F1 12 Tf 265 300 Td (overhanging) Tj ET";
    let page = Page { crop_box: Some([50, 200, 280, 380]), content, ..Page::default() };
    let layer = layer_of(&server, &Pdf::new().page(&page).bytes()).await;
    assert_eq!(layer.spans.iter().map(|span| span.text.as_str()).collect::<Vec<_>>(), ["inside"]);
    server.end().await;
}

#[tokio::test]
async fn drawn_lines_are_reported_once_each_wherever_they_are_drawn() {
    let server = TestServer::start(1).await;
    let mut pdf = Pdf::new();
    // A stroked rectangle in a form that is drawn at twice its size.
    let frame = pdf.stream("/Type /XObject /Subtype /Form /BBox [0 0 300 400]", b"0.5 w 50 100 50 25 re S");
    // A line in two pieces, a thin filled rectangle, a picture's edge that is none, a slanted line, a curve, a clip.
    let content = "1 w 20 350 m 60 350 l S 60 350 m 120 350 l S 20 300 100 1 re f 20 200 40 40 re f \
                   20 150 m 120 190 l S 20 90 m 40 90 60 90 120 90 c S 10 10 100 0.5 re W n \
                   q 2 0 0 2 0 0 cm /Fm Do Q";
    let page = Page { content, xobjects: format!("/Fm {frame} 0 R"), rotate: 0, ..Page::default() };
    let mut rules = layer_of(&server, &pdf.page(&page).bytes()).await.rules;
    rules.sort_by(|a, b| {
        (a.height > a.width).cmp(&(b.height > b.width)).then(a.y.total_cmp(&b.y)).then(a.x.total_cmp(&b.x))
    });
    let rounded: Vec<[i32; 4]> = rules
        .iter()
        .map(|r| {
            let middle =
                if r.width > r.height { (r.x, r.y + r.height / 2.0) } else { (r.x + r.width / 2.0, r.y) };
            [middle.0, middle.1, r.width, r.height].map(|v| v.round() as i32)
        })
        .collect();
    assert_eq!(
        rounded,
        [
            [20, 50, 100, 1],
            [20, 100, 100, 1],
            [100, 150, 100, 1],
            [100, 200, 100, 1],
            [100, 150, 1, 50],
            [200, 150, 1, 50],
        ],
        "{rules:?}"
    );
    // A quarter turn swaps the directions, and the lines lie where they are drawn.
    let content = "20 350 m 120 350 l S";
    let turned = Page { content, rotate: 90, ..Page::default() };
    let rules = layer_of(&server, &Pdf::new().page(&turned).bytes()).await.rules;
    assert_eq!(rules.len(), 1);
    let Rect { x, y, width, height } = rules[0];
    assert!((x + width / 2.0 - 350.0).abs() < 0.1 && (y - 20.0).abs() < 0.1, "{rules:?}");
    assert!(height > 99.0 && width < 2.0, "{rules:?}");
    server.end().await;
}
