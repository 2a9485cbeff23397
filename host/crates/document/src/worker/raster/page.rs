//! What the decoders of `single` and `tiff` have in common: their output, its limits, alpha over white.

use lector_core::Size;
use lector_pixels::SIDE_MAX;

use crate::faults::Refusal;

/// Output of a decoder: packed RGB, upright.
pub(in crate::worker) struct Rgb {
    pub size: Size,
    pub bytes: Vec<u8>,
}

/// One picture of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct RasterPage {
    /// Upright size.
    pub size: Size,
    pub dpi: f32,
    /// Position in the file: the number of its directory in a TIFF, else 0.
    pub place: u32,
}

/// Limits of decoding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub pixels_max: u64,
    pub memory_bytes: u64,
}

impl Budget {
    /// Checks that a picture of this size may be decoded.
    pub(super) fn check_pixels(self, size: Size) -> Result<(), Refusal> {
        if size.pixels() == 0 {
            return Err(Refusal::ImageInvalid { detail: "a picture without pixels".into() });
        }
        let Size { width, height } = size;
        // No image operation makes a longer side: such a picture could be decoded, and not read.
        if width.max(height) > SIDE_MAX {
            return Err(Refusal::ImageTooLong { width, height, side_max: SIDE_MAX });
        }
        if size.pixels() > self.pixels_max {
            return Err(Refusal::ImageTooLarge { width, height, pixels_max: self.pixels_max });
        }
        Ok(())
    }

    /// Checks that the memory limit allows `decoded_bytes` of codec output, a working copy of them, and the RGB pixels.
    pub(super) fn check_memory(self, decoded_bytes: u64, size: Size) -> Result<(), Refusal> {
        let needed = decoded_bytes.saturating_mul(2).saturating_add(size.pixels().saturating_mul(3));
        if needed > self.memory_bytes {
            let detail = format!("decoding takes {needed} bytes, {} are allowed", self.memory_bytes);
            return Err(Refusal::MemoryExceeded { detail });
        }
        Ok(())
    }
}

/// Blends `value` over white; an `alpha` of 255 is opaque.
pub(super) fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    // At most 255 by construction; + 127 rounds.
    u8::try_from((value * alpha + 255 * (255 - alpha) + 127) / 255).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn alpha_is_laid_over_white() {
        assert_eq!(over_white(0, 255), 0);
        assert_eq!(over_white(10, 0), 255);
        assert_eq!(over_white(255, 128), 255);
        assert_eq!(over_white(0, 128), 127);
    }

    #[test]
    fn a_picture_is_refused_before_it_is_decoded() {
        let budget = Budget { pixels_max: 100, memory_bytes: 1000 };
        let size = |width, height| Size { width, height };
        assert_eq!(budget.check_pixels(size(10, 10)), Ok(()));
        assert_eq!(budget.check_pixels(size(10, 11)).unwrap_err().code(), "image_too_large");
        let wide = Budget { pixels_max: u64::MAX, ..budget };
        assert!(wide.check_pixels(size(1, SIDE_MAX)).is_ok());
        for long in [size(1, 100_000_000), size(SIDE_MAX + 1, 1)] {
            assert_eq!(wide.check_pixels(long).unwrap_err().code(), "image_too_large");
        }
        assert_eq!(budget.check_pixels(size(10, 0)).unwrap_err().code(), "image_invalid");
        assert_eq!(budget.check_memory(300, size(10, 10)), Ok(()));
        assert_eq!(budget.check_memory(400, size(10, 10)).unwrap_err().code(), "document_memory_exceeded");
    }
}
