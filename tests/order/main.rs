//! No order of a plan opens what is closed before and after it: probes are sent all the while, and none comes through.

mod answers;
mod settings;
#[path = "../support/mod.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use guestnet_lab::craft::{ethernet, ipv4::Ipv4, transport};
use guestnet_lab::frame::{self, Frame};
use guestnet_lab::{Capability, Capture, Mac, Netns, Tap, lab_test, need};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use support::{guest_in_host, host, sh, spec, with_uplink};

/// Where a probe goes that nobody answers.
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// The guest that sends probes.
const PRIVATE: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 7);
const GUEST: Mac = Mac([0x02, 0, 0x5e, 0, 0x53, 7]);
const PORT: u16 = 9999;

/// Guests that make a plan long.
fn crowd(count: u8) -> Vec<Value> {
    (0..count).map(|n| guest_in_host(&format!("crowd{n}"), 100 + n)).collect()
}

fn with_objects(objects: &Value, crowded: bool) -> Value {
    let guests = crowd(if crowded { 40 } else { 0 });
    json!({ "version": 1, "uplink": "uplink", "guests": guests, "objects": { "host": objects } })
}

/// Applies `pairs` one after the other, of which every first and second is closed, while `send` sends; how many probes were
/// sent meanwhile.
fn changes(specs: &[Value], send: impl Fn() + Sync) -> usize {
    let mut host = host();
    host.apply(&spec(&specs[0])).unwrap();
    let (done, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                send();
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        let applied = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            specs[1..]
                .iter()
                .for_each(|next| drop(host.apply(&spec(next)).unwrap_or_else(|e| panic!("{e}"))));
        }));
        done.store(true, Ordering::Relaxed);
        applied.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    sent.into_inner()
}

/// Frames outside that mention `address`.
fn leaked(capture: Capture, address: Ipv4Addr) -> usize {
    capture.stop().iter().filter(|frame| frame.mentions(IpAddr::from(address))).count()
}

/// Sends from the host itself to [`FAR`].
fn sender() -> impl Fn() + Sync {
    let socket = Netns::here().unwrap().run(|| UdpSocket::bind("198.51.100.2:0").unwrap());
    // What is stopped is refused to the sender.
    move || drop(socket.send_to(b"probe", (FAR, PORT)))
}

/// Neighbours are known, so that nothing waits for ARP.
fn outside() -> Netns {
    let outside = with_uplink();
    let mac = outside.ip("-o link show isp").unwrap();
    let mac = mac.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    sh(&format!("ip neigh replace 198.51.100.1 lladdr {mac} dev uplink nud permanent"));
    outside
}

/// A way to keep the host from sending to [`FAR`], with prefixes of some lengths around it.
#[derive(Clone, Copy, Debug)]
enum Closed {
    Blackhole(u8),
    Policy(u8),
}

impl Closed {
    fn objects(self) -> Value {
        let around = |length: u8| {
            let net = ipnet::Ipv4Net::new(FAR, length).unwrap().trunc();
            let other = ipnet::Ipv4Net::new(FAR, length + 1).unwrap().trunc();
            (net, other)
        };
        match self {
            Self::Blackhole(length) => {
                let (net, half) = around(length);
                json!({"routes": [{"to": net, "kind": "blackhole"}, {"to": half, "kind": "unreachable"}]})
            }
            Self::Policy(length) => {
                let (net, _) = around(length);
                json!({"policies": [{
                    "selector": {"src": "198.51.100.2/32", "dst": net}, "direction": "out",
                    "templates": [{"src": "fd00::1", "dst": "fd00::2", "reqid": 0x6700_0001_u32}],
                }]})
            }
        }
    }
}

fn closed() -> impl Strategy<Value = Closed> {
    let policies = guestnet_lab::has(Capability::XfrmPolicy).is_ok();
    let blackhole = (8..31_u8).prop_map(Closed::Blackhole);
    let policy = (8..32_u8).prop_map(Closed::Policy);
    if policies { prop_oneof![blackhole, policy].boxed() } else { blackhole.boxed() }
}

