//! What the tests of hosts share: specs, and everything that a namespace has, as text to be compared.
#![allow(dead_code)]

pub mod mistakes;
pub mod random;

use std::fs;
use std::path::Path;
use std::process::Command;

use guestnet::{Host, HostSpec, Plan};
use guestnet_lab::{Netns, output};
use serde_json::{Value, json};

/// The host of the test: its namespace, files in the scratch directory of its own.
pub fn host() -> Host {
    Host::open().unwrap()
}

pub fn spec(value: &Value) -> HostSpec {
    HostSpec::from_json(&value.to_string()).unwrap_or_else(|e| panic!("{e}\n{value:#}"))
}

/// A spec of nothing but objects in the host's own namespace.
pub fn objects_in_host(objects: &Value) -> HostSpec {
    spec(&json!({ "version": 1, "objects": { "host": objects } }))
}

/// A host with an uplink that someone else made, joined to the outside, and with what it takes to be a router off.
pub fn with_uplink() -> Netns {
    let outside = Netns::make("outside").unwrap();
    sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
        ip link add uplink type veth peer name isp netns outside
        ip link set uplink up
        ip -n outside link set isp up
        ip address add 198.51.100.2/30 dev uplink
        ip -6 address add 2001:db8:1::fffe/64 dev uplink nodad
        ip route add default via 198.51.100.1
        sleep 0.1");
    settle();
    outside
}

/// Waits until no address is tentative any more, so that dumps do not depend on the time.
pub fn settle() {
    let tentative = || sh("ip -6 address show tentative").contains("tentative");
    guestnet_lab::wait_until("addresses are settled", std::time::Duration::from_secs(10), || !tentative())
        .unwrap();
}

pub fn sh(script: &str) -> String {
    guestnet_lab::sh(script).unwrap_or_else(|e| panic!("{e:#}"))
}

/// Lines of a plan, blanks within them made one.
pub fn lines(plan: &Plan) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    plan.changes().iter().map(|c| words(&format!("{} {} {}", c.sign(), c.namespace(), c.text()))).collect()
}

/// Applies `spec`, which shall be accepted and hold, and do nothing when it is applied again.
pub fn apply(host: &mut Host, spec: &HostSpec) -> guestnet::Report {
    let report = host.apply(spec).unwrap_or_else(|e| panic!("{e}"));
    let left = host.verify(spec).unwrap();
    assert!(left.is_empty(), "after the apply:\n{left}");
    let again = host.apply(spec).unwrap();
    assert_eq!((again.changes, again.files.len()), (0, 0), "{again}");
    report
}

/// Everything that the namespace of the caller has, and the names and files beside it, once the kernel has done what it
/// does by itself some time after a link came up.
pub fn dump() -> String {
    let mut now = dump_now();
    guestnet_lab::wait_until("the kernel is at rest", std::time::Duration::from_secs(10), || {
        let before = std::mem::replace(&mut now, dump_now());
        before == now && !is_looking_for_duplicates(&now)
    })
    .unwrap();
    now
}

/// Whether duplicate address detection is under way: on a link without carrier it waits, which is rest too.
fn is_looking_for_duplicates(dump: &str) -> bool {
    let mut has_carrier = false;
    dump.lines().any(|line| {
        if !line.starts_with(' ') {
            has_carrier = line.contains("LOWER_UP");
        }
        has_carrier && line.contains(" tentative") && !line.contains("dadfailed")
    })
}

fn dump_now() -> String {
    let mut all = dump_of(&Netns::here().unwrap());
    all += &format!("namespaces: {:?}\n", names(Path::new("/run/netns")));
    all += &format!("files: {:?}\n", files(Path::new("/run/guestnet")));
    all
}

/// Everything that a namespace has.
pub fn dump_of(netns: &Netns) -> String {
    // One process runs them all: a test may take hundreds of dumps.
    let mut script = "set -e\n".to_owned();
    for line in [
        "ip -d link",
        "ip -d address",
        "ip -d route show table all",
        "ip -d -6 route show table all",
        "ip rule",
        "ip neigh show nud permanent",
        "ip -d neigh show proxy",
        "ip -6 -d neigh show proxy",
        "ip xfrm state",
        "ip xfrm policy",
        "nft -s list ruleset",
    ] {
        script += &format!("echo '# {line}'\n{line}\n");
    }
    let said = output(netns.command("sh").args(["-c", &script])).unwrap();
    // What a bridge remembers of its ports' coming and going is in one line with its timers.
    let still = said.lines().filter(|line| !line.contains("_timer"));
    let mut all: String = still.map(|line| format!("{}\n", without_carrier(line))).collect();
    all += "# sysctl\n";
    all += &netns.run(sysctls);
    all
}

/// A line that ip(8) shows, without what changes by itself.
pub fn still(line: &str) -> String {
    without_carrier(&without_timers(line))
}

