//! Script routing on the fake host: a fake line recognizer whose labels are languages, and which has one reading for each.

use std::cell::RefCell;
use std::rc::Rc;

use lector_sdk::fake::{Array, FakeHost, FakeModel, FakePage};
use lector_sdk::{Dtype, Error, Request, Rotation};

use super::{cascade, page_classifier, read, recognizer_with, tall, texts, turned};
use crate::Standard;

const RUSSIAN: (&str, f32) = ("Все люди рождаются свободными", 0.93);
const UKRAINIAN: (&str, f32) = ("Всі люди народжуються вільними", 0.96);

/// Makes the line recognizer: languages with their text and its confidence. `osd` is script detection: the name of the
/// script, and its score. Returns it with the languages of its runs.
fn scripts(languages: &[(&'static str, (&'static str, f32))]) -> (FakeModel, Rc<RefCell<Vec<&'static str>>>) {
    let (own, log) = (languages.to_vec(), Rc::new(RefCell::new(Vec::new())));
    let runs = Rc::clone(&log);
    let inputs = [("line", Dtype::F32), ("languages", Dtype::S64)];
    let model = FakeModel::with_inputs(inputs, ["text", "words"], move |[line, languages]| {
        assert_eq!((line.shape().len(), line.shape()[0]), (4, 1));
        let labels = languages.i64s()?;
        let (name, (text, confidence)) = own[labels[0] as usize];
        runs.borrow_mut().push(name);
        let words: Vec<&str> = text.split(' ').collect();
        let numbers: Vec<f32> = (0..words.len())
            .flat_map(|at| {
                let edge = |at: usize| at as f32 / words.len() as f32;
                [edge(at), 0.0, edge(at + 1), 1.0, confidence]
            })
            .collect();
        let text = format!("{}\n", words.join("\n\n"));
        Ok(vec![Array::u8([1, text.len()], &text), Array::f32([1, words.len(), 5], numbers)])
    });
    (model.labels(languages.iter().map(|(name, _)| *name)), log)
}

/// Makes a host whose PP-OCR reads every line with this probability.
fn unsure(certainty: f32) -> FakeHost {
    let labels = ["", "B", "c", "e", "n"];
    cascade(recognizer_with(labels, move |_| certainty), recognizer_with(labels, move |_| certainty))
}

const LINES: [&str; 6] = ["abcdab", "acdcb", "abab", "abcdabcd", "aab", "acb"];

#[test]
fn a_page_of_another_script_is_read_with_the_best_language_of_it() {
    let (model, runs) = scripts(&[("osd", ("Cyrillic", 0.2)), ("rus", RUSSIAN), ("ukr", UKRAINIAN)]);
    let host = unsure(0.6).model("scripts", model);
    let transcript = read(&host, FakePage::raster(tall(&LINES)), "{}");
    assert_eq!(texts(&transcript), [UKRAINIAN.0; 6]);
    assert!(transcript.warnings.is_empty(), "{:?}", transcript.warnings);
    assert_eq!(
        runs.borrow()[..7],
        ["osd", "rus", "rus", "rus", "ukr", "ukr", "ukr"],
        "a trial of three lines each"
    );
    assert!(runs.borrow()[7..].iter().all(|language| *language == "ukr"));
}

#[test]
fn a_page_that_is_read_with_confidence_costs_no_run() {
    let (model, runs) = scripts(&[("osd", ("Cyrillic", 0.2)), ("rus", RUSSIAN)]);
    let host = unsure(0.95).model("scripts", model);
    assert_eq!(texts(&read(&host, FakePage::raster(tall(&LINES)), "{}"))[0], "BcenBc");
    assert!(runs.borrow().is_empty());
    // So does one whose deployment names its languages, or wants no detection.
    for settings in [r#"{"languages": ["en"]}"#, r#"{"script_detection": false}"#] {
        let (model, runs) = scripts(&[("osd", ("Cyrillic", 0.2)), ("rus", RUSSIAN)]);
        read(&unsure(0.6).model("scripts", model), FakePage::raster(tall(&LINES)), settings);
        assert!(runs.borrow().is_empty(), "{settings}");
    }
}

#[test]
fn a_doubtful_latin_page_stays_as_it_is() {
    let (model, runs) = scripts(&[("osd", ("Latin", 0.1)), ("rus", RUSSIAN), ("hye", ("Բոլոր", 0.9))]);
    // Less certain than .85, for which the script is found, and not than .8, below which Armenian is tried (ADR 0148).
    let host = unsure(0.82).model("scripts", model);
    let transcript = read(&host, FakePage::raster(tall(&LINES)), "{}");
    assert_eq!(texts(&transcript)[2], "BcBc");
    assert_eq!(runs.borrow()[..], ["osd"]);
    assert!(transcript.warnings.is_empty());
}

