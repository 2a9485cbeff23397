//! Amounts of money: a number beside a currency, in the usual ways to write the decimal mark and groups of thousands.

use std::ops::Range;

use crate::text::{at, begins, digits, ends, is_hyphen, spaces};

/// Signs of currencies, and what they become: an ISO 4217 code where the sign has one meaning.
const SIGNS: [(char, &str); 8] = [
    ('€', "EUR"),
    ('£', "GBP"),
    ('₹', "INR"),
    ('₩', "KRW"),
    ('₺', "TRY"),
    ('₴', "UAH"),
    ('$', "$"),
    ('¥', "¥"),
];

/// Codes of ISO 4217 that are found.
const CODES: [&str; 40] = [
    "EUR", "USD", "GBP", "CHF", "JPY", "CNY", "AUD", "CAD", "NZD", "SEK", "NOK", "DKK", "ISK", "PLN", "CZK",
    "HUF", "RON", "BGN", "RSD", "UAH", "TRY", "ILS", "AED", "SAR", "QAR", "EGP", "ZAR", "NGN", "KES", "INR",
    "PKR", "IDR", "MYR", "SGD", "HKD", "KRW", "THB", "BRL", "MXN", "ARS",
];

/// Most spaces between a number and its currency.
const SPACES_MAX: usize = 2;
/// Most digits of an amount.
const DIGITS_MAX: usize = 18;

/// Returns the ranges of amounts and their values, such as `1234.50 EUR`.
pub(crate) fn find(chars: &[char]) -> Vec<(Range<usize>, String)> {
    let mut found: Vec<(Range<usize>, String)> = Vec::new();
    let mut index = 0;
    while index < chars.len() {
        if !at(chars, index).is_some_and(|c| c.is_ascii_digit()) {
            index += 1;
            continue;
        }
        let (to, number) = number(chars, index);
        let least = found.last().map_or(0, |(range, _)| range.end);
        if let Some(number) = number
            && let Some((range, value)) = with_currency(chars, index, to, &number, least)
        {
            index = range.end.max(to);
            found.push((range, value));
        } else {
            index = to;
        }
    }
    found
}

/// Adds sign and currency to a number at `from..to`; nothing before `least` is used.
fn with_currency(
    chars: &[char],
    from: usize,
    to: usize,
    number: &str,
    least: usize,
) -> Option<(Range<usize>, String)> {
    let before = |index: usize| index.checked_sub(1).filter(|index| *index >= least);
    let is_minus = |index: usize| at(chars, index).is_some_and(|c| is_hyphen(c) || c == '\u{2212}');
    // A minus directly before the number is a sign, unless it joins two words.
    let signed = |start: usize| before(start).filter(|&at| is_minus(at) && begins(chars, at));
    let (mut start, mut negative) = (from, false);
    if let Some(minus) = signed(start) {
        (start, negative) = (minus, true);
    }
    let gap = (0..=SPACES_MAX).find(|gap| {
        start.checked_sub(gap + 1).and_then(|index| at(chars, index)).is_some_and(|c| spaces(&[c], 0) == 0)
    });
    let leading = gap.and_then(|gap| currency_before(chars, start - gap, least));
    if let Some((place, currency)) = leading {
        let mut range = place..to;
        if !negative && let Some(minus) = signed(place) {
            (range.start, negative) = (minus, true);
        }
        return ends(chars, to).then(|| (range, shown(number, negative, currency)));
    }
    if !begins(chars, start) {
        return None;
    }
    let mut end = to;
    // `12,50- EUR`
    if !negative && is_minus(end) && at(chars, end + 1).is_none_or(|c| spaces(&[c], 0) > 0) {
        (end, negative) = (end + 1, true);
    }
    let gap = spaces(chars, end);
    let (end, currency) = (gap <= SPACES_MAX).then(|| currency_after(chars, end + gap)).flatten()?;
    Some((start..end, shown(number, negative, currency)))
}

fn shown(number: &str, negative: bool, currency: &str) -> String {
    let minus = if negative && number.contains(|c: char| c.is_ascii_digit() && c != '0') { "-" } else { "" };
    format!("{minus}{number} {currency}")
}

/// Returns the currency that ends at `to`, and its start.
fn currency_before(chars: &[char], to: usize, least: usize) -> Option<(usize, &'static str)> {
    let last = to.checked_sub(1).filter(|last| *last >= least)?;
    if let Some(sign) = sign(at(chars, last)?) {
        return Some((last, sign));
    }
    let from = to.checked_sub(3).filter(|from| *from >= least)?;
    Some((from, code(chars, from)?))
}

/// Returns the currency that begins at `from`, and its end.
fn currency_after(chars: &[char], from: usize) -> Option<(usize, &'static str)> {
    if let Some(sign) = sign(at(chars, from)?) {
        return Some((from + 1, sign));
    }
    let code = code(chars, from)?;
    ends(chars, from + 3).then_some((from + 3, code))
}

fn sign(c: char) -> Option<&'static str> {
    SIGNS.iter().find(|(sign, _)| *sign == c).map(|(_, name)| *name)
}

fn code(chars: &[char], from: usize) -> Option<&'static str> {
    let word: String = chars.get(from..from + 3)?.iter().collect();
    let before_ok = from.checked_sub(1).and_then(|at| chars.get(at)).is_none_or(|c| !c.is_alphabetic());
    CODES.iter().find(|code| before_ok && **code == word).copied()
}

