//! What is said of a packet is what its bytes meet.

mod support;

use std::net::IpAddr;

use guestnet_core::{LinkName, Path, Problems};
use guestnet_firewall::{Access, Decision, Entry, FirewallSpec, GuestLink, HostAccess, Packet, Transport};
use guestnet_nft::evaluate::{self, Conntrack, Interface, Outcome, Packet as Observed, Side};
use guestnet_nft::ruleset::{OwnSets, Ruleset};
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
    spec.guests.iter_mut().for_each(|guest| guest.bridge = None);
    spec.guests.iter_mut().for_each(|guest| guest.ethertypes.clear());
    spec
}

/// Entries of access lists.
const ENTRIES: &str = r#"[
    {},
    {"protocol": "tcp", "ports": ["22", "8000-8055"]},
    {"protocol": "udp", "ports": ["53"], "prefixes": ["192.0.2.0/24", "2001:db8:ffff::/48"]},
    {"protocol": "icmp", "types": [8, 11]},
    {"protocol": "icmpv6", "types": [128, 139]},
    {"prefixes": ["198.51.100.0/24", "2001:db8:2::/48"]},
    {"protocol": "tcp", "ports": ["443", "5432"], "groups": ["web"]},
    {"groups": ["db", "web"]},
    {"protocol": "gre"},
    {"deny": true, "protocol": "tcp", "ports": ["8032-8047"]},
    {"deny": true, "prefixes": ["198.51.100.128/25", "2001:db8:2::/64"]},
    {"protocol": "icmp", "types": ["3/4", "13/0"], "limit": {"rate": "10/second"}},
    {"protocol": "tcp", "ports": ["22"], "limit": {"rate": "1/minute", "burst": 3}}
]"#;

