//! The fields of packets by nft's names for them.

use crate::expr::{CtDirection, CtKey, MetaKey, PayloadBase};
use crate::field::Source;
use crate::{DataType, Field};

fn payload(base: PayloadBase, offset: u32, data: DataType) -> Field {
    let source = Source::Payload { base, offset, checksum: None, pseudo_header: false };
    Field { source, data: Some(data), length: data.size(), mask: None }
}

/// An address in an IP header: a change of it changes the transport's checksum, and in IPv4 the header's.
fn address(offset: u32, data: DataType, checksum: Option<u32>) -> Field {
    let source = Source::Payload { base: PayloadBase::Network, offset, checksum, pseudo_header: true };
    Field { source, data: Some(data), length: data.size(), mask: None }
}

/// The IPv4 header.
pub mod ip {
    use super::*;

    /// `ip saddr`
    pub fn saddr() -> Field {
        address(12, DataType::Ipv4Addr, Some(10))
    }

    /// `ip daddr`
    pub fn daddr() -> Field {
        address(16, DataType::Ipv4Addr, Some(10))
    }

    /// `ip ttl`
    pub fn ttl() -> Field {
        Field { data: None, ..payload(PayloadBase::Network, 8, DataType::InetProto) }
    }

    /// `ip protocol`; prefer [`meta::l4proto`](super::meta::l4proto).
    pub fn protocol() -> Field {
        payload(PayloadBase::Network, 9, DataType::InetProto)
    }
}

/// The IPv6 header.
pub mod ip6 {
    use super::*;

    /// `ip6 saddr`
    pub fn saddr() -> Field {
        address(8, DataType::Ipv6Addr, None)
    }

    /// `ip6 daddr`
    pub fn daddr() -> Field {
        address(24, DataType::Ipv6Addr, None)
    }

    /// The first `bytes` bytes of the source, 1 to 16, to be [set](Field::set): prefix translation.
    ///
    /// What a map gives for a key can be longer: the rest of it is not written. So for a prefix of 64 bits
    /// `saddr_prefix(8).set(saddr().prefix(64).map(m))` with a map of addresses whose last half is zero translates any
    /// number of prefixes with one rule. Linux before 6.13 cannot combine two registers, so a prefix that does not
    /// end with a byte needs either a rule of its own (mask and xor by constants), or the up to 128 elements for the
    /// prefixes of the next whole byte.
    pub fn saddr_prefix(bytes: u8) -> Field {
        Field { data: None, length: bytes.clamp(1, 16).into(), ..saddr() }
    }

    /// The first `bytes` bytes of the destination; see [`saddr_prefix`].
    pub fn daddr_prefix(bytes: u8) -> Field {
        Field { data: None, length: bytes.clamp(1, 16).into(), ..daddr() }
    }

    /// `ip6 hoplimit`
    pub fn hoplimit() -> Field {
        Field { data: None, ..payload(PayloadBase::Network, 7, DataType::InetProto) }
    }

    /// `exthdr HEADER exists`: compare with 1 or 0. Hop-by-hop is 0, routing 43, fragment 44, destination options 60.
    pub fn exthdr(header: u8) -> Field {
        Field { source: Source::Exthdr(header), data: None, length: 1, mask: None }
    }
}

/// The Ethernet header.
pub mod ether {
    use super::*;

    /// `ether daddr`
    pub fn daddr() -> Field {
        payload(PayloadBase::Link, 0, DataType::EtherAddr)
    }

    /// `ether saddr`
    pub fn saddr() -> Field {
        payload(PayloadBase::Link, 6, DataType::EtherAddr)
    }
}

/// The ARP header, for Ethernet and IPv4 (RFC 826).
pub mod arp {
    use super::*;

    /// `arp operation`: 1 asks, 2 answers.
    pub fn operation() -> Field {
        payload(PayloadBase::Network, 6, DataType::ArpOp)
    }

    /// `arp saddr ether`
    pub fn saddr_ether() -> Field {
        payload(PayloadBase::Network, 8, DataType::EtherAddr)
    }

    /// `arp saddr ip`
    pub fn saddr_ip() -> Field {
        payload(PayloadBase::Network, 14, DataType::Ipv4Addr)
    }

    /// `arp daddr ether`
    pub fn daddr_ether() -> Field {
        payload(PayloadBase::Network, 18, DataType::EtherAddr)
    }

    /// `arp daddr ip`
    pub fn daddr_ip() -> Field {
        payload(PayloadBase::Network, 24, DataType::Ipv4Addr)
    }
}

/// The header of TCP, UDP and the like.
pub mod th {
    use super::*;

    /// `th sport`
    pub fn sport() -> Field {
        payload(PayloadBase::Transport, 0, DataType::InetService)
    }

    /// `th dport`
    pub fn dport() -> Field {
        payload(PayloadBase::Transport, 2, DataType::InetService)
    }

    /// The flags of TCP; fin 1, syn 2, rst 4, psh 8, ack 16.
    pub fn tcp_flags() -> Field {
        Field { data: None, ..payload(PayloadBase::Transport, 13, DataType::InetProto) }
    }
}

/// The ICMP header.
pub mod icmp {
    use super::*;

    /// `icmp type`
    pub fn kind() -> Field {
        payload(PayloadBase::Transport, 0, DataType::IcmpType)
    }

    /// `icmp code`
    pub fn code() -> Field {
        payload(PayloadBase::Transport, 1, DataType::IcmpCode)
    }

    /// The source of the packet that an ICMP error quotes. When it is set, the quoted header's checksum absorbs the
    /// change, so that the ICMP checksum stays right. nft's grammar has no word for it.
    pub fn quoted_saddr() -> Field {
        quoted(20)
    }

