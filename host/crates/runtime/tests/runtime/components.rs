//! Invalid and incompatible components, and compiled code on disk.

use std::sync::Arc;
use std::time::Duration;

use lector_core::{Fault, Kind};
use lector_runtime::{CompilerConfig, Runtime, RuntimeConfig};

use crate::support::{ENDS_WITHIN, FakeEngines, Mood, bytes, configured, runtime};

async fn refused(wasm: Vec<u8>) -> Fault {
    runtime(FakeEngines::new(Mood::Echo)).load(wasm, &"t".into()).await.unwrap_err()
}

/// Makes a component that imports instances of these names, each with these functions, and exports an empty instance as
/// `export`. Written byte by byte after the component model's `Binary.md`, so that no assembler is needed.
fn component(imports: &[(&str, &[&str])], export: &str) -> Vec<u8> {
    fn name(kind: &[u8], name: &str) -> Vec<u8> {
        [kind, &[name.len() as u8], name.as_bytes()].concat()
    }
    fn section(id: u8, items: &[Vec<u8>]) -> Vec<u8> {
        let body = [vec![items.len() as u8], items.concat()].concat();
        // LEB128, always as two bytes.
        [vec![id, body.len() as u8 | 0x80, (body.len() >> 7) as u8], body].concat()
    }
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    if !imports.is_empty() {
        let instance = |functions: &&[&str]| {
            // Type 0 in the instance: a function without parameters and result.
            let mut declared = vec![vec![0x01, 0x40, 0x00, 0x01, 0x00]];
            declared.extend(functions.iter().map(|f| [name(&[0x04, 0x00], f), vec![0x01, 0x00]].concat()));
            [vec![0x42, declared.len() as u8], declared.concat()].concat()
        };
        let types: Vec<_> = imports.iter().map(|(_, functions)| instance(functions)).collect();
        bytes.extend(section(7, &types));
        let imported = imports.iter().enumerate();
        let imported = imported.map(|(i, (n, _))| [name(&[0x00], n), vec![0x05, i as u8]].concat());
        bytes.extend(section(10, &imported.collect::<Vec<_>>()));
    }
    bytes.extend(section(5, &[vec![0x01, 0x00]]));
    bytes.extend(section(11, &[[name(&[0x00], export), vec![0x05, imports.len() as u8, 0x00]].concat()]));
    bytes
}

const PIPELINE: &str = "lector:ocr/pipeline@0.2.0";

#[tokio::test]
async fn bytes_that_are_not_a_component_are_named() {
    let core = refused(b"\0asm\x01\0\0\0".to_vec()).await;
    assert_eq!((core.code, core.kind), ("component_is_core_module", Kind::Invalid));
    for garbage in
        [&b""[..], b"\0asm", b"PK\x03\x04 a zip", &[0xff; 1000], b"\0asm\x0d\0\x01\0\xff\xff\xff\xff\xff"]
    {
        assert_eq!(refused(garbage.to_vec()).await.code, "component_invalid", "{garbage:?}");
    }
    assert_eq!(refused(b"\0asm\x0d\0\x01\0".to_vec()).await.code, "component_world_mismatch");
}

#[tokio::test]
async fn every_truncation_of_a_guest_is_refused() {
    let Some(whole) = bytes("echo") else { return };
    for cut in [9, 100, whole.len() / 2, whole.len() - 1] {
        let code = refused(whole[..cut].to_vec()).await.code;
        assert!(["component_invalid", "component_world_mismatch"].contains(&code), "{cut}: {code}");
    }
}

#[tokio::test]
async fn another_world_is_named_with_its_version() {
    let newer = component(&[], "lector:ocr/pipeline@0.3.0");
    let inspection = Runtime::inspect(&newer).unwrap();
    assert_eq!(inspection.world.as_deref(), Some("0.3.0"));
    let fault = refused(newer).await;
    assert_eq!(fault.code, "component_world_mismatch");
    assert!(fault.message.contains("0.3.0") && fault.message.contains("0.2.0"), "{}", fault.message);
    // The right name, without content.
    let hollow = component(&[], PIPELINE);
    assert_eq!(refused(hollow).await.code, "component_world_mismatch");
}

