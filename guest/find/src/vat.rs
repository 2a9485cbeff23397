//! VAT identification numbers: the forms of the member states (directive 2006/112/EC, article 215), of the United Kingdom and
//! Northern Ireland, and of Switzerland; verified by the check digits of the countries whose rule is below.

use std::ops::Range;

use crate::text::{at, begins, ends, is_hyphen, is_space};

/// A country's form: its prefix, the lengths of the rest, and how the rest is checked.
struct Form {
    prefix: &'static str,
    lengths: &'static [usize],
    check: fn(&[u8]) -> Verdict,
}

/// The result of a check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Not in the form, or a wrong check digit.
    Wrong,
    /// In the form; no check digit was verified.
    Possible,
    /// The check digit is right.
    Proven,
}

const FORMS: &[Form] = &[
    Form { prefix: "AT", lengths: &[9], check: austria },
    Form { prefix: "BE", lengths: &[10], check: belgium },
    Form { prefix: "BG", lengths: &[9, 10], check: numeric },
    Form { prefix: "CHE", lengths: &[9], check: switzerland },
    Form { prefix: "CY", lengths: &[9], check: digits_then_letter },
    Form { prefix: "CZ", lengths: &[8, 9, 10], check: numeric },
    Form { prefix: "DE", lengths: &[9], check: germany },
    Form { prefix: "DK", lengths: &[8], check: denmark },
    Form { prefix: "EE", lengths: &[9], check: |n| sum(n, &[3, 7, 1, 3, 7, 1, 3, 7, 1], |s| s % 10 == 0) },
    Form { prefix: "EL", lengths: &[9], check: greece },
    Form { prefix: "ES", lengths: &[9], check: spain },
    Form { prefix: "FI", lengths: &[8], check: |n| sum(n, &[7, 9, 10, 5, 8, 4, 2, 1], |s| s % 11 == 0) },
    Form { prefix: "FR", lengths: &[11], check: france },
    Form { prefix: "GB", lengths: &[9, 12], check: numeric },
    Form { prefix: "HR", lengths: &[11], check: iso_7064_11_10 },
    Form { prefix: "HU", lengths: &[8], check: |n| sum(n, &[9, 7, 3, 1, 9, 7, 3, 1], |s| s % 10 == 0) },
    Form { prefix: "IE", lengths: &[8, 9], check: ireland },
    Form { prefix: "IT", lengths: &[11], check: |n| proven(luhn(n)) },
    Form { prefix: "LT", lengths: &[9, 12], check: numeric },
    Form { prefix: "LU", lengths: &[8], check: luxembourg },
    Form { prefix: "LV", lengths: &[11], check: numeric },
    Form { prefix: "MT", lengths: &[8], check: numeric },
    Form { prefix: "NL", lengths: &[12], check: netherlands },
    Form { prefix: "PL", lengths: &[10], check: poland },
    Form { prefix: "PT", lengths: &[9], check: portugal },
    Form { prefix: "RO", lengths: &[6, 7, 8, 9, 10], check: numeric },
    Form { prefix: "SE", lengths: &[12], check: sweden },
    Form { prefix: "SI", lengths: &[8], check: slovenia },
    Form { prefix: "SK", lengths: &[10], check: numeric },
    Form { prefix: "XI", lengths: &[9, 12], check: numeric },
];

/// Returns the ranges of numbers, and whether their check digit was verified.
pub(crate) fn find(chars: &[char]) -> Vec<(Range<usize>, bool)> {
    let mut found = Vec::new();
    let mut from = 0;
    while from < chars.len() {
        match number_at(chars, from) {
            Some((to, proven)) => {
                found.push((from..to, proven));
                from = to;
            }
            None => from += 1,
        }
    }
    found
}

