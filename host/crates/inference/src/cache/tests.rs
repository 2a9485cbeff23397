#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::acceptance::AcceptanceReport;

fn key(model: &str) -> EngineKey {
    EngineKey {
        layout: key::LAYOUT,
        model: model.to_owned(),
        model_sha256: "00".to_owned(),
        reduce: String::new(),
        variant: "openvino/bf16".parse().unwrap(),
        libraries: BTreeMap::from([("openvino".to_owned(), "1".to_owned())]),
        driver: String::new(),
        device: "x86_64 avx2".to_owned(),
        shapes: String::new(),
        options: BTreeMap::new(),
        acceptance: String::new(),
    }
}

fn publish(cache: &EngineCache, key: &EngineKey, content: &[u8]) -> PathBuf {
    let _locks = cache.lock_for_build(key, "cpu", |_| {}).unwrap();
    let draft = cache.draft(key).unwrap();
    fs::write(draft.dir().join("engine.blob"), content).unwrap();
    let manifest = Manifest {
        key: key.clone(),
        files: Manifest::list_files(draft.dir()).unwrap(),
        built_at_s: 1,
        build_ms: 2,
        acceptance_ms: 3,
        lector: "test".to_owned(),
        log: String::new(),
        acceptance: AcceptanceReport::reference(),
    };
    draft.publish(cache, &manifest).unwrap()
}

fn cache(bytes_max: u64) -> (tempfile::TempDir, EngineCache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = EngineCache::new(dir.path().join("engines"), bytes_max);
    (dir, cache)
}

