//! Random calls on one host, refused in every phase: whatever was called before, a refusal leaves the host as it was.

mod support;

use std::fs;

use guestnet::{Error, Host, HostSpec, Report, State};
use guestnet_lab::{Capability, Netns, lab_test, need};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use support::{dump, dump_of, guest, guest_in_host, same, sh, spec, with_uplink};

/// One guest of a spec: whether it has a namespace of its own, and which of its variants it is.
#[derive(Clone, Copy, Debug)]
struct Resident {
    number: u8,
    own: bool,
    variant: u8,
}

/// What is refused, and so in which phase.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Link,
    Sysctl,
    NoSysctl,
    Address,
    Route,
    Neighbour,
    File,
}

impl Fault {
    const ALL: [Self; 7] =
        [Self::Link, Self::Sysctl, Self::NoSysctl, Self::Address, Self::Route, Self::Neighbour, Self::File];
}

#[derive(Clone, Debug)]
enum Call {
    Plan(Vec<Resident>, Option<Fault>),
    Verify(Vec<Resident>),
    Apply(Vec<Resident>),
    Add(Resident),
    Remove(Resident),
    RefusedApply(Vec<Resident>, Fault),
    RefusedAdd(Resident, Fault),
    /// Another process opens the host.
    Open,
}

fn resident() -> impl Strategy<Value = Resident> {
    // A guest stays where it is placed: who moves is another guest.
    (1..5_u8, 0..3_u8).prop_map(|(number, variant)| Resident { number, own: number % 2 == 0, variant })
}

