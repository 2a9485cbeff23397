//! Numbers in text.

use crate::script::is_digit;

/// Returns the value of a roman numeral of one case below 4000; `None` otherwise.
pub(super) fn roman(text: &str) -> Option<u32> {
    let lower = text.bytes().all(|b| b.is_ascii_lowercase());
    let upper = text.bytes().all(|b| b.is_ascii_uppercase());
    if text.is_empty() || text.len() > 12 || !(lower || upper) {
        return None;
    }
    let mut values = Vec::with_capacity(text.len());
    for b in text.bytes() {
        values.push(match b.to_ascii_lowercase() {
            b'i' => 1u32,
            b'v' => 5,
            b'x' => 10,
            b'l' => 50,
            b'c' => 100,
            b'd' => 500,
            b'm' => 1000,
            _ => return None,
        });
    }
    let mut sum = 0u32;
    for (i, &value) in values.iter().enumerate() {
        if values.get(i + 1).is_some_and(|&next| next > value) {
            sum = sum.wrapping_sub(value);
        } else {
            sum = sum.wrapping_add(value);
        }
    }
    // Only the canonical spelling is a numeral: "di" and "mix" are words more often.
    (spelled(sum) == text.to_ascii_lowercase()).then_some(sum)
}

fn spelled(mut value: u32) -> String {
    const STEPS: [(u32, &str); 13] = [
        (1000, "m"),
        (900, "cm"),
        (500, "d"),
        (400, "cd"),
        (100, "c"),
        (90, "xc"),
        (50, "l"),
        (40, "xl"),
        (10, "x"),
        (9, "ix"),
        (5, "v"),
        (4, "iv"),
        (1, "i"),
    ];
    let mut out = String::new();
    if value >= 4000 {
        return out;
    }
    for (step, letters) in STEPS {
        while value >= step {
            out.push_str(letters);
            value -= step;
        }
    }
    out
}

/// Returns whether a text is a number: digits with separators, a sign, a currency or a percent sign, in brackets or not.
pub(super) fn is_number(text: &str) -> bool {
    let mut digits = 0usize;
    let mut others = 0usize;
    for c in text.chars() {
        if is_digit(c) {
            digits += 1;
        } else if !matches!(
            c,
            '.' | ','
                | ' '
                | '\u{a0}'
                | '\''
                | '-'
                | '–'
                | '—'
                | '−'
                | '+'
                | '%'
                | '('
                | ')'
                | '$'
                | '€'
                | '£'
                | '¥'
                | '*'
                | '/'
                | ':'
                | '<'
                | '>'
                | '±'
                | '~'
                | '≤'
                | '≥'
                // Arabic percent sign, decimal and thousands separator; full-width marks.
                | '\u{66a}'..='\u{66c}' | '．' | '，' | '％'
        ) {
            others += 1;
        }
    }
    digits > 0 && others * 3 <= digits
}

/// Returns whether a text is the value of a cell without words: a number, or a mark for none.
pub(super) fn is_value(text: &str) -> bool {
    let text = text.trim();
    is_number(text)
        || matches!(
            text,
            "-" | "–"
                | "—"
                | "…"
                | ".."
                | "..."
                | ":"
                | "n/a"
                | "N/A"
                | "n.a."
                | "NA"
                | "x"
                | "X"
                | "*"
                | "✓"
        )
}
