//! The embedded text of a page as words with their areas.
//!
//! pdfium returns characters in the order of the content stream, with spaces and line breaks that it inserts between
//! them ("generated" ones). This module groups them into words and detects line ends. It reads characters one by one
//! through the C interface, and the properties of a text object (size, direction, render mode) once per object: under a
//! microsecond per character.

use std::ffi::c_int;

use lector_core::{LineSource, Rect, TextSpan};

use super::space::{Matrix, PageSpace, RectF};
use crate::faults::Refusal;
use crate::wire::Limits;
use crate::worker::library::Handle;
use crate::worker::library::Library;

/// A gap of more than this many font sizes ends a line: it separates table columns, not words.
const GAP_ENDS_LINE_EM: f32 = 2.0;
/// A step across the line of more than this many font sizes starts another line.
const STEP_ENDS_LINE_EM: f32 = 0.6;
/// `FPDF_TEXTRENDERMODE_INVISIBLE`: the text that OCR programs put under a scan.
pub(super) const MODE_INVISIBLE: c_int = 3;
/// `FPDF_TEXTRENDERMODE_CLIP`: only clips later drawing.
pub(super) const MODE_CLIP: c_int = 7;
/// pdfium's mark for a hyphen at which a word continues in the next line.
const HYPHEN_MARK: u32 = 0x02;
const SOFT_HYPHEN: char = '\u{ad}';
/// Smallest part of a word's area on the page; less is cut off by the page's edge and cannot be read.
const SHOWN_SHARE_MIN: f32 = 0.5;
/// A box higher than this many font sizes is a defect of the font's metrics.
const BOX_HEIGHT_MAX_EM: f32 = 2.0;

/// Returns the words of a page in its own order, and the number of characters without a Unicode mapping.
pub(super) fn spans(
    library: Library,
    page: Handle,
    space: &PageSpace,
    (index, limits): (u32, Limits),
    source: LineSource,
) -> Result<(Vec<TextSpan>, u32), Refusal> {
    // SAFETY: the page is open.
    let handle: Handle = unsafe { library.c.FPDFText_LoadPage(page.cast()) }.cast();
    if handle.is_null() {
        return Err(Refusal::PageInvalid { index, detail: "pdfium cannot read its text".into() });
    }
    let text = TextPage { library, handle };
    // SAFETY: the text page is open.
    let count = unsafe { library.c.FPDFText_CountChars(handle.cast()) };
    let characters = u32::try_from(count).unwrap_or(0);
    let characters_max = limits.text_characters_max;
    if characters > characters_max {
        return Err(Refusal::PageTooMuchText { characters, characters_max });
    }
    let words_max = limits.text_words_max;
    let mut words = Words { space, source, spans: Vec::new(), word: None, last: None };
    let mut style = Style::default();
    let mut unmapped = 0;
    let mut high_surrogate = None;
    for at in 0..count {
        if words.spans.len() > words_max as usize {
            return Err(Refusal::PageTooManyWords { words_max });
        }
        let code = text.unicode(at);
        let code = match (high_surrogate.take(), code) {
            (None, 0xd800..=0xdbff) => {
                high_surrogate = Some(code);
                continue;
            }
            (Some(high), 0xdc00..=0xdfff) => 0x1_0000 + ((high - 0xd800) << 10) + (code - 0xdc00),
            (_, code) => code,
        };
        match text.character(at, code) {
            Character::Break => words.end(true),
            Character::Space => words.end(false),
            Character::Nothing => {}
            Character::Letter { letter, generated, unknown } => {
                unmapped += u32::from(unknown);
                // A generated hyphen has no box and no object of its own; it uses those of its word.
                if generated {
                    words.append(letter);
                } else {
                    text.restyle(at, space, &mut style);
                    words.push(letter, text.area(at, space, &style), &style);
                }
                if text.breaks_after(at, code) {
                    words.end(true);
                }
            }
        }
    }
    words.end(true);
    if words.spans.len() > words_max as usize {
        return Err(Refusal::PageTooManyWords { words_max });
    }
    // The spans live until the guest's call ends; this frees unused capacity.
    words.spans.shrink_to_fit();
    Ok((words.spans, unmapped))
}

/// pdfium's text of one page; closed on drop.
struct TextPage {
    library: Library,
    handle: Handle,
}

enum Character {
    /// A line break.
    Break,
    /// A space.
    Space,
    /// Not a visible character.
    Nothing,
    Letter {
        letter: char,
        generated: bool,
        unknown: bool,
    },
}

