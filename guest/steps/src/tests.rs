//! Tests of the standard pipeline on the fake host. Its letters are colored cells that a closure can find and read: red
//! is `a`, green `b`, blue `c`, black `d`. Every line begins with an `a`; a line that does not is upside down, and the
//! fake recognizer returns a low confidence for it, as a real one does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use lector_sdk::fake::{Array, FakeHost, FakeModel, FakePage, Pixels};
use lector_sdk::{
    Error, ErrorKind, Rect, Request, Rotation, Size, Source, TextLayer, TextLayerPolicy, TextSpan, Transcript,
};

use crate::Standard;

/// Width and height of a letter, in pixels.
const CELL: Size = Size { width: 40, height: 30 };

fn color(letter: char) -> [u8; 3] {
    match letter {
        'a' => [255, 0, 0],
        'b' => [0, 255, 0],
        'c' => [0, 0, 255],
        _ => [0, 0, 0],
    }
}

fn page(size: Size, lines: &[(u32, u32, &str)]) -> Pixels {
    let mut pixels = Pixels::white(size);
    for &(x, y, text) in lines {
        for (index, letter) in (0_u32..).zip(text.chars()) {
            pixels.fill(x + index * CELL.width, y, CELL, color(letter));
        }
    }
    pixels
}

/// Makes a detector that treats all pixels other than white as text.
fn detector() -> FakeModel {
    FakeModel::new("x", ["fetch_name_0"], |x| {
        let &[_, _, height, width] = x.shape() else { return Err(Error::invalid("shape", "shape")) };
        let values = x.f32s()?;
        let plane = height * width;
        let dark = |at: usize| values[at].min(values[plane + at]).min(values[2 * plane + at]) < 0.0;
        let map: Vec<f32> = (0..plane).map(|at| f32::from(u8::from(dark(at)))).collect();
        Ok(vec![Array::f32([1, 1, height, width], map)])
    })
}

/// Makes a recognizer with one step per eight columns, taken from the middle row, that doubts upside-down lines.
fn recognizer() -> FakeModel {
    let upright = |row: &[i64]| row.iter().find(|&&id| id != 0) == Some(&1);
    recognizer_with(["", "a", "b", "c", "d"], move |row| if upright(row) { 0.95 } else { 0.55 })
}

/// Makes a recognizer as [`recognizer`] with these labels; `certainty` gives the probability of a row's characters.
fn recognizer_with(labels: [&str; 5], certainty: impl Fn(&[i64]) -> f32 + 'static) -> FakeModel {
    let model = FakeModel::new("x", ["ids", "confidence"], move |x| {
        let &[rows, _, height, width] = x.shape() else { return Err(Error::invalid("shape", "shape")) };
        let values = x.f32s()?;
        let (plane, steps) = (height * width, width / 8);
        let mut ids = Vec::new();
        let mut confidence = Vec::new();
        for row in 0..rows {
            let step = |step: usize| {
                let at = row * 3 * plane + height / 2 * width + step * 8 + 4;
                let (blue, green, red) = (values[at], values[at + plane], values[at + 2 * plane]);
                match (red > 0.5, green > 0.5, blue > 0.5) {
                    (true, false, false) => 1,
                    (false, true, false) => 2,
                    (false, false, true) => 3,
                    (false, false, false) if red < -0.5 && green < -0.5 && blue < -0.5 => 4,
                    _ => 0_i64,
                }
            };
            let read: Vec<i64> = (0..steps).map(step).collect();
            confidence.extend(vec![certainty(&read); steps]);
            ids.extend(read);
        }
        Ok(vec![Array::i64([rows, steps], ids), Array::f32([rows, steps], confidence)])
    });
    model.labels(labels)
}

/// Makes a page classifier that returns `class` for any page.
fn page_classifier(class: usize) -> FakeModel {
    let model = FakeModel::new("x", ["scores"], move |_| {
        let mut scores = [0.01_f32; 4];
        scores[class] = 0.97;
        Ok(vec![Array::f32([1, 4], scores)])
    });
    model.labels(["0", "90", "180", "270"])
}

