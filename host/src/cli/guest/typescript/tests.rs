//! The change of a component of the plain contract into one of the contract.
#![allow(clippy::unwrap_used, clippy::panic)]

use wit_component::{
    ComponentEncoder, DecodedWasm, StringEncoding, decode, dummy_module, embed_component_metadata,
};
use wit_parser::{ManglingAndAbi, WorldItem};

use super::*;

fn ours() -> (Resolve, WorldId) {
    contract::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).unwrap()
}

fn of(wit: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("a.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    (resolve, world)
}

/// Returns a component of a world, whose functions do nothing.
fn component(resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let mut module = dummy_module(resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// Returns a component of the same world as the tool for JavaScript gets it.
fn plain_component(resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let name = resolve.worlds[world].name.clone();
    let DecodedWasm::WitPackage(resolve, package) = decode(&plain(resolve.clone(), world).unwrap()).unwrap()
    else {
        panic!("a package is expected")
    };
    let world = resolve.select_world(&[package], Some(&name)).unwrap();
    component(&resolve, world)
}

/// Returns the functions of a component's imports and exports, with whether they are async.
fn functions(component: &[u8]) -> Vec<(String, bool)> {
    let DecodedWasm::Component(resolve, world) = decode(component).unwrap() else {
        panic!("a component is expected")
    };
    let world = &resolve.worlds[world];
    let sides = [("import", &world.imports), ("export", &world.exports)];
    let interfaces = sides.into_iter().flat_map(|(side, items)| items.iter().map(move |item| (side, item)));
    interfaces
        .flat_map(|(side, (key, item))| {
            let WorldItem::Interface { id, .. } = item else { panic!("an interface is expected") };
            let name = format!("{side} {}", resolve.name_world_key(key));
            let all = resolve.interfaces[*id].functions.values();
            all.map(|one| (format!("{name} {}", one.name), one.kind.is_async())).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_functions_of_the_contract_get_their_types() {
    let (resolve, world) = ours();
    let mut changed = plain_component(&resolve, world);
    assert!(functions(&changed).iter().all(|(_, is_async)| !is_async));
    let wanted = Functions::of(&resolve, world).unwrap();
    wanted.apply(&mut changed).unwrap();
    // `decode` validates: the lowered and lifted functions fit their new types.
    assert_eq!(functions(&changed), functions(&component(&resolve, world)));
    let found = |wanted: &str| functions(&changed).into_iter().find(|(name, _)| name == wanted).unwrap().1;
    assert!(found("import lector:ocr/pipeline@0.2.0 recognize"));
    assert!(found("export lector:ocr/pipeline@0.2.0 recognize"));
    assert!(!found("export lector:ocr/pipeline@0.2.0 configure"));

    // A component whose functions are async already stays as it is.
    let before = changed.clone();
    wanted.apply(&mut changed).unwrap();
    assert_eq!(changed, before);
}

#[test]
fn functions_of_other_interfaces_stay_as_they_are() {
    let (resolve, world) = of("package a:b; interface i { one: func(); } world w { import i; export i; }");
    let (other, other_world) = of("package a:b; interface j { one: async func(); } world w { import j; }");
    let mut component = component(&resolve, world);
    let before = component.clone();
    Functions::of(&other, other_world).unwrap().apply(&mut component).unwrap();
    assert_eq!(component, before);
}

#[test]
fn a_type_that_two_functions_have_in_common_is_refused() {
    let (resolve, world) =
        of("package a:b; interface i { one: async func(); two: func(); } world w { import i; }");
    let mut component = plain_component(&resolve, world);
    let error = Functions::of(&resolve, world).unwrap().apply(&mut component).unwrap_err().to_string();
    assert!(error.contains("has its type in common with another function"), "{error}");
}

#[test]
fn what_is_no_component_is_an_error() {
    let (resolve, world) = ours();
    let functions = Functions::of(&resolve, world).unwrap();
    let whole = plain_component(&resolve, world);
    assert!(functions.apply(&mut b"\0asm\x01\0\0\0".to_vec()).unwrap_err().to_string().contains("module"));
    for mut bytes in [Vec::new(), b"not a component".to_vec()] {
        assert!(functions.apply(&mut bytes).is_err());
    }
    // Cut and changed components are errors or not, and no panic.
    for step in (0..whole.len()).step_by(97) {
        let mut cut = whole.get(..step).unwrap().to_vec();
        let _ = functions.apply(&mut cut);
        let mut changed = whole.clone();
        *changed.get_mut(step).unwrap() ^= 0x55;
        let _ = functions.apply(&mut changed);
    }
}

#[test]
fn exported_functions_of_one_name_must_agree() {
    let (resolve, world) = of("package a:b;
        interface i { one: func(); }
        interface j { one: async func(); }
        world w { export i; export j; }");
    let error = Functions::of(&resolve, world).unwrap_err().to_string();
    assert!(error.contains("`one`"), "{error}");
}

#[test]
fn the_contract_has_declarations() {
    let (resolve, world) = ours();
    let text = declarations::declarations(&resolve, world).unwrap();
    for line in [
        "declare module \"lector:ocr/pipeline@0.2.0\" {",
        "  export function recognize(page: Page, request: Request): Transcript;",
        "    static fromList(pages: Array<Transcript>): Transcripts;",
        "    next(): Transcript | null;",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn a_project_without_its_entry_is_refused() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("package.json"), r#"{"name": "bills"}"#).unwrap();
    let project = Project::open(home.path()).unwrap();
    let error = build(&project, home.path()).unwrap_err().to_string();
    assert_eq!(error, "bills has no src/app.ts or src/app.js, the module that exports `pipeline`");
}
