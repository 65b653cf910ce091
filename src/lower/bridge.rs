//! Bridges, and interfaces of guests that are their ports.

use std::collections::BTreeSet;

use guestnet_core::{Address, Error, Kind, Link, LinkKind, LinkName, Netns};

use super::namespace::link_local;
use super::{Lowered, Spot, settings};
use crate::objects::NamespaceObjects;
use crate::spec::{Bridge, Interface};

impl Lowered {
    /// A bridge, and the host's place in it.
    ///
    /// ```text
    /// ip link add br0 type bridge
    /// ip link set br0 mtu 1500 address 02:… up
    /// ip address add 192.168.5.1/24 dev br0
    /// ip address add fe80::…/64 dev br0
    /// ```
    pub(super) fn bridge(&mut self, bridge: &Bridge, path: &Spot) -> Result<(), Error> {
        if bridge.existing {
            return Ok(());
        }
        let netns = Netns::Host;
        let dev = &bridge.name;
        let mut link = Link::new(dev.clone(), LinkKind::Bridge(bridge.options.clone()));
        link.mtu = Some(bridge.mtu.unwrap_or(super::tunnel::ETHERNET));
        link.mac = Some(bridge.own_mac());
        let has = |ipv4| bridge.addresses.iter().any(|own| own.addr().is_ipv4() == ipv4);
        let mtu = link.mtu.unwrap_or_default();
        link.settings = if bridge.routes() { settings::routed(mtu) } else { settings::switch() };
        link.settings.ipv4.accept_local = Some(false);
        // For its addresses on other links the host does not answer here; without one here, for none.
        link.settings.ipv4.arp_ignore = Some(if has(true) { 1 } else { 8 });
        if has(false) {
            (link.settings.ipv6.disable_ipv6, link.settings.ipv6.accept_ra) = (Some(false), Some(0));
        } else {
            link.settings.ipv6 = settings::port(mtu).ipv6;
        }
        self.add(&netns, link, path, |o| &mut o.links);

        if bridge.routes() {
            self.forwarding(&netns, path)?;
        }
        for (n, own) in bridge.addresses.iter().enumerate() {
            // There at once, before anyone could dispute it.
            let address = Address { nodad: own.addr().is_ipv6(), ..Address::new(dev.clone(), *own) };
            self.add(&netns, address, &path.field("addresses").index(n), |o| &mut o.addresses);
        }
        // Guests have it for their router, so that it is missed when somebody flushes it.
        let local = link_local(dev, bridge.own_mac());
        if has(false) && !bridge.addresses.iter().any(|own| own.addr() == local.address.addr()) {
            self.add(&netns, local, path, |o| &mut o.addresses);
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
    pub(super) fn port(&mut self, interface: &Interface, bridge: &Bridge, link: Link, path: &Spot) {
        let netns = Netns::Host;
        let link = Link { bridge: Some(bridge.name.clone()), port: interface.port.clone(), ..link };
        self.add(&netns, link, path, |o| &mut o.links);
        let router = bridge.addresses.iter().any(|own| own.addr().is_ipv6());
        if router {
            self.behind(&netns, interface, &bridge.name, path);
        }
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