/// Returns the end of the longest number that begins at `from`.
fn number_at(chars: &[char], from: usize) -> Option<(usize, bool)> {
    if !begins(chars, from) {
        return None;
    }
    let starts = |form: &&Form| {
        form.prefix.chars().zip(chars.get(from..).unwrap_or_default()).filter(|(a, b)| a == *b).count()
            == form.prefix.len()
    };
    let form = FORMS.iter().find(starts)?;
    let longest = form.lengths.iter().copied().max()?;
    let mut number: Vec<u8> = Vec::with_capacity(longest);
    let (mut index, mut best) = (from + form.prefix.len(), None);
    while number.len() < longest {
        // Groups are separated by one space, hyphen or dot.
        let separated = at(chars, index).is_some_and(|c| is_space(c) || is_hyphen(c) || c == '.');
        let Some(c) = at(chars, index + usize::from(separated)) else { break };
        let Ok(byte) = u8::try_from(c) else { break };
        if !(byte.is_ascii_digit() || byte.is_ascii_uppercase() || matches!(byte, b'+' | b'*')) {
            break;
        }
        number.push(byte);
        index += 1 + usize::from(separated);
        if form.lengths.contains(&number.len()) && ends(chars, index) {
            match (form.check)(&number) {
                Verdict::Wrong => {}
                verdict => best = Some((index, verdict == Verdict::Proven)),
            }
        }
    }
    best
}

fn proven(right: bool) -> Verdict {
    if right { Verdict::Proven } else { Verdict::Wrong }
}

/// Returns the digits; `None` where a character is none.
fn values(number: &[u8]) -> Option<Vec<u32>> {
    number.iter().map(|byte| char::from(*byte).to_digit(10)).collect()
}

fn numeric(number: &[u8]) -> Verdict {
    if values(number).is_some() { Verdict::Possible } else { Verdict::Wrong }
}

/// Verifies the weighted sum of the digits.
fn sum(number: &[u8], weights: &[u32], right: fn(u32) -> bool) -> Verdict {
    proven(weighted(number, weights).is_some_and(right))
}

/// Returns the weighted sum of as many digits as there are weights; `None` where all are 0, which passes most checks and is not
/// issued.
fn weighted(number: &[u8], weights: &[u32]) -> Option<u32> {
    let values = values(number)?;
    let sum = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
    (sum > 0).then_some(sum)
}

fn last(number: &[u8]) -> Option<u32> {
    values(number)?.last().copied()
}

/// Returns the number that the digits `range` write.
fn integer(number: &[u8], range: Range<usize>) -> Option<u64> {
    let part = number.get(range)?;
    part.iter().try_fold(0, |all, byte| Some(all * 10 + u64::from(char::from(*byte).to_digit(10)?)))
}

fn luhn(number: &[u8]) -> bool {
    let Some(values) = values(number) else { return false };
    let digit =
        |(place, value): (usize, &u32)| if place % 2 == 1 { value * 2 / 10 + value * 2 % 10 } else { *value };
    let sum: u32 = values.iter().rev().enumerate().map(digit).sum();
    sum > 0 && sum.is_multiple_of(10)
}

/// ISO 7064, MOD 11,10.
fn iso_7064_11_10(number: &[u8]) -> Verdict {
    let Some(values) = values(number) else { return Verdict::Wrong };
    let Some((check, rest)) = values.split_last() else { return Verdict::Wrong };
    let product = rest.iter().fold(10, |product, value| {
        let sum = (product + value) % 10;
        if sum == 0 { 20 % 11 } else { sum * 2 % 11 }
    });
    proven((11 - product) % 10 == *check)
}

fn germany(number: &[u8]) -> Verdict {
    if number.first() == Some(&b'0') { Verdict::Wrong } else { iso_7064_11_10(number) }
}

fn austria(number: &[u8]) -> Verdict {
    let Some(digits) = number.strip_prefix(b"U") else { return Verdict::Wrong };
    let Some(values) = values(digits) else { return Verdict::Wrong };
    let Some((check, rest)) = values.split_last() else { return Verdict::Wrong };
    let digit =
        |(place, value): (usize, &u32)| if place % 2 == 1 { value * 2 / 10 + value * 2 % 10 } else { *value };
    let sum: u32 = rest.iter().enumerate().map(digit).sum();
    proven((96 - sum) % 10 == *check)
}

fn belgium(number: &[u8]) -> Verdict {
    let begins = matches!(number.first(), Some(b'0' | b'1'));
    let right =
        integer(number, 0..8).zip(integer(number, 8..10)).is_some_and(|(n, c)| n > 0 && 97 - n % 97 == c);
    proven(begins && right)
}

