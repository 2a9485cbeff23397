//! The page of a call. Independent of its content.

use crate::host;
use crate::{Error, Image, PageKind, Size, TextLayer};

/// Points in an inch.
const POINTS_PER_INCH: f32 = 72.0;

/// One page of the document. The host renders it only on request.
pub struct Page(pub(crate) host::Page);

impl Page {
    /// Returns the position in the document, from 0.
    pub fn index(&self) -> u32 {
        self.0.index()
    }

    /// Returns whether it is a PDF page or a raster page.
    pub fn kind(&self) -> PageKind {
        self.0.kind()
    }

    /// Returns width and height in points (1/72 inch) as displayed.
    pub fn size_pt(&self) -> (f32, f32) {
        self.0.size_pt()
    }

    /// Returns the resolution of the picture of a raster page (nominal if the file states none); `None` for a PDF page.
    pub fn native_dpi(&self) -> Option<f32> {
        self.0.native_dpi()
    }

    /// Returns the maximum number of pixels of one [`Page::render`].
    pub fn pixels_max(&self) -> u64 {
        self.0.pixels_max()
    }

    /// Returns the embedded text; empty for a raster page.
    ///
    /// # Errors
    ///
    /// `Unreadable` if the page's content cannot be parsed, `Failed` if the worker that reads it died.
    pub async fn text_layer(&self) -> Result<TextLayer, Error> {
        self.0.text_layer().await
    }

    /// Renders the page at `dpi` dots per inch.
    ///
    /// # Errors
    ///
    /// `TooLarge` above [`Page::pixels_max`], `Invalid` for a resolution that is not a positive number, `Unreadable`
    /// and `Failed` as [`Page::text_layer`].
    pub async fn render(&self, dpi: f32) -> Result<Image, Error> {
        self.0.render(dpi).await.map(Image)
    }

    /// Returns another handle to the same page, for `inner::recognize` (feature `wrapper`).
    pub fn share(&self) -> Self {
        Self(self.0.share())
    }

    /// Returns the size of a rendering at `dpi`, to within one pixel.
    pub fn size_at(&self, dpi: f32) -> Size {
        let (width, height) = self.size_pt();
        let pixels = |points: f32| (points / POINTS_PER_INCH * dpi).round().max(1.0) as u32;
        Size { width: pixels(width), height: pixels(height) }
    }
}
