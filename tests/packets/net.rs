//! Who is there, and the frames that they would send.

use std::cell::Cell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_lab::Mac;
use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::ipv6::Ipv6;
use guestnet_lab::craft::{ethernet, icmp, transport};
use guestnet_lab::frame::{IPV4, IPV6};

/// How the guests are joined to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Each has a link of its own, over which the host is its router.
    Routed,
    /// They are ports of one bridge, with the outside and the host.
    Bridged,
    /// The same, where frames in bridges go through the rules for packets, too: `br_netfilter`, which container engines
    /// load.
    BridgedCalled,
}

/// The parties. Places, too: where a frame comes from and where it comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A guest that may send and get everything, looked up packet by packet.
    A,
    /// Another of these.
    B,
    /// A guest with no access at all.
    C,
    /// A guest with access lists and connections; see `World::spec`.
    D,
    /// Beyond the host's uplink.
    Outside,
    /// The host itself: what it takes for itself.
    Host,
}

/// The guests.
pub const GUESTS: [Who; 4] = [Who::A, Who::B, Who::C, Who::D];
/// Everybody.
pub const ALL: [Who; 6] = [Who::A, Who::B, Who::C, Who::D, Who::Outside, Who::Host];

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "guest A",
            Self::B => "guest B",
            Self::C => "guest C",
            Self::D => "guest D",
            Self::Outside => "the outside",
            Self::Host => "the host",
        })
    }
}

/// The addresses of a party.
#[derive(Clone, Copy, Debug)]
pub struct Party {
    /// Its MAC address.
    pub mac: Mac,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
    /// An address in the prefix that is routed to it.
    pub delegated: Ipv6Addr,
}

impl Party {
    /// The link-local address that follows from its MAC address.
    pub fn local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac.0;
        let at = |high: u8, low: u8| u16::from_be_bytes([high, low]);
        Ipv6Addr::new(0xfe80, 0, 0, 0, at(a ^ 2, b), at(c, 0xff), at(0xfe, d), at(e, f))
    }
}

/// The network, as far as frames are made for it.
pub struct Net {
    /// How the guests are joined to it.
    pub placement: Placement,
    /// By [`Who`].
    pub parties: Vec<Party>,
    /// The MAC address of the host's side of each party's link.
    pub gateways: Vec<Mac>,
    /// Whether the kernel knows connections here: those in bridges not every kernel does.
    pub connections: bool,
    port: Cell<u16>,
}

impl Net {
    /// With the MAC addresses of the host's sides, by [`Who`].
    pub fn new(placement: Placement, gateways: Vec<Mac>, connections: bool) -> Self {
        let bridged = placement != Placement::Routed;
        let party = |who: Who| {
            let n = who as u8 + 10;
            let v6 = |group: u16| Ipv6Addr::new(0x2001, 0xdb8, group, 0, 0, 0, 0, u16::from(n));
            Party {
                mac: match who {
                    Who::Host => gateways[Who::A as usize],
                    _ => Mac([2, 0, 0x5e, 0, 0x53, n]),
                },
                v4: match who {
                    Who::Outside => Ipv4Addr::new(198, 51, 100, 1),
                    Who::Host => Ipv4Addr::new(192, 0, 2, 1),
                    _ => Ipv4Addr::new(192, 0, 2, n),
                },
                v6: match who {
                    Who::Outside => "2001:db8:f::1".parse().expect("an address"),
                    Who::Host if bridged => "2001:db8:5::1".parse().expect("an address"),
                    Who::Host => "2001:db8:a::1".parse().expect("an address"),
                    _ if bridged => v6(5),
                    _ => v6(u16::from(n)),
                },
                delegated: Ipv6Addr::new(0x2001, 0xdb8, 0xaa00 | u16::from(n), 7, 0, 0, 0, 1),
            }
        };
        Self { placement, parties: ALL.map(party).to_vec(), gateways, connections, port: Cell::new(1024) }
    }

    /// Whether the guests are ports of a bridge.
    pub fn is_bridged(&self) -> bool {
        self.placement != Placement::Routed
    }

    /// Its addresses.
    pub fn party(&self, who: Who) -> Party {
        self.parties[who as usize]
    }

    /// A port that nobody has used, so that no connection is taken for another.
    pub fn port(&self) -> u16 {
        self.port.set(self.port.get() + 1);
        self.port.get()
    }

    /// To whom a frame goes that `from` sends to `to`.
    pub fn next_hop(&self, from: Who, to: Who) -> Mac {
        match (self.placement, to) {
            (Placement::Routed, _) | (_, Who::Host) => self.gateways[from as usize],
            (_, to) => self.party(to).mac,
        }
    }

