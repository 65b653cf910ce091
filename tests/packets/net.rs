//! Who is there, and the frames that they would send.

use std::cell::Cell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet::firewall::TunnelEnds;
use guestnet_lab::Mac;
use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::ipv6::Ipv6;
use guestnet_lab::craft::mark::Mark;
use guestnet_lab::craft::{ethernet, icmp, transport};
use guestnet_lab::frame::{IPV4, IPV6};

/// How the guests are joined to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Each has a link of its own, over which the host is its router.
    Routed,
    /// The same in a namespace for each, which has the filter: the host's knows the pair to it as `inner`. All have public
    /// addresses of IPv4, which are translated there.
    Own,
    /// They are ports of one bridge, with the outside and the host.
    Bridged,
    /// The same in a bridge of guestnet's, where frames in bridges go through the rules for packets, too: `br_netfilter`, which container engines
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
    /// A guest with access lists and connections; see `spec`.
    D,
    /// A guest that speaks by its groups alone, and has a public address where guests are routed to.
    E,
    /// Beyond the host's uplink, or in the bridge behind a port that is no guest's.
    Outside,
    /// Beyond another link of the host's, which nobody trusts.
    Far,
    /// Beyond a link, or in the bridge behind a port, that is trusted by its name.
    Kin,
    /// The same, by how the name begins.
    Dock,
    /// The host itself: what it takes for itself.
    Host,
}

