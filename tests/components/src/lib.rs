//! Components that tests make: of a world of the contract, with functions that trap, and of text, for those that no
//! compiler emits.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::{Context, Result};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

/// Makes a component of a world of the contract in `wit/`. Its functions trap. `section` is appended to its core
/// module, which has one memory of no pages, and no data.
pub fn guest(world: &str, section: &[u8]) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let wit = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    module.extend_from_slice(section);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().validate(true).module(&module)?.encode()
}

/// Makes a component of the definitions in `body`, in the text format. It exports an instance without functions under the
/// name `export`.
pub fn of_text(export: &str, body: &str) -> Result<Vec<u8>> {
    let text = format!("(component {body} (instance $none) (export {export:?} (instance $none)))");
    wat::parse_str(&text).with_context(|| text.chars().take(500).collect::<String>())
}

/// Encodes a section of a component or module.
pub fn section(id: u8, body: &[u8]) -> Vec<u8> {
    [&[id], leb(body.len()).as_slice(), body].concat()
}

/// Encodes an unsigned number as LEB128.
fn leb(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}
