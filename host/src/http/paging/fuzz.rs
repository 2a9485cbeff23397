//! Fuzz test of the options of lists, and of the preconditions in headers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::extract::Query;
use axum::http::{HeaderMap, HeaderValue, Uri, header};

use super::*;
use crate::http::manage::routes::precondition;

/// A page has items after the cursor, in their order, and at most as many as requested; the next page continues it. An
/// accepted `If-Match` consists of quoted tags.
#[test]
fn fuzz_cursors() {
    let key = ("tenant-1".to_owned(), 7_u32);
    let seeds = [
        format!("limit=2&cursor={}\n\"1-a\", \"2-b\"", cursor(&key)).into_bytes(),
        format!("cursor={}\n*", cursor(&("", 0))).into_bytes(),
        b"limit=1000\nW/\"1\"".to_vec(),
        b"limit=0&cursor=\n".to_vec(),
    ];
    let words: [&[u8]; 12] = [
        b"limit=",
        b"cursor=",
        b"&",
        b"%",
        b"1001",
        b"-1",
        b"4294967296",
        b"WyJ4IiwxXQ",
        b"bnVsbA",
        b"\"",
        b", ",
        b"*",
    ];
    let items: Vec<(String, u32)> = (0..40).map(|n| (format!("tenant-{}", n / 10), n)).collect();
    lector_fuzz::target("cursors", &seeds, &words, |input| {
        let mut lines = input.splitn(2, |byte| *byte == b'\n');
        let query = lines.next().unwrap_or_default();
        let mut headers = HeaderMap::new();
        if let Some(Ok(value)) = lines.next().map(HeaderValue::from_bytes) {
            headers.insert(header::IF_MATCH, value);
        }
        let tags =
            precondition(&headers, None).map(|found| found.etags.is_some()).map_err(|fault| fault.code);
        let Ok(uri) = Uri::try_from([&b"/x?"[..], query].concat()) else { return ("no uri", tags) };
        let Ok(Query(options)) = Query::<PageOptions>::try_from_uri(&uri) else {
            return ("no options", tags);
        };
        let outcome = match options.page(items.clone(), Clone::clone) {
            Err(fault) => {
                assert!(fault.message.len() < 400, "{fault}");
                fault.code
            }
            Ok((page, next)) => {
                assert!(page.len() <= options.limit().unwrap() as usize && page.is_sorted());
                let after = options.after::<(String, u32)>().unwrap();
                assert!(after.is_none_or(|after| page.iter().all(|item| *item > after)));
                if let Some(next) = next {
                    assert!(next.len() <= CURSOR_BYTES_MAX);
                    let (rest, _) =
                        PageOptions::new(None, Some(next)).page(items.clone(), Clone::clone).unwrap();
                    assert!(rest.first().unwrap() > page.last().unwrap());
                }
                "page"
            }
        };
        (outcome, tags)
    });
}
