//! What is on the disk is ours and nobody else's, whatever the umask, and whoever was there before.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use guestnet::core::Error as CoreError;
use guestnet::{Error, Host, HostSpec};
use guestnet_lab::{Capability, has, lab_test, need, note};
use nix::sys::stat::{Mode, umask};
use support::{apply, dump, guest, guest_in_host, host, same, sh, spec_of, with_uplink};

const STATE: &str = "/run/guestnet/.host";

fn both() -> HostSpec {
    spec_of(&[guest("own", 1), guest_in_host("in", 2)])
}

/// Runs `script` as somebody who has no rights, from whom much is kept away: whether it succeeds does not matter.
fn somebody(script: &str) -> String {
    sh(&format!("setpriv --reuid 1000 --regid 1000 --clear-groups sh -c '{script}' 2>&1 || true"))
}

/// The one file of the state whose name ends so.
fn state(end: &str) -> String {
    let mut files = fs::read_dir(STATE).unwrap().map(|entry| entry.unwrap().path().display().to_string());
    let cookie = host_cookie();
    files.find(|path| *path == format!("{STATE}/{cookie}{end}")).unwrap()
}

/// The number of the host's namespace, from the mark on a file.
fn host_cookie() -> String {
    let text = fs::read_to_string("/run/guestnet/in/dnsmasq.conf").unwrap();
    text.split_once("owner=").unwrap().1.split_whitespace().next().unwrap().to_owned()
}

/// That `host` refuses to apply because of `what`, soon, and changes nothing.
fn refuses(host: &mut Host, what: &[&str]) {
    // `ip` would wait for whoever opens a FIFO in /run/netns.
    let now = || {
        sh(
            "cat /proc/thread-self/net/route; ls /proc/sys/net/ipv4/conf; nft -s list ruleset; cat /proc/sys/net/ipv4/ip_forward; find /run ! -name '*.lock' ! -name .host -printf '%p %y %m %u\\n' | sort",
        )
    };
    let before = now();
    let began = Instant::now();
    let error = host.apply(&both()).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(20), "{error}");
    let said = error.to_string();
    assert!(what.iter().all(|words| said.contains(words)), "{what:?} in {said}");
    same(&before, &now());
}

