//! Fake pages: a picture at some resolution and a text layer. Used by tests.

use std::cell::Cell;
use std::rc::Rc;

use crate::{PageKind, Size, TextLayer};

use super::pixels::Pixels;

/// A fake page. Clones share the count of renderings.
#[derive(Clone)]
pub struct FakePage {
    pub(crate) picture: Rc<Pixels>,
    pub(crate) kind: PageKind,
    pub(crate) dpi: f32,
    pub(crate) index: u32,
    pub(crate) pixels_max: u64,
    pub(crate) layer: TextLayer,
    pub(crate) renders: Rc<Cell<u32>>,
}

impl FakePage {
    /// Makes a raster page of that picture, at a nominal 200 dpi.
    pub fn raster(picture: Pixels) -> Self {
        Self {
            picture: Rc::new(picture),
            kind: PageKind::Raster,
            dpi: 200.0,
            index: 0,
            pixels_max: 40_000_000,
            layer: TextLayer { spans: Vec::new(), pictures: Vec::new(), unmapped: 0, rules: Vec::new() },
            renders: Rc::default(),
        }
    }

    /// Makes a white raster page.
    pub fn white(width: u32, height: u32) -> Self {
        Self::raster(Pixels::white(Size { width, height }))
    }

    /// Makes a PDF page that looks like `picture` when it is rendered at `dpi`, with embedded text.
    pub fn pdf(picture: Pixels, dpi: f32, layer: TextLayer) -> Self {
        Self { kind: PageKind::Pdf, dpi, layer, ..Self::raster(picture) }
    }

    /// Returns the page with another resolution.
    #[must_use]
    pub fn dpi(mut self, dpi: f32) -> Self {
        self.dpi = dpi;
        self
    }

    /// Returns the page with another position in the document.
    #[must_use]
    pub fn index(mut self, index: u32) -> Self {
        self.index = index;
        self
    }

    /// Returns the page with another limit on renderings.
    #[must_use]
    pub fn pixels_max(mut self, pixels: u64) -> Self {
        self.pixels_max = pixels;
        self
    }

    /// Returns the number of renderings.
    pub fn renders(&self) -> u32 {
        self.renders.get()
    }

    /// Returns width and height in points as displayed.
    pub(crate) fn size_pt(&self) -> (f32, f32) {
        let Size { width, height } = self.picture.size();
        (width as f32 * 72.0 / self.dpi, height as f32 * 72.0 / self.dpi)
    }
}
