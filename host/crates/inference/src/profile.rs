//! The shapes for which a TensorRT engine is built: the lane's own bounds, so that no run ever leaves them (a shape outside
//! of a profile would build the engine again, in the middle of a request).

use std::fmt;

use crate::catalogue::{ModelEntry, Task};

/// Smallest, usual and largest shape of the one input: rows, channels, height, width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) min: [u32; 4],
    pub(crate) opt: [u32; 4],
    pub(crate) max: [u32; 4],
}

/// What pages and lines mostly are, in pixels.
const USUAL_SIDE: u32 = 960;
const USUAL_WIDTH: u32 = 640;
/// Rows of the usual run of a batch on a GPU.
const USUAL_ROWS: u32 = 8;

impl Profile {
    pub(crate) fn of(entry: &ModelEntry) -> Self {
        let (engine, spec) = (&entry.engine, &entry.preprocess);
        let rows = engine.max_batch;
        let usual_rows = if entry.task == Task::Detection { 1 } else { rows.min(USUAL_ROWS) };
        let extent =
            |fixed: Option<u32>, steps: Option<crate::catalogue::Steps>, usual: u32| match (fixed, steps) {
                (Some(fixed), _) => [fixed; 3],
                (None, Some(steps)) => [steps.step, usual.min(steps.max), steps.max],
                (None, None) => [usual; 3],
            };
        let height = extent(spec.height, engine.side, USUAL_SIDE);
        let width = extent(spec.width, engine.width.or(engine.side), USUAL_WIDTH.max(height[1]));
        let shape = |at: usize, rows: u32| {
            let pick = |extents: [u32; 3]| extents.get(at).copied().unwrap_or(USUAL_SIDE);
            [rows, 3, pick(height), pick(width)]
        };
        Self { min: shape(0, 1), opt: shape(1, usual_rows), max: shape(2, rows) }
    }

    /// A shape as the provider's options take it.
    pub(crate) fn text(input: &str, shape: [u32; 4]) -> String {
        format!("{input}:{}", Extents(shape))
    }
}

struct Extents([u32; 4]);

impl fmt::Display for Extents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rows, channels, height, width] = self.0;
        write!(f, "{rows}x{channels}x{height}x{width}")
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}, mostly {}", Extents(self.min), Extents(self.max), Extents(self.opt))
    }
}
