#![allow(clippy::unwrap_used)]
use super::*;
use crate::geometry::{Quad, Rect};

/// Makes steps from a drawing: one character per step, `-` for the blank, `_` for a space.
fn steps(drawing: &str) -> (Vec<i64>, Vec<f32>) {
    let id = |c: char| match c {
        '-' => 0,
        '_' => 1,
        c => i64::from(u32::from(c)),
    };
    (drawing.chars().map(id).collect(), drawing.chars().map(|c| if c == '-' { 0.99 } else { 0.9 }).collect())
}

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

fn label(label: u32) -> Option<&'static str> {
    if label == 1 {
        return Some(" ");
    }
    let at = LETTERS.find(char::from_u32(label)?)?;
    LETTERS.get(at..=at)
}

fn read(drawing: &str) -> Reading {
    let (ids, confidence) = steps(drawing);
    reading(&decode(&ids, &confidence, ids.len()), label)
}

#[test]
fn collapses_repeats_and_drops_blanks() {
    for (drawing, expect) in [
        ("aa-b-b-", "abb"),
        ("hheel-llo", "hello"),
        ("----", ""),
        ("", ""),
        ("a_b", "a b"),
        ("_a--_", "a"),
        ("aaa", "a"),
        ("a-a", "aa"),
    ] {
        assert_eq!(read(drawing).text(), expect, "{drawing}");
    }
}

#[test]
fn padding_and_strange_labels_are_nothing() {
    let (ids, confidence) = steps("ab--zz");
    assert_eq!(decode(&ids, &confidence, 4).symbols.len(), 2);
    assert_eq!(decode(&ids, &confidence, 99).symbols.len(), 3);
    assert_eq!(decode(&ids, &confidence[..1], 99).symbols.len(), 1, "the shorter of the two counts");
    assert!(decode(&[-3, i64::MAX, 0], &[1.0; 3], 3).symbols.is_empty());
    assert_eq!(content_steps(40, 100, 320), 13);
    assert_eq!(content_steps(40, 320, 320), 40);
    assert_eq!(content_steps(40, 10, 0), 40);
}

#[test]
fn characters_know_their_steps_and_confidence() {
    let decoded = decode(&[0, 97, 97, 0, 98], &[0.9, 0.5, 0.8, 0.9, 0.6], 5);
    let [a, b] = decoded.symbols.as_slice() else { unreachable!("two characters") };
    assert_eq!((a.label, a.confidence, a.from_step, a.to_step), (97, 0.8, 1, 3));
    assert_eq!((b.label, b.confidence, b.from_step, b.to_step), (98, 0.6, 4, 5));
    assert_eq!(labels_used(&[decoded.clone(), decoded]), [97, 98]);
}

#[test]
fn confidence_leaves_spaces_out() {
    let decoded = decode(&[97, 1, 98], &[0.8, 0.1, 0.6], 3);
    assert!((reading(&decoded, label).confidence() - 0.7).abs() < 1e-6);
    assert_eq!(Reading::default().confidence(), 0.0);
}

#[test]
fn words_stand_where_their_letters_do() {
    let line = Quad::from_rect(&Rect { x: 100.0, y: 10.0, width: 200.0, height: 20.0 });
    // 20 steps: letters at 0 2 4, a space at 6, letters at 8 10 12, then nothing.
    let words = words(&read("a-b-c-_-d-e-f-------"), &line);
    let texts: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
    assert_eq!(texts, ["abc", "def"]);
    let (first, second) = (words[0].quad.bounds(), words[1].quad.bounds());
    assert!(
        first.x >= 100.0 && first.x < 105.0 && first.right() > 145.0 && first.right() < 162.0,
        "{first:?}"
    );
    assert!(
        second.x > 170.0 && second.x < 182.0 && second.right() > 225.0 && second.right() < 245.0,
        "{second:?}"
    );
    assert_eq!((first.y, first.height), (10.0, 20.0));
}

#[test]
fn a_gap_wider_than_its_letters_is_a_space() {
    for (drawing, expect) in [
        // Columns of a table: typical distance 2, gap of 6.
        ("T-a-b-l-e-----1-2-4-1", "Table 1241"),
        // Wide letters beside narrow ones are one word.
        ("W--M--i-l-l-W---M", "WMillWM"),
        // Letter-spaced text has a large typical distance.
        ("T----I----T----L----E", "TITLE"),
        // One column of a font with one width is a space.
        ("T--a--b--l--e-----7--x--y--z", "Table 7xyz"),
        // The middles of two wide letters are as far apart as those of narrow ones across a space.
        ("k-o-m--m--e-n-g-a-m----m-e-n", "kommengammen"),
        ("k-o-n-e-n-g-a-l----i-e-n", "konengal ien"),
        // A space that was read is not doubled.
        ("a-b-c--_----d-e-f", "abc def"),
        ("a------b", "ab"),
    ] {
        assert_eq!(read(drawing).text(), expect, "{drawing}");
    }
    let glyphs = read("T-a-b-l-e-----1-2-4-1").glyphs;
    assert!(
        glyphs.windows(2).all(|pair| pair[0].to <= pair[1].to && pair[0].from <= pair[1].from),
        "{glyphs:?}"
    );
}

