//! A control plane that rekeys one tunnel between two hosts: one round, from wherever the last one stopped.
//!
//! Here both hosts are namespaces of one machine, so that it can be tried; elsewhere `call` is whatever runs
//! `guestnet rekey -f -` on a host. It keeps nothing: what it needs to know it asks the hosts.
//!
//! ```sh
//! cargo run --example rekey -- host1 tunnel-of-host1.json host2 tunnel-of-host2.json
//! ```
//!
//! Each file holds an order without its generation: `{"namespace": "vm1", "tunnel": {…}}`.

use anyhow::{Context, Result, bail};
use guestnet::Host;
use guestnet::rekey::{Act, Standing, step_from_json};
use guestnet::xfrm::Secrets;
use serde_json::{Value, json};

#[allow(dead_code, reason = "a test takes this file for its `round`")]
fn main() -> Result<()> {
    let [host1, order1, host2, order2] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .context("rekey HOST ORDER HOST ORDER")?;
    let read = |file: String| -> Result<Value> { Ok(serde_json::from_str(&std::fs::read_to_string(file)?)?) };
    let mut hosts = [Host::in_namespace(&host1.parse()?)?, Host::in_namespace(&host2.parse()?)?];
    let generation = round(&mut hosts, &[read(order1)?, read(order2)?])?;
    println!("both ends are at generation {generation}");
    Ok(())
}

/// Takes the tunnel to its next generation; which one that is.
pub fn round(hosts: &mut [Host; 2], orders: &[Value; 2]) -> Result<u32> {
    // A round that somebody has begun is gone through again, with the newest generation that either end has.
    let mut newest = 0;
    let mut done = true;
    for end in [0, 1] {
        let standing = call(&mut hosts[end], Act::Observe, &orders[end], 0, None)?;
        let (before, now) = (newest, standing.newest().context("the tunnel is not there")?);
        newest = newest.max(now);
        done &=
            (end == 0 || before == now) && standing.outbound.iter().any(|h| h.used && h.generation == newest);
    }
    let generation = if done { newest + 1 } else { newest };

    let mut standings = [None, None];
    for act in [Act::Inbound, Act::Outbound, Act::Drain] {
        for end in [0, 1] {
            let standing = call(&mut hosts[end], act, &orders[end], generation, standings[1 - end].as_ref())?;
            if let Some(refused) = standing.refused {
                bail!("{act} of generation {generation} at end {end}: {refused}");
            }
            standings[end] = Some(standing);
        }
    }
    Ok(generation)
}

/// One call, to one host: JSON there and JSON back.
fn call(
    host: &mut Host,
    act: Act,
    order: &Value,
    generation: u32,
    peer: Option<&Standing>,
) -> Result<Standing> {
    let mut order = order.clone();
    order["tunnel"]["generation"] = generation.into();
    if let Some(peer) = peer.filter(|_| act != Act::Observe) {
        order["peer"] = serde_json::to_value(peer)?;
    }
    let step = json!({ "version": 1, "act": act, "tunnels": [order] }).to_string();
    let confirmation = host.rekey(&step_from_json(&step, &Secrets::new())?)?;
    confirmation.tunnels.into_iter().next().context("an answer for the tunnel")
}
