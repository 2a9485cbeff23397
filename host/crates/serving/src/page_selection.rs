//! The page selection: `1-3,7`, counted from 1. Pure functions.

use lector_core::{Fault, Kind};
use serde::{Deserialize, Serialize};

/// Longest text of a selection, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// Selected pages. Each is read once, in document order, even if it is selected several times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageSelection {
    /// Every page.
    #[default]
    All,
    /// Ranges counted from 1, first and last included; without a last page: to the end.
    Ranges(Vec<(u32, Option<u32>)>),
}

impl PageSelection {
    /// Parses `all`, or numbers and ranges separated by commas: `7`, `1-3`, `5-` (to the end).
    ///
    /// Fault `invalid_page_selection` for anything else.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(invalid(format!("is longer than {TEXT_BYTES_MAX} bytes")));
        }
        text.split(',').map(|part| range(part.trim())).collect::<Result<_, _>>().map(Self::Ranges)
    }

    /// Returns indices from 0, increasing, for a document of `page_count` pages; at most `pages_max` of them.
    ///
    /// Faults: `page_out_of_range` if the document does not have a selected page, `too_many_pages`.
    pub fn resolve(&self, page_count: u32, pages_max: u32) -> Result<Vec<u32>, Fault> {
        let mut spans: Vec<(u32, u32)> = match self {
            Self::All => vec![(0, page_count)],
            Self::Ranges(ranges) => ranges
                .iter()
                .map(|&(first, last)| within(first, last, page_count))
                .collect::<Result<_, _>>()?,
        };
        spans.sort_unstable();
        // Ranges are joined before they are expanded: overlapping ranges must not multiply the work.
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(spans.len());
        for (from, to) in spans {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        let wanted: u64 = joined.iter().map(|&(from, to)| u64::from(to - from)).sum();
        if wanted > u64::from(pages_max) {
            return Err(Fault::new(
                Kind::TooLarge,
                "too_many_pages",
                format!(
                    "The request selects {wanted} pages, and at most {pages_max} are read of one document: \
                     select fewer, for example pages=1-{pages_max}."
                ),
            ));
        }
        Ok(joined.into_iter().flat_map(|(from, to)| from..to).collect())
    }
}

/// Parses one number or range.
fn range(part: &str) -> Result<(u32, Option<u32>), Fault> {
    let (first, last) = match part.split_once('-') {
        None => (number(part)?, Some(number(part)?)),
        Some((first, "")) => (number(first.trim())?, None),
        Some((first, last)) => (number(first.trim())?, Some(number(last.trim())?)),
    };
    if last.is_some_and(|last| last < first) {
        return Err(invalid(format!("contains `{part}`, which ends before it begins")));
    }
    Ok((first, last))
}

fn number(text: &str) -> Result<u32, Fault> {
    // `u32::from_str` accepts a leading `+`; a selection does not.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(0) => Err(invalid("contains page 0, and pages are counted from 1".to_owned())),
        Ok(number) if digits => Ok(number),
        _ => {
            let shown: String = text.chars().take(40).collect();
            Err(invalid(format!("contains `{shown}`, which is not a page number")))
        }
    }
}

/// Returns the half-open span from 0 of a range from 1.
fn within(first: u32, last: Option<u32>, page_count: u32) -> Result<(u32, u32), Fault> {
    let last = last.unwrap_or(page_count.max(first));
    if last > page_count {
        let beyond = first.max(page_count.saturating_add(1));
        return Err(Fault::new(
            Kind::Invalid,
            "page_out_of_range",
            format!(
                "The request selects page {beyond}, and the document has {page_count} pages: select pages from 1 to {page_count}."
            ),
        ));
    }
    Ok((first - 1, last))
}

fn invalid(what: String) -> Fault {
    Fault::new(
        Kind::Invalid,
        "invalid_page_selection",
        format!("The page selection {what}. Write it like `1-3,7` or `5-`."),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, page_count: u32, expect: Result<&[u32], &str>) {
        let got = PageSelection::parse(text).and_then(|s| s.resolve(page_count, 100));
        match (got, expect) {
            (Ok(got), Ok(expect)) => assert_eq!(got, expect, "{text}"),
            (Err(got), Err(expect)) => assert_eq!(got.code, expect, "{text}: {got}"),
            (got, expect) => panic!("{text}: {got:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn table() {
        check("1-3,7", 9, Ok(&[0, 1, 2, 6]));
        check(" 2 , 1 ", 2, Ok(&[0, 1]));
        check("2-,1", 3, Ok(&[0, 1, 2]));
        check("1-2,2-3,3", 3, Ok(&[0, 1, 2]));
        check("ALL", 2, Ok(&[0, 1]));
        check("4", 3, Err("page_out_of_range"));
        check("4-", 3, Err("page_out_of_range"));
        check("1-4", 3, Err("page_out_of_range"));
        check("1-200", 200, Err("too_many_pages"));
        for bad in ["", "0", "a", "1-2-3", "-3", "3-1", "1,,2", "+1", "1.5", "99999999999", "١"] {
            check(bad, 9, Err("invalid_page_selection"));
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,60}", count in 0u32..50) {
            let _ = PageSelection::parse(&text).and_then(|s| s.resolve(count, 40));
        }

        #[test]
        fn selects_the_named_pages(ranges in prop::collection::vec((1u32..60, 0u32..20), 1..8), count in 1u32..60) {
            let text: Vec<String> = ranges.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            let got = PageSelection::parse(&text.join(",")).unwrap().resolve(count, 1000);
            if ranges.iter().any(|(first, more)| first + more > count) {
                prop_assert_eq!(got.unwrap_err().code, "page_out_of_range");
            } else {
                let mut expect: Vec<u32> = ranges.iter().flat_map(|&(first, more)| first - 1..first + more).collect();
                expect.sort_unstable();
                expect.dedup();
                prop_assert_eq!(got.unwrap(), expect);
            }
        }
    }
}
