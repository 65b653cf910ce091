//! Bridges and their ports (`linux/if_link.h`; ip-link(8), bridge(8)).
//!
//! What is left out has the kernel's own default, so that a bridge of ours that somebody has changed is found.

use std::fmt;

use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo,
};
use serde::{Deserialize, Serialize};

use super::unusual::Unusual;
use crate::extras::Mendable;
use crate::netlink::Attributes;

mod usual;

/// How a bridge is made: `ip link add … type bridge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BridgeOptions {
    /// Spanning tree (`stp_state 1`). Where all ports are guests' there is no loop to find, and a guest should have no
    /// say in it; left out: off.
    pub stp: bool,
    /// Forward by VLAN (`vlan_filtering 1`); left out: off.
    pub vlan_filtering: bool,
    /// Send multicast only to ports that asked for it (`mcast_snooping 1`, RFC 4541). Neighbour discovery of guests
    /// that do not report their groups needs it off; left out: on.
    #[serde(skip_serializing_if = "is_on")]
    #[schemars(extend("default" = true))]
    pub mcast_snooping: bool,
    /// After how many seconds of silence a MAC address is forgotten (`ageing_time`, which counts hundredths);
    /// 0: never, and 10 to 1000000 (IEEE 802.1D); left out: 300.
    #[serde(skip_serializing_if = "is_usual_ageing")]
    #[schemars(extend("default" = AGEING))]
    pub ageing: u32,
    /// Attributes of a bridge on the host that no wanted one has. Not part of a spec.
    #[serde(skip)]
    pub besides: Besides,
}

/// Attributes of a bridge or a port that guestnet leaves to the kernel, and that are not as it has them: they are mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Besides(Unusual);

/// What a bridge does with one of its ports: `bridge link set dev …`, `ip link set … type bridge_slave`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PortOptions {
    /// Exchange frames only with ports that are not isolated (`isolated on`): guests that may speak to the router and
    /// not to each other; left out: off.
    #[serde(skip_serializing_if = "is_off")]
    #[schemars(extend("default" = false))]
    pub isolated: bool,
    /// Send frames back out of the port that they came from (`hairpin on`); left out: off.
    #[serde(skip_serializing_if = "is_off")]
    #[schemars(extend("default" = false))]
    pub hairpin: bool,
    /// Block the port when it sends BPDUs of the spanning tree (`guard on`); left out: off.
    #[serde(skip_serializing_if = "is_off")]
    #[schemars(extend("default" = false))]
    pub guard: bool,
    /// Answer ARP and neighbour solicitations from what the host knows rather than send them out of the port
    /// (`neigh_suppress on`); left out: off.
    #[serde(skip_serializing_if = "is_off")]
    #[schemars(extend("default" = false))]
    pub neigh_suppress: bool,
    /// Learn from source addresses which MAC is behind the port (`learning on`); left out: on.
    #[serde(skip_serializing_if = "is_on")]
    #[schemars(extend("default" = true))]
    pub learning: bool,
    /// Send frames for MAC addresses that nobody is known to have out of the port (`flood on`); left out: on.
    #[serde(skip_serializing_if = "is_on")]
    #[schemars(extend("default" = true))]
    pub flood: bool,
    /// Attributes of a port on the host that no wanted one has. Not part of a spec.
    #[serde(skip)]
    pub besides: Besides,
}

// They take references because serde gives them so.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_on(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_off(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_usual_ageing(seconds: &u32) -> bool {
    *seconds == AGEING
}

/// In seconds: `BR_DEFAULT_AGEING_TIME`.
const AGEING: u32 = 300;
/// The unit in which the kernel takes times: `USER_HZ`.
const PER_SECOND: u32 = 100;

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            stp: false,
            vlan_filtering: false,
            mcast_snooping: true,
            ageing: AGEING,
            besides: Besides::default(),
        }
    }
}

impl Default for PortOptions {
    fn default() -> Self {
        Self {
            isolated: false,
            hairpin: false,
            guard: false,
            neigh_suppress: false,
            learning: true,
            flood: true,
            besides: Besides::default(),
        }
    }
}

impl Mendable for Besides {}

impl BridgeOptions {
    pub(super) fn accepts(&self, found: &Self) -> bool {
        let alike = || Self { besides: found.besides.clone(), ..self.clone() };
        self == found || self.besides.accepts(&found.besides) && alike() == *found
    }

    /// What is wrong with the options.
    pub fn problem(&self) -> Option<String> {
        let fits = self.ageing == 0 || (10..=1_000_000).contains(&self.ageing);
        (!fits).then(|| format!("{} s is not a time to forget after: 0, or 10 to 1000000", self.ageing))
    }

    /// What makes a bridge with `old` options into one with these. What is as it was is not said: a kernel without the
    /// feature would refuse even that.
    pub(super) fn info(&self, old: &Self) -> Vec<LinkInfo> {
        let mut options = Vec::new();
        if self.stp != old.stp {
            options.push(InfoBridge::StpState(u32::from(self.stp).into()));
        }
        if self.vlan_filtering != old.vlan_filtering {
            options.push(InfoBridge::VlanFiltering(self.vlan_filtering));
        }
        if self.mcast_snooping != old.mcast_snooping {
            options.push(InfoBridge::MulticastSnooping(self.mcast_snooping));
        }
        if self.ageing != old.ageing {
            options.push(InfoBridge::AgeingTime(self.ageing.saturating_mul(PER_SECOND)));
        }
        options.extend(old.besides.0.mended().map(InfoBridge::Other));
        vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(InfoData::Bridge(options))]
    }

    pub(super) fn read(data: Attributes<'_>) -> Self {
        let usual = Self::default();
        Self {
            stp: data.get_u32(IFLA_BR_STP_STATE).is_some_and(|stp| stp != 0),
            vlan_filtering: flag(data, IFLA_BR_VLAN_FILTERING, usual.vlan_filtering),
            mcast_snooping: flag(data, IFLA_BR_MCAST_SNOOPING, usual.mcast_snooping),
            ageing: data.get_u32(IFLA_BR_AGEING_TIME).map_or(AGEING, |time| time / PER_SECOND),
            besides: Besides(Unusual::read(data, usual::BRIDGE)),
        }
    }
}

