//! Reverse proxies in front of the server: who the client is that a proxy speaks for.
//!
//! Owns the reading of `X-Forwarded-For` and `X-Forwarded-Proto`. They are believed only from the addresses of
//! `http.trusted_proxies`; anybody may send them.

use std::net::IpAddr;

use axum::http::HeaderMap;
use lector_jobs::AddressRange;

/// The origin of a request: the client, behind trusted proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forwarded {
    /// The address of the client.
    pub(super) client: IpAddr,
    /// Whether a trusted proxy has passed the request on.
    pub(super) by_proxy: bool,
    /// Whether the client's own connection is encrypted.
    pub(super) secure: bool,
}

/// Returns whether an address is one of a trusted proxy.
pub(super) fn is_trusted(trusted: &[AddressRange], address: IpAddr) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|range| range.contains(address))
}

/// Finds the client of a request that `peer` has sent. Each proxy appends the address that it sees, so that the client is
/// the last address that is not a trusted proxy; what stands before it may be invented.
pub(super) fn forwarded(trusted: &[AddressRange], peer: IpAddr, tls: bool, headers: &HeaderMap) -> Forwarded {
    if !is_trusted(trusted, peer) {
        return Forwarded { client: peer, by_proxy: false, secure: tls };
    }
    let mut client = peer;
    let values: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for part in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        let Some(address) = address_of(part.trim()) else { break };
        client = address;
        if !is_trusted(trusted, address) {
            break;
        }
    }
    let proto = headers.get_all("x-forwarded-proto").iter().next_back();
    let proto = proto.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    let secure = proto.map_or(tls, |proto| proto.trim().eq_ignore_ascii_case("https"));
    Forwarded { client, by_proxy: true, secure }
}

/// Parses an address, which may have a port.
fn address_of(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let socket = text.parse::<std::net::SocketAddr>().ok()?;
    Some(socket.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> (String, bool) {
        let trusted: Vec<AddressRange> =
            ["10.0.0.0/8", "fd00::/8"].iter().map(|text| AddressRange::parse(text).unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let found = forwarded(&trusted, peer.parse().unwrap(), false, &map);
        (found.client.to_string(), found.secure)
    }

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_has() {
        let for_ = "x-forwarded-for";
        for (peer, headers, expect) in [
            ("192.0.2.9", vec![(for_, "198.51.100.1")], "192.0.2.9"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec![(for_, "198.51.100.1")], "198.51.100.1"),
            ("::ffff:10.0.0.1", vec![(for_, "198.51.100.1:4711")], "198.51.100.1"),
            ("10.0.0.1", vec![(for_, "127.0.0.1, 198.51.100.1")], "198.51.100.1"),
            ("10.0.0.1", vec![(for_, "1.2.3.4"), (for_, "198.51.100.1, 10.0.0.2")], "198.51.100.1"),
            ("10.0.0.1", vec![(for_, "2001:db8::1, [fd00::1]:443")], "2001:db8::1"),
            ("10.0.0.1", vec![(for_, "198.51.100.1, unknown")], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, &headers).0, expect, "{peer} {headers:?}");
        }
    }

    #[test]
    fn the_scheme_is_that_of_the_last_proxy() {
        let proto = "x-forwarded-proto";
        assert!(client("10.0.0.1", &[(proto, "https")]).1);
        assert!(client("10.0.0.1", &[(proto, "http, HTTPS")]).1);
        assert!(!client("10.0.0.1", &[(proto, "https"), (proto, "http")]).1);
        assert!(!client("192.0.2.9", &[(proto, "https")]).1, "of a client");
    }
}
