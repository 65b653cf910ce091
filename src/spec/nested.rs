//! Prefixes within others' prefixes. The kernel takes the longest that matches: what is routed to one guest would be taken
//! out of what is routed to another.

use std::net::IpAddr;

use guestnet_core::{LinkName, Path, Problems};
use ipnet::IpNet;

use super::GuestName;
use crate::resolve::Resolved;

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
    path: Path,
}

impl Prefix<'_> {
    /// Whether it may be within `outer`: within one's own, and within the network of the bridge that one is in.
    fn may_be_in(&self, outer: &Self) -> bool {
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
                all.push(Prefix { net, claimed: None, owner, path: path.index(m) });
            }
        }
        for (n, guest) in self.guests.iter().enumerate() {
            let path = root.field("guests").index(n);
            if let Some(endpoint) = guest.endpoint.filter(|_| !guest.is_on_host()) {
                let owner = Owner::Guest { guest: &guest.name, bridge: None };
                let (net, path) = (IpAddr::from(endpoint).into(), path.field("endpoint"));
                all.push(Prefix { net, claimed: Some("endpoint"), owner, path });
            }
            for (m, interface) in guest.interfaces.iter().enumerate() {
                let path = path.field("interfaces").index(m);
                let owner = Owner::Guest { guest: &guest.name, bridge: interface.bridge.as_ref() };
                let claimed = Some("prefix");
                let private = interface.private_ipv6.filter(|_| guest.is_on_host());
                for (field, net) in [("public_ipv6", interface.public_ipv6), ("private_ipv6", private)] {
                    let net = net.map(|net| IpNet::from(net.trunc()));
                    all.extend(net.map(|net| Prefix { net, claimed, owner, path: path.field(field) }));
                }
                for (k, net) in interface.routed_ipv6.iter().enumerate() {
                    let path = path.field("routed_ipv6").index(k);
                    all.push(Prefix { net: net.trunc().into(), claimed, owner, path });
                }
            }
        }
        all
    }
}
