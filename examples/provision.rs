//! Gives the virtual machines of a host their network, from the records that a control plane keeps of them.
//!
//! `cargo run --example provision -- examples/records.json`. The same in Ruby, shell and Python stands beside it.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet::core::{LinkName, Mac};
use guestnet::spec::Guest;
use guestnet::xfrm::{PairSecret, Tunnel, TunnelSpec};
use guestnet::{Host, HostSpec};
use ipnet::{IpNet, Ipv6Net};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Records {
    uplink: LinkName,
    vms: Vec<Vm>,
}

#[derive(Deserialize)]
struct Vm {
    name: String,
    mac: Mac,
    endpoint: Ipv6Addr,
    public_ipv4: Ipv4Addr,
    private_ipv4: Ipv4Addr,
    public_ipv6: Ipv6Net,
    private_ipv6: Ipv6Net,
    peers: Vec<Peer>,
}

/// The other end of a tunnel, on another host.
#[derive(Deserialize)]
struct Peer {
    endpoint: Ipv6Addr,
    private_ipv4: Ipv4Addr,
    private_ipv6: Ipv6Net,
    secret: String,
}

impl Vm {
    fn guest(&self) -> Result<Guest, Box<dyn Error>> {
        let mut guest: Guest = serde_json::from_value(json!({
            "name": self.name,
            "endpoint": self.endpoint,
            "proxied": [self.endpoint],
            "interfaces": [{
                "name": format!("tap{}", self.name),
                "mac": self.mac,
                "public_ipv4": self.public_ipv4,
                "private_ipv4": self.private_ipv4,
                "public_ipv6": self.public_ipv6,
                "private_ipv6": self.private_ipv6,
            }],
        }))?;
        for peer in &self.peers {
            guest.tunnels.push(self.tunnel(peer)?);
        }
        Ok(guest)
    }

    /// Our end of the tunnel; the other host makes the other one from the same description.
    fn tunnel(&self, peer: &Peer) -> Result<TunnelSpec, Box<dyn Error>> {
        let one = |address: Ipv4Addr| IpNet::from(IpAddr::from(address));
        let tunnel = Tunnel::between(self.endpoint.into(), peer.endpoint.into())
            .carry(one(self.private_ipv4), one(peer.private_ipv4))
            .carry(self.private_ipv6.into(), peer.private_ipv6.into())
            .secret(peer.secret.parse::<PairSecret>()?);
        Ok(tunnel.ends().0)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("provision RECORDS")?;
    let records: Records = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let mut spec = HostSpec { uplink: Some(records.uplink), ..HostSpec::new() };
    for vm in &records.vms {
        spec.guests.push(vm.guest()?);
    }
    let report = Host::open()?.apply(&spec)?;
    println!("{} changes", report.changes);
    for file in &report.files {
        println!("{file} has changed: restart the daemon that reads it");
    }
    Ok(())
}
