//! Conversion of one image, or of a stack of crops, to an input tensor of a model.

use fast_image_resize::Resizer;
use lector_core::{Image, PixelFormat, Quad, Size, Tensor, TensorData};

use crate::check_size;
use crate::crop::crop_with;
use crate::error::PixelsError;

/// Order of the color channels in a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red: the order of models trained with OpenCV.
    Bgr,
}

/// Normalization `(byte / 255 - mean) / std`; each triple is in the order of `channels`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Mean to subtract, in units of full scale.
    pub mean: [f32; 3],
    /// Standard deviation to divide by, in units of full scale.
    pub std: [f32; 3],
    /// Channel order of the tensor.
    pub channels: Channels,
}

/// A part of an image to straighten.
#[derive(Clone, Debug)]
pub struct Crop {
    /// The image.
    pub image: Image,
    /// Corners of the part, in reading order.
    pub quad: Quad,
    /// Columns of the row in the stack that it fills.
    pub width: u32,
}

/// For each plane of the tensor: the byte of a pixel that it is made from, and the number for each byte value.
struct Tables {
    byte: [usize; 3],
    number: [[f32; 256]; 3],
}

impl Tables {
    fn new(normalization: &Normalization) -> Result<Self, PixelsError> {
        let Normalization { mean, std, channels } = normalization;
        let bad = |v: &f32| !v.is_finite();
        if mean.iter().any(bad) || std.iter().any(|v| bad(v) || *v == 0.0) {
            return Err(PixelsError::NormalizationInvalid);
        }
        let mut number = [[0f32; 256]; 3];
        for ((table, mean), std) in number.iter_mut().zip(mean).zip(std) {
            for (byte, out) in table.iter_mut().enumerate() {
                *out = (byte as f32 / 255.0 - mean) / std;
            }
        }
        let byte = match channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
        };
        Ok(Self { byte, number })
    }

    /// Fills the planes of an image, one per channel, with `row` numbers per row; the image fills its own columns.
    fn fill(&self, image: &Image, row: usize, planes: &mut [f32]) {
        match image.format() {
            PixelFormat::Rgb8 => self.fill_rgb(image, row, planes),
            PixelFormat::Gray8 => self.fill_gray(image, row, planes),
        }
    }

    fn fill_gray(&self, image: &Image, row: usize, plane: &mut [f32]) {
        let [table, ..] = &self.number;
        let rows = image.samples().chunks_exact(image.size().width as usize).zip(plane.chunks_mut(row));
        for (pixels, numbers) in rows {
            for (pixel, number) in pixels.iter().zip(numbers) {
                *number = table[usize::from(*pixel)];
            }
        }
    }

    /// Fills three planes with one table lookup per byte, in one pass over the pixels: the pixels are read once and the
    /// loop has no branch (a byte index is always within a table of 256).
    fn fill_rgb(&self, image: &Image, row: usize, planes: &mut [f32]) {
        let width = image.size().width as usize;
        let plane = planes.len() / 3;
        let (first, rest) = planes.split_at_mut(plane);
        let (second, third) = rest.split_at_mut(plane);
        let [a, b, c] = self.byte;
        let [ta, tb, tc] = &self.number;
        let rows = first.chunks_mut(row).zip(second.chunks_mut(row)).zip(third.chunks_mut(row));
        for (pixels, ((x, y), z)) in image.samples().chunks_exact(width * 3).zip(rows) {
            let numbers = x.iter_mut().zip(y.iter_mut()).zip(z.iter_mut());
            for (pixel, ((x, y), z)) in pixels.chunks_exact(3).zip(numbers) {
                *x = ta[usize::from(pixel[a])];
                *y = tb[usize::from(pixel[b])];
                *z = tc[usize::from(pixel[c])];
            }
        }
    }
}

/// Returns the whole image as `f32[1, channels, height, width]`.
pub fn to_tensor(image: &Image, normalization: &Normalization) -> Result<Tensor, PixelsError> {
    let tables = Tables::new(normalization)?;
    let size = image.size();
    check_size(size)?;
    let (width, height) = (size.width as usize, size.height as usize);
    let channels = image.format().bytes();
    let mut numbers = vec![0f32; width * height * channels];
    tables.fill(image, width, &mut numbers);
    made(&[1, channels, height, width], numbers)
}

/// Straightens parts of images of one format and stacks them into `f32[crops, channels, size.height, size.width]`;
/// columns beyond the width of a part are 0.
pub fn stack(crops: &[Crop], size: Size, normalization: &Normalization) -> Result<Tensor, PixelsError> {
    let tables = Tables::new(normalization)?;
    check_size(size)?;
    let format = crops.first().ok_or(PixelsError::StackEmpty)?.image.format();
    let (width, height) = (size.width as usize, size.height as usize);
    // All arguments are checked before any allocation.
    for (index, crop) in crops.iter().enumerate() {
        if crop.width == 0 || crop.width > size.width {
            return Err(PixelsError::CropWidth { index, width: crop.width, row: size.width });
        }
        if crop.image.format() != format {
            return Err(PixelsError::StackFormats { index });
        }
    }
    check_stack(crops.len(), size)?;
    let item = width * height * format.bytes();
    let mut numbers = vec![0f32; item * crops.len()];
    let mut resizer = Resizer::new();
    for (index, (crop, planes)) in crops.iter().zip(numbers.chunks_exact_mut(item)).enumerate() {
        let own = Size { width: crop.width, height: size.height };
        let piece = crop_with(&mut resizer, &crop.image, &crop.quad, own)
            .map_err(|cause| PixelsError::Crop { index, cause: Box::new(cause) })?;
        tables.fill(&piece, width, planes);
    }
    made(&[crops.len(), format.bytes(), height, width], numbers)
}

fn check_stack(crops: usize, size: Size) -> Result<(), PixelsError> {
    let height = (crops as u64).saturating_mul(size.height.into());
    match height.checked_mul(size.width.into()) {
        Some(pixels) if pixels <= crate::PIXELS_MAX => Ok(()),
        _ => Err(PixelsError::TooLarge { width: size.width.into(), height }),
    }
}

fn made(shape: &[usize], numbers: Vec<f32>) -> Result<Tensor, PixelsError> {
    Tensor::new(shape, TensorData::F32(numbers))
        .ok_or_else(|| PixelsError::Resample("wrong number of elements".into()))
}
