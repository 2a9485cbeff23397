//! Bindings generated from `wit/` by `wit-bindgen`. Contains no logic. Native builds use only the plain types; the
//! handles exist only inside a component. Used by the typed wrappers and by `export!`.
#![allow(
    missing_docs,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    unsafe_op_in_unsafe_fn,
    rust_2018_idioms
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "lector:ocr/guest",
    pub_export_macro: true,
    generate_all,
    additional_derives: [PartialEq],
    additional_derives_ignore: ["argument", "crop"],
});

/// The world of a batching policy, separate because only some guests export one.
pub mod policy {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "lector:ocr/batching-policy",
        pub_export_macro: true,
        export_macro_name: "export_policy",
        additional_derives: [PartialEq],
    });
}

/// The options of a request and their schema. Behind a feature, because a component that links this imports the interface.
#[cfg(all(feature = "options", target_family = "wasm"))]
pub mod options {
    wit_bindgen::generate!({
        path: "../../wit/deps/options",
        world: "guest-options",
        pub_export_macro: true,
        export_macro_name: "export_options",
    });
}

/// The import of a guest that wraps another pipeline. Behind a feature, because a component that links this imports the
/// interface even if it never calls it.
#[cfg(all(feature = "wrapper", target_family = "wasm"))]
pub mod wrapped {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package lector:sdk; world wrapped { import lector:ocr/pipeline@0.2.0; }",
        world: "lector:sdk/wrapped",
        with: {
            "lector:types/errors@0.2.0": crate::bindings::lector::types::errors,
            "lector:types/geometry@0.2.0": crate::bindings::lector::types::geometry,
            "lector:inference/tensors@0.2.0": crate::bindings::lector::inference::tensors,
            "lector:image/images@0.2.0": crate::bindings::lector::image::images,
            "lector:ocr/model@0.2.0": crate::bindings::lector::ocr::model,
            "lector:ocr/document@0.2.0": crate::bindings::lector::ocr::document,
            "lector:ocr/pipeline-types@0.2.0": crate::bindings::lector::ocr::pipeline_types,
        },
        generate_all,
    });
}
