//! A guest behind a tunnel: nothing that it sends or is sent is lost while its host is applied to and its keys change.
//!
//! It is a namespace here, and a real one in `cargo xtask soak`: QEMU in the second kernel is emulation in emulation, where a
//! guest takes minutes to boot.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use guestnet::{Host, HostSpec};
use guestnet_lab::vm::need_vm;
use guestnet_lab::{Capability, Capture, Frame, Guest, Mac, Netns, Pings, Vm, lab_test, need};
use serde_json::{Value, json};

use crate::lab::{Lab, Way};

#[path = "../../examples/rekey.rs"]
mod example;

/// Commands that tell the guest by hand, as DHCP and a router advertisement would.
const ADDRESSES: [&str; 8] = [
    "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad",
    "ip address add 192.168.7.1/32 dev eth0",
    "ip route add 169.254.1.1 dev eth0",
    "ip route add default via 169.254.1.1",
    "ip -6 address add fd00:1::2/64 dev eth0",
    "ip -6 route add default via fd00:1::1 dev eth0",
    "ping -c 1 192.168.7.2",
    "ping -c 1 fd00:2::2",
];

/// The guest and the one at the other end, talking with each other all the time, in both families.
struct Talk<'a>(Vec<Pings<'a>>);

impl<'a> Talk<'a> {
    /// `out` sends echo requests from the guest.
    fn begin(out: impl Fn(IpAddr) -> Result<Pings<'a>>, other: &Netns) -> Result<Self> {
        let mut all = Vec::new();
        for (here, there) in Lab::addresses(1).into_iter().zip(Lab::addresses(2)) {
            all.push(out(there)?);
            all.push(Pings::start(other, here)?);
        }
        Ok(Self(all))
    }

    fn lost(&mut self) -> Result<Vec<u32>> {
        self.0.iter_mut().map(Pings::lost).collect()
    }

    /// Nothing is lost by `work`.
    fn goes_on(&mut self, what: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        work().with_context(|| what.to_owned())?;
        let lost = self.lost().with_context(|| what.to_owned())?;
        ensure!(lost == [0; 4], "{what}: {lost:?} lost, out and back by IPv4, out and back by IPv6");
        Ok(())
    }
}

/// The spec of the first host with another guest beside.
fn with_another(way: &Way) -> Result<HostSpec> {
    let mut spec = way.spec(1);
    let another = json!({
        "name": "another",
        "interfaces": [{ "name": "tapanother", "mac": "02:00:5e:00:53:63", "private_ipv4": "192.168.8.1" }],
    });
    spec["guests"].as_array_mut().context("guests")?.push(another);
    Ok(HostSpec::from_json(&spec.to_string())?)
}

/// The tunnel of the host `n`, in a step of a rekey.
fn order(way: &Way, n: u8) -> Value {
    json!({ "namespace": format!("g{n}"), "tunnel": way.spec(n)["guests"][0]["tunnels"][0] })
}

/// Nothing but ESP between the guests.
fn nothing_in_clear(frames: &[Frame]) -> Result<()> {
    ensure!(frames.iter().any(Frame::is_esp), "nothing was seen at all");
    let private: Vec<IpAddr> = Lab::addresses(1).into_iter().chain(Lab::addresses(2)).collect();
    let clear = frames.iter().find(|frame| private.iter().any(|address| frame.mentions(*address)));
    ensure!(clear.is_none(), "in clear: {}", clear.map(ToString::to_string).unwrap_or_default());
    Ok(())
}

/// The life of a guest and its tunnel, while it talks.
fn lives(way: &Way, hosts: [(Netns, Host); 2], talk: &mut Talk<'_>) -> Result<()> {
    let (alone, both) = (HostSpec::from_json(&way.spec(1).to_string())?, with_another(way)?);
    let orders = [order(way, 1), order(way, 2)];
    let [(_first, first), (_second, second)] = hosts;
    let mut hosts = [first, second];
    for round in 1..=2 {
        talk.goes_on("new keys", || {
            ensure!(example::round(&mut hosts, &orders)? == round);
            Ok(())
        })?;
        talk.goes_on("the same spec again", || {
            ensure!(hosts[0].apply(&alone)?.changes == 0);
            Ok(())
        })?;
    }
    talk.goes_on("one guest more", || Ok(hosts[0].apply(&both).map(drop)?))?;
    talk.goes_on("new keys beside another", || example::round(&mut hosts, &orders).map(drop))?;
    talk.goes_on("one guest less", || Ok(hosts[0].apply(&alone).map(drop)?))?;
    let plan = hosts[0].plan(&alone)?;
    ensure!(plan.is_empty(), "{plan}");
    Ok(())
}

lab_test! {
    fn esp_a_guest_loses_nothing_while_its_tunnel_gets_new_keys() -> Result<()> {
        need(Capability::Esp);
        let is_real = std::env::var_os("GUESTNET_SOAK").is_some();
        let way = Way::default();
        let Lab { internet, hosts, guests, .. } = way.set_up()?;
        let hosts = hosts.try_into().ok().context("two hosts")?;
        let [here, other]: [Guest; 2] = guests.try_into().ok().context("two guests")?;
        let capture = Capture::start(&internet, "host1")?;
        if is_real {
            need_vm();
            drop(here);
            let vm = Vm::boot(&Netns::open("g1")?, "tap1", Mac([2, 0, 0x5e, 0, 0x53, 1]))?;
            for command in ADDRESSES {
                vm.run(command)?;
            }
            lives(&way, hosts, &mut Talk::begin(|to| vm.pings(to), other.netns())?)?;
        } else {
            lives(&way, hosts, &mut Talk::begin(|to| Pings::start(here.netns(), to), other.netns())?)?;
        }
        nothing_in_clear(&capture.stop())
    }
}
