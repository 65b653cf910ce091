//! Random calls on one host, refused in every phase: whatever was called before, a refusal leaves the host as it was.

mod support;

use std::collections::BTreeMap;
use std::fs;

use guestnet::{Error, Host, HostSpec, Report, State};
use guestnet_lab::{Capability, Dice, Netns, lab_test, need};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use support::random::Wide;
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
    Filter,
    Address,
    Route,
    Neighbour,
    File,
}

impl Fault {
    const ALL: [Self; 8] = [
        Self::Link,
        Self::Sysctl,
        Self::NoSysctl,
        Self::Filter,
        Self::Address,
        Self::Route,
        Self::Neighbour,
        Self::File,
    ];
}

/// The seed of what is said for a host as a whole (a firewall with groups and tiers, bridges, how to translate) and of what its
/// guests are; `None` says nothing, and its guests differ in little.
type Setting = Option<u64>;

/// A call. Calls about a host as a whole have a setting; a part has that of the last apply.
#[derive(Clone, Debug)]
enum Call {
    Plan(Setting, Vec<Resident>, Option<Fault>),
    Verify(Setting, Vec<Resident>),
    Apply(Setting, Vec<Resident>),
    Add(Resident),
    Remove(Resident),
    RefusedApply(Setting, Vec<Resident>, Fault),
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

fn setting() -> impl Strategy<Value = Setting> {
    prop::option::weighted(0.8, 0..16_u64)
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        1 => (setting(), residents(), prop::option::of(fault())).prop_map(|(s, r, fault)| Call::Plan(s, r, fault)),
        1 => (setting(), residents()).prop_map(|(s, r)| Call::Verify(s, r)),
        3 => (setting(), residents()).prop_map(|(s, r)| Call::Apply(s, r)),
        1 => resident().prop_map(Call::Add),
        1 => resident().prop_map(Call::Remove),
        4 => (setting(), residents(), fault()).prop_map(|(s, r, fault)| Call::RefusedApply(s, r, fault)),
        2 => (resident(), fault()).prop_map(|(r, fault)| Call::RefusedAdd(r, fault)),
        1 => Just(Call::Open),
    ]
}

impl Resident {
    fn name(self) -> String {
        format!("vm{}", self.number)
    }

    fn guest(self, wide: Option<&Wide>) -> Value {
        let name = self.name();
        if let Some(wide) = wide {
            return self.random_guest(wide);
        }
        let mut guest = if self.own { guest(&name, self.number) } else { guest_in_host(&name, self.number) };
        match self.variant {
            1 => guest["interfaces"][0]["mtu"] = 1400.into(),
            2 => guest["interfaces"][0]["public_ipv4"] = format!("203.0.113.{}", 100 + self.number).into(),
            _ => {}
        }
        guest
    }

    /// The guest of its number and variant by chance, in its place.
    fn random_guest(self, wide: &Wide) -> Value {
        let mut dice = Dice::new(u64::from(self.variant) * 16 + u64::from(self.number));
        let in_place = |guest: &Value| (guest["placement"] != "host") == self.own;
        let mut guest = wide.guest(&mut dice, self.number);
        while !in_place(&guest) {
            guest = wide.guest(&mut dice, self.number);
        }
        guest["name"] = self.name().into();
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
            // EOVERFLOW.
            Self::Filter => {
                let limit = json!({"limit": {"rate": u64::MAX, "unit": "week", "burst": u32::MAX}});
                let chain = json!({"name": "c", "rules": [{"expressions": [limit]}]});
                json!({"host": {"tables": [{"family": "ip", "name": "guestnet_bad", "chains": [chain]}]}})
            }
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

fn spec_of(setting: Setting, residents: &[Resident], fault: Option<Fault>) -> HostSpec {
    let wide = setting.map(|seed| Wide::random(&mut Dice::new(seed)));
    let guests: Vec<Value> = residents.iter().map(|resident| resident.guest(wide.as_ref())).collect();
    let mut all = wide.map_or(json!({ "version": 1, "uplink": "uplink" }), |wide| {
        serde_json::to_value(wide.whole(&BTreeMap::new())).unwrap()
    });
    all["guests"] = guests.into();
    all["objects"] = fault.map_or(json!({}), Fault::objects);
    spec(&all)
}

fn spec_with(residents: &[Resident], fault: Option<Fault>) -> HostSpec {
    spec_of(None, residents, fault)
}

/// Everything in the host's namespace and in those of guests.
fn everything() -> String {
    let mut all = dump();
    for name in sh("ip netns list | cut -d' ' -f1 | sort").lines().filter(|name| name.starts_with("vm")) {
        all += &format!("## {name}\n{}", dump_of(&Netns::open(name).unwrap()));
    }
    by_tables(&all)
}

/// A dump with its tables in the order of their names. nft(8) lists them as they were made, which one is anew that a refused
/// change had replaced.
fn by_tables(dump: &str) -> String {
    let mut parts: Vec<Vec<&str>> = Vec::new();
    for line in dump.lines() {
        // A table begins, or something else after the tables.
        if line.starts_with("table ") || line.starts_with('#') {
            parts.push(Vec::new());
        }
        parts.last_mut().unwrap().push(line);
    }
    parts.chunk_by_mut(|a, b| [a, b].iter().all(|part| part[0].starts_with("table "))).for_each(<[_]>::sort);
    parts.concat().join("\n")
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

/// Carries `call` out on `host`, which has the `setting`.
fn carry_out(host: &mut Host, setting: &mut Setting, call: &Call) {
    match call {
        Call::Plan(s, residents, fault) => drop(host.plan(&spec_of(*s, residents, *fault)).unwrap()),
        Call::Verify(s, residents) => drop(host.verify(&spec_of(*s, residents, None)).unwrap()),
        Call::Apply(s, residents) => {
            *setting = *s;
            let wanted = spec_of(*s, residents, None);
            host.apply(&wanted).unwrap_or_else(|e| panic!("{call:?}\n{e}"));
            let left = Host::open().unwrap().verify(&wanted).unwrap();
            assert!(left.is_empty(), "{call:?}\n{left}");
        }
        Call::Add(resident) => {
            let wanted = spec_of(*setting, &[*resident], None);
            host.add(&wanted).unwrap_or_else(|e| panic!("{call:?}\n{e}"));
        }
        Call::Remove(resident) => {
            let gone = spec_of(*setting, &[*resident], None);
            host.remove(&gone).unwrap_or_else(|e| panic!("{call:?}\n{e}"));
        }
        Call::RefusedApply(s, residents, fault) => {
            let before = everything();
            refused(host.apply(&spec_of(*s, residents, Some(*fault))), &before, call);
        }
        Call::RefusedAdd(resident, fault) => {
            let before = everything();
            refused(host.add(&spec_of(*setting, &[*resident], Some(*fault))), &before, call);
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
        let (mut host, mut setting) = (Host::open().unwrap(), None);
        calls.iter().for_each(|call| carry_out(&mut host, &mut setting, call));
        host.remove_all().unwrap();
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}

lab_test! {
    fn a_refusal_leaves_the_host_as_it_was_whatever_was_called_before() {
        need(Capability::Tap);
        need(Capability::Bridge);
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
                        "apply" => refused(host.apply(&bad), &before, &Call::RefusedApply(None, all.clone(), fault)),
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
                let call = Call::RefusedApply(None, all.clone(), Fault::File);
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
