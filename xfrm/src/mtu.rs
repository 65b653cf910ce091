//! How much of a packet is left inside a tunnel.

use crate::algorithm::Icv;

/// The family of the outer addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    /// The tunnel runs over IPv4.
    Ipv4,
    /// The tunnel runs over IPv6.
    Ipv6,
}

impl From<std::net::IpAddr> for Outer {
    fn from(address: std::net::IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

/// What carries ESP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encapsulation {
    /// The outer IP header itself.
    #[default]
    None,
    /// UDP (RFC 3948), for hosts behind NAT.
    Udp,
}

/// The largest packet, of either family, that an ESP tunnel with AES-GCM carries over a path of `outer_mtu` bytes;
/// 0 where none fits.
///
/// A packet in the tunnel is (RFC 4303 section 2, RFC 4106 section 3)
///
/// ```text
/// outer IP (20 or 40) | UDP (8, if any) | SPI, sequence number (8) | IV (8) | inner packet, padding,
/// padding length, next header | ICV (8, 12 or 16)
/// ```
///
/// and what is encrypted is a multiple of 4 bytes, of which the last 2 are the trailer:
///
/// ```
/// use guestnet_xfrm::{Icv, inner_mtu, mtu::{Encapsulation, Outer}};
/// // (1500 - 40 - 8 - 8 - 16) is 1428, a multiple of 4; less 2
/// assert_eq!(inner_mtu(1500, Outer::Ipv6, Icv::BITS_128, Encapsulation::None), 1426);
/// ```
pub fn inner_mtu(outer_mtu: u32, outer: Outer, icv: Icv, encapsulation: Encapsulation) -> u32 {
    const SPI_AND_SEQUENCE: u32 = 8;
    const IV: u32 = 8;
    const ALIGNMENT: u32 = 4;
    const TRAILER: u32 = 2;
    let ip = match outer {
        Outer::Ipv4 => 20,
        Outer::Ipv6 => 40,
    };
    let udp = match encapsulation {
        Encapsulation::None => 0,
        Encapsulation::Udp => 8,
    };
    let encrypted = outer_mtu.saturating_sub(ip + udp + SPI_AND_SEQUENCE + IV + icv.bytes());
    (encrypted / ALIGNMENT * ALIGNMENT).saturating_sub(TRAILER)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of the packet that carries `inner` bytes, from the format and not from the formula.
    fn carried(inner: u32, outer: u32, udp: u32, icv: u32) -> u32 {
        let padding = (4 - (inner + 2) % 4) % 4;
        outer + udp + 4 + 4 + 8 + inner + padding + 1 + 1 + icv
    }

    #[test]
    fn what_was_measured() {
        // Tried with pings through a tunnel: 1426 passes, 1427 is answered with "MTU 1426", in both inner families.
        assert_eq!(inner_mtu(1500, Outer::Ipv6, Icv::BITS_128, Encapsulation::None), 1426);
        assert_eq!(inner_mtu(1500, Outer::Ipv4, Icv::BITS_128, Encapsulation::None), 1446);
        assert_eq!(inner_mtu(1500, Outer::Ipv4, Icv::BITS_128, Encapsulation::Udp), 1438);
        assert_eq!(inner_mtu(40, Outer::Ipv6, Icv::BITS_128, Encapsulation::None), 0);
    }

    #[test]
    fn it_is_the_largest_that_fits() {
        for outer_mtu in (576..1600).chain(8_900..9_100).chain(65_400..=65_535) {
            for (outer, ip) in [(Outer::Ipv4, 20), (Outer::Ipv6, 40)] {
                for (encapsulation, udp) in [(Encapsulation::None, 0), (Encapsulation::Udp, 8)] {
                    for icv in [Icv::BITS_64, Icv::BITS_96, Icv::BITS_128] {
                        let inner = inner_mtu(outer_mtu, outer, icv, encapsulation);
                        assert!(carried(inner, ip, udp, icv.bytes()) <= outer_mtu);
                        assert!(carried(inner + 1, ip, udp, icv.bytes()) > outer_mtu);
                    }
                }
            }
        }
    }
}
