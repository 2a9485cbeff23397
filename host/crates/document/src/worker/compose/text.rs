//! The content stream of a page's invisible text.
//!
//! Each word is drawn in render mode 3 along the baseline of its quad, as high as the quad and scaled to its width. A
//! word that runs from right to left is drawn from its left end in visual order, as programs that draw visible text do;
//! readers turn it back to the logical order of the model. (Poppler takes the characters of a mirrored matrix apart.) The
//! words of a line are in logical order. A column from top to bottom is a line turned by a quarter.

use std::fmt::Write;

use lector_core::{Direction, PageText, Quad, WordText};

use super::glyphless::ADVANCE;
use super::glyphs::Glyphs;

/// Name of the font in the resources of a page, as far as the page does not use it for another font.
pub(super) const FONT_RESOURCE: &str = "LectorText";
/// Smallest height and width of a word, in units of the page. Readers ignore text of no extent.
const EXTENT_MIN: f64 = 0.01;
/// Smallest width of the space between two words that touch, as a part of their height.
const SPACE_MIN: f64 = 0.05;
/// Largest width of a space, in the same unit.
const SPACE_MAX: f64 = 4.0;

/// Conversion from fractions of the displayed page to its coordinates.
pub(super) trait ToPage {
    /// Converts a point: 0 is the left and the top, 1 the right and the bottom of the displayed page.
    fn at(&self, x: f64, y: f64) -> (f64, f64);
}

/// A baseline with the box of its text above it, in coordinates of the page.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Baseline {
    origin: (f64, f64),
    /// Unit vector along the text.
    along: (f64, f64),
    /// Unit vector towards the top of the text.
    up: (f64, f64),
    length: f64,
    height: f64,
}

impl Baseline {
    /// Returns the baseline of a word; `None` where its quad has no extent.
    fn of(quad: &Quad, direction: Direction, size: (f64, f64), page: &impl ToPage) -> Option<Self> {
        if !quad.is_finite() {
            return None;
        }
        let at = |index: usize| {
            let point = quad.0.get(index).copied().unwrap_or_default();
            page.at(f64::from(point.x) / size.0, f64::from(point.y) / size.1)
        };
        let (top_left, top_right, bottom_right, bottom_left) = (at(0), at(1), at(2), at(3));
        let stands = distance(top_left, bottom_left) >= distance(top_left, top_right);
        // Begin and end of the text, and the same points at its upper side.
        let (begin, end, upper_begin, upper_end) = match direction {
            Direction::Ttb if stands => (top_left, bottom_left, top_right, bottom_right),
            _ => (bottom_left, bottom_right, top_left, top_right),
        };
        let length = distance(begin, end);
        if length < EXTENT_MIN {
            return None;
        }
        let along = ((end.0 - begin.0) / length, (end.1 - begin.1) / length);
        let normal = (-along.1, along.0);
        let above =
            |from: (f64, f64), to: (f64, f64)| (to.0 - from.0) * normal.0 + (to.1 - from.1) * normal.1;
        let height = (above(begin, upper_begin) + above(end, upper_end)) / 2.0;
        let up = if height < 0.0 { (-normal.0, -normal.1) } else { normal };
        let height = height.abs();
        let whole = height >= EXTENT_MIN && height.is_finite() && length.is_finite();
        whole.then_some(Self { origin: begin, along, up, length, height })
    }

    /// Returns the point at a distance from the begin.
    fn point(&self, distance: f64) -> (f64, f64) {
        (self.origin.0 + self.along.0 * distance, self.origin.1 + self.along.1 * distance)
    }

    /// Returns the space between this word and the next one, on the side where that is; a thin one where they touch.
    fn space_before(&self, next: &Self) -> Self {
        let on_line =
            |to: (f64, f64)| (to.0 - self.origin.0) * self.along.0 + (to.1 - self.origin.1) * self.along.1;
        let (a, b) = (on_line(next.origin), on_line(next.point(next.length)));
        let (first, last) = (a.min(b), a.max(b));
        let follows = first + last >= self.length;
        let gap = if follows { first - self.length } else { -last };
        let length = gap.clamp(self.height * SPACE_MIN, self.height * SPACE_MAX);
        let origin = self.point(if follows { self.length } else { -length });
        Self { origin, length, ..*self }
    }
}

fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// A content stream in progress.
struct Content<'a> {
    glyphs: &'a mut Glyphs,
    font: &'a str,
    out: String,
    font_size: String,
    scale: String,
}

