//! Many connections of others, among which one guest's are found.

use std::net::UdpSocket;
use std::time::Instant;

use guestnet_lab::{Netns, lab_test};
use serde_json::json;

use crate::talk::{
    addresses, apply, are_over, go_on, guest, host, host_of, narrow, open, plug, talks, world,
};

/// More than fit into one datagram of an answer. More are for who wants to know what it costs (`GUESTNET_CONNECTIONS`).
const MANY: u16 = 2000;

fn connections() -> u32 {
    Netns::here().unwrap().sysctl("net/netfilter/nf_conntrack_count").unwrap().parse().unwrap()
}

lab_test! {
    #[expect(clippy::print_stderr, reason = "it is for whoever has asked for it")]
    fn of_one_guest_among_many() {
        let many = std::env::var("GUESTNET_CONNECTIONS").ok();
        let many: u16 = many.as_deref().map_or(MANY, |many| many.parse().unwrap());
        let world = world();
        let mut host = host();
        let [old, new] = [("old", open()), ("new", narrow())].map(|(name, access)| guest(name, 7, &access));
        let other = guest("other", 8, &json!({ "egress": [{}], "ingress": [{}] }));
        apply(&mut host, &host_of(&[old.clone(), other]));
        let here = Netns::here().unwrap();
        let (plugged, theirs) = (plug("old", &here, 7), plug("other", &here, 8));
        let (old_talks, others) = (talks(&plugged, 7, &world), talks(&theirs, 8, &world));
        for (to, from) in addresses(8).into_iter().zip(crate::talk::WORLD) {
            let socket = world.run(|| UdpSocket::bind((from, 999))).unwrap();
            for port in 1..=many {
                // That nobody listens there is said of the one before.
                let _ = socket.send_to(b"open", (to.as_str(), port));
            }
        }
        let before = connections();
        assert!(before >= 2 * u32::from(many) * 9 / 10, "{before}");
        let began = Instant::now();
        let report = host.remove(&host_of(&[old])).unwrap();
        if std::env::var_os("GUESTNET_CONNECTIONS").is_some() {
            eprintln!("{before} connections: removed in {:?}\n{report}\n{:?}", began.elapsed(), report.phases);
        }
        assert_eq!(report.warnings, Vec::<String>::new());
        let after = connections();
        assert!(after < before && before - after < 20, "of {before} connections {after} are left");
        host.add(&host_of(&[new])).unwrap();
        drop(plugged);
        let _new = are_over(&old_talks, "new", 7, &world);
        go_on(&others, &theirs);
    }
}
