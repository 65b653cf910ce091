//! Prefixes within others' prefixes. The kernel takes the longest that matches: what is routed to one guest would be taken
//! out of what is routed to another.

use std::net::IpAddr;

use guestnet_core::{LinkName, Path, Problems};
use ipnet::IpNet;

use super::GuestName;
use crate::resolve::Resolved;

/// As what addresses of IPv4 are claimed. They may be in networks of others, to which they are routed apart.
const ADDRESS: &str = "address";

/// Who has a prefix: a guest, which may be in a bridge, or a bridge.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner<'a> {
    Guest { guest: &'a GuestName, bridge: Option<&'a LinkName> },
    Bridge(&'a LinkName),
}

/// A prefix in the host's namespace.
struct Prefix<'a> {
    net: IpNet,
    /// As what it is claimed, so that the same is told there.
    claimed: Option<&'static str>,
    owner: Owner<'a>,
    /// Whether it is only sent from: others may have it, too, but for guests.
    shared: bool,
    path: Path,
}

impl Prefix<'_> {
    /// Whether it may be within `outer`: within one's own, and within the network of the bridge that one is in.
    fn may_be_in(&self, outer: &Self) -> bool {
        if self.claimed == Some(ADDRESS) && !outer.shared {
            return true;
        }
        if self.shared && (outer.shared || matches!(outer.owner, Owner::Bridge(_))) {
            return true;
        }
        if outer.shared && matches!(self.owner, Owner::Bridge(_)) {
            return true;
        }
        match (self.owner, outer.owner) {
            (Owner::Guest { guest, .. }, Owner::Guest { guest: other, .. }) => guest == other,
            (Owner::Guest { bridge, .. }, Owner::Bridge(other)) => bridge == Some(other),
            (Owner::Bridge(bridge), Owner::Bridge(other)) => bridge == other,
            (Owner::Bridge(_), Owner::Guest { .. }) => false,
        }
    }

    /// Whether both are the same, and claimed as the same: then it has been told.
    fn is_told(&self, outer: &Self) -> bool {
        self.net == outer.net && self.claimed.is_some() && self.claimed == outer.claimed
    }

    /// What is wrong when it may not be in `outer`.
    fn words(&self, outer: &Self) -> String {
        if self.net == outer.net {
            return format!("{} is that of {} too", self.net, outer.path);
        }
        format!("{} is inside {}, which is that of {}", self.net, outer.net, outer.path)
    }
}

impl Resolved<'_> {
    /// A prefix is nobody else's in part. Sorted, those that hold a prefix stand before it, so one walk finds them.
    pub(super) fn nested(&self, root: &Path, problems: &mut Problems) {
        let mut all = self.routed(root);
        all.sort_by_key(|prefix| (prefix.net.network(), prefix.net.prefix_len()));
        let mut outer: Vec<Prefix<'_>> = Vec::new();
        let mut found = Vec::new();
        for prefix in all {
            while outer.last().is_some_and(|last| !last.net.contains(&prefix.net)) {
                outer.pop();
            }
            let other = outer.iter().rev().find(|other| !prefix.may_be_in(other));
            if let Some(other) = other.filter(|other| !prefix.is_told(other)) {
                found.push((prefix.path.clone(), prefix.words(other)));
            }
            outer.push(prefix);
        }
        for (path, words) in found {
            problems.at(&path, words);
        }
    }

    /// All that the host has routes for: prefixes of guests, endpoints of their namespaces, networks of bridges. What is
    /// private to a guest's own namespace is not among it.
    fn routed(&self, root: &Path) -> Vec<Prefix<'_>> {
        let mut all = Vec::new();
        for (n, bridge) in self.bridges.iter().enumerate() {
            let path = root.field("bridges").index(n).field("addresses");
            for (m, own) in bridge.addresses.iter().enumerate() {
                let (net, owner) = (own.trunc(), Owner::Bridge(&bridge.name));
                all.push(Prefix { net, claimed: None, owner, shared: false, path: path.index(m) });
            }
        }
        let interfaces = || self.guests.iter().flat_map(|guest| &guest.interfaces);
        let shares = interfaces().any(|interface| !interface.sources.is_empty());
        for (n, guest) in self.guests.iter().enumerate() {
            let path = root.field("guests").index(n);
            if let Some(endpoint) = guest.endpoint.filter(|_| !guest.is_on_host()) {
                let owner = Owner::Guest { guest: &guest.name, bridge: None };
                let (net, path) = (IpAddr::from(endpoint).into(), path.field("endpoint"));
                all.push(Prefix { net, claimed: Some("endpoint"), owner, shared: false, path });
            }
            for (m, interface) in guest.interfaces.iter().enumerate() {
                let path = path.field("interfaces").index(m);
                let owner = Owner::Guest { guest: &guest.name, bridge: interface.bridge.as_ref() };
                let claimed = Some("prefix");
                let private = interface.private_ipv6.filter(|_| guest.is_on_host());
                // Two of these are compared elsewhere; here, with what others send from.
                let ipv4 = [("private_ipv4", interface.private_ipv4.filter(|_| guest.is_on_host()))];
                let ipv4 = ipv4.into_iter().chain([("public_ipv4", interface.public_ipv4)]);
                for (field, address) in
                    ipv4.filter_map(|(field, address)| Some((field, address.filter(|_| shares)?)))
                {
                    let (net, path) = (IpAddr::from(address).into(), path.field(field));
                    all.push(Prefix { net, claimed: Some(ADDRESS), owner, shared: false, path });
                }
                for (field, net) in [("public_ipv6", interface.public_ipv6), ("private_ipv6", private)] {
                    let net = net.map(|net| IpNet::from(net.trunc()));
                    let shared = false;
                    all.extend(net.map(|net| Prefix {
                        net,
                        claimed,
                        owner,
                        shared,
                        path: path.field(field),
                    }));
                }
                for (k, net) in interface.sources.iter().enumerate().filter(|_| guest.is_on_host()) {
                    let path = path.field("sources").index(k);
                    all.push(Prefix { net: net.trunc(), claimed: None, owner, shared: true, path });
                }
                for (k, net) in interface.routed_ipv6.iter().enumerate() {
                    let path = path.field("routed_ipv6").index(k);
                    all.push(Prefix { net: net.trunc().into(), claimed, owner, shared: false, path });
                }
            }
        }
        all
    }
}
