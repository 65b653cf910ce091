//! Two hosts on a fabric, guests on each, and tunnels between the guests. What says nothing of a line is about the first.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guestnet::core::Set;
use guestnet::rekey::{Act, Confirmation, Standing};
use guestnet::xfrm::{Fingerprint, Secrets, Spi, State, TunnelSpec};
use guestnet::{Host, HostSpec};
use guestnet_lab::{Capture, Frame, Mac, Netns, wait_until};
use serde_json::{Value, json};

use crate::line::{LINES, Line, secret_file};
use crate::streams::INSIDE;

/// States by destination and SPI: their generations and the fingerprints of their keys.
pub type Told = BTreeMap<(IpAddr, Spi), (u32, Option<Fingerprint>)>;

/// The two hosts.
pub struct World {
    pub hosts: [Host; 2],
    netns: [Netns; 2],
    /// What is between them.
    fabric: Netns,
    /// Of each line, the guests at its ends.
    guests: Vec<[Netns; 2]>,
}

impl World {
    /// Hosts `host0` and `host1`, with their specs applied; guests with their addresses; one tunnel.
    pub fn make() -> Result<Self> {
        Self::with(1)
    }

    /// With so many of the tunnels that there may be.
    pub fn with(lines: usize) -> Result<Self> {
        let secret = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa";
        std::fs::write(secret_file(), secret)?;
        let make = |n: usize| -> Result<Netns> {
            let netns = Netns::make(&format!("host{n}"))?;
            netns.skip_dad()?;
            Ok(netns)
        };
        let netns = [make(0)?, make(1)?];
        // What a host decrypts is seen once more on the interface that it came by; between the hosts it is not.
        let fabric = Netns::make("fabric")?;
        fabric.ip("link add between type bridge")?;
        fabric.ip("link set between up")?;
        for n in [0, 1] {
            fabric.ip(&format!("link add port{n} type veth peer name fabric netns host{n}"))?;
            fabric.ip(&format!("link set port{n} master between up"))?;
            netns[n].ip(&format!("address add fd00:fab::{n}:1/64 dev fabric"))?;
            netns[n].ip("link set fabric up")?;
            netns[n].ip(&format!("address add 2001:db8:{n}::1/128 dev lo"))?;
            netns[n].ip(&format!("-6 route add 2001:db8:{}::/48 via fd00:fab::{}:1", 1 - n, 1 - n))?;
        }
        let hosts = [Host::in_namespace(&"host0".parse()?)?, Host::in_namespace(&"host1".parse()?)?];
        let guests = (0..lines).map(|line| -> Result<[Netns; 2]> {
            let make = |end| Netns::make(&format!("guest{line}{end}"));
            Ok([make(0)?, make(1)?])
        });
        let mut world = Self { hosts, netns, fabric, guests: guests.collect::<Result<_>>()? };
        for end in [0, 1] {
            world.apply(end)?;
            for line in 0..lines {
                world.plug(line, end)?;
            }
        }
        Ok(world)
    }

