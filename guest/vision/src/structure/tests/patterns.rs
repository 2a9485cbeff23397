//! Patterns of text: markers, captions, numbers, and what differs by script.

use super::super::numbers::is_number;
use super::super::patterns::{self, Caption, Marker, Object};
use super::*;

/// The digit 0 of scripts with digits of their own.
const ZEROS: [char; 6] = ['\u{660}', '\u{6f0}', '\u{966}', '\u{e50}', '\u{1040}', '\u{ff10}'];

/// Returns a text with its digits in another script.
fn in_digits(text: &str, zero: char) -> String {
    let digit = |c: char| c.to_digit(10).and_then(|value| char::from_u32(u32::from(zero) + value));
    text.chars().map(|c| digit(c).unwrap_or(c)).collect()
}

#[test]
fn patterns_are_exact() {
    for text in ["7", "- 7 -", "Page 3 of 10", "vii", "3/12", "Seite 4", "第 3 页"] {
        assert!(is_page_number(text), "{text}");
    }
    for text in ["", "Table 3", "12345", "mix", "10.5 kg", "Chapter 4", "1 2 3", "第页"] {
        assert!(!is_page_number(text), "{text}");
    }
    assert_eq!(without_numbers("Chapter 12  Page 3"), "chapter # page #");
    for (text, depth) in [
        ("2.1 Data", Some(2)),
        ("Chapter 4", Some(1)),
        ("3 apples", None),
        ("1999 Was", None),
        ("0 Zero", None),
    ] {
        assert_eq!(patterns::numbering(text), depth, "{text}");
    }
    for text in ["Chapter 4", "APPENDIX B", "Chapter Seven", "Kapitel 12.", "Part iv:"] {
        assert!(patterns::is_chapter_label(text), "{text}");
    }
    for text in ["Chapter .", "Chapter :", "Part ...", "Chapter", "Chapter 4 Data", "Chapter and"] {
        assert!(!patterns::is_chapter_label(text), "{text}");
    }
}

#[test]
fn captions_name_their_object() {
    let caption = |object, is_marked| Some(Caption { object, is_marked });
    for (text, expect) in [
        ("Figure 3: A page", caption(Object::Figure, true)),
        ("Table 2 shows that", caption(Object::Table, false)),
        ("Abbildung 12. Seiten", caption(Object::Figure, true)),
        ("图 3 页面", caption(Object::Figure, true)),
        ("表 3 页面", caption(Object::Table, true)),
        ("Таблица 1 – Страны", caption(Object::Table, true)),
        ("Табл. 2. Страны", caption(Object::Table, true)),
        ("Рис. 2. Страны", caption(Object::Figure, true)),
        ("Quadro 4: Países", caption(Object::Table, true)),
        ("Listing 1: The loop", caption(Object::Either, true)),
        ("Tables are nice", None),
    ] {
        assert_eq!(patterns::caption(text), expect, "{text}");
    }
}

#[test]
fn a_caption_is_of_the_object_that_it_names() {
    let rules = grid(&[100.0, 200.0, 300.0], &[100.0, 120.0, 140.0], &[]);
    // The picture is nearer to the caption than the table.
    let picture = Rect { x: 100.0, y: 180.0, width: 200.0, height: 100.0 };
    for (text, expect) in [
        ("Table 1: Countries", Kind::Table),
        ("Таблица 1: Страны", Kind::Table),
        ("Quadro 1: Países", Kind::Table),
        ("表 1：国家", Kind::Table),
        ("Figure 1: Countries", Kind::Figure),
        ("Рис. 1: Страны", Kind::Figure),
        ("Listing 1: Countries", Kind::Figure),
    ] {
        let cells =
            [(110.0, 105.0, "Name"), (210.0, 105.0, "Sum"), (110.0, 125.0, "A"), (210.0, 125.0, "12")];
        let mut sets: Vec<Set> = cells.iter().map(|(x, y, text)| line(*x, *y, 10.0, text)).collect();
        sets.push(line(110.0, 162.0, 10.0, text));
        sets.extend(prose(60.0, 400.0, 6));
        let blocks = blocks_beside(&sets, &rules, &[picture]);
        let caption = blocks.iter().find(|(block, _)| block.kind == Kind::Caption);
        let (caption, _) = caption.unwrap_or_else(|| panic!("{text}: {:?}", kinds(&blocks)));
        assert_eq!(caption.caption_of.map(|at| blocks[at].0.kind), Some(expect), "{text}");
    }
}

/// Returns the markers of items that follow each other.
fn markers(all: &str, mark: char) -> Vec<String> {
    all.split(' ').map(|one| if mark == '(' { format!("({one})") } else { format!("{one}{mark}") }).collect()
}

const ROMAN: &str = "i ii iii iv v vi vii viii ix x xi xii";
const LETTERS: &str = "a b c d e f g h i j k l m";

#[test]
fn items_follow_each_other_as_numbers_letters_and_roman_numerals() {
    let marker = |text: &String| patterns::marker(text).map(|(marker, _)| marker);
    for series in
        [ROMAN, LETTERS, "1 2 3 4 5 6 7 8 9 10 11", "xlviii xlix l li", "xcix c ci", "I II III IV V"]
    {
        for mark in ['.', ')', '('] {
            let all: Vec<Marker> = markers(series, mark).iter().filter_map(marker).collect();
            assert_eq!(all.len(), series.split(' ').count(), "{series}");
            for pair in all.windows(2) {
                assert!(pair[0].precedes(pair[1]) && !pair[1].precedes(pair[0]), "{series}: {pair:?}");
            }
        }
    }
    for (text, next) in
        [("i.", "iii."), ("a.", "c."), ("i.", "ii)"), ("v.", "vii."), ("1.", "3."), ("• a", "1.")]
    {
        let pair = marker(&text.to_owned()).zip(marker(&next.to_owned()));
        assert!(pair.is_some_and(|(a, b)| !a.precedes(b)), "{text} {next}");
    }
}

