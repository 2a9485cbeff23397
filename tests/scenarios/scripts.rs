//! Scripts that PP-OCR lacks, on a real server: found on a page without a named language, and read by the languages of
//! a request. Where libtesseract or a language is not installed (`cargo xtask setup --languages`) a test prints that and
//! passes.

use std::path::{Path, PathBuf};

use lector_tests::answer::all_text;
use lector_tests::{Gateway, paths};
use serde_json::Value;

/// Returns the picture of a page and its text; `None`, with a message, where its language is not installed.
fn page(language: &str) -> Option<(Vec<u8>, String)> {
    let data = paths::cache().join("lib/tesseract-5.3.0");
    let needed = ["libtesseract.so.5".to_owned(), "tessdata/osd.traineddata".to_owned()]
        .into_iter()
        .chain([format!("tessdata/{language}.traineddata")]);
    if let Some(missing) = needed.map(|name| data.join(name)).find(|file| !file.is_file()) {
        eprintln!("SKIPPED: no {}; run `cargo xtask setup --languages osd,{language}`", missing.display());
        return None;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/scripts");
    let text = std::fs::read_to_string(folder.join(format!("{language}.txt"))).unwrap();
    Some((std::fs::read(folder.join(format!("{language}.png"))).unwrap(), text))
}

fn squeezed(text: &str) -> Vec<char> {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Returns the edit distance of two texts without white space, divided by the length of the first.
fn error_rate(truth: &str, found: &str) -> f64 {
    let (truth, found) = (squeezed(truth), squeezed(found));
    let mut above: Vec<usize> = (0..=found.len()).collect();
    for (row, own) in truth.iter().enumerate() {
        let mut left = row + 1;
        let mut line = vec![left];
        for (column, other) in found.iter().enumerate() {
            left = (left + 1).min(above[column + 1] + 1).min(above[column] + usize::from(own != other));
            line.push(left);
        }
        above = line;
    }
    above[found.len()] as f64 / truth.len() as f64
}

fn warnings(answer: &Value) -> Vec<Value> {
    answer["pages"][0]["warnings"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_page_whose_languages_nobody_named_is_read_in_its_script() {
    // Greek headings in capitals look like Latin ones, which PP-OCR reads with confidence: they stay so.
    let pages: Vec<_> = [("rus", 0.03), ("ell", 0.06), ("heb", 0.03)]
        .into_iter()
        .filter_map(|(name, most)| Some((name, most, page(name)?)))
        .collect();
    if pages.is_empty() {
        return;
    }
    let gateway = Gateway::start().await;
    for (language, most, (picture, truth)) in pages {
        let answer = gateway.ocr("image/png", picture, "").await.ok();
        let found = all_text(&answer);
        let rate = error_rate(&truth, &found);
        assert!(rate <= most, "{language}: {rate} of the characters are wrong: {found}");
        assert!(warnings(&answer).is_empty(), "{answer}");
        if language == "heb" {
            // Logical order: the first word of the page, not its last letters reversed.
            assert!(found.trim_start().starts_with("הכרזה"), "{found}");
            let direction = &answer["pages"][0]["lines"][0]["direction"];
            assert_eq!(direction, "rtl", "{answer}");
        }
    }
}

#[tokio::test]
async fn the_languages_of_a_request_choose_the_recognizer() {
    let Some((picture, truth)) = page("rus") else { return };
    let gateway = Gateway::start().await;
    let answer = gateway.ocr("image/png", picture.clone(), "languages=ru").await.ok();
    assert!(error_rate(&truth, &all_text(&answer)) <= 0.03, "{answer}");
    // The wrapper passes them on.
    let answer = gateway.ocr("image/png", picture.clone(), "languages=ru&deployment=redact").await.ok();
    assert!(error_rate(&truth, &all_text(&answer)) <= 0.03, "{answer}");
    // With a language of PP-OCR the page is read by PP-OCR, and no script is looked for.
    let answer = gateway.ocr("image/png", picture.clone(), "languages=en").await.ok();
    assert!(error_rate(&truth, &all_text(&answer)) > 0.3, "{answer}");
    let answer = gateway.ocr("image/png", picture.clone(), "languages=xx&pages=1").await.ok();
    assert!(warnings(&answer)[0].as_str().unwrap().contains("`xx` is unknown"), "{answer}");
    gateway.ocr("image/png", picture, "languages=..").await.problem(400, "option_invalid");
}

#[tokio::test]
async fn a_language_that_is_not_installed_is_an_error_that_names_its_package() {
    let picture = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/scripts/rus.png")).unwrap();
    // A folder without the library, as on a server where nothing was installed.
    let nothing: PathBuf = tempfile::tempdir().unwrap().keep();
    let gateway = Gateway::builder().set("engines.tesseract_dir", nothing.display()).start().await;
    let problem = gateway
        .ocr("image/png", picture.clone(), "languages=ru")
        .await
        .problem(422, "language_not_installed");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("tesseract-ocr-rus") && detail.contains("--languages rus"), "{problem}");
    // Without a name the page is read as well as PP-OCR can, and says what is missing.
    let answer = gateway.ocr("image/png", picture, "").await.ok();
    let warned = warnings(&answer)
        .iter()
        .any(|text| text.as_str().is_some_and(|text| text.contains("tesseract-ocr-")));
    assert!(warned, "{answer}");
    std::fs::remove_dir_all(nothing).unwrap();
}