/// A datagram of the guest behind `tapvm`.
fn datagram(here: &Netns, to: Ipv4Addr) -> Vec<u8> {
    let router = here.ip("-o link show tapvm").unwrap();
    let router = router.split("link/ether ").nth(1).unwrap()[..17].parse::<Mac>().unwrap();
    let udp = transport::udp(PRIVATE.into(), to.into(), (PORT, PORT), b"probe");
    let packet = Ipv4::new(PRIVATE, to, transport::UDP).carrying(&udp);
    ethernet::frame(router, GUEST, frame::IPV4, &packet)
}

/// The lists of the guest behind `tapvm`, and the address by which it is known outside.
#[derive(Clone, Debug)]
struct Shape {
    access: Value,
    public: u8,
    mode: &'static str,
    crowded: bool,
}

impl Shape {
    fn spec(&self) -> Value {
        let mut guest = guest_in_host("vm", 7);
        guest["interfaces"][0]["access"] = self.access.clone();
        guest["interfaces"][0]["public_ipv4"] = format!("203.0.113.{}", self.public).into();
        let mut guests = crowd(if self.crowded { 40 } else { 1 });
        for (n, one) in guests.iter_mut().enumerate() {
            one["interfaces"][0]["access"] = json!({ "groups": [if n % 2 == 0 { "web" } else { "db" }] });
        }
        guests.push(guest);
        if self.mode == "notrack" {
            // Connections are hidden.
            guests.iter_mut().for_each(|guest| guest["interfaces"][0]["access"]["stateless"] = true.into());
        }
        json!({
            "version": 1, "uplink": "uplink", "nat": { "mode": self.mode }, "guests": guests,
            "firewall": {
                "groups": [
                    { "name": "web", "egress": [{ "protocol": "udp", "ports": ["53"] }] },
                    { "name": "db", "egress": [{ "prefixes": ["10.78.0.0/16"] }] },
                ],
                "tiers": [{ "from": "web", "to": "db", "protocol": "tcp", "ports": ["5432"] }],
            },
        })
    }
}

/// Shapes in which `access` is one of these, and the mode one of `modes`.
fn shapes(access: Vec<Value>, modes: &'static [&'static str]) -> impl Strategy<Value = Vec<Shape>> {
    let one = (prop::sample::select(access), 10..13_u8, prop::sample::select(modes));
    prop::collection::vec(one, 3..6).prop_map(|shapes| {
        let shapes = shapes.into_iter().enumerate();
        shapes
            .map(|(n, (access, public, mode))| Shape { access, public, mode, crowded: n % 2 == 1 })
            .collect()
    })
}

const MODES: [&str; 2] = ["tracked", "notrack"];