/// Properties that the characters of one text object share.
#[derive(Clone, Copy)]
struct Style {
    object: Handle,
    /// Font size in points, as displayed.
    size_pt: f32,
    /// Direction of the line, as displayed; length 1.
    direction: (f32, f32),
    visible: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { object: std::ptr::null_mut(), size_pt: 0.0, direction: (1.0, 0.0), visible: true }
    }
}

impl TextPage {
    fn unicode(&self, at: c_int) -> u32 {
        // SAFETY: the text page is open and the index in range, here and below.
        unsafe { self.library.c.FPDFText_GetUnicode(self.handle.cast(), at) }
    }

    fn is_generated(&self, at: c_int) -> bool {
        // SAFETY: see `unicode`.
        unsafe { self.library.c.FPDFText_IsGenerated(self.handle.cast(), at) == 1 }
    }

    fn is_hyphen(&self, at: c_int) -> bool {
        // SAFETY: see `unicode`.
        unsafe { self.library.c.FPDFText_IsHyphen(self.handle.cast(), at) == 1 }
    }

    fn breaks_after(&self, at: c_int, code: u32) -> bool {
        code == HYPHEN_MARK || (matches!(code, 0x2d | 0xad | 0x2010) && self.is_hyphen(at))
    }

    fn character(&self, at: c_int, code: u32) -> Character {
        match char::from_u32(code) {
            Some('\r' | '\n' | '\u{0b}' | '\u{0c}' | '\u{2028}' | '\u{2029}' | '\u{85}') => Character::Break,
            Some(space) if space.is_whitespace() => Character::Space,
            // Zero-width characters and byte-order marks are invisible.
            Some('\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}') => Character::Nothing,
            // A PDF draws a glyph for each character, so a soft hyphen in the text is visible.
            Some(SOFT_HYPHEN) => Character::Letter { letter: '-', generated: false, unknown: false },
            _ if code == HYPHEN_MARK || code == 0xfffe => {
                Character::Letter { letter: '-', generated: self.is_generated(at), unknown: false }
            }
            found => {
                // SAFETY: see `unicode`.
                let error =
                    unsafe { self.library.c.FPDFText_HasUnicodeMapError(self.handle.cast(), at) == 1 };
                let letter = found.filter(|c| !c.is_control()).unwrap_or(char::REPLACEMENT_CHARACTER);
                let private = matches!(code, 0xe000..=0xf8ff | 0xf_0000..=0x10_ffff);
                let unknown = error || private || letter == char::REPLACEMENT_CHARACTER;
                Character::Letter { letter, generated: false, unknown }
            }
        }
    }

    /// Updates `style` if the character belongs to another text object than the one before.
    fn restyle(&self, at: c_int, space: &PageSpace, style: &mut Style) {
        // SAFETY: see `unicode`.
        let object: Handle = unsafe { self.library.c.FPDFText_GetTextObject(self.handle.cast(), at) }.cast();
        if object == style.object && style.size_pt > 0.0 {
            return;
        }
        let mut matrix = Matrix::default();
        // SAFETY: see `unicode`; Matrix has the layout of FS_MATRIX; the object belongs to the page.
        let (known, nominal, mode) = unsafe {
            let known = self.library.c.FPDFText_GetMatrix(self.handle.cast(), at, (&raw mut matrix).cast());
            let nominal = self.library.c.FPDFText_GetFontSize(self.handle.cast(), at);
            let mode = if object.is_null() {
                0
            } else {
                self.library.c.FPDFTextObj_GetTextRenderMode(object.cast())
            };
            (known != 0, nominal as f32, mode)
        };
        let matrix = if known { matrix } else { Matrix::IDENTITY };
        let size = (nominal * matrix.c.hypot(matrix.d)).abs();
        let (x, y) = space.direction(matrix.a, matrix.b);
        let length = x.hypot(y);
        *style = Style {
            object,
            size_pt: if size.is_finite() && size > 0.0 { size } else { 1.0 },
            direction: if length.is_normal() { (x / length, y / length) } else { (1.0, 0.0) },
            visible: mode != MODE_INVISIBLE && mode != MODE_CLIP,
        };
    }