impl PortOptions {
    pub(super) fn accepts(&self, found: &Self) -> bool {
        let alike = || Self { besides: found.besides.clone(), ..self.clone() };
        self == found || self.besides.accepts(&found.besides) && alike() == *found
    }

    /// Whether all of it is as the kernel has it for a new port.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What makes a port with `old` options into one with these; nothing where they are the same.
    pub(super) fn attribute(&self, old: &Self) -> Option<LinkAttribute> {
        let flags = [
            (self.isolated, old.isolated, InfoBridgePort::Isolated as fn(bool) -> _),
            (self.hairpin, old.hairpin, InfoBridgePort::HairpinMode),
            (self.guard, old.guard, InfoBridgePort::Guard),
            (self.neigh_suppress, old.neigh_suppress, InfoBridgePort::NeighSupress),
            (self.learning, old.learning, InfoBridgePort::Learning),
            (self.flood, old.flood, InfoBridgePort::UnicastFlood),
        ];
        let changed = flags.into_iter().filter(|(new, old, _)| new != old);
        let mended = old.besides.0.mended().map(InfoBridgePort::Other);
        let options: Vec<InfoBridgePort> =
            changed.map(|(new, _, option)| option(new)).chain(mended).collect();
        (!options.is_empty()).then(|| {
            let kind = LinkInfo::PortKind(InfoPortKind::Bridge);
            LinkAttribute::LinkInfo(vec![kind, LinkInfo::PortData(InfoPortData::BridgePort(options))])
        })
    }

    /// Reads `IFLA_LINKINFO` of a link; the default for one that is no port of a bridge. Which state it has is told by the
    /// spanning tree (`by_stp`) or follows from whether the link has a `carrier`.
    pub(super) fn read(info: Attributes<'_>, by_stp: bool, carrier: bool) -> Self {
        let usual = Self::default();
        if info.get_str(IFLA_INFO_SLAVE_KIND) != Some("bridge") {
            return usual;
        }
        let data = Attributes::after(info.get(IFLA_INFO_SLAVE_DATA).unwrap_or_default(), 0);
        let mut besides = Unusual::read(data, usual::PORT);
        match data.get(usual::STATE.number).and_then(|state| state.first().copied()) {
            Some(DISABLED) if !carrier => {}
            Some(state) if !by_stp && state != FORWARDING => besides.note(&usual::STATE, state),
            _ => {}
        }
        Self {
            besides: Besides(besides),
            isolated: flag(data, IFLA_BRPORT_ISOLATED, usual.isolated),
            hairpin: flag(data, IFLA_BRPORT_MODE, usual.hairpin),
            guard: flag(data, IFLA_BRPORT_GUARD, usual.guard),
            neigh_suppress: flag(data, IFLA_BRPORT_NEIGH_SUPPRESS, usual.neigh_suppress),
            learning: flag(data, IFLA_BRPORT_LEARNING, usual.learning),
            flood: flag(data, IFLA_BRPORT_UNICAST_FLOOD, usual.flood),
        }
    }
}

fn flag(data: Attributes<'_>, kind: u16, usual: bool) -> bool {
    data.get(kind).and_then(|value| value.first()).map_or(usual, |value| *value != 0)
}

/// States of ports (linux/if_bridge.h).
const DISABLED: u8 = 0;
const FORWARDING: u8 = 3;
const IFLA_BR_AGEING_TIME: u16 = 4;
pub(super) const IFLA_BR_STP_STATE: u16 = 5;
const IFLA_BR_VLAN_FILTERING: u16 = 7;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_GUARD: u16 = 5;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_BRPORT_UNICAST_FLOOD: u16 = 9;
const IFLA_BRPORT_NEIGH_SUPPRESS: u16 = 32;
const IFLA_BRPORT_ISOLATED: u16 = 33;

/// As in `ip link add … type`.
impl fmt::Display for BridgeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bridge")?;
        f.write_str(if self.stp { " stp_state 1" } else { "" })?;
        f.write_str(if self.vlan_filtering { " vlan_filtering 1" } else { "" })?;
        f.write_str(if self.mcast_snooping { "" } else { " mcast_snooping 0" })?;
        if self.ageing != AGEING {
            write!(f, " ageing_time {}", u64::from(self.ageing) * u64::from(PER_SECOND))?;
        }
        self.besides.0.fmt(f)
    }
}

/// As in `ip link set … type bridge_slave`: what is not the kernel's default, a blank before each.
impl fmt::Display for PortOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.isolated { " isolated on" } else { "" })?;
        f.write_str(if self.hairpin { " hairpin on" } else { "" })?;
        f.write_str(if self.guard { " guard on" } else { "" })?;
        f.write_str(if self.neigh_suppress { " neigh_suppress on" } else { "" })?;
        f.write_str(if self.learning { "" } else { " learning off" })?;
        f.write_str(if self.flood { "" } else { " flood off" })?;
        self.besides.0.fmt(f)
    }
}