fn switzerland(number: &[u8]) -> Verdict {
    let check = weighted(number, &[5, 4, 3, 2, 7, 6, 5, 4]).map(|sum| (11 - sum % 11) % 11);
    proven(check.is_some() && check == last(number))
}

fn denmark(number: &[u8]) -> Verdict {
    if number.first() == Some(&b'0') {
        return Verdict::Wrong;
    }
    sum(number, &[2, 7, 6, 5, 4, 3, 2, 1], |sum| sum.is_multiple_of(11))
}

fn digits_then_letter(number: &[u8]) -> Verdict {
    let (digits, letter) = (number.get(..8).unwrap_or_default(), number.get(8));
    let right = values(digits).is_some() && letter.is_some_and(u8::is_ascii_uppercase);
    if right { Verdict::Possible } else { Verdict::Wrong }
}

fn greece(number: &[u8]) -> Verdict {
    let sum = weighted(number, &[256, 128, 64, 32, 16, 8, 4, 2]);
    proven(sum.map(|sum| sum % 11 % 10) == last(number) && sum.is_some())
}

fn spain(number: &[u8]) -> Verdict {
    let inner = number.get(1..8).unwrap_or_default();
    let ends = [number.first(), number.last()];
    let alphanumeric = ends.iter().flatten().all(|byte| byte.is_ascii_alphanumeric());
    let lettered = ends.iter().flatten().any(|byte| byte.is_ascii_uppercase());
    if values(inner).is_some() && alphanumeric && lettered { Verdict::Possible } else { Verdict::Wrong }
}

fn france(number: &[u8]) -> Verdict {
    let siren = number.get(2..).unwrap_or_default();
    // Numbers of Monaco begin with 000 and have the key alone.
    let Some(value) = integer(siren, 0..9).filter(|_| luhn(siren) || siren.starts_with(b"000")) else {
        return Verdict::Wrong;
    };
    if let Some(key) = integer(number, 0..2) {
        return proven(value > 0 && (12 + 3 * (value % 97)) % 97 == key);
    }
    // Newer keys have letters other than I and O.
    let letter = |at: usize| {
        let all = b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZ";
        number.get(at).and_then(|byte| all.iter().position(|own| own == byte)).map(|value| value as u64)
    };
    let Some((first, second)) = letter(0).zip(letter(1)) else { return Verdict::Wrong };
    let key = if first < 10 { first * 24 + second - 10 } else { first * 34 + second - 100 };
    proven(value > 0 && (value + 1 + key / 11) % 11 == key % 11)
}

fn ireland(number: &[u8]) -> Verdict {
    let digit = |at: usize| number.get(at).is_some_and(u8::is_ascii_digit);
    let letters = number.get(7..).unwrap_or_default().iter().all(u8::is_ascii_uppercase);
    let second = number
        .get(1)
        .is_some_and(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || b"+*".contains(byte));
    if digit(0) && second && (2..7).all(digit) && letters { Verdict::Possible } else { Verdict::Wrong }
}

fn luxembourg(number: &[u8]) -> Verdict {
    proven(
        integer(number, 0..6).zip(integer(number, 6..8)).is_some_and(|(n, check)| n > 0 && n % 89 == check),
    )
}

/// Numbers of companies have a check digit; those of sole traders (since 2020) are verified modulo 97.
fn netherlands(number: &[u8]) -> Verdict {
    let (company, rest) = number.split_at_checked(9).unwrap_or_default();
    let suffix = rest.first() == Some(&b'B') && rest.get(1..).is_some_and(|rest| values(rest).is_some());
    let eleven = weighted(company.get(..8).unwrap_or_default(), &[9, 8, 7, 6, 5, 4, 3, 2])
        .zip(last(company))
        .is_some_and(|(sum, check)| sum % 11 == check);
    let remainder = b"NL".iter().chain(number).try_fold(0_u32, |remainder, byte| {
        let value = char::from(*byte).to_digit(36)?;
        Some((remainder * if value < 10 { 10 } else { 100 } + value) % 97)
    });
    proven(suffix && integer(company, 0..9).is_some_and(|n| n > 0) && (eleven || remainder == Some(1)))
}

