//! The groups that no bridge forwards (IEEE 802.1Q table 8-1): 2.7. The host hears them behind the bridge's back.

use guestnet_lab::Mac;
use guestnet_lab::craft::arp::Arp;
use guestnet_lab::craft::ethernet::{C_TAG, frame, llc, tagged};
use guestnet_lab::craft::transport::UDP;
use guestnet_lab::frame::{ARP, IPV4, IPV6};

use crate::case::{Case, Shot};
use crate::net::Who::{A, B, C, Host, Outside};
use crate::net::{Net, Placement};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    if net.is_bridged() { vec![host4(net), host6(net), asks(net), learnt(net)] } else { Vec::new() }
}

fn group(low: u8) -> Mac {
    Mac([1, 0x80, 0xc2, 0, 0, low])
}

/// Frames for pauses are for the interface alone.
const PAUSE: u8 = 1;

fn host4(net: &Net) -> Case {
    let packet = |source| {
        let header = guestnet_lab::craft::ipv4::Ipv4 { source, ..net.ipv4(C, Host, UDP) };
        net.udp_in4(C, Host, &header, (net.port(), 53))[14..].to_vec()
    };
    let (own, other) = (net.party(C), net.party(B));
    let to = net.next_hop(C, Host);
    let mut case =
        Case::new("7.1", "asks the host for names", C, Host, frame(to, own.mac, IPV4, &packet(own.v4)));
    for low in 0..16 {
        for (detail, mac, source) in [
            ("", own.mac, own.v4),
            (", from another's MAC address", other.mac, own.v4),
            (", from another", own.mac, other.v4),
        ] {
            let said = frame(group(low), mac, IPV4, &packet(source));
            case = case
                .but("2.7 2.1 3.1", format!("by the bridges' group {low:02x}{detail}"), said)
                .unseen_if(low == PAUSE, "bridges drop it");
        }
    }
    case
}

fn host6(net: &Net) -> Case {
    let packet = net.udp6(C, Host, 53)[14..].to_vec();
    let (to, own) = (net.next_hop(C, Host), net.party(C).mac);
    let mut case =
        Case::new("7.1", "asks the host for names, by IPv6", C, Host, frame(to, own, IPV6, &packet));
    for low in [0, 2, 3, 0x0e] {
        let forwarded = low == 0 && net.placement == Placement::BridgedCalled;
        case = case
            .but("2.7", format!("by the bridges' group {low:02x}"), frame(group(low), own, IPV6, &packet))
            .unseen_if(!forwarded, "the port itself has no IPv6");
    }
    case
}

fn asks(net: &Net) -> Case {
    let (own, other, host) = (net.party(A), net.party(B), net.party(Host));
    let say = |to, sender| frame(to, own.mac, ARP, &Arp::request(own.mac, sender, host.v4).bytes());
    let mut case = Case::new("6.5", "asks for the host", A, Host, say(net.next_hop(A, Host), own.v4));
    for low in [0, 2, 3, 0x0e] {
        case = case.but(
            "2.7 2.5",
            format!("by the bridges' group {low:02x}, as another"),
            say(group(low), other.v4),
        );
    }
    case
}

/// Whoever's MAC address a guest uses there: frames for it go where they went before.
fn learnt(net: &Net) -> Case {
    let other = net.party(B).mac;
    let before = [0, 2, 3, 0x0e, 0x0f].map(|low| {
        [
            (A, frame(group(low), other, 0x88cc, b"lldp")),
            (A, llc(group(low), other, &[0x42, 0x42, 3, 0, 0, 0, 0, 0])),
            (A, tagged(&frame(group(low), other, 0x88cc, b"lldp"), C_TAG, 5)),
        ]
    });
    let shot = Shot::new(Outside, net.udp4(Outside, B, 4000)).after(before.into_iter().flatten().collect());
    Case::of("2.7", "what is for B comes to B, whatever A has said to the bridges", B, shot).never_at(&[A])
}
