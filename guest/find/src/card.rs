//! Payment card numbers (ISO/IEC 7812): 13 to 19 digits, in groups or not, verified by Luhn's checksum.

use std::ops::RangeInclusive;

use crate::text::{at, begins, ends, is_hyphen, is_space};

/// Digits of a number.
const DIGITS: RangeInclusive<usize> = 13..=19;

/// First digits of payment cards: 3 travel and entertainment, 2, 4, 5, 6 banking.
const FIRST: RangeInclusive<u32> = 2..=6;

/// Maximum groups that are combined; no card is printed in more, and the numbers beside it (expiry date, check code)
/// are short.
const GROUPS_MAX: usize = 8;

/// Least letters of a word that a number may follow without a space: recognizers lose spaces between words and digits. Serial
/// numbers have fewer letters in front.
const GLUED_LETTERS_MIN: usize = 3;

/// A run of digits: the range of its characters.
type Group = (usize, usize);

/// Returns the ranges of numbers with a valid checksum.
pub(crate) fn find(chars: &[char]) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    let groups = groups(chars);
    let mut first = 0;
    while let Some(rest) = groups.get(first..).filter(|rest| !rest.is_empty()) {
        match longest(chars, rest) {
            Some((used, place)) => {
                places.push(place);
                first += used;
            }
            None => first += 1,
        }
    }
    places
}

/// Returns all runs of digits that are words of their own.
fn groups(chars: &[char]) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut index = 0;
    while index < chars.len() {
        let digits = chars.iter().skip(index).take_while(|c| c.is_ascii_digit()).count();
        let starts = begins(chars, index) || follows_word(chars, index);
        if digits > 0 && starts && ends(chars, index + digits) {
            groups.push((index, index + digits));
        }
        index += digits.max(1);
    }
    groups
}

/// Returns whether a word of letters ends directly before `index`.
fn follows_word(chars: &[char], index: usize) -> bool {
    let before = chars.get(..index).unwrap_or_default();
    let letters = before.iter().rev().take_while(|c| c.is_alphabetic()).count();
    letters >= GLUED_LETTERS_MIN && begins(chars, index - letters)
}

/// Returns the longest number that begins with the first group, and its number of groups.
fn longest(chars: &[char], groups: &[Group]) -> Option<(usize, (usize, usize))> {
    let mut digits: Vec<u32> = Vec::new();
    let mut best = None;
    let mut end = groups.first()?.0;
    for (used, &(from, to)) in groups.iter().enumerate().take(GROUPS_MAX) {
        let joined =
            used == 0 || (from == end + 1 && at(chars, end).is_some_and(|c| is_space(c) || is_hyphen(c)));
        if !joined {
            break;
        }
        digits.extend(chars.get(from..to)?.iter().filter_map(|c| c.to_digit(10)));
        if digits.len() > *DIGITS.end() {
            break;
        }
        end = to;
        if is_valid(&digits) {
            best = Some((used + 1, (groups.first()?.0, to)));
        }
    }
    best
}

/// Verifies Luhn's checksum (ISO/IEC 7812-1, annex B) over digits that may be a card number.
fn is_valid(digits: &[u32]) -> bool {
    let Some(first) = digits.first() else { return false };
    if !DIGITS.contains(&digits.len()) || !FIRST.contains(first) || digits.iter().all(|digit| digit == first)
    {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match (place % 2, digit * 2) {
            (0, _) => digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use crate::Kind;
    use crate::tests::check;

    #[test]
    fn numbers_and_what_only_looks_like_one() {
        for (text, expected) in [
            ("Visa 4111 1111 1111 1111 exp. 12/26", &["4111 1111 1111 1111"][..]),
            ("4111111111111111", &["4111111111111111"]),
            ("5500-0055-5555-5559.", &["5500-0055-5555-5559"]),
            ("Amex 3782 822463 10005", &["3782 822463 10005"]),
            ("6011 0009 9013 9424 123", &["6011 0009 9013 9424"]),
            ("code 77 4012 8888 8888 1881", &["4012 8888 8888 1881"]),
            ("2223 0031 2200 3222", &["2223 0031 2200 3222"]),
            ("4222222222222", &["4222222222222"]),
            ("Card4111111111111111", &["4111111111111111"]),
            ("Visa4111 1111 1111 1111", &["4111 1111 1111 1111"]),
            ("4111 1111 1111 1111 5500 0055 5555 5559", &["4111 1111 1111 1111", "5500 0055 5555 5559"]),
            ("4111 1111 1111 1112", &[]),
            ("4111 1111 1111", &[]),
            ("4111  1111 1111 1111", &[]),
            ("1111 1111 1111 1111", &[]),
            ("0000000000000000", &[]),
            ("X4111111111111111", &[]),
            ("A1Card4111111111111111", &[]),
            ("41111111111111111111", &[]),
            ("9999 8888 7777 6668", &[]),
        ] {
            check(Kind::Card, text, expected);
        }
    }
}
