//! A small PDF writer for tests: pages of Helvetica text, and malformed files that no tool writes.

use std::io::Write;

/// One page.
#[derive(Clone)]
pub struct PageSpec {
    /// In points.
    pub width: f32,
    /// In points.
    pub height: f32,
    /// Lines at 14 pt, from the top.
    pub lines: Vec<String>,
    /// `/Rotate` in degrees.
    pub rotate: i32,
}

impl PageSpec {
    pub fn a4(lines: &[&str]) -> Self {
        Self {
            width: 595.0,
            height: 842.0,
            lines: lines.iter().map(|l| (*l).to_owned()).collect(),
            rotate: 0,
        }
    }
}

/// Returns a PDF with these pages.
pub fn document(pages: &[PageSpec]) -> Vec<u8> {
    let mut objects: Vec<Vec<u8>> = Vec::new();
    let kids: Vec<String> = (0..pages.len()).map(|i| format!("{} 0 R", 4 + 2 * i)).collect();
    objects.push(b"<< /Type /Catalog /Pages 2 0 R >>".to_vec());
    objects
        .push(format!("<< /Type /Pages /Count {} /Kids [{}] >>", pages.len(), kids.join(" ")).into_bytes());
    objects
        .push(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_vec());
    for (i, page) in pages.iter().enumerate() {
        objects.push(
            format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {} {}] /Rotate {} /Resources << /Font << /F1 3 0 R >> >> /Contents {} 0 R >>",
                page.width, page.height, page.rotate, 5 + 2 * i
            )
            .into_bytes(),
        );
        let mut content = format!("BT /F1 14 Tf 18 TL 60 {} Td\n", page.height - 80.0);
        for line in &page.lines {
            let escaped = line.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)");
            content.push_str(&format!("({escaped}) Tj T*\n"));
        }
        content.push_str("ET");
        objects.push(stream("", content.as_bytes()));
    }
    assemble(&objects)
}

/// Returns a stream object.
pub fn stream(dictionary: &str, data: &[u8]) -> Vec<u8> {
    let mut out = format!("<< {dictionary} /Length {} >>\nstream\n", data.len()).into_bytes();
    out.extend_from_slice(data);
    out.extend_from_slice(b"\nendstream");
    out
}

/// Numbers the objects from 1 (the first is the catalog) and adds the cross-reference table.
pub fn assemble(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n".to_vec();
    let mut offsets = Vec::new();
    for (i, object) in objects.iter().enumerate() {
        offsets.push(out.len());
        out.extend_from_slice(format!("{} 0 obj\n", i + 1).as_bytes());
        out.extend_from_slice(object);
        out.extend_from_slice(b"\nendobj\n");
    }
    let xref = out.len();
    out.extend_from_slice(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).as_bytes());
    for offset in offsets {
        out.extend_from_slice(format!("{offset:010} 00000 n \n").as_bytes());
    }
    out.extend_from_slice(
        format!("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{xref}\n%%EOF\n", objects.len() + 1)
            .as_bytes(),
    );
    out
}

/// Returns a PDF with an empty page tree.
pub fn without_pages() -> Vec<u8> {
    assemble(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Count 0 /Kids [] >>".to_vec(),
    ])
}

/// Returns a page whose image decompresses from kilobytes to `side * side * 3` bytes.
pub fn image_bomb(side: u32) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let row = vec![0u8; side as usize * 3];
    for _ in 0..side {
        packer.write_all(&row).expect("in memory");
    }
    let image = packer.finish().expect("in memory");
    assemble(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /XObject << /I 4 0 R >> >> /Contents 5 0 R >>"
            .to_vec(),
        stream(
            &format!(
                "/Type /XObject /Subtype /Image /Width {side} /Height {side} /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode"
            ),
            &image,
        ),
        stream("", b"q 500 0 0 700 40 60 cm /I Do Q"),
    ])
}