fn entry(cache: &EngineCache, key: &EngineKey) -> Entry {
    match cache.find(key).unwrap() {
        Found::Entry(entry) => entry,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_published_entries_are_found() {
    let (_dir, cache) = cache(0);
    assert!(matches!(cache.find(&key("m")).unwrap(), Found::Nothing));
    assert!(cache.entries().unwrap().is_empty());
    publish(&cache, &key("m"), b"engine");
    let found = entry(&cache, &key("m"));
    assert_eq!(found.manifest.files["engine.blob"].bytes, 6);
    assert_eq!(fs::read(found.dir.join("engine.blob")).unwrap(), b"engine");
    // Every part of the key changes the key.
    let changes: [fn(&mut EngineKey); 7] = [
        |k| k.model_sha256 = "01".to_owned(),
        |k| k.variant = "openvino/f32".parse().unwrap(),
        |k| k.libraries.insert("openvino".to_owned(), "2".to_owned()).map_or((), drop),
        |k| k.driver = "580".to_owned(),
        |k| k.device = "x86_64 avx512f".to_owned(),
        |k| k.shapes = "1x3x48x320".to_owned(),
        |k| k.acceptance = "x".to_owned(),
    ];
    for change in changes {
        let mut other = key("m");
        change(&mut other);
        assert!(matches!(cache.find(&other).unwrap(), Found::Nothing), "{other:?}");
    }
}

#[test]
fn a_draft_that_is_dropped_leaves_nothing() {
    let (_dir, cache) = cache(0);
    let draft = cache.draft(&key("m")).unwrap();
    fs::write(draft.dir().join("engine.blob"), b"half").unwrap();
    drop(draft);
    assert!(matches!(cache.find(&key("m")).unwrap(), Found::Nothing));
    assert!(files::folders(&cache.dir.join(TMP)).unwrap().is_empty());
}

#[test]
fn damaged_entries_are_quarantined_with_a_reason_and_can_be_built_again() {
    let check = |damage: &dyn Fn(&Path), expect: &str| {
        let (_dir, cache) = cache(0);
        let dir = publish(&cache, &key("m"), b"engine");
        damage(&dir);
        match cache.find(&key("m")).unwrap() {
            Found::Quarantined { reason } => assert!(reason.contains(expect), "{reason} lacks {expect}"),
            other => panic!("{other:?} for {expect}"),
        }
        let quarantined = cache.quarantined().unwrap();
        assert!(quarantined[0].1.contains(expect), "{quarantined:?}");
        assert!(matches!(cache.find(&key("m")).unwrap(), Found::Nothing));
        publish(&cache, &key("m"), b"engine");
        entry(&cache, &key("m"));
    };
    check(&|dir| fs::write(dir.join("engine.blob"), b"eng").unwrap(), "3 bytes");
    check(&|dir| fs::write(dir.join("engine.blob"), b"enginf").unwrap(), "other content");
    check(&|dir| fs::remove_file(dir.join("engine.blob")).unwrap(), "cannot be read");
    check(&|dir| fs::remove_file(dir.join(MANIFEST)).unwrap(), "manifest cannot be read");
    check(&|dir| fs::write(dir.join(MANIFEST), b"{\"key\":").unwrap(), "manifest is not valid");
    check(&|dir| fs::write(dir.join(MANIFEST), vec![b' '; 2 << 20]).unwrap(), "bytes");
    let rewrite = |dir: &Path, change: &dyn Fn(&mut Manifest)| {
        let mut manifest = Manifest::read(dir).unwrap();
        change(&mut manifest);
        manifest.write(dir).unwrap();
    };
    check(&|dir| rewrite(dir, &|m| m.key.device = "another".to_owned()), "another key");
    check(
        &|dir| {
            rewrite(dir, &|m| {
                let file = m.files["engine.blob"].clone();
                m.files.insert("../engine.blob".to_owned(), file);
            });
        },
        "not a plain file name",
    );
}

#[test]
fn quarantined_does_not_grow_for_ever() {
    let (_dir, cache) = cache(0);
    for _ in 0..QUARANTINED_MAX + 5 {
        let dir = publish(&cache, &key("m"), b"engine");
        cache.quarantine(&dir, "a test").unwrap();
        // Two quarantined in the same millisecond would have one name.
        let now = SystemTime::now();
        while SystemTime::now().duration_since(now).unwrap() < Duration::from_millis(2) {
            std::thread::yield_now();
        }
    }
    assert_eq!(cache.quarantined().unwrap().len(), QUARANTINED_MAX);
}

#[test]
fn collection_removes_the_least_recently_used_and_never_entries_in_use() {
    let (_dir, cache) = cache(0);
    let models = ["a", "b", "c", "d"];
    for (age, model) in models.iter().enumerate() {
        let dir = publish(&cache, &key(model), &[7; 100_000]);
        let used = File::create(dir.join(USED)).unwrap();
        used.set_modified(SystemTime::now() - Duration::from_secs(1000 - age as u64)).unwrap();
    }
    // `a` is the oldest, and locked as by another process; the lookup has also made it the most recently used.
    let held = entry(&cache, &key("a"));
    let collected = cache.collect(Some(250_000)).unwrap();
    assert_eq!((collected.removed.len(), collected.kept, collected.in_use), (2, 2, 0), "{collected:?}");
    assert!(matches!(cache.find(&key("b")).unwrap(), Found::Nothing));
    assert!(matches!(cache.find(&key("c")).unwrap(), Found::Nothing));
    let collected = cache.collect(Some(1)).unwrap();
    assert_eq!((collected.removed.len(), collected.kept, collected.in_use), (1, 1, 1), "{collected:?}");
    assert!(fs::exists(held.dir.join("engine.blob")).unwrap());
    drop(held);
    assert_eq!(cache.collect(Some(1)).unwrap().kept, 0);
    assert_eq!(cache.collect(None).unwrap(), Collected::default());
}

/// `verify` replaces the manifest of an engine that a process has loaded.
#[test]
fn an_entry_stays_in_use_after_its_manifest_was_replaced() {
    let (_dir, cache) = cache(0);
    publish(&cache, &key("m"), b"engine");
    let held = entry(&cache, &key("m"));
    cache.rewrite(&held.dir, &held.manifest).unwrap();
    let collected = cache.collect(Some(1)).unwrap();
    assert_eq!((collected.removed.len(), collected.in_use), (0, 1), "{collected:?}");
    assert!(fs::exists(held.dir.join("engine.blob")).unwrap());
    drop(held);
    assert_eq!(cache.collect(Some(1)).unwrap().removed.len(), 1);
}

#[test]
fn leftovers_of_dead_builds_go_and_those_of_living_ones_stay() {
    let (_dir, cache) = cache(0);
    let leave = |key: &EngineKey| {
        let dir = cache.dir.join(TMP).join(format!("{}.1", key.folder()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("part"), b"half").unwrap();
        dir
    };
    let (dead, living) = (leave(&key("dead")), leave(&key("living")));
    let locks = cache.lock_for_build(&key("living"), "cpu", |_| {}).unwrap();
    assert!(!living.exists(), "a build removes the leftovers of its key");
    let living = leave(&key("living"));
    cache.collect(None).unwrap();
    assert!(!dead.exists() && living.exists());
    drop(locks);
    cache.collect(None).unwrap();
    assert!(!living.exists());
}

#[test]
fn an_entry_is_transferred_whole_or_not_at_all() {
    let (dir, cache) = cache(0);
    let name = publish(&cache, &key("m"), b"engine").file_name().unwrap().to_string_lossy().into_owned();
    let copy = cache.export(&name, &dir.path().join("out")).unwrap();
    let other = EngineCache::new(dir.path().join("other"), 0);
    assert_eq!(other.import(&copy).unwrap(), name);
    assert_eq!(fs::read(entry(&other, &key("m")).dir.join("engine.blob")).unwrap(), b"engine");
    fs::write(copy.join("engine.blob"), b"enginf").unwrap();
    let another = EngineCache::new(dir.path().join("another"), 0);
    assert!(another.import(&copy).unwrap_err().to_string().contains("other content"));
    assert!(another.entries().unwrap().is_empty());
    assert!(cache.export("../m", dir.path()).is_err());
    assert!(cache.export("no-such", dir.path()).is_err());
}

#[test]
fn a_manifest_of_0_1_is_read() {
    let (_dir, cache) = cache(0);
    let file = publish(&cache, &key("m"), b"engine").join("manifest.json");
    let text = fs::read_to_string(&file).unwrap();
    let old = text.replacen("\"acceptance\": {", "\"verdict\": {", 1);
    assert_ne!(text, old);
    fs::write(&file, old).unwrap();
    assert_eq!(entry(&cache, &key("m")).manifest.acceptance, AcceptanceReport::reference());
}

#[test]
fn an_entry_for_import_stays_in_the_cache() {
    let (dir, cache) = cache(0);
    let from = publish(&cache, &key("m"), b"engine");
    let sound = fs::read_to_string(from.join(MANIFEST)).unwrap();
    for (what, by) in [("\"m\"", "\"../../m\""), ("\"m\"", "\"..\""), ("engine.blob", "../engine.blob")] {
        fs::write(from.join(MANIFEST), sound.replacen(what, by, 1)).unwrap();
        let error = cache.import(&from).unwrap_err();
        assert!(error.to_string().contains("not a plain"), "{by}: {error}");
    }
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["engines"]);
}