lab_test! {
    fn modes_do_not_depend_on_the_umask() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut modes = Vec::new();
        for mask in [0o022, 0o000, 0o077, 0o777] {
            let before = umask(Mode::from_bits_truncate(mask));
            sh("rm -rf /run/guestnet; umount /run/netns || true");
            let mut host = host();
            apply(&mut host, &both());
            umask(before);
            let found = "find /run/guestnet /run/netns -maxdepth 3 ! -path '*.sysctl.d/*' -printf '%m %y %P\\n'";
            let all = sh(&format!("{found} | sed -E 's/[0-9]+\\.(sysctl|lock)/N.\\1/' | sort -u"));
            assert!(all.contains("755 d own") && all.contains("700 d .host\n"), "{mask:o}: {all}");
            assert!(all.contains("600 f .host/N.lock") && all.contains("600 f .host/N.sysctl"), "{mask:o}: {all}");
            assert!(all.contains("644 f own/dnsmasq.conf"), "{mask:o}: {all}");
            modes.push(all);
            host.remove_all().unwrap();
        }
        assert!(modes.windows(2).all(|pair| pair[0] == pair[1]), "{modes:#?}");
    }

    fn nobody_else_can_write_to_what_is_believed() {
        need(Capability::Tap);
        need(Capability::Users);
        let _outside = with_uplink();
        umask(Mode::empty());
        let mut host = host();
        apply(&mut host, &both());
        let before = dump();
        assert_eq!(somebody("find /run/guestnet /run/netns -writable 2>&-"), "");
        for path in [state(".sysctl"), state(".lock"), "/run/guestnet/own/dnsmasq.conf".into(), "/run/netns/own".into()] {
            somebody(&format!("echo net/ipv4/ip_forward = 7 >> {path}; rm -f {path}; mv {path} {path}.x; ln -sf /etc/passwd {path}"));
        }
        same(&before, &dump());
        assert!(host.verify(&both()).unwrap().is_empty());
    }

    fn a_directory_that_others_may_write_to_is_refused_with_its_remedy() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        apply(&mut host, &both());
        host.remove_all().unwrap();
        for (path, bad, good) in [
            ("/run/guestnet", "777", "755"),
            ("/run/guestnet", "775", "755"),
            ("/run/guestnet", "1777", "755"),
            (STATE, "720", "700"),
            ("/run/netns", "757", "755"),
            ("/run", "777", "755"),
        ] {
            sh(&format!("chmod {bad} {path}"));
            let remedy = if bad == "1777" { "choose a directory below it".to_owned() } else { format!("chmod {good} {path}`") };
            refuses(&mut host, &[&format!("{path} has mode"), &remedy]);
            assert!(matches!(host.apply(&both()), Err(Error::Core(CoreError::Untrusted(_)))));
            assert!(host.add(&both()).is_err() && host.remove_all().is_err());
            sh(&format!("chmod {good} {path}"));
        }
        apply(&mut host, &both());
        // One of a guest is in the way of that guest's file, and nothing in it is believed.
        sh("chmod 777 /run/guestnet/own");
        let plan = host.plan(&both()).unwrap();
        assert!(plan.conflicts()[0].contains("chmod 755 /run/guestnet/own"), "{plan}");
        let before = dump();
        assert!(matches!(host.add(&both()), Err(Error::Core(CoreError::Foreign(_)))));
        assert!(matches!(host.apply(&both()), Err(Error::Core(CoreError::Foreign(_)))));
        same(&before, &dump());
        sh("chmod 755 /run/guestnet/own");
        assert!(host.verify(&both()).unwrap().is_empty());
    }

    fn what_somebody_has_put_there_before_is_not_followed() {
        need(Capability::Tap);
        need(Capability::Users);
        let _outside = with_uplink();
        sh("mkdir -m 1777 /run/tmp; mkdir /run/guestnet; mkdir /run/victim; echo whole > /run/victim/dnsmasq.conf; mkdir -m 700 /run/home; chown 1000 /run/home");
        let victim = || sh("cd /run/victim; find . -printf '%p %m %u\\n' | sort; cat dnsmasq.conf");
        let whole = victim();
        let entries = [
            "mkdir PATH", "ln -s /run/victim PATH", "ln -s /run/nowhere PATH", "mkfifo PATH", "touch PATH",
            "ln -s /run/home PATH", "mkdir -m 777 PATH; mkfifo PATH/own; ln -s /run/victim PATH/in",
        ];
        for entry in entries {
            let script = entry.replace("PATH", "/run/tmp/g");
            somebody(&script);
            for top in ["/run/tmp/g", "/run/tmp/g/deep", "/run/home/g"] {
                refuses(&mut host().files_in(top), &["guestnet keeps files only where"]);
            }
            // The same in a directory of ours, below which the guests' are.
            sh("rm -rf /run/tmp/g; mkdir -m 777 /run/tmp/g");
            for guest in ["own", "in"] {
                somebody(&entry.replace("PATH", &format!("/run/tmp/g/{guest}")));
            }
            sh("chmod 755 /run/tmp/g");
            refuses(&mut host().files_in("/run/tmp/g"), &["/run/tmp/g/"]);
            sh("rm -rf /run/tmp/g");
        }
        assert_eq!(victim(), whole);
        // Without all that it is a place like any other.
        apply(&mut host().files_in("/run/tmp/g"), &both());
        assert_eq!(victim(), whole);
    }

    fn what_is_no_file_is_neither_followed_nor_waited_for() {
        need(Capability::Tap);
        let _outside = with_uplink();
        apply(&mut host(), &both());
        let (ledger, lock) = (state(".sysctl"), state(".lock"));
        let fresh = format!("/run/guestnet/own/.dnsmasq.conf.guestnet-{}", host_cookie());
        let ledger_fresh = ledger.replace(".sysctl", ".new");
        host().remove_all().unwrap();
        sh("echo whole > /run/victim; mkdir -p /run/guestnet/own");
        for entry in ["ln -s /run/victim PATH", "ln -s /run/nowhere PATH", "mkfifo PATH", "mknod PATH c 1 3", "mknod PATH c 5 0"] {
            let put = |path: &str| guestnet_lab::sh(&format!("rm -f {path}; {}", entry.replace("PATH", path)));
            // A device needs a right that is not everywhere.
            if put("/run/x").is_err() {
                continue;
            }
            // In a directory of root's only root can have put it there: what is needed is made in its place.
            for path in [&fresh, &ledger, &ledger_fresh] {
                sh("mkdir -p /run/guestnet/own");
                put(path).unwrap();
                apply(&mut host(), &both());
                host().remove_all().unwrap();
            }
            for path in [&lock, "/run/guestnet/own/dnsmasq.conf", "/run/netns/own"] {
                sh("mkdir -p /run/guestnet/own");
                put(path).unwrap();
                refuses(&mut host(), &[path]);
                sh(&format!("rm -f {path}"));
            }
        }
        assert_eq!(sh("cat /run/victim; ls /run/nowhere 2>&1 || true"), "whole\nls: cannot access '/run/nowhere': No such file or directory\n");
        for path in [&fresh, &ledger, &ledger_fresh, &lock, "/run/guestnet/own/dnsmasq.conf", "/run/netns/own"] {
            sh(&format!("rm -rf {path}; mkdir -p {path}/x"));
            let began = Instant::now();
            let _ = host().apply(&both());
            assert!(began.elapsed() < Duration::from_secs(20), "{path}");
            sh(&format!("rm -rf {path}"));
            host().remove_all().unwrap();
        }
    }

    fn a_damaged_ledger_does_no_more_harm_than_a_lost_one() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let hostname = || sh("cat /proc/sys/kernel/hostname");
        let name = hostname();
        let long = format!("net/ipv4/ip_forward = {}\n", "1".repeat(100_000));
        let damages: [&[u8]; 9] = [
            b"\xff\xfe\x00net/ipv4/ip_forward = 0\n",
            b"kernel/hostname = evil\n",
            b"net/../kernel/hostname = evil\n",
            b"net/ipv4/../../kernel/hostname = evil\nnet/ipv4/ip_forward > kernel/hostname = evil\n",
            b"net/ipv4/ip_forward = \n = \n===\n\n",
            b"net/ipv4/ip_forward = 0\x001\n",
            b"net/ipv4/ip_forw",
            b"net/ipv4/conf/uplink/forwarding#99999999999 = x\n",
            long.as_bytes(),
        ];
        for damage in damages {
            let before = dump();
            let mut host = host();
            apply(&mut host, &both());
            let ledger = state(".sysctl");
            let whole = fs::read(&ledger).unwrap();
            let words = String::from_utf8_lossy(damage).chars().take(60).collect::<String>();
            // In the middle of what is right, and instead of it.
            for (at_once, bytes) in [(false, [&whole, damage].concat()), (true, damage.to_vec())] {
                fs::write(&ledger, bytes).unwrap();
                let plan = host.plan(&both()).unwrap();
                assert!(at_once || plan.is_empty(), "{words}: {plan}");
                assert!(plan.warnings().iter().any(|warning| warning.contains(&ledger)), "{words}: {plan}");
                assert!(plan.warnings().iter().all(|warning| !warning.contains("evil")), "{plan}");
                assert!(host.observe().is_ok() && host.plan_add(&both()).is_ok());
                host.add(&both()).unwrap();
                apply(&mut host, &both());
                let plan = host.plan(&both()).unwrap();
                assert!(plan.warnings().iter().all(|warning| !warning.contains(&ledger)), "{words}: {plan}");
                if !at_once {
                    assert_eq!(fs::read(&ledger).unwrap(), whole, "{words}");
                }
            }
            host.remove_all().unwrap();
            assert_eq!(hostname(), name);
            // What is lost is lost, and nothing else is otherwise than before.
            sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
            let sysctls = |all: &str| all.lines().filter(|line| !line.starts_with("/proc/sys")).map(|line| format!("{line}\n")).collect::<String>();
            same(&sysctls(&before), &sysctls(&dump()));
        }
    }

    fn a_ledger_that_others_could_have_written_is_not_believed() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        apply(&mut host, &both());
        let ledger = state(".sysctl");
        let users = has(Capability::Users).is_ok();
        if !users {
            note("a ledger of another user: there is none");
        }
        let owners: &[(&str, &str)] = if users { &[("chown 1000", "belongs to the user 1000")] } else { &[] };
        let modes = [("chmod 666", "others may write to it"), ("chmod 620", "others may write to it")];
        for (bad, words) in modes.iter().chain(owners) {
            sh(&format!("echo 'net/ipv4/ip_default_ttl = 7' >> {ledger}; {bad} {ledger}"));
            let plan = host.plan(&both()).unwrap();
            assert!(plan.warnings().iter().any(|warning| warning.contains(words)), "{bad}: {plan}");
            let found = guestnet::doctor::examine(None, Some(&both())).unwrap().findings;
            let told = found.iter().any(|finding| finding.id == "ledger" && finding.what.contains(words));
            assert!(told, "{bad}: {found:?}");
            apply(&mut host, &both());
            let found = fs::symlink_metadata(&ledger).ok().map(|found| found.mode() & 0o777);
            assert!(found.is_none_or(|mode| mode == 0o600), "{found:?}");
        }
        host.remove_all().unwrap();
        assert_eq!(sh("cat /proc/sys/net/ipv4/ip_default_ttl"), "64\n");
        assert!(!Path::new(&ledger).exists());
        fs::set_permissions(STATE, fs::Permissions::from_mode(0o755)).unwrap();
        apply(&mut host, &both());
    }
}
