//! Rust bindings of the contract, generated from `wit/`. Private to this crate: no other crate uses a WIT type.

wasmtime::component::bindgen!({
    world: "lector:ocr/guest",
    path: "../../../wit",
    // `trappable`: a host function can end the guest when a limit is reached. An `async func` receives the store
    // anyway.
    imports: { default: trappable },
    exports: { default: async },
    with: {
        "lector:image/images.image": crate::handles::ImageHandle,
        "lector:inference/tensors.tensor": crate::handles::TensorHandle,
        "lector:inference/models.model": crate::handles::ModelHandle,
        "lector:ocr/document.page": crate::handles::PageHandle,
        "lector:ocr/document.transcripts": crate::handles::HeldTranscripts,
        "lector:ocr/trace.span": crate::handles::SpanHandle,
    },
});

/// The batching policy, as a world of its own: few guests export one, and the contract has no optional exports.
pub mod policy {
    wasmtime::component::bindgen!({
        world: "lector:ocr/batching-policy",
        path: "../../../wit",
        exports: { default: async },
    });
}

/// The options of a request, and the schema that a guest may export for them.
pub mod options {
    wasmtime::component::bindgen!({
        world: "guest-options",
        path: "../../../wit/deps/options",
        imports: { default: trappable },
        exports: { default: async },
    });
}

/// The import of a guest that wraps another pipeline.
pub mod wrapper {
    wasmtime::component::bindgen!({
        world: "lector:ocr/wrapper",
        path: "../../../wit",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "lector:types/errors": crate::bindings::lector::types::errors,
            "lector:types/geometry": crate::bindings::lector::types::geometry,
            "lector:inference/tensors": crate::bindings::lector::inference::tensors,
            "lector:inference/models": crate::bindings::lector::inference::models,
            "lector:image/images": crate::bindings::lector::image::images,
            "lector:ocr/model": crate::bindings::lector::ocr::model,
            "lector:ocr/document": crate::bindings::lector::ocr::document,
            "lector:ocr/pipeline-types": crate::bindings::lector::ocr::pipeline_types,
            "lector:ocr/log": crate::bindings::lector::ocr::log,
            "lector:ocr/trace": crate::bindings::lector::ocr::trace,
            "lector:ocr/settings": crate::bindings::lector::ocr::settings,
            "lector:ocr/budget": crate::bindings::lector::ocr::budget,
        },
    });
}
