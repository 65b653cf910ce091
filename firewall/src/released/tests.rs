use std::slice::from_ref;

use super::*;
use crate::{FirewallSpec, GuestLink};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn guest(n: u8, addresses: &[&str]) -> GuestLink {
    let mac = format!("02:00:5e:00:53:{n:02x}").parse().unwrap();
    let mut guest = GuestLink::new(format!("tap{n}").parse().unwrap(), mac);
    guest.addresses = addresses.iter().map(|text| net(text)).collect();
    guest
}

fn on_bridge(bridge: &str, guest: GuestLink) -> GuestLink {
    GuestLink { bridge: Some(bridge.parse().unwrap()), ..guest }
}

fn host(guests: &[GuestLink]) -> FirewallSpec {
    FirewallSpec { guests: guests.to_vec(), ..FirewallSpec::default() }
}

/// The addresses that all tables release together, and those that are kept, as they are compared and printed.
fn between(old: &FirewallSpec, new: &FirewallSpec) -> Addresses {
    let (old, new) = (old.lower(), new.lower());
    let mut all = Addresses::default();
    for table in &old {
        let same = |other: &&Table| (other.family, &other.name) == (table.family, &table.name);
        let change = match new.iter().find(same) {
            Some(new) => Change::Replace { old: table.clone(), new: new.clone() },
            None => Change::Delete(table.clone()),
        };
        all.extend(&released(&change));
    }
    all
}

fn of(gone: &[&str], kept: &[&str]) -> Addresses {
    let mut addresses = Addresses::default();
    gone.iter().for_each(|text| addresses.insert(net(text)));
    kept.iter().for_each(|text| addresses.keep(net(text)));
    addresses
}

const ONE: [&str; 2] = ["192.168.0.1/32", "2001:db8:1::/64"];
const TWO: [&str; 2] = ["192.168.0.2/32", "2001:db8:2::/64"];

#[test]
fn what_is_nobodys_any_more_is_released() {
    let (one, two) = (guest(1, &ONE), guest(2, &TWO));
    let both = host(&[one.clone(), two.clone()]);
    assert_eq!(between(&both, &host(std::slice::from_ref(&one))), of(&TWO, &[]));
    assert_eq!(between(&both, &FirewallSpec::default()), of(&[ONE, TWO].concat(), &[]));
    assert_eq!(between(&host(&[one]), &both), Addresses::default());
    assert_eq!(between(&both, &both), Addresses::default());
    // That by which others know it, too.
    let known = GuestLink { known_as: vec![net("203.0.113.2/32")], ..two.clone() };
    assert_eq!(between(&host(&[known]), &host(&[two])), of(&["203.0.113.2/32"], &[]));
}

#[test]
fn a_prefix_that_changes_its_length_is_kept_as_far_as_it_stays() {
    let with = |prefix: &str| host(&[guest(1, &["192.168.0.1/32", prefix])]);
    let (long, short) = (with("2001:db8:1::/64"), with("2001:db8:1::/56"));
    assert_eq!(between(&long, &short), Addresses::default());
    assert_eq!(between(&short, &long), of(&["2001:db8:1::/56"], &["2001:db8:1::/64"]));
    // Another guest has the larger one.
    let other = host(&[guest(1, &["192.168.0.1/32"]), guest(2, &["2001:db8:1::/56"])]);
    assert_eq!(between(&long, &other), of(&["2001:db8:1::/64"], &[]));
    assert_eq!(between(&other, &long), of(&["2001:db8:1::/56"], &[]));
}

#[test]
fn an_address_that_gets_another_link_is_released() {
    let (one, two) = (guest(1, &ONE), guest(2, &ONE));
    assert_eq!(between(&host(from_ref(&one)), &host(from_ref(&two))), of(&ONE, &[]));
    // Into a bridge, from one port to another, and back.
    let [port, other] = [&one, &two].map(|guest| on_bridge("br0", guest.clone()));
    assert_eq!(between(&host(from_ref(&one)), &host(from_ref(&other))), of(&ONE, &[]));
    let local = one.link_local().to_string();
    assert_eq!(between(&host(from_ref(&port)), &host(&[other])), of(&[&ONE[..], &[&local]].concat(), &[]));
    assert_eq!(between(&host(from_ref(&port)), &host(&[two])), of(&[&ONE[..], &[&local]].concat(), &[]));
    // From a namespace of its own, and into one.
    let beyond = ONE.map(net).to_vec();
    let inner = FirewallSpec { inner: ["up1".parse().unwrap()].into(), beyond, ..FirewallSpec::default() };
    assert_eq!(between(&inner, &host(from_ref(&one))), of(&ONE, &[]));
    assert_eq!(between(&host(&[one]), &inner), of(&ONE, &[]));
    assert_eq!(between(&inner, &FirewallSpec::default()), of(&ONE, &[]));
    assert_eq!(between(&inner, &inner), Addresses::default());
}

#[test]
fn on_a_bridge_link_local_addresses_go_too_and_what_others_may_have_stays() {
    let shared = vec![net("10.0.0.0/8")];
    let [one, two] = [guest(1, &ONE), guest(2, &TWO)];
    let one = on_bridge("br0", GuestLink { shared: shared.clone(), ..one });
    let two = on_bridge("br0", GuestLink { shared, ..two });
    let [local, others] = [&one, &two].map(|guest| guest.link_local().to_string());
    let both = host(&[one, two.clone()]);
    let gone = [&ONE[..], &[&local]].concat();
    assert_eq!(between(&both, &host(&[two])), of(&gone, &[]));
    assert_eq!(between(&both, &FirewallSpec::default()), of(&[&gone[..], &TWO, &[&others]].concat(), &[]));
    // What is routed the other table tells of.
    let own = both.lower().into_iter().find(|table| table.family == Family::Bridge).unwrap();
    assert_eq!(released(&Change::Delete(own)), of(&[&local, &others], &[]));
}