#[test]
fn what_detection_does_not_know_is_found_by_trial() {
    // Detection takes Armenian for Latin, and Hebrew for Thai with a low score.
    let (model, _) = scripts(&[("hye", ("Բոլոր մարդիկ", 0.9)), ("osd", ("Latin", 0.2)), ("rus", RUSSIAN)]);
    let transcript = read(&unsure(0.5).model("scripts", model), FakePage::raster(tall(&LINES)), "{}");
    assert_eq!(texts(&transcript)[0], "Բոլոր մարդիկ");
    let languages =
        [("heb", ("כל בני אדם", 0.9)), ("osd", ("Thai", 0.02)), ("rus", ("Все", 0.3)), ("tha", ("เออ", 0.4))];
    let (model, _) = scripts(&languages);
    let transcript = read(&unsure(0.7).model("scripts", model), FakePage::raster(tall(&LINES)), "{}");
    assert_eq!(texts(&transcript)[0], "כל בני אדם");
}

/// Makes a host whose PP-OCR reads letters that Vietnamese has, with this probability.
fn marked(certainty: f32) -> FakeHost {
    let labels = ["", "đ", "ê", "c", "n"];
    cascade(recognizer_with(labels, move |_| certainty), recognizer_with(labels, move |_| certainty))
}

/// Words of a syllable.
const SYLLABLES: [&str; 8] = ["abc", "acb", "abab", "abcd", "aab", "acb", "acd", "abd"];

#[test]
fn a_page_with_letters_of_vietnamese_is_tried_whatever_the_confidence() {
    let vietnamese = ("Tất cả mọi người sinh ra", 0.95);
    let (model, runs) = scripts(&[("osd", ("Latin", 0.2)), ("vie", vietnamese)]);
    let transcript = read(&marked(0.97).model("scripts", model), FakePage::raster(tall(&SYLLABLES)), "{}");
    assert_eq!(texts(&transcript), [vietnamese.0; 8]);
    assert!(runs.borrow().iter().all(|language| *language == "vie"), "no detection: {:?}", runs.borrow());
    // The data of Vietnamese reads other Latin pages with confidence, without its letters.
    let (model, _) = scripts(&[("osd", ("Latin", 0.2)), ("vie", ("Tous les êtres humains", 0.95))]);
    let transcript = read(&marked(0.97).model("scripts", model), FakePage::raster(tall(&SYLLABLES)), "{}");
    assert_eq!(texts(&transcript)[0], "đêc");
}

#[test]
fn a_doubtful_page_that_looks_vietnamese_may_be_armenian() {
    let (model, _) =
        scripts(&[("hye", ("Բոլոր մարդիկ", 0.9)), ("osd", ("Latin", 0.2)), ("vie", ("Ta ca", 0.5))]);
    let transcript = read(&marked(0.7).model("scripts", model), FakePage::raster(tall(&SYLLABLES)), "{}");
    assert_eq!(texts(&transcript)[0], "Բոլոր մարդիկ");
}

#[test]
fn a_page_of_which_hardly_a_letter_is_read_is_tried_where_detection_says_latin() {
    let (model, _) = scripts(&[("kat", ("ყველა ადამიანი", 0.9)), ("osd", ("Latin", 0.2))]);
    let labels = ["", ",", "", "", ""];
    let commas = || recognizer_with(labels, |_| 0.97);
    let host = cascade(commas(), commas()).model("scripts", model);
    assert_eq!(texts(&read(&host, FakePage::raster(tall(&["abcdbcdb"; 6])), "{}"))[2], "ყველა ადამიანი");
}

#[test]
fn a_script_without_an_installed_language_is_a_warning_with_the_package() {
    let (model, _) = scripts(&[("ara", ("الناس", 0.9)), ("osd", ("Cyrillic", 0.2))]);
    let host = unsure(0.6).model("scripts", model);
    let transcript = read(&host, FakePage::raster(tall(&LINES)), "{}");
    assert_eq!(texts(&transcript)[2], "BcBc");
    assert!(transcript.warnings[0].contains("tesseract-ocr-rus"), "{:?}", transcript.warnings);
}

/// PP-OCR reads the commas of a page with confidence, and nothing of the letters that it lacks.
#[test]
fn a_page_of_which_hardly_a_letter_is_read_is_doubtful_whatever_the_confidence() {
    let (model, runs) = scripts(&[("osd", ("Cyrillic", 0.2)), ("rus", RUSSIAN)]);
    let labels = ["", ",", "", "", ""];
    let commas = || recognizer_with(labels, |_| 0.97);
    let host = cascade(commas(), commas()).model("scripts", model);
    let transcript = read(&host, FakePage::raster(tall(&["abcdbcdb"; 6])), "{}");
    assert_eq!(texts(&transcript)[2], RUSSIAN.0);
    assert_eq!(runs.borrow()[0], "osd");
}

