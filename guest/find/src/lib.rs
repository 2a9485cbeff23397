//! Finders of values in text that was read: what guests for invoices, forms and personal data need.
//!
//! [`find`] returns the values of some kinds in a line, with their places in characters and in a normal form (an amount as
//! `1234.50 EUR`, a date as `2026-11-29`). [`labeled`] finds the value that stands after, beside or below a label on a page,
//! and [`grid`] the cells of a table by row and column. Owns the forms and checksums of the values; knows no pixels and no
//! models, and calls nothing of the host. Used by guests; lines come from `lector-sdk`.
//!
//! ```
//! use lector_find::{Kind, find};
//!
//! let found = find("Due 29.11.2026: 1.234,50 € to DE89 3704 0044 0532 0130 00", &Kind::ALL);
//! let values: Vec<&str> = found.iter().map(|found| found.value.as_str()).collect();
//! assert_eq!(values, ["2026-11-29", "1234.50 EUR", "DE89370400440532013000"]);
//! ```
#![warn(missing_docs)]

mod amount;
mod card;
mod cells;
mod date;
mod email;
mod iban;
mod label;
mod phone;
mod text;
mod vat;

use std::ops::Range;

pub use cells::{Grid, grid};
pub use label::{Labeled, Where, labeled};

/// A kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An international bank account number (ISO 13616) with a valid checksum. Value: without spaces, in capitals.
    Iban,
    /// A payment card number (ISO/IEC 7812) with a valid checksum. Value: the digits.
    Card,
    /// A VAT identification number of the European Union, the United Kingdom or Switzerland: in the form of its country, and
    /// with a valid check digit where this crate has the country's rule ([`Found::proven`]). Value: without separators, in
    /// capitals.
    VatId,
    /// An e-mail address. Value: as written.
    Email,
    /// A date with a day, a month and a year, and no other reading: `03/04/2026` is found only by [`dates`] with an order.
    /// Value: ISO 8601.
    Date,
    /// An amount of money with its currency. Value: the number with a decimal point, a space, and the currency: its ISO 4217
    /// code where the text names one or the sign has one (`€`, `£`), otherwise the sign (`$`, `¥`).
    Amount,
    /// A telephone number in a usual form. Value: the digits, with `+` where the text has it.
    Phone,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Iban, Self::Card, Self::VatId, Self::Email, Self::Date, Self::Amount, Self::Phone];

    /// Returns the name of the kind for findings, such as `vat-id`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iban => "iban",
            Self::Card => "card",
            Self::VatId => "vat-id",
            Self::Email => "email",
            Self::Date => "date",
            Self::Amount => "amount",
            Self::Phone => "phone",
        }
    }
}

/// A value in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its kind.
    pub kind: Kind,
    /// Its characters (not bytes), for `Line::quad_of`.
    pub range: Range<usize>,
    /// Its normal form, as the kind describes it.
    pub value: String,
    /// Whether a checksum confirms it. False for kinds that have none.
    pub proven: bool,
}

/// The order of day and month in dates like `03/04/2026`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrder {
    /// 3 April.
    DayFirst,
    /// 4 March.
    MonthFirst,
}

/// Returns the values of these kinds in a line, from left to right. Values do not overlap: numbers with a checksum have
/// priority over the others, and a telephone number, which is only likely, comes last.
pub fn find(text: &str, kinds: &[Kind]) -> Vec<Found> {
    let chars: Vec<char> = text.chars().collect();
    let mut found: Vec<Found> = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kinds.contains(kind)) {
        for one in of_kind(kind, &chars) {
            if !found.iter().any(|other| overlap(&other.range, &one.range)) {
                found.push(one);
            }
        }
    }
    found.sort_by_key(|one| one.range.start);
    found
}

/// Returns the dates in a line, with this order where day and month could be either.
pub fn dates(text: &str, order: DateOrder) -> Vec<Found> {
    let chars: Vec<char> = text.chars().collect();
    found_dates(&chars, Some(order))
}

fn of_kind(kind: Kind, chars: &[char]) -> Vec<Found> {
    let one = |range: Range<usize>, value: String, proven| Found { kind, range, value, proven };
    let shown = |range: &Range<usize>| chars.get(range.clone()).unwrap_or_default();
    let alphanumeric = |range: &Range<usize>| -> String {
        let kept = shown(range).iter().filter(|c| c.is_ascii_alphanumeric());
        kept.map(char::to_ascii_uppercase).collect()
    };
    let ranges = |places: Vec<(usize, usize)>| places.into_iter().map(|(from, to)| from..to);
    match kind {
        Kind::Iban => ranges(iban::find(chars))
            .map(|at| (alphanumeric(&at), at))
            .map(|(v, at)| one(at, v, true))
            .collect(),
        Kind::Card => ranges(card::find(chars))
            .map(|at| (alphanumeric(&at), at))
            .map(|(v, at)| one(at, v, true))
            .collect(),
        Kind::Email => ranges(email::find(chars))
            .map(|at| (shown(&at).iter().collect(), at))
            .map(|(value, at)| one(at, value, false))
            .collect(),
        Kind::Phone => ranges(phone::find(chars))
            .map(|at| (shown(&at).iter().filter(|c| c.is_ascii_digit() || **c == '+').collect(), at))
            .map(|(value, at)| one(at, value, false))
            .collect(),
        Kind::VatId => vat::find(chars)
            .into_iter()
            .map(|(at, proven)| (alphanumeric(&at), at, proven))
            .map(|(value, at, proven)| one(at, value, proven))
            .collect(),
        Kind::Date => found_dates(chars, None),
        Kind::Amount => amount::find(chars).into_iter().map(|(at, value)| one(at, value, false)).collect(),
    }
}

fn found_dates(chars: &[char], order: Option<DateOrder>) -> Vec<Found> {
    let found = date::find(chars, order).into_iter();
    found.map(|(range, value)| Found { kind: Kind::Date, range, value, proven: false }).collect()
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod tests;