fn poland(number: &[u8]) -> Verdict {
    let sum = weighted(number, &[6, 5, 7, 2, 3, 4, 5, 6, 7]);
    proven(sum.is_some() && sum.map(|sum| sum % 11) == last(number))
}

fn portugal(number: &[u8]) -> Verdict {
    let sum = weighted(number, &[9, 8, 7, 6, 5, 4, 3, 2]);
    let begins = number.first() != Some(&b'0');
    proven(begins && sum.is_some() && sum.map(|sum| (11 - sum % 11) % 11 % 10) == last(number))
}

fn sweden(number: &[u8]) -> Verdict {
    proven(number.ends_with(b"01") && luhn(number.get(..10).unwrap_or_default()))
}

fn slovenia(number: &[u8]) -> Verdict {
    let sum = weighted(number, &[8, 7, 6, 5, 4, 3, 2]);
    // The check digit of 10 is 0; numbers with that of 11 are not issued.
    let check = sum.map(|sum| 11 - sum % 11).filter(|check| *check != 11).map(|check| check % 10);
    proven(number.first() != Some(&b'0') && check.is_some() && check == last(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(String, bool)> {
        let chars: Vec<char> = text.chars().collect();
        let shown = |range: Range<usize>| chars.get(range).unwrap_or_default().iter().collect();
        find(&chars).into_iter().map(|(range, proven)| (shown(range), proven)).collect()
    }

    #[test]
    fn numbers_of_each_country_and_wrong_ones() {
        for number in [
            "ATU13585627",
            "BE0428759497",
            "CHE-107.787.577",
            "DE136695976",
            "DE 136 695 976",
            "DK 13585628",
            "EE100931558",
            "EL094259216",
            "FI20774740",
            "FR 40 303 265 045",
            "FR53000004605",
            "FRK7399859412",
            "FR4Z123456782",
            "HR33392005961",
            "HU12892312",
            "IT00743110157",
            "LU15027442",
            "NL004495445B01",
            "PL8567346215",
            "PT501964843",
            "SE556188840401",
            "SI50223054",
            // The check digit of 10 is 0.
            "SI10000020",
        ] {
            assert_eq!(shown(number), [(number.to_owned(), true)], "{number}");
            // Another last digit of the checked part is wrong.
            let at = number.rfind(|c: char| c.is_ascii_digit()).unwrap_or_default();
            let at = if number.starts_with("NL") {
                10
            } else if number.starts_with("SE") {
                11
            } else {
                at
            };
            let digit = number.as_bytes().get(at).copied().unwrap_or_default();
            let mut wrong = number.to_owned();
            wrong.replace_range(at..=at, if digit == b'9' { "8" } else { "9" });
            assert_eq!(shown(&wrong), [], "{wrong}");
        }
        for number in [
            "BG175074752",
            "CY10259033P",
            "CZ25123891",
            "ESB58378431",
            "GB980780684",
            "IE6433435F",
            "SK2022749619",
        ] {
            assert_eq!(shown(number), [(number.to_owned(), false)], "{number}");
        }
    }

    #[test]
    fn numbers_that_are_not_issued_are_not_proven() {
        for number in [
            // The check digit would be 11.
            "SI10000071",
            // The key of another number.
            "FRK8399859412",
            "FR5Z123456782",
            // Of zeros alone, and with a first digit that is never 0.
            "BE0000000097",
            "CHE000000000",
            "DK00000000",
            "EE000000000",
            "EL000000000",
            "FI00000000",
            "FR12000000000",
            "HU00000000",
            "IT00000000000",
            "LU00000000",
            "NL000000000B00",
            "PL0000000000",
            "PT000000000",
            "SE000000000001",
            "SI00000000",
        ] {
            assert_eq!(shown(number), [], "{number}");
        }
    }

    #[test]
    fn a_number_is_a_word_of_its_own() {
        assert_eq!(shown("USt-IdNr.: DE136695976, Tel. 1"), [("DE136695976".to_owned(), true)]);
        for text in [
            "XDE136695976",
            "DE1366959761",
            "DE13669597",
            "de136695976",
            "MODE 136695976",
            "SE 5",
            "IT's 12 o'clock",
        ] {
            assert_eq!(shown(text), [], "{text}");
        }
    }
}
