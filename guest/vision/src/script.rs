//! Properties of characters that differ by script: decimal digits, marks that end a sentence, and writing without spaces between
//! words. After the categories `Nd` and `Sentence_Terminal` and the line break class `SA` of Unicode, for the scripts that the
//! recognizers read. Knows no language. Used by [`crate::structure`].

/// The digit 0 of each script with decimal digits of its own, ascending; 1 to 9 follow it.
const ZEROS: [char; 21] = [
    '\u{660}',  // Arabic
    '\u{6f0}',  // Persian, Urdu
    '\u{7c0}',  // N'Ko
    '\u{966}',  // Devanagari
    '\u{9e6}',  // Bengali
    '\u{a66}',  // Gurmukhi
    '\u{ae6}',  // Gujarati
    '\u{b66}',  // Oriya
    '\u{be6}',  // Tamil
    '\u{c66}',  // Telugu
    '\u{ce6}',  // Kannada
    '\u{d66}',  // Malayalam
    '\u{de6}',  // Sinhala
    '\u{e50}',  // Thai
    '\u{ed0}',  // Lao
    '\u{f20}',  // Tibetan
    '\u{1040}', // Myanmar
    '\u{1090}', // Shan
    '\u{17e0}', // Khmer
    '\u{1810}', // Mongolian
    '\u{ff10}', // full width
];

/// Returns the value of a decimal digit of any script.
pub(crate) fn digit(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    let zero = ZEROS.partition_point(|zero| *zero <= c).checked_sub(1).and_then(|at| ZEROS.get(at))?;
    Some(u32::from(c) - u32::from(*zero)).filter(|value| *value < 10)
}

/// Returns whether a character is a decimal digit of any script.
pub(crate) fn is_digit(c: char) -> bool {
    digit(c).is_some()
}

/// Returns the number that a text of nothing but digits writes; `None` for another text, for none, and beyond `u32`.
pub(crate) fn number(text: &str) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.chars().try_fold(0u32, |all, c| all.checked_mul(10)?.checked_add(digit(c)?))
}

/// Returns whether a mark ends a sentence, or a part of one as a colon does.
pub(crate) fn ends_sentence(c: char) -> bool {
    matches!(
        c,
        '.' | '!' | '?' | ':' | ';' | '。' | '！' | '？' | '：' | '；'
            // Armenian; Arabic semicolon, question mark and Urdu full stop; danda and double danda.
            | '\u{589}' | '\u{61b}' | '\u{61f}' | '\u{6d4}' | '\u{964}' | '\u{965}'
            // Tibetan shad and double shad, Myanmar section, Ethiopic, Khmer.
            | '\u{f0d}' | '\u{f0e}' | '\u{104b}' | '\u{1362}' | '\u{1364}'
            ..='\u{1368}' | '\u{17d4}' | '\u{17d5}'
    )
}

/// Returns whether a character has full width: Han, kana, Hangul, full-width forms, their punctuation.
pub fn is_full_width(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff60}' | '\u{20000}'..='\u{323af}')
}

/// Returns whether a character is of a script that is written without spaces between words: lines that end and start with such
/// characters are joined without one.
pub(crate) fn is_unspaced(c: char) -> bool {
    matches!(c,
        // Han, kana, their marks and full-width forms.
        '\u{2e80}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff9f}'
        | '\u{20000}'..='\u{3ffff}'
        // Thai and Lao, Myanmar with its extensions, Khmer.
        | '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{a9e0}'..='\u{a9ff}' | '\u{aa60}'..='\u{aa7f}'
        | '\u{1780}'..='\u{17ff}' | '\u{19e0}'..='\u{19ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_each_script_have_their_values() {
        for (text, expect) in [
            ("2048", Some(2048)),
            ("٢٠٤٨", Some(2048)),
            ("۲۰۴۸", Some(2048)),
            ("२०४८", Some(2048)),
            ("২০৪৮", Some(2048)),
            ("੨੦੪੮", Some(2048)),
            ("૨૦૪૮", Some(2048)),
            ("୨୦୪୮", Some(2048)),
            ("௨௦௪௮", Some(2048)),
            ("౨౦౪౮", Some(2048)),
            ("೨೦೪೮", Some(2048)),
            ("൨൦൪൮", Some(2048)),
            ("෨෦෪෮", Some(2048)),
            ("๒๐๔๘", Some(2048)),
            ("໒໐໔໘", Some(2048)),
            ("༢༠༤༨", Some(2048)),
            ("၂၀၄၈", Some(2048)),
            ("២០៤៨", Some(2048)),
            ("᠒᠐᠔᠘", Some(2048)),
            ("２０４８", Some(2048)),
            ("", None),
            ("12a", None),
            ("²", None),
            ("Ⅳ", None),
            ("四", None),
            ("99999999999", None),
        ] {
            assert_eq!(number(text), expect, "{text}");
        }
        assert!(ZEROS.is_sorted());
        for zero in ZEROS {
            let before = char::from_u32(u32::from(zero) - 1).filter(|c| is_digit(*c));
            assert_eq!((digit(zero), before), (Some(0), None), "{zero}");
        }
    }

    #[test]
    fn sentences_end_in_each_script() {
        for end in ['.', '?', '。', '؟', '۔', '؛', '।', '॥', '։', '።', '፧', '។', '။', '།']
        {
            assert!(ends_sentence(end), "{end}");
        }
        for inside in [',', '،', '、', '፣', '-', '՞', '་'] {
            assert!(!ends_sentence(inside), "{inside}");
        }
    }

    #[test]
    fn scripts_without_spaces_between_words() {
        for c in "文字仮名カタﾊﾝไทยລາວမြန်မာខ្មែរ。".chars() {
            assert!(is_unspaced(c), "{c}");
        }
        for c in "aя한देعא5".chars() {
            assert!(!is_unspaced(c), "{c}");
        }
    }
}
