//! Telephone numbers. They have no checksum, so a number must have a typical form: an international prefix (E.164), a
//! trunk prefix with groups, the North American form, or a label in front of it. Dates, amounts and serial numbers do
//! not have these forms.

use crate::text::{at, begins, is_hyphen, is_space};

/// Maximum digits of an international number (E.164).
const DIGITS_MAX: usize = 15;

/// Words that label a number, in lower case.
const LABELS: &[&str] = &[
    "tel",
    "telefon",
    "telephone",
    "téléphone",
    "tél",
    "teléfono",
    "telefono",
    "phone",
    "ph",
    "fax",
    "telefax",
    "mobile",
    "mobil",
    "handy",
    "cell",
    "call",
    "fon",
    "gsm",
    "portable",
    "móvil",
    "cellulare",
    "whatsapp",
    "hotline",
];

/// A run of characters that may be a number.
struct Candidate {
    from: usize,
    to: usize,
    plus: bool,
    /// Digits, group by group.
    groups: Vec<String>,
    /// The separators between the groups, without brackets.
    separators: String,
    brackets: bool,
}

/// Returns the ranges of numbers.
pub(crate) fn find(chars: &[char]) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    let mut index = 0;
    while index < chars.len() {
        match candidate(chars, index) {
            Some(candidate) => {
                index = candidate.to;
                if candidate.is_number(labeled(chars, candidate.from)) {
                    places.push((candidate.from, candidate.to));
                }
            }
            None => index += 1,
        }
    }
    places
}

/// Returns the candidate of digits and separators that begins at `from`.
fn candidate(chars: &[char], from: usize) -> Option<Candidate> {
    let first = at(chars, from)?;
    let opens = first == '+' || first == '(' || first.is_ascii_digit();
    let before = from.checked_sub(1).and_then(|before| at(chars, before));
    if !opens || !begins(chars, from) || before.is_some_and(|c| "+,.€$£#".contains(c)) {
        return None;
    }
    let mut run = Candidate {
        from,
        to: from,
        plus: first == '+',
        groups: Vec::new(),
        separators: String::new(),
        brackets: false,
    };
    let mut gap = String::new();
    for (index, c) in chars.iter().copied().enumerate().skip(from) {
        if c.is_ascii_digit() {
            run.take(&gap, c);
            gap.clear();
            run.to = index + 1;
            continue;
        }
        let fits = c == '+' && index == from
            || c == '('
            || c == ')'
            || is_space(c)
            || is_hyphen(c)
            || c == '.'
            || c == '/';
        // Two separators may be adjacent at a closing bracket; a slash between spaces starts another number.
        let apart = gap.chars().filter(|c| !"()".contains(*c)).count() >= 2;
        if !fits || apart || (c == '/' && gap.ends_with(is_space)) {
            break;
        }
        gap.push(if is_space(c) {
            ' '
        } else if is_hyphen(c) {
            '-'
        } else {
            c
        });
    }
    if at(chars, run.to).is_some_and(char::is_alphabetic) {
        // A run inside a word or in front of a unit is not a number.
        return None;
    }
    (!run.groups.is_empty()).then_some(run)
}

impl Candidate {
    fn take(&mut self, gap: &str, digit: char) {
        self.brackets |= gap.contains(['(', ')']);
        let gap = gap.trim_start_matches('+');
        match self.groups.last_mut() {
            Some(group) if gap.is_empty() => group.push(digit),
            _ => self.groups.push(digit.to_string()),
        }
        self.separators.extend(gap.chars().filter(|c| !"()".contains(*c)));
    }

