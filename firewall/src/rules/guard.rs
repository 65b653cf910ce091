//! Addresses that several hosts have: what tells of them does not leave by some links.

use std::net::IpAddr;

use guestnet_nft::{
    Chain, DataType, Element, Family, Hook, Set, Statement, Table, TableName, arp, icmpv6, ip6, meta,
};

use super::discovery::{ADVERTISEMENT, SOLICITATION};
use crate::words::{ARP, ICMPV6, Words, deny, name, protocol, transport};
use crate::{Guard, Paragraph as P};

/// Before others at the device.
const FIRST: i32 = -500;

/// The table, where there is something to guard.
pub fn table(guard: &Guard, table: TableName) -> Option<Table> {
    if guard.links.is_empty() || guard.addresses.is_empty() {
        return None;
    }
    let of = |ipv6: bool| guard.addresses.iter().filter(move |a| a.is_ipv6() == ipv6).copied();
    let set = |text, data, addresses: Vec<IpAddr>| {
        Set::new(name(text), data).with(addresses.into_iter().map(Element::new))
    };
    let mut chain = Chain::base(name("egress"), Hook::Egress, FIRST);
    chain.base.iter_mut().for_each(|base| base.devices.clone_from(&guard.links));
    for address in [arp::saddr_ip(), arp::daddr_ip()] {
        let parts = [meta::protocol().eq(ARP), address.is_in(name("guarded_ipv4"))];
        chain = chain.rule(deny(P::GUARD_ARP, parts));
    }
    let target = || transport(8, 16).typed(DataType::Ipv6Addr).is_in(name("guarded_ipv6"));
    let source = || ip6::saddr().is_in(name("guarded_ipv6"));
    let discovery = |kind: u8, what: Statement| {
        let is_ipv6 = Words(Family::Netdev).is_ipv6();
        deny(P::GUARD_DISCOVERY, [is_ipv6, protocol(ICMPV6), icmpv6::kind().eq(kind), what])
    };
    chain = chain
        .rule(discovery(SOLICITATION, target()))
        .rule(discovery(SOLICITATION, source()))
        .rule(discovery(ADVERTISEMENT, target()));
    let table = Table::new(Family::Netdev, table)
        .set(set("guarded_ipv4", DataType::Ipv4Addr, of(false).collect()))
        .set(set("guarded_ipv6", DataType::Ipv6Addr, of(true).collect()))
        .chain(chain);
    Some(table)
}