/// Returns the content stream of the words that `keep` selects; `None` where there is nothing to draw.
pub(super) fn content(
    text: &PageText,
    page: &impl ToPage,
    glyphs: &mut Glyphs,
    font: &str,
    keep: impl Fn(&WordText) -> bool,
) -> Option<Vec<u8>> {
    let size = (f64::from(text.size.width), f64::from(text.size.height));
    if size.0 < 1.0 || size.1 < 1.0 {
        return None;
    }
    let mut content =
        Content { glyphs, font, out: String::new(), font_size: String::new(), scale: String::new() };
    let place = |word: &WordText| Baseline::of(&word.quad, word.direction, size, page);
    for (at, word) in text.words.iter().enumerate() {
        let Some(line) = place(word).filter(|_| keep(word)) else { continue };
        let shown = match word.direction {
            Direction::Rtl => content.show(visual(&word.text), &line),
            Direction::Ltr | Direction::Ttb => content.show(word.text.chars(), &line),
        };
        if !shown || !word.space_follows {
            continue;
        }
        if let Some(next) = text.words.get(at + 1).and_then(place) {
            content.show([' '], &line.space_before(&next));
        }
    }
    if content.out.is_empty() {
        return None;
    }
    Some(format!("q\nBT\n3 Tr\n{}ET\nQ\n", content.out).into_bytes())
}

impl Content<'_> {
    /// Draws a text along a baseline; `false` where it has no character to draw.
    fn show(&mut self, text: impl IntoIterator<Item = char>, line: &Baseline) -> bool {
        let drawn = text.into_iter().filter(|character| !character.is_control());
        let codes: Vec<u16> = drawn.filter_map(|character| self.glyphs.code(character)).collect();
        if codes.is_empty() {
            return false;
        }
        let font_size = number(line.height, 3);
        let natural = line.height * f64::from(ADVANCE) / 1000.0 * codes.len() as f64;
        let scale = number(line.length / natural * 100.0, 3);
        // Writing to a string cannot fail.
        if self.font_size != font_size {
            let _ = writeln!(self.out, "/{} {font_size} Tf", self.font);
            self.font_size = font_size;
        }
        if self.scale != scale {
            let _ = writeln!(self.out, "{scale} Tz");
            self.scale = scale;
        }
        let Baseline { along, up, origin, .. } = line;
        for value in [along.0, along.1, up.0, up.1] {
            let _ = write!(self.out, "{} ", number(value, 5));
        }
        let _ = write!(self.out, "{} {} Tm\n<", number(origin.0, 3), number(origin.1, 3));
        for code in codes {
            let _ = write!(self.out, "{code:04X}");
        }
        self.out.push_str("> Tj\n");
        true
    }
}

/// Returns the characters of a word from right to left in visual order: from left to right as they stand on the page.
/// Numbers and Latin letters keep their own direction.
fn visual(text: &str) -> Vec<char> {
    let mut characters: Vec<char> = text.chars().rev().collect();
    let forward = |c: &char| c.is_numeric() || u32::from(*c) < 0x0590 && c.is_alphabetic();
    let backward = |c: &char| c.is_alphabetic() && !forward(c);
    let mut at = 0;
    while let Some(start) = characters.iter().skip(at).position(forward).map(|found| at + found) {
        let run = characters.get(start..).unwrap_or_default();
        let run = run.iter().position(backward).map_or(run, |end| run.get(..end).unwrap_or_default());
        // Signs between the digits belong to the number, signs after it do not.
        let length = run.iter().rposition(forward).map_or(1, |last| last + 1);
        if let Some(number) = characters.get_mut(start..start + length) {
            number.reverse();
        }
        at = start + length;
    }
    characters
}

