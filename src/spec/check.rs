//! What can be wrong with a spec that could be read: what contradicts, clashes, or lacks what it needs.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use guestnet_core::owner::REQIDS;
use guestnet_core::{Netns, Path, Problem, Problems};
use guestnet_nat::{NatSpec, Pair};
use guestnet_xfrm::tunnel::{Keyed, check_tunnels};
use ipnet::{IpNet, Ipv6Net};

use super::taken::Taken;
use super::{Guest, HostSpec, Interface, Placement, VERSION};
use crate::lower::Ends;

/// The kind of addresses by which guests are known in their namespace.
const PRIVATE: &str = "private address";

impl HostSpec {
    /// `keyed` is what [`Self::keyed`] says, `root` the path of the spec.
    pub(super) fn check(&self, keyed: &[Keyed<'_>], root: &Path, problems: &mut Problems) {
        if self.version != VERSION {
            let known = format!("{} is not a version that this guestnet knows: {VERSION}", self.version);
            problems.at(&root.field("version"), known);
        }
        let proxied = |guest: &&Guest| !guest.proxied.is_empty();
        if let Some(guest) = self.guests.iter().find(proxied).filter(|_| self.uplink.is_none()) {
            let words = format!("is missing: neighbours are proxied for {}", guest.name);
            problems.at(&root.field("uplink"), words);
        }
        let interfaces: usize = self.guests.iter().map(|guest| guest.interfaces.len()).sum();
        let mut taken = Taken::with_room(4 * (self.guests.len() + interfaces));
        for (n, guest) in self.guests.iter().enumerate() {
            self.guest(guest, &root.field("guests").index(n), &mut taken, problems);
        }
        self.routers(root, &taken, problems);
        self.check_bridges(root, &mut taken, problems);
        self.check_firewall(root, problems);
        self.translation(root, problems);
        self.check_tunnels(root, keyed, problems);
        self.objects.check(&root.field("objects"), problems);
    }

    fn guest(&self, guest: &Guest, path: &Path, taken: &mut Taken, problems: &mut Problems) {
        let netns = guest.netns();
        let named = taken.claim("guest", &Netns::Host, guest.name.as_str(), &path.field("name"), problems);
        if let Netns::Named(name) = &netns {
            // A namespace that is called as its guest is taken when the guest's name is.
            if named || guest.placement != Placement::Own {
                taken.claim("namespace", &Netns::Host, name, &path.field("placement"), problems);
            }
            let transit = &guest.transit;
            if let Some(mtu) = transit.mtu.filter(|mtu| !(1280..=65535).contains(mtu)) {
                let range = format!("{mtu} is not an MTU for IPv6: 1280 to 65535");
                problems.at(&path.field("transit").field("mtu"), range);
            }
            if let Some(ends) = Ends::of(guest).ok().filter(|_| named) {
                let path = path.field("transit");
                taken.claim("link", &Netns::Host, &ends.host_link, &path.field("host_link"), problems);
                taken.claim("link", &netns, &ends.guest_link, &path.field("guest_link"), problems);
            }
        } else if guest.nat.is_some() {
            problems.at(&path.field("nat"), "guests in the host's namespace share the host's translation");
        }
        for (n, address) in guest.proxied.iter().enumerate() {
            let path = path.field("proxied").index(n);
            if address.is_multicast() || address.is_unspecified() || address.is_unicast_link_local() {
                problems
                    .at(&path, format!("{address} is not the address of a guest that others could ask for"));
            }
            taken.claim("proxied neighbour", &Netns::Host, *address, &path, problems);
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
            if guest.is_on_host()
                && tunnel.path_mtu.is_some()
                && tunnel.if_id.is_none()
                && self.uplink.is_none()
            {
                let words =
                    "an interface is needed for the routes that have it: uplink is missing, or an if_id";
                problems.at(&path.field("path_mtu"), words);
            }
            if !guest.is_on_host() && guest.endpoint.map(Into::into) != Some(tunnel.local) {
                let owns = guest.endpoint.map_or("none".into(), |endpoint| endpoint.to_string());
                let words = format!("{} is not the endpoint of the guest, which is {owns}", tunnel.local);
                problems.at(&path.field("local"), words);
            }
        }
    }

    /// A guest cannot have what is the host's address on one of the links in its namespace.
    fn routers(&self, root: &Path, taken: &Taken, problems: &mut Problems) {
        for (n, guest) in self.guests.iter().enumerate() {
            let netns = guest.netns();
            let routed =
                |interface: &&Interface| interface.private_ipv4.is_some() && interface.bridge.is_none();
            for (m, interface) in guest.interfaces.iter().enumerate().filter(|(_, i)| routed(i)) {
                let router = interface.router().addr();
                let Some(private) = taken.by(PRIVATE, &netns, router) else { continue };
                // All guests can have one router: it is said once.
                if !problems.iter().any(|known| known.path == *private) {
                    let path = root.field("guests").index(n).field("interfaces").index(m);
                    problems
                        .at(private, format!("{router} is the address of the host, the router of {path}"));
                }
            }
        }
    }

    /// What is translated in one namespace has to go into one set of maps.
    fn translation(&self, root: &Path, problems: &mut Problems) {
        let mut tables: BTreeMap<Netns, Translation> = BTreeMap::new();
        for (n, guest) in self.guests.iter().enumerate() {
            let path = root.field("guests").index(n);
            let (nat, at) = match &guest.nat {
                Some(nat) => (nat, path.field("nat")),
                None => (&self.nat, root.field("nat")),
            };
            let table = tables.entry(guest.netns()).or_insert_with(|| Translation {
                nat: NatSpec { mode: nat.mode, untranslated: nat.untranslated.clone(), ..NatSpec::default() },
                at,
                interfaces: Vec::new(),
            });
            for (m, interface) in guest.interfaces.iter().enumerate() {
                if let (Some(public), Some(private)) = (interface.public_ipv4, interface.private_ipv4) {
                    let net = |address: std::net::Ipv4Addr| IpNet::from(std::net::IpAddr::from(address));
                    table.nat.pairs.push(Pair { public: net(public), private: net(private) });
                    table.interfaces.push(path.field("interfaces").index(m));
                }
            }
        }
        for table in tables.values() {
            let mut found = Problems::new();
            table.nat.check(&table.at, &mut found);
            for problem in found.into_iter().map(|problem| table.in_the_spec(problem)) {
                // The addresses have been checked by themselves, and what guests share is checked for each of them.
                if !problems.iter().any(|known| known.path == problem.path) {
                    problems.at(&problem.path, problem.message);
                }
            }
        }
    }

    /// What tunnels share in a namespace they can be in each other's way about.
    fn check_tunnels(&self, root: &Path, keyed: &[Keyed<'_>], problems: &mut Problems) {
        let mut by_namespace: BTreeMap<Netns, Vec<(Path, &Keyed<'_>)>> = BTreeMap::new();
        let mut keyed = keyed.iter();
        for (n, guest) in self.guests.iter().enumerate().filter(|(_, guest)| !guest.tunnels.is_empty()) {
            let path = root.field("guests").index(n).field("tunnels");
            let tunnels = keyed.by_ref().take(guest.tunnels.len()).enumerate();
            let tunnels = tunnels.map(|(m, tunnel)| (path.index(m), tunnel));
            by_namespace.entry(guest.netns()).or_default().extend(tunnels);
        }
        for (netns, tunnels) in by_namespace {
            check_tunnels(&tunnels, &reqids(&netns), problems);
        }
    }
}

/// What is translated in a namespace, and where in the spec it stands.
struct Translation {
    nat: NatSpec,
    at: Path,
    /// Of each pair.
    interfaces: Vec<Path>,
}

impl Translation {
    /// Pairs are addresses of interfaces: `nat.pairs[0].public` is `guests[0].interfaces[0].public_ipv4`.
    fn in_the_spec(&self, problem: Problem) -> Problem {
        let place = problem.path.as_str().split_once(".pairs[").and_then(|(_, rest)| rest.split_once(']'));
        let Some((index, side)) = place else { return problem };
        let interface = index.parse::<usize>().ok().and_then(|index| self.interfaces.get(index));
        let field = if side == ".private" { "private_ipv4" } else { "public_ipv4" };
        let path = interface.map_or(problem.path.clone(), |interface| interface.field(field));
        Problem { path, ..problem }
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
        taken.claim(PRIVATE, netns, private, &path_of_private, problems);
        if let Some(gateway) = interface.gateway_ipv4.filter(|gateway| !gateway.contains(&private)) {
            let words = format!("{gateway} has no room for {private}: they need one network");
            problems.at(&path.field("gateway_ipv4"), words);
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
