//! What can be wrong with a spec that could be read: what contradicts, clashes, or lacks what it needs.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use guestnet_core::owner::REQIDS;
use guestnet_core::{Netns, Path, Problems};
use guestnet_nat::{NatSpec, Pair};
use guestnet_xfrm::TunnelSpec;
use guestnet_xfrm::tunnel::check_together;
use ipnet::{IpNet, Ipv6Net};

use super::{Guest, HostSpec, Interface, VERSION};

impl HostSpec {
    pub(super) fn check(&self, problems: &mut Problems) {
        let root = Path::root();
        if self.version != VERSION {
            let known = format!("{} is not a version that this guestnet knows: {VERSION}", self.version);
            problems.at(&root.field("version"), known);
        }
        let mut taken = Taken::default();
        for (n, guest) in self.guests.iter().enumerate() {
            self.guest(guest, &root.field("guests").index(n), &mut taken, problems);
        }
        self.translation(&root, problems);
        self.tunnels_together(&root, problems);
        self.objects.check(&root.field("objects"), problems);
    }

    fn guest(&self, guest: &Guest, path: &Path, taken: &mut Taken, problems: &mut Problems) {
        let netns = guest.netns();
        taken.claim("guest", &Netns::Host, guest.name.as_str(), &path.field("name"), problems);
        if let Netns::Named(name) = &netns {
            taken.claim("namespace", &Netns::Host, name, &path.field("placement"), problems);
            let transit = &guest.transit;
            if let Some(mtu) = transit.mtu.filter(|mtu| !(1280..=65535).contains(mtu)) {
                let range = format!("{mtu} is not an MTU for IPv6: 1280 to 65535");
                problems.at(&path.field("transit").field("mtu"), range);
            }
            for (link, field) in [(&transit.host_link, "host_link"), (&transit.guest_link, "guest_link")] {
                let side = if field == "host_link" { &Netns::Host } else { &netns };
                if let Some(link) = link {
                    taken.claim("link", side, link, &path.field("transit").field(field), problems);
                }
            }
        } else if guest.nat.is_some() {
            problems.at(&path.field("nat"), "guests in the host's namespace share the host's translation");
        }
        if !guest.proxied.is_empty() && self.uplink.is_none() {
            problems.at(
                &Path::root().field("uplink"),
                format!("is missing: neighbours are proxied for {}", guest.name),
            );
        }
        for (n, address) in guest.proxied.iter().enumerate() {
            let path = path.field("proxied").index(n);
            if address.is_multicast() || address.is_unspecified() || address.is_unicast_link_local() {
                problems
                    .at(&path, format!("{address} is not the address of a guest that others could ask for"));
            }
            taken.claim("proxied neighbour", &Netns::Host, address, &path, problems);
        }
        if let Some(endpoint) = guest.endpoint {
            let path = path.field("endpoint");
            if endpoint.is_multicast() || endpoint.is_unspecified() || endpoint.is_loopback() {
                problems.at(&path, format!("{endpoint} is not the address of a host"));
            }
            if !guest.is_on_host() {
                taken.claim("endpoint", &Netns::Host, endpoint, &path, problems);
            }
        }
        for (n, interface) in guest.interfaces.iter().enumerate() {
            check_interface(interface, &netns, &path.field("interfaces").index(n), taken, problems);
        }
        for (n, tunnel) in guest.tunnels.iter().enumerate() {
            let path = path.field("tunnels").index(n);
            tunnel.check(&reqids(&netns), &path, problems);
            if !guest.is_on_host() && guest.endpoint.map(Into::into) != Some(tunnel.local) {
                let owns = guest.endpoint.map_or("none".into(), |endpoint| endpoint.to_string());
                let words = format!("{} is not the endpoint of the guest, which is {owns}", tunnel.local);
                problems.at(&path.field("local"), words);
            }
        }
    }

    /// What is translated in one namespace has to go into one set of maps.
    fn translation(&self, root: &Path, problems: &mut Problems) {
        let mut tables: BTreeMap<Netns, (NatSpec, Path)> = BTreeMap::new();
        for (n, guest) in self.guests.iter().enumerate() {
            let nat = guest.nat.as_ref().unwrap_or(&self.nat);
            let path = if guest.nat.is_some() {
                root.field("guests").index(n).field("nat")
            } else {
                root.field("nat")
            };
            let fresh =
                || NatSpec { mode: nat.mode, untranslated: nat.untranslated.clone(), ..NatSpec::default() };
            let (table, _) = tables.entry(guest.netns()).or_insert_with(|| (fresh(), path));
            for interface in &guest.interfaces {
                if let (Some(public), Some(private)) = (interface.public_ipv4, interface.private_ipv4) {
                    let net = |address: std::net::Ipv4Addr| IpNet::from(std::net::IpAddr::from(address));
                    table.pairs.push(Pair { public: net(public), private: net(private) });
                }
            }
        }
        for (table, path) in tables.values() {
            let mut found = Problems::new();
            table.check(path, &mut found);
            // Pairs were checked as the addresses of interfaces, and are reported there.
            for problem in found.into_iter().filter(|problem| !problem.path.as_str().contains("pairs[")) {
                problems.at(&problem.path, problem.message);
            }
        }
    }

