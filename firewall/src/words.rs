//! The words that rules are made of.

use guestnet_nft::expr::{Bitwise, Bytes, Cmp, CmpOp, Exthdr, ExthdrKind, PayloadBase, Register};
use guestnet_nft::{
    Chain, DataType, Expr, Family, Field, Name, Rule, Statement, Verdict, ip6, meta, raw, statement,
};

use crate::Paragraph;

/// Numbers of protocols.
pub const ICMP: u8 = 1;
pub const IGMP: u8 = 2;
pub const UDP: u8 = 17;
pub const ESP: u8 = 50;
pub const ICMPV6: u8 = 58;

/// EtherTypes.
pub const IPV4: u16 = 0x0800;
pub const ARP: u16 = 0x0806;
pub const IPV6: u16 = 0x86dd;

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

/// An IPv6 routing header of type 0.
pub fn has_routing_header() -> Statement {
    let register = Register::default();
    let load = Exthdr { kind: ExthdrKind::Ipv6, header: 43, exists: false, offset: 2, length: 1, register };
    vec![load.into(), Cmp { op: CmpOp::Eq, data: Bytes(vec![0]), register }.into()]
}