/// Specs of the same guests, which may send and get other things.
fn specs() -> impl Strategy<Value = FirewallSpec> {
    let all: Vec<Entry> = serde_json::from_str(ENTRIES).unwrap();
    let plain: Vec<Entry> = all.iter().filter(|entry| entry.groups.is_empty()).cloned().collect();
    let some = move || proptest::sample::subsequence(all.clone(), 0..3);
    let services = move || proptest::sample::subsequence(plain.clone(), 0..3);
    let groups = || proptest::sample::subsequence(vec!["web", "db"], 0..=2);
    let guests = proptest::collection::vec((some(), some(), groups(), any::<bool>()), 3);
    let lists = proptest::collection::vec((some(), some()), 2);
    (guests, lists, services(), services(), 0_u8..4).prop_map(|(guests, lists, of_guests, of_host, more)| {
        let mut spec = spec();
        for (guest, (ingress, egress, groups, stateless)) in spec.guests.iter_mut().zip(guests) {
            let groups = groups.iter().map(|name| name.parse().unwrap()).collect();
            guest.access = Access { ingress, egress, groups, stateless, connections: None };
        }
        for (group, (ingress, egress)) in spec.groups.iter_mut().zip(lists) {
            (group.ingress, group.egress) = (ingress, egress);
        }
        spec.guest_services = of_guests;
        spec.host = (more & 1 == 0).then_some(HostAccess { services: of_host });
        spec.tiers.truncate(usize::from(more / 2));
        let mut problems = Problems::new();
        spec.check(&Path::root(), &mut problems);
        assert!(problems.is_empty(), "{problems}");
        spec
    })
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

/// The packet as bytes; an error is about what was sent to `from`, if that is a guest.
fn bytes(packet: &Packet, from: Option<&GuestLink>) -> Vec<u8> {
    let mac = mac(from);
    let protocol = packet.protocol.unwrap().0;
    let mut transport = vec![0; 64];
    transport[..2].copy_from_slice(&40_000_u16.to_be_bytes());
    if let Some(port) = packet.port {
        transport[2..4].copy_from_slice(&port.to_be_bytes());
    }
    if let Some((kind, code)) = packet.icmp {
        transport[..2].copy_from_slice(&[kind, code]);
        let own = from.into_iter().flat_map(|guest| &guest.addresses);
        for address in own.map(|net| net.addr()).filter(|own| own.is_ipv4() == packet.source.is_ipv4()) {
            match address {
                IpAddr::V4(own) => transport[24..28].copy_from_slice(&own.octets()),
                IpAddr::V6(own) => transport[32..48].copy_from_slice(&own.octets()),
            }
        }
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

fn mac(from: Option<&GuestLink>) -> [u8; 6] {
    from.map_or([2, 0, 0, 0, 0, 9], |guest| guest.mac.0)
}

/// The type of an address that is not the host's own.
const RTN_UNICAST: u8 = 1;

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
    let oifname = (hook == "forward").then(|| link(to));
    let side = |name: LinkName| {
        Side::Known(Interface { name: name.to_string(), group: Some(0), ..Interface::default() })
    };
    let network = bytes(packet, from);
    let ethertype = if network[0] >> 4 == 4 { 0x0800_u16 } else { 0x86dd };
    let mut packet = Observed {
        ethertype,
        link: [&[0; 6][..], &mac(from), &ethertype.to_be_bytes()].concat(),
        network,
        input: side(link(from)),
        // The first packet of a connection, and a new one.
        conntrack: Some(Conntrack::NEW),
        source_type: Some(RTN_UNICAST),
        ..Observed::default()
    };
    let before = run(table, "prerouting", &mut packet);
    packet.output = oifname.map_or(Side::None, side);
    if before == Outcome::Pass { run(table, hook, &mut packet) } else { before }
}

/// From the host itself, to a guest's port.
fn sent(table: &Table, to: &GuestLink, packet: &Packet) -> Outcome {
    let network = bytes(packet, None);
    let ethertype = if network[0] >> 4 == 4 { 0x0800_u16 } else { 0x86dd };
    let name = to.name.to_string();
    let mut packet = Observed {
        ethertype,
        link: [&to.mac.0[..], &mac(None), &ethertype.to_be_bytes()].concat(),
        network,
        output: Side::Known(Interface { name, group: Some(0), ..Interface::default() }),
        conntrack: Some(Conntrack::NEW),
        ..Observed::default()
    };
    run(table, "output", &mut packet)
}

/// Runs `packet` through the base chain `name`.
fn run(table: &Table, name: &str, packet: &mut Observed) -> Outcome {
    let ruleset: Ruleset = [table].into_iter().collect();
    let found = &ruleset.tables[0];
    evaluate::run(found, &found.chains[name], packet, &mut OwnSets(vec![table])).outcome
}

/// The chain that counts the drop.
fn dropped_in(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Drop(place) => Some(&place.chain),
        _ => None,
    }
}

fn agree(said: &Decision, met: &Outcome) -> Result<(), TestCaseError> {
    match met {
        Outcome::Pass => prop_assert!(said.passes, "said: {said}; met: {met:?}"),
        Outcome::Unsure { .. } => prop_assert!(false, "said: {said}; met: {met:?}"),
        Outcome::Drop(place) => {
            prop_assert!(!said.passes, "said: {said}; met: {met:?}");
            let counted = format!("drop_{}", said.paragraph.to_string().replace('.', "_"));
            prop_assert_eq!(place.chain.as_str(), &counted, "said: {}", said);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn to_and_from_guests(spec in specs(), packet in packets(), from in 0_usize..3, to in 0_usize..3) {
        let table = inet(&spec);
        let (from, to) = (&spec.guests[from], &spec.guests[to]);
        agree(&spec.explain_sent(from, None, &packet), &met(&table, Some(from), None, &packet, "forward"))?;
        let said = spec.explain_stranger(&packet).unwrap_or_else(|| spec.explain_got(to, &packet));
        agree(&said, &met(&table, None, Some(to), &packet, "forward"))?;
    }

    /// What the one may send, the other has to let in.
    #[test]
    fn from_a_guest_to_another(spec in specs(), packet in packets(), from in 0_usize..3, to in 0_usize..3) {
        let table = inet(&spec);
        let (from, to) = (&spec.guests[from], &spec.guests[to]);
        let sent = spec.explain_sent(from, None, &packet);
        let said = if sent.passes { spec.explain_got(to, &packet) } else { sent };
        agree(&said, &met(&table, Some(from), Some(to), &packet, "forward"))?;
    }

    /// On a bridge, where the host is a peer like any other.
    #[test]
    fn from_the_host_to_a_port(spec in specs(), packet in packets(), to in 0_usize..3) {
        let mut spec = spec;
        spec.guests.iter_mut().for_each(|guest| guest.bridge = Some("br0".parse().unwrap()));
        let table = spec.lower().into_iter().find(|table| table.family == Family::Bridge).unwrap();
        let to = &spec.guests[to];
        agree(&spec.explain_from_host(to, &packet), &sent(&table, to, &packet))?;
    }

    #[test]
    fn to_the_host(spec in specs(), packet in packets(), from in proptest::option::of(0_usize..3)) {
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
            assert_eq!(dropped_in(&met) != Some("drop_3_3"), own, "{source} to {destination}: {met:?}");
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
    assert_eq!(met(&table, None, to, &packet(8055), "forward"), Outcome::Pass);
    assert_eq!(dropped_in(&met(&table, None, to, &packet(8101), "forward")), Some("drop_6_1"));
}

#[test]
fn an_error_of_a_guest_is_said_to_need_a_quote_of_what_was_sent_to_it() {
    let spec = spec();
    let guest = &spec.guests[0];
    let packet = |icmp| Packet {
        source: "192.168.0.1".parse().unwrap(),
        destination: "192.0.2.7".parse().unwrap(),
        protocol: Some(Transport::ICMP),
        port: None,
        icmp: Some(icmp),
    };
    for (icmp, is_error) in [((3, 3), true), ((11, 0), true), ((8, 0), false)] {
        let (sent, taken) = (
            spec.explain_sent(guest, None, &packet(icmp)),
            spec.explain_taken(Some(guest), None, &packet(icmp)),
        );
        for said in [sent, taken] {
            assert!(said.passes, "{said}");
            assert_eq!(said.because.contains("3.10"), is_error, "{said}");
        }
    }
    let got = spec.explain_got(guest, &packet((3, 3)));
    assert!(got.passes && !got.because.contains("3.10"), "{got}");
}
