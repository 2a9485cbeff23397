//! The egress policy of webhooks: the addresses that may receive messages.
//!
//! Owns the decision about an address. Pure. The transport asks it about the very address that it connects to, after the
//! name was resolved, so that a name that resolves differently the second time (DNS rebinding) gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses: `10.1.0.0/16`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    base: IpAddr,
    bits: u8,
}

impl AddressRange {
    /// Parses an address, or an address and a number of bits.
    pub fn parse(text: &str) -> Option<Self> {
        let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.trim().parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.trim().parse().ok().filter(|bits| *bits <= most)?,
        };
        Some(Self { base, bits })
    }

    /// Returns whether an address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// The addresses that may receive messages: public ones, and the allowed ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Ranges that are allowed although they are not public.
    pub allow: Vec<AddressRange>,
}

impl EgressPolicy {
    /// Returns whether a message may be sent to the address.
    pub fn permits(&self, address: IpAddr) -> bool {
        // An IPv4 address in the clothes of IPv6 is judged, and allowed, as what it is.
        let address = embedded(address);
        self.allow.iter().any(|range| range.contains(address)) || is_public(address)
    }
}

/// Returns the IPv4 address that an IPv6 address stands for (mapped, NAT64, 6to4), otherwise the address itself.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h),
        // `::a.b.c.d`, deprecated; `::` and `::1` stay.
        (0, 0, 0, 0, 0, 0) if g != 0 => v4(g, h),
        (0x2002, ..) => v4(b, c),
        _ => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// The IANA special-purpose registry of IPv4.
fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let special = v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_broadcast()
        || v4.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

/// Global unicast without documentation, benchmarking and Teredo.
fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    let global_unicast = a & 0xe000 == 0x2000;
    let special = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || (a == 0x3fff && b < 0x1000);
    global_unicast && !special
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn only_public_addresses_are_permitted() {
        let policy = EgressPolicy::default();
        for public in ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2002:808:808::1"] {
            assert!(policy.permits(public.parse().unwrap()), "{public}");
        }
        for other in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.88.99.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "::127.0.0.1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "100::1",
            "fec0::1",
        ] {
            assert!(!policy.permits(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn allowed_ranges_are_exact() {
        let allow = ["10.1.0.0/16", "192.168.5.5", "fd00:7::/32", "127.0.0.0/8"];
        let policy = EgressPolicy { allow: allow.map(|text| AddressRange::parse(text).unwrap()).into() };
        for inside in ["10.1.0.0", "10.1.255.255", "192.168.5.5", "fd00:7::9", "127.0.0.1", "::ffff:10.1.2.3"]
        {
            assert!(policy.permits(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["10.2.0.0", "10.0.255.255", "192.168.5.4", "fd00:8::1", "::1"] {
            assert!(!policy.permits(outside.parse().unwrap()), "{outside}");
        }
        let all = EgressPolicy { allow: vec![AddressRange::parse("0.0.0.0/0").unwrap()] };
        assert!(all.permits("10.0.0.1".parse().unwrap()) && !all.permits("::1".parse().unwrap()));
        for bad in ["", "10.0.0.0/33", "::/129", "example.org", "10.0.0/8", "10.0.0.0/-1"] {
            assert_eq!(AddressRange::parse(bad), None, "{bad}");
        }
    }
}
