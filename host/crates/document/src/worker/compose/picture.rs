//! One picture as an image of a PDF: what can be embedded as it is, and the lossless form of the rest.

use lopdf::{Dictionary, dictionary};

use super::glyphs::numbers;
use crate::faults::Refusal;
use crate::worker::raster::{Pixels, jpeg_segments};

/// An image object, before it is written.
pub(super) struct Picture {
    pub entries: Dictionary,
    pub data: Vec<u8>,
    /// The matrix that puts it upright: each number, and whether it counts in widths (else heights) of the page.
    pub placing: Placing,
    /// Colors of an indexed picture, three bytes each; they become its color space.
    pub palette: Option<Vec<u8>>,
}

impl Picture {
    /// Returns whether its colors are CMYK.
    pub(super) fn is_cmyk(&self) -> bool {
        self.entries
            .get(b"ColorSpace")
            .and_then(lopdf::Object::as_name)
            .is_ok_and(|name| name == b"DeviceCMYK")
    }
}

pub(super) type Placing = [(f64, bool); 6];

const WIDTH: bool = true;
const HEIGHT: bool = false;

/// Returns the matrix of an EXIF orientation, 1 to 8: the unit square, with the first row of the picture at its top, to
/// the page.
pub(super) fn placing(orientation: u8) -> Placing {
    let (w, h) = (|by: f64| (by, WIDTH), |by: f64| (by, HEIGHT));
    match orientation {
        2 => [w(-1.0), h(0.0), w(0.0), h(1.0), w(1.0), h(0.0)],
        3 => [w(-1.0), h(0.0), w(0.0), h(-1.0), w(1.0), h(1.0)],
        4 => [w(1.0), h(0.0), w(0.0), h(-1.0), w(0.0), h(1.0)],
        5 => [w(0.0), h(-1.0), w(-1.0), h(0.0), w(1.0), h(1.0)],
        6 => [w(0.0), h(-1.0), w(1.0), h(0.0), w(0.0), h(1.0)],
        7 => [w(0.0), h(1.0), w(1.0), h(0.0), w(0.0), h(0.0)],
        8 => [w(0.0), h(1.0), w(-1.0), h(0.0), w(1.0), h(0.0)],
        _ => [w(1.0), h(0.0), w(0.0), h(1.0), w(0.0), h(0.0)],
    }
}

/// Returns a JPEG as it is; `None` for a variant that PDF does not have.
pub(super) fn jpeg(bytes: &[u8], orientation: u8) -> Option<Picture> {
    let frame = Frame::of(bytes)?;
    let (space, inverted) = match frame.components {
        1 => ("DeviceGray", false),
        3 => ("DeviceRGB", false),
        // Programs that write CMYK with Adobe's marker write it inverted.
        4 => ("DeviceCMYK", frame.adobe),
        _ => return None,
    };
    let mut entries = dictionary! {
        "Width" => i64::from(frame.width),
        "Height" => i64::from(frame.height),
        "ColorSpace" => space,
        "BitsPerComponent" => 8,
        "Filter" => "DCTDecode",
    };
    if inverted {
        entries.set("Decode", numbers(&[1, 0, 1, 0, 1, 0, 1, 0]));
    }
    Some(Picture { entries, data: bytes.to_vec(), placing: placing(orientation), palette: None })
}

/// The frame header of a JPEG.
struct Frame {
    width: u16,
    height: u16,
    components: u8,
    adobe: bool,
}

impl Frame {
    /// Returns the header of a baseline, extended or progressive JPEG of 8 bits.
    fn of(bytes: &[u8]) -> Option<Self> {
        const ADOBE: u8 = 0xee;
        let mut adobe = false;
        for (marker, body) in jpeg_segments(bytes) {
            match marker {
                0xc0..=0xc2 => {
                    let [8, h1, h0, w1, w0, components, ..] = *body else { return None };
                    let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
                    let whole = width > 0 && height > 0;
                    return whole.then_some(Self { width, height, components, adobe });
                }
                // Lossless, hierarchical and arithmetic frames. C4, C8, CC are not frames.
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return None,
                ADOBE => adobe |= body.starts_with(b"Adobe"),
                _ => {}
            }
        }
        None
    }
}

/// Returns the compressed data of a PNG as it is: rows with a filter each, which is a predictor of PDF. `None` for a PNG
/// that is interlaced or transparent.
pub(super) fn png(bytes: &[u8], orientation: u8) -> Option<Picture> {
    let mut header: Option<&[u8]> = None;
    let mut palette = None;
    let mut data = Vec::new();
    for (name, body) in chunks(bytes) {
        match &name {
            b"IHDR" => header = Some(body),
            b"PLTE" => palette = Some(body.to_vec()),
            b"tRNS" => return None,
            b"IDAT" => data.extend_from_slice(body),
            _ => {}
        }
    }
    let (width, rest) = header?.split_first_chunk::<4>()?;
    let (height, rest) = rest.split_first_chunk::<4>()?;
    let [depth, color, 0, 0, 0] = *rest else { return None };
    let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
    let (colors, space) = match color {
        0 => (1, Some("DeviceGray")),
        2 => (3, Some("DeviceRGB")),
        3 if palette.as_ref().is_some_and(|colors| !colors.is_empty() && colors.len() % 3 == 0) => (1, None),
        _ => return None,
    };
    let mut entries = predicted(width, height, depth, colors);
    if let Some(space) = space {
        entries.set("ColorSpace", space);
    }
    let palette = palette.filter(|_| space.is_none());
    (!data.is_empty()).then(|| Picture { entries, data, placing: placing(orientation), palette })
}