    fn tunnels_together(&self, root: &Path, problems: &mut Problems) {
        let mut by_namespace: BTreeMap<Netns, Vec<(Path, &TunnelSpec)>> = BTreeMap::new();
        for (n, guest) in self.guests.iter().enumerate() {
            let path = root.field("guests").index(n).field("tunnels");
            let tunnels = guest.tunnels.iter().enumerate().map(|(m, tunnel)| (path.index(m), tunnel));
            by_namespace.entry(guest.netns()).or_default().extend(tunnels);
        }
        for tunnels in by_namespace.into_values() {
            check_together(tunnels, problems);
        }
    }
}

/// The reqids by which objects of IPsec in a namespace are known as ours.
pub(crate) fn reqids(netns: &Netns) -> RangeInclusive<u32> {
    match netns {
        Netns::Host => REQIDS,
        Netns::Named(_) => 0..=u32::MAX,
    }
}

fn check_interface(
    interface: &Interface,
    netns: &Netns,
    path: &Path,
    taken: &mut Taken,
    problems: &mut Problems,
) {
    taken.claim("link", netns, &interface.name, &path.field("name"), problems);
    let has_ipv6 = interface.public_ipv6.is_some() || interface.private_ipv6.is_some();
    let least = if has_ipv6 { 1280 } else { 68 };
    if let Some(mtu) = interface.mtu.filter(|mtu| !(least..=65535).contains(mtu)) {
        problems.at(&path.field("mtu"), format!("{mtu} is not an MTU for this link: {least} to 65535"));
    }
    if let Some(public) = interface.public_ipv4 {
        let path_of_public = path.field("public_ipv4");
        if public.is_multicast() || public.is_unspecified() || public.is_broadcast() || public.is_loopback() {
            problems.at(&path_of_public, format!("{public} is not the address of a host"));
        }
        taken.claim("public address", &Netns::Host, public, &path_of_public, problems);
        if interface.private_ipv4.is_none() {
            problems.at(&path.field("private_ipv4"), format!("is missing: {public} is translated to it"));
        }
    }
    if let Some(private) = interface.private_ipv4 {
        let path_of_private = path.field("private_ipv4");
        if private.is_multicast()
            || private.is_unspecified()
            || private.is_broadcast()
            || private.is_loopback()
        {
            problems.at(&path_of_private, format!("{private} is not the address of a host"));
        }
        taken.claim("private address", netns, private, &path_of_private, problems);
        if let Some(gateway) = interface.gateway_ipv4 {
            let path = path.field("gateway_ipv4");
            if gateway.addr() == private {
                problems.at(&path, format!("{private} is the guest's own address"));
            } else if !gateway.contains(&private) {
                problems.at(&path, format!("{gateway} has no room for {private}: they need one network"));
            }
        }
    } else if interface.gateway_ipv4.is_some() {
        problems.at(&path.field("private_ipv4"), "is missing: a gateway is given for it");
    }
    for (field, prefix) in
        [("public_ipv6", &interface.public_ipv6), ("private_ipv6", &interface.private_ipv6)]
    {
        if let Some(prefix) = prefix {
            check_prefix(prefix, &path.field(field), problems);
            taken.claim("prefix", &Netns::Host, prefix.trunc(), &path.field(field), problems);
        }
    }
    for (n, prefix) in interface.routed_ipv6.iter().enumerate() {
        let path = path.field("routed_ipv6").index(n);
        check_prefix(prefix, &path, problems);
        taken.claim("prefix", &Netns::Host, prefix.trunc(), &path, problems);
    }
    if !interface.routed_ipv6.is_empty() && interface.mac.is_none() {
        problems
            .at(&path.field("mac"), "is missing: prefixes are routed to the address that follows from it");
    }
}

fn check_prefix(prefix: &Ipv6Net, path: &Path, problems: &mut Problems) {
    if *prefix != prefix.trunc() {
        problems.at(path, format!("{prefix} has bits behind its prefix; is {} meant?", prefix.trunc()));
    }
    let network = prefix.network();
    if network.is_multicast() || network.is_unicast_link_local() || prefix.prefix_len() < 16 {
        problems.at(path, format!("{prefix} is not a prefix that a guest could have"));
    }
}

/// What one thing has, another cannot have.
#[derive(Default)]
struct Taken(BTreeMap<(&'static str, Netns, String), Path>);

impl Taken {
    fn claim(
        &mut self,
        kind: &'static str,
        netns: &Netns,
        what: impl Display,
        path: &Path,
        problems: &mut Problems,
    ) {
        let claim = (kind, netns.clone(), what.to_string());
        match self.0.get(&claim) {
            Some(first) => problems.at(path, format!("the {kind} {what} is taken by {first}")),
            None => {
                self.0.insert(claim, path.clone());
            }
        }
    }
}
