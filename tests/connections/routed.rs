//! Guests on routed links, and in namespaces of their own.

use std::sync::{Arc, Mutex};

use guestnet::Host;
use guestnet::core::Act;
use guestnet_lab::{Guest, Netns, lab_test};
use serde_json::{Value, json};

use crate::talk::{
    Talk, WORLD, addresses, apply, are_over, go_on, guest, host, host_of, mac, narrow, open, plug, talks,
    world,
};

/// A host with the guests old and other, which talk with the outside.
struct Old {
    world: Netns,
    host: Host,
    old: Guest,
    other: Guest,
    talks: Vec<Talk>,
    others: Vec<Talk>,
}

fn other() -> Value {
    guest("other", 8, &open())
}

fn old() -> Value {
    guest("old", 7, &open())
}

fn new() -> Value {
    guest("new", 7, &narrow())
}

impl Old {
    fn build() -> Self {
        let world = world();
        let mut host = host();
        apply(&mut host, &host_of(&[old(), other()]));
        let here = Netns::here().unwrap();
        let (old, other) = (plug("old", &here, 7), plug("other", &here, 8));
        let (talks, others) = (talks(&old, 7, &world), talks(&other, 8, &world));
        Self { world, host, old, other, talks, others }
    }

    /// The guest new has the addresses of old, and gets nothing that was for it.
    fn ends(self) {
        drop(self.old);
        let _new = are_over(&self.talks, "new", 7, &self.world);
        go_on(&self.others, &self.other);
    }
}

lab_test! {
    fn of_a_guest_that_is_removed_by_itself() {
        let mut lab = Old::build();
        let told = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&told);
        lab.host.watch(move |act: &Act<'_>| noted.lock().unwrap().push(act.to_string()));
        let conntrack = || told.lock().unwrap().drain(..).filter(|act: &String| act.contains("IPCTNL")).count();
        // Who comes costs nothing.
        lab.host.add(&host_of(&[guest("more", 9, &open())])).unwrap();
        assert_eq!(conntrack(), 0);
        let report = lab.host.remove(&host_of(&[old()])).unwrap();
        assert!(conntrack() > 0);
        assert_eq!(report.warnings, Vec::<String>::new());
        lab.host.add(&host_of(&[new()])).unwrap();
        assert_eq!(conntrack(), 0);
        lab.ends();
    }

    fn of_a_guest_that_is_not_in_the_spec_any_more() {
        let mut lab = Old::build();
        let plan = lab.host.plan(&host_of(&[other()])).unwrap();
        let said = "ends the connections of 192.168.0.7, 2001:db8:7:7::/64";
        assert!(plan.to_string().contains(said), "{plan}");
        apply(&mut lab.host, &host_of(&[other()]));
        apply(&mut lab.host, &host_of(&[other(), new()]));
        lab.ends();
    }

    fn of_a_guest_in_whose_place_there_is_another_at_once() {
        let mut lab = Old::build();
        apply(&mut lab.host, &host_of(&[other(), new()]));
        lab.ends();
    }

    fn of_a_guest_that_gets_other_addresses() {
        let mut lab = Old::build();
        let moved = guest("old", 10, &open());
        lab.host.add(&host_of(std::slice::from_ref(&moved))).unwrap();
        apply(&mut lab.host, &host_of(&[other(), moved, new()]));
        lab.ends();
    }

    fn of_many_that_go_at_once() {
        let mut lab = Old::build();
        let more: Vec<Value> = (20..30).map(|n| guest(&format!("more{n}"), n, &open())).collect();
        apply(&mut lab.host, &host_of(&[more.clone(), vec![old(), other()]].concat()));
        apply(&mut lab.host, &host_of(&[other()]));
        apply(&mut lab.host, &host_of(&[other(), new()]));
        lab.ends();
    }

    fn of_a_host_that_has_nothing_any_more() {
        let mut lab = Old::build();
        lab.host.remove_all().unwrap();
        apply(&mut lab.host, &host_of(&[new()]));
        drop(lab.old);
        let _new = are_over(&lab.talks, "new", 7, &lab.world);
    }

    /// A part of a prefix stays with its guest, and so do its connections; the rest does not.
    fn of_a_prefix_that_becomes_narrower() {
        let world = world();
        let mut host = host();
        let with = |prefix: &str| {
            let mut guest = old();
            guest["interfaces"][0]["public_ipv6"] = prefix.into();
            guest
        };
        apply(&mut host, &host_of(&[with("2001:db8:7::/56")]));
        let old = plug("old", &Netns::here().unwrap(), 7);
        old.netns().ip("-6 route replace default via 2001:db8:7::1 dev eth0 onlink").unwrap();
        old.netns().ip("address add 2001:db8:7:77::2/64 dev eth0 nodad").unwrap();
        let stays = Talk::begin(old.netns(), &addresses(7)[1], &world, WORLD[1], 4007);
        let goes = Talk::begin(old.netns(), "2001:db8:7:77::2", &world, WORLD[1], 4077);
        apply(&mut host, &host_of(&[with("2001:db8:7:7::/64")]));
        old.netns().ip("-6 route replace default via 2001:db8:7:7::1").unwrap();
        go_on(&[stays], &old);
        apply(&mut host, &host_of(&[with("2001:db8:7:7::/64"), guest("new", 0x77, &narrow())]));
        let new = plug("new", &Netns::here().unwrap(), 0x77);
        crate::talk::gets_what_it_may(new.netns(), "2001:db8:7:77::2", &world, WORLD[1]);
        assert!(!goes.reaches(new.netns()));
    }

    /// Somebody else's rules hide the guest behind the host's address.
    fn of_a_guest_that_others_translate() {
        let world = world();
        let here = Netns::here().unwrap();
        here.nft("table ip others { chain out { type nat hook postrouting priority srcnat;
            oifname uplink ip saddr 192.168.0.0/16 masquerade; }; }").unwrap();
        let mut host = host();
        apply(&mut host, &host_of(&[old()]));
        let old_one = plug("old", &here, 7);
        let talk = Talk::begin(old_one.netns(), &addresses(7)[0], &world, WORLD[0], 4007);
        host.remove(&host_of(&[old()])).unwrap();
        apply(&mut host, &host_of(&[new()]));
        drop(old_one);
        let _new = are_over(&[talk], "new", 7, &world);
    }

    /// In the host's namespace nothing is asked about it, until its prefix is that of a guest who lives there.
    fn of_a_guest_in_a_namespace_of_its_own() {
        let world = world();
        let mut host = host();
        let own = json!({ "name": "old", "access": open(), "interfaces": [{
            "name": "tapold", "mac": mac("old").to_string(), "public_ipv6": "2001:db8:7:7::/64" }]});
        apply(&mut host, &host_of(&[own.clone(), other()]));
        let old = plug("old", &Netns::open("old").unwrap(), 7);
        let talk = Talk::begin(old.netns(), &addresses(7)[1], &world, WORLD[1], 4007);
        host.remove(&host_of(&[own])).unwrap();
        drop(old);
        let mut next = new();
        next["interfaces"][0].as_object_mut().unwrap().retain(|key, _| !key.ends_with("ipv4"));
        apply(&mut host, &host_of(&[other(), next]));
        let new = plug("new", &Netns::here().unwrap(), 7);
        crate::talk::gets_what_it_may(new.netns(), &addresses(7)[1], &world, WORLD[1]);
        assert!(!talk.reaches(new.netns()));
    }
}
