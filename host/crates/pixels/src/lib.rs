//! Pixel arithmetic on `core::Image` and `core::Tensor`: resize, rotate, crop, normalize, stack, reduce.
//!
//! Owns the image operations that guests call through WIT, as plain synchronous functions. Contains no guests, handle
//! tables, threads or budgets. Its own limits only prevent huge allocations; `runtime`, which calls these functions on
//! its blocking pool, limits the memory of one call. Render workers resize pictures with the same resampler.
//!
//! Coordinates are continuous: pixel `(i, j)` covers `[i, i + 1) x [j, j + 1)` and its center is at
//! `(i + 0.5, j + 0.5)`. A quad around a whole image therefore is `(0, 0) .. (width, height)`.
#![warn(missing_docs)]

mod convert;
mod crop;
mod encode;
mod error;
#[cfg(test)]
mod fuzz;
mod perspective;
mod reduce;
mod resize;
mod rotate;
mod tensor;

pub use convert::convert;
pub use crop::crop;
pub use encode::{Encoding, encode};
pub use error::PixelsError;
pub use reduce::{argmax, quantize};
pub use resize::{Filter, resize, resize_into};
pub use rotate::rotate;
pub use tensor::{Channels, Crop, Normalization, stack, to_tensor};

use lector_core::Size;

/// Largest number of pixels of one result (800 MB of RGB): far above every budget, far below an allocation failure.
pub const PIXELS_MAX: u64 = 1 << 28;
/// Longest side of a result.
pub const SIDE_MAX: u32 = 1 << 16;

/// Rejects extents that are 0 or above the limits.
fn check_size(size: Size) -> Result<(), PixelsError> {
    if size.width == 0 || size.height == 0 {
        return Err(PixelsError::EmptySize { width: size.width, height: size.height });
    }
    if size.width > SIDE_MAX || size.height > SIDE_MAX || size.pixels() > PIXELS_MAX {
        return Err(PixelsError::TooLarge { width: size.width.into(), height: size.height.into() });
    }
    Ok(())
}
