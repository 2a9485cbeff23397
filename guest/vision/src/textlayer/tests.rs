#![allow(clippy::unwrap_used)]
use super::*;
use crate::geometry::{Point, Rotation};

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

/// Makes the words of a page whose lines are 14 apart, 5 a letter and 5 between words, turned by quarters about its corner.
fn turned<'a>(lines: &[&'a str], rotation: Rotation) -> Vec<Span<'a>> {
    let (width, height) = (600.0, 800.0);
    let mut spans = Vec::new();
    for (row, line) in lines.iter().enumerate() {
        let mut x = 60.0;
        for word in line.split(' ') {
            let mut span = span(word, x, 60.0 + 14.0 * row as f32);
            x += span.area.width + 5.0;
            span.area =
                Quad(Quad::from_rect(&span.area).0.map(|p| p.turned(rotation, width, height))).bounds();
            spans.push(span);
        }
        spans.last_mut().unwrap().ends_line = true;
    }
    spans
}

#[test]
fn lines_with_short_words_stay_whole_in_every_rotation() {
    let text =
        ["to us It is up to everybody", "as if we go in May", "7", "or do so by all means", "12 of it"];
    for rotation in [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters] {
        let found = lines(&turned(&text, rotation));
        assert_eq!(found.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), text, "{rotation:?}");
        for line in &found {
            let upright = line.quad.turned(rotation.inverse(), 600.0, 800.0);
            assert!(upright.angle().abs() < 1e-4, "{rotation:?}: {}: {}", line.text, line.quad.angle());
        }
    }
}

#[test]
fn a_line_of_another_direction_beside_short_words_keeps_its_own() {
    // Numbers below each other on a level page are no line down the page, whatever the order of the document.
    let mut spans = turned(&["level words of the page", "more of them below"], Rotation::None);
    spans.extend([span("7", 400.0, 100.0), span("12", 400.0, 111.0), span("9", 400.0, 122.0)]);
    let turned_words = turned(&["beside it", "to a margin"], Rotation::ThreeQuarters);
    spans.extend(turned_words);
    let found = lines(&spans);
    let texts: Vec<&str> = found.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        texts,
        ["level words of the page", "more of them below", "7", "12", "9", "beside it", "to a margin"]
    );
    let up = |line: &LayerLine| (line.quad.angle() + std::f32::consts::FRAC_PI_2).abs() < 1e-4;
    assert_eq!(found.iter().map(up).collect::<Vec<_>>(), [false, false, false, false, false, true, true]);
}

#[test]
fn text_that_runs_to_the_left_by_its_script_is_not_upside_down() {
    let words = ["הוועדה", "נפגשה", "באביב", "לדון"];
    let spans: Vec<Span<'_>> =
        words.iter().zip(0..).map(|(text, i)| span(text, 300.0 - 32.0 * i as f32, 50.0)).collect();
    let found = lines(&spans);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].quad.angle(), 0.0);
    // Half of a folded sheet is upside down.
    let mut both = turned(&["one half of the sheet", "a word"], Rotation::None);
    both.extend(turned(&["the other half of it", "is upside down"], Rotation::Half));
    let angles: Vec<bool> = lines(&both).iter().map(|line| line.quad.angle().abs() > 3.0).collect();
    assert_eq!(angles, [false, false, true, true]);
}

#[test]
fn a_word_at_an_angle_has_a_quad_at_that_angle() {
    let at = |text, x: f32, angle: f32| {
        let length = 0.6 * 60.0 * text_length(text);
        let level = Quad::from_rect(&Rect { x, y: 400.0, width: length, height: 60.0 });
        let area = Quad(level.0.map(|p| p.turned_about(Point::new(300.0, 400.0), -angle))).bounds();
        Span { area, font_size: 60.0, ..span(text, 0.0, 0.0) }
    };
    for angle in [0.6, 0.8, 1.0] {
        let mut spans: Vec<Span<'_>> = (0..40).map(|i| span("words", 50.0, 20.0 * i as f32)).collect();
        spans.extend([at("STRICTLY", 60.0, angle), at("CONFIDENTIAL", 380.0, angle)]);
        let found = lines(&spans);
        assert_eq!(found.len(), 41);
        assert_eq!(found[40].text, "STRICTLY CONFIDENTIAL");
        assert!((found[40].quad.angle() + angle).abs() < 0.05, "{angle}: {}", found[40].quad.angle());
    }
    // A large initial makes a word thick, too.
    let initial = Rect { x: 50.0, y: 50.0, width: 40.0, height: 30.0 };
    assert_eq!(lines(&[Span { area: initial, ..span("The", 0.0, 0.0) }])[0].quad.angle(), 0.0);
}

fn text_length(text: &str) -> f32 {
    text.chars().count() as f32
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
