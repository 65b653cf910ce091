//! VLAN tags: 2.2, 2.8.

use guestnet_lab::craft::arp::Arp;
use guestnet_lab::craft::ethernet::{C_TAG, S_TAG, from, tagged};
use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::transport::UDP;
use guestnet_lab::frame::ARP;

use crate::case::Case;
use crate::net::Net;
use crate::net::Who::{self, A, B, C, D, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    if net.is_bridged() {
        let own = [B, Outside].map(|place| of_interfaces(net, place));
        own.into_iter().chain([B, Outside].into_iter().flat_map(|place| bridged(net, place))).collect()
    } else {
        // The device's handler takes the identifier 0 away before any rule looks.
        [B, Outside, Host].map(|place| routed(net, place)).to_vec()
    }
}

const TAGS: [(&str, u16, u16); 7] = [
    ("with a VLAN tag", C_TAG, 5),
    ("with the tag of the default VLAN", C_TAG, 1),
    ("with a priority tag", C_TAG, 0),
    ("with a priority tag of the highest priority", C_TAG, 0xe000),
    ("with the reserved VLAN", C_TAG, 4095),
    ("with a service tag", S_TAG, 5),
    ("with a service priority tag", S_TAG, 0),
];

fn paragraph(tag: u16) -> &'static str {
    if tag == C_TAG { "2.8" } else { "2.2" }
}

/// B has the VLANs 20 and 21, and A, as the outside, has 20.
fn of_interfaces(net: &Net, place: Who) -> Case {
    let echo = net.icmp4(A, place, 8, 0, b"echodata");
    let mut case =
        Case::new("2.8", format!("a VLAN of the interface to {place}"), A, place, tagged(&echo, C_TAG, 20))
            .but("2.8", "another guest's VLAN", tagged(&echo, C_TAG, 21))
            .but("2.8", "its number with another tag in it", tagged(&tagged(&echo, C_TAG, 20), C_TAG, 20))
            .but("2.8", "with the tag of VLAN 0 in it", tagged(&tagged(&echo, C_TAG, 0), C_TAG, 20))
            .but("2.8", "with a service tag in it", tagged(&tagged(&echo, S_TAG, 20), C_TAG, 20))
            .but("2.2", "with a service tag", tagged(&echo, S_TAG, 20));
    if place == B {
        let other = net.icmp4(A, C, 8, 0, b"echodata");
        case = case.but("2.8", "to one who has it not", tagged(&other, C_TAG, 20)).seen_at(C);
    }
    case
}

fn bridged(net: &Net, place: Who) -> Vec<Case> {
    let own = net.party(A);
    let echo4 = net.icmp4(A, place, 8, 0, b"echodata");
    let echo6 = net.icmp6(A, place, 128, 0, b"echodata");
    let arp = net.frame(A, place, ARP, &Arp::request(own.mac, own.v4, net.party(place).v4).bytes());
    [("IPv4", echo4), ("IPv6", echo6), ("ARP", arp)]
        .into_iter()
        .map(|(what, frame)| {
            let mut case =
                Case::new("2.2", format!("{what} without a tag to {place}"), A, place, frame.clone());
            for (detail, tag, identifier) in TAGS {
                case = case.but(paragraph(tag), detail, tagged(&frame, tag, identifier));
            }
            case.but("2.2", "with two tags", tagged(&tagged(&frame, C_TAG, 5), S_TAG, 7))
                .but("2.8", "with two tags of customers", tagged(&tagged(&frame, C_TAG, 5), C_TAG, 7))
                .but("2.8", "with a priority tag before another", tagged(&tagged(&frame, C_TAG, 5), C_TAG, 0))
                .but("2.2", "with three tags", tagged(&tagged(&tagged(&frame, C_TAG, 5), C_TAG, 7), S_TAG, 9))
        })
        .collect()
}

fn routed(net: &Net, place: Who) -> Case {
    let header = |source| Ipv4 { source, ..net.ipv4(A, place, UDP) };
    let datagram = |source| net.udp_in4(A, place, &header(source), (net.port(), 53));
    let right = datagram(net.party(A).v4);
    let other = datagram(net.party(B).v4);
    let mac = net.party(B).mac;
    let mut case =
        Case::new("2.2", format!("UDP with a priority tag to {place}"), A, place, tagged(&right, C_TAG, 0))
            .never_at(&[C, D])
            .but("3.1", "from another guest", tagged(&other, C_TAG, 0))
            .but(
                "3.1",
                "from another guest, with two priority tags",
                tagged(&tagged(&other, C_TAG, 0), C_TAG, 0),
            )
            .but("2.1", "from another MAC address", tagged(&from(&right, mac), C_TAG, 0));
    for (detail, tag, identifier) in TAGS.into_iter().filter(|(_, _, identifier)| identifier & 0xfff != 0) {
        case = case
            .but("2.2", detail, tagged(&right, tag, identifier))
            .unseen_if(true, "the host is in no VLAN");
    }
    case
}
