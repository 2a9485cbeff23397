//! Fuzz test of queries and headers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

/// Accepted options are within the bounds on which the rest of the server relies.
#[test]
fn fuzz_options() {
    let seeds = [
        b"pages=1-3,7&dpi=200&words=true&text_layer=never\nformat\n".to_vec(),
        b"timeout=2.5&format=hocr&partial=1\ntext/html;q=0.9, */*;q=0.1\npass".to_vec(),
        b"order=page&deployment=redact\ntext/event-stream\nx".to_vec(),
        b"pages=5-&dpi=1e3\n\n".to_vec(),
        b"guest_options=%7B%22a%22:%5B1%5D%7D\n\n".to_vec(),
    ];
    let words: [&[u8]; 14] = [
        b"&",
        b"=",
        b"%",
        b"%e4%b8",
        b"pages=",
        b"dpi=",
        b"timeout=",
        b"deployment=",
        b"-",
        b"1e999",
        b"NaN",
        b"inf",
        b";q=",
        b",",
    ];
    lector_fuzz::target("options", &seeds, &words, |input| {
        let mut parts = input.splitn(3, |byte| *byte == b'\n');
        let query = parts.next().unwrap_or_default();
        let mut uri = b"/api/v1/ocr?".to_vec();
        uri.extend_from_slice(query);
        let Ok(uri) = Uri::try_from(uri) else { return "no uri" };
        let mut headers = HeaderMap::new();
        for name in [header::ACCEPT, PASSWORD.clone()] {
            if let Some(Ok(value)) = parts.next().map(axum::http::HeaderValue::from_bytes) {
                headers.insert(name, value);
            }
        }
        let most = Duration::from_secs(300);
        let mut outcome = "accepted";
        for endpoint in [Endpoint::Whole, Endpoint::Batch] {
            let options =
                match Options::parse(endpoint, &uri, &headers, None, Timeouts { otherwise: most, most }) {
                    Ok(options) => options,
                    Err(fault) => {
                        assert!(
                            fault.message.len() < 2000,
                            "the message repeats the input: {} bytes",
                            fault.message.len()
                        );
                        outcome = fault.code;
                        continue;
                    }
                };
            assert!((TIMEOUT_MIN..=most).contains(&options.timeout));
            assert!(options.request.dpi.is_none_or(|dpi| (DPI_MIN..=DPI_MAX).contains(&dpi)));
            match options.pages.resolve(500, 100) {
                Ok(pages) => {
                    assert!(pages.len() <= 100 && pages.is_sorted_by(|a, b| a < b));
                    assert!(pages.iter().all(|page| *page < 500));
                }
                Err(fault) => outcome = fault.code,
            }
        }
        outcome
    });
}
