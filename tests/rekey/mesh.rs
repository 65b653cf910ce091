//! One host of a mesh rekeys the tunnels to all of its peers in one document: as many datagrams as for one tunnel.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use guestnet::rekey::{Act, Held, Standing};
use guestnet::xfrm::{Secrets, TunnelSpec};
use guestnet::{Deed, Host, HostSpec};
use guestnet_lab::{Capability, Netns, lab_test, need};
use serde_json::{Value, json};

use crate::line::secret_file;
use crate::world::{step, with_peer};

/// The tunnel between this host and its peer `n`, at one of its ends.
fn tunnel(n: usize, at_peer: bool, generation: u32) -> Value {
    let ends = ["2001:db8::1".to_owned(), format!("2001:db8:{n:x}::1")];
    let prefixes = ["fd00::/64".to_owned(), format!("fd00:0:0:{n:x}::/64")];
    let (here, there) = if at_peer { (1, 0) } else { (0, 1) };
    json!({
        "local": ends[here], "remote": ends[there],
        "pairs": [{ "local": prefixes[here], "remote": prefixes[there] }],
        "secret": { "file": secret_file() }, "generation": generation,
    })
}

/// How a peer stands that has done `outbound`.
fn peer(n: usize, generation: u32) -> Result<Standing> {
    let mut spec: TunnelSpec = serde_json::from_value(tunnel(n, true, generation))?;
    spec.load(&Secrets::new())?;
    let (mut inbound, mut outbound) = (Vec::new(), Vec::new());
    for state in spec.lower()?.0 {
        let out = state.src == spec.local;
        let fingerprint = state.key.fingerprint().context("a key")?;
        let held = Held { generation, spi: state.spi, fingerprint, used: out, until: None };
        if out { outbound.push(held) } else { inbound.push(held) }
    }
    let (local, remote) = (spec.local, spec.remote);
    Ok(Standing { namespace: None, local, remote, id: 0, generation, refused: None, inbound, outbound })
}

/// What was sent to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cost {
    questions: usize,
    changes: usize,
    messages: usize,
    bytes: usize,
}

/// What a second round costs a host with so many peers.
fn round(peers: usize) -> Result<Cost> {
    let name = format!("host{peers}");
    let netns = Netns::make(&name)?;
    netns.ip("link set lo up")?;
    netns.ip("address add 2001:db8::1/128 dev lo")?;
    let mut host = Host::in_namespace(&name.parse()?)?;
    let tunnels: Vec<Value> = (1..=peers).map(|n| tunnel(n, false, 0)).collect();
    let guest = json!({ "name": "many", "placement": "host", "tunnels": tunnels });
    host.apply(&HostSpec::from_json(&json!({ "version": 1, "guests": [guest] }).to_string())?)?;
    let cost = Arc::new(Mutex::new(Cost::default()));
    let counted = Arc::clone(&cost);
    host.watch(move |act| {
        let mut cost = counted.lock().expect("nobody panics with it");
        if let Deed::Ask(_, datagram) | Deed::Send(_, datagram) = act.deed {
            let asks = matches!(act.deed, Deed::Ask(..));
            *(if asks { &mut cost.questions } else { &mut cost.changes }) += 1;
            cost.messages += datagram.messages().count();
            cost.bytes += datagram.bytes().len();
        }
    });
    for generation in 1..=2 {
        *cost.lock().expect("nobody panics with it") = Cost::default();
        for act in [Act::Inbound, Act::Outbound, Act::Drain] {
            let order = |n| -> Result<Value> {
                Ok(with_peer(json!({ "tunnel": tunnel(n, false, generation) }), Some(&peer(n, generation)?)))
            };
            let step = step(act, (1..=peers).map(order).collect::<Result<_>>()?);
            let step = guestnet::rekey::step_from_json(&step, &Secrets::new())?;
            let confirmation = host.rekey(&step)?;
            ensure!(confirmation.is_whole(), "{act}: {:?}", confirmation.tunnels[0].refused);
        }
    }
    let cost = *cost.lock().expect("nobody panics with it");
    Ok(cost)
}

lab_test! {
    fn a_host_rekeys_with_99_peers_in_as_many_datagrams_as_with_one() -> Result<()> {
        need(Capability::Esp);
        std::fs::write(secret_file(), "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa")?;
        let (one, many) = (round(1)?, round(99)?);
        ensure!((one.questions, one.changes) == (many.questions, many.changes), "{one:?}, {many:?}");
        // Two dumps an act; states, states and policies, states.
        ensure!((one.questions, one.changes) == (6, 4), "{one:?}");
        // A state in, a state and a policy out, two states that drain.
        ensure!(one.messages == 6 + 5 && many.messages == 6 + 99 * 5, "{one:?}, {many:?}");
        Ok(())
    }
}
