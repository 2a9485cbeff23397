//! TIFF pictures with a color map, which the `tiff` crate does not decode.
//!
//! The crate rejects the color type, although the samples are stored like gray ones. The reader therefore replaces the
//! tag value "palette" by "gray" ([`Patched`]), and this module looks up the decoded numbers.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use ::tiff::TiffResult;
use ::tiff::decoder::Decoder;
use ::tiff::tags::{ByteOrder, Tag};

const PHOTOMETRIC: u16 = 262;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;

/// A color map.
pub(super) struct Palette {
    /// Red of every color, then green, then blue; 16 bits each.
    map: Vec<u16>,
    /// Offset of the value of the photometric tag in the file.
    patch_at: u64,
    patch: [u8; 2],
}

impl Palette {
    /// Returns the color map of the decoder's current picture; `None` for a picture without one.
    pub(super) fn of(decoder: &mut Decoder<Patched<'_>>, bytes: &[u8]) -> TiffResult<Option<Palette>> {
        if decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation)? != Some(PALETTE) {
            return Ok(None);
        }
        let map = decoder.find_tag_unsigned_vec::<u16>(Tag::ColorMap)?.unwrap_or_default();
        let big_endian = decoder.byte_order() == ByteOrder::BigEndian;
        let directory = decoder.ifd_pointer().map(|pointer| pointer.0);
        let found = directory.and_then(|at| photometric_at(bytes, at, big_endian));
        let patch = if big_endian { BLACK_IS_ZERO.to_be_bytes() } else { BLACK_IS_ZERO.to_le_bytes() };
        Ok(found.map(|patch_at| Palette { map, patch_at, patch }))
    }

    /// Returns color `number`; white beyond the map.
    pub(super) fn color(&self, number: u8) -> [u8; 3] {
        let colors = self.map.len() / 3;
        let channel = |position: usize| {
            let inside = usize::from(number) < colors;
            let value = self.map.get(position * colors + usize::from(number)).filter(|_| inside);
            value.map_or(u8::MAX, |v| v.to_be_bytes()[0])
        };
        [channel(0), channel(1), channel(2)]
    }
}

/// Returns the offset of the value of the photometric tag in the directory at `directory`.
fn photometric_at(bytes: &[u8], directory: u64, big_endian: bool) -> Option<u64> {
    let number = |at: u64, len: usize| -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let raw = bytes.get(at..at.checked_add(len)?)?.iter();
        let value = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        Some(if big_endian { raw.fold(0, value) } else { raw.rev().fold(0, value) })
    };
    // Version 43 is BigTIFF: 8-byte counts, entries of 20 bytes with the value at 12.
    let big = number(2, 2)? == 43;
    let (count_len, entry_len, value_at) = if big { (8, 20, 12) } else { (2, 12, 8) };
    let entries = number(directory, count_len)?.min(u64::from(u16::MAX));
    let first = directory.checked_add(count_len as u64)?;
    let entry = (0..entries)
        .filter_map(|entry| first.checked_add(entry * entry_len))
        .find(|at| number(*at, 2) == Some(u64::from(PHOTOMETRIC)))?;
    entry.checked_add(value_at)
}

/// A file of which two bytes are replaced on reading.
pub(super) struct Patched<'a> {
    file: Cursor<&'a [u8]>,
    patch: Option<(u64, [u8; 2])>,
}

impl<'a> Patched<'a> {
    pub(super) fn unchanged(bytes: &'a [u8]) -> Self {
        Self { file: Cursor::new(bytes), patch: None }
    }

    /// Returns the file with the photometric tag of a picture replaced by gray.
    pub(super) fn as_gray(bytes: &'a [u8], palette: &Palette) -> Self {
        Self { file: Cursor::new(bytes), patch: Some((palette.patch_at, palette.patch)) }
    }
}

impl Read for Patched<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let from = self.file.position();
        let read = self.file.read(out)?;
        if let Some((at, patch)) = self.patch {
            for (offset, byte) in (at..).zip(patch) {
                let place = offset.checked_sub(from).and_then(|place| usize::try_from(place).ok());
                let place = place.filter(|place| *place < read).and_then(|place| out.get_mut(place));
                if let Some(place) = place {
                    *place = byte;
                }
            }
        }
        Ok(read)
    }
}

impl Seek for Patched<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
