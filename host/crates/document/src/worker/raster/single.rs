//! Files that hold one picture, or an animation of which the first frame is used: all formats except TIFF.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use lector_core::Size;

use super::header;
use super::page::{Budget, RasterPage, Rgb, over_white};
use crate::faults::Refusal;
use crate::kind::Kind;

/// Returns the page as its header describes it.
pub(super) fn page(bytes: &[u8], kind: Kind, budget: Budget) -> Result<RasterPage, Refusal> {
    let mut decoder = decoder(bytes, kind)?;
    let size = size(&decoder);
    budget.check_pixels(size)?;
    budget.check_memory(decoder.total_bytes(), size)?;
    if kind == Kind::Jpeg && !header::jpeg_is_complete(bytes) {
        return Err(Refusal::ImageInvalid { detail: "the file ends within the picture".into() });
    }
    let orientation = decoder.orientation().map_err(refusal)?;
    let dpi = header::credible(header::stated_dpi(bytes, kind));
    Ok(RasterPage { size: if is_turned(orientation) { turned(size) } else { size }, dpi, place: 0 })
}

/// Returns the EXIF orientation, 1 to 8.
pub(super) fn orientation(bytes: &[u8], kind: Kind) -> Result<u8, Refusal> {
    let mut decoder = decoder(bytes, kind)?;
    decoder.orientation().map(|orientation| orientation.to_exif()).map_err(refusal)
}

/// Decodes the picture.
pub(super) fn decode(bytes: &[u8], kind: Kind, budget: Budget) -> Result<Rgb, Refusal> {
    let mut decoder = decoder(bytes, kind)?;
    let size = size(&decoder);
    budget.check_pixels(size)?;
    budget.check_memory(decoder.total_bytes(), size)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(budget.memory_bytes);
    decoder.set_limits(limits).map_err(refusal)?;
    let orientation = decoder.orientation().map_err(refusal)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    let mut upright = DynamicImage::ImageRgb8(rgb(decoded));
    upright.apply_orientation(orientation);
    let rgb = upright.into_rgb8();
    Ok(Rgb { size: Size { width: rgb.width(), height: rgb.height() }, bytes: rgb.into_raw() })
}

fn decoder(bytes: &[u8], kind: Kind) -> Result<impl ImageDecoder + '_, Refusal> {
    let format = match kind {
        Kind::Png => ImageFormat::Png,
        Kind::Jpeg => ImageFormat::Jpeg,
        Kind::Webp => ImageFormat::WebP,
        Kind::Bmp => ImageFormat::Bmp,
        Kind::Gif => ImageFormat::Gif,
        Kind::Pdf | Kind::Tiff => return Err(Refusal::Internal { detail: "not a single picture".into() }),
    };
    ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(refusal)
}

fn size(decoder: &impl ImageDecoder) -> Size {
    let (width, height) = decoder.dimensions();
    Size { width, height }
}

pub(super) fn turned(size: Size) -> Size {
    Size { width: size.height, height: size.width }
}

/// Returns whether an orientation swaps the sides.
pub(super) fn is_turned(orientation: image::metadata::Orientation) -> bool {
    orientation.to_exif() >= 5
}

/// Converts to 8 bits per channel, with alpha over white.
fn rgb(decoded: DynamicImage) -> image::RgbImage {
    if !decoded.color().has_alpha() {
        return decoded.into_rgb8();
    }
    let rgba = decoded.into_rgba8();
    let (width, height) = rgba.dimensions();
    let mut bytes = Vec::with_capacity(rgba.len() / 4 * 3);
    for pixel in rgba.pixels() {
        let [r, g, b, a] = pixel.0;
        bytes.extend([over_white(r, a), over_white(g, a), over_white(b, a)]);
    }
    // Three bytes per pixel were pushed, so the size always fits; an empty image is rejected by its size.
    image::RgbImage::from_raw(width, height, bytes).unwrap_or_default()
}

fn refusal(error: ImageError) -> Refusal {
    let detail = error.to_string();
    match error {
        ImageError::Unsupported(_) => Refusal::ImageUnsupported { detail },
        ImageError::Limits(_) => Refusal::MemoryExceeded { detail },
        _ => Refusal::ImageInvalid { detail },
    }
}
