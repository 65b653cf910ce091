//! Whom guestnet's own firewall cuts off: bridges of container engines, and other links between which the host
//! forwards today.

use std::net::Ipv4Addr;

use guestnet_core::owner::LINK_GROUP;
use guestnet_nft::evaluate::{Conntrack, Interface, Outcome, Packet, Side, run};
use guestnet_nft::ruleset::{OwnSets, Ruleset};
use guestnet_nft::{Family, Hook, Table};

use super::case::Case;
use super::links::HostLink;
use super::{Finding, Severity, routes};

const IPV4: u16 = 0x0800;

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    let (Some(spec), Some(host)) = (case.spec, case.host()) else { return };
    let Some(firewall) = &spec.firewall else { return };
    let tables: Vec<&Table> = host.tables.iter().filter(|table| table.family == Family::Inet).collect();
    let ruleset: Ruleset = tables.iter().copied().collect();
    let out = routes::ipv4(case).into_iter().next().or_else(|| case.uplink_name());
    let forwards = case.number("net/ipv4/ip_forward") == Some(1);
    let bridged = case.number("net/bridge/bridge-nf-call-iptables") == Some(1);
    let cut = |from: &HostLink, to: &HostLink| is_dropped(&ruleset, &tables, from, to);
    let links = &case.host_links;
    let uplink = links.iter().find(|link| Some(&link.name) == out.as_ref());
    let mut trusted: Vec<String> = firewall.trusted.iter().map(ToString::to_string).collect();
    let mut without = Vec::new();
    for link in links.iter().filter(|link| carries_others(link, links)) {
        // br_netfilter shows frames between ports of a bridge to the rules of IP.
        let inside = bridged && link.kind.as_deref() == Some("bridge") && cut(link, link);
        let outward =
            forwards && uplink.is_some_and(|uplink| uplink.index != link.index && cut(link, uplink));
        if inside || outward {
            without.push(link.name.clone());
            trusted.push(link.name.clone());
            trusted.extend(uplink.filter(|_| outward).map(|uplink| uplink.name.clone()));
        }
    }
    if without.is_empty() {
        return;
    }
    trusted.sort();
    trusted.dedup();
    findings.push(Finding::new(
        Severity::Warning,
        "others-cut-off",
        format!("the firewall drops what is forwarded for {}, which others have made", without.join(", ")),
        "containers or machines behind them lose their network: between links of which neither is a guest's, packets \
         pass only where both are trusted (docs/security.md 1.1)",
        format!(r#"say "trusted": {} in the firewall, if they are to be kept"#, serde_json::json!(trusted)),
    ));
}

/// Whether somebody else's machines are behind `link`: a bridge with ports, or a veth into another namespace.
fn carries_others(link: &HostLink, all: &[HostLink]) -> bool {
    let kind = link.kind.as_deref();
    let has_ports = || all.iter().any(|port| port.master == Some(link.index));
    link.group != LINK_GROUP
        && link.master.is_none()
        && (kind == Some("bridge") && has_ports() || kind == Some("veth") && link.leads_elsewhere)
}

/// Whether a connection from behind `from` to behind `to` is dropped by `tables`.
fn is_dropped(ruleset: &Ruleset, tables: &[&Table], from: &HostLink, to: &HostLink) -> bool {
    let side = |link: &HostLink| {
        Side::Known(Interface {
            name: link.name.clone(),
            index: Some(link.index),
            kind: Some(link.hardware),
            group: Some(link.group),
        })
    };
    // Addresses that are nobody's here: none is asked for between links that are no guests'.
    let (source, destination) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(9, 9, 9, 9));
    let mut network = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
    network.extend(source.octets());
    network.extend(destination.octets());
    network.extend([0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xfa, 0xf0, 0, 0, 0, 0]);
    let mut packet = Packet {
        ethertype: IPV4,
        network,
        input: side(from),
        output: side(to),
        conntrack: Some(Conntrack::NEW),
        ..Packet::default()
    };
    let mut sets = OwnSets(tables.to_vec());
    let chains = ruleset.at(&[Family::Inet], Hook::Forward);
    chains
        .into_iter()
        .any(|(table, chain)| matches!(run(table, chain, &mut packet, &mut sets).outcome, Outcome::Drop(_)))
}
