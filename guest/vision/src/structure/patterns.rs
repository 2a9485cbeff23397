//! Patterns of text that indicate a role. Written by hand for linear time and a small component.

use super::numbers::{is_number, roman};
use crate::script::{self, is_digit, number};

/// Characters that start an item of a list.
const BULLETS: &str = "•●▪■◦○‣⁃–—-*·➢➤✓❖□◆►▶";

/// What a caption is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Table,
    Figure,
    /// Set as a table or as a figure: a listing, an algorithm.
    Either,
}

/// Words before the number of a caption, in lower case, and what it is of.
const CAPTION_WORDS: [(&str, Object); 30] = [
    ("figure", Object::Figure),
    ("fig", Object::Figure),
    ("table", Object::Table),
    ("tab", Object::Table),
    ("chart", Object::Figure),
    ("scheme", Object::Figure),
    ("plate", Object::Figure),
    ("listing", Object::Either),
    ("algorithm", Object::Either),
    ("abbildung", Object::Figure),
    ("abb", Object::Figure),
    ("tabelle", Object::Table),
    ("tableau", Object::Table),
    ("figura", Object::Figure),
    ("tabla", Object::Table),
    ("tabella", Object::Table),
    ("quadro", Object::Table),
    ("gráfico", Object::Figure),
    ("graphique", Object::Figure),
    ("grafik", Object::Figure),
    ("diagram", Object::Figure),
    ("diagramm", Object::Figure),
    ("рисунок", Object::Figure),
    ("рис", Object::Figure),
    ("таблица", Object::Table),
    ("табл", Object::Table),
    ("図", Object::Figure),
    ("图", Object::Figure),
    ("圖", Object::Figure),
    ("表", Object::Table),
];

/// The start of a line that may be a caption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caption {
    pub object: Object,
    /// Whether a mark or nothing follows the number, as in a caption but not in a sentence about one.
    pub is_marked: bool,
}

/// Words that start a chapter's heading before its number, in lower case.
const CHAPTER_WORDS: [&str; 12] = [
    "chapter",
    "section",
    "part",
    "appendix",
    "annex",
    "kapitel",
    "anhang",
    "teil",
    "chapitre",
    "annexe",
    "capítulo",
    "capitolo",
];

/// Marker of an item of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// A bullet.
    Bullet,
    /// A number or letter with a mark after it.
    Number {
        /// Its value as digits or as a letter.
        value: Option<u32>,
        /// Its value as a roman numeral: `i` is a letter or a numeral, which only its siblings tell.
        roman: Option<u32>,
        /// The mark.
        style: char,
    },
}

impl Marker {
    /// Returns whether `next` is the marker of the next item of the list.
    pub(super) fn precedes(self, next: Self) -> bool {
        match (self, next) {
            (Self::Bullet, Self::Bullet) => true,
            (
                Self::Number { value, roman, style },
                Self::Number { value: next, roman: next_roman, style: next_style },
            ) => {
                let follows = |a: Option<u32>, b: Option<u32>| a.is_some_and(|a| b == Some(a + 1));
                let readings = [(value, next), (value, next_roman), (roman, next), (roman, next_roman)];
                style == next_style && readings.into_iter().any(|(a, b)| follows(a, b))
            }
            _ => false,
        }
    }
}

/// Returns the marker at the start of a line, and whether nothing follows it.
pub(super) fn marker(text: &str) -> Option<(Marker, bool)> {
    let text = text.trim_start();
    let first = text.chars().next()?;
    if BULLETS.contains(first) {
        let rest = &text[first.len_utf8()..];
        let spaced =
            rest.is_empty() || rest.starts_with(char::is_whitespace) || "•●▪■◦○‣➢➤✓❖◆►▶".contains(first);
        return spaced.then_some((Marker::Bullet, rest.trim().is_empty()));
    }
    let open = matches!(first, '(' | '（' | '[');
    let body = if open { &text[first.len_utf8()..] } else { text };
    let end = body.find(|c: char| !c.is_alphanumeric()).unwrap_or(body.len());
    let (value, rest) = body.split_at(end);
    let close = rest.chars().next()?;
    let style = match (open, close) {
        (true, ')' | '）' | ']') => '(',
        (false, '.' | ')' | '）' | '、') => close,
        _ => return None,
    };
    let after = &rest[close.len_utf8()..];
    let spaced = after.is_empty() || after.starts_with(char::is_whitespace) || matches!(close, '）' | '、');
    let letter = |text: &str| match text.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => Some(u32::from(letter.to_ascii_lowercase() - b'a') + 1),
        _ => None,
    };
    let digits = if value.chars().count() <= 3 { number(value) } else { None };
    let (own, roman) = (digits.or_else(|| letter(value)), roman(value));
    let is_numbered = own.is_some() || roman.is_some();
    let marker = Marker::Number { value: own, roman, style };
    (spaced && is_numbered).then_some((marker, after.trim().is_empty()))
}

