//! The words that rules are made of.

use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_nft::expr::{
    Bitwise, Bytes, Cmp, CmpOp, Exthdr, ExthdrKind, Fib, FibFlag, FibResult, PayloadBase, Register,
};
use guestnet_nft::{
    Chain, DataType, Expr, Family, Field, Name, Rule, Statement, Value, Verdict, ether, ip, ip6, meta, raw,
    statement,
};

use crate::Paragraph;
use crate::prefixes::Ip;

/// Numbers of protocols.
pub const ICMP: u8 = 1;
pub const IGMP: u8 = 2;
pub const UDP: u8 = 17;
pub const ESP: u8 = 50;
pub const AH: u8 = 51;
pub const ICMPV6: u8 = 58;
pub const PIM: u8 = 103;

/// Extension headers of IPv6 (RFC 8200), and what may stand among them: hop-by-hop options, routing, fragment, ESP,
/// authentication, destination options, mobility, HIP, shim6.
pub const EXTENSIONS: [u8; 9] = [0, 43, 44, 50, 51, 60, 135, 139, 140];

/// The type of the host's own addresses.
const RTN_LOCAL: u32 = 2;

/// EtherTypes.
pub const IPV4: u16 = 0x0800;
pub const ARP: u16 = 0x0806;
pub const IPV6: u16 = 0x86dd;
/// A VLAN tag.
pub const VLAN: u16 = 0x8100;
/// All tags: of customers, of services, and those that were such before.
pub const TAGS: [u16; 5] = [VLAN, 0x88a8, 0x9100, 0x9200, 0x9300];

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const NFPROTO: [u8; 2] = [2, 10];

/// Up to here a set grows by itself.
const FEW: usize = 1024;
/// Room for many: 6 MiB of memory a set, filled in half the time.
const MANY: usize = 262_144;

/// For how many elements a set with `count` makes room.
pub fn room(count: usize) -> Option<u32> {
    let mut room = MANY;
    while room < count.saturating_mul(2) {
        room = room.saturating_mul(4);
    }
    u32::try_from(room).ok().filter(|_| count > FEW)
}

/// The bit of a packet's mark that says: for the host alone. It is set as a frame comes up from a bridge, and looked at where
/// the packet is forwarded or taken; all other bits are left alone. A routing rule that looks at marks should mask it out.
pub const HERE: u32 = 0x0200_0000;

/// The bit that says: from a guest's port of a bridge, and where the host forwards into a bridge, to such a port only.
pub const GUEST: u32 = 0x0400_0000;

/// The bit that says: on its way from one port of a bridge to another. It is set and cleared where frames are forwarded, and
/// looked at between, as br_netfilter shows them to the rules of IP.
pub const THROUGH: u32 = 0x0800_0000;

/// A name that is fit by construction.
pub fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|e| unreachable!("{e}"))
}

/// A chain of rules.
pub fn chain(text: &str, rules: impl IntoIterator<Item = Rule>) -> Chain {
    rules.into_iter().fold(Chain::regular(name(text)), Chain::rule)
}

/// A rule that says its paragraph.
pub fn rule(paragraph: Paragraph, parts: impl IntoIterator<Item = Statement>) -> Rule {
    parts.into_iter().collect::<Rule>().comment(format!("{paragraph} {}", paragraph.title()))
}

/// Lets pass what matches `parts`: no later rule of the hook's chain sees it.
pub fn pass(paragraph: Paragraph, parts: impl IntoIterator<Item = Statement>) -> Rule {
    rule(paragraph, parts.into_iter().chain([statement::accept()]))
}

/// Drops what matches `parts`, in the chain that counts drops by `paragraph`.
pub fn deny(paragraph: Paragraph, parts: impl IntoIterator<Item = Statement>) -> Rule {
    rule(paragraph, parts.into_iter().chain([goto(&format!("{DROP}{}", paragraph.suffix()))]))
}

/// Goes on to `chain`.
pub fn on(paragraph: Paragraph, parts: impl IntoIterator<Item = Statement>, chain: &str) -> Rule {
    rule(paragraph, parts.into_iter().chain([goto(chain)]))
}

/// What the names of the chains start with in which drops are counted.
pub const DROP: &str = "drop_";

pub fn goto(chain: &str) -> Statement {
    vec![Expr::Verdict(Verdict::Goto(name(chain)))]
}

pub fn jump(chain: &str) -> Statement {
    vec![Expr::Verdict(Verdict::Jump(name(chain)))]
}

/// What differs between families of tables.
#[derive(Clone, Copy, Debug)]
pub struct Words(pub Family);

impl Words {
    pub fn is_ipv4(self) -> Statement {
        if self.0 == Family::Inet { meta::nfproto().eq(NFPROTO[0]) } else { meta::protocol().eq(IPV4) }
    }

    pub fn is(self, ip: Ip) -> Statement {
        if ip == Ip::V4 { self.is_ipv4() } else { self.is_ipv6() }
    }

