//! What is said of a packet is what its bytes meet.

mod evaluate;
mod support;

use std::net::IpAddr;

use evaluate::{Outcome, run};
use guestnet_firewall::{Decision, FirewallSpec, GuestLink, Packet, Transport};
use guestnet_nft::{Family, Table};
use proptest::prelude::*;
use support::full;

const ADDRESSES: [&str; 14] = [
    "192.168.0.1",
    "192.168.0.2",
    "192.168.0.3",
    "203.0.113.1",
    "198.51.100.5",
    "198.51.100.200",
    "169.254.1.1",
    "192.0.2.7",
    "2001:db8:1::2",
    "2001:db8:1::1",
    "2001:db8:2::9",
    "2001:db8:ffff::1",
    "fe80::5eff:fe00:5301",
    "2001:db8:3::1",
];

fn spec() -> FirewallSpec {
    let mut spec = full();
    spec.guests.iter_mut().for_each(|guest| guest.bridged = false);
    spec.guests.iter_mut().for_each(|guest| guest.ethertypes.clear());
    spec
}

fn packets() -> impl Strategy<Value = Packet> {
    let address = || proptest::sample::select(&ADDRESSES[..]);
    let ports = vec![22_u16, 53, 67, 68, 80, 443, 546, 547, 5432, 8000, 8055, 8100, 8101];
    let port = proptest::sample::select(ports);
    let kinds = vec![0_u8, 1, 2, 3, 4, 5, 8, 11, 128, 129, 130, 134, 137, 139, 140, 144];
    (address(), address(), 0_u8..4, port, proptest::sample::select(kinds), 0_u8..4)
        .prop_map(|(source, destination, what, port, kind, code)| {
            let source: IpAddr = source.parse().unwrap();
            let icmp = if source.is_ipv4() { Transport::ICMP } else { Transport::ICMPV6 };
            let protocol = [Transport::TCP, Transport::UDP, icmp, Transport(47)][usize::from(what)];
            Packet {
                source,
                destination: destination.parse().unwrap(),
                protocol: Some(protocol),
                port: protocol.has_ports().then_some(port),
                icmp: (protocol == icmp).then_some((kind, code)),
            }
        })
        .prop_filter("one family", |packet| packet.source.is_ipv4() == packet.destination.is_ipv4())
}

/// The packet as bytes.
fn bytes(packet: &Packet, mac: [u8; 6]) -> Vec<u8> {
    let protocol = packet.protocol.unwrap().0;
    let mut transport = vec![0; 64];
    transport[..2].copy_from_slice(&40_000_u16.to_be_bytes());
    if let Some(port) = packet.port {
        transport[2..4].copy_from_slice(&port.to_be_bytes());
    }
    if let Some((kind, code)) = packet.icmp {
        transport[..2].copy_from_slice(&[kind, code]);
    }
    if packet.protocol == Some(Transport::UDP) && packet.port == Some(67) {
        transport[..2].copy_from_slice(&68_u16.to_be_bytes());
        transport[8..11].copy_from_slice(&[1, 1, 6]);
        transport[36..42].copy_from_slice(&mac);
    }
    if packet.protocol == Some(Transport::UDP) && packet.port == Some(547) {
        transport[..2].copy_from_slice(&546_u16.to_be_bytes());
    }
    let mut header = match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, 0, 0, 84, 0, 0, 0, 0, 64, protocol, 0, 0];
            header.extend(source.octets().into_iter().chain(destination.octets()));
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 64, protocol, 64];
            header.extend(source.octets().into_iter().chain(destination.octets()));
            header
        }
        _ => unreachable!("one family"),
    };
    header.extend(transport);
    header
}

fn inet(spec: &FirewallSpec) -> Table {
    spec.lower().into_iter().find(|table| table.family == Family::Inet).unwrap()
}

