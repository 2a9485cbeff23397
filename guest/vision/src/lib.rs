//! Document image analysis: from probability maps and label indices to lines of text in reading order.
//!
//! Owns the algorithms between a guest's model runs. Knows no WIT, no host and no model file, has no clock, no
//! threads and no environment, so that it runs the same natively and as `wasm32-unknown-unknown`. The guests under
//! `guest/components` call it, in about this order:
//!
//! 1. [`textlayer`]: is the embedded text real, what is left to read from pixels;
//! 2. [`detect`]: input size, probability map to text boxes, whether to look again at a higher resolution;
//! 3. [`orientation`]: which way up the page and its lines are;
//! 4. [`crop`]: the pieces of the page that a recognizer gets; [`batch`]: how they share its runs;
//! 5. [`ctc`]: label indices to text and words, pieces joined again;
//! 6. [`rules`]: lines drawn between the cells of forms and tables; [`layout`]: reading order, printed lines, blocks.
//!
//! Loops over pixels handle 64 or more of them per turn: in wasm an epoch check sits on every loop back-edge.
#![warn(missing_docs)]

pub mod batch;
pub mod crop;
pub mod ctc;
pub mod detect;
pub mod geometry;
pub mod layout;
pub mod orientation;
pub mod rules;
pub mod textlayer;
