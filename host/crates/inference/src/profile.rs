//! The shapes for which a TensorRT engine is built: the lane's own bounds, so that no run is outside the profile (such
//! a run would rebuild the engine during a request).

use std::fmt;

use crate::catalog::{ModelEntry, Task};

/// Minimum, optimum and maximum shape of the one input: rows, channels, height, width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) min: [u32; 4],
    pub(crate) opt: [u32; 4],
    pub(crate) max: [u32; 4],
}

/// Typical side of pages and lines, in pixels.
const USUAL_SIDE: u32 = 960;
const USUAL_WIDTH: u32 = 640;
/// Rows of a typical batch on a GPU.
const USUAL_ROWS: u32 = 8;

impl Profile {
    /// Returns the profile of a lane. Any run of the lane has at least one row, and at most the height and width of the
    /// profile. The rows are reduced where the largest shape would have more pixels than a run may: TensorRT reserves
    /// memory for that shape. A run with more rows than the profile runs in parts ([`crate::engine::InParts`]).
    pub(crate) fn of(entry: &ModelEntry, run_pixels_max: u64) -> Self {
        let (engine, spec) = (&entry.engine, &entry.preprocess);
        let usual_rows = if entry.task == Task::Detection { 1 } else { USUAL_ROWS };
        let extent =
            |fixed: Option<u32>, steps: Option<crate::catalog::Steps>, usual: u32| match (fixed, steps) {
                (Some(fixed), _) => [fixed; 3],
                (None, Some(steps)) => [steps.step, usual.min(steps.max), steps.max],
                (None, None) => [usual; 3],
            };
        let height = extent(spec.height, engine.side, USUAL_SIDE);
        let width = extent(spec.width, engine.width.or(engine.side), USUAL_WIDTH.max(height[1]));
        let pixels = u64::from(height[2]) * u64::from(width[2]);
        let rows = u32::try_from(run_pixels_max / pixels.max(1)).unwrap_or(u32::MAX);
        let rows = rows.clamp(1, engine.max_batch);
        let shape = |at: usize, rows: u32| {
            let pick = |extents: [u32; 3]| extents.get(at).copied().unwrap_or(USUAL_SIDE);
            [rows, 3, pick(height), pick(width)]
        };
        Self { min: shape(0, 1), opt: shape(1, usual_rows.min(rows)), max: shape(2, rows) }
    }

    /// Returns a shape in the syntax of the provider's options.
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
        write!(f, "{} to {}, optimum {}", Extents(self.min), Extents(self.max), Extents(self.opt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{described, detector};

    #[test]
    fn rows_give_way_where_the_largest_shape_has_too_many_pixels() {
        let check = |entry: &ModelEntry, pixels: u64, expect: &str| {
            assert_eq!(Profile::of(entry, pixels).to_string(), expect, "{pixels}");
        };
        // A page of 4096 x 4096 alone has more pixels than a run may: one row.
        check(&detector(), 6_000_000, "1x3x32x32 to 1x3x4096x4096, optimum 1x3x960x960");
        check(&detector(), 40_000_000, "1x3x32x32 to 2x3x4096x4096, optimum 1x3x960x960");
        check(&detector(), u64::MAX, "1x3x32x32 to 4x3x4096x4096, optimum 1x3x960x960");
        check(&described(), 6_000_000, "1x3x48x32 to 4x3x48x320, optimum 4x3x48x320");
        check(&described(), 48 * 320 * 3, "1x3x48x32 to 3x3x48x320, optimum 3x3x48x320");
        check(&described(), 1, "1x3x48x32 to 1x3x48x320, optimum 1x3x48x320");
    }
}
