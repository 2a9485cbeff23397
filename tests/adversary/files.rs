//! Documents of a few kilobytes that decompress to much, or take long.

use std::io::{Cursor, Write};

use image::{ImageFormat, RgbImage};
use lector_tests::pdf;

/// Pages of the page trees.
const PAGES: usize = 100_000;

fn deflated(bytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(zeros.len());
        encoder.write_all(&zeros[..now]).unwrap();
        left -= now;
    }
    encoder.finish().unwrap()
}

fn deflated_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn encoded(side: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::new(side, side).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Returns a gray TIFF of one strip (TIFF 6.0, section 2) with this compression.
fn tiff(side: u32, compression: u16, strip: &[u8]) -> Vec<u8> {
    let entry = |tag: u16, value: u32| {
        let mut bytes = tag.to_le_bytes().to_vec();
        bytes.extend(4_u16.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
        bytes
    };
    let strip_at = 8;
    let directory_at = strip_at + strip.len() as u32 + strip.len() as u32 % 2;
    let mut bytes = b"II*\0".to_vec();
    bytes.extend(directory_at.to_le_bytes());
    bytes.extend_from_slice(strip);
    bytes.resize(directory_at as usize, 0);
    let entries = [
        entry(256, side),
        entry(257, side),
        entry(258, 8),
        entry(259, u32::from(compression)),
        entry(262, 1),
        entry(273, strip_at),
        entry(277, 1),
        entry(278, side),
        entry(279, strip.len() as u32),
    ];
    bytes.extend((entries.len() as u16).to_le_bytes());
    bytes.extend(entries.concat());
    bytes.extend([0; 4]);
    bytes
}

/// Returns a chunk of a PNG.
fn chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(body);
    [&(body.len() as u32).to_be_bytes(), &kind[..], body, &crc.sum().to_be_bytes()].concat()
}

fn png(side: u32) -> Vec<u8> {
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let rows = deflated((side as usize + 1) * side as usize);
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &rows), chunk(b"IEND", b"")]
        .concat()
}

/// Replaces bytes at a place that `find` locates.
fn patched(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

fn position(bytes: &[u8], of: &[u8]) -> usize {
    bytes.windows(of.len()).position(|part| part == of).expect("the marker is there")
}

/// Returns a bomb for every codec: real ones where the format compresses zeros, else a header that claims a large
/// picture.
pub fn pictures() -> Vec<(&'static str, Vec<u8>)> {
    let side = 10_000_u32;
    let jpeg = encoded(16, ImageFormat::Jpeg);
    let frame = position(&jpeg, &[0xff, 0xc0]) + 5;
    let gif = encoded(16, ImageFormat::Gif);
    let descriptor = position(&gif, &[0x2c, 0, 0, 0, 0, 16, 0, 16, 0]) + 5;
    let short = (side as u16).to_le_bytes();
    let gif = patched(patched(gif, 6, &[short, short].concat()), descriptor, &[short, short].concat());
    let long = side.to_le_bytes();
    let run: Vec<u8> = [0x81, 0].repeat((side as usize * side as usize).div_ceil(128));
    vec![
        ("image/png", png(side)),
        ("image/tiff", tiff(side, 8, &deflated(side as usize * side as usize))),
        ("image/tiff", tiff(side, 32773, &run)),
        ("image/webp", encoded(3000, ImageFormat::WebP)),
        ("image/jpeg", patched(jpeg, frame, &[0xff, 0xdc, 0xff, 0xdc])),
        ("image/gif", gif),
        ("image/bmp", patched(encoded(16, ImageFormat::Bmp), 18, &[long, long].concat())),
    ]
}

/// Returns a PDF whose page tree is flat, and one whose nodes have one child each.
pub fn page_trees() -> [Vec<u8>; 2] {
    let catalog = || b"<< /Type /Catalog /Pages 2 0 R >>".to_vec();
    let page =
        |parent: usize| format!("<< /Type /Page /Parent {parent} 0 R /MediaBox [0 0 9 9] >>").into_bytes();
    let kids: Vec<String> = (0..PAGES).map(|number| format!("{} 0 R", 3 + number)).collect();
    let root = format!("<< /Type /Pages /Count {PAGES} /Kids [{}] >>", kids.join(" ")).into_bytes();
    let flat: Vec<Vec<u8>> = [catalog(), root].into_iter().chain((0..PAGES).map(|_| page(2))).collect();
    let node = |number: usize| format!("<< /Type /Pages /Count 1 /Kids [{} 0 R] >>", number + 1).into_bytes();
    let deep: Vec<Vec<u8>> =
        [catalog()].into_iter().chain((2..PAGES).map(node)).chain([page(PAGES - 1)]).collect();
    [pdf::assemble(&flat), pdf::assemble(&deep)]
}

/// Returns a PDF with a chain of cross-reference tables.
pub fn chained_tables() -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Count 0/Kids[]>>endobj\n".to_vec();
    let mut before = None;
    for _ in 0..800 {
        let at = bytes.len();
        let link = before.map_or(String::new(), |at| format!("/Prev {at}"));
        bytes.extend(
            format!("xref\n0 1\n0000000000 65535 f \ntrailer<</Size 3/Root 1 0 R{link}>>\n").into_bytes(),
        );
        before = Some(at);
    }
    bytes.extend(format!("startxref\n{}\n%%EOF", before.unwrap_or(0)).into_bytes());
    bytes
}