/// Makes a line classifier that returns "upside down" for any line.
fn line_classifier() -> FakeModel {
    let model = FakeModel::new("x", ["scores"], |x| {
        let rows = x.shape()[0];
        Ok(vec![Array::f32([rows, 2], [0.02, 0.98].repeat(rows))])
    });
    model.labels(["0", "180"])
}

fn host(page_class: usize) -> FakeHost {
    FakeHost::new()
        .model("detection", detector())
        .model("recognition", recognizer())
        .model("recognition-tiny", recognizer())
        .model("page-orientation", page_classifier(page_class))
        .model("textline-orientation", line_classifier())
}

fn read(host: &FakeHost, page: FakePage, settings: &str) -> Transcript {
    host.recognize::<Standard>(page, Request::default(), settings).unwrap()
}

fn texts(transcript: &Transcript) -> Vec<&str> {
    transcript.lines.iter().map(|line| line.text.as_str()).collect()
}

const LETTER: Size = Size { width: 800, height: 600 };

fn letter() -> Pixels {
    page(LETTER, &[(80, 60, "abcdab"), (80, 140, "acdcb"), (80, 220, "abab")])
}

/// Returns the scan of a page that was turned clockwise by `rotation`.
fn turned(pixels: &Pixels, rotation: Rotation) -> Pixels {
    let Size { width, height } = pixels.size();
    let size = match rotation {
        Rotation::None | Rotation::Half => Size { width, height },
        Rotation::Quarter | Rotation::ThreeQuarters => Size { width: height, height: width },
    };
    let mut rgb = Vec::new();
    for y in 0..i64::from(size.height) {
        for x in 0..i64::from(size.width) {
            let (from_x, from_y) = match rotation {
                Rotation::None => (x, y),
                Rotation::Quarter => (y, i64::from(height) - 1 - x),
                Rotation::Half => (i64::from(width) - 1 - x, i64::from(height) - 1 - y),
                Rotation::ThreeQuarters => (i64::from(width) - 1 - y, x),
            };
            rgb.extend(pixels.get(from_x, from_y));
        }
    }
    Pixels::from_rgb(size, rgb).unwrap()
}

#[test]
fn a_plain_page_is_read_where_it_stands() {
    let host = host(0);
    let transcript = read(&host, FakePage::raster(letter()), "{}");
    assert_eq!(texts(&transcript), ["abcdab", "acdcb", "abab"]);
    assert_eq!((transcript.size, transcript.rotation), (LETTER, Rotation::None));
    assert!(transcript.warnings.is_empty() && transcript.findings.is_empty());
    let line = &transcript.lines[0];
    let bounds = line.quad.bounds();
    assert!((bounds.x - 80.0).abs() < 25.0 && (bounds.y - 60.0).abs() < 25.0, "{bounds:?}");
    assert!((bounds.width - 240.0).abs() < 50.0, "{bounds:?}");
    assert!((line.confidence - 0.95).abs() < 1e-3 && line.words.is_empty());
    assert!(matches!(line.source, Source::Ocr));
    assert_eq!(host.runs("textline-orientation"), 0, "nothing is doubtful");
}

#[test]
fn words_come_when_asked_for() {
    let request = Request { words: true, ..Request::default() };
    let transcript = host(0).recognize::<Standard>(FakePage::raster(letter()), request, "{}").unwrap();
    assert_eq!(transcript.lines[2].words[0].text, "abab");
}

#[test]
fn a_blank_page_costs_no_run() {
    let host = host(0);
    let transcript = read(&host, FakePage::white(500, 700), "{}");
    assert!(transcript.lines.is_empty() && transcript.warnings.is_empty());
    assert_eq!(host.runs("detection") + host.runs("page-orientation"), 0);
}

