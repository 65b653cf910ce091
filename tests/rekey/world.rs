//! Two hosts on a fabric, a guest on each, and a tunnel between the guests.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use guestnet::core::{Netns as Place, Set};
use guestnet::rekey::{Act, Confirmation, Standing};
use guestnet::xfrm::{Fingerprint, Secrets, Spi, State, TunnelSpec};
use guestnet::{Host, HostSpec};
use guestnet_lab::{Capture, Frame, Netns, scratch};
use serde_json::{Value, json};

use crate::streams::INSIDE;

const NAMES: [&str; 2] = ["a", "b"];
const ADDRESSES: [[&str; 2]; 2] =
    [["192.168.0.85", "fdfe:62d4:efc4:ef3b::2"], ["192.168.0.127", "fdc9:3955:7bf:873c::2"]];

/// Numbers by chance, the same in every run (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    /// Less than `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    /// Once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// States by destination and SPI: their generations and the fingerprints of their keys.
pub type Told = BTreeMap<(IpAddr, Spi), (u32, Option<Fingerprint>)>;

/// The two hosts.
pub struct World {
    pub hosts: [Host; 2],
    netns: [Netns; 2],
    guests: [Netns; 2],
}

impl World {
    /// Hosts `host0` and `host1`, with their specs applied; guests with their addresses.
    pub fn make() -> Result<Self> {
        let secret = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa";
        std::fs::write(secret_file(), secret)?;
        let make = |n: usize| -> Result<Netns> {
            let netns = Netns::make(&format!("host{n}"))?;
            netns.skip_dad()?;
            Ok(netns)
        };
        let netns = [make(0)?, make(1)?];
        netns[0].ip("link add fabric type veth peer name fabric netns host1")?;
        for n in [0, 1] {
            netns[n].ip(&format!("address add fd00:fab::{n}:1/64 dev fabric"))?;
            netns[n].ip("link set fabric up")?;
            netns[n].ip(&format!("-6 route add 2001:db8:{}::/48 via fd00:fab::{}:1", 1 - n, 1 - n))?;
        }
        let hosts = [Host::in_namespace(&"host0".parse()?)?, Host::in_namespace(&"host1".parse()?)?];
        let mut world = Self { hosts, netns, guests: [Netns::make("guest0")?, Netns::make("guest1")?] };
        for end in [0, 1] {
            world.apply(end)?;
            world.plug(end)?;
        }
        Ok(world)
    }

    /// The guest behind its namespace, on a link that the test makes.
    fn plug(&self, end: usize) -> Result<()> {
        let (inside, guest) = (Netns::open(NAMES[end])?, &self.guests[end]);
        guest.skip_dad()?;
        inside.ip(&format!("link add vm type veth peer name eth0 netns guest{end}"))?;
        inside.ip("address add fe80::1/64 dev vm nodad")?;
        inside.ip("link set vm up")?;
        guest.ip("link set eth0 up")?;
        let [ipv4, ipv6] = ADDRESSES[end];
        guest.ip(&format!("address add {ipv4} dev lo"))?;
        guest.ip(&format!("address add {ipv6} dev lo"))?;
        inside.ip(&format!("route add {ipv4} via inet6 fe80::2 dev vm"))?;
        inside.ip(&format!("-6 route add {ipv6} via fe80::2 dev vm"))?;
        guest.ip("address add fe80::2/64 dev eth0 nodad")?;
        guest.ip("-4 route add default via inet6 fe80::1 dev eth0")?;
        guest.ip("-6 route add default via fe80::1 dev eth0")?;
        Ok(())
    }

    /// Has both hosts send everything private across the fabric and into the guests' namespaces, as careless hosts do.
    pub fn lead_all_to_the_fabric(&self) -> Result<()> {
        for end in [0, 1] {
            let inside = self.inside(end)?;
            let shown = inside.ip("-6 -brief address show dev vethi"
                .replace("vethi", &format!("vethi{}", NAMES[end]))
                .as_str())?;
            let link_local = shown
                .split_whitespace()
                .find_map(|word| word.strip_suffix("/64"))
                .context("fe80::")?
                .to_owned();
            let (peer, veth) = (format!("fd00:fab::{}:1", 1 - end), format!("vetho{}", NAMES[end]));
            let [ipv4, ipv6] = ADDRESSES[end];
            let [other_ipv4, other_ipv6] = ADDRESSES[1 - end];
            self.netns[end].ip(&format!("-4 route add {ipv4} via inet6 {link_local} dev {veth}"))?;
            self.netns[end].ip(&format!("-6 route add {ipv6} via {link_local} dev {veth}"))?;
            self.netns[end].ip(&format!("-4 route add {other_ipv4} via inet6 {peer}"))?;
            self.netns[end].ip(&format!("-6 route add {other_ipv6} via {peer}"))?;
        }
        Ok(())
    }

    /// A host that has a guest's private addresses itself, and sends from them in clear.
    pub fn impersonate(&self, end: usize) -> Result<Netns> {
        for address in ADDRESSES[end] {
            self.netns[end].ip(&format!("address add {address} dev lo"))?;
        }
        Netns::open(&format!("host{end}"))
    }

    /// Applies the spec with the guest and without its tunnel.
    pub fn apply_without_tunnels(&mut self, end: usize) -> Result<()> {
        let mut spec = self.spec(end)?;
        spec.guests[0].tunnels.clear();
        self.hosts[end].apply(&spec)?;
        Ok(())
    }

    pub fn guest(&self, end: usize) -> &Netns {
        &self.guests[end]
    }