/// Returns whether a line starts with a bullet that no running text starts with.
pub(super) fn is_bullet(text: &str) -> bool {
    text.trim_start().starts_with(['•', '●', '▪', '■', '◦', '○', '‣', '➢', '➤', '✓', '❖', '◆', '►', '▶'])
}

/// Returns whether a line is the note below a table: "Source: ...", "Note 1".
pub(super) fn is_note(text: &str) -> bool {
    let word: String = text.trim_start().chars().take_while(|c| c.is_alphabetic()).collect();
    matches!(
        word.to_lowercase().as_str(),
        "source"
            | "sources"
            | "note"
            | "notes"
            | "quelle"
            | "quellen"
            | "anmerkung"
            | "anmerkungen"
            | "fuente"
            | "nota"
            | "fonte"
            | "来源"
            | "注"
            | "資料"
            | "资料来源"
    ) && text.chars().any(|c| matches!(c, ':' | '：' | '.'))
}

/// Returns the start of a caption of a line that starts as one does: "Figure 3", "Tab. 2:", "图 1".
pub(super) fn caption(text: &str) -> Option<Caption> {
    let text = text.trim_start();
    let ideograph = text.chars().next().is_some_and(|c| matches!(c, '図' | '图' | '圖' | '表'));
    let end = if ideograph {
        text.chars().next().map_or(0, char::len_utf8)
    } else {
        text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len())
    };
    let (word, rest) = text.split_at(end);
    let lower = word.to_lowercase();
    let (_, object) = CAPTION_WORDS.iter().find(|(word, _)| *word == lower)?;
    if !word.chars().next().is_some_and(|c| c.is_uppercase() || ideograph) {
        return None;
    }
    let rest = rest.trim_start_matches('.').trim_start();
    let number_end =
        rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '–'))).unwrap_or(rest.len());
    let number = rest[..number_end].trim_end_matches(['.', '-', '–']);
    let numbered = number.starts_with(is_digit)
        || roman(number).is_some()
        || (number.len() == 1 && number.chars().all(|c| c.is_ascii_uppercase()))
        || number.chars().next().is_some_and(|c| "一二三四五六七八九十".contains(c));
    if !numbered || number.chars().count() > 8 {
        return None;
    }
    let after = &rest[number.len()..];
    let is_marked = after.trim().is_empty()
        || after.trim_start().starts_with([':', '.', '|', '—', '–', '-', '：', '('])
        || ideograph
        || after.trim_start().chars().next().is_some_and(char::is_uppercase);
    Some(Caption { object: *object, is_marked })
}

/// Returns the depth of the number before a heading ("2 Method" 1, "2.1 Data" 2, "A.3 Proofs" 2, "Chapter 4" 1); `None`
/// without one.
pub fn numbering(text: &str) -> Option<u8> {
    let text = text.trim();
    let (first, rest) = text.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    if CHAPTER_WORDS.contains(&first.to_lowercase().as_str()) {
        let number = rest.split([' ', ':', '.']).next().unwrap_or_default();
        let known = is_number(number) || roman(number).is_some() || number.len() == 1;
        return known.then_some(1);
    }
    let parts: Vec<&str> = first.trim_end_matches(['.', ')']).split('.').collect();
    let is_short_number = |part: &str| (1..=2).contains(&part.chars().count()) && part.chars().all(is_digit);
    let leads = parts.first().is_some_and(|part| {
        is_short_number(part)
            || (part.len() == 1 && part.bytes().all(|b| b.is_ascii_uppercase()) && first.len() > 1)
            || (part.len() > 1 && part.bytes().all(|b| b.is_ascii_uppercase()) && roman(part).is_some())
    });
    let deeper = parts.iter().skip(1).all(|part| is_short_number(part));
    let deep = parts.len() >= 3;
    let start = |c: char| c.is_uppercase() || (c.is_alphabetic() && (deep || !c.is_ascii()));
    let titled = rest.chars().next().is_some_and(start);
    let whole = parts.first().is_none_or(|part| part.chars().count() != 1 || number(part) != Some(0));
    (leads && deeper && titled && whole && parts.len() <= 6).then_some(parts.len() as u8)
}

/// Returns the number that a text begins with, of a number in parts the first one.
pub(super) fn leading_number(text: &str) -> Option<u32> {
    let text = text.trim_start();
    number(&text[..text.find(|c: char| !is_digit(c)).unwrap_or(text.len())])
}