#[test]
fn items_of_each_kind_of_number_keep_their_markers() {
    for (series, mark) in [(ROMAN, '.'), (ROMAN, '('), (LETTERS, ')'), ("I II III IV V VI", '.')] {
        let texts: Vec<String> =
            markers(series, mark).iter().map(|marker| format!("{marker} an item of the list")).collect();
        let mut sets = prose(60.0, 100.0, 3);
        sets.extend((0..).zip(&texts).map(|(at, text)| line(70.0, 150.0 + 12.0 * at as f32, 10.0, text)));
        let blocks = blocks_of(&sets, &[]);
        let items: Vec<String> = blocks
            .iter()
            .filter(|(block, _)| block.kind == Kind::ListItem)
            .map(|(_, rows)| rows.join(" "))
            .collect();
        assert_eq!(items, texts, "{series}");
    }
}

#[test]
fn digits_of_every_script_are_digits() {
    let marker = |text: &str| patterns::marker(text);
    for zero in ZEROS {
        let own = |text: &str| in_digits(text, zero);
        for text in ["7", "- 17 -", "3/12", "第 3 页", "12345", "1 2 3"] {
            assert_eq!(is_page_number(&own(text)), is_page_number(text), "{}", own(text));
        }
        for text in ["1,234.5", "-12 %", "(40)", "12 kg of rice", "x"] {
            assert_eq!(is_number(&own(text)), is_number(text), "{}", own(text));
        }
        for text in ["1. One", "(12) Twelve", "2024. Year", "3 apples"] {
            assert_eq!(marker(&own(text)), marker(text), "{}", own(text));
        }
        for text in ["2.1 Data", "10 Data", "1999 Was", "0 Zero", "1.100 Data"] {
            assert_eq!(patterns::numbering(&own(text)), patterns::numbering(text), "{}", own(text));
        }
        for text in ["Figure 3: A page", "表 12 页面", "Table 2 shows"] {
            assert_eq!(patterns::caption(&own(text)), patterns::caption(text), "{}", own(text));
        }
        for text in ["1 See", "[12] See", "1234 See", "1. See", "12"] {
            assert_eq!(patterns::footnote(&own(text)), patterns::footnote(text), "{}", own(text));
        }
        assert!(patterns::is_chapter_label(&own("Chapter 12")));
    }
}

#[test]
fn numbers_of_another_script_stand_in_the_columns_of_a_table() {
    let rows =
        [["Name", "2019", "2020"], ["Berlin", "120", "131"], ["Paris", "95", "97"], ["Rome", "48", "52"]];
    for zero in ZEROS.into_iter().chain(['0']) {
        let mut sets = prose(60.0, 60.0, 4);
        for (row, cells) in rows.iter().enumerate() {
            for (x, text) in [80.0, 220.0, 340.0].iter().zip(cells) {
                sets.push(line(*x, 150.0 + 14.0 * row as f32, 10.0, &in_digits(text, zero)));
            }
        }
        let blocks = blocks_of(&sets, &[]);
        let table = blocks.iter().find_map(|(block, _)| block.table.as_ref());
        let table = table.unwrap_or_else(|| panic!("{zero}: {:?}", kinds(&blocks)));
        assert_eq!((table.rows, table.columns), (4, 3), "{zero}");
        let headers: Vec<usize> =
            table.cells.iter().filter(|cell| cell.header).map(|cell| cell.row).collect();
        assert_eq!(headers, [0, 0, 0], "{zero}");
    }
}

#[test]
fn the_ends_of_sentences_and_lines_are_those_of_their_script() {
    for (last, next, expect) in [
        ("भाषा के बारे में,", "यह", true),
        ("यह समाप्त है।", "और", false),
        ("文書の構造を", "調べる", true),
        ("終わり。", "次の", false),
        ("ภาษาไทยเขียนติดกั", "นเสมอ", true),
        ("which is a long", "sentence of two pages", true),
        ("نهاية؟", "lower", false),
        ("վերջ։", "lower", false),
        ("መጨረሻ።", "lower", false),
    ] {
        assert_eq!(goes_on(last, next), expect, "{last} {next}");
    }
    let joined = |lines: &[&str]| join(lines.iter().copied(), &Vocabulary::of(lines.iter().copied()));
    for (lines, expect) in [
        (["ภาษาไทย", "เขียนติดกัน"], "ภาษาไทยเขียนติดกัน"),
        (["ພາສາ", "ລາວ"], "ພາສາລາວ"),
        (["ភាសា", "ខ្មែរ"], "ភាសាខ្មែរ"),
        (["မြန်မာ", "စာ"], "မြန်မာစာ"),
        (["ภาษาไทย", "and English"], "ภาษาไทย and English"),
        (["한국어", "문장"], "한국어 문장"),
        (["हिन्दी", "भाषा"], "हिन्दी भाषा"),
    ] {
        assert_eq!(joined(&lines), expect);
    }
}