    /// Returns the area of a character: from ascent to descent where the font's metrics are plausible, else its ink
    /// box. `None` for a character without an area.
    fn area(&self, at: c_int, space: &PageSpace, style: &Style) -> Option<Rect> {
        let mut loose = RectF::default();
        // SAFETY: see `unicode`; RectF has the layout of FS_RECTF.
        let known = unsafe {
            self.library.c.FPDFText_GetLooseCharBox(self.handle.cast(), at, (&raw mut loose).cast())
        };
        let across = style.size_pt * BOX_HEIGHT_MAX_EM;
        let sane = |r: &Rect| r.width > 0.0 && r.height > 0.0 && r.width.min(r.height) <= across;
        let area = space.rect(loose);
        if known != 0 && sane(&area) {
            return Some(area);
        }
        let (mut left, mut right, mut bottom, mut top) = (0.0, 0.0, 0.0, 0.0);
        // SAFETY: see `unicode`; four doubles to write to.
        let known = unsafe {
            self.library.c.FPDFText_GetCharBox(
                self.handle.cast(),
                at,
                &mut left,
                &mut right,
                &mut bottom,
                &mut top,
            )
        };
        let tight = RectF { left: left as f32, right: right as f32, bottom: bottom as f32, top: top as f32 };
        let area = space.rect(tight);
        let finite =
            area.x.is_finite() && area.y.is_finite() && area.width.is_finite() && area.height.is_finite();
        (known != 0 && finite).then_some(area)
    }
}

impl Drop for TextPage {
    fn drop(&mut self) {
        // SAFETY: open, and not used after this.
        unsafe { self.library.c.FPDFText_ClosePage(self.handle.cast()) };
    }
}

/// A word that is being built.
struct Word {
    text: String,
    area: Rect,
    style: Style,
}

/// Groups characters into words.
struct Words<'a> {
    space: &'a PageSpace,
    source: LineSource,
    spans: Vec<TextSpan>,
    word: Option<Word>,
    /// Area and style of the previous character, for the step to the next.
    last: Option<(Rect, Style)>,
}

impl Words<'_> {
    fn push(&mut self, letter: char, area: Option<Rect>, style: &Style) {
        let Some(area) = area else {
            self.append(letter);
            return;
        };
        if let Some((last, last_style)) = self.last
            && parts(last, area, &last_style)
        {
            // pdfium reports no break here, but the geometry shows one: another column or line.
            match self.word {
                Some(_) => self.end(true),
                None => self.mark_end(),
            }
        }
        self.last = Some((area, *style));
        match &mut self.word {
            Some(word) => {
                word.text.push(letter);
                word.area = union(word.area, area);
                word.style.visible |= style.visible;
            }
            None => self.word = Some(Word { text: letter.into(), area, style: *style }),
        }
    }

    /// Appends a character without an area to the current word; without a word it is dropped.
    fn append(&mut self, letter: char) {
        if let Some(word) = &mut self.word {
            word.text.push(letter);
        }
    }

    fn end(&mut self, ends_line: bool) {
        if let Some(word) = self.word.take() {
            // Words off the page are not displayed; of a word that is cut, the larger part must be.
            let Some(area) = self.space.clip(word.area) else { return };
            if area.width * area.height < SHOWN_SHARE_MIN * word.area.width * word.area.height {
                return;
            }
            self.spans.push(TextSpan {
                text: word.text,
                area,
                font_size: word.style.size_pt,
                visible: word.style.visible,
                ends_line,
                source: self.source,
            });
        } else if ends_line {
            self.mark_end();
        }
    }

    fn mark_end(&mut self) {
        if let Some(span) = self.spans.last_mut() {
            span.ends_line = true;
        }
    }
}

/// Returns whether the step from one character to the next leaves the line or crosses a clear gap.
fn parts(from: Rect, to: Rect, style: &Style) -> bool {
    let (dx, dy) = style.direction;
    let center = |r: Rect| (r.x + r.width / 2.0, r.y + r.height / 2.0);
    let ((fx, fy), (tx, ty)) = (center(from), center(to));
    let along = (tx - fx) * dx + (ty - fy) * dy;
    let across = (ty - fy) * dx - (tx - fx) * dy;
    let em = style.size_pt;
    // Half extents along the line, in any direction.
    let half = |r: Rect| (r.width * dx.abs() + r.height * dy.abs()) / 2.0;
    let gap = along.abs() - half(from) - half(to);
    // Vertical writing advances down by about an em per character, and is one line.
    let stacked = along.abs() < 0.5 * em && across > 0.0 && across < 1.6 * em;
    gap > GAP_ENDS_LINE_EM * em || (across.abs() > STEP_ENDS_LINE_EM * em && !stacked)
}

fn union(a: Rect, b: Rect) -> Rect {
    let (x, y) = (a.x.min(b.x), a.y.min(b.y));
    let (right, bottom) = ((a.x + a.width).max(b.x + b.width), (a.y + a.height).max(b.y + b.height));
    Rect { x, y, width: right - x, height: bottom - y }
}
