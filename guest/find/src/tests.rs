//! Tests over all kinds, and properties over many texts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

/// Checks the values of one kind, as they stand in the text.
pub(crate) fn check(kind: Kind, text: &str, expected: &[&str]) {
    let chars: Vec<char> = text.chars().collect();
    let shown = |found: &Found| chars[found.range.clone()].iter().collect::<String>();
    let found: Vec<String> = find(text, &[kind]).iter().map(shown).collect();
    assert_eq!(found, expected, "{kind:?} in: {text}");
}

#[test]
fn proven_numbers_have_priority() {
    let text =
        "Tel. 4111 1111 1111 1111, +49 30 901820, Ä ä@b.de DE89 3704 0044 0532 0130 00, 29.11.2026 12,50 €";
    let found = find(text, &Kind::ALL);
    let kinds: Vec<&str> = found.iter().map(|one| one.kind.name()).collect();
    assert_eq!(kinds, ["card", "phone", "email", "iban", "date", "amount"]);
    let proven: Vec<bool> = found.iter().map(|one| one.proven).collect();
    assert_eq!(proven, [true, false, false, true, false, false]);
    assert_eq!(found[1].value, "+4930901820");
    assert!(find(text, &[]).is_empty());
}

/// Returns an IBAN of the country and the digits of its own number.
fn iban_of(country: &str, own: &str) -> String {
    let digits = format!("{own}{country}00");
    let remainder = digits.chars().fold(0_u32, |remainder, c| {
        let value = c.to_digit(36).unwrap();
        (remainder * if value < 10 { 10 } else { 100 } + value) % 97
    });
    format!("{country}{:02}{own}", 98 - remainder)
}

fn card_of(digits: &str) -> String {
    let sum: u32 = digits
        .chars()
        .rev()
        .enumerate()
        .map(|(place, c)| (place, c.to_digit(10).unwrap()))
        .map(|(place, d)| if place % 2 == 0 { d * 2 / 10 + d * 2 % 10 } else { d })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

fn grouped(text: &str, size: usize, separator: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(size).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(separator)
}

/// Writes the whole number with separators of thousands.
fn thousands(whole: u64, separator: &str) -> String {
    let text: String = whole.to_string().chars().rev().collect();
    grouped(&text, 3, &separator.chars().rev().collect::<String>()).chars().rev().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_gives_ranges_inside_it_that_do_not_overlap(text in "[ -~äé€£$¥\u{a0}0-9.,:/@+A-Z-]{0,80}") {
        let length = text.chars().count();
        let found = find(&text, &Kind::ALL);
        let mut end = 0;
        for one in &found {
            prop_assert!(one.range.start >= end && one.range.start < one.range.end && one.range.end <= length, "{one:?}");
            prop_assert!(!one.value.is_empty());
            end = one.range.end;
        }
    }

    #[test]
    fn a_normal_form_is_found_as_itself(text in "[ -~äé€£0-9.,:/@+A-Z-]{0,80}") {
        for one in find(&text, &Kind::ALL) {
            // The own form of a telephone number has no groups to recognize it by, and `$` means what it means.
            if one.kind == Kind::Phone || one.value.ends_with(['$', '¥']) { continue }
            let again = find(&one.value, &[one.kind]);
            prop_assert_eq!(again.len(), 1, "{:?}", one);
            prop_assert_eq!(&again[0].value, &one.value);
        }
    }

    #[test]
    fn ibans_are_found_and_no_other_digit_is_right(
        own in "[0-9]{18}", group in 2usize..9, at in 4usize..22, step in 1u32..10,
    ) {
        let iban = iban_of("DE", &own);
        for separator in ["", " ", "-"] {
            let text = format!("x {} y", grouped(&iban, group, separator));
            let found = find(&text, &[Kind::Iban]);
            prop_assert_eq!(found.len(), 1, "{}", text);
            prop_assert_eq!(&found[0].value, &iban);
        }
        let mut wrong: Vec<char> = iban.chars().collect();
        wrong[at] = char::from_digit((wrong[at].to_digit(10).unwrap() + step) % 10, 10).unwrap();
        let wrong: String = wrong.into_iter().collect();
        prop_assert!(find(&wrong, &[Kind::Iban]).is_empty(), "{}", wrong);
    }

    #[test]
    fn cards_are_found_and_no_other_digit_is_right(
        digits in "4[0-9]{14}", group in 2usize..17, at in 1usize..16, step in 1u32..10,
    ) {
        let card = card_of(&digits);
        let text = format!("card {}.", grouped(&card, group, " "));
        let found = find(&text, &[Kind::Card]);
        prop_assert!(found.iter().any(|one| one.value == card), "{} {:?}", text, found);
        let mut wrong: Vec<char> = card.chars().collect();
        wrong[at] = char::from_digit((wrong[at].to_digit(10).unwrap() + step) % 10, 10).unwrap();
        let wrong: String = wrong.into_iter().collect();
        prop_assert!(find(&wrong, &[Kind::Card]).iter().all(|one| one.value != wrong));
    }

    #[test]
    fn amounts_are_found_in_every_usual_form(whole in 0u64..10_000_000_000, cents in 0u32..100) {
        let value = format!("{whole}.{cents:02}");
        for text in [
            format!("{},{cents:02} €", thousands(whole, ".")),
            format!("EUR {}.{cents:02}", thousands(whole, ",")),
            format!("{}.{cents:02} EUR", thousands(whole, "'")),
            format!("{whole},{cents:02}€"),
            format!("€{}", value),
            format!("Sum: {},{cents:02} EUR!", thousands(whole, "\u{202f}")),
        ] {
            let found = find(&text, &[Kind::Amount]);
            prop_assert_eq!(found.len(), 1, "{}", text);
            prop_assert_eq!(&found[0].value, &format!("{value} EUR"), "{}", text);
        }
    }

    #[test]
    fn dates_are_found_in_every_usual_form(year in 1900u32..2100, month in 1u32..13, day in 1u32..29) {
        let iso = format!("{year:04}-{month:02}-{day:02}");
        let name = ["January", "Februar", "mars", "abril", "May", "June", "juillet", "August", "sept", "Okt", "NOV", "Dezember"]
            [month as usize - 1];
        for text in [
            iso.clone(),
            format!("on {day}.{month}.{year}."),
            format!("{day:02}. {month:02}. {year}"),
            format!("{day} {name} {year}"),
            format!("{name} {day}, {year}"),
        ] {
            let found = find(&text, &[Kind::Date]);
            prop_assert_eq!(found.len(), 1, "{}", text);
            prop_assert_eq!(&found[0].value, &iso, "{}", text);
        }
        for (order, text) in [
            (DateOrder::DayFirst, format!("{day}/{month}/{year}")),
            (DateOrder::MonthFirst, format!("{month}/{day}/{year}")),
        ] {
            let found = dates(&text, order);
            prop_assert_eq!(&found[0].value, &iso, "{}", text);
        }
    }
}