    pub fn addresses(&self, end: usize) -> [IpAddr; 2] {
        ADDRESSES[end].map(|address| address.parse().expect("an address"))
    }

    /// Sees all that is on the fabric.
    pub fn capture(&self) -> Result<Capture> {
        Capture::start(&self.netns[0], "fabric")
    }

    /// Nothing but ESP between the endpoints, and no private address or word in any frame.
    pub fn nothing_in_clear(&self, frames: &[Frame]) -> Result<()> {
        ensure!(frames.iter().any(Frame::is_esp), "nothing was seen at all");
        for frame in frames {
            for address in self.addresses(0).into_iter().chain(self.addresses(1)) {
                ensure!(!frame.mentions(address), "{address} is on the wire: {frame}");
            }
            ensure!(!frame.0.windows(INSIDE.len()).any(|words| words == INSIDE), "in clear: {frame}");
        }
        Ok(())
    }

    /// The spec of a host: its generation is never raised.
    pub fn spec(&self, end: usize) -> Result<HostSpec> {
        spec_with(end, tunnel(end, 0))
    }

    /// Applies a spec with another tunnel; how many changes it took.
    pub fn apply_tunnel(&mut self, end: usize, tunnel: Value) -> Result<usize> {
        Ok(self.hosts[end].apply(&spec_with(end, tunnel)?)?.changes)
    }

    /// Applies the spec; how many changes it took.
    pub fn apply(&mut self, end: usize) -> Result<usize> {
        let spec = self.spec(end)?;
        let report = self.hosts[end].apply(&spec)?;
        Ok(report.changes)
    }

    /// The host's process has died and starts again.
    pub fn open_again(&mut self, end: usize) -> Result<()> {
        self.hosts[end] = Host::in_namespace(&format!("host{end}").parse()?)?;
        Ok(())
    }

    /// A host's tunnel, as it is ordered.
    pub fn order(&self, end: usize) -> Value {
        json!({ "namespace": NAMES[end], "tunnel": tunnel(end, 0) })
    }

    /// A step for one host, as it is sent.
    pub fn step(&self, end: usize, act: Act, generation: u32, peer: Option<&Standing>) -> String {
        Self::step_of(end, act, tunnel(end, generation), peer)
    }

    /// A step for another tunnel.
    pub fn step_of(end: usize, act: Act, tunnel: Value, peer: Option<&Standing>) -> String {
        let mut order = json!({ "namespace": NAMES[end], "tunnel": tunnel });
        if let Some(peer) = peer {
            order["peer"] = serde_json::to_value(peer).expect("a standing is JSON");
        }
        json!({ "version": 1, "act": act, "drain_seconds": 1, "tunnels": [order] }).to_string()
    }

    /// Has a host do a step, and reads its answer.
    pub fn send(&mut self, end: usize, step: &str) -> Result<Standing> {
        let step = guestnet::rekey::step_from_json(step, &Secrets::new())?;
        let answer = serde_json::to_string(&self.hosts[end].rekey(&step)?)?;
        let confirmation: Confirmation = serde_json::from_str(&answer)?;
        confirmation.tunnels.into_iter().next().context("an answer")
    }

    /// How the tunnel stands.
    pub fn observe(&mut self, end: usize) -> Result<Standing> {
        let step = self.step(end, Act::Observe, 0, None);
        self.send(end, &step)
    }

    /// The states that the kernel has.
    pub fn states(&mut self, end: usize) -> Result<Told> {
        let objects = self.hosts[end].observe()?;
        let place = objects.namespaces.get(&NAMES[end].parse()?).context("the guest's namespace")?;
        Ok(told(&place.states))
    }

    /// The states of a generation, as the spec's language has them.
    pub fn expected_states(&self, end: usize, generation: u32) -> Result<Told> {
        let mut tunnel: TunnelSpec = serde_json::from_value(tunnel(end, generation))?;
        tunnel.load(&Secrets::new())?;
        Ok(told(&tunnel.lower()?.0.into_iter().collect()))
    }

    /// The namespace of a host's guest.
    pub fn inside(&self, end: usize) -> Result<Netns> {
        let place: Place = Place::Named(NAMES[end].parse()?);
        Netns::open(&place.to_string())
    }
}

fn told(states: &Set<State>) -> Told {
    states.iter().map(|s| ((s.dst, s.spi), (s.generation, s.key.fingerprint()))).collect()
}

fn spec_with(end: usize, tunnel: Value) -> Result<HostSpec> {
    let guest = json!({ "name": NAMES[end], "endpoint": format!("2001:db8:{end}::a"), "tunnels": [tunnel] });
    Ok(HostSpec::from_json(&json!({ "version": 1, "guests": [guest] }).to_string())?)
}

fn secret_file() -> String {
    scratch().join("secret").display().to_string()
}

/// The tunnel as the host `end` has it. The secret stands in a file, so that no step holds one.
fn tunnel(end: usize, generation: u32) -> Value {
    let prefix =
        |end: usize| [format!("{}/32", ADDRESSES[end][0]), ADDRESSES[end][1].replace("::2", "::/64")];
    let (here, there) = (prefix(end), prefix(1 - end));
    json!({
        "local": format!("2001:db8:{end}::a"), "remote": format!("2001:db8:{}::a", 1 - end),
        "pairs": [{ "local": here[0], "remote": there[0] }, { "local": here[1], "remote": there[1] }],
        "secret": { "file": secret_file() },
        "generation": generation,
    })
}
