//! Picture files: every format, color type and depth is decoded to the RGB that a viewer would show.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use lector_core::port::PageKind;
use lector_core::{Image, Size};
use tiff::encoder::{TiffEncoder, colortype};

use crate::support::{PIXELS_MAX, TestServer, code};

/// A picture without symmetry: red corner top left, gray ramp elsewhere.
fn sample() -> RgbImage {
    RgbImage::from_fn(60, 40, |x, y| {
        if x < 20 && y < 10 {
            Rgb([250, 20, 30])
        } else {
            let v = u8::try_from(x * 2 + y).unwrap();
            Rgb([v, v, v])
        }
    })
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

async fn native(server: &TestServer, bytes: &[u8]) -> Image {
    let page = server.page(bytes).await;
    let info = page.info();
    assert_eq!(info.kind, PageKind::Raster);
    assert!(page.text_layer().await.unwrap().spans.is_empty());
    page.render(info.native_dpi.unwrap(), PIXELS_MAX).await.unwrap()
}

/// Asserts that two pictures differ by at most `tolerance` per channel.
fn assert_like(image: &Image, expect: &RgbImage, tolerance: u8, what: &str) {
    assert_eq!((image.size().width, image.size().height), expect.dimensions(), "{what}");
    let worst = image.samples().iter().zip(expect.as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst <= Some(tolerance), "{what}: differs by {worst:?}");
}

#[tokio::test]
async fn every_format_comes_out_as_it_went_in() {
    let server = TestServer::start(1).await;
    let rgb = sample();
    let image = DynamicImage::ImageRgb8(rgb.clone());
    let formats = [
        (ImageFormat::Png, "image/png", 0),
        (ImageFormat::Bmp, "image/bmp", 0),
        (ImageFormat::WebP, "image/webp", 0),
        (ImageFormat::Gif, "image/gif", 40),
        (ImageFormat::Jpeg, "image/jpeg", 60),
    ];
    for (format, content_type, tolerance) in formats {
        let bytes = encoded(&image, format);
        let document = server.open_as(&bytes, Some(content_type), None).await.unwrap();
        assert_eq!((document.content_type(), document.page_count()), (content_type, 1));
        assert_like(&native(&server, &bytes).await, &rgb, tolerance, content_type);
    }
    let deep = DynamicImage::ImageLuma16(image.to_luma16());
    let gray = DynamicImage::ImageLuma16(image.to_luma16()).to_rgb8();
    assert_like(&native(&server, &encoded(&deep, ImageFormat::Png)).await, &gray, 1, "gray, 16 bits");
    let deep = DynamicImage::ImageRgb16(image.to_rgb16());
    assert_like(&native(&server, &encoded(&deep, ImageFormat::Png)).await, &rgb, 1, "RGB, 16 bits");
    server.end().await;
}

#[tokio::test]
async fn alpha_is_laid_over_white() {
    let server = TestServer::start(1).await;
    let rgba = RgbaImage::from_fn(30, 2, |x, _| Rgba([0, 0, 0, u8::try_from(x * 8).unwrap()]));
    let expect = RgbImage::from_fn(30, 2, |x, _| Rgb([255 - u8::try_from(x * 8).unwrap(); 3]));
    let image = DynamicImage::ImageRgba8(rgba);
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let bytes = encoded(&image, format);
        assert_like(&native(&server, &bytes).await, &expect, 1, &format!("{format:?}"));
    }
    let mut tiff = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut tiff).unwrap();
    let rgba = image.to_rgba8();
    encoder.write_image::<colortype::RGBA8>(30, 2, rgba.as_raw()).unwrap();
    assert_like(&native(&server, tiff.get_ref()).await, &expect, 1, "TIFF with alpha");
    server.end().await;
}

/// Adds an EXIF block with the camera's orientation to a JPEG header.
fn with_exif_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    [&jpeg[..2], &exif, &jpeg[2..]].concat()
}