fn residents() -> impl Strategy<Value = Vec<Resident>> {
    vec(resident(), 0..4).prop_map(|mut residents| {
        residents.sort_by_key(|resident| resident.number);
        residents.dedup_by_key(|resident| resident.number);
        residents
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    prop::sample::select(&Fault::ALL[..])
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        1 => (residents(), prop::option::of(fault())).prop_map(|(r, fault)| Call::Plan(r, fault)),
        1 => residents().prop_map(Call::Verify),
        3 => residents().prop_map(Call::Apply),
        1 => resident().prop_map(Call::Add),
        1 => resident().prop_map(Call::Remove),
        4 => (residents(), fault()).prop_map(|(r, fault)| Call::RefusedApply(r, fault)),
        2 => (resident(), fault()).prop_map(|(r, fault)| Call::RefusedAdd(r, fault)),
        1 => Just(Call::Open),
    ]
}

impl Resident {
    fn name(self) -> String {
        format!("vm{}", self.number)
    }

    fn guest(self) -> Value {
        let name = self.name();
        let mut guest = if self.own { guest(&name, self.number) } else { guest_in_host(&name, self.number) };
        match self.variant {
            1 => guest["interfaces"][0]["mtu"] = 1400.into(),
            2 => guest["interfaces"][0]["public_ipv4"] = format!("203.0.113.{}", 100 + self.number).into(),
            _ => {}
        }
        guest
    }
}

impl Fault {
    /// Objects of the host that have it.
    fn objects(self) -> Value {
        match self {
            // The uplink is no bridge.
            Self::Link => {
                json!({"host": {"links": [{"name": "t0", "kind": {"tap": {}}, "bridge": "uplink"}]}})
            }
            Self::Sysctl => json!({"host": {"sysctls": [{"key": "net.ipv4.ip_default_ttl", "value": "0"}]}}),
            // No kernel has it.
            Self::NoSysctl => json!({"host": {"sysctls": [{"key": "net.ipv4.no_such_thing", "value": "1"}]}}),
            Self::Address => {
                json!({"host": {"addresses": [{"dev": "missing", "address": "10.1.0.1/24"}]}})
            }
            // ENETUNREACH.
            Self::Route => {
                json!({"host": {"routes": [{"to": "198.51.101.0/24", "via": "192.0.2.99", "dev": "lo"}]}})
            }
            Self::Neighbour => {
                json!({"host": {"neighbours": [{"address": "2001:db8::99", "dev": "missing"}]}})
            }
            Self::File => json!({"files": [{"path": "blocked", "content": "x\n"}]}),
        }
    }
}

fn spec_with(residents: &[Resident], fault: Option<Fault>) -> HostSpec {
    let guests: Vec<Value> = residents.iter().map(|resident| resident.guest()).collect();
    let objects = fault.map_or(json!({}), Fault::objects);
    spec(&json!({ "version": 1, "uplink": "uplink", "guests": guests, "objects": objects }))
}

/// Everything in the host's namespace and in those of guests.
fn everything() -> String {
    let mut all = dump();
    for name in sh("ip netns list | cut -d' ' -f1 | sort").lines().filter(|name| name.starts_with("vm")) {
        all += &format!("## {name}\n{}", dump_of(&Netns::open(name).unwrap()));
    }
    all
}

fn refused(result: Result<Report, Error>, before: &str, call: &Call) {
    match result {
        Err(Error::Apply(failure)) => {
            assert!(matches!(failure.state, State::Undone(_)), "{call:?}\n{failure}");
        }
        Err(Error::Core(error)) => {
            assert!(error.to_string().contains("nothing was changed"), "{call:?}\n{error}")
        }
        other => panic!("{call:?} was not refused: {other:?}"),
    }
    same(before, &everything());
}

fn carry_out(host: &mut Host, call: &Call) {
    match call {
        Call::Plan(residents, fault) => drop(host.plan(&spec_with(residents, *fault)).unwrap()),
        Call::Verify(residents) => drop(host.verify(&spec_with(residents, None)).unwrap()),
        Call::Apply(residents) => {
            let wanted = spec_with(residents, None);
            host.apply(&wanted).unwrap_or_else(|e| panic!("{call:?}\n{e}"));
            let left = Host::open().unwrap().verify(&wanted).unwrap();
            assert!(left.is_empty(), "{call:?}\n{left}");
        }
        Call::Add(resident) => {
            let wanted = spec_with(&[*resident], None);
            host.add(&wanted).unwrap_or_else(|e| panic!("{call:?}\n{e}"));
        }
        Call::Remove(resident) => {
            host.remove(&spec_with(&[*resident], None)).unwrap_or_else(|e| panic!("{call:?}\n{e}"));
        }
        Call::RefusedApply(residents, fault) => {
            let before = everything();
            refused(host.apply(&spec_with(residents, Some(*fault))), &before, call);
        }
        Call::RefusedAdd(resident, fault) => {
            let before = everything();
            refused(host.add(&spec_with(&[*resident], Some(*fault))), &before, call);
        }
        Call::Open => *host = Host::open().unwrap(),
    }
}

/// Runs `cases` sequences of calls, each on a host that nothing is known of.
fn run(cases: u32, seed: [u8; 32]) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&vec(call(), 6..10), |calls| {
        let mut host = Host::open().unwrap();
        calls.iter().for_each(|call| carry_out(&mut host, call));
        host.remove_all().unwrap();
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}

lab_test! {
    fn a_refusal_leaves_the_host_as_it_was_whatever_was_called_before() {
        need(Capability::Tap);
        let _outside = with_uplink();
        // In the way of a file.
        fs::create_dir_all("/run/guestnet/blocked/x").unwrap();
        // `GUESTNET_REFUSALS=100`: so many other sequences.
        match std::env::var("GUESTNET_REFUSALS").ok().and_then(|cases| cases.parse().ok()) {
            Some(cases) => run(cases, std::array::from_fn(|n| (std::process::id() >> (n % 4 * 8)) as u8)),
            None => run(8, [7; 32]),
        }
    }

    fn a_retry_of_a_refused_change_leaves_guests_alone() {
        need(Capability::Tap);
        let _outside = with_uplink();
        fs::create_dir_all("/run/guestnet/blocked/x").unwrap();
        let all: Vec<Resident> = (1..4).map(|number| Resident { number, own: number < 3, variant: 0 }).collect();
        for fault in Fault::ALL {
            let mut host = Host::open().unwrap();
            host.apply(&spec_with(&all, None)).unwrap();
            let before = everything();
            let bad = spec_with(&all, Some(fault));
            for calls in ["plan, apply", "apply, apply", "verify, apply, apply"] {
                for call in calls.split(", ") {
                    match call {
                        "apply" => refused(host.apply(&bad), &before, &Call::RefusedApply(all.clone(), fault)),
                        "verify" => drop(host.verify(&bad).unwrap()),
                        _ => drop(host.plan(&bad).unwrap()),
                    }
                }
            }
        }
    }

    /// A guest's file is not there any more, and cannot be written.
    fn a_directory_in_place_of_a_guests_file() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let all: Vec<Resident> = (1..5).map(|number| Resident { number, own: number % 2 == 0, variant: 0 }).collect();
        let wanted = spec_with(&all, None);
        for (place, resident) in all.iter().enumerate().take(2) {
            let mut known = Host::open().unwrap();
            known.apply(&wanted).unwrap();
            let file = format!("/run/guestnet/{}/dnsmasq.conf", resident.name());
            sh(&format!("rm {file}; mkdir -p {file}/x"));
            let before = everything();
            let mut other = all.clone();
            other[place + 1].variant = 2;
            for mut host in [known, Host::open().unwrap()] {
                let call = Call::RefusedApply(all.clone(), Fault::File);
                refused(host.apply(&wanted), &before, &call);
                refused(host.apply(&spec_with(&other, None)), &before, &call);
                refused(host.add(&spec_with(&[*resident], None)), &before, &call);
            }
            // A directory is somebody else's, and stays where the guest goes.
            Host::open().unwrap().remove(&spec_with(&[*resident], None)).unwrap();
            sh(&format!("cd /run/guestnet; rmdir -p {}/dnsmasq.conf/x", resident.name()));
            Host::open().unwrap().apply(&wanted).unwrap();
        }
        Host::open().unwrap().remove_all().unwrap();
    }
}
