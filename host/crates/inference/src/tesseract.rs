//! Tesseract's LSTM recognizer, for the scripts that no ONNX model of the catalog reads.
//!
//! Owns the interface of libtesseract ([`api`], [`reader`]), the worker process in which it runs ([`worker`]), and the
//! engine that a lane sees ([`engine`]). libtesseract gets raw gray pixels only, never a file, and never runs in the
//! server's process: a worker loads it with the data of its languages, enters the sandbox, and reads lines.

mod api;
mod engine;
mod installed;
mod pixels;
mod reader;
mod wire;
mod worker;

pub(crate) use engine::{TesseractEngine, ports};
pub use installed::{TesseractConfig, languages};
pub use worker::worker_main;
