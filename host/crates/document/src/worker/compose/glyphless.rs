//! The font of invisible text: a TrueType program of one glyph, built here.
//!
//! A PDF reader needs a font to place characters, and ISO 19005 (PDF/A) an embedded one. Its only glyph is half
//! an em wide; every character of a document is that glyph, and a ToUnicode map says which character it stands for. So
//! one font of some 300 bytes serves every script. The outline is a line along the diagonal of the glyph's box, which
//! covers no area: pdfium takes the box of a character from its outline, and drops turned text whose box is empty.

/// Width of the glyph in thousandths of the font size.
pub(super) const ADVANCE: u16 = 500;
/// Height of the glyph above the baseline, in the same unit. Readers take the box of a word from it.
pub(super) const ASCENT: i16 = 1000;
/// Depth below the baseline. Poppler replaces a descent of 0 by one of its own.
pub(super) const DESCENT: i16 = -1;
const UNITS_PER_EM: u16 = 1000;
const GLYPHS: u16 = 2;

/// Returns the font program: the tables that ISO 32000-1, 9.9, requires for a CIDFontType2.
pub(super) fn program() -> Vec<u8> {
    let tables: [(&[u8; 4], Vec<u8>); 7] = [
        // Readers that ignore the CIDToGIDMap look at the `cmap`; an empty one is invalid to some of them.
        (b"cmap", words(&[0, 1, 3, 1, 0, 12, 4, 24, 0, 2, 2, 0, 0, 0xffff, 0, 0xffff, 1, 0])),
        (b"glyf", glyf()),
        (b"head", head()),
        (b"hhea", hhea()),
        (b"hmtx", words(&[ADVANCE, 0, ADVANCE, 0])),
        // Offsets in units of two bytes: the missing glyph has no outline.
        (b"loca", words(&[0, 0, 12])),
        (b"maxp", maxp()),
    ];
    let mut directory = vec![0, 1, 0, 0];
    let count = tables.len() as u16;
    // searchRange, entrySelector, rangeShift of seven tables: 4 * 16, log2(4), 7 * 16 - 64.
    directory.extend(words(&[count, 64, 2, count * 16 - 64]));
    let mut at = directory.len() + tables.len() * 16;
    let mut body = Vec::new();
    for (tag, table) in &tables {
        directory.extend_from_slice(*tag);
        for number in [checksum(table), at as u32, table.len() as u32] {
            directory.extend(number.to_be_bytes());
        }
        body.extend_from_slice(table);
        body.resize(body.len().next_multiple_of(4), 0);
        at += table.len().next_multiple_of(4);
    }
    directory.extend(body);
    adjust(&mut directory);
    directory
}

/// Sets `checkSumAdjustment` of `head`, which makes the sum of the whole file the constant of the specification.
fn adjust(font: &mut [u8]) {
    const WHOLE: u32 = 0xb1b0_afba;
    let value = WHOLE.wrapping_sub(checksum(font)).to_be_bytes();
    let entry = font.chunks_exact(16).position(|entry| entry.get(12..16).is_some_and(|tag| tag == b"head"));
    // The directory starts at byte 12, so a tag is the last quarter of an aligned block of 16 bytes.
    let offset = entry.and_then(|at| font.get(at * 16 + 20..at * 16 + 24)).and_then(|b| b.try_into().ok());
    let Some(start) = offset.map(u32::from_be_bytes).and_then(|at| usize::try_from(at).ok()) else { return };
    if let Some(field) = font.get_mut(start + 8..start + 12) {
        field.copy_from_slice(&value);
    }
}

fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

fn signed(value: i16) -> u16 {
    u16::from_ne_bytes(value.to_ne_bytes())
}

fn checksum(table: &[u8]) -> u32 {
    table.chunks(4).fold(0_u32, |sum, chunk| {
        let mut word = [0; 4];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        sum.wrapping_add(u32::from_be_bytes(word))
    })
}

fn head() -> Vec<u8> {
    // Version 1.0, revision 1.0, adjustment (set later), magic number, flags, units per em.
    let mut table = words(&[1, 0, 1, 0, 0, 0, 0x5f0f, 0x3cf5, 0, UNITS_PER_EM]);
    // Created and modified: the epoch of the format, so that the same text gives the same bytes.
    table.extend([0; 16]);
    // The box of all glyphs, style, smallest size, direction, offsets of two bytes, format.
    table.extend(words(&[0, signed(DESCENT), ADVANCE, signed(ASCENT), 0, 8, 2, 0, 0]));
    table
}

fn hhea() -> Vec<u8> {
    let mut table = words(&[1, 0, signed(ASCENT), signed(DESCENT), 0, ADVANCE, 0, 0, ADVANCE, 1, 0, 0]);
    table.extend([0; 10]);
    // The number of advances.
    table.extend(words(&[GLYPHS]));
    table
}

fn glyf() -> Vec<u8> {
    // One contour, the box, the last point of the contour, no instructions.
    let mut glyph = words(&[1, 0, signed(DESCENT), ADVANCE, signed(ASCENT), 1, 0]);
    // Two points on the curve; their distances from the point before: x, then y.
    glyph.extend([1, 1]);
    glyph.extend(words(&[0, ADVANCE, signed(DESCENT), signed(ASCENT - DESCENT)]));
    glyph
}

fn maxp() -> Vec<u8> {
    let mut table = words(&[1, 0, GLYPHS]);
    // Two points, one contour, one zone, no instructions.
    table.extend(words(&[2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
    table
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn the_font_is_small_and_its_sums_are_right() {
        let font = program();
        assert!(font.len() < 600, "{} bytes", font.len());
        assert_eq!(checksum(&font), 0xb1b0_afba, "the sum of a whole font is a constant");
        let number = |at: usize| u32::from_be_bytes(font[at..at + 4].try_into().unwrap());
        for table in 0..7 {
            let entry = 12 + table * 16;
            let (sum, at, len) = (number(entry + 4), number(entry + 8) as usize, number(entry + 12) as usize);
            assert!(at % 4 == 0 && at + len <= font.len());
            let mut bytes = font[at..at + len].to_vec();
            if &font[entry..entry + 4] == b"head" {
                bytes[8..12].fill(0);
            }
            assert_eq!(checksum(&bytes), sum);
        }
    }
}