    /// The destination of the packet that an ICMP error quotes; see [`quoted_saddr`].
    pub fn quoted_daddr() -> Field {
        quoted(24)
    }

    fn quoted(offset: u32) -> Field {
        raw(PayloadBase::Transport, offset, 4).typed(DataType::Ipv4Addr).checksum(18)
    }
}

/// The ICMPv6 header.
pub mod icmpv6 {
    use super::*;

    /// `icmpv6 type`
    pub fn kind() -> Field {
        payload(PayloadBase::Transport, 0, DataType::Icmpv6Type)
    }

    /// `icmpv6 code`
    pub fn code() -> Field {
        payload(PayloadBase::Transport, 1, DataType::Icmpv6Code)
    }

    /// The source of the packet that an ICMPv6 error quotes. An IPv6 header has no checksum that could absorb a
    /// change, so a change of it changes the ICMPv6 checksum, 2 bytes behind the ICMPv6 header's start.
    pub fn quoted_saddr() -> Field {
        raw(PayloadBase::Transport, 16, 16).typed(DataType::Ipv6Addr).checksum(2)
    }

    /// The destination of the packet that an ICMPv6 error quotes; see [`quoted_saddr`].
    pub fn quoted_daddr() -> Field {
        raw(PayloadBase::Transport, 32, 16).typed(DataType::Ipv6Addr).checksum(2)
    }
}

/// `length` bytes, 1 to 16, at `offset` behind `base`: `@th,160,32` is `raw(PayloadBase::Transport, 20, 4)`.
pub fn raw(base: PayloadBase, offset: u32, length: u8) -> Field {
    let source = Source::Payload { base, offset, checksum: None, pseudo_header: false };
    Field { source, data: None, length: length.clamp(1, 16).into(), mask: None }
}

/// What the kernel knows about a packet besides its bytes.
pub mod meta {
    use super::*;

    fn meta(key: MetaKey, data: Option<DataType>) -> Field {
        Field { source: Source::Meta(key), data, length: key.size(), mask: None }
    }

    /// `meta mark`
    pub fn mark() -> Field {
        meta(MetaKey::Mark, Some(DataType::Mark))
    }

    /// `iifname`
    pub fn iifname() -> Field {
        meta(MetaKey::Iifname, Some(DataType::Ifname))
    }

    /// `oifname`
    pub fn oifname() -> Field {
        meta(MetaKey::Oifname, Some(DataType::Ifname))
    }

    /// `meta l4proto`: the protocol behind all extension headers.
    pub fn l4proto() -> Field {
        meta(MetaKey::L4proto, Some(DataType::InetProto))
    }

    /// `meta nfproto`: 2 for IPv4, 10 for IPv6.
    pub fn nfproto() -> Field {
        meta(MetaKey::Nfproto, None)
    }

    /// `meta protocol`: the EtherType.
    pub fn protocol() -> Field {
        meta(MetaKey::Protocol, Some(DataType::EtherType))
    }

    /// `meta pkttype`: unicast 0, broadcast 1, multicast 2.
    pub fn pkttype() -> Field {
        meta(MetaKey::Pkttype, None)
    }

    /// `meta iiftype`: the kind of the link, `ARPHRD_*` of `linux/if_arp.h`; Ethernet is 1.
    pub fn iiftype() -> Field {
        meta(MetaKey::Iiftype, None)
    }

    /// `iifgroup`
    pub fn iifgroup() -> Field {
        meta(MetaKey::Iifgroup, Some(DataType::Mark))
    }

    /// `oifgroup`
    pub fn oifgroup() -> Field {
        meta(MetaKey::Oifgroup, Some(DataType::Mark))
    }

    /// `meta ibrname`: the bridge that the interface it came from is a port of.
    pub fn ibrname() -> Field {
        meta(MetaKey::Ibrname, Some(DataType::Ifname))
    }

    /// `meta obrname`: the bridge that the interface it goes to is a port of.
    pub fn obrname() -> Field {
        meta(MetaKey::Obrname, Some(DataType::Ifname))
    }

    /// `meta secpath exists`: 1 when the packet came out of an IPsec tunnel.
    pub fn secpath() -> Field {
        meta(MetaKey::Secpath, None)
    }
}

/// What conntrack knows about a packet.
pub mod ct {
    use super::*;

    /// `ct state`: [`Field::has`] with bits of `INVALID`, `ESTABLISHED`, ….
    pub fn state() -> Field {
        Field { source: Source::Ct(CtKey::State, None), data: Some(DataType::Mark), length: 4, mask: None }
    }

    /// `ct mark`
    pub fn mark() -> Field {
        Field { source: Source::Ct(CtKey::Mark, None), data: Some(DataType::Mark), length: 4, mask: None }
    }

    /// `ct original ip saddr`, `ct reply ip saddr`: who began the connection, and who answers (kernel 4.17).
    pub fn saddr(direction: CtDirection) -> Field {
        let source = Source::Ct(CtKey::SrcIp, Some(direction));
        Field { source, data: Some(DataType::Ipv4Addr), length: 4, mask: None }
    }

    /// `ct original ip6 saddr`, `ct reply ip6 saddr`: the same of IPv6.
    pub fn saddr6(direction: CtDirection) -> Field {
        let source = Source::Ct(CtKey::SrcIp6, Some(direction));
        Field { source, data: Some(DataType::Ipv6Addr), length: 16, mask: None }
    }

    /// The bit of `ct state` invalid.
    pub const INVALID: u32 = 1;
    /// The bit of `ct state` established.
    pub const ESTABLISHED: u32 = 2;
    /// The bit of `ct state` related.
    pub const RELATED: u32 = 4;
    /// The bit of `ct state` new.
    pub const NEW: u32 = 8;
    /// The bit of `ct state` untracked.
    pub const UNTRACKED: u32 = 64;
}
