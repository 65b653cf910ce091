//! A change that is refused on a host with tunnels, at whatever step of a rekey: undoing it leaves the tunnels as they were.

use std::time::Duration;

use anyhow::{Result, ensure};
use guestnet::{Error, Host, HostSpec, State};
use guestnet_lab::{Capability, lab_test, need, wait_until};

use crate::closed::{arrives, listen};
use crate::cost::example;
use crate::world::World;

const IPV6: usize = 1;

/// Objects that the kernel refuses, in phases before tunnels, among them and behind.
fn faults() -> Result<Vec<guestnet::Objects>> {
    let objects = [
        r#"{"host": {"sysctls": [{"key": "net.ipv4.no_such_thing", "value": "1"}]}}"#,
        r#"{"host": {"links": [{"name": "t0", "kind": {"tap": {}}, "bridge": "fabric"}]}}"#,
        r#"{"host": {"addresses": [{"dev": "missing", "address": "10.1.0.1/24"}]}}"#,
        r#"{"host": {"routes": [{"to": "198.51.101.0/24", "via": "192.0.2.99", "dev": "lo"}]}}"#,
    ];
    Ok(objects.into_iter().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// States with their keys, and policies; not what was counted.
fn tunnels(world: &World) -> Result<String> {
    let inside = world.inside(0)?;
    Ok(inside.ip("xfrm state")? + &inside.ip("xfrm policy")?)
}

fn refused(host: &mut Host, spec: &HostSpec) -> Result<()> {
    match host.apply(spec) {
        Err(Error::Apply(failure)) => {
            ensure!(matches!(failure.state, State::Undone(_)), "{failure}");
            Ok(())
        }
        Err(Error::Core(error)) => {
            ensure!(error.to_string().contains("nothing was changed"), "{error}");
            Ok(())
        }
        other => anyhow::bail!("{other:?}"),
    }
}

lab_test! {
    fn esp_a_refusal_leaves_tunnels_as_they_were() -> Result<()> {
        need(Capability::Esp);
        let mut world = World::make()?;
        let sockets = [listen(&world, 0, IPV6)?, listen(&world, 1, IPV6)?];
        for round in 0..3 {
            let spec = world.spec(0)?;
            for objects in faults()? {
                let mut another = spec.clone();
                another.objects = objects;
                // Without its tunnels: what goes comes back with the keys that it had.
                let mut bare = another.clone();
                bare.guests[0].tunnels.clear();
                let before = tunnels(&world)?;
                let known = &mut world.hosts[0];
                for spec in [&another, &bare] {
                    refused(known, spec)?;
                    refused(&mut Host::in_namespace(&"host0".parse()?)?, spec)?;
                }
                let after = tunnels(&world)?;
                ensure!(before == after, "round {round}\n{before}\n{after}");
                for from in [0, 1] {
                    let passes = arrives(world.guest(from), world.addresses(from)[IPV6], &sockets[1 - from])?;
                    ensure!(passes, "round {round}: nothing passes from {from}");
                }
                ensure!(world.hosts[0].verify(&spec)?.holds(), "round {round}");
            }
            let orders = [world.order(0), world.order(1)];
            ensure!(example::round(&mut world.hosts, &orders)? == round + 1);
            wait_until("the old states drain", Duration::from_secs(20), || {
                world.states(0).is_ok_and(|states| states.len() == 2)
            })?;
        }
        Ok(())
    }
}