/// Returns a page whose content stream decompresses to `bytes` bytes of drawing commands.
pub fn content_bomb(bytes: usize) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let command = b"0 0 m 500 700 l S\n".repeat(1000);
    let mut left = bytes;
    while left > 0 {
        let n = left.min(command.len());
        packer.write_all(&command[..n]).expect("in memory");
        left -= n;
    }
    let content = packer.finish().expect("in memory");
    assemble(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>".to_vec(),
        stream("/Filter /FlateDecode", &content),
    ])
}

/// Returns a document of `pages` pages that share one content stream of tiny words, `lines` lines of `words` words
/// each: a few kilobytes that decompress to `pages * lines * words` words of embedded text.
pub fn word_bomb(pages: usize, lines: usize, words: usize) -> Vec<u8> {
    let mut content = String::from("BT /F1 1 Tf 1.2 TL 5 835 Td\n");
    let line = format!("({}) Tj T*\n", vec!["a"; words].join(" "));
    for _ in 0..lines {
        content.push_str(&line);
    }
    content.push_str("ET");
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(content.as_bytes()).expect("in memory");
    let content = packer.finish().expect("in memory");
    let kids: Vec<String> = (0..pages).map(|i| format!("{} 0 R", 5 + i)).collect();
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        format!(
            "<< /Type /Pages /Count {pages} /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Kids [{}] >>",
            kids.join(" ")
        )
        .into_bytes(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_vec(),
        stream("/Filter /FlateDecode", &content),
    ];
    objects.extend((0..pages).map(|_| b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R >>".to_vec()));
    assemble(&objects)
}

/// Returns a page in a file with a chain of `streams` cross-reference streams, each of which lists 20,000 free objects:
/// some 280 bytes a stream, and tens of thousands of steps for each when the file is opened.
pub fn chained_cross_references(streams: usize) -> Vec<u8> {
    const FREE: usize = 20_000;
    const FIRST_FREE: usize = 10_000;
    let deflated = |bytes: &[u8]| {
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).expect("in memory");
        packer.finish().expect("in memory")
    };
    let mut out = b"%PDF-1.7\n".to_vec();
    let mut entries = vec![0; 6];
    for (number, object) in [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] >>",
    ]
    .iter()
    .enumerate()
    {
        entries.push(1);
        entries.extend(u32::try_from(out.len()).expect("a small file").to_be_bytes());
        entries.push(0);
        out.extend_from_slice(format!("{} 0 obj\n{object}\nendobj\n", number + 1).as_bytes());
    }
    let free = deflated(&vec![0; FREE * 6]);
    let mut previous = None;
    for number in 0..=streams {
        // The oldest lists the objects of the page, the others free objects.
        let (index, data) = match previous {
            None => ("0 4".to_owned(), deflated(&entries)),
            Some(_) => (format!("{FIRST_FREE} {FREE}"), free.clone()),
        };
        let prev = previous.map(|at: usize| format!("/Prev {at}")).unwrap_or_default();
        previous = Some(out.len());
        let dictionary = format!(
            "/Type /XRef /Size {} /Root 1 0 R /W [1 4 1] /Index [{index}] {prev} /Filter /FlateDecode",
            FIRST_FREE + FREE
        );
        out.extend_from_slice(format!("{} 0 obj\n", 4 + number).as_bytes());
        out.extend_from_slice(&stream(&dictionary, &data));
        out.extend_from_slice(b"\nendobj\n");
    }
    let newest = previous.unwrap_or_default();
    out.extend_from_slice(format!("startxref\n{newest}\n%%EOF\n").as_bytes());
    out
}

/// Returns a page of some 750 bytes that is filled with a tiling pattern whose step is a thousandth of a point.
pub fn fine_tiling() -> Vec<u8> {
    assemble(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Pattern << /P 4 0 R >> >> /Contents 5 0 R >>"
            .to_vec(),
        stream(
            "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 1 1] /XStep 0.001 /YStep 0.001 \
             /Resources << >>",
            b"0 0 1 1 re f",
        ),
        stream("", b"/Pattern cs /P scn 0 0 595 842 re f"),
    ])
}
