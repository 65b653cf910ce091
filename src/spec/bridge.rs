//! Bridges: networks that guests are in together.

use std::net::IpAddr;

use guestnet_core::link::BridgeOptions;
use guestnet_core::{LinkName, Mac, Netns, Path, Problems};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::taken::Taken;
use super::{Guest, HostSpec, Interface};

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

    pub(super) fn check_bridges(&self, root: &Path, taken: &mut Taken, problems: &mut Problems) {
        for (n, bridge) in self.bridges.iter().enumerate() {
            check(bridge, &root.field("bridges").index(n), taken, problems);
        }
        for (n, guest) in self.guests.iter().enumerate() {
            for (m, interface) in guest.interfaces.iter().enumerate() {
                let path = root.field("guests").index(n).field("interfaces").index(m);
                self.check_port(guest, interface, &path, problems);
            }
        }
    }

    fn check_port(&self, guest: &Guest, interface: &Interface, path: &Path, problems: &mut Problems) {
        let Some(name) = &interface.bridge else {
            if !interface.port.is_default() {
                problems.at(&path.field("bridge"), "is missing: options of its port are given");
            }
            return;
        };
        let Some(bridge) = self.bridge_of(interface) else {
            problems.at(&path.field("bridge"), format!("{name} is not among the bridges of this spec"));
            return;
        };
        if !guest.is_on_host() {
            let words =
                "is in the host's namespace, and the guest has to be there too: \"placement\": \"host\"";
            problems.at(&path.field("bridge"), format!("{name} {words}"));
        }
        if interface.gateway_ipv4.is_some() {
            let words = "a guest in a bridge has the addresses of the bridge as its routers";
            problems.at(&path.field("gateway_ipv4"), words);
        }
        let Some(private) = interface.private_ipv4 else { return };
        let has_ipv4 = bridge.addresses.iter().any(|own| own.addr().is_ipv4());
        match bridge.router_of(private.into()) {
            Some(own) if own.addr() == private => {
                problems
                    .at(&path.field("private_ipv4"), format!("{private} is the host's address in {name}"));
            }
            None if has_ipv4 => {
                let words = format!("{private} is in no network that the host has an address of in {name}");
                problems.at(&path.field("private_ipv4"), words);
            }
            None if interface.public_ipv4.is_some() => {
                let words = format!("is translated by the guest's router, which the host is not in {name}");
                problems.at(&path.field("public_ipv4"), words);
            }
            _ => {}
        }
    }
}

fn check(bridge: &Bridge, path: &Path, taken: &mut Taken, problems: &mut Problems) {
    taken.claim("link", &Netns::Host, &bridge.name, &path.field("name"), problems);
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
    let has_ipv6 = bridge.addresses.iter().any(|own| own.addr().is_ipv6());
    let least = if has_ipv6 { 1280 } else { 68 };
    if let Some(mtu) = bridge.mtu.filter(|mtu| !(least..=65535).contains(mtu)) {
        problems.at(&path.field("mtu"), format!("{mtu} is not an MTU for this bridge: {least} to 65535"));
    }
    if let Some(words) = bridge.options.problem() {
        problems.at(&path.field("options").field("ageing"), words);
    }
    for (n, own) in bridge.addresses.iter().enumerate() {
        let address = own.addr();
        if address.is_multicast() || address.is_unspecified() || address.is_loopback() {
            problems.at(&path.field("addresses").index(n), format!("{address} is not the address of a host"));
        }
    }
}
