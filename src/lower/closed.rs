//! Tunnels fail closed: what is for the other end's private prefixes leaves encrypted or not at all.
//!
//! Policies see to that while they are there, with states or without. But they can be flushed, and their selectors say
//! the source too, so that a packet with another one passes them by. So there is a second net, of another subsystem:
//! a table that knows nothing of sources, states or generations, and which no flush of IPsec removes.
//!
//! ```text
//! table inet guestnet_tunnels {
//!     set within { type ifname; elements = { "lo", "tapvm1" } }
//!     set peers_ipv4_32 { type ipv4_addr; elements = { 192.168.0.127 } }
//!     set peers_ipv6_64 { type ipv6_addr; elements = { fdc9:3955:7bf:873c:: } }
//!     chain inward {
//!         type filter hook prerouting priority -310;
//!         ip saddr @peers_ipv4_32 iifname != @within meta l4proto != esp meta secpath missing drop
//!         ip6 saddr & ffff:ffff:ffff:ffff:: @peers_ipv6_64 …
//!     }
//!     chain outward {
//!         type filter hook postrouting priority 350;
//!         ip daddr @peers_ipv4_32 oifname != @within meta l4proto != esp rt ipsec missing drop
//!         ip6 daddr & ffff:ffff:ffff:ffff:: @peers_ipv6_64 …
//!     }
//! }
//! ```
//!
//! One set and two rules for each length of prefixes in use: peers are elements. Inward it stands before all
//! translation, outward behind it.

use std::collections::{BTreeMap, BTreeSet};

use guestnet_core::{Error, LinkName, Netns};
use guestnet_nft::expr::{Cmp, CmpOp, Register, Rt, RtKey};
use guestnet_nft::{
    Chain, DataType, Element, Expr, Family, Hook, Name, Rule, Set, Statement, Table, ip, ip6, meta, statement,
};
use ipnet::IpNet;

use super::{Lowered, LoweredTunnel, Spot};
use crate::resolve::Resolved;

/// Before translation, which is at -300.
const BEFORE_TRANSLATION: i32 = -310;
/// Behind translation, which is at 300.
const BEHIND_TRANSLATION: i32 = 350;
const ESP: u8 = 50;
/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

impl Lowered {
    /// The second net, in each namespace that has tunnels. Called when all the links are known.
    pub(super) fn closed(&mut self, spec: &Resolved<'_>) -> Result<(), Error> {
        // The one way out of a guest's namespace.
        let ways_out =
            spec.guests.iter().filter_map(|guest| Some((&guest.netns, &guest.ends.as_ref()?.guest_link)));
        let ways_out: BTreeSet<(&Netns, &LinkName)> = ways_out.collect();
        let all = std::mem::take(&mut self.tunnels);
        for (netns, tunnels) in &all {
            let links = self.objects.in_namespace(netns).links.iter().map(|link| &link.name);
            let within = links.filter(|link| !ways_out.contains(&(netns, link))).cloned().collect();
            if let Some(table) = table(tunnels, within).map_err(|e| Error::malformed("table", e))? {
                self.add(netns, table, &Spot::root().field("guests"), |o| &mut o.tables);
            }
        }
        self.tunnels = all;
        Ok(())
    }
}

fn table(tunnels: &[LoweredTunnel], within: BTreeSet<LinkName>) -> Result<Option<Table>, String> {
    let mut peers: BTreeMap<(u8, u8), BTreeSet<IpNet>> = BTreeMap::new();
    for LoweredTunnel { spec: tunnel, .. } in tunnels {
        for net in tunnel.pairs.iter().map(|pair| pair.remote.trunc()) {
            // Of everything it cannot be said that it is private, and in UDP the tunnel's own packets would be caught.
            if net.prefix_len() > 0 && !(tunnel.udp.is_some() && net.contains(&tunnel.remote)) {
                let family = if net.addr().is_ipv4() { IPV4 } else { IPV6 };
                peers.entry((family, net.prefix_len())).or_default().insert(net);
            }
        }
    }
    if peers.is_empty() {
        return Ok(None);
    }
    let lo: LinkName = "lo".parse().map_err(|e| format!("{e}"))?;
    let within = within.into_iter().chain([lo]).map(Element::new);
    let mut table = Table::new(Family::Inet, "guestnet_tunnels".parse()?)
        .set(Set::new("within".parse()?, DataType::Ifname).with(within));
    let mut inward = Chain::base("inward".parse()?, Hook::Prerouting, BEFORE_TRANSLATION);
    let mut outward = Chain::base("outward".parse()?, Hook::Postrouting, BEHIND_TRANSLATION);
    for ((family, length), nets) in peers {
        let (word, data, saddr, daddr) = match family {
            IPV4 => ("ipv4", DataType::Ipv4Addr, ip::saddr(), ip::daddr()),
            _ => ("ipv6", DataType::Ipv6Addr, ip6::saddr(), ip6::daddr()),
        };
        let set: Name = format!("peers_{word}_{length}").parse()?;
        let whole = usize::from(length) == 8 * data.size();
        let is_peer = |field: guestnet_nft::Field| {
            let field = if whole { field } else { field.prefix(length) };
            field.is_in(set.clone())
        };
        let rule = |is_peer: Statement, outside: Statement, in_clear: Statement| -> Result<Rule, String> {
            Ok(Rule::new()
                .with(meta::nfproto().eq(family))
                .with(is_peer)
                .with(outside)
                .with(meta::l4proto().ne(ESP))
                .with(in_clear)
                .with(statement::drop()))
        };
        let within: Name = "within".parse()?;
        inward = inward.rule(rule(
            is_peer(saddr),
            meta::iifname().not_in(within.clone()),
            meta::secpath().eq(0_u8),
        )?);
        outward = outward.rule(rule(is_peer(daddr), meta::oifname().not_in(within), goes_in_clear())?);
        table = table.set(Set::new(set, data).with(nets.into_iter().map(|net| Element::new(net.addr()))));
    }
    Ok(Some(table.chain(inward).chain(outward)))
}

/// `rt ipsec missing`
fn goes_in_clear() -> Statement {
    let register = Register::default();
    let none = guestnet_nft::expr::Bytes(vec![0]);
    vec![Expr::from(Rt { key: RtKey::Ipsec, register }), Cmp { op: CmpOp::Eq, data: none, register }.into()]
}
