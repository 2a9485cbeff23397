//! TIFF: several pages per file, in the variants that scanners write.
//!
//! Gray, RGB, CMYK, palette, YCbCr in JPEG; 1 to 32 bits; strips, tiles, planes; CCITT group 4, LZW, deflate, PackBits,
//! JPEG. Thumbnails (reduced-resolution directories) are not pages.

use ::tiff::decoder::{Decoder, DecodingResult, Limits, ifd::Value};
use ::tiff::tags::Tag;
use ::tiff::{ColorType, TiffError};
use image::metadata::Orientation;
use lector_core::Size;

use super::header;
use super::page::{Budget, RasterPage, Rgb, over_white};
use super::palette::{Palette, Patched};
use super::single::{is_turned, turned};
use crate::faults::Refusal;

/// Largest number of directories read beyond the pages: thumbnails between them.
const OTHER_DIRECTORIES_MAX: u32 = 1024;
/// Longest value of one tag: the offsets of the strips of a page of 100,000 rows fit.
const TAG_BYTES_MAX: usize = 4 << 20;
const CM_PER_INCH: f32 = 2.54;

type TiffDecoder<'a> = Decoder<Patched<'a>>;

/// Returns the pages of a file. An unreadable directory ends the list if there is a page before it.
pub(super) fn pages(bytes: &[u8], budget: Budget, pages_max: u32) -> Result<Vec<RasterPage>, Refusal> {
    let mut decoder = start(Patched::unchanged(bytes), budget)?;
    let mut pages = Vec::new();
    for place in 0..pages_max.saturating_add(OTHER_DIRECTORIES_MAX) {
        if !is_thumbnail(&mut decoder) {
            pages.push(page(&mut decoder, place, budget)?);
        }
        let found = u32::try_from(pages.len()).unwrap_or(u32::MAX);
        if !decoder.more_images() {
            break;
        }
        if found >= pages_max {
            return Err(Refusal::TooManyPages { pages: found.saturating_add(1), pages_max });
        }
        decoder.next_image().map_err(refusal)?;
    }
    if pages.is_empty() {
        return Err(Refusal::ImageInvalid { detail: "a TIFF without a full-size picture".into() });
    }
    Ok(pages)
}

fn page(decoder: &mut TiffDecoder<'_>, place: u32, budget: Budget) -> Result<RasterPage, Refusal> {
    let size = size(decoder)?;
    budget.check_pixels(size)?;
    let size = if is_turned(orientation(decoder)) { turned(size) } else { size };
    Ok(RasterPage { size, dpi: header::credible(stated_dpi(decoder)), place })
}

/// Decodes the picture of directory `place`.
pub(super) fn decode(bytes: &[u8], place: u32, budget: Budget) -> Result<Rgb, Refusal> {
    let mut decoder = at(Patched::unchanged(bytes), place, budget)?;
    let palette = Palette::of(&mut decoder, bytes).map_err(refusal)?;
    if let Some(palette) = &palette {
        decoder = at(Patched::as_gray(bytes, palette), place, budget)?;
    }
    let size = size(&mut decoder)?;
    budget.check_pixels(size)?;
    let color = decoder.colortype().map_err(refusal)?;
    let extra = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples).map_err(refusal)?.unwrap_or_default();
    let orientation = orientation(&mut decoder);
    let layout = decoder.image_buffer_layout().map_err(refusal)?;
    budget.check_memory(layout.complete_len as u64, size)?;
    let mut decoded = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut decoded).map_err(refusal)?;

    let samples = usize::from(color.num_samples()).max(1);
    let planes = layout.planes.max(1);
    let form = Form {
        size,
        bits: color.bit_depth(),
        samples_per_plane: if planes > 1 { 1 } else { samples },
        scaled: palette.is_none(),
    };
    let stride = layout.plane_stride.map_or(usize::MAX, |stride| stride.get());
    let mut unpacked = form.unpack(decoded, planes, stride)?;
    let channels = match unpacked.len() {
        1 => unpacked.pop().unwrap_or_default(),
        _ => interleave(&unpacked),
    };
    let convert = Convert { color, samples, extra, palette };
    let bytes = convert.rgb(&channels)?;
    if bytes.len() as u64 != size.pixels() * 3 {
        return Err(Refusal::ImageInvalid { detail: "the pixels are fewer than the header says".into() });
    }
    let rgb = image::RgbImage::from_raw(size.width, size.height, bytes).unwrap_or_default();
    let mut upright = image::DynamicImage::ImageRgb8(rgb);
    upright.apply_orientation(orientation);
    let rgb = upright.into_rgb8();
    Ok(Rgb { size: Size { width: rgb.width(), height: rgb.height() }, bytes: rgb.into_raw() })
}

