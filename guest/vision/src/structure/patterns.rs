//! Patterns of text that indicate a role. Written by hand for linear time and a small component.

use super::numbers::{is_number, is_roman};

/// Characters that start an item of a list.
const BULLETS: &str = "•●▪■◦○‣⁃–—-*·➢➤✓❖□◆►▶";

/// Words before the number of a caption, in lower case. Those of one letter are followed by a digit only.
const CAPTION_WORDS: [&str; 30] = [
    "figure",
    "fig",
    "table",
    "tab",
    "chart",
    "scheme",
    "plate",
    "listing",
    "algorithm",
    "abbildung",
    "abb",
    "tabelle",
    "tableau",
    "figura",
    "tabla",
    "tabella",
    "quadro",
    "gráfico",
    "graphique",
    "grafik",
    "diagram",
    "diagramm",
    "рисунок",
    "рис",
    "таблица",
    "табл",
    "図",
    "图",
    "圖",
    "表",
];

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
    /// A number or letter with a mark after it: its value and its style.
    Number(u32, char),
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
    let number = match value.chars().count() {
        0 => None,
        1..=3 if value.bytes().all(|b| b.is_ascii_digit()) => value.parse().ok(),
        1 => {
            value.chars().next().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase() as u32 - 96)
        }
        _ => is_roman(value),
    }?;
    spaced.then_some((Marker::Number(number, style), after.trim().is_empty()))
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

/// Returns whether a line starts as a caption does: "Figure 3", "Tab. 2:", "图 1"; and whether a mark or nothing follows
/// the number, as in a caption but not in a sentence about one.
pub(super) fn caption(text: &str) -> Option<bool> {
    let text = text.trim_start();
    let ideograph = text.chars().next().is_some_and(|c| matches!(c, '図' | '图' | '圖' | '表'));
    let end = if ideograph {
        text.chars().next().map_or(0, char::len_utf8)
    } else {
        text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len())
    };
    let (word, rest) = text.split_at(end);
    let lower = word.to_lowercase();
    if !CAPTION_WORDS.contains(&lower.as_str())
        || !word.chars().next().is_some_and(|c| c.is_uppercase() || ideograph)
    {
        return None;
    }
    let rest = rest.trim_start_matches('.').trim_start();
    let number_end =
        rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '–'))).unwrap_or(rest.len());
    let number = rest[..number_end].trim_end_matches(['.', '-', '–']);
    let numbered = number.chars().next().is_some_and(|c| c.is_ascii_digit())
        || is_roman(number).is_some()
        || (number.len() == 1 && number.chars().all(|c| c.is_ascii_uppercase()))
        || number.chars().next().is_some_and(|c| "一二三四五六七八九十".contains(c));
    if !numbered || number.chars().count() > 8 {
        return None;
    }
    let after = &rest[number.len()..];
    let marked = after.trim().is_empty()
        || after.trim_start().starts_with([':', '.', '|', '—', '–', '-', '：', '('])
        || ideograph
        || after.trim_start().chars().next().is_some_and(char::is_uppercase);
    Some(marked)
}

/// Returns the depth of the number before a heading ("2 Method" 1, "2.1 Data" 2, "A.3 Proofs" 2, "Chapter 4" 1); `None`
/// without one.
pub fn numbering(text: &str) -> Option<u8> {
    let text = text.trim();
    let (first, rest) = text.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    if CHAPTER_WORDS.contains(&first.to_lowercase().as_str()) {
        let number = rest.split([' ', ':', '.']).next().unwrap_or_default();
        let known = is_number(number) || is_roman(number).is_some() || number.len() == 1;
        return known.then_some(1);
    }
    let number = first.trim_end_matches(['.', ')']);
    let parts: Vec<&str> = number.split('.').collect();
    let leads = parts.first().is_some_and(|part| {
        (part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty())
            || (part.len() == 1 && part.bytes().all(|b| b.is_ascii_uppercase()) && first.len() > 1)
            || (part.len() > 1 && part.bytes().all(|b| b.is_ascii_uppercase()) && is_roman(part).is_some())
    });
    let deeper =
        parts.iter().skip(1).all(|p| (1..=2).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()));
    let deep = parts.len() >= 3;
    let start = |c: char| c.is_uppercase() || (c.is_alphabetic() && (deep || !c.is_ascii()));
    let titled = rest.chars().next().is_some_and(start);
    let whole = parts.first().is_none_or(|part| *part != "0");
    (leads && deeper && titled && whole && parts.len() <= 6).then_some(parts.len() as u8)
}

/// Returns whether a text is nothing but the label of a chapter, whose title follows: "Chapter 4", "APPENDIX B", "Chapter Seven".
pub(super) fn is_chapter_label(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let (Some(first), Some(number), None) = (words.next(), words.next(), words.next()) else { return false };
    let number = number.trim_end_matches(['.', ':']).to_lowercase();
    CHAPTER_WORDS.contains(&first.to_lowercase().as_str())
        && (number.bytes().all(|b| b.is_ascii_digit())
            || number.chars().count() == 1
            || is_roman(&number).is_some()
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
        if word.bytes().all(|b| b.is_ascii_digit()) {
            digits += usize::from(!word.is_empty() && word.len() <= 4);
            if word.len() > 4 {
                return false;
            }
        } else if is_roman(word).is_some_and(|n| n < ROMAN_PAGES)
            && word.bytes().all(|b| b.is_ascii_lowercase())
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
    inner.is_some_and(|number| number.trim().bytes().all(|b| b.is_ascii_digit()) && !number.trim().is_empty())
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
    let digits = body.bytes().take_while(u8::is_ascii_digit).count();
    let rest = body[digits..].trim_start_matches([']', ')']);
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

/// Returns whether a text ends a sentence.
pub(super) fn ends_sentence(text: &str) -> bool {
    let end = text.trim_end().trim_end_matches(['"', '”', '’', ')', '»', '」']);
    end.ends_with(['.', '!', '?', ':', ';', '。', '！', '？', '：', '；'])
}
