//! What dnsmasq knows of the options that are given by number (`dnsmasq --help dhcp`, `--help dhcp6`).

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// It cannot be given by number, for this reason.
    None(&'static str),
    /// IPv4 addresses and nothing else.
    Addresses,
    /// IPv6 addresses and nothing else.
    Addresses6,
    /// A text that stands in the file as it is.
    Text,
    /// A time in seconds.
    Seconds,
    /// Bytes of any meaning, or addresses.
    Anything {
        /// Which addresses.
        ipv6: bool,
    },
}

const ITS_OWN: Takes = Takes::None("dnsmasq makes this option itself");
const NAMED: Takes = Takes::None("this option has a name here: router, dns, domain, mtu, ntp, search, …");

/// An option of DHCPv4 (RFC 2132 and others).
pub(super) fn v4(code: u8) -> Takes {
    match code {
        3 | 6 | 15 | 26 | 42 | 119 | 121 => NAMED,
        0 | 255 => Takes::None("0 and 255 are no options but padding and end"),
        12 | 43 | 50..=53 | 55..=57 | 61 | 81 | 82 | 118 => ITS_OWN,
        120 | 125 => Takes::None("dnsmasq gives this option a form of its own"),
        1 | 7 | 9 | 16 | 21 | 28 | 32 | 33 | 41 | 44 | 45 | 48 | 49 | 54 | 65 | 68..=71 | 74 | 150 => {
            Takes::Addresses
        }
        17 | 18 | 40 | 64 | 66 | 67 | 100 | 101 => Takes::Text,
        58 | 59 => Takes::Seconds,
        _ => Takes::Anything { ipv6: false },
    }
}

/// An option of DHCPv6 (RFC 8415 and others).
pub(super) fn v6(code: u16) -> Takes {
    match code {
        23 | 24 | 56 => NAMED,
        0..=20 | 25 | 26 | 39 => ITS_OWN,
        22 | 27 | 28 | 31 => Takes::Addresses6,
        21 | 29 | 30 | 60 => Takes::None("dnsmasq gives this option a form of its own"),
        32 => Takes::Seconds,
        41 | 42 | 59 => Takes::Text,
        _ => Takes::Anything { ipv6: true },
    }
}
