//! Laws of every host.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use guestnet_lab::Dice;
use serde_json::{Value, json};

use crate::call::{parsed, said};
use crate::changes;
use crate::host::Wanted;
use crate::support::{dump, same, settle, without_settings};

/// A host, and what was called on it.
pub struct Host {
    seed: u64,
    log: String,
}

impl Host {
    /// Runs the command with `spec` on its standard input; its exit code and what it said.
    fn run(&mut self, words: &[&str], spec: &Value) -> (i32, String) {
        writeln!(self.log, "guestnet {} <<< '{spec}'", words.join(" ")).unwrap();
        let (code, out, err) = said(words, &spec.to_string());
        (code, format!("{out}{err}"))
    }

    /// Runs it, which ends with `code`.
    #[track_caller]
    fn shall(&mut self, code: i32, words: &[&str], spec: &Value) -> String {
        let (ended, text) = self.run(words, spec);
        assert_eq!(ended, code, "{text}\n{}", self.log);
        text
    }

    /// Applies `spec`: it holds then, and there is nothing to do.
    #[track_caller]
    fn apply(&mut self, spec: &Value) {
        self.shall(0, &["apply", "-f", "-"], spec);
        self.shall(0, &["verify", "-f", "-"], spec);
        self.shall(0, &["plan", "-f", "-"], spec);
    }

    #[track_caller]
    fn remove_all(&mut self) {
        self.shall(0, &["remove"], &json!({}));
    }

    /// Asserts that the host is as it was; `how` leaves out what need not be.
    #[track_caller]
    fn is_as(&self, before: &str, what: &str, how: impl Fn(&str) -> String) {
        settle();
        let now = dump();
        let said = catch_unwind(AssertUnwindSafe(|| same(&how(before), &how(&now))));
        assert!(said.is_ok(), "seed {}: {what}\n{}", self.seed, self.log);
    }
}

/// Asserts that all laws hold of the host of `seed`; those of `whole` hosts that are compared take long.
pub fn hold(seed: u64, tunnels: bool, whole: bool) {
    let mut dice = Dice::new(seed);
    settle();
    let before = dump();
    let mut host = Host { seed, log: format!("GUESTNET_SEED={seed}\n") };
    let a = Wanted::random(&mut dice, tunnels);
    host.apply(&a.spec());
    settle();
    shown_is_what_is_there(&mut host);
    changed_by_hand(&mut host, &mut dice, &a);
    let b = a.another(&mut dice);
    if whole {
        refused(&mut host, &mut dice, &a);
        one_after_the_other(&mut host, &b);
    }
    in_parts(&mut host, &mut dice, if whole { (b, 2) } else { (a, 1) });
    host.remove_all();
    host.is_as(&before, "nothing is left, and what was changed is as before", str::to_owned);
}

/// `show | apply` changes nothing.
fn shown_is_what_is_there(host: &mut Host) {
    let shown = parsed(&host.shall(0, &["show"], &json!({})));
    host.shall(0, &["plan", "-f", "-"], &shown);
}

/// A change by hand is found and mended.
fn changed_by_hand(host: &mut Host, dice: &mut Dice, wanted: &Wanted) {
    let shown = parsed(&host.shall(0, &["show"], &json!({})));
    let before = dump();
    let change = changes::one(dice, &shown);
    writeln!(host.log, "{change}").unwrap();
    crate::support::sh(&change);
    host.shall(1, &["verify", "-f", "-"], &wanted.spec());
    host.apply(&wanted.spec());
    host.is_as(&before, "mended", without_settings);
}

/// A refusal by the kernel, in a phase by chance, leaves the host as it was.
fn refused(host: &mut Host, dice: &mut Dice, wanted: &Wanted) {
    let before = dump();
    let mut spec = wanted.another(dice).spec();
    let (kind, object) = dice.of(&[
        // The uplink is no bridge.
        ("links", json!({"name": "t0", "kind": {"tap": {}}, "bridge": "uplink"})),
        // No kernel has it.
        ("sysctls", json!({"key": "net.ipv4.no_such_thing", "value": "1"})),
        // EINVAL.
        ("sysctls", json!({"key": "net.ipv4.ip_default_ttl", "value": "0"})),
        ("addresses", json!({"dev": "missing", "address": "10.1.0.1/24"})),
        // ENETUNREACH.
        ("routes", json!({"to": "198.51.101.0/24", "via": "192.0.2.99", "dev": "lo"})),
    ]);
    let of_kind = &mut spec["objects"]["host"][kind];
    if of_kind.is_null() || kind == "sysctls" {
        *of_kind = json!([]);
    }
    of_kind.as_array_mut().unwrap().push(object);
    let (code, text) = host.run(&["apply", "-f", "-"], &spec);
    assert!(code != 0, "{text}\n{}", host.log);
    host.is_as(&before, &text, without_settings);
}

/// One host after another is the other.
fn one_after_the_other(host: &mut Host, b: &Wanted) {
    host.apply(&b.spec());
    settle();
    let after = dump();
    host.remove_all();
    host.apply(&b.spec());
    host.is_as(&after, "as from nothing", |dump| {
        let lines = without_settings(dump);
        lines.lines().filter(|line| !is_of_a_bridge(line)).map(|line| format!("{line}\n")).collect()
    });
}

/// Whether a route follows from the link-local address of a bridge, which the kernel makes once a port has a carrier.
fn is_of_a_bridge(line: &str) -> bool {
    line.contains(" fe80::") && line.contains(" dev br")
}

/// To add guests is to apply the whole with them; to remove them, the whole without.
fn in_parts(host: &mut Host, dice: &mut Dice, (mut whole, parts): (Wanted, usize)) {
    for n in [7, 1 + u8::try_from(dice.below(6)).unwrap()].into_iter().take(parts) {
        whole.put(dice, n);
        let part = whole.part(&[&whole.guests[&n]]);
        host.shall(0, &["add", "-f", "-"], &part);
        host.shall(0, &["verify", "-f", "-"], &whole.spec());
    }
    for n in [7, 1 + u8::try_from(dice.below(6)).unwrap()].into_iter().take(parts) {
        let name = json!({"name": format!("g{n}")});
        let gone = whole.guests.remove(&n).unwrap_or(name);
        let part = whole.part(&[&gone]);
        host.shall(0, &["remove", "-f", "-"], &part);
        host.shall(0, &["verify", "-f", "-"], &whole.spec());
    }
}
