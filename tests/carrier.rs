//! The kernel is at rest once many links were made.

mod support;

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use guestnet::Host;
use guestnet_lab::{Capability, Netns, lab_test, need, scratch, wait_until};
use nix::net::if_::if_nametoindex;
use serde_json::json;
use support::{apply, host, objects_in_host, sh, spec};

/// More than the kernel speaks of in two seconds, where it speaks of them at all.
const TAPS: usize = 400;

/// More than it speaks of at once, also while they are made by `ip`, which takes its time.
const BY_HAND: usize = 50;

/// What the kernel says of links while `work` is done, and some seconds after.
fn heard(work: impl FnOnce()) -> String {
    let path = scratch().join("heard");
    let said = || std::fs::read_to_string(&path).unwrap();
    let file = File::create(&path).unwrap();
    let mut monitor =
        Command::new("ip").args(["-o", "monitor", "link"]).stdout(Stdio::from(file)).spawn().unwrap();
    // It says nothing when it begins to listen.
    wait_until("the monitor listens", Duration::from_secs(10), || {
        sh("ip link add sign type veth peer name post; ip link del sign");
        said().contains("sign")
    })
    .unwrap();
    work();
    std::thread::sleep(Duration::from_secs(3));
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    said()
}

/// How often it was said that `link` is up.
fn times_up(said: &str, link: &str) -> usize {
    let of_link = |line: &&str| line.split([' ', '@']).any(|word| word.trim_end_matches(':') == link);
    said.lines().filter(of_link).filter(|line| line.contains(",UP")).count()
}

/// Taps made as guestnet makes them: all of them, then each asked for by its name, then all of them up.
fn by_hand() -> String {
    let all = |line: fn(usize) -> String| (0..BY_HAND).map(line).collect::<String>();
    all(|n| format!("tuntap add hand{n} mode tap\n"))
        + &all(|n| format!("link show dev hand{n}\n"))
        + &all(|n| format!("link set hand{n} up\n"))
}

/// A host with nothing but `lo`, where both ends of the first pair get the same index.
fn bare(name: &str) -> Netns {
    let host = Netns::make(name).unwrap();
    host.ip("link set lo up").unwrap();
    host.ip("address add 2001:db8:ff::1/128 dev lo").unwrap();
    host
}

lab_test! {
    /// The kernel gives the news of a carrier a second where it takes both ends for one link. One of three hosts that
    /// answers at once shows that nothing waits for that.
    fn what_is_done_has_a_network_also_on_a_bare_host() {
        let patience = Duration::from_millis(400);
        let answers = (1..=3_u8).any(|n| {
            let (name, guest) = (format!("bare{n}"), format!("web{n}"));
            let netns = bare(&name);
            let mut host = Host::in_namespace(&name.parse().unwrap()).unwrap();
            let mut web = support::guest(&guest, n);
            web.as_object_mut().unwrap().remove("proxied");
            host.apply(&spec(&json!({ "version": 1, "guests": [web] }))).unwrap();
            let inside = Netns::open(&guest).unwrap();
            let index = |netns: &Netns, link: &str| netns.run(|| if_nametoindex(link.as_bytes())).unwrap();
            assert_eq!(index(&netns, &format!("vetho{guest}")), index(&inside, &format!("vethi{guest}")));
            let seconds = patience.as_secs_f32().to_string();
            inside.command("ping").args(["-nqc", "1", "-W", &seconds, "2001:db8:ff::1"]).status().unwrap().success()
        });
        assert!(answers);
    }

    /// A tap loses its carrier when its descriptor is closed. Once it is up, the kernel says so, for a hundred links a
    /// second, with the lock of all links held, unless that was settled before.
    fn taps_have_lost_their_carrier_before_they_are_up() {
        need(Capability::Tap);
        let links: Vec<_> =
            (0..TAPS).map(|n| json!({"name": format!("tap{n}"), "kind": {"tap": {}}, "up": true})).collect();
        let wanted = objects_in_host(&json!({"links": links}));
        let mut host = host();
        let batch = scratch().join("batch");
        std::fs::write(&batch, by_hand()).unwrap();
        let said = heard(|| {
            sh(&format!("ip -batch {} > /dev/null", batch.display()));
            apply(&mut host, &wanted);
        });
        // Linux 6.18 settles it when a link is asked for. On 6.1 it was said of one twice: there it may be of these as well.
        let most = (0..BY_HAND).map(|n| times_up(&said, &format!("hand{n}"))).max().unwrap();
        assert!(most > 0, "{said}");
        for n in 0..TAPS {
            let times = times_up(&said, &format!("tap{n}"));
            assert!((1..=most).contains(&times), "tap{n}: {times} times, and {most} by hand\n{said}");
        }
    }
}
