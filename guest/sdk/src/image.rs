//! Images in the host, and the operations of the host on them. Independent of models and text.

use crate::host;
use crate::{Channels, Encoding, Error, Filter, Normalization, PixelFormat, Quad, Rotation, Size, Tensor};

/// An image in the host, 8 bits a channel. It is immutable; every operation makes a new image. Dropping it returns its
/// bytes to the page budget.
pub struct Image(pub(crate) host::Image);

/// A piece of an image to be straightened.
#[derive(Clone, Copy)]
pub struct Crop<'a> {
    /// The image.
    pub image: &'a Image,
    /// The corners; outside of the image the nearest edge pixel is used.
    pub quad: Quad,
    /// Columns of the result, 1 or more; the rest of the row is padding.
    pub width: u32,
}

/// Pieces of one or several images, to be stacked into one tensor.
pub struct Crops<'a> {
    /// The pieces; their images have the same format.
    pub crops: Vec<Crop<'a>>,
    /// Columns and rows of every row of the batch.
    pub size: Size,
    /// Conversion from bytes to numbers.
    pub normalization: Normalization,
}

impl Crops<'_> {
    /// Straightens each piece to the same number of rows and stacks them into `f32[crops, channels, height, width]`: 3
    /// channels for rgb8, 1 for gray8. Columns beyond a piece's own width hold 0.
    ///
    /// # Errors
    ///
    /// `Invalid` without a crop, for a crop wider than the tensor, or for images of different formats; `TooLarge` over
    /// the page budget.
    pub async fn stack(self) -> Result<Tensor, Error> {
        let crops = self.crops.iter().map(|crop| (&crop.image.0, crop.quad, crop.width)).collect();
        host::stack(crops, self.size, self.normalization).await.map(Tensor)
    }
}

impl Image {
    /// Makes an image from bytes: rows from the top, pixels from the left, without padding.
    ///
    /// # Errors
    ///
    /// `Invalid` if the number of bytes does not fit the size, `TooLarge` over the page budget.
    pub fn from_bytes(format: PixelFormat, size: Size, bytes: &[u8]) -> Result<Self, Error> {
        host::image_from_bytes(format, size, bytes).map(Self)
    }

    /// Makes an image from `width * height * 3` bytes, rows from the top, red first.
    ///
    /// # Errors
    /// As [`Image::from_bytes`].
    pub fn from_rgb(size: Size, rgb: &[u8]) -> Result<Self, Error> {
        Self::from_bytes(PixelFormat::Rgb8, size, rgb)
    }

    /// Returns the pixel format.
    pub fn format(&self) -> PixelFormat {
        self.0.format()
    }

    /// Returns columns and rows.
    pub fn size(&self) -> Size {
        self.0.size()
    }

    /// Copies a rectangle of pixels into the guest, rows from the top: three bytes per pixel, red first, or one byte
    /// for a gray image.
    ///
    /// # Errors
    ///
    /// `Invalid` if the rectangle exceeds the image.
    pub fn read(&self, x: u32, y: u32, size: Size) -> Result<Vec<u8>, Error> {
        self.0.read(x, y, size)
    }

    /// Encodes the whole image as a file.
    ///
    /// # Errors
    /// `Invalid` for a JPEG quality outside of 1 to 100, `TooLarge` over the page budget.
    pub async fn encode(&self, encoding: Encoding) -> Result<Vec<u8>, Error> {
        host::image_encode(&self.0, encoding).await
    }

    /// Converts the pixels to `format`.
    ///
    /// # Errors
    /// `TooLarge` over the page budget.
    pub async fn convert(&self, format: PixelFormat) -> Result<Self, Error> {
        host::image_convert(&self.0, format).await.map(Self)
    }

    /// Resamples the whole image to another size.
    ///
    /// # Errors
    /// `Invalid` for an empty size, `TooLarge` over the page budget.
    pub async fn resize(&self, size: Size, filter: Filter) -> Result<Self, Error> {
        host::image_resize(&self.0, size, filter).await.map(Self)
    }

    /// Rotates the whole image clockwise.
    ///
    /// # Errors
    /// `TooLarge` over the page budget.
    pub async fn rotate(&self, by: Rotation) -> Result<Self, Error> {
        host::image_rotate(&self.0, by).await.map(Self)
    }

    /// Straightens the piece inside `quad` by a perspective transform.
    ///
    /// # Errors
    /// `Invalid` for a quad without area or an empty size, `TooLarge` over the page budget.
    pub async fn crop(&self, quad: Quad, size: Size) -> Result<Self, Error> {
        host::image_crop(&self.0, quad, size).await.map(Self)
    }

    /// Converts the whole image to `f32[1, channels, height, width]`: 3 channels for rgb8, 1 for gray8.
    ///
    /// # Errors
    /// `Invalid` for a standard deviation of 0, `TooLarge` over the page budget.
    pub async fn to_tensor(&self, normalization: Normalization) -> Result<Tensor, Error> {
        host::to_tensor(&self.0, normalization).await.map(Tensor)
    }
}

/// `(byte / 255 - mean) / std`.
impl Normalization {
    /// `[-1, 1]`: mean and standard deviation 0.5 in every channel, as PaddleOCR's recognizers are trained.
    pub const fn half(channels: Channels) -> Self {
        Self { mean: (0.5, 0.5, 0.5), std: (0.5, 0.5, 0.5), channels }
    }

    /// The statistics of ImageNet, applied to the first, second and third channel of the tensor in this
    /// order. PaddleOCR's detectors apply them to BGR without reordering.
    pub const fn image_net(channels: Channels) -> Self {
        Self { mean: (0.485, 0.456, 0.406), std: (0.229, 0.224, 0.225), channels }
    }
}
