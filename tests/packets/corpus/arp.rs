//! ARP: 2.3 to 2.5, 3.3.

use std::net::Ipv4Addr;

use guestnet_lab::Mac;
use guestnet_lab::craft::arp::Arp;
use guestnet_lab::craft::ethernet::frame;
use guestnet_lab::frame::ARP;

use crate::case::Case;
use crate::net::Net;
use crate::net::Who::{self, A, B, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let places: &[Who] = if net.is_bridged() { &[B, Outside, Host] } else { &[Host] };
    places
        .iter()
        .flat_map(|place| {
            [request(net, *place), reply(net, *place), gratuitous(net, *place), probe(net, *place)]
        })
        .collect()
}

fn broadcast(net: &Net, arp: Arp) -> Vec<u8> {
    frame(Mac::BROADCAST, net.party(A).mac, ARP, &arp.bytes())
}

fn request(net: &Net, place: Who) -> Case {
    let (own, other, router) = (net.party(A), net.party(B), net.party(Host));
    let right = Arp::request(own.mac, own.v4, net.party(place).v4);
    let send = |arp: Arp| broadcast(net, arp);
    let with = |change: fn(&mut Arp)| {
        let mut arp = right;
        change(&mut arp);
        send(arp)
    };
    let short = place == Host;
    Case::new("2.5", format!("asks by ARP for {place}"), A, place, send(right))
        .but("2.4", "gives another guest's MAC address", send(Arp { sender_mac: other.mac, ..right }))
        .but(
            "2.4",
            "gives its router's MAC address",
            send(Arp { sender_mac: net.next_hop(A, Host), ..right }),
        )
        .but("2.4", "gives no MAC address", send(Arp { sender_mac: Mac([0; 6]), ..right }))
        .but("2.4", "gives everybody's MAC address", send(Arp { sender_mac: Mac::BROADCAST, ..right }))
        .but("2.5", "in the name of another guest", send(Arp { sender: other.v4, ..right }))
        .but("2.5 3.3", "in the name of its router", send(Arp { sender: router.v4, ..right }))
        .but("2.5", "in the name of someone outside", send(Arp { sender: net.party(Outside).v4, ..right }))
        .but("2.5", "in the name of nobody", send(Arp { sender: Ipv4Addr::UNSPECIFIED, ..right }))
        .but("2.5", "in the name of everybody", send(Arp { sender: Ipv4Addr::BROADCAST, ..right }))
        .but("2.3", "for hardware of another kind", with(|arp| arp.hardware = 6))
        .but("2.3", "for another protocol", with(|arp| arp.protocol = 0x86dd))
        .but("2.3", "with longer MAC addresses", with(|arp| arp.lengths = [8, 4]))
        .unseen_if(short, "the kernel knows no such lengths")
        .but("2.3", "with longer addresses", with(|arp| arp.lengths = [6, 16]))
        .unseen_if(short, "the kernel knows no such lengths")
        .but("2.3", "as RARP", with(|arp| arp.operation = 3))
        .but("2.3", "as InARP", with(|arp| arp.operation = 8))
        .but("2.3", "as nothing", with(|arp| arp.operation = 0))
        .but("2.3", "as operation 257", with(|arp| arp.operation = 257))
        .but("2.1", "in a frame from another guest", frame(Mac::BROADCAST, other.mac, ARP, &right.bytes()))
        .but("2.1", "wholly as another guest", {
            frame(
                Mac::BROADCAST,
                other.mac,
                ARP,
                &Arp::request(other.mac, other.v4, net.party(place).v4).bytes(),
            )
        })
}

fn reply(net: &Net, place: Who) -> Case {
    let (own, other, router) = (net.party(A), net.party(B), net.party(Host));
    let peer = net.party(place);
    let right = Arp::reply(own.mac, own.v4, net.next_hop(A, place), peer.v4);
    let send = |arp: Arp| net.frame(A, place, ARP, &arp.bytes());
    Case::new("2.5", format!("answers ARP of {place}"), A, place, send(right))
        .but("2.4", "with another guest's MAC address", send(Arp { sender_mac: other.mac, ..right }))
        .but("2.5", "for another guest", send(Arp { sender: other.v4, ..right }))
        .but("2.5 3.3", "for its router", send(Arp { sender: router.v4, ..right }))
        .but("2.5", "for someone outside", send(Arp { sender: net.party(Outside).v4, ..right }))
        .but("2.5", "for nobody", send(Arp { sender: Ipv4Addr::UNSPECIFIED, ..right }))
        .but("2.3", "with shorter addresses", send(Arp { lengths: [6, 2], ..right }))
        .unseen_if(place == Host, "the kernel knows no such lengths")
}

fn gratuitous(net: &Net, place: Who) -> Case {
    let (own, other, router) = (net.party(A), net.party(B), net.party(Host));
    let claim = |address| broadcast(net, Arp::request(own.mac, address, address));
    let announce = |address| broadcast(net, Arp::reply(own.mac, address, Mac::BROADCAST, address));
    Case::new("2.5", format!("announces its address to {place}"), A, place, claim(own.v4))
        .but("2.5", "another guest's", claim(other.v4))
        .but("2.5 3.3", "its router's", claim(router.v4))
        .but("2.5", "another guest's, as a reply", announce(other.v4))
        .but("2.5 3.3", "its router's, as a reply", announce(router.v4))
}

fn probe(net: &Net, place: Who) -> Case {
    let own = net.party(A);
    let probe = |target| broadcast(net, Arp::request(own.mac, Ipv4Addr::UNSPECIFIED, target));
    Case::new("2.5", format!("probes its address before {place}"), A, place, probe(own.v4))
        .but("2.5", "another guest's, as if it came for it", probe(net.party(B).v4))
        .but("2.5 3.3", "its router's", probe(net.party(Host).v4))
        .but("2.5", "nobody's", probe(Ipv4Addr::UNSPECIFIED))
}