/// Returns a file of each kind and variant that a PDF contains in its own way.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let image = DynamicImage::ImageRgb8(sample());
    let gray = DynamicImage::ImageLuma8(image.to_luma8());
    let mut black_and_white = image.to_luma8();
    black_and_white.pixels_mut().for_each(|pixel| pixel.0[0] = if pixel.0[0] > 90 { 255 } else { 0 });
    let mut pages = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut pages).unwrap();
    for _ in 0..3 {
        encoder.write_image::<colortype::RGB8>(60, 40, image.to_rgb8().as_raw()).unwrap();
    }
    let stored = [
        ("JPEG, upright", 1, image.clone()),
        ("JPEG, flipped", 2, image.fliph()),
        ("JPEG, overhead", 3, image.rotate180()),
        ("JPEG, flipped and overhead", 4, image.flipv()),
        ("JPEG, transposed", 5, image.rotate90().fliph()),
        ("JPEG, turned left", 6, image.rotate270()),
        ("JPEG, transposed and overhead", 7, image.rotate270().fliph()),
        ("JPEG, turned right", 8, image.rotate90()),
    ];
    let mut files: Vec<_> = stored
        .into_iter()
        .map(|(name, orientation, stored)| {
            (name, with_exif_orientation(&encoded(&stored, ImageFormat::Jpeg), orientation))
        })
        .collect();
    files.extend([
        ("PNG", encoded(&image, ImageFormat::Png)),
        ("PNG, gray", encoded(&gray, ImageFormat::Png)),
        ("PNG, black and white", encoded(&DynamicImage::ImageLuma8(black_and_white), ImageFormat::Png)),
        ("PNG, 16 bits", encoded(&DynamicImage::ImageRgb16(image.to_rgb16()), ImageFormat::Png)),
        ("PNG with alpha", encoded(&DynamicImage::ImageRgba8(image.to_rgba8()), ImageFormat::Png)),
        ("JPEG, gray", encoded(&gray, ImageFormat::Jpeg)),
        ("WebP", encoded(&image, ImageFormat::WebP)),
        ("BMP", encoded(&image, ImageFormat::Bmp)),
        ("GIF", encoded(&image, ImageFormat::Gif)),
        ("TIFF of three pages", pages.into_inner()),
    ]);
    files
}

#[tokio::test]
async fn exif_orientation_is_applied() {
    let server = TestServer::start(1).await;
    let upright = sample();
    let image = DynamicImage::ImageRgb8(upright.clone());
    // The sensor's view, which the stated orientation makes upright.
    let stored = [
        (1, image.clone()),
        (2, image.fliph()),
        (3, image.rotate180()),
        (4, image.flipv()),
        (5, image.rotate90().fliph()),
        (6, image.rotate270()),
        (7, image.rotate270().fliph()),
        (8, image.rotate90()),
    ];
    for (orientation, stored) in stored {
        let jpeg = with_exif_orientation(&encoded(&stored, ImageFormat::Jpeg), orientation);
        assert_like(&native(&server, &jpeg).await, &upright, 60, &format!("orientation {orientation}"));
    }
    server.end().await;
}

#[tokio::test]
async fn tiffs_of_many_pages_and_kinds() {
    let server = TestServer::start(1).await;
    let rgb = sample();
    let image = DynamicImage::ImageRgb8(rgb.clone());
    let gray8 = image.to_luma8();
    let gray16: Vec<u16> = image.to_luma16().into_raw();
    let deep: Vec<u16> = image.to_rgb16().into_raw();
    // CMYK of a gray ramp: black ink only.
    let cmyk: Vec<u8> = gray8.iter().flat_map(|v| [0, 0, 0, 255 - v]).collect();
    let mut tiff = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut tiff).unwrap();
    encoder.write_image::<colortype::RGB8>(60, 40, rgb.as_raw()).unwrap();
    encoder.write_image::<colortype::Gray8>(60, 40, gray8.as_raw()).unwrap();
    encoder.write_image::<colortype::Gray16>(60, 40, &gray16).unwrap();
    encoder.write_image::<colortype::RGB16>(60, 40, &deep).unwrap();
    encoder.write_image::<colortype::CMYK8>(60, 40, &cmyk).unwrap();
    let document = server.open(tiff.get_ref()).await.unwrap();
    assert_eq!((document.page_count(), document.content_type()), (5, "image/tiff"));
    let gray = DynamicImage::ImageLuma8(gray8).to_rgb8();
    for (index, expect) in [&rgb, &gray, &gray, &rgb, &gray].into_iter().enumerate() {
        let page = document.page(u32::try_from(index).unwrap()).await.unwrap();
        let image = page.render(page.info().native_dpi.unwrap(), PIXELS_MAX).await.unwrap();
        assert_like(&image, expect, 1, &format!("page {index}"));
    }
    assert_eq!(code(document.page(5).await), "page_out_of_range");
    server.end().await;
}

