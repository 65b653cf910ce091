//! Guests whose link-local addresses the firewall does not know: what its counters say.

use std::net::IpAddr;

use guestnet_core::owner::Owner;
use guestnet_core::{Namespace, Netns};
use guestnet_firewall::{Paragraph, drops};

use super::case::Case;
use super::{Finding, Severity};
use crate::spec::{Guest, Interface, LinkLocal};

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    let Some(spec) = case.spec.filter(|spec| spec.firewall.is_some()) else { return };
    let Some(namespace) = &mut case.namespace else { return };
    let owner = Owner(namespace.cookie());
    let on_host: Vec<&Guest> = spec.guests.iter().filter(|guest| guest.is_on_host()).collect();
    report(&on_host, dropped(namespace), findings);
    for guest in spec.guests.iter().filter(|guest| !guest.is_on_host()) {
        let Netns::Named(name) = guest.netns() else { continue };
        // One that is not there yet has dropped nothing.
        let Ok(mut own) = Namespace::named(&name) else { continue };
        if own.owner() == Some(owner) {
            report(&[guest], dropped(&mut own), findings);
        }
    }
}

/// How many packets of IPv6 were dropped for their source.
fn dropped(namespace: &mut Namespace) -> u64 {
    let all = drops(namespace).unwrap_or_default();
    all.iter().filter(|drops| drops.paragraph == Paragraph::SOURCE_IPV6).map(|drops| drops.packets).sum()
}

fn report(guests: &[&Guest], packets: u64, findings: &mut Vec<Finding>) {
    // Who says link-local addresses of its own has seen to it.
    let unsaid: Vec<&str> =
        guests.iter().filter(|guest| !says_link_local(guest)).map(|g| g.name.as_str()).collect();
    let [first, rest @ ..] = &unsaid[..] else { return };
    if packets == 0 {
        return;
    }
    let of = match rest {
        [] => format!("guest {first}"),
        rest => format!("guests ({first} or one of {} others)", rest.len()),
    };
    findings.push(Finding::new(
        Severity::Note,
        "unknown-sources",
        format!("the firewall has dropped {packets} packets of {of} by 3.2: their IPv6 source is not the guest's"),
        "that is a forged source, or the link-local address of a guest that does not make it from its MAC address (RFC \
         7217; Windows, NetworkManager): such a guest has no IPv6 at all",
        r#"look in the guest (`ip -6 address show scope link`), and say "link_local": "any" of its interface"#,
    ));
}

fn says_link_local(guest: &Guest) -> bool {
    let is_link_local = |address| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let all = |interface: &Interface| {
        interface.link_local == LinkLocal::Any
            || interface.sources.iter().any(|net| is_link_local(net.addr()))
    };
    !guest.interfaces.is_empty() && guest.interfaces.iter().all(all)
}
