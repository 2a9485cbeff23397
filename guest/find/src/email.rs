//! E-mail addresses: the common form of RFC 5322 addresses, with letters of any script (RFC 6531), without quoted local
//! parts and address literals.

use crate::text::at;

/// Maximum lengths of local part and domain, in characters (RFC 5321, section 4.5.3.1).
const LOCAL_MAX: usize = 64;
const DOMAIN_MAX: usize = 255;

/// Returns the ranges of addresses.
pub(crate) fn find(chars: &[char]) -> Vec<(usize, usize)> {
    let signs = chars.iter().enumerate().filter(|(_, c)| **c == '@').map(|(index, _)| index);
    let mut places: Vec<(usize, usize)> = Vec::new();
    for sign in signs {
        let from = places.last().map_or(0, |place| place.1);
        if let (Some(from), Some(to)) = (local(chars, from, sign), domain(chars, sign + 1)) {
            places.push((from, to));
        }
    }
    places
}

/// Returns the start of the local part before `sign`, at or after `least`.
fn local(chars: &[char], least: usize, sign: usize) -> Option<usize> {
    let inside = |c: char| c.is_alphanumeric() || "!#$%&*+/=?^_{|}~.-'".contains(c);
    let mut from = sign;
    while from > least && sign - from < LOCAL_MAX && at(chars, from - 1).is_some_and(inside) {
        from -= 1;
    }
    // Punctuation of the sentence before the address is not part of it.
    while from < sign && at(chars, from).is_some_and(|c| !c.is_alphanumeric() && !"_+".contains(c)) {
        from += 1;
    }
    let closed = sign.checked_sub(1).and_then(|last| at(chars, last)).is_some_and(|last| last != '.');
    (from < sign && closed).then_some(from)
}

/// Returns the end of the domain that begins at `from`.
fn domain(chars: &[char], from: usize) -> Option<usize> {
    let mut to = from;
    while to - from < DOMAIN_MAX && at(chars, to).is_some_and(|c| c.is_alphanumeric() || ".-".contains(c)) {
        to += 1;
    }
    // Punctuation after the address is not part of it either.
    while to > from && at(chars, to - 1).is_some_and(|c| ".-".contains(c)) {
        to -= 1;
    }
    let domain: String = chars.get(from..to)?.iter().collect();
    let labels: Vec<&str> = domain.split('.').collect();
    let proper = |label: &&str| {
        !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
    };
    let top = labels.last()?;
    let named = top.chars().count() >= 2 && (top.chars().all(char::is_alphabetic) || top.starts_with("xn--"));
    (labels.len() >= 2 && labels.iter().all(proper) && named).then_some(to)
}

#[cfg(test)]
mod tests {
    use crate::Kind;
    use crate::tests::check;

    #[test]
    fn addresses_and_what_only_looks_like_one() {
        for (text, expected) in [
            ("write to jane.doe@example.com today", &["jane.doe@example.com"][..]),
            ("<a+b_c@mail.example.co.uk>, (x@y.org).", &["a+b_c@mail.example.co.uk", "x@y.org"]),
            ("mailto:info@müller.de", &["info@müller.de"]),
            ("用户@例子.公司 zh", &["用户@例子.公司"]),
            ("'o'brien@example.ie'", &["o'brien@example.ie"]),
            ("end of sentence: me@example.com.", &["me@example.com"]),
            ("a@b.xn--p1ai", &["a@b.xn--p1ai"]),
            ("@handle and mail@", &[]),
            ("mail@localhost", &[]),
            ("3 apples @ 1.20", &[]),
            ("x@1.20", &[]),
            ("a.@example.com", &[]),
            ("a@-example.com", &[]),
            ("a@example..com", &[]),
            ("a@example.c", &[]),
        ] {
            check(Kind::Email, text, expected);
        }
    }
}
