//! The page that a guest was called for. Knows nothing of what is on it. Called by guests.

use crate::host;
use crate::{Error, Image, PageKind, Size, TextLayer};

/// Points in an inch.
const POINTS_PER_INCH: f32 = 72.0;

/// One page of the document. The host renders it only when it is asked to.
pub struct Page(pub(crate) host::Page);

impl Page {
    /// Position in the document, from 0.
    pub fn index(&self) -> u32 {
        self.0.index()
    }

    /// What it is made of.
    pub fn kind(&self) -> PageKind {
        self.0.kind()
    }

    /// Width and height in points (1/72 inch) as displayed.
    pub fn size_pt(&self) -> (f32, f32) {
        self.0.size_pt()
    }

    /// Resolution of the picture of a raster page (nominal where the file states none); none for a PDF page.
    pub fn native_dpi(&self) -> Option<f32> {
        self.0.native_dpi()
    }

    /// Most pixels that one [`Page::render`] may give.
    pub fn pixels_max(&self) -> u64 {
        self.0.pixels_max()
    }

    /// The embedded text; empty for a raster page.
    ///
    /// # Errors
    /// `Unreadable` where the page's content cannot be parsed, `Failed` where the worker that reads it died.
    pub async fn text_layer(&self) -> Result<TextLayer, Error> {
        self.0.text_layer().await
    }

    /// The page as pixels, at `dpi` dots per inch.
    ///
    /// # Errors
    /// `TooLarge` above [`Page::pixels_max`], `Invalid` for a resolution that is no positive number,
    /// `Unreadable` and `Failed` as [`Page::text_layer`].
    pub async fn render(&self, dpi: f32) -> Result<Image, Error> {
        self.0.render(dpi).await.map(Image)
    }

    /// Returns another handle to the same page, for `inner::recognize` (feature `wrapper`).
    pub fn share(&self) -> Self {
        Self(self.0.share())
    }

    /// The size that a rendering at `dpi` will have, give or take a pixel.
    pub fn size_at(&self, dpi: f32) -> Size {
        let (width, height) = self.size_pt();
        let pixels = |points: f32| (points / POINTS_PER_INCH * dpi).round().max(1.0) as u32;
        Size { width: pixels(width), height: pixels(height) }
    }
}
