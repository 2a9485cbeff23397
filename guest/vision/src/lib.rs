//! Document image analysis: from probability maps and label indices to lines of text in reading order.
//!
//! Owns the algorithms between a guest's model runs. Independent of WIT, host and model files; has no clock, threads or
//! environment, so that it runs the same natively and as `wasm32-unknown-unknown`. The guests under `guest/components`
//! use it in about this order:
//!
//! 1. [`textlayer`]: decides whether the embedded text is real, and which regions are left to read from pixels;
//! 2. [`detect`]: input size, probability map to text boxes, decision on a second pass at a higher resolution;
//! 3. [`orientation`]: orientation of the page and of its lines;
//! 4. [`crop`]: the pieces of the page for the recognizer; [`batch`]: their batches;
//! 5. [`ctc`]: label indices to text and words, joining of pieces;
//! 6. [`rules`]: lines drawn between the cells of forms and tables; [`bidi`]: the direction of the page and of its lines;
//!    [`layout`]: reading order, printed lines, blocks;
//! 7. [`stamp`]: colored ink over print;
//! 8. [`structure`]: roles of blocks, headings, lists, tables.
//!
//! Loops over pixels handle at least 64 pixels per iteration: in wasm, every loop back-edge has an epoch check.
#![warn(missing_docs)]

pub mod batch;
pub mod bidi;
pub mod crop;
pub mod ctc;
pub mod detect;
pub mod geometry;
pub mod layout;
pub mod orientation;
mod rows;
pub mod rules;
pub mod script;
pub mod stamp;
pub mod statistics;
mod strokes;
pub mod structure;
pub mod textlayer;