/// Runs `judge` over sequences of shapes with what came outside while they were applied one after the other and the guest sent.
fn while_shapes_change(
    outside: &Netns,
    (access, modes): (Vec<Value>, &'static [&'static str]),
    seed: u8,
    judge: impl Fn(&[Shape], &[Frame]),
) {
    let here = Netns::here().unwrap();
    let config = Config { cases: 4, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&shapes(access, modes), |shapes| {
        let specs: Vec<Value> = shapes.iter().map(Shape::spec).collect();
        host().apply(&spec(&specs[0])).unwrap();
        let tap = Tap::open_as_monitor(&here, "tapvm", false).unwrap();
        let probe = datagram(&here, FAR);
        let capture = Capture::start(outside, "isp").unwrap();
        let sent = changes(&specs, || drop(tap.send(&probe)));
        prop_assert!(sent > 100, "{} probes", sent);
        judge(&shapes, &capture.stop());
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
    host().remove_all().unwrap();
}

lab_test! {
    fn what_routes_and_policies_close_stays_closed() {
        need(Capability::Tap);
        let outside = outside();
        // The probe is one: where nothing is closed it comes through.
        let capture = Capture::start(&outside, "isp").unwrap();
        changes(&[with_objects(&json!({}), false), with_objects(&json!({}), true)], sender());
        assert!(leaked(capture, FAR) > 0);

        let config = Config { cases: 6, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let outcome = runner.run(&prop::collection::vec(closed(), 3..6), |kinds| {
            let crowded = (0..kinds.len()).map(|n| n % 2 == 1);
            let specs: Vec<Value> =
                kinds.iter().zip(crowded).map(|(closed, crowded)| with_objects(&closed.objects(), crowded)).collect();
            host().apply(&spec(&specs[0])).unwrap();
            let capture = Capture::start(&outside, "isp").unwrap();
            let sent = changes(&specs, sender());
            prop_assert!(sent > 100, "{} probes", sent);
            prop_assert_eq!(leaked(capture, FAR), 0, "of {} probes", sent);
            Ok(())
        });
        outcome.unwrap_or_else(|e| panic!("{e}"));
    }

    fn a_guest_that_stays_sends_no_more_while_its_lists_change() {
        need(Capability::Tap);
        let tcp = json!({ "egress": [{ "protocol": "tcp" }] });
        let denied = [
            tcp.clone(),
            json!({ "groups": ["web"] }),
            json!({ "groups": ["db", "web"], "egress": [{ "protocol": "icmp" }] }),
            json!({ "egress": [{ "deny": true, "protocol": "udp", "ports": ["9999"] }, {}] }),
            json!({ "egress": [{ "prefixes": ["10.78.0.0/16"] }], "stateless": true }),
            json!({}),
        ];
        let came_out = |frames: &[Frame]| frames.iter().filter(|frame| frame.mentions(IpAddr::from(FAR))).count();
        let outside = outside();
        while_shapes_change(&outside, (denied.into(), &MODES), 5, |shapes, frames| assert_eq!(came_out(frames), 0, "{shapes:?}"));
        // The probe is one: where a list lets it pass it comes out.
        while_shapes_change(&outside, (vec![json!({ "egress": [{}] })], &MODES), 6, |_, frames| assert!(came_out(frames) > 0));
    }

    /// The mode stays: a packet that has passed the first hook of `tracked` leaves as it is when `notrack` comes (src/apply.rs).
    fn a_private_address_is_not_seen_outside_while_translation_changes() {
        need(Capability::Tap);
        let open = [json!({ "egress": [{}] }), json!({ "egress": [{ "protocol": "udp" }], "stateless": true })];
        let outside = outside();
        for modes in [&MODES[..1], &MODES[1..]] {
            while_shapes_change(&outside, (open.to_vec(), modes), 7, |shapes, frames| {
                let of = |address: Ipv4Addr| frames.iter().filter(|frame| frame.mentions(IpAddr::from(address))).count();
                assert_eq!(of(PRIVATE), 0, "{shapes:?}");
                let public: usize = shapes.iter().map(|shape| of(Ipv4Addr::new(203, 0, 113, shape.public))).sum();
                assert!(public > 0, "{shapes:?}");
            });
        }
    }

    fn a_guest_that_leaves_reaches_nothing_on_its_way_out() {
        need(Capability::Tap);
        let outside = outside();
        let guest = || guest_in_host("vm", 7);
        let firewall = json!({});
        let with = |guests: Vec<Value>| {
            json!({ "version": 1, "uplink": "uplink", "firewall": firewall, "guests": guests })
        };
        let both = with(crowd(40).into_iter().chain([guest()]).collect());
        let without = with(crowd(2));
        let here = Netns::here().unwrap();
        let service = here.run(|| UdpSocket::bind(("0.0.0.0", PORT)).unwrap());
        service.set_nonblocking(true).unwrap();
        for _ in 0..3 {
            host().apply(&spec(&both)).unwrap();
            let tap = Tap::open_as_monitor(&here, "tapvm", false).unwrap();
            let datagram = |to| datagram(&here, to);
            // To the host, whose services it may not use, and out, where its lists let nothing go.
            let probes = [datagram(Ipv4Addr::new(192, 168, 0, 254)), datagram(FAR)];
            let capture = Capture::start(&outside, "isp").unwrap();
            let sent = changes(&[both.clone(), without.clone()], || {
                for probe in &probes {
                    let _ = tap.send(probe);
                }
            });
            assert!(sent > 100, "{sent} probes");
            let mut buffer = [0; 64];
            assert!(service.recv(&mut buffer).is_err(), "the host was reached");
            assert_eq!(leaked(capture, FAR), 0, "of {sent} probes");
        }
    }
}