/// From `from`, or the uplink, to `to`, or the uplink.
fn met(
    table: &Table,
    from: Option<&GuestLink>,
    to: Option<&GuestLink>,
    packet: &Packet,
    hook: &str,
) -> Outcome {
    let link =
        |guest: Option<&GuestLink>| guest.map_or("uplink".parse().unwrap(), |guest| guest.name.clone());
    let mac = from.map_or([2, 0, 0, 0, 0, 9], |guest| guest.mac.0);
    let oifname = (hook == "forward").then(|| link(to));
    let packet = evaluate::Packet { iifname: link(from), oifname, mac, bytes: bytes(packet, mac) };
    match run(table, "prerouting", &evaluate::Packet { oifname: None, ..packet.clone() }) {
        Outcome::Accept(_) => run(table, hook, &packet),
        dropped => dropped,
    }
}

fn agree(said: &Decision, met: &Outcome) -> Result<(), TestCaseError> {
    match met {
        Outcome::Accept(_) => prop_assert!(said.passes, "said: {said}; met: {met:?}"),
        Outcome::Drop(chain) => {
            prop_assert!(!said.passes, "said: {said}; met: {met:?}");
            let counted = format!("drop_{}", said.paragraph.to_string().replace('.', "_"));
            prop_assert_eq!(chain, &counted, "said: {}", said);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn to_and_from_guests(packet in packets(), from in 0_usize..3, to in 0_usize..3) {
        let spec = spec();
        let table = inet(&spec);
        let (from, to) = (&spec.guests[from], &spec.guests[to]);
        agree(&spec.explain_sent(from, None, &packet), &met(&table, Some(from), None, &packet, "forward"))?;
        agree(&spec.explain_got(to, &packet), &met(&table, None, Some(to), &packet, "forward"))?;
    }

    /// What the one may send, the other has to let in.
    #[test]
    fn from_a_guest_to_another(packet in packets(), from in 0_usize..3, to in 0_usize..3) {
        let spec = spec();
        let table = inet(&spec);
        let (from, to) = (&spec.guests[from], &spec.guests[to]);
        let sent = spec.explain_sent(from, None, &packet);
        let said = if sent.passes { spec.explain_got(to, &packet) } else { sent };
        agree(&said, &met(&table, Some(from), Some(to), &packet, "forward"))?;
    }

    #[test]
    fn to_the_host(packet in packets(), from in proptest::option::of(0_usize..3)) {
        let spec = spec();
        let table = inet(&spec);
        let from = from.map(|n| &spec.guests[n]);
        agree(&spec.explain_taken(from, None, &packet), &met(&table, from, None, &packet, "input"))?;
    }
}

#[test]
fn the_hosts_address_is_the_hosts_also_inside_of_a_guests_prefix_and_where_it_was_given_to_the_guest() {
    let mut spec = spec();
    let guest = &mut spec.guests[0];
    guest.routers = vec!["169.254.1.1".parse().unwrap(), "169.254.2.1".parse().unwrap()];
    guest
        .addresses
        .extend(["169.254.1.0/24", "169.254.2.1/32"].map(|net| net.parse::<ipnet::IpNet>().unwrap()));
    let (table, from) = (inet(&spec), &spec.guests[0]);
    for (source, own) in [("169.254.1.1", false), ("169.254.1.7", true), ("169.254.2.1", false)] {
        // A DHCP client renews its address, from which it also speaks to others.
        for (destination, port, hook) in [("169.254.1.1", 67, "input"), ("192.0.2.7", 80, "forward")] {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let protocol = Some(Transport::UDP);
            let packet = Packet { source, destination, protocol, port: Some(port), icmp: None };
            let met = met(&table, Some(from), None, &packet, hook);
            let other = Outcome::Drop("drop_3_3".into());
            assert_eq!(met != other, own, "{source} to {destination}: {met:?}");
        }
    }
}

#[test]
fn the_machine_drops_and_accepts() {
    let spec = spec();
    let table = inet(&spec);
    let packet = |port| Packet {
        source: "192.0.2.7".parse().unwrap(),
        destination: "192.168.0.1".parse().unwrap(),
        protocol: Some(Transport::TCP),
        port: Some(port),
        icmp: None,
    };
    let to = Some(&spec.guests[0]);
    assert!(matches!(met(&table, None, to, &packet(8055), "forward"), Outcome::Accept(_)));
    assert_eq!(met(&table, None, to, &packet(8101), "forward"), Outcome::Drop("drop_6_1".into()));
}
