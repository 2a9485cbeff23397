//! The SDK for authors of Lector guests.
//!
//! A guest is a tenant's OCR pipeline: it implements [`Pipeline`] and names it in one [`export!`] line. It requests a
//! [`Page`] from the host, renders it to an [`Image`], makes [`Tensor`]s, runs granted [`Model`]s (many at once: every
//! slow call is an `async fn`), and returns a [`Transcript`]. Pixels and tensors stay in the host; only handles cross,
//! and bytes only when a guest reads them.
//!
//! ```
//! use lector_sdk::{ConfigError, PipelineInfo, Error, Page, Pipeline, Request, Transcript};
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
//!     fn configure(_: &Settings) -> Result<PipelineInfo, ConfigError> {
//!         Ok(PipelineInfo::default())
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
//! Outside WebAssembly the same types use the fake host in `fake`, so that the logic of a guest is unit-tested like any
//! other Rust code.
#![warn(missing_docs)]

pub mod batching;
#[doc(hidden)]
pub mod bindings;
mod blocks;
pub mod budget;
mod error;
#[cfg(not(target_family = "wasm"))]
pub mod fake;
mod host;
mod image;
#[cfg(feature = "wrapper")]
pub mod inner;
mod log;
mod model;
#[cfg(feature = "options")]
pub mod options;
mod page;
mod pages;
mod pipeline;
mod places;
mod settings;
mod tensor;
mod text;

pub use image::{Crop, Crops, Image};
pub use log::{Level, Span, debug, error, info, log, span, warn};
pub use model::Model;
pub use page::Page;
pub use pages::Pages;
#[doc(hidden)]
pub use pipeline::Component;
pub use pipeline::{Pipeline, join_pages};
pub use tensor::{Element, Tensor};

pub use bindings::lector::image::images::{Channels, Encoding, Filter, Normalization, PixelFormat};
pub use bindings::lector::inference::models::{ModelInfo, Port};
pub use bindings::lector::inference::tensors::Dtype;
pub use bindings::lector::ocr::document::{PageKind, TextLayer, TextSpan};
pub use bindings::lector::ocr::model::{
    Block, BlockKind, Cell, Direction, Finding, Line, Source, Table, Transcript, Word,
};
pub use bindings::lector::ocr::pipeline_types::{
    BatchingConfig, ConfigError, PipelineInfo, Priority, Request, Summary, TextLayerPolicy,
};
pub use bindings::lector::types::errors::{Error, ErrorKind};
pub use bindings::lector::types::geometry::{Point, Quad, Rect, Rotation, Size};
