//! What `wit-bindgen` makes of `wit/`. Owns no logic. Native builds use its plain types only; the handles
//! behind them exist inside a component alone. Called by the typed wrappers beside it, and by `export!`.
#![allow(
    missing_docs,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    unsafe_op_in_unsafe_fn,
    rust_2018_idioms
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "guest",
    pub_export_macro: true,
    generate_all,
    additional_derives: [PartialEq],
    additional_derives_ignore: ["argument"],
});

/// The world of a batching program, apart: only a guest that has one exports it.
pub mod program {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "batching-program",
        pub_export_macro: true,
        export_macro_name: "export_program",
        additional_derives: [PartialEq],
    });
}
