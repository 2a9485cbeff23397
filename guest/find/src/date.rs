//! Dates with a day, a month and a year: ISO 8601 (`2026-11-29`), numbers with dots, slashes or hyphens (`29.11.2026`), and
//! names of months in English, German, French, Spanish, Italian and Dutch (`29 November 2026`, `Nov 29, 2026`).

use std::ops::Range;

use crate::DateOrder;
use crate::text::{at, begins, digits, ends, is_hyphen, is_space, spaces};

/// Names of the months, January first, and their usual abbreviations; in lower case.
const MONTHS: [&[&str]; 12] = [
    &["january", "jan", "januar", "jänner", "janvier", "janv", "enero", "gennaio", "gen", "januari"],
    &["february", "feb", "februar", "février", "févr", "fév", "febrero", "febbraio", "februari"],
    &["march", "mar", "märz", "mrz", "mär", "mars", "marzo", "maart", "mrt"],
    &["april", "apr", "avril", "avr", "abril", "abr", "aprile"],
    &["may", "mai", "mayo", "maggio", "mag", "mei"],
    &["june", "jun", "juni", "juin", "junio", "giugno", "giu"],
    &["july", "jul", "juli", "juillet", "juil", "julio", "luglio", "lug"],
    &["august", "aug", "août", "agosto", "ago", "augustus"],
    &["september", "sep", "sept", "septembre", "septiembre", "settembre", "set"],
    &["october", "oct", "oktober", "okt", "octobre", "octubre", "ottobre", "ott"],
    &["november", "nov", "novembre", "noviembre"],
    &["december", "dec", "dezember", "dez", "décembre", "déc", "diciembre", "dic", "dicembre"],
];

/// Two-digit years below this are of this century, the others of the last one.
const CENTURY: u32 = 70;

/// Returns the ranges of dates and the dates in ISO 8601. Where day and month could be either, the date is found only with an
/// `order`.
pub(crate) fn find(chars: &[char], order: Option<DateOrder>) -> Vec<(Range<usize>, String)> {
    let mut found = Vec::new();
    let mut index = 0;
    while index < chars.len() {
        let date = begins(chars, index)
            .then(|| {
                numeric(chars, index, order)
                    .or_else(|| day_month(chars, index))
                    .or_else(|| month_day(chars, index))
            })
            .flatten();
        match date {
            Some((to, value)) => {
                found.push((index..to, value));
                index = to;
            }
            None => index += 1,
        }
    }
    found
}

/// Reads three numbers with one kind of separator.
fn numeric(chars: &[char], from: usize, order: Option<DateOrder>) -> Option<(usize, String)> {
    // The tail of another number, such as a version or an IP address, is no date.
    let before = from.checked_sub(1).and_then(|before| at(chars, before));
    if before.is_some_and(|c| c == '.' || c == '/' || is_hyphen(c)) {
        return None;
    }
    let (first, mut to) = number(chars, from)?;
    let separator = at(chars, to).filter(|c| matches!(c, '.' | '/') || is_hyphen(*c))?;
    let same = |c: char| c == separator || is_hyphen(c) && is_hyphen(separator);
    let gap = |to: usize| {
        // `29. 11. 2026`
        let spaced = usize::from(separator == '.' && at(chars, to + 1).is_some_and(is_space));
        at(chars, to).is_some_and(same).then_some(to + 1 + spaced)
    };
    let second;
    (second, to) = number(chars, gap(to)?)?;
    let third;
    (third, to) = number(chars, gap(to)?)?;
    let goes_on = at(chars, to).is_some_and(same) && at(chars, to + 1).is_some_and(|c| c.is_ascii_digit());
    if goes_on || !ends(chars, to) {
        return None;
    }
    let (first, second, third) = (first?, second?, third?);
    let (year, month, day) = match (first.len, third.len) {
        (4, 1 | 2) => (first.value, second.value, third.value),
        (1 | 2, 4 | 2) => {
            let year = third.year();
            let (a, b) = (first.value, second.value);
            let day_first = iso(year, b, a).is_some();
            let month_first = iso(year, a, b).is_some() && separator != '.';
            match (day_first, month_first, order) {
                (true, false, _) | (true, true, Some(DateOrder::DayFirst)) => (year, b, a),
                (false, true, _) | (true, true, Some(DateOrder::MonthFirst)) => (year, a, b),
                (true, true, None) if a == b => (year, a, b),
                _ => return None,
            }
        }
        _ => return None,
    };
    // A month has at most two digits.
    let value = if second.len <= 2 { iso(year, month, day)? } else { return None };
    Some((to, value))
}

/// Reads `29 November 2026`, `29. Nov. 2026`, `1st of May 2026`, `29-Nov-2026`.
fn day_month(chars: &[char], from: usize) -> Option<(usize, String)> {
    let (day, mut to) = number(chars, from)?;
    let day = day.filter(|day| day.len <= 2)?;
    to = ordinal(chars, to);
    to = gap(chars, to, ".")?;
    to = skip_word(chars, to, &["of", "de", "di"]);
    let (month, after) = month(chars, to)?;
    to = gap(chars, after, ".,")?;
    to = skip_word(chars, to, &["de", "del"]);
    finish(chars, to, month, day.value)
}

/// Reads `November 29, 2026`, `Nov 29th 2026`.
fn month_day(chars: &[char], from: usize) -> Option<(usize, String)> {
    let (month, after) = month(chars, from)?;
    let (day, mut to) = number(chars, gap(chars, after, ".")?)?;
    let day = day.filter(|day| day.len <= 2)?;
    to = ordinal(chars, to);
    to = gap(chars, to, ".,")?;
    finish(chars, to, month, day.value)
}

