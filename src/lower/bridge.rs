//! Bridges, and interfaces of guests that are their ports.

use std::collections::BTreeSet;

use guestnet_core::{Address, Error, Kind, Link, LinkKind, LinkName, Mac, Netns, Path, Route};

use super::Lowered;
use super::namespace::of_link;
use crate::objects::NamespaceObjects;
use crate::spec::{Bridge, Interface};

impl Lowered {
    /// A bridge, and the host's place in it.
    ///
    /// ```text
    /// ip link add br0 type bridge
    /// ip link set br0 mtu 1500 address 02:… up
    /// ip address add 192.168.5.1/24 dev br0
    /// ```
    pub(super) fn bridge(&mut self, bridge: &Bridge, path: &Path) -> Result<(), Error> {
        if bridge.existing {
            return Ok(());
        }
        let netns = Netns::Host;
        let dev = &bridge.name;
        let mut link = Link::new(dev.clone(), LinkKind::Bridge(bridge.options.clone()));
        link.mtu = Some(bridge.mtu.unwrap_or(super::tunnel::ETHERNET));
        // Left to the kernel it would be the lowest of the ports', and change with them.
        link.mac = Some(bridge.mac.unwrap_or_else(|| Mac::derived(&format!("bridge {dev}"))));
        self.add(&netns, link, path, |o| &mut o.links);

        let has = |ipv4| bridge.addresses.iter().any(|own| own.addr().is_ipv4() == ipv4);
        // For its addresses on other links the host does not answer here; without one here, for none.
        let ignore = if has(true) { "1" } else { "8" };
        self.add(&netns, of_link("ipv4", dev, "arp_ignore", ignore)?, path, |o| &mut o.sysctls);
        if has(false) {
            self.add(&netns, of_link("ipv6", dev, "accept_ra", "0")?, path, |o| &mut o.sysctls);
        } else {
            self.add(&netns, of_link("ipv6", dev, "disable_ipv6", "1")?, path, |o| &mut o.sysctls);
        }
        if bridge.routes() {
            self.forwarding(&netns, path)?;
        }
        for (n, own) in bridge.addresses.iter().enumerate() {
            // There at once, before anyone could dispute it.
            let address = Address { nodad: own.addr().is_ipv6(), ..Address::new(dev.clone(), *own) };
            self.add(&netns, address, &path.field("addresses").index(n), |o| &mut o.addresses);
        }
        Ok(())
    }

    /// An interface that is a port of `bridge`. Its addresses are on the segment, where the host has routes to them, if
    /// it has any, by its own addresses there.
    ///
    /// ```text
    /// ip tuntap add dev tap0 mode tap
    /// ip link set tap0 master br0
    /// ip link set tap0 type bridge_slave isolated on
    /// ip link set tap0 up
    /// ```
    pub(super) fn port(
        &mut self,
        interface: &Interface,
        bridge: &Bridge,
        kind: LinkKind,
        path: &Path,
    ) -> Result<(), Error> {
        let netns = Netns::Host;
        let dev = &interface.name;
        let mut link = Link::new(dev.clone(), kind);
        link.mtu = Some(interface.mtu.or(bridge.mtu).unwrap_or(super::tunnel::ETHERNET));
        link.bridge = Some(bridge.name.clone());
        link.port = interface.port.clone();
        self.add(&netns, link, path, |o| &mut o.links);
        // The host is on the segment by the bridge or not at all: not even for the moment before this is a port.
        self.add(&netns, of_link("ipv6", dev, "disable_ipv6", "1")?, path, |o| &mut o.sysctls);
        let router = bridge.addresses.iter().any(|own| own.addr().is_ipv6());
        if let Some(mac) = interface.mac.filter(|_| router) {
            for prefix in &interface.routed_ipv6 {
                let route = Route::via(prefix.trunc().into(), mac.link_local().into(), bridge.name.clone());
                self.add(&netns, route, &path.field("routed_ipv6"), |o| &mut o.routes);
            }
        }
        Ok(())
    }
}

/// Takes out of `gone`, which is to be removed from what is there, the bridges that stay because others are in them.
pub(crate) fn keep_shared_bridges(gone: &mut NamespaceObjects, there: &NamespaceObjects) {
    let stays = |link: &&Link| !gone.links.contains(&link.name);
    let used: BTreeSet<LinkName> =
        there.links.iter().filter(stays).filter_map(|link| link.bridge.clone()).collect();
    gone.links.retain(|link| !used.contains(&link.name));
    gone.addresses.retain(|address| !used.contains(&address.dev));
    gone.sysctls.retain(|sysctl| sysctl.lives_on().is_none_or(|link| !used.contains(link)));
}
