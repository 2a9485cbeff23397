//! Images that live in the host, and the operations that the host does on them. Knows nothing of models or
//! text. Called by guests.

use crate::host;
use crate::{Channels, Crop, Error, Filter, Normalisation, Quad, Size, Tensor, Turn};

/// An RGB image in the host, 8 bits a channel. It never changes; every operation makes a new one. Dropping
/// it gives its bytes back to the page's budget.
pub struct Image(pub(crate) host::Image);

/// Pieces of one image on their way into one tensor, for [`Image::stack`].
#[derive(Clone, Debug, PartialEq)]
pub struct Pieces {
    /// Corners of each piece and the columns that it takes.
    pub crops: Vec<Crop>,
    /// Columns and rows of every row of the batch.
    pub size: Size,
    /// From bytes to numbers.
    pub normalisation: Normalisation,
}

impl Image {
    /// An image from `width * height * 3` bytes, rows from the top, red first.
    ///
    /// # Errors
    /// `Invalid` where the number of bytes does not fit the size, `TooLarge` over the page budget.
    pub fn from_rgb(size: Size, rgb: &[u8]) -> Result<Self, Error> {
        host::image_from_rgb(size, rgb).map(Self)
    }

    /// Columns and rows.
    pub fn size(&self) -> Size {
        self.0.size()
    }

    /// Copies a rectangle of pixels into the guest: three bytes a pixel, rows from the top, red first.
    ///
    /// # Errors
    /// `Invalid` where the rectangle leaves the image.
    pub fn read(&self, x: u32, y: u32, size: Size) -> Result<Vec<u8>, Error> {
        self.0.read(x, y, size)
    }

    /// The whole image at another size.
    ///
    /// # Errors
    /// `Invalid` for an empty size, `TooLarge` over the page budget.
    pub async fn resize(&self, size: Size, filter: Filter) -> Result<Self, Error> {
        host::image_resize(&self.0, size, filter).await.map(Self)
    }

    /// The whole image, turned clockwise.
    ///
    /// # Errors
    /// `TooLarge` over the page budget.
    pub async fn rotate(&self, by: Turn) -> Result<Self, Error> {
        host::image_rotate(&self.0, by).await.map(Self)
    }

    /// The piece inside `quad`, straightened by a perspective transform.
    ///
    /// # Errors
    /// `Invalid` for a quad without area or an empty size, `TooLarge` over the page budget.
    pub async fn crop(&self, quad: Quad, size: Size) -> Result<Self, Error> {
        host::image_crop(&self.0, quad, size).await.map(Self)
    }

    /// The whole image as `f32[1, 3, height, width]`.
    ///
    /// # Errors
    /// `Invalid` for a standard deviation of 0, `TooLarge` over the page budget.
    pub async fn to_tensor(&self, normalisation: Normalisation) -> Result<Tensor, Error> {
        host::to_tensor(&self.0, normalisation).await.map(Tensor)
    }

    /// Pieces of the image, each straightened to the same number of rows, stacked into
    /// `f32[crops, 3, height, width]`. Columns beyond a piece's own width hold 0.
    ///
    /// # Errors
    /// `Invalid` without a crop or for one wider than the tensor, `TooLarge` over the page budget.
    pub async fn stack(&self, pieces: Pieces) -> Result<Tensor, Error> {
        host::stack(&self.0, pieces.crops, pieces.size, pieces.normalisation).await.map(Tensor)
    }
}

/// `(byte / 255 - mean) / std`.
impl Normalisation {
    /// `[-1, 1]`: mean and standard deviation 0.5 in every channel, as PaddleOCR's recognisers are trained.
    pub const fn half(channels: Channels) -> Self {
        Self { mean: (0.5, 0.5, 0.5), std: (0.5, 0.5, 0.5), channels }
    }

    /// The statistics of ImageNet, applied to the first, second and third channel of the tensor in this
    /// order. PaddleOCR's detectors apply them to BGR as they stand.
    pub const fn image_net(channels: Channels) -> Self {
        Self { mean: (0.485, 0.456, 0.406), std: (0.229, 0.224, 0.225), channels }
    }
}
