//! Runs that are killed, and repeated by who knows nothing of them.

use guestnet::core::Act;
use guestnet::{Host, HostSpec};
use guestnet_lab::{Netns, lab_test};
use serde_json::Value;

use crate::talk::{
    Talk, WORLD, addresses, apply, gets_what_it_may, guest, host_of, narrow, open, plug, world,
};

/// Applies `spec` up to the first act of which `word` is told. What a thread does that panics is undone by nobody, as what a
/// process does that is killed.
fn killed(spec: &HostSpec, word: &'static str) {
    let spec = spec.clone();
    let run = std::thread::spawn(move || {
        let mut host = Host::open().unwrap();
        host.watch(move |act: &Act<'_>| assert!(!act.to_string().contains(word), "killed"));
        drop(host.apply(&spec));
    });
    assert!(run.join().is_err(), "{word} was never done");
}

fn with_prefix(mut guest: Value, prefix: &str) -> Value {
    guest["interfaces"][0]["public_ipv6"] = prefix.into();
    guest
}

/// The guest old goes, the run is killed at `word` and repeated; new has the address then.
fn ends(prefix: &str, word: &'static str) {
    let world = world();
    let here = Netns::here().unwrap();
    let [old, new] = [("old", open()), ("new", narrow())].map(|(name, access)| guest(name, 7, &access));
    let [old, new] = [with_prefix(old, prefix), with_prefix(new, prefix)];
    let other = with_prefix(guest("other", 8, &open()), "2001:db8:7:800::/64");
    let mut host = Host::open().unwrap();
    apply(&mut host, &host_of(&[old, other.clone()]));
    let plugged = plug("old", &here, 7);
    let router = format!("{}1", prefix.split('/').next().unwrap());
    plugged.netns().ip(&format!("-6 route replace default via {router} dev eth0 onlink")).unwrap();
    let talk = Talk::begin(plugged.netns(), &addresses(7)[1], &world, WORLD[1], 4007);
    let without = host_of(std::slice::from_ref(&other));
    killed(&without, word);
    apply(&mut Host::open().unwrap(), &without);
    apply(&mut Host::open().unwrap(), &host_of(&[other, new]));
    drop(plugged);
    let plugged = plug("new", &here, 7);
    plugged.netns().ip(&format!("-6 route replace default via {router} dev eth0 onlink")).unwrap();
    gets_what_it_may(plugged.netns(), &addresses(7)[1], &world, WORLD[1]);
    assert!(!talk.reaches(plugged.netns()), "{prefix}, killed at {word}");
}

lab_test! {
    fn before_connections_are_asked_for() {
        ends("2001:db8:7:7::/64", "IPCTNL_MSG_CT_GET");
    }

    fn before_connections_end() {
        ends("2001:db8:7:7::/64", "IPCTNL_MSG_CT_DELETE");
    }

    fn before_the_address_goes() {
        ends("2001:db8:7:7::/64", "NFT_MSG_DELSETELEM");
    }

    /// With the last prefix of its length rules go too, and that is done first.
    fn when_the_rules_are_new_already() {
        ends("2001:db8:7::/56", "IPCTNL_MSG_CT_GET");
    }
}