/// Makes glyphs of words or spaces, with their starts and ends.
fn glyphs(places: &[(&str, f32, f32)]) -> Reading {
    let glyph =
        |&(text, from, to): &(&str, f32, f32)| Glyph { text: text.to_owned(), confidence: 0.9, from, to };
    Reading { glyphs: places.iter().map(glyph).collect() }
}

#[test]
fn words_of_a_line_from_right_to_left_stand_where_their_letters_do() {
    let line = Quad::from_rect(&Rect { x: 100.0, y: 10.0, width: 200.0, height: 20.0 });
    for (reading, expect) in [
        // Words as glyphs, of which the second and third are one word.
        (
            glyphs(&[("שלום", 0.5, 1.0), (" ", 0.5, 1.0), ("עו", 0.25, 0.5), ("לם", 0.0, 0.2)]),
            &[("שלום", 200.0, 300.0), ("עולם", 100.0, 200.0)][..],
        ),
        // Letters as glyphs.
        (glyphs(&[("ש", 0.75, 1.0), ("ם", 0.5, 0.75)]), &[("שם", 200.0, 300.0)]),
        // A Latin name in the line.
        (
            glyphs(&[("שם", 0.75, 1.0), (" ", 0.75, 1.0), ("A", 0.25, 0.5), ("b", 0.5, 0.75)]),
            &[("שם", 250.0, 300.0), ("Ab", 150.0, 250.0)],
        ),
    ] {
        let found = words(&reading, &line);
        let places: Vec<(&str, f32, f32)> =
            found.iter().map(|word| (word.text.as_str(), word.quad.0[0].x, word.quad.0[1].x)).collect();
        assert_eq!(places, expect);
    }
}

#[test]
fn pieces_of_a_line_from_right_to_left_become_one_again() {
    // Six words in sixths of the line; each part shows four of them, and the piece of one at its edge.
    let left = glyphs(&[("X", 0.95, 1.0), ("ד", 0.7, 0.9), ("ה", 0.45, 0.65), ("ו", 0.2, 0.4)]);
    let right =
        glyphs(&[("א", 0.8, 1.0), ("ב", 0.6, 0.75), ("ג", 0.35, 0.5), ("ד", 0.12, 0.26), ("Y", 0.0, 0.05)]);
    let parts = [Part { reading: left, from: 0.0, to: 0.6 }, Part { reading: right, from: 0.3, to: 1.0 }];
    let joined = join(&parts);
    assert_eq!(joined.text(), "אבגדהו");
    assert!(joined.glyphs.windows(2).all(|pair| pair[1].from < pair[0].from), "places fall: {joined:?}");
    let first = &joined.glyphs[0];
    assert!((first.from - 0.86).abs() < 1e-5 && (first.to - 1.0).abs() < 1e-5, "{first:?}");
    // One part stays as it is.
    assert_eq!(join(&parts[..1]).text(), "Xדהו");
}

#[test]
fn pieces_of_a_line_become_one_again() {
    let part = |drawing: &str, from, to| Part { reading: read(drawing), from, to };
    // 40 steps of a line, read as steps 0 to 25 and 15 to 40.
    let whole = "t-h-i-s-_-l-i-n-e-_-i-s-_-l-o-n-g-e-r-t-";
    let joined = join(&[part(&whole[..25], 0.0, 0.625), part(&whole[15..], 0.375, 1.0)]);
    assert_eq!(joined.text(), "this line is longert");
    assert!(joined.glyphs.windows(2).all(|g| g[0].from <= g[1].from + 0.02), "places rise");
    // Half letters at the seam are misread on both sides; the common run in the middle of the overlap decides.
    let joined =
        join(&[part("t-h-i-s-_-l-i-n-e-_-i-s-X", 0.0, 0.625), part("Y-n-e-_-i-s-_-l-o-n-g-e-r", 0.3, 0.95)]);
    assert_eq!(joined.text(), "this line is longer");
    let joined = join(&[part("a-b-c-", 0.0, 0.5), part("d-e-f-", 0.5, 1.0)]);
    assert_eq!(joined.text(), "abcdef");
    assert_eq!(join(&[]).text(), "");
    assert_eq!(join(&[part("----", 0.0, 0.6), part("a-b-", 0.4, 1.0)]).text(), "ab");
}
