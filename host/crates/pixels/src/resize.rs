//! Resizing of an image, or of a rectangle of it.

use fast_image_resize::images::{Image as Target, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use lector_core::{Image, PixelFormat, Rect, Size};

use crate::check_size;
use crate::error::PixelsError;

/// Resampling filter. All except `Nearest` widen their support when shrinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// Linear interpolation (a triangle).
    Bilinear,
    /// Cubic interpolation (Catmull-Rom).
    Cubic,
    /// Windowed sinc over three lobes.
    Lanczos,
}

fn pixel_type(format: PixelFormat) -> PixelType {
    match format {
        PixelFormat::Rgb8 => PixelType::U8x3,
        PixelFormat::Gray8 => PixelType::U8,
    }
}

impl Filter {
    fn algorithm(self) -> ResizeAlg {
        match self {
            Filter::Nearest => ResizeAlg::Nearest,
            Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Filter::Cubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Filter::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
        }
    }
}

/// Resizes the whole image.
pub fn resize(image: &Image, size: Size, filter: Filter) -> Result<Image, PixelsError> {
    check_size(size)?;
    if size == image.size() {
        return Ok(image.clone());
    }
    let whole = Rect { x: 0.0, y: 0.0, width: image.size().width as f32, height: image.size().height as f32 };
    // The resampler processes the columns first, which needs `source columns x target rows` intermediate pixels. Where
    // that is more than both ends, the rows are processed first: one of the two orders never needs more than the larger
    // end.
    let between = u64::from(image.size().width) * u64::from(size.height);
    if between > image.size().pixels().max(size.pixels()) {
        let step = Size { width: size.width, height: image.size().height };
        let narrowed = resize_rect(&mut Resizer::new(), image, whole, step, filter)?;
        let whole = Rect { x: 0.0, y: 0.0, width: step.width as f32, height: step.height as f32 };
        return resize_rect(&mut Resizer::new(), &narrowed, whole, size, filter);
    }
    resize_rect(&mut Resizer::new(), image, whole, size, filter)
}

/// Resamples packed RGB rows into a buffer that the caller owns: shared memory, in the render workers. `source` holds
/// `from.pixels() * 3` bytes, `target` `to.pixels() * 3`.
pub fn resize_into(
    source: &[u8],
    from: Size,
    target: &mut [u8],
    to: Size,
    filter: Filter,
) -> Result<(), PixelsError> {
    check_size(to)?;
    let failed = |error: &dyn std::fmt::Display| PixelsError::Resample(error.to_string());
    let source = ImageRef::new(from.width, from.height, source, PixelType::U8x3).map_err(|e| failed(&e))?;
    let mut target =
        Target::from_slice_u8(to.width, to.height, target, PixelType::U8x3).map_err(|e| failed(&e))?;
    let options = ResizeOptions::new().resize_alg(filter.algorithm()).use_alpha(false);
    Resizer::new().resize(&source, &mut target, &options).map_err(|e| failed(&e))
}

/// Resizes the part of `image` inside `area` (which must lie within it) to `size`. Fractional edges are respected; the
/// filter reads beyond the area where the image continues, so that no seam is visible.
pub(crate) fn resize_rect(
    resizer: &mut Resizer,
    image: &Image,
    area: Rect,
    size: Size,
    filter: Filter,
) -> Result<Image, PixelsError> {
    check_size(size)?;
    let failed = |error: &dyn std::fmt::Display| PixelsError::Resample(error.to_string());
    let (columns, rows) = (image.size().width, image.size().height);
    let pixel = pixel_type(image.format());
    let source = ImageRef::new(columns, rows, image.samples(), pixel).map_err(|e| failed(&e))?;
    let mut target = Target::new(size.width, size.height, pixel);
    // The resampler adds position and extent in f64, where a sum that fits in f32 may be too large by its last bits:
    // the extents are limited in f64 to the rest of the image.
    let (x, y) = (f64::from(area.x), f64::from(area.y));
    let (width, height) =
        (f64::from(area.width).min(f64::from(columns) - x), f64::from(area.height).min(f64::from(rows) - y));
    let options =
        ResizeOptions::new().crop(x, y, width, height).resize_alg(filter.algorithm()).use_alpha(false);
    resizer.resize(&source, &mut target, &options).map_err(|e| failed(&e))?;
    Image::new(image.format(), size, target.into_vec()).ok_or_else(|| failed(&"wrong number of bytes"))
}