#[test]
fn a_page_that_no_trial_decides_without_script_detection_is_a_warning() {
    let (model, _) = scripts(&[("rus", ("www.example.org 17", 0.95))]);
    let transcript = read(&unsure(0.6).model("scripts", model), FakePage::raster(tall(&LINES)), "{}");
    assert_eq!(texts(&transcript)[2], "BcBc");
    assert!(transcript.warnings[0].contains("tesseract-ocr-osd"), "{:?}", transcript.warnings);
}

#[test]
fn lines_of_latin_on_a_page_of_another_script_stay() {
    // The line recognizer reads the third line in Latin letters.
    let (model, _) = scripts(&[("osd", ("Cyrillic", 0.2)), ("rus", ("www.example.org 17", 0.95))]);
    let transcript = read(&unsure(0.6).model("scripts", model), FakePage::raster(tall(&LINES)), "{}");
    assert_eq!(texts(&transcript)[2], "BcBc", "a trial without letters of the script fails");
}

#[test]
fn a_language_by_name_that_is_not_installed_is_an_error_with_the_package() {
    let (model, _) = scripts(&[("rus", RUSSIAN)]);
    let host = unsure(0.9).model("scripts", model);
    let page = FakePage::raster(tall(&LINES));
    let error: Error =
        host.recognize::<Standard>(page, Request::default(), r#"{"languages": ["he"]}"#).unwrap_err();
    assert_eq!(error.code, "language_not_installed");
    assert!(error.message.contains("tesseract-ocr-heb"), "{error:?}");
}

/// Makes the line recognizer of Russian that reads a line only if it is upright: if it begins with an `a`, which is red.
fn upright_alone() -> FakeModel {
    let inputs = [("line", Dtype::F32), ("languages", Dtype::S64)];
    let model = FakeModel::with_inputs(inputs, ["text", "words"], |[line, languages]| {
        let &[_, _, height, width] = line.shape() else { return Err(Error::invalid("shape", "shape")) };
        let (values, plane) = (line.f32s()?, height * width);
        let row = |color: usize, column: usize| values[color * plane + height / 2 * width + column];
        let first = (0..width).find(|&column| row(1, column).min(row(2, column)) < 0.3);
        let is_upright = first.is_some_and(|column| row(0, column + 2) > 0.7 && row(1, column + 2) < 0.3);
        let (text, confidence) = match (languages.i64s()?[0], is_upright) {
            (0, _) => ("Cyrillic", 0.2_f32),
            (_, true) => ("Все", 0.9),
            _ => ("ээ", 0.4),
        };
        let word = Array::f32([1, 1, 5], [0.0, 0.0, 1.0, 1.0, confidence]);
        Ok(vec![Array::u8([1, text.len() + 1], format!("{text}\n")), word])
    });
    model.labels(["osd", "rus"])
}

#[test]
fn a_page_that_pp_ocr_reads_better_upside_down_is_turned_back_by_the_trial() {
    // PP-OCR doubts lines that begin with an `a`, more than those that end with one.
    let doubts = |row: &[i64]| if row.iter().find(|&&id| id != 0) == Some(&1) { 0.5 } else { 0.7 };
    let host = || {
        let labels = ["", "B", "c", "e", "n"];
        cascade(recognizer_with(labels, doubts), recognizer_with(labels, doubts))
            .model("scripts", upright_alone())
    };
    let lines = ["abcdb", "acdcb", "abcb", "abcdabcd", "aab", "acb"];
    // The page classifier takes the upright page for one on its head, and a page on its head for an upright one.
    for (lies, class) in [(Rotation::None, 2), (Rotation::None, 0), (Rotation::Half, 0), (Rotation::Half, 2)]
    {
        let host = host().model("page-orientation", page_classifier(class));
        let transcript = read(&host, FakePage::raster(turned(&tall(&lines), lies)), "{}");
        assert_eq!(texts(&transcript), ["Все"; 6], "{lies:?} {class}");
        assert_eq!(transcript.rotation, lies, "{lies:?} {class}");
        let corner = transcript.lines[0].quad.top_left;
        let size = transcript.size;
        let is_high = corner.y < size.height as f32 / 2.0;
        assert_eq!(is_high, lies == Rotation::None, "{lies:?} {class}: {corner:?}");
    }
}
