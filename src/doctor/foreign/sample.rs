//! A sample packet, and the hooks that it crosses.

use guestnet_nft::evaluate::{Conntrack, Interface, Outcome, Packet, Place, Side, run};
use guestnet_nft::ruleset::{Ruleset, RulesetBase, RulesetChain, RulesetTable, Sets};
use guestnet_nft::{ChainType, Family, Hook};

/// What a guest needs the packet for. Its findings say the same of all that it needs for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// Neighbour and router discovery on its link.
    Discovery,
    /// Addresses.
    Dhcp,
    /// Neighbours of IPv4.
    Arp,
    /// All that the host forwards.
    Forwarding,
    /// Tunnels that end on the host.
    Tunnel,
    /// Being found on the uplink.
    Proxied,
    /// Other ports of its bridge.
    Bridged,
}

/// Whose links a remedy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// The host's ends of the pairs to guests' namespaces.
    Own,
    /// The links of guests in the host's namespace.
    Routed,
    /// Those of them that are ports.
    Port,
    /// The uplink.
    Uplink,
}

/// A packet, as the host first sees it, and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) need: Need,
    pub(super) class: Class,
    /// What it is: `DHCP requests of guest vm1`.
    pub(super) what: String,
    pub(super) packet: Packet,
    pub(super) way: Vec<Stage>,
}

/// One hook on its way.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) hook: Hook,
    families: Vec<Family>,
    input: Side,
    output: Side,
    /// Of an ingress or egress hook.
    device: Option<String>,
    /// What it is here, where that differs: translated.
    bytes: Option<Vec<u8>>,
}

/// What one base chain does with a sample.
pub(super) struct Met<'a> {
    pub(super) table: &'a RulesetTable,
    pub(super) chain: &'a RulesetChain,
    pub(super) hook: Hook,
    pub(super) outcome: Outcome,
    pub(super) translated: Option<Place>,
}

fn stage(hook: Hook, families: &[Family], input: &Side, output: &Side) -> Stage {
    let (input, output) = (input.clone(), output.clone());
    Stage { hook, families: families.to_vec(), input, output, device: None, bytes: None }
}

/// Of a device that is not known no chain is.
fn at_device(hook: Hook, link: &Side) -> Option<Stage> {
    let Side::Known(Interface { name, .. }) = link else { return None };
    let stage = match hook {
        Hook::Ingress => stage(hook, &[Family::Netdev, Family::Inet], link, &Side::None),
        _ => stage(hook, &[Family::Netdev], &Side::None, link),
    };
    Some(Stage { device: Some(name.clone()), ..stage })
}

/// From `link` to the host itself.
pub(super) fn to_host(ip: Family, link: &Side) -> Vec<Stage> {
    let hooks = if ip == Family::Arp { &[Hook::Input][..] } else { &[Hook::Prerouting, Hook::Input] };
    let hooks = hooks.iter().map(|hook| stage(*hook, &with_inet(ip), link, &Side::None));
    at_device(Hook::Ingress, link).into_iter().chain(hooks).collect()
}

/// From the host itself to `link`.
pub(super) fn from_host(ip: Family, link: &Side) -> Vec<Stage> {
    let hooks = if ip == Family::Arp { &[Hook::Output][..] } else { &[Hook::Output, Hook::Postrouting] };
    let hooks = hooks.iter().map(|hook| stage(*hook, &with_inet(ip), &Side::None, link));
    hooks.chain(at_device(Hook::Egress, link)).collect()
}

/// The hooks of `families` on the way from `input` to `output`.
fn across(families: &[Family], input: &Side, output: &Side) -> [Stage; 3] {
    [
        stage(Hook::Prerouting, families, input, &Side::None),
        stage(Hook::Forward, families, input, output),
        stage(Hook::Postrouting, families, &Side::None, output),
    ]
}

/// From `input` to `output`. In chains behind translation it is `later`.
pub(super) fn through(ip: Family, input: &Side, output: &Side, later: Option<&[u8]>) -> Vec<Stage> {
    let translated = |stage| Stage { bytes: later.map(<[u8]>::to_vec), ..stage };
    let hooks = across(&with_inet(ip), input, output).map(translated);
    let ingress = at_device(Hook::Ingress, input).into_iter();
    ingress.chain(hooks).chain(at_device(Hook::Egress, output)).collect()
}

/// Between two ports of a bridge; with `ip`, by the rules of that family too, to which both are the bridge.
pub(super) fn bridged([input, output]: [&Side; 2], bridge: &Side, ip: Option<Family>) -> Vec<Stage> {
    let frames = across(&[Family::Bridge], input, output);
    let packets = ip.into_iter().flat_map(|ip| across(&with_inet(ip), bridge, bridge));
    let ingress = at_device(Hook::Ingress, input).into_iter();
    ingress.chain(frames).chain(packets).chain(at_device(Hook::Egress, output)).collect()
}

fn with_inet(ip: Family) -> Vec<Family> {
    if ip == Family::Arp { vec![ip] } else { vec![ip, Family::Inet] }
}

/// guestnet's own translation of destinations; chains before it see what came in.
const TRANSLATION: i32 = -300;

impl Sample {
    /// The protocol above IP.
    pub(super) fn protocol(&self) -> Option<u8> {
        let at = if self.packet.ethertype == super::frames::IPV4 { 9 } else { 6 };
        self.packet.network.get(at).copied()
    }

    /// What the base chains on the way do with it, in the order in which it meets them. One that drops it does not end
    /// this: those behind have to let it pass too.
    pub(super) fn judge<'a>(&self, ruleset: &'a Ruleset, sets: &mut dyn Sets) -> Vec<Met<'a>> {
        let mut met = Vec::new();
        let mut packet = self.packet.clone();
        for stage in &self.way {
            packet.input = stage.input.clone();
            packet.output = stage.output.clone();
            for (table, chain) in ruleset.at(&stage.families, stage.hook) {
                let Some(base) = &chain.base else { continue };
                if !is_met(base, stage, &packet) {
                    continue;
                }
                if let Some(bytes) = stage
                    .bytes
                    .as_ref()
                    .filter(|_| stage.hook != Hook::Prerouting || base.priority >= TRANSLATION)
                {
                    packet.network.clone_from(bytes);
                }
                let said = run(table, chain, &mut packet, sets);
                let (outcome, translated) = (said.outcome, said.translated);
                met.push(Met { table, chain, hook: stage.hook, outcome, translated });
            }
        }
        met
    }
}

fn is_met(base: &RulesetBase, stage: &Stage, packet: &Packet) -> bool {
    let of_device = stage.device.as_ref().is_none_or(|device| {
        base.devices.iter().any(|name| match name.strip_suffix('*') {
            Some(prefix) => device.starts_with(prefix),
            None => name == device,
        })
    });
    let is_first = packet.conntrack == Some(Conntrack::NEW);
    of_device && (base.kind != ChainType::Nat || is_first)
}
