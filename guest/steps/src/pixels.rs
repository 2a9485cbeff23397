//! A look at the whole page at a glance: a thumbnail for the page classifier, and whether there is anything on
//! the page at all. Called once a page that is read from pixels.

use lector_sdk::{Error, Filter, Image, Size};

/// Shorter side of the thumbnail, in pixels: what the page classifier was trained with.
const SHORT_SIDE: f32 = 256.0;

/// Bound on its longer side, in pixels, for pages of extreme shape.
const LONG_SIDE_MAX: f32 = 2048.0;

/// Bytes looked at in one turn of a loop, 64 pixels: epoch checks sit on back-edges.
const STRIDE: usize = 64 * 3;

/// Difference between the lightest and the darkest byte of an empty thumbnail: what rounding leaves.
const FLAT_MAX: u8 = 1;

/// A small rendition of the whole image.
pub(crate) async fn thumbnail(image: &Image) -> Result<Image, Error> {
    let Size { width, height } = image.size();
    let (width, height) = (width.max(1) as f32, height.max(1) as f32);
    let scale = SHORT_SIDE / width.min(height);
    let side = |pixels: f32| (pixels * scale).round().clamp(1.0, LONG_SIDE_MAX) as u32;
    image.resize(Size { width: side(width), height: side(height) }, Filter::Bilinear).await
}

/// Whether all of a thumbnail is of one color. Averaging keeps the trace of a single small line, so only a page
/// that is truly empty is flat; the noise of a scan is not, and goes to the detector.
pub(crate) fn is_flat(thumbnail: &Image) -> Result<bool, Error> {
    Ok(flat(&thumbnail.read(0, 0, thumbnail.size())?))
}

/// Whether each channel of RGB triples keeps one value.
fn flat(rgb: &[u8]) -> bool {
    let Some(first) = rgb.first_chunk::<3>() else { return true };
    // Every third lane belongs to one channel, since the stride is a multiple of three.
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
