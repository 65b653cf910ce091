//! EtherTypes: 2.2.

use guestnet_lab::Mac;
use guestnet_lab::craft::ethernet::{frame, llc, snap};

use crate::case::Case;
use crate::net::Who::{self, A, B, Outside};
use crate::net::{Net, Placement};

/// All of them. A routed link leads to the host alone, which has handlers for ARP, IPv4 and IPv6 only.
pub fn cases(net: &Net) -> Vec<Case> {
    if net.is_bridged() { [B, Outside].map(|place| bridged(net, place)).to_vec() } else { Vec::new() }
}

fn bridged(net: &Net, place: Who) -> Case {
    let packet = net.ipv4(A, place, 17).carrying(&[0, 7, 0, 7, 0, 8, 0, 0]);
    let packet6 = net.ipv6(A, place, 59).carrying(&[]);
    let (to, own) = (net.next_hop(A, place), net.party(A).mac);
    let mut case = Case::new("2.2", format!("IPv4 to {place}"), A, place, frame(to, own, 0x0800, &packet));
    for (detail, ethertype) in [
        ("LLDP's", 0x88cc),
        ("PPPoE's, discovery", 0x8863),
        ("PPPoE's, session", 0x8864),
        ("MPLS's", 0x8847),
        ("MPLS's, multicast", 0x8848),
        ("RARP's", 0x8035),
        ("EAPOL's", 0x888e),
        ("ATA over Ethernet's", 0x88a2),
        ("batman-adv's", 0x4305),
        ("wake on LAN's", 0x0842),
        ("IPX's", 0x8137),
        ("AppleTalk's", 0x809b),
        ("MACsec's", 0x88e5),
        ("FCoE's", 0x8906),
        ("HSR's", 0x892f),
        ("network service header's", 0x894f),
        ("MVRP's", 0x88f5),
        ("PTP's", 0x88f7),
        ("CFM's", 0x8902),
        ("for loopback tests", 0x9000),
        ("for local experiments", 0x88b5),
        ("the smallest", 0x0600),
        ("the largest", 0xffff),
    ] {
        case = case.but("2.2", format!("with the EtherType {detail}"), frame(to, own, ethertype, &packet));
    }
    let called = net.placement == Placement::BridgedCalled;
    let group = |low| Mac([1, 0x80, 0xc2, 0, 0, low]);
    let tree = [0x42, 0x42, 0x03, 0, 0, 0, 0, 0];
    case.but("2.2 2.7", "to LLDP's group", frame(group(0x0e), own, 0x88cc, &packet))
        .unseen_if(true, "no bridge forwards it")
        .but("2.2 2.7", "as a BPDU of the spanning tree", llc(group(0), own, &[&tree[..], &[0; 30]].concat()))
        .unseen_if(net.placement == Placement::Bridged, "the bridge speaks this protocol itself")
        .but("2.2", "in the disguise of SNAP", snap(to, own, 0x0800, &packet))
        .but("2.2", "as IPv6 in the disguise of SNAP", snap(to, own, 0x86dd, &packet6))
        .but("2.2", "as Cisco's discovery", {
            llc(
                Mac([1, 0, 0x0c, 0xcc, 0xcc, 0xcc]),
                own,
                &[&[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0][..], &[2; 20]].concat(),
            )
        })
        .but("2.2", "as IPX over LLC", llc(to, own, &[&[0xe0, 0xe0, 3][..], &packet].concat()))
        .but("2.6 3.1", "that is IPv6 in truth", frame(to, own, 0x0800, &packet6))
        .unseen_if(called, "br_netfilter drops what is malformed")
        .but(
            "2.6 3.2",
            "with the EtherType of IPv6",
            frame(to, own, 0x86dd, &[&packet[..], &[0; 20]].concat()),
        )
        .unseen_if(called, "br_netfilter drops what is malformed")
}
