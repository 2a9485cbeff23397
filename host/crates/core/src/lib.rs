//! The domain types of Lector and the interfaces between its crates.
//!
//! Owns geometry, text, tensors, images, faults, budgets, the port traits that `inference` and `document` implement and
//! `runtime` calls, the pure decisions of the lanes ([`batching`], [`fair`]), the predicted cost of a page ([`cost`])
//! and the schemas of guests' own options ([`options`]). Contains no engine, no sandbox, no transport and no async
//! runtime. Every other crate of the host depends on this one; it depends on none of them.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod batching;
pub mod budget;
pub mod call;
pub mod clock;
pub mod compose;
mod composition;
pub mod cost;
mod declared;
pub mod document;
mod error_chain;
pub mod fair;
pub mod fault;
pub mod geometry;
pub mod id;
pub mod image;
mod json;
mod keyed_limit;
pub mod model;
pub mod options;
pub mod port;
mod sync;
pub mod tensor;
pub mod text;

pub use budget::Budget;
pub use call::{
    CallCtx, ConfigError, GuestLogLevel, GuestLogRecord, GuestLogSink, HostMemory, PageObserver, PageRequest,
    PageRun, PipelineInfo, TextLayerPolicy, Timing, WrappedPipeline,
};
pub use clock::Clock;
pub use compose::{Composed, PageText, PdfStandard, WordText};
pub use declared::{Batching, Priority};
pub use document::{BlockView, DocumentResult, DocumentView, PageResult, PageView};
pub use error_chain::error_chain;
pub use fault::{Blame, Fault, Kind};
pub use geometry::{Point, Quad, Rect, Rotation, Size};
pub use id::{DeploymentName, ModelName, RequestId, TenantName};
pub use image::{Image, PixelFormat};
pub use json::{check_json, json_depth, with_member};
pub use keyed_limit::{KeyedLimit, KeyedPlace};
pub use model::ModelInfo;
pub use options::OptionsSchema;
pub use port::{Documents, Engines, OpenDocument, PageSource};
pub use tensor::{Dtype, Tensor, TensorData};
pub use text::{
    Block, BlockKind, Cell, Direction, Finding, Line, LineSource, SharedTranscript, Summary, Table,
    TextLayer, TextSpan, Transcript, Word,
};
