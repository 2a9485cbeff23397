//! Encoders of image files. Decoders run only in document workers.

use jpeg_encoder::{ColorType, Encoder};
use lector_core::{Image, PixelFormat, Size};

use crate::error::PixelsError;

/// File format of an encoded image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// PNG, lossless.
    Png,
    /// Baseline JPEG at this quality, 1 to 100.
    Jpeg(u8),
}

/// Encodes the whole image as a file.
pub fn encode(image: &Image, encoding: Encoding) -> Result<Vec<u8>, PixelsError> {
    match encoding {
        Encoding::Png => png(image).map_err(|error| PixelsError::Encode(error.to_string())),
        Encoding::Jpeg(quality @ 1..=100) => jpeg(image, quality),
        Encoding::Jpeg(quality) => Err(PixelsError::QualityOutOfRange { quality }),
    }
}

fn png(image: &Image) -> Result<Vec<u8>, png::EncodingError> {
    let Size { width, height } = image.size();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_color(match image.format() {
        PixelFormat::Rgb8 => png::ColorType::Rgb,
        PixelFormat::Gray8 => png::ColorType::Grayscale,
    });
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.samples())?;
    writer.finish()?;
    Ok(file)
}

fn jpeg(image: &Image, quality: u8) -> Result<Vec<u8>, PixelsError> {
    let Size { width, height } = image.size();
    let side = |extent: u32| {
        u16::try_from(extent).map_err(|_| {
            PixelsError::Encode(format!("a JPEG has at most {} pixels a side, not {extent}", u16::MAX))
        })
    };
    let color = match image.format() {
        PixelFormat::Rgb8 => ColorType::Rgb,
        PixelFormat::Gray8 => ColorType::Luma,
    };
    let mut file = Vec::new();
    Encoder::new(&mut file, quality)
        .encode(image.samples(), side(width)?, side(height)?, color)
        .map_err(|error| PixelsError::Encode(error.to_string()))?;
    Ok(file)
}
