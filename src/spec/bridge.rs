//! Bridges: networks that guests are in together.

use std::net::IpAddr;

use guestnet_core::link::BridgeOptions;
use guestnet_core::{LinkName, Mac, Netns, Path, Problems};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::check::{MTU, check_address, not_an_mtu};
use super::special::kept;
use super::taken::Taken;
use super::{HostSpec, Interface};
use crate::resolve::{Resolved, ResolvedGuest, ResolvedInterface};

/// An Ethernet segment in the host's namespace whose ports are interfaces of guests: `ip link add … type bridge`.
///
/// guestnet never makes an interface of somebody else's a port: that would take the host's own addresses off the
/// network in the middle of an apply. Guests come into the network of an uplink by an [`existing`](Self::existing)
/// bridge, whose port the uplink is already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bridge {
    /// Its name.
    pub name: LinkName,
    /// Somebody else makes it. Guests' interfaces are put into it, and nothing else about it is changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub existing: bool,
    /// The host's addresses in it, as the router of the guests: `192.168.5.1/24`, `2001:db8:5::1/64`. Left out: the
    /// host has none, and carries the guests' frames without taking part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<guestnet_core::schema::IpInterface>")]
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    #[schemars(extend("uniqueItems" = true))]
    pub addresses: Vec<IpNet>,
    /// Its MTU, and that of guests' interfaces which do not say otherwise; left out: 1500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Its MAC address; left out: derived from its name, so that it stays when ports come and go. Say one where bridges
    /// of several hosts are joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// How it forwards.
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: BridgeOptions,
}

fn is_default(options: &BridgeOptions) -> bool {
    *options == BridgeOptions::default()
}

impl Bridge {
    /// A bridge called `name`, all else left out.
    pub fn new(name: LinkName) -> Self {
        let options = BridgeOptions::default();
        Self { name, existing: false, addresses: Vec::new(), mtu: None, mac: None, options }
    }

    /// The MAC address that guestnet gives it. Left to the kernel it would be the lowest of the ports', and change with them.
    pub(crate) fn own_mac(&self) -> Mac {
        self.mac.unwrap_or_else(|| Mac::derived(&format!("bridge {}", self.name)))
    }

    /// Whether the host routes for the guests in it.
    pub fn routes(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// The host's address in the network of `address`.
    pub fn router_of(&self, address: IpAddr) -> Option<&IpNet> {
        self.addresses.iter().find(|own| own.contains(&address))
    }
}

impl HostSpec {
    /// The bridge that `interface` is in.
    pub fn bridge_of(&self, interface: &Interface) -> Option<&Bridge> {
        let name = interface.bridge.as_ref()?;
        self.bridges.iter().find(|bridge| bridge.name == *name)
    }
}

impl Resolved<'_> {
    pub(super) fn check_bridges(&self, root: &Path, taken: &mut Taken, problems: &mut Problems) {
        for (n, bridge) in self.bridges.iter().enumerate() {
            check(bridge, &root.field("bridges").index(n), taken, problems);
        }
        for (n, guest) in self.guests.iter().enumerate() {
            for (m, interface) in guest.interfaces.iter().enumerate() {
                let path = root.field("guests").index(n).field("interfaces").index(m);
                interface.check_port(guest, &path, &root.field("bridges"), taken, problems);
            }
        }
    }
}

impl ResolvedInterface<'_> {
    /// `bridges` is the path of the bridges.
    fn check_port(
        &self,
        guest: &ResolvedGuest<'_>,
        path: &Path,
        bridges: &Path,
        taken: &mut Taken,
        problems: &mut Problems,
    ) {
        let interface = self;
        let Some(name) = &interface.bridge else {
            if !interface.port.is_default() {
                problems.at(&path.field("bridge"), "is missing: options of its port are given");
            }
            return;
        };
        let Some(bridge) = interface.port_of else {
            let words = format!("{name} is not among the bridges of this spec");
            problems.at_because(&path.field("bridge"), bridges, words);
            return;
        };
        if let Some(mac) = interface.mac {
            taken.claim("MAC address", &Netns::Host, (name, mac), &path.field("mac"), problems);
        }
        if !guest.is_on_host() {
            let words =
                "is in the host's namespace, and the guest has to be there too: \"placement\": \"host\"";
            problems.at(&path.field("bridge"), format!("{name} {words}"));
        }
        if interface.gateway_ipv4.is_some() {
            let words = "a guest in a bridge has the addresses of the bridge as its routers";
            problems.at(&path.field("gateway_ipv4"), words);
        }
        if interface.gateway_ipv6.is_some() {
            let words = "a guest in a bridge has the addresses of the bridge as its routers";
            problems.at(&path.field("gateway_ipv6"), words);
        }
        let Some(private) = interface.private_ipv4 else { return };
        let has_ipv4 = bridge.addresses.iter().any(|own| own.addr().is_ipv4());
        match bridge.router_of(private.into()) {
            Some(IpNet::V4(own)) if kept(private, *own).is_some() => {
                let what = kept(private, *own).unwrap_or_default();
                problems.at(&path.field("private_ipv4"), format!("{private} is {what} of {own}"));
            }
            Some(own) if own.addr() == private => {
                problems
                    .at(&path.field("private_ipv4"), format!("{private} is the host's address in {name}"));
            }
            None if has_ipv4 => {
                let words = format!("{private} is in no network that the host has an address of in {name}");
                problems.at_because(&path.field("private_ipv4"), bridges, words);
            }
            None if interface.public_ipv4.is_some() => {
                let words = format!("is translated by the guest's router, which the host is not in {name}");
                problems.at_because(&path.field("public_ipv4"), bridges, words);
            }
            _ => {}
        }
    }
}

fn check(bridge: &Bridge, path: &Path, taken: &mut Taken, problems: &mut Problems) {
    taken.claim("link", &Netns::Host, &bridge.name, &path.field("name"), problems);
    if !bridge.existing {
        let mac = (&bridge.name, bridge.own_mac());
        taken.claim("MAC address", &Netns::Host, mac, &path.field("mac"), problems);
    }
    if bridge.existing {
        let given = [
            ("addresses", bridge.routes()),
            ("mtu", bridge.mtu.is_some()),
            ("mac", bridge.mac.is_some()),
            ("options", !is_default(&bridge.options)),
        ];
        for (field, _) in given.into_iter().filter(|(_, given)| *given) {
            problems.at(&path.field(field), "nothing about a bridge that somebody else makes is changed");
        }
    }
    if let Some(why) = bridge.name.reserved() {
        problems.at(&path.field("name"), why);
    }
    if let Some(mtu) = bridge.mtu.filter(|mtu| !MTU.contains(mtu)) {
        problems.at(&path.field("mtu"), not_an_mtu(mtu, *MTU.end()));
    }
    if let Some(words) = bridge.options.problem() {
        problems.at(&path.field("options").field("ageing"), words);
    }
    for (n, own) in bridge.addresses.iter().enumerate() {
        let path = path.field("addresses").index(n);
        check_address(own.addr(), &path, problems);
        if let IpNet::V4(own) = own
            && let Some(what) = kept(own.addr(), *own)
        {
            problems.at(&path, format!("{} is {what} of {}", own.addr(), own.trunc()));
        }
    }
}
