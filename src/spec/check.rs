//! What can be wrong with a spec that could be read: what contradicts, clashes, or lacks what it needs.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use guestnet_core::link::MOST_OF_TAP;
use guestnet_core::owner::REQIDS;
use guestnet_core::{LinkName, Netns, Path, Problem, Problems};
use guestnet_nat::{NatSpec, Pair};
use guestnet_xfrm::tunnel::{Keyed, check_tunnels};
use ipnet::{IpNet, Ipv6Net};

use super::special::{kept, unfit, unfit_prefix};
use super::taken::Taken;
use super::{Interface, InterfaceKind, Placement, VERSION};
use crate::resolve::{Ends, Resolved, ResolvedGuest, ResolvedInterface};

/// The first half of fe80::/64 (RFC 4291, section 2.5.6).
const LINK_LOCAL: [u8; 8] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0];

/// The kind of addresses by which guests are known in their namespace.
const PRIVATE: &str = "private address";

impl Resolved<'_> {
    /// What is wrong with the parts of the spec, before they are put together.
    pub(crate) fn checked(&self) -> Problems {
        let checked = |root: &Path| {
            let mut problems = Problems::new();
            self.check(root, &mut problems);
            problems
        };
        // Of a spec that is right no path is ever shown, so none is written.
        if checked(&Path::unwritten()).is_empty() { Problems::new() } else { checked(&Path::root()) }
    }

    /// `root` is the path of the spec.
    fn check(&self, root: &Path, problems: &mut Problems) {
        if self.version != VERSION {
            let known = format!("{} is not a version that this guestnet knows: {VERSION}", self.version);
            problems.at(&root.field("version"), known);
        }
        let proxied = |guest: &&ResolvedGuest<'_>| !guest.proxied.is_empty();
        if let Some(guest) = self.guests.iter().find(proxied).filter(|_| self.uplink.is_none()) {
            let words = format!("is missing: neighbours are proxied for {}", guest.name);
            problems.at(&root.field("uplink"), words);
        }
        if let Some(why) = self.uplink.as_ref().and_then(LinkName::reserved) {
            problems.at(&root.field("uplink"), why);
        }
        let interfaces: usize = self.guests.iter().map(|guest| guest.interfaces.len()).sum();
        let mut taken = Taken::with_room(4 * (self.guests.len() + interfaces));
        for (n, guest) in self.guests.iter().enumerate() {
            self.guest(guest, root, &root.field("guests").index(n), &mut taken, problems);
        }
        self.routers(root, &taken, problems);
        self.check_bridges(root, &mut taken, problems);
        self.nested(root, problems);
        self.own_addresses(root, problems);
        self.privates(root, problems);
        self.check_firewall(root, problems);
        self.translation(root, problems);
        self.check_tunnels(root, problems);
        self.objects.check(&root.field("objects"), problems);
    }

    /// `path` is that of the guest, `root` that of the spec.
    fn guest(
        &self,
        guest: &ResolvedGuest<'_>,
        root: &Path,
        path: &Path,
        taken: &mut Taken,
        problems: &mut Problems,
    ) {
        let netns = &guest.netns;
        let named = taken.claim("guest", &Netns::Host, guest.name.as_str(), &path.field("name"), problems);
        // To ip(8) and sysctl(8) these are words.
        if ["all", "default", "lo"].contains(&guest.name.as_str()) {
            problems.at(
                &path.field("name"),
                format!("{} is a word of ip(8), not a name for a guest", guest.name),
            );
        }
        if let Netns::Named(name) = netns {
            // A namespace that is called as its guest is taken when the guest's name is.
            if named || guest.placement != Placement::Own {
                taken.claim("namespace", &Netns::Host, name, &path.field("placement"), problems);
            }
            let transit = &guest.transit;
            if let Some(mtu) = transit.mtu.filter(|mtu| !(1280..=65535).contains(mtu)) {
                let range = format!("{mtu} is not an MTU for IPv6: 1280 to 65535");
                problems.at(&path.field("transit").field("mtu"), range);
            }
            if let Some(ends) = guest.ends.as_ref().filter(|_| named) {
                let path = path.field("transit");
                taken.claim("link", &Netns::Host, &ends.host_link, &path.field("host_link"), problems);
                taken.claim("link", netns, &ends.guest_link, &path.field("guest_link"), problems);
                check_transit(guest, ends, &path, problems);
            }
        } else if guest.nat.is_some() {
            problems.at(&path.field("nat"), "guests in the host's namespace share the host's translation");
        }
        for (n, address) in guest.proxied.iter().enumerate() {
            let path = path.field("proxied").index(n);
            if let Some(what) = unfit(*address) {
                let words = format!("{address} is not the address of a guest that others could ask for");
                problems.at(&path, format!("{words}: it is {what}"));
            }
            taken.claim("proxied neighbour", &Netns::Host, *address, &path, problems);
        }
        if let Some(endpoint) = guest.endpoint {
            let path = path.field("endpoint");
            check_address(endpoint.into(), &path, problems);
            if !guest.is_on_host() {
                taken.claim("endpoint", &Netns::Host, endpoint, &path, problems);
            }
        }
        for (n, interface) in guest.interfaces.iter().enumerate() {
            check_interface(interface, netns, &path.field("interfaces").index(n), taken, problems);
        }
        let endpoint_path = path.field("endpoint");
        for (n, tunnel) in guest.tunnels.iter().enumerate() {
            let path = path.field("tunnels").index(n);
            if guest.is_on_host()
                && tunnel.path_mtu.is_some()
                && tunnel.if_id.is_none()
                && self.uplink.is_none()
            {
                let words =
                    "an interface is needed for the routes that have it: uplink is missing, or an if_id";
                problems.at_because(&path.field("path_mtu"), &root.field("uplink"), words);
            }
            if !guest.is_on_host() && guest.endpoint.map(Into::into) != Some(tunnel.local) {
                let owns = guest.endpoint.map_or("none".into(), |endpoint| endpoint.to_string());
                let words = format!("{} is not the endpoint of the guest, which is {owns}", tunnel.local);
                problems.at_because(&path.field("local"), &endpoint_path, words);
            }
        }
    }

    /// A guest cannot have what is the host's address on one of the links in its namespace.
    fn routers(&self, root: &Path, taken: &Taken, problems: &mut Problems) {
        for (n, guest) in self.guests.iter().enumerate() {
            let netns = &guest.netns;
            let routed = |interface: &&ResolvedInterface<'_>| {
                interface.private_ipv4.is_some() && interface.bridge.is_none()
            };
            for (m, interface) in guest.interfaces.iter().enumerate().filter(|(_, i)| routed(i)) {
                let router = interface.router().addr();
                let Some(private) = taken.by(PRIVATE, netns, router) else { continue };
                // All guests can have one router: it is said once.
                if !problems.iter().any(|known| known.path == *private) {
                    let path = root.field("guests").index(n).field("interfaces").index(m);
                    let words = format!("{router} is the address of the host, the router of {path}");
                    problems.at_because(private, &path.field("gateway_ipv4"), words);
                }
            }
        }
    }

    /// A private address is nobody else's public one: that is routed to one of them only, and who has it privately reaches
    /// no other by it.
    fn privates(&self, root: &Path, problems: &mut Problems) {
        let interfaces = || {
            self.guests.iter().enumerate().flat_map(|(n, guest)| {
                let list = root.field("guests").index(n).field("interfaces");
                let interfaces = guest.interfaces.iter().enumerate();
                interfaces.map(move |(m, interface)| (guest, interface, list.index(m)))
            })
        };
        let publics: HashMap<Ipv4Addr, (&ResolvedGuest<'_>, Path)> = interfaces()
            .filter_map(|(guest, interface, path)| {
                Some((interface.public_ipv4?, (guest, path.field("public_ipv4"))))
            })
            .collect();
        for (guest, interface, path) in interfaces() {
            let Some(private) = interface.private_ipv4 else { continue };
            let Some((of, public)) = publics.get(&private) else { continue };
            // Those that are translated in one namespace are compared there.
            let compared =
                of.netns == guest.netns && (interface.public_ipv4.is_some() || !guest.is_on_host());
            if !compared {
                problems
                    .at(&path.field("private_ipv4"), format!("{private} is the public address of {public}"));
            }
        }
    }

    /// What is translated in one namespace has to go into one set of maps.
    fn translation(&self, root: &Path, problems: &mut Problems) {
        let mut tables: BTreeMap<&Netns, Translation> = BTreeMap::new();
        for (n, guest) in self.guests.iter().enumerate() {
            let path = root.field("guests").index(n);
            let nat = guest.applied_nat;
            let table = tables.entry(&guest.netns).or_insert_with(|| Translation {
                nat: NatSpec { mode: nat.mode, untranslated: nat.untranslated.clone(), ..NatSpec::default() },
                at: if std::ptr::eq(nat, &self.nat) { root.field("nat") } else { path.field("nat") },
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
    fn check_tunnels(&self, root: &Path, problems: &mut Problems) {
        let mut by_namespace: BTreeMap<&Netns, Vec<(Path, &Keyed<'_>)>> = BTreeMap::new();
        for (n, guest) in self.guests.iter().enumerate().filter(|(_, guest)| !guest.keyed.is_empty()) {
            let path = root.field("guests").index(n).field("tunnels");
            let tunnels = guest.keyed.iter().enumerate().map(|(m, tunnel)| (path.index(m), tunnel));
            by_namespace.entry(&guest.netns).or_default().extend(tunnels);
        }
        for (netns, tunnels) in by_namespace {
            check_tunnels(&tunnels, &reqids(netns), problems);
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

/// Links that carry IPv6, as all of ours do: below 1280 the kernel takes IPv6 off a link, and its sysctls with it (RFC
/// 8200, section 5).
pub(super) const MTU: RangeInclusive<u32> = 1280..=65535;

pub(super) fn not_an_mtu(mtu: u32, most: u32) -> String {
    format!("{mtu} is not an MTU for this link: 1280 to {most}")
}

pub(super) fn check_address(address: IpAddr, path: &Path, problems: &mut Problems) {
    if let Some(what) = unfit(address) {
        problems.at(path, format!("{address} is not the address of a host: it is {what}"));
    }
}

/// The two ends of a guest's pair: apart from each other, and from what is the guest's.
fn check_transit(guest: &ResolvedGuest<'_>, ends: &Ends, path: &Path, problems: &mut Problems) {
    for (field, name) in [("host_link", &ends.host_link), ("guest_link", &ends.guest_link)] {
        if let Some(why) = name.reserved() {
            problems.at(&path.field(field), why);
        }
    }
    if ends.host_mac == ends.guest_mac {
        problems
            .at(&path.field("guest_mac"), format!("{} is that of the other end, host_mac", ends.guest_mac));
    }
    if !guest.has_ipv4() {
        return;
    }
    // A public address of the guest is looked at where it stands.
    let ends_of = [("host_ipv4", ends.host_ipv4), ("guest_ipv4", ends.guest_ipv4)];
    for (field, address) in ends_of.into_iter().filter(|end| guest.first_public_ipv4() != Some(end.1)) {
        check_address(address.into(), &path.field(field), problems);
        if guest.interfaces.iter().any(|interface| interface.private_ipv4 == Some(address)) {
            problems.at(&path.field(field), format!("{address} is the private address of the guest"));
        }
    }
    if ends.host_ipv4 == ends.guest_ipv4 {
        problems.at(
            &path.field("guest_ipv4"),
            format!("{} is that of the other end, host_ipv4", ends.guest_ipv4),
        );
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
    if let Some(why) = interface.name.reserved() {
        problems.at(&path.field("name"), why);
    }
    let most = match interface.kind {
        InterfaceKind::Tap(_) => MOST_OF_TAP,
        InterfaceKind::Dummy => *MTU.end(),
    };
    if let Some(mtu) = interface.mtu.filter(|mtu| !(*MTU.start()..=most).contains(mtu)) {
        problems.at(&path.field("mtu"), not_an_mtu(mtu, most));
    }
    if let Some(public) = interface.public_ipv4 {
        let path_of_public = path.field("public_ipv4");
        check_address(public.into(), &path_of_public, problems);
        taken.claim("public address", &Netns::Host, public, &path_of_public, problems);
        if interface.private_ipv4.is_none() {
            problems.at(&path.field("private_ipv4"), format!("is missing: {public} is translated to it"));
        }
    }
    if let Some(private) = interface.private_ipv4 {
        let path_of_private = path.field("private_ipv4");
        check_address(private.into(), &path_of_private, problems);
        taken.claim(PRIVATE, netns, private, &path_of_private, problems);
        if let Some(gateway) = interface.gateway_ipv4 {
            let (path, subnet) = (path.field("gateway_ipv4"), gateway.trunc());
            check_address(gateway.addr().into(), &path, problems);
            if let Some(what) = kept(gateway.addr(), gateway) {
                problems.at(&path, format!("{} is {what} of {subnet}", gateway.addr()));
            } else if !gateway.contains(&private) {
                problems.at(&path, format!("{private} is not in its network, {subnet}"));
            } else if let Some(what) = kept(private, gateway) {
                problems.at(&path_of_private, format!("{private} is {what} of {gateway}"));
            }
        }
    } else if interface.gateway_ipv4.is_some() {
        problems.at(&path.field("private_ipv4"), "is missing: a gateway is given for it");
    }
    if let Some(router) = interface.gateway_ipv6 {
        let (path, public) = (path.field("gateway_ipv6"), path.field("public_ipv6"));
        if router.octets()[..8] != LINK_LOCAL || router == Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0) {
            problems.at(
                &path,
                format!("{router} is not a link-local address of a router, as fe80::1 (fe80::/64)"),
            );
        }
        if interface.prefixes().next().is_none() {
            let words =
                "there is no prefix that it is the router of: public_ipv6 and private_ipv6 are missing";
            problems.at_because(&path, &public, words);
        }
    }
    if let Some(serve) = interface.serve.as_ref().filter(|_| interface.bridge.is_none()) {
        serve.check(interface, path, problems);
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
    if let Some(what) = unfit_prefix(prefix) {
        problems.at(path, format!("{prefix} is not a prefix that a guest could have: {what}"));
    }
}
