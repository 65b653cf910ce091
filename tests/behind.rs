//! Prefixes routed to guests that have no link-local address made of their MAC address (RFC 7217).

mod support;

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use guestnet::Host;
use guestnet_lab::{Capability, Guest, Mac, Netns, lab_test, need, ping};
use serde_json::{Value, json};
use support::{apply, lines, settle, sh, spec, with_uplink};

const BEHIND: &str = "2001:db8:1:7::1";
const MAC: Mac = Mac([2, 0, 0x5e, 0, 0x53, 0x51]);
/// What follows from the MAC address (RFC 4291, appendix A).
const EUI_64: &str = "fe80::5eff:fe00:5351";

/// The guest at the tap in `netns`, with `BEHIND` behind it, and its router on `link`.
fn plug(name: &str, netns: &Netns, link: &str) -> Result<Guest> {
    let guest = Guest::plug(name, netns, "tap7", Some(MAC))?;
    let inside = guest.netns();
    inside.ip("link set eth0 down")?;
    inside.set_sysctl("net/ipv6/conf/eth0/accept_dad", "0")?;
    inside.set_sysctl("net/ipv6/conf/eth0/addr_gen_mode", "3")?;
    inside.ip("link set eth0 up")?;
    inside.ip(&format!("address add {BEHIND}/128 dev lo"))?;
    let router = netns.ip(&format!("-6 -brief address show dev {link} scope link"))?;
    let router = router.split_whitespace().find(|word| word.starts_with("fe80")).context("a router")?;
    let router = router.split('/').next().unwrap_or_default();
    inside.ip(&format!("-6 route add default via {router} dev eth0"))?;
    ensure!(!inside.ip("-6 address show dev eth0")?.contains(EUI_64), "it has the address");
    Ok(guest)
}

/// The guest of `wanted`, reached from the host by what is behind it; `netns` is where its tap is, `link` its router.
fn is_reached(wanted: &Value, netns: impl Fn() -> Result<Netns>, link: &str) -> Result<()> {
    need(Capability::Tap);
    let _outside = with_uplink();
    let wanted = spec(wanted);
    let mut host = Host::open()?;
    apply(&mut host, &wanted);
    settle();
    let (here, netns) = (Netns::here()?, netns()?);
    let behind: IpAddr = BEHIND.parse()?;

    let guest = plug("vm", &netns, link)?;
    ping(&here, None, behind)?;
    let shown = netns.ip(&format!("-6 neigh show {EUI_64} dev {link}"))?;
    ensure!(shown.contains("PERMANENT") && shown.contains("proto 103"), "{shown}");

    // Another machine in its place: the tap loses its carrier in between.
    drop(guest);
    ensure!(host.verify(&wanted)?.is_empty(), "{}", host.verify(&wanted)?);
    let _guest = plug("vm2", &netns, link)?;
    ping(&here, None, behind)?;

    netns.ip(&format!("neigh flush dev {link} nud permanent"))?;
    ensure!(ping(&here, None, behind).is_err(), "nobody answers for the address");
    let missing = host.verify(&wanted)?;
    let [line] = &lines(&missing)[..] else { panic!("{missing}") };
    ensure!(line.ends_with(&format!("permanent neighbour {EUI_64} dev {link} lladdr {MAC}")), "{line}");
    // What the kernel knows of it by now, that nobody answers, is in nobody's way.
    apply(&mut host, &wanted);
    ping(&here, None, behind)?;

    // Others' word for it is in the way if it is another one, and done if it is the same.
    netns.ip(&format!("neigh replace {EUI_64} dev {link} lladdr {MAC} nud permanent protocol 4"))?;
    ensure!(host.verify(&wanted)?.is_empty());
    netns.ip(&format!(
        "neigh replace {EUI_64} dev {link} lladdr 02:00:00:00:00:99 nud permanent protocol 4"
    ))?;
    ensure!(!host.verify(&wanted)?.conflicts().is_empty());
    netns.ip(&format!("neigh del {EUI_64} dev {link}"))?;
    apply(&mut host, &wanted);

    let without = spec(&json!({ "version": 1, "uplink": "uplink", "bridges": wanted.bridges }));
    apply(&mut host, &without);
    ensure!(!sh("ip -6 neigh show nud permanent").contains(EUI_64));
    Ok(())
}

fn guest(placement: &str) -> Value {
    json!({ "name": "g7", "placement": placement, "interfaces": [{
        "name": "tap7", "mac": MAC.to_string(), "public_ipv6": "2001:db8:1:6::/64",
        "routed_ipv6": ["2001:db8:1:7::/64"],
    }]})
}

lab_test! {
    fn by_a_tap_in_the_hosts_namespace() -> Result<()> {
        let wanted = json!({ "version": 1, "guests": [guest("host")] });
        is_reached(&wanted, Netns::here, "tap7")
    }

    fn by_a_tap_in_a_namespace_of_its_own() -> Result<()> {
        let wanted = json!({ "version": 1, "guests": [guest("own")] });
        is_reached(&wanted, || Netns::open("g7"), "tap7")
    }

    fn by_a_bridge() -> Result<()> {
        let mut guest = guest("host");
        guest["interfaces"][0]["bridge"] = "br0".into();
        guest["interfaces"][0]["public_ipv6"] = "2001:db8:1:6::7/128".into();
        let bridges = json!([{ "name": "br0", "addresses": ["2001:db8:1:6::1/64"] }]);
        let wanted = json!({ "version": 1, "bridges": bridges, "guests": [guest] });
        is_reached(&wanted, Netns::here, "br0")
    }
}