    /// The tunnels.
    pub fn lines(&self) -> &'static [Line] {
        &LINES[..self.guests.len()]
    }

    /// The guest behind its namespace, on a link that the test makes.
    fn plug(&self, line: usize, end: usize) -> Result<()> {
        let (inside, guest) = (self.inside_of(line, end)?, &self.guests[line][end]);
        guest.skip_dad()?;
        inside.ip(&format!("link add vm{line} type veth peer name eth0 netns guest{line}{end}"))?;
        inside.ip(&format!("address add fe80::1/64 dev vm{line} nodad"))?;
        inside.ip(&format!("link set vm{line} up"))?;
        guest.ip("link set eth0 up")?;
        let [ipv4, ipv6] = LINES[line].addresses[end];
        guest.ip(&format!("address replace {ipv4} dev lo"))?;
        guest.ip(&format!("address replace {ipv6} dev lo"))?;
        inside.ip(&format!("route add {ipv4} via inet6 fe80::2 dev vm{line}"))?;
        inside.ip(&format!("-6 route add {ipv6} via fe80::2 dev vm{line}"))?;
        guest.ip("address add fe80::2/64 dev eth0 nodad")?;
        guest.ip("-4 route add default via inet6 fe80::1 dev eth0")?;
        guest.ip("-6 route add default via fe80::1 dev eth0")?;
        if LINES[line].names.is_none() {
            // There are policies only for what has a way.
            let [ipv4, ipv6] = LINES[line].addresses[1 - end];
            let peer = format!("fd00:fab::{}:1", 1 - end);
            inside.ip(&format!("-4 route add {ipv4} via inet6 {peer}"))?;
            inside.ip(&format!("-6 route add {ipv6} via {peer}"))?;
            for family in ["ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"] {
                inside.set_sysctl(&format!("net/{family}"), "1")?;
            }
        }
        Ok(())
    }

    /// A host reboots: the namespace of its first guest is gone, with all that was in it, and so is its process.
    pub fn reboot(&mut self, end: usize) -> Result<()> {
        guestnet_lab::sh(&format!("ip netns delete {}", LINES[0].place(end)))?;
        self.open_again(end)?;
        let guest = &self.guests[0][end];
        wait_until("the guest's link goes", Duration::from_secs(20), || guest.ip("link show eth0").is_err())
    }

    /// The first guest of a host that has rebooted is there again.
    pub fn plug_again(&self, end: usize) -> Result<()> {
        self.plug(0, end)
    }

    /// Has both hosts send everything private across the fabric and into the guests' namespaces, as careless hosts do.
    pub fn lead_all_to_the_fabric(&self) -> Result<()> {
        for end in [0, 1] {
            let inside = self.inside(end)?;
            let name = LINES[0].place(end);
            let shown = inside.ip(&format!("-6 -brief address show dev vethi{name}"))?;
            let link_local = shown
                .split_whitespace()
                .find_map(|word| word.strip_suffix("/64"))
                .context("fe80::")?
                .to_owned();
            let (peer, veth) = (format!("fd00:fab::{}:1", 1 - end), format!("vetho{name}"));
            let [ipv4, ipv6] = LINES[0].addresses[end];
            let [other_ipv4, other_ipv6] = LINES[0].addresses[1 - end];
            self.netns[end].ip(&format!("-4 route add {ipv4} via inet6 {link_local} dev {veth}"))?;
            self.netns[end].ip(&format!("-6 route add {ipv6} via {link_local} dev {veth}"))?;
            self.netns[end].ip(&format!("-4 route add {other_ipv4} via inet6 {peer}"))?;
            self.netns[end].ip(&format!("-6 route add {other_ipv6} via {peer}"))?;
        }
        Ok(())
    }

    /// A host that has a guest's private addresses itself, and sends from them in clear.
    pub fn impersonate(&self, end: usize) -> Result<Netns> {
        for address in LINES[0].addresses[end] {
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
        self.guest_of(0, end)
    }

    pub fn guest_of(&self, line: usize, end: usize) -> &Netns {
        &self.guests[line][end]
    }

    pub fn addresses(&self, end: usize) -> [IpAddr; 2] {
        LINES[0].addresses(end)
    }

    /// Sees all that is on the fabric.
    pub fn capture(&self) -> Result<Capture> {
        Capture::start(&self.fabric, "port0")
    }

    /// By which the fabric knows a host.
    pub fn hardware_address(&self, end: usize) -> Result<Mac> {
        let shown = self.netns[end].ip("-oneline link show dev fabric")?;
        let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether");
        words.nth(1).context("an address")?.parse().context("an address")
    }

    /// Puts a frame on the fabric, as from this end.
    pub fn send_frame(&self, end: usize, frame: &Frame) -> Result<()> {
        guestnet_lab::send_frame(&self.netns[end], "fabric", frame)
    }

    /// Nothing but ESP between the endpoints, and no private address or word in any frame.
    pub fn nothing_in_clear(&self, frames: &[Frame]) -> Result<()> {
        ensure!(frames.iter().any(Frame::is_esp), "nothing was seen at all");
        for frame in frames {
            for address in self.lines().iter().flat_map(Line::private) {
                ensure!(!frame.mentions(address), "{address} is on the wire: {frame}");
            }
            ensure!(!frame.0.windows(INSIDE.len()).any(|words| words == INSIDE), "in clear: {frame}");
        }
        Ok(())
    }

    /// The spec of a host: its generations are never raised.
    pub fn spec(&self, end: usize) -> Result<HostSpec> {
        spec_with(self.lines().iter().map(|line| line.guest(end, json!([line.tunnel(end, 0)]))).collect())
    }

    /// Applies a spec with another tunnel; how many changes it took.
    pub fn apply_tunnel(&mut self, end: usize, tunnel: Value) -> Result<usize> {
        let spec = spec_with(vec![LINES[0].guest(end, json!([tunnel]))])?;
        Ok(self.hosts[end].apply(&spec)?.changes)
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
        LINES[0].order(end, 0)
    }

    /// A step for another tunnel than there is.
    pub fn step_of(end: usize, act: Act, tunnel: Value, peer: Option<&Standing>) -> String {
        let mut order = LINES[0].order(end, 0);
        order["tunnel"] = tunnel;
        step(act, vec![with_peer(order, peer)])
    }

    /// Has a host do a step about one tunnel, and reads its answer.
    pub fn send(&mut self, end: usize, step: &str) -> Result<Standing> {
        self.send_all(end, step)?.into_iter().next().context("an answer")
    }

    /// Has a host do a step, and reads its answers.
    pub fn send_all(&mut self, end: usize, step: &str) -> Result<Vec<Standing>> {
        let step = guestnet::rekey::step_from_json(step, &Secrets::new())?;
        let answer = serde_json::to_string(&self.hosts[end].rekey(&step)?)?;
        let confirmation: Confirmation = serde_json::from_str(&answer)?;
        Ok(confirmation.tunnels)
    }

    /// How the tunnel stands.
    pub fn observe(&mut self, end: usize) -> Result<Standing> {
        self.observe_all(end)?.into_iter().next().context("an answer")
    }

    /// How all of them stand.
    pub fn observe_all(&mut self, end: usize) -> Result<Vec<Standing>> {
        let orders = self.lines().iter().map(|line| line.order(end, 0));
        self.send_all(end, &step(Act::Observe, orders.collect()))
    }

    /// The states that the kernel has, of all tunnels.
    pub fn states(&mut self, end: usize) -> Result<Told> {
        let objects = self.hosts[end].observe()?;
        let mut all = Told::new();
        for (_, objects) in objects.iter() {
            all.append(&mut told(&objects.states));
        }
        Ok(all)
    }

    /// The states of a generation for each line, as the spec's language has them.
    pub fn expected_states(&self, end: usize, generations: &[u32]) -> Result<Told> {
        let mut all = Told::new();
        for (line, generation) in self.lines().iter().zip(generations) {
            let mut tunnel: TunnelSpec = serde_json::from_value(line.tunnel(end, *generation))?;
            tunnel.load(&Secrets::new())?;
            all.append(&mut told(&tunnel.lower()?.0.into_iter().collect()));
        }
        Ok(all)
    }

    /// The namespace of a host's guest.
    pub fn inside(&self, end: usize) -> Result<Netns> {
        self.inside_of(0, end)
    }

    /// Where a line's tunnel is: with its guest, or on the host.
    fn inside_of(&self, line: usize, end: usize) -> Result<Netns> {
        match LINES[line].names {
            Some(names) => Netns::open(names[end]),
            None => Netns::open(&format!("host{end}")),
        }
    }
}

/// A step for one host, as it is sent.
pub fn step(act: Act, orders: Vec<Value>) -> String {
    json!({ "version": 1, "act": act, "drain_seconds": 1, "tunnels": orders }).to_string()
}

/// An order that says how the other end stood.
pub fn with_peer(mut order: Value, peer: Option<&Standing>) -> Value {
    if let Some(peer) = peer {
        order["peer"] = serde_json::to_value(peer).expect("a standing is JSON");
    }
    order
}

fn told(states: &Set<State>) -> Told {
    states.iter().map(|s| ((s.dst, s.spi), (s.generation, s.key.fingerprint()))).collect()
}

fn spec_with(guests: Vec<Value>) -> Result<HostSpec> {
    Ok(HostSpec::from_json(&json!({ "version": 1, "guests": guests }).to_string())?)
}