fn start(reader: Patched<'_>, budget: Budget) -> Result<TiffDecoder<'_>, Refusal> {
    let mut limits = Limits::default();
    let memory = usize::try_from(budget.memory_bytes).unwrap_or(usize::MAX);
    limits.decoding_buffer_size = memory;
    limits.intermediate_buffer_size = memory;
    limits.ifd_value_size = TAG_BYTES_MAX;
    Ok(Decoder::new(reader).map_err(refusal)?.with_limits(limits))
}

fn at(reader: Patched<'_>, place: u32, budget: Budget) -> Result<TiffDecoder<'_>, Refusal> {
    let mut decoder = start(reader, budget)?;
    for _ in 0..place {
        decoder.next_image().map_err(refusal)?;
    }
    Ok(decoder)
}

fn size(decoder: &mut TiffDecoder<'_>) -> Result<Size, Refusal> {
    let (width, height) = decoder.dimensions().map_err(refusal)?;
    Ok(Size { width, height })
}

fn is_thumbnail(decoder: &mut TiffDecoder<'_>) -> bool {
    // Bit 0 of NewSubfileType: a reduced-resolution version of another picture of the file.
    let kind = decoder.find_tag_unsigned::<u32>(Tag::NewSubfileType).ok().flatten();
    kind.is_some_and(|bits| bits & 1 == 1)
}

fn orientation(decoder: &mut TiffDecoder<'_>) -> Orientation {
    let stated = decoder.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten();
    stated.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
}

fn stated_dpi(decoder: &mut TiffDecoder<'_>) -> Option<f32> {
    let Some(Value::Rational(dots, per)) = decoder.find_tag(Tag::XResolution).ok()? else { return None };
    let dots = dots as f32 / per as f32;
    match decoder.find_tag_unsigned::<u16>(Tag::ResolutionUnit).ok()? {
        None | Some(2) => Some(dots),
        Some(3) => Some(dots * CM_PER_INCH),
        Some(_) => None,
    }
}

/// Layout of the samples in the decoder's buffer.
struct Form {
    size: Size,
    bits: u8,
    samples_per_plane: usize,
    /// Whether samples below 8 bits are scaled to brightness (0 to 255); false for color numbers.
    scaled: bool,
}

impl Form {
    /// Converts each plane to one byte per sample.
    fn unpack(&self, decoded: DecodingResult, planes: usize, stride: usize) -> Result<Vec<Vec<u8>>, Refusal> {
        let samples: Vec<u8> = match decoded {
            DecodingResult::U8(bytes) if self.bits < 8 => {
                let planes = bytes.chunks(stride.min(bytes.len()).max(1)).take(planes);
                return Ok(planes.map(|plane| self.unpack_bits(plane)).collect());
            }
            DecodingResult::U8(bytes) => bytes,
            DecodingResult::U16(words) => words.into_iter().map(|v| v.to_be_bytes()[0]).collect(),
            DecodingResult::U32(words) => words.into_iter().map(|v| v.to_be_bytes()[0]).collect(),
            // Float to int saturates, and NaN becomes 0.
            DecodingResult::F32(floats) => floats.into_iter().map(|v| (v * 255.0).round() as u8).collect(),
            DecodingResult::F64(floats) => floats.into_iter().map(|v| (v * 255.0).round() as u8).collect(),
            _ => return Err(unsupported("signed, 64-bit or half-precision samples")),
        };
        // The stride is in bytes; a sample has a whole number of bytes here.
        let stride = stride / usize::from(self.bits / 8).max(1);
        if planes <= 1 {
            return Ok(vec![samples]);
        }
        Ok(samples.chunks(stride.min(samples.len()).max(1)).take(planes).map(<[u8]>::to_vec).collect())
    }

    fn unpack_bits(&self, plane: &[u8]) -> Vec<u8> {
        let bits = usize::from(self.bits.max(1));
        let row_samples = self.size.width as usize * self.samples_per_plane;
        let row_bytes = (row_samples * bits).div_ceil(8).max(1);
        let top = (1_u32 << bits) - 1;
        let mut out = Vec::with_capacity(row_samples * self.size.height as usize);
        for row in plane.chunks_exact(row_bytes).take(self.size.height as usize) {
            let mut held = 0_u32;
            let mut held_bits = 0;
            let mut bytes = row.iter();
            for _ in 0..row_samples {
                while held_bits < bits {
                    held = (held << 8) | bytes.next().map_or(0, |byte| u32::from(*byte));
                    held_bits += 8;
                }
                held_bits -= bits;
                let value = (held >> held_bits) & top;
                let value = if self.scaled { value * 255 / top } else { value };
                out.push(u8::try_from(value).unwrap_or(u8::MAX));
            }
        }
        out
    }
}

fn interleave(planes: &[Vec<u8>]) -> Vec<u8> {
    let len = planes.iter().map(Vec::len).min().unwrap_or(0);
    let mut out = Vec::with_capacity(len * planes.len());
    for at in 0..len {
        out.extend(planes.iter().filter_map(|plane| plane.get(at)));
    }
    out
}

/// Converts samples of one byte to RGB over white.
struct Convert {
    color: ColorType,
    samples: usize,
    /// Tag ExtraSamples: 1 is premultiplied alpha, 2 is straight alpha.
    extra: Vec<u16>,
    palette: Option<Palette>,
}

impl Convert {
    fn rgb(&self, samples: &[u8]) -> Result<Vec<u8>, Refusal> {
        let premultiplied = self.extra.first() == Some(&1);
        let blend = |[r, g, b]: [u8; 3], a: u8| {
            if premultiplied {
                [r, g, b].map(|v| v.saturating_add(255 - a))
            } else {
                [over_white(r, a), over_white(g, a), over_white(b, a)]
            }
        };
        let each = |convert: &dyn Fn(&[u8]) -> Option<[u8; 3]>| -> Vec<u8> {
            samples.chunks_exact(self.samples).filter_map(convert).flatten().collect()
        };
        if let Some(palette) = &self.palette {
            return Ok(each(&|s| Some(palette.color(*s.first()?))));
        }
        Ok(match self.color {
            ColorType::RGB(8 | 16 | 32) if self.samples == 3 => samples.to_vec(),
            ColorType::Gray(_) => each(&|s| Some([*s.first()?; 3])),
            ColorType::RGB(_) => each(&|s| s.first_chunk().copied()),
            ColorType::RGBA(_) => each(&|s| s.first_chunk().map(|&[r, g, b, a]| blend([r, g, b], a))),
            ColorType::CMYK(_) => each(&|s| s.first_chunk().copied().map(cmyk)),
            ColorType::CMYKA(_) => {
                each(&|s| s.first_chunk().map(|&[c, m, y, k, a]| blend(cmyk([c, m, y, k]), a)))
            }
            ColorType::YCbCr(8) => each(&|s| s.first_chunk().copied().map(ycbcr)),
            // Gray with an extra channel, which may be alpha.
            ColorType::Multiband { .. } | ColorType::GrayA(_) => each(&|s| match (s, self.extra.first()) {
                (&[v, a, ..], Some(1 | 2)) => Some(blend([v; 3], a)),
                (&[v, ..], _) => Some([v; 3]),
                _ => None,
            }),
            other => return Err(unsupported(&format!("{other:?}"))),
        })
    }
}

/// Converts without a color profile: light is the part that the inks transmit.
fn cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    [c, m, y].map(|ink| {
        let light = u32::from(255 - ink) * u32::from(255 - k);
        u8::try_from((light + 127) / 255).unwrap_or(u8::MAX)
    })
}

/// Converts ITU-R BT.601, full range, as in JFIF.
fn ycbcr([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|v| v.round() as u8)
}

fn unsupported(what: &str) -> Refusal {
    Refusal::ImageUnsupported { detail: format!("TIFF with {what}") }
}

fn refusal(error: TiffError) -> Refusal {
    let detail = error.to_string();
    match error {
        TiffError::UnsupportedError(_) => Refusal::ImageUnsupported { detail },
        TiffError::LimitsExceeded => Refusal::MemoryExceeded { detail },
        _ => Refusal::ImageInvalid { detail },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn bits_become_samples() {
        let form =
            |bits, scaled| Form { size: Size { width: 3, height: 2 }, bits, samples_per_plane: 1, scaled };
        assert_eq!(form(1, true).unpack_bits(&[0b1010_0000, 0b0110_0000]), [255, 0, 255, 0, 255, 255]);
        assert_eq!(form(4, false).unpack_bits(&[0x12, 0x30, 0x45, 0x60]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(form(2, true).unpack_bits(&[0b0001_1000, 0b1111_0000]), [0, 85, 170, 255, 255, 0]);
    }

    #[test]
    fn inks_and_luma_become_light() {
        assert_eq!(cmyk([0, 0, 0, 0]), [255; 3]);
        assert_eq!(cmyk([0, 0, 0, 255]), [0; 3]);
        assert_eq!(cmyk([255, 0, 0, 0]), [0, 255, 255]);
        assert_eq!(ycbcr([255, 128, 128]), [255; 3]);
        assert_eq!(ycbcr([76, 85, 255]), [254, 0, 0]);
    }
}
