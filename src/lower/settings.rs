//! The settings that links of ours need, whatever the host gives to new links.

use guestnet_core::link::{AddrGenMode, Ipv4Settings, Ipv6Settings, Settings};

/// The smallest MTU of a link with IPv6 (RFC 8200 section 5): below it the kernel has none there.
const IPV6: u32 = 1280;

/// Those of a link with `mtu` that packets of guests are routed through.
pub(super) fn routed(mtu: u32) -> Settings {
    let ipv6 = Ipv6Settings {
        addr_gen_mode: Some(AddrGenMode::Eui64),
        forwarding: Some(true),
        // We are a router on it and take none from whoever is at the other end.
        accept_ra: Some(0),
        ..Ipv6Settings::default()
    };
    Settings {
        arp: Some(true),
        ipv4: Ipv4Settings { forwarding: Some(true), ..Ipv4Settings::default() },
        ipv6: if mtu < IPV6 { Ipv6Settings::default() } else { ipv6 },
    }
}

/// Those of the pair between the host's namespace and a guest's. Nobody else is on it: its link-local addresses, which the
/// routes go through, may be used at once.
pub(super) fn transit(mtu: u32) -> Settings {
    let routed = routed(mtu);
    let ipv6 = Ipv6Settings { disable_ipv6: Some(false), accept_dad: Some(0), ..routed.ipv6 };
    Settings { ipv6: if mtu < IPV6 { Ipv6Settings::default() } else { ipv6 }, ..routed }
}

/// Settings of a bridge that is nobody's router.
pub(super) fn switch() -> Settings {
    let ipv4 = Ipv4Settings { forwarding: Some(false), ..Ipv4Settings::default() };
    Settings { ipv4, ..Settings::default() }
}

/// Those of a port of a bridge: the host is on the segment by the bridge or not at all, also not for the moment before this
/// is a port.
pub(super) fn port(mtu: u32) -> Settings {
    let ipv6 = Ipv6Settings { disable_ipv6: Some(true), ..Ipv6Settings::default() };
    Settings { ipv6: if mtu < IPV6 { Ipv6Settings::default() } else { ipv6 }, ..Settings::default() }
}