fn finish(chars: &[char], from: usize, month: u32, day: u32) -> Option<(usize, String)> {
    let (year, to) = number(chars, from)?;
    let year = year.filter(|year| year.len == 4)?;
    if !ends(chars, to) {
        return None;
    }
    Some((to, iso(year.value, month, day)?))
}

/// A number of at most four digits.
#[derive(Clone, Copy)]
struct Number {
    value: u32,
    len: usize,
}

impl Number {
    fn year(self) -> u32 {
        match self.len {
            2 if self.value < CENTURY => 2000 + self.value,
            2 => 1900 + self.value,
            _ => self.value,
        }
    }
}

/// Reads digits; the number is `None` if it has more than four.
fn number(chars: &[char], from: usize) -> Option<(Option<Number>, usize)> {
    let len = digits(chars, from);
    if len == 0 {
        return None;
    }
    let text: String = chars.get(from..from + len)?.iter().collect();
    let number = text.parse().ok().filter(|_| len <= 4).map(|value| Number { value, len });
    Some((number, from + len))
}

/// Skips the ending of an ordinal number.
fn ordinal(chars: &[char], from: usize) -> usize {
    let word: String =
        chars.iter().skip(from).take_while(|c| c.is_alphabetic()).map(char::to_ascii_lowercase).collect();
    let is_ordinal = ["st", "nd", "rd", "th", "er"].contains(&word.as_str());
    if is_ordinal { from + word.chars().count() } else { from }
}

/// Skips one of `marks` and spaces, or one hyphen; `None` where there is neither.
fn gap(chars: &[char], from: usize, marks: &str) -> Option<usize> {
    let mut to = from;
    if at(chars, to).is_some_and(is_hyphen) {
        return Some(to + 1);
    }
    while at(chars, to).is_some_and(|c| marks.contains(c)) && to - from < 2 {
        to += 1;
    }
    to += spaces(chars, to);
    (to > from).then_some(to)
}

/// Skips one of `words` with the space after it.
fn skip_word(chars: &[char], from: usize, words: &[&str]) -> usize {
    let word: String =
        chars.iter().skip(from).take_while(|c| c.is_alphabetic()).map(char::to_ascii_lowercase).collect();
    let to = from + word.chars().count();
    let space = spaces(chars, to);
    if words.contains(&word.as_str()) && space > 0 { to + space } else { from }
}

/// Reads the name of a month.
fn month(chars: &[char], from: usize) -> Option<(u32, usize)> {
    let word: String =
        chars.iter().skip(from).take_while(|c| c.is_alphabetic()).flat_map(|c| c.to_lowercase()).collect();
    let index = MONTHS.iter().position(|names| names.contains(&word.as_str()))?;
    Some((u32::try_from(index).ok()? + 1, from + word.chars().count()))
}

/// Returns the date in ISO 8601, if it exists in the Gregorian calendar.
fn iso(year: u32, month: u32, day: u32) -> Option<String> {
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    ((1..=days).contains(&day) && (1000..=2999).contains(&year))
        .then(|| format!("{year:04}-{month:02}-{day:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str, order: Option<DateOrder>) -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        find(&chars, order).into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn dates_and_what_only_looks_like_one() {
        for (text, expected) in [
            ("2026-11-29", &["2026-11-29"][..]),
            ("Date: 29.11.2026, due 13.12.26.", &["2026-11-29", "2026-12-13"]),
            ("29. 11. 2026", &["2026-11-29"]),
            ("11/29/2026 and 29/11/2026", &["2026-11-29", "2026-11-29"]),
            ("07/07/2026", &["2026-07-07"]),
            ("29 November 2026", &["2026-11-29"]),
            ("29. Nov. 2026", &["2026-11-29"]),
            ("November 29, 2026", &["2026-11-29"]),
            ("Nov 29th, 2026", &["2026-11-29"]),
            ("1st of May 2026", &["2026-05-01"]),
            ("le 1er août 2026", &["2026-08-01"]),
            ("3 de marzo de 2026", &["2026-03-03"]),
            ("1. März 2026", &["2026-03-01"]),
            ("29-Nov-2026", &["2026-11-29"]),
            ("29.02.2028", &["2028-02-29"]),
            ("01.02.69 01.02.70", &["2069-02-01", "1970-02-01"]),
            // Either order: not without being told.
            ("03/04/2026", &[]),
            ("03-04-2026", &[]),
            ("29.02.2026", &[]),
            ("2026-13-01", &[]),
            ("32.01.2026", &[]),
            ("11.29.2026", &[]),
            ("1.2.3.2026", &[]),
            ("10.0.0.1", &[]),
            ("192.168.10.20", &[]),
            ("2026-11-290", &[]),
            ("12:41:30", &[]),
            ("May 2026", &[]),
            ("978-3-16-148410-0", &[]),
            ("29.11/2026", &[]),
            ("29 Novembers 2026", &[]),
        ] {
            assert_eq!(values(text, None), expected, "{text}");
        }
        assert_eq!(values("03/04/2026", Some(DateOrder::DayFirst)), ["2026-04-03"]);
        assert_eq!(values("03/04/2026", Some(DateOrder::MonthFirst)), ["2026-03-04"]);
        assert_eq!(values("03.04.2026", Some(DateOrder::MonthFirst)), ["2026-04-03"], "dots: day first");
    }
}
