//! Components made to hurt the host that takes them: each is the client's fault, with a message that names the cause.

use lector_core::{Blame, Budget, Fault, Kind};
use lector_runtime::Runtime;
use lector_test_components::{guest, of_text, section};

use crate::support::{FakeEngines, Mood, call, runtime};

/// Longest message of a fault, in bytes.
const MESSAGE_BYTES_MAX: usize = 6000;

/// Makes a component of text that exports `pipeline` under this name, as an instance without functions.
fn named(export: &str, body: &str) -> Vec<u8> {
    of_text(export, body).unwrap()
}

/// Makes such a component under the name that makes it a guest of this host.
fn hollow(body: &str) -> Vec<u8> {
    named("lector:ocr/pipeline@0.2.0", body)
}

/// Makes a hollow guest with one instance of each of these core modules.
fn modules(fields: &[String]) -> Vec<u8> {
    let module = |(at, field): (usize, &String)| {
        format!("(core module $m{at} {field}) (core instance (instantiate $m{at}))")
    };
    hollow(&fields.iter().enumerate().map(module).collect::<String>())
}

fn module(field: &str) -> Vec<u8> {
    modules(&[field.to_owned()])
}

/// Makes a component inside a component, and so on.
fn nested(depth: usize) -> Vec<u8> {
    let header = b"\0asm\x0d\0\x01\0";
    (1..depth).fold(header.to_vec(), |inner, _| [&header[..], &section(4, &inner)].concat())
}

fn repeat(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect()
}