    /// A frame that `from` sends to `to`.
    pub fn frame(&self, from: Who, to: Who, ethertype: u16, payload: &[u8]) -> Vec<u8> {
        ethernet::frame(self.next_hop(from, to), self.party(from).mac, ethertype, payload)
    }

    /// A frame of `from`'s for the multicast group that `packet` of IPv6 is for.
    pub fn multicast6(&self, from: Who, packet: &[u8]) -> Vec<u8> {
        let mut mac = [0x33, 0x33, 0, 0, 0, 0];
        mac[2..].copy_from_slice(&packet[36..40]);
        ethernet::frame(Mac(mac), self.party(from).mac, IPV6, packet)
    }

    /// An IPv4 header from `from` to `to`.
    pub fn ipv4(&self, from: Who, to: Who, protocol: u8) -> Ipv4 {
        Ipv4::new(self.party(from).v4, self.party(to).v4, protocol)
    }

    /// An IPv6 header from `from` to `to`.
    pub fn ipv6(&self, from: Who, to: Who, protocol: u8) -> Ipv6 {
        Ipv6::new(self.party(from).v6, self.party(to).v6, protocol)
    }

    /// The frame with `packet` of IPv4.
    pub fn frame4(&self, from: Who, to: Who, packet: &[u8]) -> Vec<u8> {
        self.frame(from, to, IPV4, packet)
    }

    /// The frame with `packet` of IPv6.
    pub fn frame6(&self, from: Who, to: Who, packet: &[u8]) -> Vec<u8> {
        self.frame(from, to, IPV6, packet)
    }

    /// UDP over the IPv4 header `header`.
    pub fn udp_in4(&self, from: Who, to: Who, header: &Ipv4, ports: (u16, u16)) -> Vec<u8> {
        let (source, destination) = (header.source.into(), header.destination.into());
        self.frame4(from, to, &header.carrying(&transport::udp(source, destination, ports, b"data")))
    }

    /// UDP over the IPv6 header `header`.
    pub fn udp_in6(&self, from: Who, to: Who, header: &Ipv6, ports: (u16, u16)) -> Vec<u8> {
        let (source, destination) = (header.source.into(), header.destination.into());
        self.frame6(from, to, &header.carrying(&transport::udp(source, destination, ports, b"data")))
    }

    /// UDP over IPv4 to the port `port`.
    pub fn udp4(&self, from: Who, to: Who, port: u16) -> Vec<u8> {
        self.udp_in4(from, to, &self.ipv4(from, to, transport::UDP), (self.port(), port))
    }

    /// UDP over IPv6 to the port `port`.
    pub fn udp6(&self, from: Who, to: Who, port: u16) -> Vec<u8> {
        self.udp_in6(from, to, &self.ipv6(from, to, transport::UDP), (self.port(), port))
    }

    /// A segment of TCP over either family.
    pub fn tcp(
        &self,
        from: Who,
        to: Who,
        is_ipv4: bool,
        ports: (u16, u16),
        flags: u8,
        numbers: (u32, u32),
    ) -> Vec<u8> {
        let (source, destination): (IpAddr, IpAddr) = if is_ipv4 {
            (self.party(from).v4.into(), self.party(to).v4.into())
        } else {
            (self.party(from).v6.into(), self.party(to).v6.into())
        };
        let segment = transport::tcp(source, destination, ports, flags, numbers);
        if is_ipv4 {
            self.frame4(from, to, &self.ipv4(from, to, transport::TCP).carrying(&segment))
        } else {
            self.frame6(from, to, &self.ipv6(from, to, transport::TCP).carrying(&segment))
        }
    }

    /// A message of ICMP; `body` follows the checksum.
    pub fn icmp4(&self, from: Who, to: Who, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
        self.frame4(from, to, &self.ipv4(from, to, icmp::ICMP).carrying(&icmp::icmp(kind, code, body)))
    }

    /// A message of ICMPv6; `body` follows the checksum.
    pub fn icmp6(&self, from: Who, to: Who, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
        self.icmp_in6(from, to, &self.ipv6(from, to, icmp::ICMPV6), kind, code, body)
    }

    /// A message of ICMPv6 over the header `header`.
    pub fn icmp_in6(&self, from: Who, to: Who, header: &Ipv6, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
        let message = icmp::icmpv6(header.source, header.destination, kind, code, body);
        self.frame6(from, to, &header.carrying(&message))
    }
}