/// The fixture is the test guest `echo` as it was built for the contract 0.1.0, with its core modules emptied: only
/// names are read from it.
#[tokio::test]
async fn a_guest_built_for_0_1_is_reported_to_be_rebuilt() {
    let old = include_bytes!("fixtures/echo-0.1.0.wasm").to_vec();
    let inspection = Runtime::inspect(&old).unwrap();
    assert_eq!(inspection.world.as_deref(), Some("0.1.0"));
    let fault = refused(old).await;
    assert_eq!((fault.code, fault.kind), ("component_world_mismatch", Kind::Invalid));
    for part in ["lector:ocr/pipeline@0.1.0", "0.2.0", "rebuild", "CHANGELOG.md"] {
        assert!(fault.message.contains(part), "{part}: {}", fault.message);
    }
}

#[tokio::test]
async fn each_unknown_import_is_named() {
    let greedy = component(
        &[
            ("wasi:http/outgoing-handler@0.2.0", &["handle"]),
            ("acme:secrets/vault@1.0.0", &[]),
            ("lector:ocr/log@0.2.0", &[]),
        ],
        PIPELINE,
    );
    let fault = refused(greedy).await;
    assert_eq!(fault.code, "component_import_unknown");
    assert!(fault.message.contains("wasi:http/outgoing-handler@0.2.0"), "{}", fault.message);
    assert!(fault.message.contains("acme:secrets/vault@1.0.0"), "{}", fault.message);
    assert!(!fault.message.contains("lector:ocr/log"), "{}", fault.message);
    // The linker rejects a known interface with an unknown function.
    let subtle = component(&[("lector:ocr/log@0.2.0", &["erase"])], PIPELINE);
    let fault = refused(subtle).await;
    assert_eq!(fault.code, "component_world_mismatch");
    assert!(fault.message.contains("erase"), "{}", fault.message);
}

#[tokio::test]
async fn a_component_over_the_limit_is_not_even_read() {
    let config = RuntimeConfig { component_bytes_max: 1000, ..RuntimeConfig::default() };
    let runtime = configured(config, FakeEngines::new(Mood::Echo));
    let fault = runtime.load(vec![0; 1001], &"t".into()).await.unwrap_err();
    assert_eq!((fault.code, fault.kind), ("component_too_large", Kind::TooLarge));
}

#[tokio::test]
async fn inspection_describes_a_guest() {
    let Some(wasm) = bytes("echo") else { return };
    let inspection = Runtime::inspect(&wasm).unwrap();
    assert_eq!(inspection.world.as_deref(), Some("0.2.0"));
    assert_eq!(inspection.bytes, wasm.len() as u64);
    assert_eq!(inspection.sha256.len(), 64);
    assert!(inspection.unknown_imports.is_empty());
    assert!(inspection.imports.iter().any(|name| name == "lector:ocr/document@0.2.0"), "{inspection:?}");
    inspection.check().unwrap();
}

#[tokio::test]
async fn compiled_code_is_kept_and_damage_is_repaired() {
    let Some(wasm) = bytes("echo") else { return };
    let dir = tempfile::tempdir().unwrap();
    let config = RuntimeConfig { code_cache_dir: Some(dir.path().join("code")), ..RuntimeConfig::default() };
    let start = || configured(config.clone(), FakeEngines::new(Mood::Echo));
    let counts = |runtime: &Runtime| {
        let status = runtime.status();
        (status.cache_hits, status.cache_misses, status.cache_rejected)
    };
    let first = start();
    first.load(wasm.clone(), &"t".into()).await.unwrap();
    first.load(wasm.clone(), &"t".into()).await.unwrap();
    assert_eq!(counts(&first), (1, 1, 0));
    let file = std::fs::read_dir(dir.path().join("code")).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x40;
    std::fs::write(&file, &damaged).unwrap();
    let second = start();
    second.load(wasm.clone(), &"t".into()).await.unwrap();
    assert_eq!(counts(&second), (0, 1, 1));
    assert_eq!(std::fs::read(&file).unwrap().len(), whole.len(), "replaced by valid code");
    let third = start();
    third.load(wasm, &"t".into()).await.unwrap();
    assert_eq!(counts(&third), (1, 0, 0));
}