    pub fn is_ipv6(self) -> Statement {
        if self.0 == Family::Inet { meta::nfproto().eq(NFPROTO[1]) } else { meta::protocol().eq(IPV6) }
    }
}

/// From an interface of a guest.
pub fn from_guest() -> Statement {
    meta::iifname().is_in(name("guests"))
}

pub fn not_from_guest() -> Statement {
    meta::iifname().not_in(name("guests"))
}

/// To an interface of a guest.
pub fn to_guest() -> Statement {
    meta::oifname().is_in(name("guests"))
}

/// `field`, a MAC address, is that of the guest.
pub fn is_its_mac(field: Field) -> Statement {
    meta::iifname().then(field).is_in(name("macs"))
}

pub fn protocol(number: u8) -> Statement {
    meta::l4proto().eq(number)
}

/// `length` bytes of what is behind the IP headers.
pub fn transport(offset: u32, length: u8) -> Field {
    raw(PayloadBase::Transport, offset, length)
}

/// A MAC address behind the IP headers.
pub fn transport_mac(offset: u32) -> Field {
    transport(offset, 6).typed(DataType::EtherAddr)
}

/// The EtherType as it stands in the frame: that of a VLAN tag, where there is one.
pub fn ethertype() -> Field {
    raw(PayloadBase::Link, 12, 2).typed(DataType::EtherType)
}

/// The VLAN of a tag.
pub fn vlan() -> Field {
    raw(PayloadBase::Link, 14, 2).typed(DataType::EtherType).masked(0x0fff_u16)
}

/// The EtherType behind a tag.
pub fn tagged_ethertype() -> Field {
    raw(PayloadBase::Link, 16, 2).typed(DataType::EtherType)
}

/// `ip6 nexthdr`: of the IPv6 header itself.
pub fn nexthdr() -> Field {
    raw(PayloadBase::Network, 6, 1)
}

/// `ip6 length`: of what is behind the IPv6 header.
pub fn ip6_length() -> Field {
    raw(PayloadBase::Network, 4, 2)
}

/// The packet is a fragment, and the first one.
pub fn is_first_fragment() -> Statement {
    let register = Register::default();
    let load = Exthdr { kind: ExthdrKind::Ipv6, header: 44, exists: false, offset: 2, length: 2, register };
    let mask = Bitwise { mask: Bytes(vec![0xff, 0xf8]), xor: Bytes(vec![0; 2]), register, to: register };
    let mut statement = ip6::exthdr(44).eq(1_u8);
    let zero = Cmp { op: CmpOp::Eq, data: Bytes(vec![0; 2]), register };
    statement.extend([Expr::from(load), mask.into(), zero.into()]);
    statement
}

/// The packet has an IPv6 routing header whose byte at `offset` is `value`: 0 is the header behind it, 2 its type.
pub fn routing_header(offset: u32, value: u8) -> Statement {
    let register = Register::default();
    let load = Exthdr { kind: ExthdrKind::Ipv6, header: 43, exists: false, offset, length: 1, register };
    vec![load.into(), Cmp { op: CmpOp::Eq, data: Bytes(vec![value]), register }.into()]
}

/// The packet has the IPv4 option `number` (kernel 5.3).
pub fn has_option(number: u8) -> Statement {
    let register = Register::default();
    let load =
        Exthdr { kind: ExthdrKind::Ipv4, header: number, exists: true, offset: 0, length: 1, register };
    vec![load.into(), Cmp { op: CmpOp::Eq, data: Bytes(vec![1]), register }.into()]
}

/// The frame has an Ethernet header.
pub fn has_ethernet_header() -> Statement {
    // Without one the field is not loaded, and the rule does not match; what is in it is no matter.
    let none = Value::Ether([0; 6]);
    ether::saddr().masked(none.clone()).eq(none)
}

/// The source is an address of the host. (Of IPv4 the kernel drops what comes in with one: RFC 1812 section 5.3.8.)
pub fn is_from_own_ipv6(words: Words) -> [Statement; 2] {
    let register = Register::default();
    let flags = [FibFlag::Saddr].into();
    let load = Fib { result: FibResult::Addrtype, flags, present: false, register };
    let local = Cmp { op: CmpOp::Eq, data: Bytes(RTN_LOCAL.to_ne_bytes().into()), register };
    [words.is_ipv6(), vec![load.into(), local.into()]]
}

/// The packet is for a multicast group of IPv4.
pub fn to_group4() -> Statement {
    let (net, mask) = (Ipv4Addr::new(224, 0, 0, 0), Ipv4Addr::new(240, 0, 0, 0));
    ip::daddr().masked(mask).eq(net)
}

/// The packet is for a multicast group of IPv6.
pub fn to_group6() -> Statement {
    is_group6(ip6::daddr())
}

/// `field`, an address of IPv6, is that of a multicast group.
pub fn is_group6(field: Field) -> Statement {
    let net = Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0);
    field.masked(net).eq(net)
}
