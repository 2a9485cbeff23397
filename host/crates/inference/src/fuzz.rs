//! Model files and their descriptions under arbitrary bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::cache::{EngineKey, FileEntry, LAYOUT, Manifest};
use crate::{AcceptanceReport, Catalog, EngineCache, catalog, ctc, onnx};

/// The reader of ONNX files returns names that are in the file, and ends.
#[test]
fn fuzz_onnx() {
    let mut model = vec![8, 8, 14 << 3 | 2, 8, 10, 1, b'k', 18, 3, b'v', b'\n', b'w'];
    model.extend(ctc::tail("logits"));
    let seeds = [model.clone(), model.repeat(3), ctc::tail("x")];
    let words: [&[u8]; 6] =
        [&[7 << 3 | 2], &[14 << 3 | 2], &[12 << 3 | 2], &[10, 1, b'k'], &[0xff; 9], &[0x80, 0x80, 0x01]];
    lector_fuzz::target("onnx", &seeds, &words, |input| {
        let names = onnx::outputs(input);
        let stands =
            |text: &str| text.is_empty() || input.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(names.iter().all(|name| stands(name)));
        let value = onnx::metadata(input, "k");
        assert!(value.as_deref().is_none_or(stands));
        (names.len(), value.map(|value| value.len()))
    });
}

/// A `model.toml` of any content is a model within bounds, or an error that names the file.
#[test]
fn fuzz_model_toml() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("m/model.toml");
    std::fs::create_dir(home.path().join("m")).unwrap();
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let seed = format!(
        "name = \"m\"\ntask = \"recognition\"\ndescription = \"d\"\nlicense = \"MIT\"\n[weights]\nfile = \"a.onnx\"\n\
         sha256 = \"{digest}\"\nbytes = 0\n[labels]\nfrom = \"list\"\nlist = [\"a\"]\nprefix = [\"\"]\n[engine]\n\
         reduce = \"ctc\"\nwidth_step = 32\nwidth_max = 320\nmax_batch = 4\n[preprocess]\nchannels = \"bgr\"\nheight = 48\n"
    );
    let words: [&[u8]; 10] = [
        b"../x",
        b"/etc/passwd",
        b"\"metadata\"\nkey = \"k\"",
        b"4294967296",
        b"-1",
        b"0",
        b"[engine]",
        b"width_max = ",
        b"nan",
        b"\\u0000",
    ];
    lector_fuzz::target("model-toml", &[seed.into_bytes()], &words, |input| {
        std::fs::write(&file, input).unwrap();
        match Catalog::read(home.path()) {
            Ok(catalog) => {
                let entry = &catalog.entries()[0];
                assert_eq!(
                    entry.weights.path.parent(),
                    file.parent(),
                    "weights are beside their description"
                );
                assert!((1..=1024).contains(&entry.engine.max_batch));
                for steps in [entry.engine.width, entry.engine.side].into_iter().flatten() {
                    assert!(steps.step > 0 && steps.max.is_multiple_of(steps.step));
                }
                let _ = entry.read_labels(b"");
                u64::MAX
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                // The kind of error: its message without quoted text.
                let text = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
                text.chars().take_while(|c| *c != '`').map(|c| u64::from(u32::from(c))).sum()
            }
        }
    });
}

/// An exported engine and a backup of models, both with an index of any content, are copied into their own folder or
/// refused.
#[test]
fn fuzz_archives() {
    let home = tempfile::tempdir().unwrap();
    let (from, into) = (home.path().join("from"), home.path().join("a/b/c/into"));
    let digest = catalog::Sha256::of(b"x").as_str().to_owned();
    let key = EngineKey {
        layout: LAYOUT,
        model: "m".to_owned(),
        model_sha256: digest.clone(),
        reduce: String::new(),
        variant: "openvino/bf16".parse().unwrap(),
        libraries: [("openvino".to_owned(), "1".to_owned())].into(),
        driver: String::new(),
        device: "x86_64".to_owned(),
        shapes: String::new(),
        options: [].into(),
        acceptance: String::new(),
    };
    let manifest = Manifest {
        key,
        files: [("x".to_owned(), FileEntry { bytes: 1, sha256: digest.clone() })].into(),
        built_at_s: 1,
        build_ms: 1,
        acceptance_ms: 1,
        lector: "test".to_owned(),
        log: String::new(),
        acceptance: AcceptanceReport::reference(),
    };
    let seed = |kind: u8, text: Vec<u8>| [vec![kind], text].concat();
    let index = format!(r#"{{"files":[{{"path":"m/x","sha256":"{digest}","bytes":1}}]}}"#);
    let seeds = [seed(0, serde_json::to_vec(&manifest).unwrap()), seed(1, index.into_bytes())];
    let words: [&[u8]; 10] = [
        b"../",
        b"/",
        b"..",
        b"\"x\"",
        b"\"m\"",
        b"18446744073709551615",
        b"-1",
        b"[]",
        b"\\u0000",
        digest.as_bytes(),
    ];
    lector_fuzz::target("archives", &seeds, &words, |input| {
        let (kind, text) = input.split_first().unwrap_or((&0, &[]));
        for folder in [&from, &into] {
            let _ = std::fs::remove_dir_all(folder);
            std::fs::create_dir_all(folder).unwrap();
        }
        for name in ["x", &digest] {
            std::fs::write(from.join(name), b"x").unwrap();
        }
        let copied = if kind % 2 == 0 {
            std::fs::write(from.join("manifest.json"), text).unwrap();
            EngineCache::new(into.clone(), 0).import(&from).map(drop).map_err(|error| error.to_string())
        } else {
            std::fs::write(from.join("index.json"), text).unwrap();
            catalog::restore(&from, &into).map(drop).map_err(|error| error.to_string())
        };
        for (folder, names) in
            [("", &["a", "from"][..]), ("a", &["b"]), ("a/b", &["c"]), ("a/b/c", &["into"])]
        {
            let found = std::fs::read_dir(home.path().join(folder)).unwrap();
            let mut found: Vec<_> = found.map(|entry| entry.unwrap().file_name()).collect();
            found.sort();
            assert_eq!(found, names, "written outside of the folder");
        }
        (
            kind % 2,
            copied.map_err(|why| why.chars().filter(char::is_ascii_lowercase).take(60).collect::<String>()),
        )
    });
}