/// Returns whether a text begins with a number that has no mark behind it.
pub(super) fn is_bare_number(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    !first.is_empty() && first.chars().all(is_digit)
}

/// Returns whether a text is nothing but the label of a chapter, whose title follows: "Chapter 4", "APPENDIX B", "Chapter Seven".
pub(super) fn is_chapter_label(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let (Some(first), Some(number), None) = (words.next(), words.next(), words.next()) else { return false };
    let number = number.trim_end_matches(['.', ':']).to_lowercase();
    CHAPTER_WORDS.contains(&first.to_lowercase().as_str())
        && !number.is_empty()
        && (number.chars().all(is_digit)
            || number.chars().count() == 1
            || roman(&number).is_some()
            || NUMBER_WORDS.contains(&number.as_str()))
}

/// Numbers of chapters in words.
const NUMBER_WORDS: [&str; 20] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

/// Pages of a preface have small numbers; "mix" and "di" are words.
const ROMAN_PAGES: u32 = 200;

/// Returns whether a line is nothing but the number of its page: "7", "- 7 -", "Page 3 of 10", "vii", "3/12".
pub fn is_page_number(text: &str) -> bool {
    let text = text.trim().trim_matches(['-', '–', '—', '|', '[', ']', '(', ')', '·', '•', ' ', '~']);
    if text.is_empty() || text.chars().count() > 24 {
        return false;
    }
    let mut digits = 0;
    for word in text.split([' ', '/', '\u{a0}']).filter(|word| !word.is_empty()) {
        let word = word.trim_matches(['.', ',', ':', '-']);
        if word.chars().all(is_digit) {
            let count = word.chars().count();
            digits += usize::from((1..=4).contains(&count));
            if count > 4 {
                return false;
            }
        } else if roman(word).is_some_and(|n| n < ROMAN_PAGES) && word.bytes().all(|b| b.is_ascii_lowercase())
        {
            digits += 1;
        } else if !is_page_word(&word.to_lowercase()) {
            return is_ideographic_page(text);
        }
    }
    (1..=2).contains(&digits)
}

fn is_page_word(word: &str) -> bool {
    matches!(
        word,
        "page"
            | "p"
            | "pg"
            | "seite"
            | "of"
            | "von"
            | "sur"
            | "de"
            | "di"
            | "página"
            | "pagina"
            | "strona"
            | "sida"
            | "стр"
            | "из"
    )
}

fn is_ideographic_page(text: &str) -> bool {
    let inner = text.strip_prefix('第').and_then(|rest| rest.strip_suffix(['页', '頁']));
    inner.is_some_and(|number| !number.trim().is_empty() && number.trim().chars().all(is_digit))
}

/// Returns a text with each run of digits as one `#`, by which headers of different pages are compared.
pub fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        for c in word.chars() {
            if !c.is_numeric() {
                out.extend(c.to_lowercase());
            } else if !out.ends_with('#') {
                out.push('#');
            }
        }
    }
    out
}

/// Returns whether a text ends with, or is, leader dots.
pub(super) fn ends_in_leader(text: &str) -> bool {
    let tail = text.trim_end();
    let mut dots = 0;
    for c in tail.chars().rev() {
        match c {
            '.' | '·' | '_' => dots += 1,
            '…' | '⋯' => dots += 3,
            ' ' => {}
            _ => break,
        }
    }
    dots >= 3
}

/// Returns whether a text is a mark of a footnote followed by its text: "1 See", "* See", "† See", "[2] See".
pub(super) fn footnote(text: &str) -> bool {
    let text = text.trim_start();
    let Some(first) = text.chars().next() else { return false };
    if "*†‡§¶".contains(first) || "¹²³⁴⁵⁶⁷⁸⁹⁰".contains(first) {
        return true;
    }
    let body = text.trim_start_matches(['[', '(']);
    let digits = body.chars().take_while(|c| is_digit(*c)).count();
    let rest = body.trim_start_matches(is_digit).trim_start_matches([']', ')']);
    (1..=3).contains(&digits)
        && rest
            .trim_start()
            .chars()
            .next()
            .is_some_and(|c| c.is_alphabetic() || matches!(c, '"' | '“' | '„' | '('))
        && !rest.starts_with('.')
}

/// Returns whether a text is a label of a form: it ends with a colon.
pub(super) fn is_label(text: &str) -> bool {
    text.trim_end().ends_with([':', '：'])
}

/// Returns whether a text ends a sentence, perhaps with a quote or a bracket after it.
pub(super) fn ends_sentence(text: &str) -> bool {
    let end = text.trim_end().trim_end_matches(['"', '”', '’', ')', '»', '」']);
    end.ends_with(script::ends_sentence)
}
