//! Fuzz test of the texts in JSON bodies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;

use super::{JsonBody, MARK};

/// A body without its longest text is JSON, and so is the text, exactly if the body is JSON.
#[test]
fn fuzz_json_body() {
    let seeds = [
        br#"{"file":"QUJD\/","pages":[0,1],"options":{"a":"\"b\\"}}"#.to_vec(),
        br#"[{"url":"data:application/pdf;base64,QUJD"},{}]"#.to_vec(),
        b"{\"a\":\"\\u0041\\ud83d\\ude00\\n\"}".to_vec(),
        b"%PDF-1.7".to_vec(),
    ];
    let words: [&[u8]; 12] =
        [b"{", b"}", b"[", b"]", b"\"", b"\\", b"\\\"", b"\\ud800", b":", b",", b"null", b"\x01"];
    lector_fuzz::target("json_body", &seeds, &words, |input| {
        let body = match JsonBody::without(input.to_vec(), 1) {
            Ok(body) => body,
            Err(fault) => {
                assert!(
                    !serde_json::from_slice::<Value>(input)
                        .is_ok_and(|value| value.is_object() || value.is_array())
                );
                return fault.code;
            }
        };
        let parts = body.parse::<Value>("Wrong").is_ok() && body.text(MARK).is_ok();
        assert_eq!(parts, serde_json::from_slice::<Value>(input).is_ok());
        if parts { "accepted" } else { "invalid" }
    });
}