/// The guests.
pub const GUESTS: [Who; 5] = [Who::A, Who::B, Who::C, Who::D, Who::E];
/// Those beyond links that are no guest's.
pub const OTHERS: [Who; 4] = [Who::Outside, Who::Far, Who::Kin, Who::Dock];
/// An address that the host has for itself, on no link of guests.
pub const OWN6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x1f, 0, 0, 0, 0, 2);
/// Everybody.
pub const ALL: [Who; 10] =
    [Who::A, Who::B, Who::C, Who::D, Who::E, Who::Outside, Who::Far, Who::Kin, Who::Dock, Who::Host];

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "guest A",
            Self::B => "guest B",
            Self::C => "guest C",
            Self::D => "guest D",
            Self::E => "guest E",
            Self::Outside => "the outside",
            Self::Far => "the other network",
            Self::Kin => "the trusted network",
            Self::Dock => "the network trusted by how its name begins",
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
    /// The address that its own is translated to.
    pub public: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
    /// An address in the prefix that is routed to it.
    pub delegated: Ipv6Addr,
    /// How many bits that prefix has.
    pub delegated_length: u8,
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
        let bridged = ![Placement::Routed, Placement::Own].contains(&placement);
        let party = |who: Who| {
            let n = who as u8 + 10;
            let v6 = |group: u16| Ipv6Addr::new(0x2001, 0xdb8, group, 0, 0, 0, 0, u16::from(n));
            let translated = placement == Placement::Own || who == Who::E && !bridged;
            Party {
                mac: match who {
                    Who::Host => gateways[Who::A as usize],
                    _ => Mac([2, 0, 0x5e, 0, 0x53, n]),
                },
                v4: match who {
                    Who::Outside => Ipv4Addr::new(198, 51, 100, 1),
                    Who::Far => Ipv4Addr::new(198, 18, 0, 1),
                    Who::Kin => Ipv4Addr::new(198, 18, 1, 1),
                    Who::Dock => Ipv4Addr::new(198, 18, 2, 1),
                    Who::Host => Ipv4Addr::new(192, 0, 2, 1),
                    _ => Ipv4Addr::new(192, 0, 2, n),
                },
                public: (translated && GUESTS.contains(&who)).then(|| Ipv4Addr::new(203, 0, 114, n)),
                v6: match who {
                    Who::Outside => "2001:db8:f::1".parse().expect("an address"),
                    Who::Far => "2001:db8:1f::1".parse().expect("an address"),
                    Who::Kin => "2001:db8:2f::1".parse().expect("an address"),
                    Who::Dock => "2001:db8:3f::1".parse().expect("an address"),
                    Who::Host if bridged => "2001:db8:5::1".parse().expect("an address"),
                    Who::Host => "2001:db8:a::1".parse().expect("an address"),
                    _ if bridged => v6(5),
                    _ => v6(u16::from(n)),
                },
                delegated: Ipv6Addr::new(0x2001, 0xdb8, 0xaa00 | u16::from(n), 7, 0, 0, 0, 1),
                // Most are cut at a byte, some are not.
                delegated_length: if who == Who::B { 61 } else { 56 },
            }
        };
        Self { placement, parties: ALL.map(party).to_vec(), gateways, connections, port: Cell::new(1024) }
    }

    /// Whether the guests are ports of a bridge.
    pub fn is_bridged(&self) -> bool {
        ![Placement::Routed, Placement::Own].contains(&self.placement)
    }

    /// Whether each guest has a namespace of its own.
    pub fn is_own(&self) -> bool {
        self.placement == Placement::Own
    }

    /// By which address of IPv4 others know `who`: namespaces have private addresses for themselves.
    pub fn known4(&self, who: Who) -> Ipv4Addr {
        let party = self.party(who);
        party.public.filter(|_| self.is_own()).unwrap_or(party.v4)
    }

    /// By which address of IPv4 `from` knows `to`.
    pub fn at4(&self, from: Who, to: Who) -> Ipv4Addr {
        match to {
            // Guests know the router in their namespace, others the host.
            Who::Host if self.is_own() && !GUESTS.contains(&from) => Ipv4Addr::new(198, 51, 100, 2),
            to => self.known4(to),
        }
    }

    /// By which address of IPv6 `from` knows `to`.
    pub fn at6(&self, from: Who, to: Who) -> Ipv6Addr {
        let party = self.party(to);
        match to {
            Who::Host if self.is_bridged() => party.v6,
            Who::Host if GUESTS.contains(&from) => {
                Ipv6Addr::from(u128::from(self.party(from).v6) >> 64 << 64 | 1)
            }
            Who::Host if self.is_own() => Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 2),
            _ => party.v6,
        }
    }

    /// The mark with the source as the guest itself has it, if others know it by another.
    pub fn untranslated(&self, mark: Mark) -> Mark {
        let public = |party: &&Party| party.public.is_some() && party.public.map(IpAddr::from) == mark.source;
        let own = self.parties.iter().find(public).map(|party| IpAddr::from(party.v4));
        Mark { source: own.or(mark.source), ..mark }
    }

    /// Its addresses.
    pub fn party(&self, who: Who) -> Party {
        self.parties[who as usize]
    }

    /// The ends of the tunnels of guest A: in its namespace, or at the host in both families.
    pub fn tunnels(&self) -> Vec<TunnelEnds> {
        let host = self.party(Who::Host);
        let remote = Ipv4Addr::new(198, 51, 100, 77);
        let remote6 = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0x77);
        if self.is_own() {
            let endpoint = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 0xa);
            return vec![TunnelEnds { local: endpoint.into(), remote: remote6.into() }];
        }
        [(host.v4.into(), remote.into()), (host.v6.into(), remote6.into())]
            .map(|(local, remote)| TunnelEnds { local, remote })
            .to_vec()
    }

    /// A port that nobody has used, so that no connection is taken for another.
    pub fn port(&self) -> u16 {
        self.port.set(self.port.get() + 1);
        self.port.get()
    }

    /// To whom a frame goes that `from` sends to `to`.
    pub fn next_hop(&self, from: Who, to: Who) -> Mac {
        let by_the_host = !self.is_bridged() || [from, to].contains(&Who::Far) || to == Who::Host;
        if by_the_host { self.gateways[from as usize] } else { self.party(to).mac }
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
        Ipv4::new(self.party(from).v4, self.at4(from, to), protocol)
    }

    /// An IPv6 header from `from` to `to`.
    pub fn ipv6(&self, from: Who, to: Who, protocol: u8) -> Ipv6 {
        Ipv6::new(self.party(from).v6, self.at6(from, to), protocol)
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
            (self.party(from).v4.into(), self.at4(from, to).into())
        } else {
            (self.party(from).v6.into(), self.at6(from, to).into())
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