#[test]
fn turned_pages_are_read_upright_and_placed_as_they_lie() {
    for (lies, class, stands) in [
        (Rotation::Quarter, 1, Rotation::ThreeQuarters),
        (Rotation::Half, 2, Rotation::Half),
        (Rotation::ThreeQuarters, 3, Rotation::Quarter),
    ] {
        let image = turned(&letter(), lies);
        let size = image.size();
        let transcript = read(&host(class), FakePage::raster(image), "{}");
        assert_eq!(texts(&transcript), ["abcdab", "acdcb", "abab"], "{lies:?}");
        assert_eq!((transcript.rotation, transcript.size), (stands, size), "{lies:?}");
        // The first letter of the first line, which lies at (80, 60) of the upright page.
        let (x, y) = match lies {
            Rotation::Quarter => (600.0 - 60.0, 80.0),
            Rotation::Half => (800.0 - 80.0, 600.0 - 60.0),
            _ => (60.0, 800.0 - 80.0),
        };
        let corner = transcript.lines[0].quad.top_left;
        assert!((corner.x - x).abs() < 25.0 && (corner.y - y).abs() < 25.0, "{lies:?}: {corner:?}");
    }
}

#[test]
fn a_wrong_classifier_does_not_turn_a_page() {
    for class in [1, 2, 3] {
        let transcript = read(&host(class), FakePage::raster(letter()), "{}");
        assert_eq!(texts(&transcript), ["abcdab", "acdcb", "abab"]);
        assert_eq!(transcript.rotation, Rotation::None, "class {class}");
    }
}

