//! The characters of a document's invisible text, and the font objects that describe them.
//!
//! Each character that occurs gets the next code, so that the ToUnicode map lists what occurs and nothing else. A code
//! stands for one Unicode scalar value, of any plane: a table of all of UTF-16 would split the upper planes.

use std::collections::HashMap;
use std::fmt::Write;

use lopdf::{Dictionary, Document, Object, ObjectId, Stream, dictionary};

use super::glyphless;
use crate::faults::Refusal;

/// Name of the font in the file.
const FONT_NAME: &str = "LectorGlyphless";
/// Most entries of one `bfchar` block (Adobe Technical Note 5014).
const BFCHAR_MAX: usize = 100;
/// Codes have two bytes, and 0 is the missing glyph.
const CODES_MAX: usize = 0xffff;

/// Codes of characters.
#[derive(Default)]
pub(super) struct Glyphs {
    codes: HashMap<char, u16>,
    /// The characters in the order of their codes, which begin at 1.
    characters: Vec<char>,
}

impl Glyphs {
    /// Returns the code of a character; `None` where all codes are used, which takes 65,535 different characters.
    pub(super) fn code(&mut self, character: char) -> Option<u16> {
        if let Some(code) = self.codes.get(&character) {
            return Some(*code);
        }
        if self.characters.len() >= CODES_MAX {
            return None;
        }
        self.characters.push(character);
        let code = u16::try_from(self.characters.len()).ok()?;
        self.codes.insert(character, code);
        Some(code)
    }

    /// Adds the font as the object `font`.
    pub(super) fn write(&self, file: &mut Document, font: ObjectId) -> Result<(), Refusal> {
        let program = glyphless::program();
        let length = program.len() as i64;
        let program = add(file, compressed(dictionary! { "Length1" => length }, program)?)?;
        let advance = i64::from(glyphless::ADVANCE);
        let (ascent, descent) = (i64::from(glyphless::ASCENT), i64::from(glyphless::DESCENT));
        let descriptor = add(
            file,
            dictionary! {
                "Type" => "FontDescriptor",
                "FontName" => FONT_NAME,
                // Symbolic: the program has no names of characters.
                "Flags" => 4,
                "FontBBox" => numbers(&[0, descent, advance, ascent]),
                "ItalicAngle" => 0,
                "Ascent" => ascent,
                "Descent" => descent,
                "CapHeight" => ascent,
                "StemV" => 80,
                "FontFile2" => program,
            },
        )?;
        // Every code is glyph 1; code 0 is not used.
        let glyph_of_code: Vec<u8> = std::iter::once([0, 0])
            .chain(std::iter::repeat_n([0, 1], self.characters.len()))
            .flatten()
            .collect();
        let glyph_of_code = add(file, compressed(Dictionary::new(), glyph_of_code)?)?;
        let unicode = add(file, compressed(Dictionary::new(), self.to_unicode().into_bytes())?)?;
        let descendant = add(
            file,
            dictionary! {
                "Type" => "Font",
                "Subtype" => "CIDFontType2",
                "BaseFont" => FONT_NAME,
                "CIDSystemInfo" => dictionary! {
                    "Registry" => Object::string_literal("Adobe"),
                    "Ordering" => Object::string_literal("Identity"),
                    "Supplement" => 0,
                },
                "FontDescriptor" => descriptor,
                "DW" => advance,
                "CIDToGIDMap" => glyph_of_code,
            },
        )?;
        let whole = dictionary! {
            "Type" => "Font",
            "Subtype" => "Type0",
            "BaseFont" => FONT_NAME,
            "Encoding" => "Identity-H",
            "DescendantFonts" => vec![Object::Reference(descendant)],
            "ToUnicode" => unicode,
        };
        file.set_object(font, whole);
        Ok(())
    }

    fn to_unicode(&self) -> String {
        let mut map = String::from(
            "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CIDSystemInfo << /Registry (Adobe) \
             /Ordering (UCS) /Supplement 0 >> def\n/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n\
             1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n",
        );
        let mut code = 0_u32;
        for block in self.characters.chunks(BFCHAR_MAX) {
            // Writing to a string cannot fail.
            let _ = writeln!(map, "{} beginbfchar", block.len());
            for character in block {
                code += 1;
                let _ = write!(map, "<{code:04X}> <");
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    let _ = write!(map, "{unit:04X}");
                }
                map.push_str(">\n");
            }
            map.push_str("endbfchar\n");
        }
        map.push_str("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n");
        map
    }
}

/// Adds an object and returns a reference to it.
pub(super) fn add(file: &mut Document, object: impl Into<Object>) -> Result<ObjectId, Refusal> {
    file.try_add_object(object).map_err(full)
}

/// Returns the refusal of a file that has used all numbers of objects.
pub(super) fn full(error: lopdf::Error) -> Refusal {
    Refusal::NotComposable { reason: format!("its objects cannot be numbered: {error}") }
}

/// Returns a stream, compressed where that makes it shorter.
pub(super) fn compressed(entries: Dictionary, content: Vec<u8>) -> Result<Stream, Refusal> {
    let mut stream = Stream::new(entries, content);
    let packed = stream.compress();
    packed.map_err(|error| Refusal::Internal { detail: format!("compressing a stream: {error}") })?;
    Ok(stream)
}

/// Returns an array of whole numbers.
pub(super) fn numbers(values: &[i64]) -> Object {
    Object::Array(values.iter().map(|value| Object::Integer(*value)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_character_has_one_code_and_its_unicode_value() {
        let mut glyphs = Glyphs::default();
        assert_eq!("aéa𝄞".chars().map(|c| glyphs.code(c).unwrap()).collect::<Vec<_>>(), [1, 2, 1, 3]);
        let map = glyphs.to_unicode();
        for line in ["3 beginbfchar", "<0001> <0061>", "<0002> <00E9>", "<0003> <D834DD1E>"] {
            assert!(map.contains(line), "{line} in {map}");
        }
    }

    #[test]
    fn blocks_of_the_map_are_bounded() {
        let mut glyphs = Glyphs::default();
        (0x4e00..0x4e00 + 250).filter_map(char::from_u32).for_each(|c| assert!(glyphs.code(c).is_some()));
        let map = glyphs.to_unicode();
        assert_eq!(map.matches("100 beginbfchar").count(), 2);
        assert_eq!(map.matches("50 beginbfchar").count(), 1);
        assert!(map.contains("<00FA> <4EF9>"));
    }
}