/// Otherwise the rollback of one tenant would wait for minutes while the component of another one is compiled.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_does_not_wait_for_the_components_of_another() {
    let (code, started) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Tells that it has started, and works until it is killed.
    let script = "echo > \"$0/$$\"; while read -r line; do :; done";
    let command = ["/bin/sh".as_ref(), "-c".as_ref(), script.as_ref(), started.path().as_os_str()];
    let compiler = CompilerConfig {
        command: command.map(ToOwned::to_owned).to_vec(),
        cpu_time: ENDS_WITHIN,
        timeout: ENDS_WITHIN,
        memory_bytes: u64::MAX,
        sandbox: lector_sandbox::Policy::Warn,
    };
    let config = RuntimeConfig {
        code_cache_dir: Some(code.path().to_owned()),
        compiler: Some(compiler),
        ..RuntimeConfig::default()
    };
    let runtime = configured(config, FakeEngines::new(Mood::Echo));
    let wasm = lector_test_components::guest("guest", &[]).unwrap();
    let load = |tenant: &'static str| {
        let (runtime, wasm) = (runtime.clone(), wasm.clone());
        tokio::spawn(async move { runtime.load(wasm, &tenant.into()).await.map(|_| ()) })
    };
    let compiling = async |count: usize| {
        let all_started = async {
            while std::fs::read_dir(started.path()).unwrap().count() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(ENDS_WITHIN / 2, all_started).await.expect("the compiler is started");
    };
    let first = load("many");
    compiling(1).await;
    let others = [load("many"), load("many"), load("one")];
    compiling(2).await;
    [first].into_iter().chain(others).for_each(|task| task.abort());
}

/// A component that was freed leaves memory in its slot of the pool; what many of them leave is bounded.
#[tokio::test(flavor = "multi_thread")]
async fn deploys_leave_a_bounded_number_of_idle_memories() {
    // The pool has more slots than the bound, so that without it each component would take one that was never used.
    let config = RuntimeConfig { blocking_threads: 2, ..RuntimeConfig::default() };
    let runtime = configured(config, FakeEngines::new(Mood::Echo));
    let wasm = lector_test_components::guest("guest", &[]).unwrap();
    for _ in 0..45 {
        let guest = runtime.load(wasm.clone(), &"t".into()).await.unwrap();
        let ctx = crate::support::call("{}", lector_core::Budget::default());
        guest.configure(&ctx, "{}").await.unwrap_err();
    }
    let status = runtime.status();
    assert_eq!(status.components, 0);
    assert!((1..=32).contains(&status.idle_memories), "{status:?}");
}

#[tokio::test]
async fn a_guest_built_for_wasi_loads_and_answers() {
    let Some(wasm) = bytes("standard.wasip2") else { return };
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let guest = runtime.load(wasm, &"t".into()).await.unwrap();
    assert!(guest.imports().iter().any(|name| name.starts_with("wasi:")), "{:?}", guest.imports());
    let ctx = crate::support::call("{}", lector_core::Budget::default());
    guest.configure(&ctx, "{}").await.unwrap().unwrap();
}

/// Keeps the lines that a guest logs.
#[derive(Debug, Default)]
struct Lines(std::sync::Mutex<Vec<String>>);

impl lector_core::GuestLogSink for Lines {
    fn write(&self, record: lector_core::GuestLogRecord<'_>) {
        self.0.lock().unwrap().push(record.message.to_owned());
    }
}

#[tokio::test]
async fn ordinary_crates_have_the_time_random_numbers_and_output() {
    let Some(wasm) = bytes("ordinary.wasip2") else { return };
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let guest = runtime.load(wasm, &"t".into()).await.unwrap();
    let lines = Arc::new(Lines::default());
    let ctx = lector_core::CallCtx {
        guest_log: Some(lines.clone()),
        ..crate::support::call("{}", lector_core::Budget::default())
    };
    let read = async || -> serde_json::Value {
        let page = guest.recognize(&ctx, crate::support::FakePage::new(0), Default::default()).await.result;
        serde_json::from_str(page.unwrap().properties.as_deref().unwrap()).unwrap()
    };
    let (first, second) = (read().await, read().await);
    assert!(first["now"].as_str().unwrap() > "2026" && first["now"] != second["now"], "{first} {second}");
    assert_ne!(first["random"], second["random"]);
    assert_ne!(first["uuid"], second["uuid"]);
    assert_eq!(first["uuid"].as_str().unwrap().as_bytes()[14], b'4', "{first}");
    assert!(first["slept_us"].as_u64().unwrap() >= 2000, "{first}");
    assert!(lines.0.lock().unwrap().iter().any(|line| line.contains("an ordinary line")), "{lines:?}");
}