/// Returns PDFs whose page is one image (or its content) in a format that compresses to little: two layers of deflate, rows of
/// white in the encoding of fax machines (ITU-T T.6: one bit a row), run lengths, and a JPEG 2000 header (ISO/IEC 15444-1,
/// annex A) that claims a large picture.
pub fn filters() -> [Vec<u8>; 4] {
    let side = 30_000_u32;
    let image = |filter: &str, bits: u32, space: &str, body: &[u8]| {
        let dictionary = format!(
            "/Type /XObject /Subtype /Image /Width {side} /Height {side} /BitsPerComponent {bits} /ColorSpace /{space} {filter}"
        );
        let page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
                    /Resources << /XObject << /I 5 0 R >> >> >>";
        of_page(page, pdf::stream("", b"595 0 0 842 0 0 cm /I Do"), pdf::stream(&dictionary, body))
    };
    let fax = format!("/Filter /CCITTFaxDecode /DecodeParms << /K -1 /Columns {side} /Rows {side} >>");
    let fax = image(&fax, 1, "DeviceGray", &vec![0xff; side as usize / 8]);
    let runs = image("/Filter /RunLengthDecode", 1, "DeviceGray", &[0x81, 0].repeat(1 << 20));
    let mut header = vec![0xff, 0x4f, 0xff, 0x51, 0, 47, 0, 0];
    for value in [side, side, 0, 0, side, side, 0, 0] {
        header.extend(value.to_be_bytes());
    }
    header.extend([0, 3, 7, 1, 1, 7, 1, 1, 7, 1, 1]);
    let jpeg2000 = image("/Filter /JPXDecode", 8, "DeviceRGB", &header);
    let content = pdf::stream("/Filter [/FlateDecode /FlateDecode]", &deflated_bytes(&deflated(256 << 20)));
    let page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>";
    [of_page(page, content, b"<< >>".to_vec()), fax, runs, jpeg2000]
}

/// Returns a PDF of one page, its content (object 4) and one more object (5).
fn of_page(page: &str, content: Vec<u8>, more: Vec<u8>) -> Vec<u8> {
    pdf::assemble(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>".to_vec(),
        page.into(),
        content,
        more,
    ])
}

/// Returns a PDF of a page that is filled with a tiling pattern of tiny steps.
pub fn tiling() -> Vec<u8> {
    let pattern = pdf::stream(
        "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 1 1] /XStep 0.001 /YStep 0.001 /Resources << >>",
        b"0 0 1 1 re f",
    );
    let page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
                /Resources << /Pattern << /P 5 0 R >> >> >>";
    of_page(page, pdf::stream("", b"/Pattern cs /P scn 0 0 595 842 re f"), pattern)
}

/// Returns a form with many parts, and one with a single part of many headers.
pub fn forms() -> [Vec<u8>; 2] {
    let part = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n%PDF\r\n";
    let many = [part.repeat(100_000), b"--b--\r\n".to_vec()].concat();
    let header = b"x-header: value\r\n".repeat(100_000);
    let headers = [b"--b\r\n".to_vec(), header, b"\r\n%PDF\r\n--b--\r\n".to_vec()].concat();
    [many, headers]
}