/// Iterates over the chunks of a PNG; ends where the file does.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (name, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let body = after.get(..length)?;
        rest = after.get(length.checked_add(4)?..).unwrap_or_default();
        Some((*name, body))
    })
}

/// Returns the entries of an image whose rows are compressed as in a PNG.
fn predicted(width: u32, height: u32, depth: u8, colors: i64) -> Dictionary {
    dictionary! {
        "Width" => i64::from(width),
        "Height" => i64::from(height),
        "BitsPerComponent" => i64::from(depth),
        "Filter" => "FlateDecode",
        "DecodeParms" => dictionary! {
            "Predictor" => 15,
            "Colors" => colors,
            "BitsPerComponent" => i64::from(depth),
            "Columns" => i64::from(width),
        },
    }
}

/// Returns pixels without loss: black and white as one bit, gray as one byte, else three. They are upright.
pub(super) fn pixels(pixels: &Pixels) -> Result<Picture, Refusal> {
    let failed =
        |error: png::EncodingError| Refusal::Internal { detail: format!("packing a picture: {error}") };
    let (width, height) = (pixels.size.width, pixels.size.height);
    let gray = pixels.bytes.chunks_exact(3).all(|pixel| matches!(pixel, [r, g, b] if r == g && g == b));
    let two_tone = gray && pixels.bytes.iter().step_by(3).all(|value| matches!(value, 0 | 255));
    let (depth, color, rows) = match (gray, two_tone) {
        (_, true) => (png::BitDepth::One, png::ColorType::Grayscale, bits(&pixels.bytes, width)),
        (true, _) => {
            let gray: Vec<u8> = pixels.bytes.iter().step_by(3).copied().collect();
            (png::BitDepth::Eight, png::ColorType::Grayscale, gray)
        }
        _ => (png::BitDepth::Eight, png::ColorType::Rgb, Vec::new()),
    };
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_depth(depth);
    encoder.set_color(color);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(if rows.is_empty() { &pixels.bytes } else { &rows }).map_err(failed)?;
    writer.finish().map_err(failed)?;
    png(&file, 1).ok_or_else(|| Refusal::Internal { detail: "packing a picture: no data".into() })
}

/// Packs black and white pixels to bits, each row from a new byte.
fn bits(rgb: &[u8], width: u32) -> Vec<u8> {
    let row = (width as usize).saturating_mul(3).max(3);
    let rows = rgb.chunks_exact(row);
    let byte = |pixels: &[u8]| {
        let bits = pixels.iter().step_by(3).enumerate();
        bits.fold(0, |byte, (at, value)| if *value > 0 { byte | 0x80 >> at } else { byte })
    };
    rows.flat_map(|row| row.chunks(24).map(byte).collect::<Vec<u8>>()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::Size;
    use lopdf::Object;

    use super::*;

    fn packed(rgb: Vec<u8>, width: u32, height: u32) -> Picture {
        pixels(&Pixels { size: Size { width, height }, bytes: rgb }).unwrap()
    }

    fn bits_of(picture: &Picture) -> i64 {
        picture.entries.get(b"BitsPerComponent").and_then(Object::as_i64).unwrap()
    }

    #[test]
    fn pixels_take_as_few_bits_as_they_need() {
        let black_and_white = packed([0, 0, 0, 255, 255, 255].repeat(50), 10, 10);
        assert_eq!(bits_of(&black_and_white), 1);
        let gray = packed([7, 7, 7, 255, 255, 255].repeat(50), 10, 10);
        assert_eq!(
            (bits_of(&gray), gray.entries.get(b"ColorSpace").unwrap().as_name().unwrap()),
            (8, &b"DeviceGray"[..])
        );
        let color = packed([7, 8, 7, 255, 255, 255].repeat(50), 10, 10);
        assert_eq!(color.entries.get(b"ColorSpace").unwrap().as_name().unwrap(), b"DeviceRGB");
        // Nine pixels: the last bit begins a second byte.
        assert_eq!(bits(&[[255; 3], [0; 3]].concat().repeat(9)[..27], 9), [0b1010_1010, 0b1000_0000]);
    }

    #[test]
    fn a_png_with_transparency_or_interlace_is_not_embedded_as_it_is() {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 2, 2);
        encoder.set_color(png::ColorType::Rgba);
        encoder.write_header().unwrap().write_image_data(&[9; 16]).unwrap();
        assert!(png(&file, 1).is_none());
        // Any prefix of a file is read without a panic.
        (0..file.len()).for_each(|end| drop(png(&file[..end], 1)));
    }

    #[test]
    fn orientations_put_the_first_pixel_where_exif_says() {
        // The corner of the page (0 or 1 in x and y, y upwards) of the first row's first pixel: the point (0, 1).
        let expect = [(0, 1), (1, 1), (1, 0), (0, 0), (0, 1), (1, 1), (1, 0), (0, 0)];
        for (orientation, corner) in (1_u8..).zip(expect) {
            let [_, _, (c, _), (d, _), (e, _), (f, _)] = placing(orientation);
            assert_eq!((c + e, d + f), (f64::from(corner.0), f64::from(corner.1)), "{orientation}");
        }
    }
}
