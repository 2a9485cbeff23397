//! The contract as Rust, generated from `wit/`. Private to this crate: no other room sees a WIT type.

wasmtime::component::bindgen!({
    world: "lector:ocr/guest",
    path: "../../../wit",
    // A host function may end the guest (a limit reached); `async func` gets the store by itself.
    imports: { default: trappable },
    exports: { default: async },
    with: {
        "lector:ocr/image.image": crate::held::HeldImage,
        "lector:ocr/inference.tensor": crate::held::HeldTensor,
        "lector:ocr/inference.model": crate::held::HeldModel,
        "lector:ocr/document.page": crate::held::HeldPage,
        "lector:ocr/trace.span": crate::held::HeldSpan,
    },
});

/// A guest's program for its batches, apart: few guests have one, and the contract has no optional exports.
pub mod program {
    wasmtime::component::bindgen!({
        world: "lector:ocr/batching-program",
        path: "../../../wit",
        exports: { default: async },
    });
}
