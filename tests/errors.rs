//! ICMP errors of guests' own namespaces: they come from an address that may travel, and are about the address that the
//! sender knows.

mod support;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use guestnet::Host;
use guestnet_lab::{Capability, Capture, Frame, Guest, Mac, Netns, lab_test, need, path_mtu, ping};
use serde_json::{Value, json};
use support::{apply, settle, spec, with_uplink};

const PUBLIC: &str = "203.0.113.7";
const SENDER: &str = "198.51.100.1";
const SENDER6: &str = "2001:db8:1::1";
const MAC: Mac = Mac([2, 0, 0x5e, 0, 0x53, 7]);
/// Of the guest's link, narrower than the path to it.
const MTU: u16 = 1400;

/// A network beyond the host, which drops what comes from where it would not answer (RFC 3704, section 2.2), and so all
/// that is from an address without a way back.
fn outside() -> Result<Netns> {
    let outside = with_uplink();
    outside.ip(&format!("address add {SENDER}/30 dev isp"))?;
    outside.ip(&format!("-6 address add {SENDER6}/64 dev isp nodad"))?;
    outside.ip(&format!("route add {PUBLIC} via 198.51.100.2"))?;
    outside.ip("-6 route add 2001:db8:1::/48 via 2001:db8:1::fffe")?;
    for which in ["all", "isp"] {
        outside.set_sysctl(&format!("net/ipv4/conf/{which}/rp_filter"), "1")?;
    }
    Netns::here()?.ip(&format!("-6 route add default via {SENDER6}"))?;
    settle();
    Ok(outside)
}

fn guest(more: &Value) -> Value {
    let mut guest = json!({ "name": "g7", "interfaces": [{
        "name": "tap7", "mac": MAC.to_string(), "mtu": MTU,
        "public_ipv4": PUBLIC, "private_ipv4": "192.168.0.7", "public_ipv6": "2001:db8:1:7::/64",
    }]});
    for (field, value) in more.as_object().into_iter().flatten() {
        guest[field] = value.clone();
    }
    guest
}

/// The source of an ICMP error in the frame, if it is one: destination unreachable (in IPv4 also because of the size),
/// packet too big, time exceeded.
fn error(frame: &Frame) -> Option<IpAddr> {
    let packet = frame.packet()?;
    let kind = *packet.payload.first()?;
    match packet.protocol {
        1 => matches!(kind, 3 | 11),
        58 => matches!(kind, 1..=3),
        _ => false,
    }
    .then_some(packet.source)
}

/// The guest, with the addresses that the spec says.
fn plug(netns: &Netns) -> Result<Guest> {
    let running = Guest::plug("vm", netns, "tap7", Some(MAC))?;
    let inside = running.netns();
    inside.ip("address add 192.168.0.7/32 dev eth0")?;
    inside.ip("route add default via 169.254.1.1 dev eth0 onlink")?;
    inside.ip("-6 address add 2001:db8:1:7::7/64 dev eth0 nodad")?;
    inside.ip("-6 route add default via 2001:db8:1:7::1 dev eth0")?;
    Ok(running)
}

/// Applies `guest`, plugs it in, and asserts that who is outside learns the MTU of its link by an error from `source`,
/// and `source6`.
fn is_learned(guest: &Value, mode: &str, source: &str, source6: &str) -> Result<()> {
    need(Capability::Tap);
    let outside = outside()?;
    let mut host = Host::open()?;
    apply(&mut host, &spec(&json!({ "version": 1, "nat": { "mode": mode }, "guests": [guest] })));
    settle();
    let netns = Netns::open("g7")?;
    let running = plug(&netns)?;
    let inside = running.netns();
    for (to, from, sender) in [(PUBLIC, source, SENDER), ("2001:db8:1:7::7", source6, SENDER6)] {
        let to: IpAddr = to.parse()?;
        ping(&outside, None, to)?;
        ping(inside, None, sender.parse()?)?;
        let capture = Capture::start(&outside, "isp")?;
        assert_eq!(path_mtu(&outside, None, to, 1500)?, MTU, "{to}");
        let seen = capture.wait_for("an error", Duration::from_secs(5), error)?;
        assert_eq!(seen, from.parse::<IpAddr>()?, "about {to}");
        // Not only by who asks in a special way: the route is known to be narrower by the kernel.
        let route = outside.ip(&format!("route get {to}"))?;
        ensure!(route.contains(&format!("mtu {MTU}")), "{route}");
    }
    // The namespace answers for nothing that is the guest's.
    ensure!(netns.ip("address show")?.contains(&format!("{source}/32")));
    ping(&Netns::here()?, None, PUBLIC.parse()?)?;
    drop(running);
    ensure!(ping(&outside, None, PUBLIC.parse()?).is_err(), "somebody answers for a guest that is not there");
    Ok(())
}

lab_test! {
    fn from_the_guests_public_address_without_connection_tracking() -> Result<()> {
        is_learned(&guest(&json!({})), "notrack", PUBLIC, "2001:db8:1:7::1")
    }

    fn from_the_guests_public_address_beside_connection_tracking() -> Result<()> {
        is_learned(&guest(&json!({})), "tracked", PUBLIC, "2001:db8:1:7::1")
    }

    /// Why it is so.
    fn with_an_address_of_the_link_nothing_is_learned() -> Result<()> {
        let guest = guest(&json!({ "transit": { "guest_ipv4": "169.254.0.2" } }));
        need(Capability::Tap);
        let outside = outside()?;
        let mut host = Host::open()?;
        apply(&mut host, &spec(&json!({ "version": 1, "guests": [guest] })));
        let running = plug(&Netns::open("g7")?)?;
        ping(running.netns(), None, SENDER.parse()?)?;
        ensure!(path_mtu(&outside, None, PUBLIC.parse()?, 1500).is_err());
        Ok(())
    }

    fn from_the_endpoint_in_ipv6() -> Result<()> {
        is_learned(&guest(&json!({ "endpoint": "2001:db8:1::e7" })), "tracked", PUBLIC, "2001:db8:1::e7")
    }
}
