//! Conversion between pixel formats.

use lector_core::{Image, PixelFormat};

/// Converts the pixels to `format`. Gray is the luma of ITU-R BT.601, `0.299 R + 0.587 G + 0.114 B`, rounded; RGB
/// repeats it.
pub fn convert(image: &Image, format: PixelFormat) -> Image {
    let samples = match (image.format(), format) {
        (from, to) if from == to => return image.clone(),
        (PixelFormat::Gray8, _) => image.samples().iter().flat_map(|luma| [*luma; 3]).collect(),
        (PixelFormat::Rgb8, _) => image.samples().as_chunks::<3>().0.iter().map(luma).collect(),
    };
    // The number of samples follows from the size, so the fallback is never used.
    Image::new(format, image.size(), samples).unwrap_or_else(|| image.clone())
}

/// Weights in 65536ths; their sum is 65536.
fn luma([red, green, blue]: &[u8; 3]) -> u8 {
    let sum = u32::from(*red) * 19_595 + u32::from(*green) * 38_470 + u32::from(*blue) * 7_471;
    ((sum + 32_768) >> 16) as u8
}
