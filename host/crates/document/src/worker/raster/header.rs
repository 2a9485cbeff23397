//! Header fields of picture files that the codecs do not provide: the resolution, and whether a JPEG is complete.

use crate::kind::Kind;

/// Resolution for files that state none, or only a default of the writing program: cameras and browsers write 72 or 96,
/// and paper is not scanned at so little. Documents are rendered at 200 for reading.
pub(super) const DPI_NOMINAL: f32 = 200.0;
/// A stated resolution outside of this range is ignored.
const DPI_CREDIBLE: std::ops::RangeInclusive<f32> = 100.0..=2400.0;
const CM_PER_INCH: f32 = 2.54;
const M_PER_INCH: f32 = 0.0254;

/// Returns the stated resolution where it is credible, else the nominal one.
pub(super) fn credible(stated: Option<f32>) -> f32 {
    stated.filter(|dpi| DPI_CREDIBLE.contains(dpi)).unwrap_or(DPI_NOMINAL)
}

/// Returns the resolution that the header states, in dots per inch.
pub(super) fn stated_dpi(bytes: &[u8], kind: Kind) -> Option<f32> {
    match kind {
        Kind::Png => png_dpi(bytes),
        Kind::Jpeg => jpeg_segments(bytes).find_map(|(marker, body)| jfif_dpi(marker, body)),
        Kind::Bmp => per_meter(u32::from_le_bytes(bytes.get(38..42)?.try_into().ok()?)),
        _ => None,
    }
}

fn per_meter(dots: u32) -> Option<f32> {
    (dots > 0).then_some(dots as f32 * M_PER_INCH)
}

fn png_dpi(bytes: &[u8]) -> Option<f32> {
    // Chunks: length, type, body, checksum; pHYs comes before the pixels (PNG specification, 11.3.4.3).
    const LOOKED_AT_MAX: usize = 64;
    let mut at = 8_usize;
    for _ in 0..LOOKED_AT_MAX {
        let length = u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?);
        let body = at.checked_add(8)?;
        match bytes.get(at.checked_add(4)?..body)? {
            b"pHYs" => {
                let dots = u32::from_be_bytes(bytes.get(body..body.checked_add(4)?)?.try_into().ok()?);
                let is_meter = *bytes.get(body.checked_add(8)?)? == 1;
                return is_meter.then(|| per_meter(dots)).flatten();
            }
            b"IDAT" | b"IEND" => return None,
            _ => at = body.checked_add(usize::try_from(length).ok()?)?.checked_add(4)?,
        }
    }
    None
}

const START_OF_SCAN: u8 = 0xda;
const APP0: u8 = 0xe0;

/// Iterates over the segments of a JPEG up to and including the first start of scan: marker and body.
pub(in crate::worker) fn jpeg_segments(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes.get(2..).unwrap_or_default();
    let mut done = false;
    std::iter::from_fn(move || {
        while rest.first() == Some(&0xff) && rest.get(1) == Some(&0xff) {
            rest = rest.get(1..)?; // fill bytes
        }
        let [0xff, marker, high, low, ..] = *rest else { return None };
        if done {
            return None;
        }
        done = marker == START_OF_SCAN;
        let end = 2 + usize::from(u16::from_be_bytes([high, low]));
        let body = rest.get(4..end)?;
        rest = rest.get(end..)?;
        Some((marker, body))
    })
}

fn jfif_dpi(marker: u8, body: &[u8]) -> Option<f32> {
    if marker != APP0 || !body.starts_with(b"JFIF\0") {
        return None;
    }
    let density = f32::from(u16::from_be_bytes(body.get(8..10)?.try_into().ok()?));
    match body.get(7)? {
        1 => Some(density),
        2 => Some(density * CM_PER_INCH),
        _ => None,
    }
}

/// Returns whether a JPEG has its end marker. The decoder fills missing parts with gray without an error; a truncated
/// document must not read as an empty one.
pub(super) fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let scan = jpeg_segments(bytes).find(|(marker, _)| *marker == START_OF_SCAN);
    let Some((_, body)) = scan else { return false };
    let start = body.as_ptr_range().end as usize - bytes.as_ptr() as usize;
    let pixels = bytes.get(start..).unwrap_or_default();
    pixels.windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn densities_are_read_and_defaults_are_ignored() {
        let mut jpeg = vec![0xff, 0xd8, 0xff, 0xe0, 0, 16];
        jpeg.extend(b"JFIF\0\x01\x02\x01\x01\x2c\x01\x2c\0\0");
        assert_eq!(stated_dpi(&jpeg, Kind::Jpeg), Some(300.0));
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\0gAMA....\0\0\0\x09pHYs".to_vec();
        png.extend(11811_u32.to_be_bytes());
        png.extend(11811_u32.to_be_bytes());
        png.extend([1, 0, 0, 0, 0]);
        assert_eq!(stated_dpi(&png, Kind::Png).map(f32::round), Some(300.0));
        assert_eq!(stated_dpi(&png[..30], Kind::Png), None);
        assert_eq!(credible(Some(72.0)), DPI_NOMINAL);
        assert_eq!(credible(Some(300.0)), 300.0);
        assert_eq!(credible(None), DPI_NOMINAL);
    }
}
