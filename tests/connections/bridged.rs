//! Guests that are ports of a bridge, which talk with each other.

use guestnet::HostSpec;
use guestnet_lab::{Capability, Guest, Netns, lab_test, need};
use serde_json::{Value, json};

use crate::support::{apply, host, spec};
use crate::talk::{Talk, gets_what_it_may, mac, narrow, open, world};

fn port(name: &str, n: u8, access: &Value) -> Value {
    json!({ "name": name, "placement": "host", "access": access, "interfaces": [{
        "name": format!("tap{name}"), "bridge": "br0", "mac": mac(name).to_string(),
        "private_ipv4": format!("192.168.5.{n}"), "public_ipv6": format!("2001:db8:7::{n:x}/128"),
    }]})
}

fn host_of(guests: &[Value]) -> HostSpec {
    let bridges = json!([{ "name": "br0", "addresses": ["192.168.5.254/24", "2001:db8:7::fe/64"] }]);
    spec(&json!({ "version": 1, "uplink": "uplink", "bridges": bridges, "guests": guests, "firewall": {} }))
}

fn plug(name: &str, n: u8) -> Guest {
    let here = Netns::here().unwrap();
    let guest = Guest::plug(&format!("vm{name}"), &here, &format!("tap{name}"), Some(mac(name))).unwrap();
    guest.netns().ip(&format!("address add 192.168.5.{n}/24 dev eth0")).unwrap();
    guest.netns().ip(&format!("address add 2001:db8:7::{n:x}/64 dev eth0 nodad")).unwrap();
    guest
}

/// Lists of who takes and sends whatever comes.
fn free() -> Value {
    json!({ "egress": [{}], "ingress": [{}] })
}

/// `change` takes the guest old away and brings new in its place.
fn ends(change: impl FnOnce(&mut guestnet::Host)) {
    need(Capability::Bridge);
    need(Capability::BridgeConntrack);
    let _world = world();
    let mut host = host();
    apply(
        &mut host,
        &host_of(&[port("old", 7, &open()), port("peer", 8, &free()), port("third", 9, &open())]),
    );
    let (old, peer, third) = (plug("old", 7), plug("peer", 8), plug("third", 9));
    let addresses = |n: u8| [format!("192.168.5.{n}"), format!("2001:db8:7::{n:x}")];
    let begin = |guest: &Guest, n: u8| -> Vec<Talk> {
        let pairs = addresses(n).into_iter().zip(addresses(8));
        pairs
            .map(|(from, to)| Talk::begin(guest.netns(), &from, peer.netns(), &to, 4000 + u16::from(n)))
            .collect()
    };
    let (talks, others) = (begin(&old, 7), begin(&third, 9));
    change(&mut host);
    drop(old);
    let new = plug("new", 7);
    for ((talk, to), from) in talks.iter().zip(addresses(7)).zip(addresses(8)) {
        // The peer learns who has the address now.
        peer.netns().ip("neigh flush dev eth0").unwrap();
        gets_what_it_may(new.netns(), &to, peer.netns(), &from);
        assert!(!talk.reaches(new.netns()), "new gets what is for who had {to} before");
    }
    crate::talk::go_on(&others, &third);
}

lab_test! {
    fn of_a_port_that_is_removed_by_itself() {
        ends(|host| {
            host.remove(&host_of(&[port("old", 7, &open())])).unwrap();
            host.add(&host_of(&[port("new", 7, &narrow())])).unwrap();
        });
    }

    fn of_a_port_in_whose_place_there_is_another_at_once() {
        ends(|host| {
            let all = [port("new", 7, &narrow()), port("peer", 8, &free()), port("third", 9, &open())];
            apply(host, &host_of(&all));
        });
    }
}