/// Returns a number without the zeros at its end.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::{Point, Size};

    use super::*;

    /// A page of 200 x 100 units whose displayed form is its own.
    struct Upright;

    impl ToPage for Upright {
        fn at(&self, x: f64, y: f64) -> (f64, f64) {
            (x * 200.0, (1.0 - y) * 100.0)
        }
    }

    fn quad(corners: [(f32, f32); 4]) -> Quad {
        Quad(corners.map(|(x, y)| Point { x, y }))
    }

    fn upright(x: f32, y: f32, width: f32, height: f32) -> Quad {
        quad([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    }

    fn word(text: &str, quad: Quad, direction: Direction, space_follows: bool) -> WordText {
        WordText { text: text.into(), quad, direction, space_follows }
    }

    fn drawn(words: Vec<WordText>) -> String {
        let text = PageText { index: 0, size: Size { width: 400, height: 200 }, words };
        let content = content(&text, &Upright, &mut Glyphs::default(), "F", |_| true);
        String::from_utf8(content.unwrap_or_default()).unwrap()
    }

    #[test]
    fn words_are_scaled_to_their_boxes_in_units_of_the_page() {
        // 80 x 20 pixels are 40 x 10 units: two characters of 5 units, scaled by four.
        let one = drawn(vec![word("ab", upright(20.0, 40.0, 80.0, 20.0), Direction::Ltr, false)]);
        assert_eq!(one, "q\nBT\n3 Tr\n/F 10 Tf\n400 Tz\n1 0 0 1 10 70 Tm\n<00010002> Tj\nET\nQ\n");
    }

    #[test]
    fn a_space_fills_the_gap_between_words_of_a_line() {
        let first = word("a", upright(20.0, 40.0, 20.0, 20.0), Direction::Ltr, true);
        let next = word("b", upright(60.0, 40.0, 20.0, 20.0), Direction::Ltr, false);
        let two = drawn(vec![first.clone(), next]);
        // The gap of 10 units begins where the first word ends.
        assert!(two.contains("1 0 0 1 20 70 Tm\n<0002> Tj"), "{two}");
        let touching = drawn(vec![first, word("b", upright(40.0, 40.0, 20.0, 20.0), Direction::Ltr, false)]);
        assert!(touching.contains("10 Tz\n1 0 0 1 20 70 Tm\n<0002> Tj"), "{touching}");
    }

    #[test]
    fn right_to_left_is_in_visual_order() {
        let check = |logical: &str, expect: &str| {
            assert_eq!(visual(logical).into_iter().collect::<String>(), expect, "{logical}");
        };
        check("אבג", "גבא");
        check("א12.5ב", "ב12.5א");
        check("אב-2024", "2024-בא");
        check("(אב)", ")בא(");
        check("12.5", "12.5");
        check("", "");
        let first = word("אב", upright(200.0, 40.0, 80.0, 20.0), Direction::Rtl, true);
        let next = word("ג", upright(100.0, 40.0, 80.0, 20.0), Direction::Rtl, false);
        let right = drawn(vec![first, next]);
        // The first word from its left end; the space between it and the next word, which is at its left.
        assert!(right.contains("1 0 0 1 100 70 Tm\n<00010002> Tj"), "{right}");
        assert!(right.contains("1 0 0 1 90 70 Tm\n<0003> Tj"), "{right}");
    }

    #[test]
    fn columns_begin_at_the_top() {
        let column = drawn(vec![word("縦書", upright(100.0, 40.0, 20.0, 80.0), Direction::Ttb, false)]);
        // Downwards, with the top of the characters to the right; 10 units high, 40 long.
        assert!(column.contains("/F 10 Tf\n400 Tz\n0 -1 1 0 50 80 Tm"), "{column}");
    }

    #[test]
    fn lines_keep_their_own_angle() {
        // Reads from bottom to top: its upper side is at the left.
        let turned = quad([(40.0, 100.0), (40.0, 20.0), (60.0, 20.0), (60.0, 100.0)]);
        let turned = drawn(vec![word("ab", turned, Direction::Ltr, false)]);
        assert!(turned.contains("/F 10 Tf\n400 Tz\n0 1 -1 0 30 50 Tm"), "{turned}");
        let over = quad([(100.0, 60.0), (20.0, 60.0), (20.0, 40.0), (100.0, 40.0)]);
        let over = drawn(vec![word("ab", over, Direction::Ltr, false)]);
        assert!(over.contains("-1 0 0 -1 50 80 Tm"), "{over}");
    }

    #[test]
    fn nothing_is_drawn_for_empty_words_and_impossible_boxes() {
        let nan = quad([(f32::NAN, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]);
        for (text, quad) in [
            ("", upright(0.0, 0.0, 10.0, 10.0)),
            ("\n\u{7}", upright(0.0, 0.0, 10.0, 10.0)),
            ("a", upright(0.0, 0.0, 0.0, 10.0)),
            ("a", upright(0.0, 0.0, 10.0, 0.0)),
            ("a", nan),
        ] {
            assert_eq!(drawn(vec![word(text, quad, Direction::Ltr, true)]), "", "{text:?} {quad:?}");
        }
    }
}
