//! What an author of a Lector guest needs.
//!
//! A guest is one tenant's OCR logic: it implements [`Pipeline`] and names it in one [`export!`] line. It asks
//! the host for a [`Page`], turns it into an [`Image`] and [`Tensor`]s, runs granted [`Model`]s (many at
//! once: every slow call is an `async fn`), and answers with a [`Transcript`]. Pixels and tensors stay in
//! the host; handles cross, and bytes only when a guest reads them.
//!
//! ```
//! use lector_sdk::{Complaint, Declaration, Error, Page, Pipeline, Request, Transcript};
//!
//! #[derive(Default, serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Settings {
//!     greeting: String,
//! }
//!
//! struct Hello;
//!
//! impl Pipeline for Hello {
//!     type Settings = Settings;
//!
//!     fn configure(_: &Settings) -> Result<Declaration, Complaint> {
//!         Ok(Declaration::default())
//!     }
//!
//!     async fn recognize(page: &Page, _: &Request, settings: &Settings) -> Result<Transcript, Error> {
//!         let dpi = 72.0;
//!         let mut transcript = Transcript::blank(page.size_at(dpi), dpi);
//!         transcript.warnings.push(settings.greeting.clone());
//!         Ok(transcript)
//!     }
//! }
//!
//! lector_sdk::export!(Hello);
//! # fn main() {}
//! ```
//!
//! Outside WebAssembly the same types stand on the fake host of `fake`, so that the logic of a guest is
//! unit-tested like any other Rust code.
#![warn(missing_docs)]

pub mod batching;
#[doc(hidden)]
pub mod bindings;
#[cfg(not(target_family = "wasm"))]
pub mod fake;
mod host;
mod image;
mod log;
mod model;
mod page;
mod pipeline;
mod settings;
mod tensor;
mod text;

pub use image::{Image, Pieces};
pub use log::{Level, Span, debug, error, info, log, span, warn};
pub use model::Model;
pub use page::Page;
#[doc(hidden)]
pub use pipeline::Component;
pub use pipeline::{Pipeline, join_pages};
pub use tensor::Tensor;

pub use bindings::exports::lector::ocr::pipeline::{
    Batching, Complaint, Declaration, Priority, Request, Summary, TextLayerPolicy,
};
pub use bindings::lector::ocr::document::{Kind as PageKind, TextLayer, TextSpan};
pub use bindings::lector::ocr::image::{Channels, Crop, Filter, Normalisation};
pub use bindings::lector::ocr::inference::{Dtype, ModelInfo, Port};
pub use bindings::lector::ocr::types::{
    Error, Finding, Line, Origin, Point, Quad, Rect, Size, Transcript, Turn, Word,
};