/// Reads a number; returns its end, and its digits with a decimal point unless it has no usual form.
fn number(chars: &[char], from: usize) -> (usize, Option<String>) {
    let mut groups: Vec<(Option<char>, String)> = Vec::new();
    let (mut to, mut separator) = (from, None);
    loop {
        let len = digits(chars, to);
        let group: String = chars.get(to..to + len).unwrap_or_default().iter().collect();
        groups.push((separator, group));
        to += len;
        let next = at(chars, to).map(normal);
        let goes_on = digits(chars, to + 1);
        // A space separates groups only where three digits follow: otherwise two numbers stand side by side.
        // No group of thousands follows a zero.
        let has_thousands = groups.first().is_none_or(|(_, first)| !first.starts_with('0'));
        let joins = match next {
            Some('.' | ',') => goes_on > 0,
            Some('\'') => goes_on > 0 && has_thousands,
            Some(' ') => goes_on == 3 && has_thousands,
            _ => false,
        };
        if !joins {
            break;
        }
        (separator, to) = (next, to + 1);
    }
    (to, value(&groups))
}

/// Returns the separator as one of `.`, `,`, `'` and space.
fn normal(c: char) -> char {
    match c {
        '\u{2019}' => '\'',
        c if spaces(&[c], 0) > 0 => ' ',
        c => c,
    }
}

/// Returns the number of its groups. The last separator is the decimal mark if it is a point or a comma that occurs once, and
/// what follows cannot be a group of thousands: it has one or two digits; or three, after a group that has a zero first or more
/// than three digits, or after another separator; or any number of digits after a single zero. `1.234` is a thousand.
fn value(groups: &[(Option<char>, String)]) -> Option<String> {
    let (first, rest) = groups.split_first()?;
    let no_thousands = first.1.starts_with('0') || first.1.len() > 3;
    let decimal = rest.last().filter(|(separator, digits)| {
        let once = rest.iter().filter(|(other, _)| other == separator).count() == 1;
        let fits = match digits.len() {
            1 | 2 => true,
            3 => no_thousands || rest.len() > 1,
            _ => first.1 == "0" && digits.len() <= DIGITS_MAX,
        };
        matches!(separator, Some('.' | ',')) && once && fits
    });
    let thousands = rest.get(..rest.len() - usize::from(decimal.is_some()))?;
    let mut whole = first.1.clone();
    let mark = thousands.first().and_then(|(separator, _)| *separator);
    // `1.234.56` mixes both; `12,34,567` is Indian, and not read.
    if thousands.iter().any(|(separator, digits)| digits.len() != 3 || *separator != mark)
        || (!thousands.is_empty()
            && (no_thousands || decimal.is_some_and(|(separator, _)| *separator == mark)))
    {
        return None;
    }
    whole.extend(thousands.iter().map(|(_, digits)| digits.as_str()));
    let trimmed = whole.trim_start_matches('0');
    let whole = if trimmed.is_empty() { "0" } else { trimmed };
    if whole.len() > DIGITS_MAX {
        return None;
    }
    Some(match decimal {
        Some((_, digits)) => format!("{whole}.{digits:0<2}"),
        None => whole.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_what_only_looks_like_one() {
        for (text, expected) in [
            ("Total 1.234,56 €", &["1234.56 EUR"][..]),
            ("EUR 1,234.56", &["1234.56 EUR"]),
            ("€1 234,50 incl.", &["1234.50 EUR"]),
            ("CHF 1'234.50", &["1234.50 CHF"]),
            ("$12.5", &["12.50 $"]),
            ("12,50 EUR 7,00 EUR", &["12.50 EUR", "7.00 EUR"]),
            ("USD 5", &["5 USD"]),
            ("5 USD", &["5 USD"]),
            ("-12,00 €, €-3.10, -€4.20, 5,00- EUR", &["-12.00 EUR", "-3.10 EUR", "-4.20 EUR", "-5.00 EUR"]),
            ("1.234.567 €", &["1234567 EUR"]),
            ("1.234 €", &["1234 EUR"]),
            ("0,125 EUR", &["0.125 EUR"]),
            ("€0.005 each", &["0.005 EUR"]),
            ("-0,125 €", &["-0.125 EUR"]),
            ("0,12345 EUR", &["0.12345 EUR"]),
            ("00,125 EUR", &["0.125 EUR"]),
            ("1234,567 EUR", &["1234.567 EUR"]),
            ("1.234,567 EUR", &["1234.567 EUR"]),
            ("USD 1 234.567", &["1234.567 USD"]),
            // Two numbers side by side.
            ("0 125 EUR", &["125 EUR"]),
            ("0.125.000 €", &[]),
            ("012.345.678 €", &[]),
            ("Stand 01.2024 EUR 50,00", &["50.00 EUR"]),
            ("12.3456 €", &[]),
            ("£0.99", &["0.99 GBP"]),
            ("0,00 €", &["0.00 EUR"]),
            ("2 x 3,50 € = 7,00 €", &["3.50 EUR", "7.00 EUR"]),
            ("19% of 100.00 EUR", &["100.00 EUR"]),
            ("12 EUROS", &[]),
            ("12.50", &[]),
            ("EUR", &[]),
            ("1.2.3 €", &[]),
            ("12,34,567 €", &[]),
            ("NEUR 5", &[]),
            ("A12 EUR", &[]),
        ] {
            let chars: Vec<char> = text.chars().collect();
            let values: Vec<String> = find(&chars).into_iter().map(|(_, value)| value).collect();
            assert_eq!(values, expected, "{text}");
        }
    }

    #[test]
    fn the_range_is_the_whole_amount() {
        let text = "pay € -1.234,50 now";
        let chars: Vec<char> = text.chars().collect();
        let [(range, _)] = find(&chars).try_into().unwrap_or_default();
        assert_eq!(
            chars.get(range).map(|chars| chars.iter().collect::<String>()).as_deref(),
            Some("€ -1.234,50")
        );
    }
}
