//! Picture files: page metadata from their headers, and pixels on demand.
//!
//! Owns the image codecs. Every page is decoded when it is rendered, and only after its pixels and bytes were checked
//! against the limits. Alpha is blended over white, EXIF orientation is applied.

#[cfg(test)]
mod fuzz;
mod header;
mod palette;
mod single;
mod tiff;

use lector_core::Size;
use lector_pixels::{Filter, SIDE_MAX, resize_into};

use crate::faults::Refusal;
use crate::kind::Kind;
use crate::shared::Mapping;
use crate::wire::{Limits, PageFacts};

/// Output of a decoder: packed RGB, upright.
pub(crate) struct Rgb {
    pub size: Size,
    pub bytes: Vec<u8>,
}

pub(crate) struct Document {
    bytes: Mapping,
    kind: Kind,
    budget: Budget,
    pages: Vec<RasterPage>,
}

/// One picture of a file.
#[derive(Clone, Copy, Debug)]
struct RasterPage {
    /// Upright size.
    size: Size,
    dpi: f32,
    /// Position in the file: the number of its directory in a TIFF, else 0.
    place: u32,
}

/// Limits of decoding.
#[derive(Clone, Copy, Debug)]
struct Budget {
    pixels_max: u64,
    memory_bytes: u64,
}

impl Budget {
    /// Checks that a picture of this size may be decoded.
    fn check_pixels(self, size: Size) -> Result<(), Refusal> {
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
    fn check_memory(self, decoded_bytes: u64, size: Size) -> Result<(), Refusal> {
        let needed = decoded_bytes.saturating_mul(2).saturating_add(size.pixels().saturating_mul(3));
        if needed > self.memory_bytes {
            let detail = format!("decoding takes {needed} bytes, {} are allowed", self.memory_bytes);
            return Err(Refusal::MemoryExceeded { detail });
        }
        Ok(())
    }
}

impl Document {
    pub(crate) fn open(
        bytes: Mapping,
        kind: Kind,
        limits: Limits,
        memory_bytes: u64,
    ) -> Result<Self, Refusal> {
        let budget = Budget { pixels_max: limits.image_pixels_max, memory_bytes };
        let pages = match kind {
            Kind::Tiff => tiff::pages(bytes.bytes(), budget, limits.pages_max)?,
            _ => vec![single::page(bytes.bytes(), kind, budget)?],
        };
        Ok(Self { bytes, kind, budget, pages })
    }

    pub(crate) fn pages(&self) -> u32 {
        u32::try_from(self.pages.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn facts(&self, index: u32) -> Result<PageFacts, Refusal> {
        self.page(index).map(|page| PageFacts::Raster { size: page.size, dpi: page.dpi })
    }

    /// Renders the page into `rgb`, which holds exactly `size` pixels.
    pub(crate) fn render(&self, index: u32, size: Size, rgb: &mut [u8]) -> Result<(), Refusal> {
        let page = self.page(index)?;
        let picture = match self.kind {
            Kind::Tiff => tiff::decode(self.bytes.bytes(), page.place, self.budget)?,
            kind => single::decode(self.bytes.bytes(), kind, self.budget)?,
        };
        if picture.size == size && picture.bytes.len() == rgb.len() {
            rgb.copy_from_slice(&picture.bytes);
            return Ok(());
        }
        // Catmull-Rom keeps strokes sharp when growing and averages when shrinking.
        resize_into(&picture.bytes, picture.size, rgb, size, Filter::Cubic)
            .map_err(|error| Refusal::Internal { detail: format!("resizing a picture: {error}") })
    }

    fn page(&self, index: u32) -> Result<RasterPage, Refusal> {
        let place = usize::try_from(index).ok();
        let page = place.and_then(|place| self.pages.get(place)).copied();
        page.ok_or(Refusal::PageOutOfRange { index, pages: self.pages() })
    }
}

/// Blends `value` over white; an `alpha` of 255 is opaque.
fn over_white(value: u8, alpha: u8) -> u8 {
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
