//! Resizing of an image, or of a rectangle of it.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
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
    let options = ResizeOptions::new().resize_alg(filter.algorithm()).use_alpha(false);
    resample::<U8x3>(&mut Resizer::new(), (source, from), (target, to), &options)
}

/// Resamples packed rows of one pixel type. The types are named, because the resampler's function for any type is compiled
/// for all thirteen that it knows.
fn resample<P: PixelTrait>(
    resizer: &mut Resizer,
    (source, from): (&[u8], Size),
    (target, to): (&mut [u8], Size),
    options: &ResizeOptions,
) -> Result<(), PixelsError> {
    let failed = |error: &dyn std::fmt::Display| PixelsError::Resample(error.to_string());
    let source = TypedImageRef::<P>::from_buffer(from.width, from.height, source).map_err(|e| failed(&e))?;
    let mut target = TypedImage::<P>::from_buffer(to.width, to.height, target).map_err(|e| failed(&e))?;
    resizer.resize_typed(&source, &mut target, options).map_err(|e| failed(&e))
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
    let (columns, rows) = (image.size().width, image.size().height);
    // The resampler adds position and extent in f64, where a sum that fits in f32 may be too large by its last bits:
    // the extents are limited in f64 to the rest of the image.
    let (x, y) = (f64::from(area.x), f64::from(area.y));
    let (width, height) =
        (f64::from(area.width).min(f64::from(columns) - x), f64::from(area.height).min(f64::from(rows) - y));
    let options =
        ResizeOptions::new().crop(x, y, width, height).resize_alg(filter.algorithm()).use_alpha(false);
    let mut samples = vec![0; image.format().bytes() * size.pixels() as usize];
    let (source, target) = ((image.samples(), image.size()), (&mut samples[..], size));
    match image.format() {
        PixelFormat::Rgb8 => resample::<U8x3>(resizer, source, target, &options)?,
        PixelFormat::Gray8 => resample::<U8>(resizer, source, target, &options)?,
    }
    Image::new(image.format(), size, samples)
        .ok_or_else(|| PixelsError::Resample("wrong number of bytes".to_owned()))
}
