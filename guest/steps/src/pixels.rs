//! The page as a thumbnail: input of the page classifier, and detection of empty pages. Called once for a page that is
//! read from pixels.

use lector_sdk::{Error, Filter, Image, Size};
use lector_vision::stamp;

/// Shorter side of the thumbnail, in pixels, as in the page classifier's training.
const SHORT_SIDE: f32 = 256.0;

/// Maximum longer side, in pixels, for pages of extreme shape.
const LONG_SIDE_MAX: f32 = 2048.0;

/// Bytes per loop iteration, 64 pixels: epoch checks are on loop back-edges.
const STRIDE: usize = 64 * 3;

/// Difference between the lightest and the darkest byte of an empty thumbnail: rounding errors.
const FLAT_MAX: u8 = 1;

/// Returns a small version of the whole image.
pub(crate) async fn thumbnail(image: &Image) -> Result<Image, Error> {
    let Size { width, height } = image.size();
    let (width, height) = (width.max(1) as f32, height.max(1) as f32);
    let scale = SHORT_SIDE / width.min(height);
    let side = |pixels: f32| (pixels * scale).round().clamp(1.0, LONG_SIDE_MAX) as u32;
    image.resize(Size { width: side(width), height: side(height) }, Filter::Bilinear).await
}

/// What a thumbnail tells of a page.
pub(crate) struct Look {
    /// Whether it has a single color. Averaging keeps the trace of a single small line, so only a truly empty page is flat; a
    /// noisy scan is not, and goes to the detector.
    pub(crate) is_flat: bool,
    /// Whether there are stamps on the page.
    pub(crate) has_stamps: bool,
}

/// Looks at a thumbnail.
pub(crate) fn look(thumbnail: &Image) -> Result<Look, Error> {
    let size = thumbnail.size();
    let rgb = thumbnail.read(0, 0, size)?;
    let is_flat = flat(&rgb);
    let has_stamps = !is_flat && !stamp::stamps(&rgb, size.width as usize, size.height as usize).is_empty();
    Ok(Look { is_flat, has_stamps })
}

/// Returns whether each channel of RGB triples is constant.
fn flat(rgb: &[u8]) -> bool {
    let Some(first) = rgb.first_chunk::<3>() else { return true };
    // Every third lane belongs to one channel, because the stride is a multiple of three.
    let reference: [u8; STRIDE] = std::array::from_fn(|lane| first[lane % 3]);
    let (strides, rest) = rgb.as_chunks::<STRIDE>();
    let near = |stride: &[u8], reference: &[u8]| {
        let apart = stride.iter().zip(reference).map(|(value, like)| value.abs_diff(*like));
        apart.fold(0, u8::max) <= FLAT_MAX
    };
    strides.iter().all(|stride| near(stride, &reference)) && near(rest, &reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_speck_is_seen() {
        let mut rgb: Vec<u8> = [250, 240, 230].repeat(1000);
        assert!(flat(&rgb));
        rgb[1500] -= 1;
        assert!(flat(&rgb), "rounding is no content");
        for at in [0, 1, 191, 192, 1500, 2997, 2999] {
            let mut marked = rgb.clone();
            marked[at] = 200;
            assert!(!flat(&marked), "at {at}");
        }
        assert!(flat(&[]));
    }
}