#[tokio::test]
async fn each_is_the_clients_fault_and_names_its_cause() {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let whole = guest("guest", &[]).unwrap();
    let (invalid, mismatch, unknown) =
        ("component_invalid", "component_world_mismatch", "component_import_unknown");
    let custom = section(0, &[&[1, b'x'], vec![7; 8 << 20].as_slice()].concat());
    let table: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        // Bytes.
        ("nothing", vec![], invalid, "header"),
        ("a magic number of something else", b"\x7fELF\x02\x01\x01\0".to_vec(), invalid, "header"),
        ("another encoding", b"\0asm\x0c\0\x01\0".to_vec(), invalid, ""),
        ("a core module", b"\0asm\x01\0\0\0".to_vec(), "component_is_core_module", "component"),
        ("half a guest", whole[..whole.len() / 2].to_vec(), "", ""),
        ("a guest without its last byte", whole[..whole.len() - 1].to_vec(), invalid, "complete"),
        ("a section longer than the file", [nested(1), vec![10, 0xff, 0xff, 0x7f]].concat(), invalid, ""),
        ("a custom section of 8 MiB", [hollow(""), custom].concat(), mismatch, "contract"),
        ("2000 nested components", nested(2000), invalid, "nests more than 32"),
        // Names.
        ("the version before", named("lector:ocr/pipeline@0.1.0", ""), mismatch, "0.1.0"),
        ("the version after", named("lector:ocr/pipeline@0.3.0", ""), mismatch, "0.3.0"),
        ("no version", named("lector:ocr/pipeline", ""), mismatch, "exports no"),
        ("wasi:http", hollow(r#"(import "wasi:http/types@0.2.0" (instance))"#), unknown, "wasi:http/types"),
        (
            "5000 imports",
            hollow(&repeat(5000, |i| format!(r#"(import "a:b/c{i}@1.0.0" (instance))"#))),
            invalid,
            "at most 1000",
        ),
        (
            "500 unknown imports",
            hollow(&repeat(500, |i| format!(r#"(import "a:b/c{i}@1.0.0" (instance))"#))),
            unknown,
            "and 492 more",
        ),
        (
            "5000 exports",
            hollow(&format!(
                "(instance $i) {}",
                repeat(5000, |i| format!(r#"(export "a:b/c{i}@1.0.0" (instance $i))"#))
            )),
            invalid,
            "at most 1000",
        ),
        (
            "a name with an escape code",
            hollow(r#"(import "a:b/c\1b[2J\0aERROR forged" (instance))"#),
            invalid,
            "control characters",
        ),
        (
            "a name of 10 KiB",
            hollow(&format!(r#"(import "a:b/{}" (instance))"#, "c".repeat(10 << 10))),
            invalid,
            "at most 512",
        ),
        (
            "a name of 1 MiB",
            hollow(&format!(r#"(import "a:b/{}" (instance))"#, "c".repeat(1 << 20))),
            invalid,
            "",
        ),
        (
            "the same import twice",
            hollow(
                r#"(import "lector:ocr/log@0.2.0" (instance)) (import "lector:ocr/log@0.2.0" (instance))"#,
            ),
            invalid,
            "log",
        ),
        // Types.
        ("20000 types", hollow(&repeat(20_000, |_| "(type (func))".to_owned())), mismatch, ""),
        (
            "a type that nests 2000 deep",
            hollow(&format!(
                "(type $t0 (list u8)) {}",
                repeat(2000, |i| format!("(type $t{} (list $t{i}))", i + 1))
            )),
            "",
            "",
        ),
        ("a type of itself", hollow("(type (list 0))"), invalid, ""),
        ("a type that comes later", hollow("(type (list 1)) (type (list u8))"), invalid, ""),
        // Core modules.
        ("a memory of 4 GiB", module("(memory 65536)"), invalid, "more than a guest may have"),
        ("a memory of 1 GiB", module("(memory 16384)"), invalid, "more than a guest may have"),
        ("a 64-bit memory of 1 TiB", module("(memory i64 16777216)"), invalid, ""),
        ("a 64-bit memory", module("(memory i64 1)"), mismatch, ""),
        ("9 memories", module(&"(memory 1)".repeat(9)), invalid, "memories"),
        ("a shared memory", module("(memory 1 2 shared)"), invalid, ""),
        ("a table of 4 billion elements", module("(table 4000000000 funcref)"), invalid, "table"),
        ("a table of 60000 elements", module("(table 60000 funcref)"), invalid, "table"),
        ("70 tables", module(&"(table 1 funcref)".repeat(70)), invalid, "table"),
        ("70 instances", modules(&vec![String::new(); 70]), invalid, "instances"),
        (
            "a function with 60000 locals",
            module(&format!("(func (local {}))", "i32 ".repeat(60_000))),
            invalid,
            "",
        ),
        ("a memory that grows", module("(memory 1 65536)"), mismatch, ""),
        ("a function that is not valid", module("(func i32.add)"), invalid, ""),
        (
            "a core module with an import, not instantiated",
            hollow(r#"(core module $m (import "a" "b" (func)))"#),
            mismatch,
            "",
        ),
    ];
    let mut wrong = Vec::new();
    for (what, wasm, code, expected) in table {
        let fault = match runtime.load(wasm, &"t".into()).await {
            Ok(_) => {
                wrong.push(format!("{what}: accepted"));
                continue;
            }
            Err(fault) => fault,
        };
        eprintln!("{what}: {}", fault.message.chars().take(200).collect::<String>());
        if !is_the_clients(&fault)
            || !(code.is_empty() || fault.code == code)
            || !fault.message.contains(expected)
        {
            wrong.push(format!("{what}: {:.900}, not {code} with `{expected}`", format!("{fault:?}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(runtime.status().components, 0);
    // The host serves on.
    runtime.load(whole, &"t".into()).await.unwrap();
}

fn is_the_clients(fault: &Fault) -> bool {
    matches!(fault.kind, Kind::Invalid | Kind::TooLarge)
        && fault.blame == Blame::Client
        && fault.message.len() < MESSAGE_BYTES_MAX
        && !fault.message.chars().any(char::is_control)
}

/// A guest that is valid and traps as it starts, or in each function.
#[tokio::test]
async fn a_trap_at_the_start_is_the_guests_fault() {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    // An active data segment outside of its memory: count 1, `i32.const 65536`, one byte.
    let data = section(11, &[1, 0, 0x41, 0x80, 0x80, 0x04, 0x0b, 1, 0x2a]);
    for (what, wasm, expected) in [
        ("its data does not fit", guest("guest", &data).unwrap(), "out of bounds"),
        ("its functions trap", guest("guest", &[]).unwrap(), "unreachable"),
    ] {
        let guest = runtime.load(wasm, &"t".into()).await.unwrap();
        let fault = guest.configure(&call("{}", Budget::default()), "{}").await.unwrap_err();
        assert_eq!((fault.code, fault.blame), ("guest_trapped", Blame::Guest), "{what}: {fault}");
        assert!(fault.to_string().contains(expected), "{what}: {fault}");
    }
    assert_eq!(runtime.status().live, 0);
}

/// Sockets are linked, so that a guest built for WASI loads; nothing is granted through them.
#[test]
fn sockets_are_known_and_http_is_not() {
    let sockets = Runtime::inspect(&hollow(r#"(import "wasi:sockets/tcp@0.2.0" (instance))"#)).unwrap();
    assert!(sockets.check().is_ok(), "{sockets:?}");
    let http =
        Runtime::inspect(&hollow(r#"(import "wasi:http/outgoing-handler@0.2.0" (instance))"#)).unwrap();
    assert_eq!(http.check().unwrap_err().code, "component_import_unknown");
}
