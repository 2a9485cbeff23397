//! Fuzz target of picture files: header, limits, decoder. All of it runs in a worker, whose death costs a page; the
//! target finds avoidable crashes, and memory beyond the limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};

use super::*;
use crate::shared;

const PIXELS_MAX: u64 = 250_000;
const MEMORY_BYTES: u64 = 16 << 20;

fn picture() -> DynamicImage {
    RgbImage::from_fn(24, 16, |x, y| image::Rgb([(x * 10) as u8, (y * 15) as u8, 128])).into()
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = picture();
    let picture = if format == ImageFormat::Gif { picture.to_rgba8().into() } else { picture };
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn tiff_of(compression: ::tiff::encoder::Compression) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = ::tiff::encoder::TiffEncoder::new(&mut bytes).unwrap().with_compression(compression);
    for _ in 0..2 {
        encoder
            .write_image::<::tiff::encoder::colortype::RGB8>(24, 16, picture().to_rgb8().as_raw())
            .unwrap();
    }
    bytes.into_inner()
}

/// Opens the bytes by their magic number, and draws every page at a small size.
fn read(bytes: &[u8]) -> Result<(Kind, usize), &'static str> {
    let kind = Kind::of(bytes, None).map_err(|refusal| refusal.code())?;
    if kind == Kind::Pdf {
        return Err("pdf");
    }
    let _ = (header::stated_dpi(bytes, kind), header::jpeg_is_complete(bytes));
    let limits =
        Limits { pages_max: 8, image_pixels_max: PIXELS_MAX, text_characters_max: 1, text_words_max: 1 };
    let mapping = Mapping::of_document(shared::sealed_copy(bytes).unwrap()).unwrap();
    let document = Document::open(mapping, kind, limits, MEMORY_BYTES).map_err(|refusal| refusal.code())?;
    assert!((1..=8).contains(&document.pages()));
    let mut drawn = 0;
    for index in 0..document.pages() {
        let Ok(PageFacts::Raster { size, dpi }) = document.facts(index) else { panic!("facts of {index}") };
        assert!(size.pixels() > 0 && size.pixels() <= PIXELS_MAX && dpi > 0.0);
        let mut rgb = vec![0; 12 * 8 * 3];
        if document.render(index, Size { width: 12, height: 8 }, &mut rgb).is_ok() {
            drawn += 1;
        }
    }
    Ok((kind, drawn))
}

#[test]
fn fuzz_pictures() {
    use ::tiff::encoder::Compression;
    let formats =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif];
    let mut seeds: Vec<Vec<u8>> = formats.into_iter().map(encoded).collect();
    seeds.extend([
        tiff_of(Compression::Uncompressed),
        tiff_of(Compression::Lzw),
        tiff_of(Compression::Packbits),
    ]);
    for seed in &seeds {
        assert!(read(seed).unwrap().1 > 0, "a sound picture is drawn");
    }
    let words: [&[u8]; 12] = [
        b"IHDR",
        b"IDAT",
        b"IEND",
        b"pHYs",
        b"tRNS",
        &[0xff, 0xda],
        &[0xff, 0xc0],
        &[0xff, 0xd9],
        b"VP8L",
        b"VP8 ",
        &[0x00, 0x01, 0x03, 0x00],
        &[0x11, 0x01, 0x04, 0x00],
    ];
    lector_fuzz::target("pictures", &seeds, &words, read);
}