#[test]
fn a_page_on_its_head_is_found_by_its_lines() {
    let image = turned(&letter(), Rotation::Half);
    let transcript = read(&host(0), FakePage::raster(image), r#"{"page_orientation": false}"#);
    assert_eq!(texts(&transcript), ["abcdab", "acdcb", "abab"]);
    assert_eq!(transcript.rotation, Rotation::Half);
    let corner = transcript.lines[0].quad.top_left;
    assert!((corner.x - 720.0).abs() < 25.0 && (corner.y - 540.0).abs() < 25.0, "{corner:?}");
}

#[test]
fn one_line_on_its_head_does_not_turn_the_page() {
    let image = page(LETTER, &[(80, 60, "abcdab"), (80, 140, "acdcb"), (80, 220, "bcda")]);
    let transcript = read(&host(0), FakePage::raster(image), "{}");
    assert_eq!(texts(&transcript), ["abcdab", "acdcb", "adcb"]);
    assert_eq!(transcript.rotation, Rotation::None);
}

/// Makes a line classifier that returns "upright" for any line.
fn blind_line_classifier() -> FakeModel {
    let model = FakeModel::new("x", ["scores"], |x| {
        let rows = x.shape()[0];
        Ok(vec![Array::f32([rows, 2], [0.98, 0.02].repeat(rows))])
    });
    model.labels(["0", "180"])
}

#[test]
fn doubtful_lines_are_read_in_the_directions_that_their_box_allows() {
    let mut image = page(LETTER, &[(80, 60, "abcdab"), (80, 140, "acdcb")]);
    // A line up the page, and a short label up the page whose box is nearly square.
    for (y, letter) in [(500, 'a'), (470, 'b'), (440, 'c'), (410, 'd')] {
        image.fill(80, y, CELL, color(letter));
    }
    for (y, letter) in [(500, 'a'), (485, 'c'), (470, 'b')] {
        image.fill(400, y, Size { width: 40, height: 15 }, color(letter));
    }
    let host = host(0).model("textline-orientation", blind_line_classifier());
    let transcript = read(&host, FakePage::raster(image.clone()), r#"{"page_orientation": false}"#);
    let mut found = texts(&transcript);
    found.sort_unstable();
    assert_eq!(found, ["abcd", "abcdab", "acb", "acdcb"]);
    assert!(transcript.warnings.is_empty(), "{:?}", transcript.warnings);
    let page = FakePage::raster(image);
    let off = read(&host, page, r#"{"page_orientation": false, "line_orientation": false}"#);
    assert!(!texts(&off).contains(&"abcd"));
    assert!(off.warnings[0].contains("across the text"), "{:?}", off.warnings);
}

#[test]
fn doubtful_lines_are_left_out_aloud() {
    let image = page(LETTER, &[(80, 60, "abcdab"), (80, 140, "bcdcb")]);
    let settings = r#"{"line_orientation": false, "min_score": 0.7}"#;
    let transcript = read(&host(0), FakePage::raster(image), settings);
    assert_eq!(texts(&transcript), ["abcdab"]);
    assert_eq!(transcript.warnings, ["1 line below the minimum score of 0.7 left out"]);
}

#[test]
fn a_line_of_any_length_is_read_whole() {
    let text = "abcdacbdabdcadcbabcd".repeat(7);
    let image = page(Size { width: 5800, height: 200 }, &[(80, 80, &text)]);
    let settings = r#"{"detection": {"long_side": 2912, "long_side_max": 2912}}"#;
    let host = host(0);
    let transcript = read(&host, FakePage::raster(image), settings);
    assert_eq!(texts(&transcript), [text.as_str()]);
    assert!(host.rows("recognition") > 1, "it took several pieces");
}

#[test]
fn small_print_is_looked_at_again_in_bands_and_read_once() {
    let digit = |value: u32| char::from(b"bcd"[(value % 3) as usize]);
    let name =
        |row: u32| format!("a{}a{}a{}a{}", digit(row / 27), digit(row / 9), digit(row / 3), digit(row));
    let names: Vec<String> = (0..60).map(name).collect();
    let lines: Vec<(u32, u32, &str)> =
        (0..).zip(&names).map(|(row, text)| (400, 60 + row * 72, text.as_str())).collect();
    let host = host(0);
    let image = page(Size { width: 4480, height: 4480 }, &lines);
    let settings = r#"{"detection": {"long_side": 800, "unclip_ratio": 1.0}}"#;
    let transcript = read(&host, FakePage::raster(image), settings);
    assert_eq!(texts(&transcript), names);
    assert!(host.runs("detection") > 2, "a first pass, and a second one in several bands");
}

#[test]
fn an_endless_receipt_is_read_whole() {
    let digit = |value: u32| char::from(b"bcd"[(value % 3) as usize]);
    let names: Vec<String> = (0..90).map(|row| format!("a{}a{}", digit(row / 3), digit(row))).collect();
    let lines: Vec<(u32, u32, &str)> =
        (0..).zip(&names).map(|(row, text)| (60, 20 + row * 60, text.as_str())).collect();
    let host = host(0);
    let image = page(Size { width: 300, height: 5440 }, &lines);
    let settings = r#"{"detection": {"long_side": 400, "long_side_max": 800, "unclip_ratio": 1.2}}"#;
    let transcript = read(&host, FakePage::raster(image), settings);
    assert_eq!(texts(&transcript), names);
}

#[test]
fn a_page_of_which_nothing_is_read_says_so() {
    // The fake detector finds the picture, and the recognizer no letter in it.
    let mut image = Pixels::white(LETTER);
    image.fill(200, 200, Size { width: 90, height: 60 }, [128, 128, 128]);
    let transcript = read(&host(0), FakePage::raster(image), r#"{"line_orientation": false}"#);
    assert!(transcript.lines.is_empty());
    assert_eq!(transcript.warnings, ["the page is not empty, but no text was read on it"]);
}

#[test]
fn several_runs_are_in_flight_and_batches_stay_small() {
    let lines: Vec<(u32, u32, &str)> = (0..10).map(|row| (80, 40 + row * 55, "abcdab")).collect();
    let image = page(LETTER, &lines);
    let host = host(0);
    let settings = r#"{"tier": "small", "recognition": {"in_flight": 3, "batch_rows": 2}}"#;
    let transcript = read(&host, FakePage::raster(image), settings);
    assert_eq!(transcript.lines.len(), 10);
    assert_eq!((host.rows("recognition"), host.runs("recognition")), (10, 5));
    assert_eq!(host.in_flight_max("recognition"), 3);
}

#[test]
fn the_tiny_tier_opens_its_own_models() {
    let error = host(0)
        .recognize::<Standard>(FakePage::raster(letter()), Request::default(), r#"{"tier": "tiny"}"#)
        .unwrap_err();
    assert!(error.kind == ErrorKind::Denied, "{error:?}");
}

#[test]
fn resolutions_beyond_the_limit_are_refused_or_lowered_aloud() {
    let page = FakePage::pdf(letter(), 100.0, layer(&[], &[])).pixels_max(500_000);
    let asked = Request { dpi: Some(200.0), ..Request::default() };
    let error = host(0).recognize::<Standard>(page.clone(), asked, "{}").unwrap_err();
    assert!(error.kind == ErrorKind::TooLarge, "{error:?}");
    let transcript = read(&host(0), page, "{}");
    assert_eq!(texts(&transcript), ["abcdab", "acdcb", "abab"]);
    assert!(transcript.dpi < 200.0);
    assert!(transcript.warnings[0].contains("lowered"), "{:?}", transcript.warnings);
}

/// Makes a layer of embedded words at 100 dpi pixels, 12 pt high.
fn layer(lines: &[(f32, f32, &str)], pictures: &[Rect]) -> TextLayer {
    let mut spans = Vec::new();
    for &(x, y, text) in lines {
        let mut left = x;
        let words: Vec<&str> = text.split(' ').collect();
        for (index, word) in words.iter().enumerate() {
            let width = word.chars().count() as f32 * 6.0;
            spans.push(TextSpan {
                text: (*word).to_owned(),
                area: Rect { x: left, y, width, height: 12.0 },
                font_size: 12.0,
                visible: true,
                ends_line: index + 1 == words.len(),
                source: Source::TextLayer,
            });
            left += width + 4.0;
        }
    }
    TextLayer { spans, pictures: pictures.to_vec(), unmapped: 0, rules: Vec::new() }
}

const PROSE: &[(f32, f32, &str)] = &[
    (57.0, 300.0, "The quick brown fox jumps over the lazy dog"),
    (57.0, 316.0, "and a second line of plain embedded text follows"),
    (57.0, 332.0, "so that nobody can doubt that this is real prose."),
];

#[test]
fn real_embedded_text_needs_neither_pixels_nor_runs() {
    let host = host(0);
    let page = FakePage::pdf(letter(), 100.0, layer(PROSE, &[]));
    let transcript = read(&host, page.clone(), "{}");
    assert_eq!(texts(&transcript), PROSE.iter().map(|line| line.2).collect::<Vec<_>>());
    assert!(transcript.lines.iter().all(|line| matches!(line.source, Source::TextLayer)));
    assert_eq!((page.renders(), host.runs("detection")), (0, 0));
    assert_eq!(transcript.dpi, 200.0);
    let bounds = transcript.lines[0].quad.bounds();
    assert!((bounds.x - 57.0 * 200.0 / 72.0).abs() < 2.0, "{bounds:?}");
}

#[test]
fn the_policy_is_followed() {
    let page = || FakePage::pdf(letter(), 100.0, layer(PROSE, &[]));
    let request = |policy| Request { text_layer: Some(policy), ..Request::default() };
    let never = host(0).recognize::<Standard>(page(), request(TextLayerPolicy::Never), "{}").unwrap();
    assert_eq!(texts(&never), ["abcdab", "acdcb", "abab"]);
    let only = host(0).recognize::<Standard>(page(), request(TextLayerPolicy::Only), "{}").unwrap();
    assert_eq!(only.lines.len(), 3);
    let scan = FakePage::pdf(letter(), 100.0, layer(&[], &[]));
    let none = host(0).recognize::<Standard>(scan, request(TextLayerPolicy::Only), "{}").unwrap();
    assert!(none.lines.is_empty() && none.warnings[0].contains("no embedded text"));
    let setting = host(0).recognize::<Standard>(page(), Request::default(), r#"{"text_layer": "never"}"#);
    assert_eq!(texts(&setting.unwrap()), ["abcdab", "acdcb", "abab"]);
}

#[test]
fn pictures_beside_embedded_text_are_read() {
    // The letters of the page lie in a picture that covers its upper half, in points.
    let picture = Rect { x: 40.0, y: 30.0, width: 300.0, height: 180.0 };
    let page = FakePage::pdf(letter(), 100.0, layer(PROSE, &[picture]));
    let host = host(0);
    let transcript = read(&host, page.clone(), "{}");
    let all = texts(&transcript);
    for expected in ["abcdab", "acdcb", "abab", PROSE[0].2, PROSE[2].2] {
        assert!(all.contains(&expected), "{expected} in {all:?}");
    }
    assert_eq!(page.renders(), 1);
    let read = transcript.lines.iter().find(|line| line.text == "abcdab").unwrap();
    assert!(matches!(read.source, Source::Ocr));
    let bounds = read.quad.bounds();
    assert!((bounds.x - 160.0).abs() < 50.0 && (bounds.y - 120.0).abs() < 50.0, "{bounds:?}");
}

/// Gives words of a layer another source.
fn of_source(mut layer: TextLayer, source: Source) -> TextLayer {
    layer.spans.iter_mut().for_each(|span| span.source = source);
    layer
}

#[test]
fn form_fields_and_annotations_are_lines_of_their_own_source() {
    let mut all = layer(PROSE, &[]);
    all.spans.extend(layer(&[(57.0, 100.0, "Owner of the stall")], &[]).spans);
    all.spans.extend(layer(&[(57.0, 130.0, "socket needed")], &[]).spans);
    all.spans.extend(of_source(layer(&[(190.0, 100.0, "Copper Kettle")], &[]), Source::FormField).spans);
    all.spans.extend(of_source(layer(&[(45.0, 130.0, "\u{2611}")], &[]), Source::FormField).spans);
    // A stamp over print is no reason to distrust the print.
    all.spans.extend(of_source(layer(&[(100.0, 301.0, "RECEIVED TODAY")], &[]), Source::Annotation).spans);
    let page = FakePage::pdf(letter(), 100.0, all);
    let transcript = read(&host(0), page.clone(), "{}");
    assert_eq!(page.renders(), 0);
    let source = |text: &str| {
        let line = transcript.lines.iter().find(|line| line.text == text);
        line.unwrap_or_else(|| panic!("no {text:?} in {:?}", texts(&transcript))).source
    };
    assert!(matches!(source("Owner of the stall"), Source::TextLayer));
    assert!(matches!(source("Copper Kettle"), Source::FormField));
    assert!(matches!(source("\u{2611} socket needed"), Source::FormField), "a mark stays with its label");
    assert!(matches!(source("RECEIVED TODAY"), Source::Annotation));
    assert!(matches!(source(PROSE[2].2), Source::TextLayer));
}

#[test]
fn values_in_a_form_are_no_text_layer_of_a_scan() {
    // Without text of the page itself, its pixels are read; they show the values, too.
    let values = of_source(layer(&[(57.0, 300.0, "Copper Kettle Teas")], &[]), Source::FormField);
    let transcript = read(&host(0), FakePage::pdf(letter(), 100.0, values), "{}");
    assert_eq!(texts(&transcript), ["abcdab", "acdcb", "abab"]);
}

/// Makes a recognizer that answers `runs` runs, and refuses the others because the time is over.
fn recognizer_for(runs: u32) -> FakeModel {
    recognizer()
        .refusing_after(runs, Error::deadline("engine_deadline", "the time of the page is nearly over"))
}

#[test]
fn what_was_read_before_the_deadline_is_answered_and_the_rest_is_named() {
    let lines: Vec<(u32, u32, &str)> = (0..10).map(|row| (80, 40 + row * 55, "abcdab")).collect();
    let settings = r#"{"tier": "small", "recognition": {"in_flight": 1, "batch_rows": 2}}"#;
    let late = host(0).model("recognition", recognizer_for(2));
    let transcript = read(&late, FakePage::raster(page(LETTER, &lines)), settings);
    assert_eq!(texts(&transcript), ["abcdab"; 4]);
    assert!(transcript.warnings[0].contains("6 of 10 lines were not read"), "{:?}", transcript.warnings);
    assert_eq!(late.runs("textline-orientation"), 0);
    // Nothing to answer with is a failure.
    let none = host(0).model("recognition", recognizer_for(0));
    let page = FakePage::raster(page(LETTER, &lines));
    let error = none.recognize::<Standard>(page, Request::default(), settings).unwrap_err();
    assert!(error.kind == ErrorKind::Deadline, "{error:?}");
}

/// Returns a host whose fast recognizer is certain of a line exactly if `certain` holds for its labels, and a page of
/// `lines` lines.
fn cascade(fast: FakeModel, accurate: FakeModel) -> FakeHost {
    host(0).model("recognition-tiny", fast).model("recognition", accurate)
}

fn tall(lines: &[&str]) -> Pixels {
    let placed: Vec<(u32, u32, &str)> =
        lines.iter().zip(0..).map(|(text, row)| (80, 40 + row * 55, *text)).collect();
    page(Size { width: 800, height: 40 + 55 * lines.len() as u32 }, &placed)
}

#[test]
fn the_accurate_recognizer_reads_what_the_fast_one_is_unsure_of() {
    // The fast recognizer is unsure of lines with a `d`.
    let fast = recognizer_with(["", "a", "b", "c", "x"], |row| if row.contains(&4) { 0.99 } else { 0.997 });
    let accurate = recognizer_with(["", "a", "b", "c", "d"], |_| 0.9);
    let host = cascade(fast, accurate);
    let lines = ["abc", "abd", "acb", "aba", "aca", "abcb", "adc", "abca", "acbc", "abab", "acab", "acac"];
    let transcript = read(&host, FakePage::raster(tall(&lines)), "{}");
    assert_eq!(texts(&transcript), lines);
    assert_eq!(host.rows("recognition-tiny"), 12);
    assert_eq!(host.rows("recognition"), 2, "the rejected lines, which are as many as are verified");
    // Where all are accepted, the least certain ones are verified.
    let settings = r#"{"recognition": {"accept_mean_min": 0.9}}"#;
    let fast = recognizer_with(["", "a", "b", "c", "d"], |row| if row.contains(&4) { 0.99 } else { 0.997 });
    let host = cascade(fast, recognizer_with(["", "a", "b", "c", "d"], |_| 0.9));
    assert_eq!(texts(&read(&host, FakePage::raster(tall(&lines)), settings)), lines);
    assert_eq!(host.rows("recognition"), 2);
}

#[test]
fn letters_that_the_fast_recognizer_lacks_do_not_pass_as_similar_ones() {
    // The fast recognizer reads `s` with full certainty where the accurate one reads `\u{219}` (Romanian).
    let fast = recognizer_with(["", "a", "b", "s", "d"], |_| 0.999);
    let accurate = recognizer_with(["", "a", "b", "\u{219}", "d"], |_| 0.9);
    let host = cascade(fast, accurate);
    let lines = ["abc", "abc", "acb", "aba", "aca", "abcb", "adc", "abca", "acbc", "abac", "acab", "acac"];
    let transcript = read(&host, FakePage::raster(tall(&lines)), "{}");
    let expected: Vec<String> = lines.iter().map(|line| line.replace('c', "\u{219}")).collect();
    assert_eq!(texts(&transcript), expected);
    assert_eq!(host.rows("recognition"), 12);
}

#[test]
fn a_page_that_the_fast_recognizer_cannot_read_costs_a_sample() {
    let fast = recognizer_with(["", "a", "b", "c", "d"], |_| 0.5);
    let host = cascade(fast, recognizer_with(["", "a", "b", "c", "d"], |_| 0.9));
    let lines = ["abc"; 20];
    let transcript = read(&host, FakePage::raster(tall(&lines)), "{}");
    assert_eq!(texts(&transcript), lines);
    assert_eq!((host.rows("recognition-tiny"), host.rows("recognition")), (8, 20));
}

mod scripts;
mod structure;