    fn is_number(&self, labeled: bool) -> bool {
        let digits: String = self.groups.concat();
        let lengths: Vec<usize> = self.groups.iter().map(String::len).collect();
        if digits.len() > DIGITS_MAX || self.is_date(&lengths) {
            return false;
        }
        let starts = |prefix: &str| digits.starts_with(prefix);
        if self.plus {
            return digits.len() >= 7 && !starts("0");
        }
        if labeled {
            return digits.len() >= 6;
        }
        if starts("00") {
            return (9..=DIGITS_MAX).contains(&digits.len()) && !starts("000") && lengths.len() >= 2;
        }
        if starts("0") {
            // A trunk prefix with an area code: the first group is short and separated from the rest.
            let area = lengths.first().is_some_and(|&first| (2..=5).contains(&first));
            return (9..=12).contains(&digits.len()) && area && lengths.len() >= 2;
        }
        self.is_north_american(&lengths, &digits)
    }

    /// Returns whether it has the North American form, `(212) 555-0123`, `212-555-0123` or `1.212.555.0123`: area and
    /// exchange do not begin with 0 or 1.
    fn is_north_american(&self, lengths: &[usize], digits: &str) -> bool {
        let national = match lengths {
            [3, 3, 4] => digits,
            [1, 3, 3, 4] => digits.strip_prefix('1').unwrap_or(""),
            _ => return false,
        };
        let set_apart = self.brackets || self.separators.chars().all(|c| "-.".contains(c));
        let leads =
            |index: usize| national.as_bytes().get(index).is_some_and(|digit| (b'2'..=b'9').contains(digit));
        set_apart && leads(0) && leads(3)
    }

    /// Returns whether it is a date: `01.02.2024`, `2024-02-01`, `01/02/24`.
    fn is_date(&self, lengths: &[usize]) -> bool {
        let one_kind =
            |c: char| !self.separators.is_empty() && self.separators.chars().all(|other| other == c);
        let shape = matches!(lengths, [1 | 2, 1 | 2, 2 | 4] | [4, 1 | 2, 1 | 2]);
        !self.plus && shape && ['.', '-', '/'].into_iter().any(one_kind)
    }
}

/// Returns whether a label word is directly before `from`.
fn labeled(chars: &[char], from: usize) -> bool {
    let before: Vec<char> = chars.iter().take(from).rev().take(24).copied().collect();
    let gap = before.iter().take_while(|c| is_space(**c) || ".:#".contains(**c)).count();
    let word: String = before.iter().skip(gap).take_while(|c| c.is_alphabetic()).collect();
    let word: String = word.chars().rev().flat_map(char::to_lowercase).collect();
    gap <= 4 && LABELS.contains(&word.as_str())
}

#[cfg(test)]
mod tests {
    use crate::Kind;
    use crate::tests::check;

    #[test]
    fn numbers_and_what_only_looks_like_one() {
        for (text, expected) in [
            ("call +49 30 901820 now", &["+49 30 901820"][..]),
            ("+1 (212) 555-0123", &["+1 (212) 555-0123"]),
            ("(212) 555-0123 or 212-555-0124", &["(212) 555-0123", "212-555-0124"]),
            ("1.212.555.0123", &["1.212.555.0123"]),
            ("0049 30 901820", &["0049 30 901820"]),
            ("030/901820-17", &["030/901820-17"]),
            ("(030) 90 18 20 / 0171 1234567", &["(030) 90 18 20", "0171 1234567"]),
            ("+44 (0)20 7946 0018", &["+44 (0)20 7946 0018"]),
            ("Tel.: 901820", &["901820"]),
            ("Fax 90 18 20-17", &["90 18 20-17"]),
            ("01 42 68 53 00", &["01 42 68 53 00"]),
            ("01.02.2024", &[]),
            ("2024-02-01 to 2024-03-01", &[]),
            ("01/02/24", &[]),
            ("Total 1 234 567.89", &[]),
            ("No. 0301234567", &[]),
            ("Order 123456789", &[]),
            ("12345678", &[]),
            ("1234 5678 9012 3456 78", &[]),
            ("0.123 456 789", &[]),
            ("$212-555-0123", &[]),
            ("112-555-0123", &[]),
            ("900 000 0000 m", &[]),
            ("ISBN 978-3-16-148410-0", &[]),
            ("10.0.0.1", &[]),
        ] {
            check(Kind::Phone, text, expected);
        }
    }
}