/// Writes a TIFF of one uncompressed strip, with features that the encoder does not support.
fn small_tiff(
    width: u16,
    height: u16,
    entries: &[(u16, u16, u32, u32)],
    extra: &[u8],
    strip: &[u8],
) -> Vec<u8> {
    let mut all: Vec<(u16, u16, u32, u32)> = entries.to_vec();
    let count = all.len() + 5;
    let data_at = u32::try_from(8 + 2 + count * 12 + 4).unwrap();
    let strip_at = data_at + u32::try_from(extra.len()).unwrap();
    all.push((256, 3, 1, width.into()));
    all.push((257, 3, 1, height.into()));
    all.push((273, 4, 1, strip_at));
    all.push((278, 3, 1, height.into()));
    all.push((279, 4, 1, u32::try_from(strip.len()).unwrap()));
    all.sort_unstable();
    let mut out = b"II*\0\x08\0\0\0".to_vec();
    out.extend(u16::try_from(count).unwrap().to_le_bytes());
    for (tag, kind, n, value) in all {
        out.extend(tag.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend(n.to_le_bytes());
        // A value of u32::MAX stands for "in the extra bytes".
        out.extend(if value == u32::MAX { data_at } else { value }.to_le_bytes());
    }
    out.extend([0; 4]);
    out.extend(extra);
    out.extend(strip);
    out
}

#[tokio::test]
async fn bilevel_and_palette_tiffs() {
    let server = TestServer::start(1).await;
    let (black, white) = ([0, 0, 0], [255, 255, 255]);
    // 10 x 2, 1 bit, white is zero, as fax machines write it.
    let entries = [(258, 3, 1, 1), (259, 3, 1, 1), (262, 3, 1, 0), (277, 3, 1, 1)];
    let fax = small_tiff(10, 2, &entries, &[], &[0b1000_0000, 0b0100_0000, 0, 0]);
    let image = native(&server, &fax).await;
    assert_eq!(image.size(), Size { width: 10, height: 2 });
    let pixels: Vec<_> = image.samples().chunks_exact(3).collect();
    let expect: Vec<_> = (0..20).map(|at| if at == 0 || at == 9 { black } else { white }).collect();
    assert_eq!(pixels, expect);

    // 3 x 1, 4 bits, color map of 16: red, green, blue.
    let mut map = vec![0_u16; 48];
    (map[1], map[16 + 2], map[32 + 3]) = (0xffff, 0xffff, 0xffff);
    let map: Vec<u8> = map.into_iter().flat_map(u16::to_le_bytes).collect();
    let entries = [(258, 3, 1, 4), (259, 3, 1, 1), (262, 3, 1, 3), (277, 3, 1, 1), (320, 3, 48, u32::MAX)];
    let palette = small_tiff(3, 1, &entries, &map, &[0x12, 0x30]);
    let image = native(&server, &palette).await;
    assert_eq!(image.samples(), [255, 0, 0, 0, 255, 0, 0, 0, 255]);
    server.end().await;
}

#[tokio::test]
async fn resolution_is_read_and_other_resolutions_are_rendered() {
    let server = TestServer::start(1).await;
    let mut jpeg = encoded(&DynamicImage::ImageRgb8(sample()), ImageFormat::Jpeg);
    let page = server.page(&jpeg).await;
    assert_eq!(page.info().native_dpi, Some(200.0), "nominal");
    let place = jpeg.windows(5).position(|w| w == b"JFIF\0").unwrap();
    jpeg.splice(place + 7..place + 12, [1, 1, 0x2c, 1, 0x2c]);
    let page = server.page(&jpeg).await;
    let info = page.info();
    assert_eq!((info.native_dpi, info.width_pt), (Some(300.0), 60.0 * 72.0 / 300.0));
    let half = page.render(150.0, PIXELS_MAX).await.unwrap();
    assert_eq!(half.size(), Size { width: 30, height: 20 });
    assert!(half.samples()[0] > 200 && half.samples()[1] < 60, "the red corner is still red");
    assert_eq!(page.render(600.0, PIXELS_MAX).await.unwrap().size().width, 120);
    let fault = page.render(300.0, 1_000).await.err().unwrap();
    assert_eq!(fault.code, "page_too_many_pixels");
    server.end().await;
}

/// Returns a PNG header that claims a size, with almost no data behind it.
fn claimed_png(width: u32, height: u32) -> Vec<u8> {
    let mut image = encoded(&DynamicImage::ImageLuma8(image::GrayImage::new(8, 8)), ImageFormat::Png);
    image[16..20].copy_from_slice(&width.to_be_bytes());
    image[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = crc32(&image[12..29]);
    image[29..33].copy_from_slice(&checksum.to_be_bytes());
    image
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1)))
    })
}

