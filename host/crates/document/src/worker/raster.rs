//! Picture files: page metadata from their headers, and pixels on demand.
//!
//! Owns the image codecs. Every page is decoded when it is rendered, and only after its pixels and bytes were checked
//! against the limits. Alpha is blended over white, EXIF orientation is applied.

#[cfg(test)]
mod fuzz;
mod header;
mod page;
mod palette;
mod single;
mod tiff;

use lector_core::Size;
use lector_pixels::{Filter, resize_into};

use crate::faults::Refusal;
use crate::kind::Kind;
use crate::shared::Mapping;
use crate::wire::{Limits, PageFacts};
pub(super) use header::jpeg_segments;
pub(super) use page::Rgb as Pixels;
use page::{Budget, RasterPage};

pub(crate) struct Document {
    bytes: Mapping,
    kind: Kind,
    budget: Budget,
    pages: Vec<RasterPage>,
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
        let picture = decode(self.bytes.bytes(), self.kind, page, self.budget)?;
        if picture.size == size && picture.bytes.len() == rgb.len() {
            rgb.copy_from_slice(&picture.bytes);
            return Ok(());
        }
        // Catmull-Rom keeps strokes sharp when growing and averages when shrinking.
        resize_into(&picture.bytes, picture.size, rgb, size, Filter::Cubic)
            .map_err(|error| Refusal::Internal { detail: format!("resizing a picture: {error}") })
    }

    /// Returns the picture of a page, as its file contains it.
    pub(crate) fn picture(&self, index: u32) -> Result<Picture<'_>, Refusal> {
        let page = self.page(index)?;
        let bytes = self.bytes.bytes();
        let orientation = match self.kind {
            Kind::Tiff => 1,
            kind => single::orientation(bytes, kind)?,
        };
        Ok(Picture {
            size: page.size,
            dpi: page.dpi,
            kind: self.kind,
            bytes,
            orientation,
            page,
            budget: self.budget,
        })
    }

    fn page(&self, index: u32) -> Result<RasterPage, Refusal> {
        let place = usize::try_from(index).ok();
        let page = place.and_then(|place| self.pages.get(place)).copied();
        page.ok_or(Refusal::PageOutOfRange { index, pages: self.pages() })
    }
}

fn decode(bytes: &[u8], kind: Kind, page: RasterPage, budget: Budget) -> Result<Pixels, Refusal> {
    match kind {
        Kind::Tiff => tiff::decode(bytes, page.place, budget),
        kind => single::decode(bytes, kind, budget),
    }
}

/// A picture of a file, not decoded.
pub(crate) struct Picture<'a> {
    /// Upright size.
    pub(super) size: Size,
    pub(super) dpi: f32,
    pub(super) kind: Kind,
    /// The file.
    pub(super) bytes: &'a [u8],
    /// EXIF orientation of the only picture of a file, 1 to 8.
    pub(super) orientation: u8,
    page: RasterPage,
    budget: Budget,
}

impl Picture<'_> {
    /// Decodes the picture; the pixels are upright.
    pub(super) fn pixels(&self) -> Result<Pixels, Refusal> {
        decode(self.bytes, self.kind, self.page, self.budget)
    }
}
