//! The catalog on temporary folders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn description(name: &str) -> String {
    format!(
        "name = \"{name}\"\ntask = \"recognition\"\ndescription = \"d\"\nlicense = \"Apache-2.0\"\n\
         [weights]\nfile = \"model.onnx\"\nsha256 = \"{EMPTY_SHA256}\"\nbytes = 0\n\
         [labels]\nfrom = \"list\"\nlist = [\"a\", \"b\"]\nprefix = [\"\"]\nsuffix = [\" \"]\n\
         [engine]\nreduce = \"ctc\"\nwidth_step = 32\nwidth_max = 320\nmax_batch = 4\n\
         [preprocess]\nchannels = \"bgr\"\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\nheight = 48\n"
    )
}

fn folder(models: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in models {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("model.toml"), text).unwrap();
    }
    dir
}

/// Returns a recognizer of four classes.
pub(crate) fn described() -> ModelEntry {
    let dir = folder(&[("m", &description("m"))]);
    Catalog::read(dir.path()).unwrap().entries.remove(0)
}

/// Returns a detector of pages of any size.
pub(crate) fn detector() -> ModelEntry {
    let (mut entry, side) = (described(), Some(Steps { step: 32, max: 4096 }));
    entry.task = Task::Detection;
    entry.engine = EngineSpec { reduce: None, width: None, side, max_batch: 4 };
    entry.preprocess.height = None;
    entry
}

fn error_of(text: &str) -> String {
    let dir = folder(&[("m", text)]);
    let error = Catalog::read(dir.path()).unwrap_err();
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn models_are_read_in_the_order_of_their_names() {
    let dir = folder(&[("b", &description("b")), ("a", &description("a"))]);
    std::fs::create_dir(dir.path().join("not-a-model")).unwrap();
    let catalog = Catalog::read(dir.path()).unwrap();
    let names: Vec<&str> = catalog.entries().iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let entry = catalog.find(&ModelName::from("a")).unwrap();
    assert_eq!(entry.engine.width, Some(Steps { step: 32, max: 320 }));
    assert_eq!(entry.read_labels(&[]).unwrap(), ["", "a", "b", " "]);
}

#[test]
fn errors_in_a_description_are_named() {
    let good = description("m");
    let check = |from: &str, to: &str, expect: &str| {
        assert!(good.contains(from), "{from}");
        let message = error_of(&good.replacen(from, to, 1));
        assert!(message.contains(expect), "{message:?} lacks {expect:?}");
    };
    check("max_batch = 4", "max_batch = 4\nmin_batch = 1", "min_batch");
    check("license", "lizense", "lizense");
    check("name = \"m\"", "name = \"n\"", "they must be equal");
    check("\"recognition\"", "\"detection\"", "engine.reduce");
    check("\"recognition\"", "\"guessing\"", "guessing");
    check("width_max = 320", "width_max = 319", "engine.width_step");
    check("width_max = 320\n", "", "engine.width_step");
    check("max_batch = 4", "max_batch = 0", "engine.max_batch");
    check("model.onnx", "../model.onnx", "beside model.toml");
    check(EMPTY_SHA256, "ABC", "weights.sha256");
    check("from = \"list\"", "from = \"file\"", "labels.from");
    check("\"bgr\"", "\"cmyk\"", "preprocess.channels");
}

#[test]
fn missing_weights_name_the_setup() {
    let dir = folder(&[("m", &description("m"))]);
    let catalog = Catalog::read(dir.path()).unwrap();
    let entry = &catalog.entries()[0];
    assert!(!entry.present());
    assert!(entry.verify().unwrap_err().to_string().contains("cargo xtask setup"));
    assert!(matches!(entry.read_weights(), Err(CatalogError::Missing { .. })));
}

#[test]
fn weights_with_another_digest_are_refused() {
    let dir = folder(&[("m", &description("m"))]);
    let path = dir.path().join("m/model.onnx");
    let catalog = Catalog::read(dir.path()).unwrap();
    let entry = &catalog.entries()[0];
    std::fs::write(&path, "").unwrap();
    assert!(entry.present());
    entry.verify().unwrap();
    std::fs::write(&path, "x").unwrap();
    assert!(!entry.present());
    assert!(matches!(entry.verify(), Err(CatalogError::Differs { .. })));
    assert!(matches!(entry.read_weights(), Err(CatalogError::Differs { .. })));
}

#[test]
fn labels_from_a_file_are_checked_too() {
    let text = description("m")
        .replace("from = \"list\"\nlist = [\"a\", \"b\"]", "from = \"file\"\nfile = \"l.txt\"")
        + &format!("[labels.source]\npath = \"p\"\nsha256 = \"{EMPTY_SHA256}\"\n");
    let dir = folder(&[("m", &text)]);
    let catalog = Catalog::read(dir.path()).unwrap();
    let entry = &catalog.entries()[0];
    assert!(matches!(entry.read_labels(&[]), Err(CatalogError::Missing { .. })));
    std::fs::write(dir.path().join("m/l.txt"), "x\n").unwrap();
    assert!(matches!(entry.read_labels(&[]), Err(CatalogError::Differs { .. })));
}

#[test]
fn the_catalog_of_the_repository_is_well_formed() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models");
    let catalog = Catalog::read(&models).unwrap();
    for entry in catalog.entries() {
        // The language data of a transcriber comes from many packages, which its weights list.
        assert!(entry.source.is_some() || entry.task == Task::Transcription, "{}", entry.name);
        // Fetched weights fit their description.
        for finding in entry.present().then(|| entry.validate()).into_iter().flatten() {
            assert!(finding.outcome.is_ok(), "{}: {finding:?}", entry.name);
        }
    }
}

#[test]
fn a_name_occurs_once_in_both_folders() {
    let (shipped, own) = (folder(&[("a", &description("a"))]), folder(&[("b", &description("b"))]));
    let catalog = Catalog::read_both(shipped.path(), Some(own.path())).unwrap();
    assert_eq!(catalog.entries().len(), 2);
    let nowhere = own.path().join("nowhere");
    assert_eq!(Catalog::read_both(shipped.path(), Some(&nowhere)).unwrap().entries().len(), 1);
    let again = folder(&[("a", &description("a"))]);
    let error = Catalog::read_both(shipped.path(), Some(again.path())).unwrap_err().to_string();
    assert!(error.contains("describes a model with the same name"), "{error}");
}
