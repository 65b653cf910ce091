//! Addresses that the host has for itself by the spec: no guest has one of them.

use std::collections::HashMap;
use std::net::IpAddr;

use guestnet_core::{Path, Problems};

use crate::resolve::{Resolved, ResolvedGuest, ResolvedInterface};

/// One of the host's addresses.
struct Own {
    path: Path,
    /// Whether guests reach others by it: it is needed for itself also where packets are translated before the host
    /// looks whether they are its own.
    router: bool,
}

impl Resolved<'_> {
    /// A guest does not have an address that the host has.
    pub(super) fn own_addresses(&self, root: &Path, problems: &mut Problems) {
        let own = self.addresses_of_host(root);
        if own.is_empty() {
            return;
        }
        for (n, guest) in self.guests.iter().enumerate() {
            let path = root.field("guests").index(n);
            guest.alone(&path, |address, path, translated| {
                if let Some(own) = own.get(&address).filter(|own| own.router || !translated) {
                    let words = format!("{address} is the address of the host, {}", own.path);
                    problems.at_because(&path, &own.path, words);
                }
            });
        }
    }

    fn addresses_of_host(&self, root: &Path) -> HashMap<IpAddr, Own> {
        let mut own = HashMap::new();
        let objects = root.field("objects").field("host").field("addresses");
        for (n, address) in self.objects.host.addresses.with_positions() {
            let path = objects.index(n).field("address");
            own.insert(address.address.addr(), Own { path, router: false });
        }
        for (n, bridge) in self.bridges.iter().enumerate() {
            let path = root.field("bridges").index(n).field("addresses");
            for (m, address) in bridge.addresses.iter().enumerate() {
                own.insert(address.addr(), Own { path: path.index(m), router: true });
            }
        }
        for (n, guest) in self.guests.iter().enumerate().filter(|(_, guest)| guest.is_on_host()) {
            let path = root.field("guests").index(n).field("interfaces");
            for (m, interface) in guest.interfaces.iter().enumerate() {
                let Some(gateway) = interface.gateway_ipv4 else { continue };
                let here = || Own { path: path.index(m).field("gateway_ipv4"), router: true };
                own.entry(gateway.addr().into()).or_insert_with(here);
            }
        }
        own
    }
}

impl ResolvedGuest<'_> {
    /// Calls `with` for each single address that is the guest's in the host's namespace, with its path and whether the
    /// host translates it. Private ones are compared with those of routers elsewhere.
    fn alone(&self, path: &Path, mut with: impl FnMut(IpAddr, Path, bool)) {
        if let Some(endpoint) = self.endpoint.filter(|_| !self.is_on_host()) {
            with(endpoint.into(), path.field("endpoint"), false);
        }
        for (n, interface) in self.interfaces.iter().enumerate() {
            let path = path.field("interfaces").index(n);
            if let Some(public) = interface.public_ipv4 {
                let translated = self.is_on_host() && interface.private_ipv4.is_some();
                with(public.into(), path.field("public_ipv4"), translated);
            }
            self.alone_ipv6(interface, &path, &mut with);
        }
    }

    fn alone_ipv6(
        &self,
        interface: &ResolvedInterface<'_>,
        path: &Path,
        with: &mut impl FnMut(IpAddr, Path, bool),
    ) {
        let private = interface.private_ipv6.filter(|_| self.is_on_host());
        let whole = |prefix: &ipnet::Ipv6Net| prefix.prefix_len() == 128;
        for (field, prefix) in [("public_ipv6", interface.public_ipv6), ("private_ipv6", private)] {
            if let Some(prefix) = prefix.filter(whole) {
                with(prefix.addr().into(), path.field(field), false);
            }
        }
        for (n, prefix) in interface.routed_ipv6.iter().enumerate().filter(|(_, prefix)| whole(prefix)) {
            with(prefix.addr().into(), path.field("routed_ipv6").index(n), false);
        }
    }
}
