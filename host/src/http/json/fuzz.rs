//! Fuzz test of JSON bodies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use lector_control::TenantPolicy;

use super::{DEPTH_MAX, POLICY_BYTES_MAX, parse};

/// Parses a body of any content: the result is a tenant policy that can be written and read again, or a fault of the
/// client. No body is accepted beyond the bounds.
#[test]
fn fuzz_json() {
    let seeds = [
        br#"{"limits":{"budget":{"wall_ms":5},"pages_per_day":7},"capabilities":["image"],"settings":{"a":1}}"#.to_vec(),
        br#"{"weight":3,"models":{"detection":"pp-ocrv6-small-det"}}"#.to_vec(),
        b"[null,null]".to_vec(),
        format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1)).into_bytes(),
    ];
    let words: [&[u8]; 14] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b"null",
        b"true",
        b"-1",
        b"1e400",
        b"18446744073709551616",
        b"\"\\ud800\"",
        b"\"limits\":",
        b"\"settings\":",
        b"\"capabilities\":",
        b",",
    ];
    lector_fuzz::target("json", &seeds, &words, |input| {
        match parse::<TenantPolicy>("body", input, POLICY_BYTES_MAX) {
            Ok(policy) => {
                assert!(input.len() as u64 <= POLICY_BYTES_MAX);
                let text = serde_json::to_vec(&policy).unwrap();
                let again: TenantPolicy = serde_json::from_slice(&text).unwrap();
                assert_eq!(serde_json::to_vec(&again).unwrap(), text);
                "accepted"
            }
            Err(fault) => {
                assert_eq!(fault.blame, lector_core::Blame::Client, "{fault}");
                assert!(!fault.message.is_empty());
                fault.code
            }
        }
    });
}