#[tokio::test]
async fn too_large_and_broken_pictures_are_refused_from_their_headers() {
    let server = TestServer::start(1).await;
    let fault = server.open(&claimed_png(20_000, 20_000)).await.err().unwrap();
    assert_eq!(fault.code, "image_too_large");
    assert!(fault.message.contains("20000 x 20000"), "{}", fault.message);
    let document = server.open(&claimed_png(300, 300)).await.unwrap();
    let page = document.page(0).await.unwrap();
    assert_eq!(code(page.render(200.0, PIXELS_MAX).await), "image_invalid");

    let image = DynamicImage::ImageRgb8(sample());
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP]
    {
        let bytes = encoded(&image, format);
        let outcome = async {
            let page = server.open(&bytes[..bytes.len() * 2 / 3]).await?.page(0).await?;
            page.render(page.info().native_dpi.unwrap(), PIXELS_MAX).await
        };
        assert_eq!(code(outcome.await), "image_invalid", "{format:?} cut off");
    }
    assert_eq!(server.workers.status().respawns, 0, "no worker was lost over it");
    server.end().await;
}

#[tokio::test]
async fn damaged_pictures_never_stop_the_server() {
    let server = TestServer::start(1).await;
    let image = DynamicImage::ImageRgb8(sample());
    let mut tiff = Cursor::new(Vec::new());
    TiffEncoder::new(&mut tiff).unwrap().write_image::<colortype::RGB8>(60, 40, sample().as_raw()).unwrap();
    let formats =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP];
    let mut seeds: Vec<Vec<u8>> = formats.iter().map(|format| encoded(&image, *format)).collect();
    seeds.push(tiff.into_inner());
    let mut dice = crate::support::Dice(99);
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    for round in 0..300 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=dice.roll(8) {
            let at = 12 + dice.roll(bytes.len() - 12);
            bytes[at] = u8::try_from(dice.roll(256)).unwrap();
        }
        let outcome = async {
            let page = server.open(&bytes).await?.page(0).await?;
            page.render(page.info().native_dpi.unwrap(), PIXELS_MAX).await
        };
        *seen.entry(code(outcome.await)).or_default() += 1;
    }
    eprintln!("damaged pictures: {seen:?}, respawns {}", server.workers.status().respawns);
    let allowed = [
        "no fault",
        "image_invalid",
        "image_unsupported",
        "image_too_large",
        "page_too_many_pixels",
        "document_memory_exceeded",
        "document_unsupported_type",
        "page_render_crashed",
        "document_too_many_pages",
    ];
    assert!(seen.keys().all(|code| allowed.contains(code)), "{seen:?}");
    server.end().await;
}

/// Returns the raw stream of the first picture object of a PDF.
fn picture_stream(pdf: &[u8]) -> &[u8] {
    let find =
        |from: usize, what: &[u8]| from + pdf[from..].windows(what.len()).position(|w| w == what).unwrap();
    let start = find(find(0, b"/Subtype /Image"), b"stream\n") + 7;
    &pdf[start..find(start, b"\nendstream")]
}

/// Returns the mean difference of two pictures of the same size.
fn difference(a: &Image, b: &Image) -> f64 {
    assert_eq!(a.size(), b.size());
    let sum: u64 = a.samples().iter().zip(b.samples()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.samples().len() as f64
}

#[tokio::test]
async fn inks_and_fax_codes_look_as_pdfium_draws_them() {
    let Some(corpus) = crate::support::corpus() else { return };
    let server = TestServer::start(1).await;
    let read = |name: &str| std::fs::read(corpus.join(name)).unwrap();

    // A CMYK JPEG with inverted inks, as Adobe writes it.
    let pdf = read("img2pdf__CMYK.jpg.pdf");
    let drawn = server.page(&pdf).await;
    let dpi = 115.0 / drawn.info().width_pt * 72.0;
    let drawn = drawn.render(dpi, PIXELS_MAX).await.unwrap();
    let decoded = native(&server, picture_stream(&pdf)).await;
    assert!(difference(&drawn, &decoded) < 12.0, "CMYK JPEG: {}", difference(&drawn, &decoded));

    // CCITT group 4, as scanners and fax machines write it; and the same with black and white swapped.
    let pdf = read("img2pdf__mono.tif.pdf");
    let drawn = server.page(&pdf).await.render(dpi, PIXELS_MAX).await.unwrap();
    let fax = picture_stream(&pdf);
    let tiff = |photometric| {
        let entries = [(258, 3, 1, 1), (259, 3, 1, 4), (262, 3, 1, photometric), (277, 3, 1, 1)];
        small_tiff(115, 48, &entries, &[], fax)
    };
    let differences = [
        difference(&drawn, &native(&server, &tiff(0)).await),
        difference(&drawn, &native(&server, &tiff(1)).await),
    ];
    assert!(differences.iter().any(|d| *d < 1.0), "group 4: {differences:?}");
    assert!(differences.iter().any(|d| *d > 200.0), "group 4: {differences:?}");
    server.end().await;
}
