//! Files of guestnet's own with anything in them, and names that are none: no more harm than if they were lost.

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use guestnet::{Host, HostSpec};
use guestnet_lab::{Capability, lab_test, need};
use support::{apply, dump, guest, guest_in_host, host, same, spec_of, with_uplink};

const STATE: &str = "/run/guestnet/.host";

fn both() -> HostSpec {
    spec_of(&[guest("own", 1), guest_in_host("in", 2)])
}

/// A guest more.
fn third() -> HostSpec {
    spec_of(&[guest_in_host("third", 3)])
}

/// The files below `directory`.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// All that can be asked of a host, and what changes a part of it, by one that knows nothing yet and by one that was open.
fn everything_goes_on(open: &mut Host, what: &str) {
    for host in [&mut host(), open] {
        host.observe().unwrap_or_else(|e| panic!("{what}: show: {e}"));
        host.plan(&both()).unwrap_or_else(|e| panic!("{what}: plan: {e}"));
        host.add(&third()).unwrap_or_else(|e| panic!("{what}: add: {e}"));
        host.remove(&third()).unwrap_or_else(|e| panic!("{what}: remove: {e}"));
        host.apply(&both()).unwrap_or_else(|e| panic!("{what}: apply: {e}"));
        let plan = host.plan(&both()).unwrap();
        assert!(plan.is_empty(), "{what}: {plan}");
    }
}

lab_test! {
    fn the_ledger_of_a_deleted_namespace_goes_with_the_next_removal() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        apply(&mut host, &both());
        let ledgers = || files(Path::new(STATE)).iter().filter(|path| path.extension() == Some("sysctl".as_ref())).count();
        assert_ne!(ledgers(), 0);
        support::sh("ip netns del own");
        apply(&mut host, &both());
        host.remove_all().unwrap();
        assert_eq!(ledgers(), 0);
    }

    fn whatever_is_in_a_file_of_the_state_the_host_is_served() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut open = host();
        apply(&mut open, &both());
        let before = dump();
        let whole = files(Path::new(STATE));
        for kind in [".sysctl", ".sysctl.d/", ".lock", ".whole/index", ".whole/wide"] {
            assert!(whole.iter().any(|path| path.to_str().unwrap().contains(kind)), "{kind}: {whole:?}");
        }
        for path in &whole {
            let good = fs::read(path).unwrap_or_default();
            let (half, rest) = good.split_at(good.len() / 2);
            let nested = [b"[".repeat(100_000), b"\xf0".to_vec()].concat();
            for (words, bytes) in [
                ("a byte that is none of UTF-8", [half, b"\xff", rest].concat()),
                ("another line", [&good, &b"\xc3\x28 = 1\n"[..]].concat()),
                ("half of it", half.to_vec()),
                ("nothing", Vec::new()),
                ("zeros", vec![0; good.len() + 1]),
                ("nested lists", nested),
            ] {
                // What was lost before is not written again.
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
                everything_goes_on(&mut open, &format!("{words} in {}", path.display()));
            }
        }
        // The ledger has lost what it said; nothing else is otherwise.
        let kernel = |dump: &str| dump.lines().filter(|line| !line.starts_with("files:")).map(|line| format!("{line}\n")).collect::<String>();
        same(&kernel(&before), &kernel(&dump()));
        open.remove_all().unwrap();
    }

    fn names_that_are_none_are_passed_over() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut open = host();
        apply(&mut open, &both());
        let cookie = files(Path::new(STATE)).iter().find_map(|path| Some(path.to_str()?.strip_suffix(".lock")?.to_owned())).unwrap();
        for directory in ["/run/netns", "/run/guestnet", "/run/guestnet/own", STATE, &format!("{cookie}.sysctl.d"), &format!("{cookie}.whole")] {
            for name in [&b"\xff\xfe"[..], b"a\nb", b"\xff.sysctl", b"99999999999999999999.lock", b"\x1b[2J", b"-x"] {
                fs::write(Path::new(directory).join(OsStr::from_bytes(name)), b"\xff").unwrap();
            }
            everything_goes_on(&mut open, directory);
            open.remove_all().unwrap_or_else(|e| panic!("{directory}: {e}"));
            apply(&mut open, &both());
        }
    }
}
