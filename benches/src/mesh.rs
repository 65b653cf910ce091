//! A host in a mesh: a tunnel to each of its peers, and what takes all of them to the next generation of their keys.

use anyhow::{Context, Result, ensure};
use guestnet::rekey::{Act, Held, Order, Standing, Step, step_from_json};
use guestnet::xfrm::{Policy, Secrets, State, TunnelSpec};
use guestnet::{Host, HostSpec};
use serde_json::{Value, json};

const SECRET: &str = "/run/mesh.secret";

/// The acts of a round, in their order.
const ACTS: [Act; 3] = [Act::Inbound, Act::Outbound, Act::Drain];

/// One host of a mesh.
pub struct Mesh {
    peers: usize,
    /// The host with generation 0.
    pub spec: HostSpec,
    /// The acts that take all tunnels to generation 1, the peers being where they have to be, as JSON.
    pub steps: Vec<String>,
}

impl Mesh {
    /// A host with so many peers.
    pub fn of(peers: usize) -> Result<Self> {
        std::fs::write(SECRET, "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa")?;
        let tunnels: Vec<Value> = (0..peers).map(|n| tunnel(n, false, 0)).collect();
        let guest = json!({ "name": "mesh", "placement": "host", "tunnels": tunnels });
        let spec = HostSpec::from_json(&json!({ "version": 1, "guests": [guest] }).to_string())?;
        let order = |n| -> Result<Value> { Ok(json!({ "tunnel": tunnel(n, false, 1), "peer": peer(n)? })) };
        let orders: Vec<Value> = (0..peers).map(order).collect::<Result<_>>()?;
        let steps = ACTS.iter().map(|act| json!({ "version": 1, "act": act, "tunnels": orders }).to_string());
        Ok(Self { peers, spec, steps: steps.collect() })
    }

    /// The acts as the library takes them.
    pub fn steps(&self) -> Result<Vec<Step>> {
        self.steps.iter().map(|text| Ok(step_from_json(text, &Secrets::new())?)).collect()
    }

    /// What `ip` is told for each act, each object a line. Keys of the right length stand where guestnet has its own.
    pub fn lines(&self) -> Result<[Vec<String>; 3]> {
        let [mut inbound, mut outbound, mut drain] = [Vec::new(), Vec::new(), Vec::new()];
        for n in 0..self.peers {
            let (old, new) = (lowered(n, false, 0)?, lowered(n, false, 1)?);
            for state in &new.0 {
                let place = if state.src == here() { &mut outbound } else { &mut inbound };
                place.push(state_line("add", state));
            }
            let policies = new.1.iter().zip(&old.1).filter(|(new, old)| new != old);
            outbound.extend(
                policies.map(|(policy, _)| policy.to_ip()["ip ".len()..].replacen("add", "update", 1)),
            );
            drain.extend(old.0.iter().map(|state| state_line("update", state) + " limit time-hard 5"));
        }
        Ok([inbound, outbound, drain])
    }

    /// Whether all tunnels have gone on to generation 1.
    pub fn check(&self, host: &mut Host) -> Result<()> {
        let orders = (0..self.peers).map(|n| Ok(Order::new(serde_json::from_value(tunnel(n, false, 1))?)));
        let standings = host.rekey(&Step::new(Act::Observe, orders.collect::<Result<_>>()?))?.tunnels;
        let is_new = |held: &&Held| held.generation == 1;
        let done = |standing: &Standing| {
            let out = standing.outbound.iter().find(is_new);
            standing.inbound.iter().any(|held| is_new(&held)) && out.is_some_and(|held| held.used)
        };
        let left = standings.iter().filter(|standing| !done(standing)).count();
        ensure!(left == 0, "{left} of {} tunnels were not rekeyed", self.peers);
        Ok(())
    }
}

fn here() -> std::net::IpAddr {
    std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()
}

/// The tunnel to peer `n` at one of its ends.
fn tunnel(n: usize, at_peer: bool, generation: u32) -> Value {
    let ends = [here().to_string(), format!("2001:db8:1::{:x}", n + 1)];
    let prefixes = ["fd00::/64".to_owned(), format!("fd00:0:0:{:x}::/64", n + 1)];
    let (here, there) = if at_peer { (1, 0) } else { (0, 1) };
    json!({
        "local": ends[here], "remote": ends[there],
        "pairs": [{ "local": prefixes[here], "remote": prefixes[there] }],
        "secret": { "file": SECRET }, "generation": generation,
    })
}

fn lowered(n: usize, at_peer: bool, generation: u32) -> Result<(Vec<State>, Vec<Policy>)> {
    let mut spec: TunnelSpec = serde_json::from_value(tunnel(n, at_peer, generation))?;
    spec.load(&Secrets::new())?;
    Ok(spec.lower()?)
}

/// How peer `n` stands that has done `outbound`, which is enough for any act.
fn peer(n: usize) -> Result<Standing> {
    let spec: TunnelSpec = serde_json::from_value(tunnel(n, true, 1))?;
    let (local, remote) = (spec.local, spec.remote);
    let (mut inbound, mut outbound) = (Vec::new(), Vec::new());
    for state in lowered(n, true, 1)?.0 {
        let out = state.src == local;
        let fingerprint = state.key.fingerprint().context("a key")?;
        let held = Held { generation: 1, spi: state.spi, fingerprint, used: out, until: None };
        if out { outbound.push(held) } else { inbound.push(held) }
    }
    Ok(Standing { namespace: None, local, remote, id: 0, generation: 1, refused: None, inbound, outbound })
}

fn state_line(verb: &str, state: &State) -> String {
    let key: String = (0..36_u32)
        .map(|byte| format!("{:02x}", byte.wrapping_mul(7).wrapping_add(state.spi.get()) as u8))
        .collect();
    let line = state.to_ip().replacen("ip xfrm state add", &format!("xfrm state {verb}"), 1);
    line.replace('\'', "").replacen("(hidden)", &format!("0x{key}"), 1)
}
