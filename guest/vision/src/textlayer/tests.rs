#![allow(clippy::unwrap_used)]
use super::*;
use crate::geometry::Point;

fn span(text: &str, x: f32, y: f32) -> Span<'_> {
    let area = Rect { x, y, width: 5.0 * text.chars().count() as f32, height: 10.0 };
    Span { text, area, font_size: 10.0, visible: true, ends_line: false, origin: Origin::Page }
}

fn page<'a>(spans: &'a [Span<'a>], unmapped: u32) -> Layer<'a> {
    Layer { spans, pictures: &[], unmapped, page: (600.0, 800.0) }
}

#[test]
fn judges_layers() {
    let prose: Vec<Span<'_>> = (0..40).map(|i| span("words", 50.0, 50.0 + 12.0 * i as f32)).collect();
    assert_eq!(judge(&page(&prose, 0)), Verdict::Real);
    assert_eq!(judge(&page(&prose, 3)), Verdict::Real, "a few unmapped signs are no harm");
    assert_eq!(judge(&page(&prose, 150)), Verdict::Garbage);
    assert_eq!(judge(&page(&[], 0)), Verdict::Absent);
    assert_eq!(judge(&page(&[], 500)), Verdict::Garbage);
    assert_eq!(judge(&page(&prose[..1], 0)), Verdict::Absent);
    let with = |change: &dyn Fn(usize, &mut Span<'_>)| {
        let mut spans = prose.clone();
        spans.iter_mut().enumerate().for_each(|(i, s)| change(i, s));
        judge(&page(&spans, 0))
    };
    assert_eq!(with(&|_, s| s.visible = false), Verdict::Hidden);
    assert_eq!(with(&|_, s| s.text = "(cid:12)"), Verdict::Garbage);
    assert_eq!(with(&|_, s| s.text = "\u{e012}\u{e013}\u{e014}"), Verdict::Garbage);
    assert_eq!(with(&|_, s| s.text = "=~*#!?"), Verdict::Garbage);
    assert_eq!(with(&|_, s| s.area.x = 900.0), Verdict::Misplaced);
    assert_eq!(
        with(&|i, s| (s.area.y, s.text) = (70.0, if i % 2 == 0 { "words" } else { "other" })),
        Verdict::Misplaced,
        "on top of each other"
    );
    assert_eq!(with(&|i, s| s.area.y = 50.0 + 12.0 * (i / 2) as f32), Verdict::Real, "each word drawn twice");
}

#[test]
fn annotations_over_text_are_no_defect_and_no_text_layer() {
    let own: Vec<Span<'_>> = (0..6).map(|i| span("printed", 50.0 + 60.0 * i as f32, 50.0)).collect();
    let notes: Vec<Span<'_>> =
        own.iter().map(|s| Span { text: "stamped", origin: Origin::Annotation, ..*s }).collect();
    let judged =
        |spans: &[Span<'_>]| judge(&Layer { spans, pictures: &[], unmapped: 0, page: (600.0, 800.0) });
    assert_eq!(judged(&[own.clone(), notes.clone()].concat()), Verdict::Real);
    assert_eq!(judged(&notes), Verdict::Absent);
    let found =
        lines(&[span("Name:", 50.0, 50.0), Span { origin: Origin::Field, ..span("Anna", 80.0, 50.0) }]);
    assert_eq!(found.iter().map(|line| line.origin).collect::<Vec<_>>(), [Origin::Page, Origin::Field]);
}

#[test]
fn merges_words_into_lines() {
    let spans = [
        span("Reading", 50.0, 50.0),
        span("order", 90.0, 50.5),
        Span { ends_line: true, ..span("matters.", 120.0, 50.0) },
        span("Second", 50.0, 62.0),
        span("Second", 50.3, 62.2),
        span("line", 85.0, 62.0),
        span("column", 300.0, 62.0),
        span("text", 335.0, 62.0),
    ];
    let lines = lines(&spans);
    let texts: Vec<&str> = lines.iter().map(|l| l.text.as_str()).collect();
    assert_eq!(texts, ["Reading order matters.", "Second line", "column text"]);
    assert_eq!(lines[0].quad.bounds(), Rect { x: 50.0, y: 50.0, width: 110.0, height: 10.5 });
    assert_eq!(lines[0].words.len(), 3);
    assert_eq!(lines[0].words[1].quad.0[0], Point::new(90.0, 50.5));
}

#[test]
fn merges_words_that_run_left_or_up() {
    let arabic = [span("مرحبا", 100.0, 50.0), span("بالعالم", 60.0, 50.0)];
    assert_eq!(lines(&arabic).len(), 1);
    let tall =
        |text, y| Span { area: Rect { x: 20.0, y, width: 10.0, height: 40.0 }, ..span(text, 0.0, 0.0) };
    let stamp = lines(&[tall("stamp", 300.0), tall("here", 257.0)]);
    assert_eq!(stamp.len(), 1);
    assert_eq!(stamp[0].text, "stamp here");
    assert!((stamp[0].quad.angle() + std::f32::consts::FRAC_PI_2).abs() < 1e-4, "runs upwards");
}

#[test]
fn finds_what_the_layer_does_not_say() {
    let spans = [span("embedded", 50.0, 50.0), span("words", 95.0, 50.0)];
    let lines = lines(&spans);
    let quad = |x, y, width, height| Quad::from_rect(&Rect { x, y, width, height });
    let boxes = [
        quad(48.0, 47.0, 75.0, 16.0),
        quad(48.0, 147.0, 75.0, 16.0),
        quad(48.0, 47.0, 300.0, 16.0),
        quad(48.0, 59.0, 75.0, 16.0),
    ];
    assert_eq!(uncovered(&boxes, &lines, 0.5), [1, 2, 3]);
}

#[test]
fn names_the_pictures_to_read() {
    let spans: Vec<Span<'_>> =
        (0..30).map(|i| span("covering words of text", 100.0, 100.0 + 11.0 * i as f32)).collect();
    let rect = |x, y, width, height| Rect { x, y, width, height };
    let pictures = [
        rect(100.0, 100.0, 120.0, 330.0),
        rect(300.0, 500.0, 200.0, 50.0),
        rect(300.0, 550.0, 200.0, 50.0),
        rect(10.0, 10.0, 8.0, 8.0),
        rect(500.0, 700.0, 400.0, 400.0),
    ];
    let layer = Layer { spans: &spans, pictures: &pictures, unmapped: 0, page: (600.0, 800.0) };
    assert_eq!(regions_to_read(&layer), [rect(300.0, 500.0, 200.0, 100.0), rect(500.0, 700.0, 100.0, 100.0)]);
}
