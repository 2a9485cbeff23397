//! Fuzz test of headers that decide on access, and of those that go to the log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use lector_fuzz::Feed;

use super::{RequestOrigin, is_loopback, key};
use crate::http::middleware;

const NAMES: [&str; 7] =
    ["authorization", "x-api-key", "host", "origin", "sec-fetch-site", "x-request-id", "traceparent"];

/// Reads headers of any content. A request is local only if a standard parser of authorities agrees that the host is a
/// loopback name; an id in logs is printable ASCII.
#[test]
fn fuzz_headers() {
    let seeds = [
        b"\x02127.0.0.1:8080\n\x03http://127.0.0.1:8080".to_vec(),
        b"\x02[::1]:80\n\x00Bearer lk_0".to_vec(),
        b"\x02[::1]evil.example".to_vec(),
        b"\x05my-id\n\x0600-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_vec(),
    ];
    let words: [&[u8]; 10] = [
        b"127.0.0.1",
        b"localhost",
        b"[::1]",
        b":80",
        b"@",
        b"\n\x02",
        b"\n\x03",
        b"http://",
        b"Bearer ",
        b"cross-site",
    ];
    lector_fuzz::target("headers", &seeds, &words, |input| {
        let mut headers = HeaderMap::new();
        for line in input.split(|byte| *byte == b'\n').take(20) {
            let mut feed = Feed::new(line);
            let name = HeaderName::from_static(NAMES[feed.below(256) % NAMES.len()]);
            let value = line.get(1..).unwrap_or_default();
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(name, value);
            }
        }
        let uri = "/x".parse().unwrap();
        let origin = RequestOrigin::of(&uri, &headers);
        if origin == RequestOrigin::Loopback {
            let host = headers["host"].to_str().unwrap();
            assert!(is_loopback(host));
            let authority: axum::http::uri::Authority = host.parse().expect("an authority");
            let name = authority.host().trim_matches(['[', ']']);
            let loopback = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
            assert!(loopback || name.eq_ignore_ascii_case("localhost"), "{host}");
            assert!(!host.contains('@'), "{host}");
        }
        let id = middleware::request_id(&headers);
        assert!(!id.as_str().is_empty() && id.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
        let parent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let traced = parent.and_then(middleware::trace_parent).is_some();
        (origin as u8, key(&headers).map(|key| key.is_some()).map_err(|fault| fault.code), traced)
    });
}