/// The timers of a bridge run: their names and values are left out.
fn without_timers(line: &str) -> String {
    if !line.contains("_timer") {
        return line.to_owned();
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_timer = |n: usize| words[n].ends_with("_timer");
    let still = (0..words.len()).filter(|n| !(is_timer(*n) || *n > 0 && is_timer(n - 1)));
    still.map(|n| words[n]).collect::<Vec<_>>().join(" ")
}

/// The kernel notices that a link has no carrier some time after it came up.
fn without_carrier(line: &str) -> String {
    let mut line = line.replace(" linkdown", "");
    for word in
        ["NO-CARRIER,", ",LOWER_UP", "state UNKNOWN ", "state UP ", "state DOWN ", "state LOWERLAYERDOWN "]
    {
        line = line.replace(word, "");
    }
    line.trim_end().to_owned()
}

/// The sysctls of the network. Links come and go with theirs; what is left is sorted by name.
fn sysctls() -> String {
    let mut all = Vec::new();
    for folder in ["ipv4", "ipv6"] {
        walk(&Path::new("/proc/sys/net").join(folder), &mut all);
    }
    all.sort();
    all.concat()
}

fn walk(folder: &Path, all: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), all);
        } else if let Ok(value) = fs::read_to_string(entry.path()) {
            all.push(format!("{} = {}\n", entry.path().display(), value.trim_end()));
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The files below a folder with mode and content, but for locks, which stay, and what is kept of the whole.
pub fn files(folder: &Path) -> Vec<String> {
    let script = "find \"$0\" -type f ! -path '*/.host/*.lock' ! -path '*/.host/*.whole/*' -printf '%P %m ' -exec cat {} \\; | sort";
    let said = output(Command::new("sh").args(["-c", script]).arg(folder)).unwrap_or_default();
    said.lines().map(str::to_owned).collect()
}

/// Dumps without what depends on the order in which links were made.
pub fn without_indexes(dump: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    // MACs that the kernel chooses are chosen anew, and the ledger of sysctls knows links by index.
    let chosen = ["link/ether", "inet6 fe80::", "files: "];
    for line in dump.lines().filter(|line| !chosen.iter().any(|word| line.contains(word))) {
        let words = line.split_whitespace().map(|word| if word.contains('@') { "LINK" } else { word });
        let line = words.collect::<Vec<_>>().join(" ");
        let number = line.split(':').next().is_some_and(|n| n.parse::<u32>().is_ok());
        lines.push(if number { line.split_once(':').unwrap().1.to_owned() } else { line });
    }
    lines.sort();
    lines.dedup();
    lines.join("\n")
}

/// A dump without what stays with a link when its guest changes, whether the change came by a part or with the whole: the
/// multicast route that the kernel makes with the first IPv6 address, and three settings of a link that are the host's to
/// choose once they are no longer asked for. Without IPv4 `proxy_delay` and `rp_filter` mean nothing, without IPv6 nothing
/// is served by `disable_ipv6=0`; a guest that loses its public address keeps a loose `rp_filter`.
pub fn without_settings(dump: &str) -> String {
    const STAY: [&str; 3] = ["/proxy_delay", "/rp_filter", "/disable_ipv6"];
    let of_link = |line: &str| {
        let key = line.split(' ').next().unwrap_or_default();
        key.starts_with("/proc/sys/net/") && STAY.iter().any(|name| key.ends_with(name))
    };
    let stays = |line: &str| of_link(line) || line.starts_with("multicast ff00::/8");
    let lines = without_indexes(dump);
    lines.lines().filter(|line| !stays(line)).map(|line| format!("{line}\n")).collect()
}

/// Asserts that two dumps are equal; shows the lines that are not.
pub fn same(before: &str, after: &str) {
    let gone: Vec<&str> = before.lines().filter(|line| !after.lines().any(|l| l == *line)).collect();
    let new: Vec<&str> = after.lines().filter(|line| !before.lines().any(|l| l == *line)).collect();
    let place = before.lines().zip(after.lines()).enumerate().find(|(_, (a, b))| a != b);
    assert!(
        before == after,
        "first difference: {place:?}\ngone:\n{}\nnew:\n{}",
        gone.join("\n"),
        new.join("\n")
    );
}

/// A guest in a namespace of its own with both families and no tunnels. `n` makes it differ from others.
pub fn guest(name: &str, n: u8) -> Value {
    json!({
        "name": name,
        "endpoint": format!("2001:db8:1::{n:x}"),
        "proxied": [format!("2001:db8:1::{n:x}")],
        "interfaces": [{
            "name": format!("tap{name}"),
            "mac": format!("02:00:5e:00:53:{n:02x}"),
            "public_ipv4": format!("203.0.113.{n}"),
            "private_ipv4": format!("192.168.0.{n}"),
            "gateway_ipv4": "192.168.0.254/24",
            "public_ipv6": format!("2001:db8:1:{n:x}::/64"),
            "private_ipv6": format!("fd00:0:0:{n:x}::/64"),
        }],
    })
}

/// A guest in the host's namespace.
pub fn guest_in_host(name: &str, n: u8) -> Value {
    let mut guest = guest(name, n);
    guest["placement"] = "host".into();
    guest.as_object_mut().unwrap().remove("endpoint");
    guest
}

pub fn spec_of(guests: &[Value]) -> HostSpec {
    spec(&json!({ "version": 1, "uplink": "uplink", "guests": guests }))
}

/// What nft lists in `netns`.
pub fn ruleset(netns: &Netns) -> String {
    output(netns.command("nft").args(["list", "ruleset"])).unwrap()
}

/// The tables of the host's namespace, as nft names them.
pub fn tables(host: &mut Host) -> Vec<String> {
    let objects = host.observe().unwrap();
    objects.host.tables.iter().map(|table| format!("{} {}", table.family, table.name)).collect()
}
