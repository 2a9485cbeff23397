//! A PNG writer without compression (RFC 2083, stored blocks of RFC 1951): sufficient for unit tests of guests.

use crate::Size;

/// Maximum length of a stored block.
const BLOCK_BYTES: usize = 65_535;

/// Encodes a PNG of 8-bit samples with 1 or 3 channels.
pub(crate) fn encode(size: Size, channels: usize, samples: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(samples.len() + size.height as usize);
    for row in samples.chunks(size.width.max(1) as usize * channels) {
        raw.push(0);
        raw.extend_from_slice(row);
    }
    let mut zlib = vec![0x78, 0x01];
    let blocks = raw.chunks(BLOCK_BYTES);
    let last = blocks.len();
    for (number, block) in (1..).zip(blocks) {
        let length = block.len() as u16;
        zlib.push(u8::from(number == last));
        zlib.extend(length.to_le_bytes());
        zlib.extend((!length).to_le_bytes());
        zlib.extend_from_slice(block);
    }
    zlib.extend(adler32(&raw).to_be_bytes());
    let mut header = Vec::from(size.width.to_be_bytes());
    header.extend(size.height.to_be_bytes());
    header.extend([8, if channels == 1 { 0 } else { 2 }, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", header), (b"IDAT", zlib), (b"IEND", Vec::new())] {
        png.extend((data.len() as u32).to_be_bytes());
        let start = png.len();
        png.extend_from_slice(kind);
        png.extend(data);
        let sum = crc32(png.get(start..).unwrap_or_default());
        png.extend(sum.to_be_bytes());
    }
    png
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standards() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn one_pixel_is_a_whole_file() {
        let png = encode(Size { width: 1, height: 1 }, 1, &[7]);
        assert!(png.starts_with(b"\x89PNG") && png.ends_with(b"IEND\xae\x42\x60\x82"));
        assert_eq!(png.len(), 8 + (12 + 13) + (12 + 2 + 5 + 2 + 4) + 12);
    }
}
