//! International bank account numbers (ISO 13616): a country, two check digits, the country's own number; verified by
//! the remainder modulo 97 (ISO 7064).

use crate::text::{at, begins, ends, is_hyphen, is_space};

/// Length by country, without spaces, from the registry of ISO 13616.
const LENGTHS: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BI", 27),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DJ", 27),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FK", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HN", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MN", 20),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NI", 28),
    ("NL", 18),
    ("NO", 15),
    ("OM", 23),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("RU", 33),
    ("SA", 24),
    ("SC", 31),
    ("SD", 18),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("SO", 23),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
    ("YE", 30),
];

/// Returns the ranges of numbers with a valid checksum.
pub(crate) fn find(chars: &[char]) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    let mut from = 0;
    while from < chars.len() {
        match end_of(chars, from) {
            Some(to) => {
                places.push((from, to));
                from = to;
            }
            None => from += 1,
        }
    }
    places
}

/// Returns the end of the number that begins at `from`, if any.
fn end_of(chars: &[char], from: usize) -> Option<usize> {
    if !begins(chars, from) {
        return None;
    }
    let country: String =
        [at(chars, from)?, at(chars, from + 1)?].iter().map(char::to_ascii_uppercase).collect();
    let length = LENGTHS.iter().find(|(code, _)| *code == country)?.1;
    let mut number = String::with_capacity(length);
    let mut index = from;
    while number.len() < length {
        let c = at(chars, index)?;
        index += 1;
        if c.is_ascii_alphanumeric() {
            number.push(c.to_ascii_uppercase());
            continue;
        }
        // Groups are separated by one space or hyphen.
        let between = (is_space(c) || is_hyphen(c)) && at(chars, index)?.is_ascii_alphanumeric();
        if !between {
            return None;
        }
    }
    (ends(chars, index) && is_valid(&number)).then_some(index)
}

/// Verifies the checksum: with the first four characters moved to the end and letters as numbers from 10, the remainder
/// modulo 97 is 1.
fn is_valid(number: &str) -> bool {
    let Some((head, tail)) = number.split_at_checked(4) else { return false };
    if !head.bytes().skip(2).all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let remainder = tail.chars().chain(head.chars()).try_fold(0_u32, |remainder, c| {
        let value = c.to_digit(36)?;
        let shift = if value < 10 { 10 } else { 100 };
        Some((remainder * shift + value) % 97)
    });
    remainder == Some(1)
}

#[cfg(test)]
mod tests {
    use crate::Kind;
    use crate::tests::check;

    #[test]
    fn numbers_and_what_only_looks_like_one() {
        for (text, expected) in [
            ("IBAN: DE89 3704 0044 0532 0130 00, BIC", &["DE89 3704 0044 0532 0130 00"][..]),
            ("GB29NWBK60161331926819", &["GB29NWBK60161331926819"]),
            ("gb29 nwbk 6016 1331 9268 19", &["gb29 nwbk 6016 1331 9268 19"]),
            ("FR14-2004-1010-0505-0001-3M02-606.", &["FR14-2004-1010-0505-0001-3M02-606"]),
            ("NO93 8601 1117 947 NO93 8601 1117 947", &["NO93 8601 1117 947", "NO93 8601 1117 947"]),
            ("MT84MALT011000012345MTLCAST001S", &["MT84MALT011000012345MTLCAST001S"]),
            (
                "CH93\u{a0}0076\u{a0}2011\u{a0}6238\u{a0}5295\u{a0}7",
                &["CH93\u{a0}0076\u{a0}2011\u{a0}6238\u{a0}5295\u{a0}7"],
            ),
            ("DE88 3704 0044 0532 0130 00", &[]),
            ("DE89 3704 0044 0532 0130", &[]),
            ("DE89 3704 0044 0532 0130 001", &[]),
            ("XDE89370400440532013000", &[]),
            ("ZZ89 3704 0044 0532 0130 00", &[]),
            ("DE89  3704 0044 0532 0130 00", &[]),
            ("INVOICE 2024", &[]),
            ("DE", &[]),
        ] {
            check(Kind::Iban, text, expected);
        }
    }
}
