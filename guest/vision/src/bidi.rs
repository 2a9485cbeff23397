//! Direction of text: which texts run from right to left, and the order of a reader for words that stand side by side.
//!
//! A short form of the Unicode Bidirectional Algorithm (UAX #9), backwards: from positions on the page to the order of
//! reading. Called by [`crate::structure`] for the words of cells, and by the guests for the fragments of a line.

/// Most digits of the first group of a number in groups of thousands.
const GROUP: usize = 3;

/// Returns the number of letters of a text that run from right to left (Unicode blocks of Hebrew, Arabic and their
/// neighbors), and of the others.
fn letters(text: &str) -> (usize, usize) {
    let (mut right, mut left) = (0, 0);
    for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
        match letter {
            '\u{590}'..='\u{8ff}'
            | '\u{fb1d}'..='\u{fdff}'
            | '\u{fe70}'..='\u{feff}'
            | '\u{1e800}'..='\u{1efff}' => {
                right += 1;
            }
            _ => left += 1,
        }
    }
    (right, left)
}

/// Returns whether most letters of a text run from right to left.
pub fn is_right_to_left(text: &str) -> bool {
    are_right_to_left([text])
}

/// Returns whether most letters of these texts, taken together, run from right to left: the direction of a page.
pub fn are_right_to_left<'a>(texts: impl IntoIterator<Item = &'a str>) -> bool {
    let all = texts.into_iter().map(letters).fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1));
    all.0 > all.1
}

/// Direction of a word.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    ToRight,
    ToLeft,
    Number,
    /// Neither letters nor digits.
    Mark,
}

fn class(text: &str) -> Class {
    match letters(text) {
        (right, left) if right > left => Class::ToLeft,
        (0, 0) if text.chars().any(char::is_numeric) => Class::Number,
        (0, 0) => Class::Mark,
        _ => Class::ToRight,
    }
}

/// Sorts words that stand side by side, given from left to right, into the order of a reader: that of most of their
/// letters. Inside it, words of the other direction keep theirs, with the numbers between and beside them. Among words that
/// run to the left, each number is in its place, and the groups of one number (`12 500`) stay together. Words without letters
/// stay from left to right.
pub fn to_reading_order<T>(words: &mut [T], text: impl Fn(&T) -> &str) {
    if words.len() < 2 || words.iter().all(|word| text(word).is_ascii()) {
        return;
    }
    let classes: Vec<Class> = words.iter().map(|word| class(text(word))).collect();
    if !classes.contains(&Class::ToLeft) {
        return;
    }
    if !are_right_to_left(words.iter().map(&text)) {
        let is_mark = |class: Class| matches!(class, Class::Number | Class::Mark);
        for (from, to) in runs(&classes, Class::ToLeft, is_mark) {
            reverse(words, from, to);
        }
        return;
    }
    let mut kept = runs(&classes, Class::ToRight, |class| class == Class::Mark);
    kept.extend(numbers(words, &text, &classes));
    words.reverse();
    let count = words.len();
    for (from, to) in kept {
        reverse(words, count - to, count - from);
    }
}

fn reverse<T>(words: &mut [T], from: usize, to: usize) {
    if let Some(run) = words.get_mut(from..to) {
        run.reverse();
    }
}

/// Returns the runs of words of a class, with what has no letters between them; at the ends without what `is_trimmed`.
fn runs(classes: &[Class], own: Class, is_trimmed: impl Fn(Class) -> bool) -> Vec<(usize, usize)> {
    let other = if own == Class::ToLeft { Class::ToRight } else { Class::ToLeft };
    let mut out = Vec::new();
    let mut at = 0;
    for run in classes.chunk_by(|a, b| (*a == other) == (*b == other)) {
        if run.contains(&own) {
            let from = run.iter().take_while(|class| is_trimmed(**class)).count();
            let end = run.iter().rev().take_while(|class| is_trimmed(**class)).count();
            out.push((at + from, at + run.len() - end));
        }
        at += run.len();
    }
    out
}

/// Returns the numbers of several groups of digits, apart from words that run to the right.
fn numbers<T>(words: &[T], text: impl Fn(&T) -> &str, classes: &[Class]) -> Vec<(usize, usize)> {
    let digits = |at: usize| -> usize {
        let word = words.get(at).map_or("", &text);
        word.trim_start_matches(|c: char| !c.is_numeric()).chars().take_while(|c| c.is_numeric()).count()
    };
    let begins_with_digit =
        |at: usize| words.get(at).is_some_and(|word| text(word).starts_with(char::is_numeric));
    let mut out = Vec::new();
    let mut at = 0;
    for run in classes.chunk_by(|a, b| (*a == Class::ToLeft) == (*b == Class::ToLeft)) {
        let end = at + run.len();
        if run.first() != Some(&Class::ToLeft) && !run.contains(&Class::ToRight) {
            let mut from = at;
            for next in at + 1..=end {
                let goes_on = next < end
                    && digits(next) == GROUP
                    && begins_with_digit(next)
                    && (1..=GROUP).contains(&digits(next - 1));
                if !goes_on {
                    out.push((from, next));
                    from = next;
                }
            }
        }
        at = end;
    }
    out.retain(|(from, to)| to - from > 1);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_direction_of_a_text_is_that_of_most_letters() {
        for (text, expect) in [
            ("שלום world", false),
            ("שלום עולם PDF", true),
            ("السلام عليكم 2024", true),
            ("12:30", false),
            ("русский", false),
        ] {
            assert_eq!(is_right_to_left(text), expect, "{text}");
        }
        assert!(are_right_to_left(["Page", "שלום עולם", "12"]));
    }

    #[test]
    fn words_side_by_side_are_read_in_their_directions() {
        for (from_the_left, expect) in [
            // Latin words and numbers alone stay as they are.
            (&["Total", "12", "500", "€"][..], "Total 12 500 €"),
            (&["12", "30"], "12 30"),
            (&["משפחה", "שם"], "שם משפחה"),
            (&["משפחה", "Jo", "Li", "שם"], "שם Jo Li משפחה"),
            (&["מקומי", "Mac", "11", "-", "Pro", "מחשב"], "מחשב Mac 11 - Pro מקומי"),
            (&["-", "Mac", "מחשב"], "מחשב Mac -"),
            (&["ש״ח", "12", "500", "סכום"], "סכום 12 500 ש״ח"),
            (&["2021", "–", "2020", "שנים"], "שנים 2020 – 2021"),
            (&["12.50", "מחיר"], "מחיר 12.50"),
            // A name among Latin words.
            (&["Family", "name:", "משפחה", "שם", "5"], "Family name: שם משפחה 5"),
        ] {
            let mut words = from_the_left.to_vec();
            to_reading_order(&mut words, |word| word);
            assert_eq!(words.join(" "), expect);
        }
    }
}
