//! Mount namespaces: guests' namespaces are seen by all, or are refused before anything is touched.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::process::Command;

use guestnet_lab::{Capability, Systemd, lab_test, need, need_program};
use serde_json::{Value, json};
use support::{dump, same, sh};

const GUESTNET: &str = env!("CARGO_BIN_EXE_guestnet");
const SPEC: &str = "/run/spec.json";

fn with_a_namespace() {
    let spec = json!({"version": 1, "objects": {
        "host": {"links": [{"name": "v0", "kind": {"veth": {"peer": "v1", "namespace": "vm"}}}]},
        "namespaces": {"vm": {"routes": [{"to": "10.0.0.0/8", "kind": "blackhole"}]}},
    }});
    fs::write(SPEC, spec.to_string()).unwrap();
    fs::write("/run/nothing.json", r#"{"version": 1}"#).unwrap();
    // As on a host with systemd.
    sh("mount --make-rshared /");
}

/// Runs `script` with the command in it as `GUESTNET`: whether it succeeds, and what it says.
fn run(script: &str) -> (bool, String) {
    let output = Command::new("sh").args(["-ec", &script.replace("GUESTNET", GUESTNET)]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Ways into mount namespaces of one's own from which nothing comes back.
const PRIVATE: [&str; 5] = [
    "ip netns exec h COMMAND",
    "unshare -m COMMAND",
    "unshare -m --propagation slave COMMAND",
    // As systemd does for PrivateTmp=, ProtectSystem= and their like.
    "unshare -m --propagation slave sh -ec 'mount --make-rshared /; COMMAND'",
    "unshare -m --propagation unchanged sh -ec 'mount --make-rprivate /; COMMAND'",
];

lab_test! {
    fn where_nobody_else_would_see_it_nothing_is_made() {
        with_a_namespace();
        sh("ip netns add h; ip netns add other");
        for way in PRIVATE {
            let before = dump();
            let (done, said) = run(&way.replace("COMMAND", &format!("GUESTNET add -f {SPEC}")));
            assert!(!done && said.contains("mounts made here do not reach the process"), "{way}: {said}");
            same(&before, &dump());
            let (done, said) = run(&way.replace("COMMAND", &format!("GUESTNET apply -f {SPEC}")));
            assert!(!done, "{way}: {said}");
            for words in ["mounts made here do not reach the process", "seen by nobody else", "nsenter -t ", "PrivateTmp="] {
                assert!(said.contains(words), "{way}: {words} in {said}");
            }
            assert_eq!(said.contains("say `guestnet -n h`"), way.contains("exec h"), "{way}: {said}");
            same(&before, &dump());
            // The plan and the doctor say it as well.
            for plan in ["plan", "plan --add", "verify"] {
                let (_, said) = run(&way.replace("COMMAND", &format!("GUESTNET {plan} -f {SPEC}")));
                assert!(said.contains("? mounts made here do not reach"), "{way}, {plan}: {said}");
            }
            let (done, said) = run(&way.replace("COMMAND", &format!("GUESTNET doctor -f {SPEC}")));
            assert!(!done && said.contains("[private-mounts]") && said.contains("remedy: "), "{way}: {said}");
            // What needs no names is none of this.
            let (done, said) = run(&way.replace("COMMAND", "GUESTNET apply -f /run/nothing.json"));
            assert!(done, "{way}: {said}");
            // A namespace that is there is not removed either.
            sh(&format!("{GUESTNET} apply -f {SPEC}"));
            let before = dump();
            if !way.contains("netns exec") {
                assert!(!run(&way.replace("COMMAND", "GUESTNET remove")).0);
            }
            same(&before, &dump());
            sh(&format!("{GUESTNET} remove"));
        }
        let (_, said) = run(&format!("GUESTNET doctor -f {SPEC}"));
        assert!(!said.contains("private-mounts"), "{said}");
        let (_, said) = run("unshare -m GUESTNET doctor -f /run/nothing.json || true");
        assert!(!said.contains("private-mounts"), "{said}");
    }

    fn the_remedies_work() {
        with_a_namespace();
        sh("ip netns add h");
        sh(&format!("{GUESTNET} -V; {GUESTNET} apply -n h -f {SPEC}"));
        // Inside of the host's namespace it is a host that is as wanted.
        let (done, said) = run(&format!("ip netns exec h GUESTNET verify -f {SPEC}"));
        assert!(done, "{said}");
        sh("ip netns exec vm true");
        sh(&format!("{GUESTNET} remove -n h"));
        for way in PRIVATE.iter().filter(|way| !way.contains("netns exec")) {
            let nsenter = format!("nsenter -t $PPID -m GUESTNET apply -f {SPEC}").replace("$PPID", &std::process::id().to_string());
            let (done, said) = run(&way.replace("COMMAND", &nsenter));
            assert!(done, "{way}: {said}");
            sh("ip netns exec vm true");
            sh(&format!("{GUESTNET} remove"));
        }
    }

    fn where_others_see_it_or_nobody_else_is_there_it_is_made() {
        with_a_namespace();
        for way in [
            "COMMAND",
            "unshare -m --propagation shared sh -ec 'COMMAND'",
            "unshare -m --propagation unchanged sh -ec 'COMMAND'",
        ] {
            let (done, said) = run(&way.replace("COMMAND", &format!("GUESTNET apply -f {SPEC}")));
            assert!(done, "{way}: {said}");
            assert!(sh("ip -n vm route").contains("blackhole 10.0.0.0/8"), "{way}");
            let (done, said) = run(&way.replace("COMMAND", "GUESTNET remove"));
            assert!(done, "{way}: {said}");
            assert_eq!(sh("ip netns list"), "", "{way}");
        }
        // Worlds of their own: what is made in them is seen in them, and not outside.
        fs::copy(SPEC, "/var/tmp/guestnet-mounts-spec.json").unwrap();
        let spec = "/var/tmp/guestnet-mounts-spec.json";
        let whole = format!("GUESTNET apply -f {spec}; ip -n vm route | grep -q blackhole; GUESTNET verify -f {spec}");
        for way in [
            "unshare -mn sh -ec 'mount -t tmpfs run /run; COMMAND'",
            "unshare -mn --propagation slave sh -ec 'mount -t tmpfs run /run; COMMAND'",
            "unshare -mn --propagation slave sh -ec 'mount -t tmpfs run /run; mkdir /run/netns; mount --make-rshared /; COMMAND'",
            "unshare -mn sh -ec 'mkdir -p /run/guestnet-lab/run; mount --bind /run/guestnet-lab/run /run; COMMAND; umount -l /run/netns/vm'; rm -r /run/guestnet-lab/run",
            "unshare -Urnm sh -ec 'mount -t tmpfs run /run; COMMAND'",
            "unshare -mnpf --mount-proc sh -ec 'mount -t tmpfs run /run; COMMAND'",
            "unshare -mnpf --propagation slave --mount-proc sh -ec 'mount -t tmpfs run /run; COMMAND'",
        ] {
            let (done, said) = run(&way.replace("COMMAND", &whole));
            assert!(done, "{way}: {said}");
            assert_eq!(sh("ip netns list"), "", "{way}");
        }
        fs::remove_file(spec).unwrap();
    }

    fn a_user_namespace_with_a_run_of_its_own() {
        need(Capability::Users);
        need_program("unshare");
        // Of those who made `/` and `/dev/shm` there is only the overflow user there.
        with_a_namespace();
        fs::copy(GUESTNET, "/run/guestnet-command").unwrap();
        sh("chmod 755 /run/guestnet-command; chmod 644 /run/spec.json");
        let script = "exec 3</run/guestnet-command 4</run/spec.json; mount -t tmpfs run /run; umask 022
            cat <&3 >/run/command; cat <&4 >/run/spec.json; chmod 755 /run/command
            /run/command apply -f /run/spec.json; ip -n vm route | grep -q blackhole; /run/command verify -f /run/spec.json; /run/command remove";
        fs::write("/run/script", script).unwrap();
        sh("chmod 755 /run; setpriv --reuid 1000 --regid 1000 --clear-groups unshare -Urnm sh -e /run/script");
    }

    fn units_of_systemd() {
        need(Capability::Cgroups);
        need_program("systemctl");
        with_a_namespace();
        sh("ip netns add h");
        let systemd = Systemd::start().unwrap_or_else(|e| panic!("{e:#}"));
        // Where it was built may be somebody's home, which some settings hide.
        let program = "/run/guestnet-lab/guestnet";
        std::fs::copy(GUESTNET, program).unwrap();
        let run = |settings: &str, script: &str| {
            systemd.run(settings, &script.replace("GUESTNET", program)).unwrap_or_else(|e| panic!("{e:#}"))
        };
        let apply = format!("GUESTNET apply -f {SPEC}");
        // One that has the host's mounts, and what it has made when it is over.
        for settings in ["", "PrivateNetwork=no\nNoNewPrivileges=yes\nRestrictSUIDSGID=yes", "NetworkNamespacePath=/run/netns/h"] {
            let (done, said) = run(settings, &apply);
            assert!(done, "{settings}: {said}");
            assert!(sh("ip -n vm route").contains("blackhole 10.0.0.0/8"), "{settings}");
            let (done, said) = run(settings, &format!("GUESTNET verify -f {SPEC}; GUESTNET remove"));
            assert!(done, "{settings}: {said}");
        }
        for settings in [
            "PrivateTmp=yes",
            "ProtectSystem=strict\nReadWritePaths=/run",
            "ProtectSystem=yes",
            "ProtectHome=yes",
            "PrivateMounts=yes",
            "PrivateDevices=yes",
            "InaccessiblePaths=/srv",
        ] {
            let before = dump();
            let (done, said) = run(settings, &apply);
            assert!(!done, "{settings}: {said}");
            for words in ["mounts made here do not reach the process 1 (systemd)", "nsenter -t 1", "PrivateTmp="] {
                assert!(said.contains(words), "{settings}: {words} in {said}");
            }
            same(&before, &dump());
            let (done, said) = run(settings, &format!("GUESTNET doctor -f {SPEC}"));
            assert!(!done && said.contains("[private-mounts]"), "{settings}: {said}");
            // As the remedy says.
            let (done, said) = run(settings, &format!("nsenter -t 1 -m {apply}; nsenter -t 1 -m GUESTNET remove"));
            assert!(done, "{settings}: {said}");
        }
    }

    fn what_a_private_run_has_left_is_used_or_removed() {
        with_a_namespace();
        let value: Value = serde_json::from_str(&fs::read_to_string(SPEC).unwrap()).unwrap();
        let spec = support::spec(&value);
        let before = dump();
        let mut host = support::host();
        host.apply(&spec).unwrap();
        // Names whose namespaces are gone.
        let leave = || sh("umount -l /run/netns/vm; test -s /run/netns/vm; cp -p /run/netns/vm /run/netns/old; : > /run/netns/theirs");
        leave();
        support::apply(&mut host, &spec);
        assert_eq!(sh("ls /run/netns; ip netns exec vm true"), "theirs\nvm\n");
        leave();
        host.remove_all().unwrap();
        // Nobody says whose this is.
        assert_eq!(sh("ls /run/netns; rm /run/netns/theirs"), "theirs\n");
        same(&before, &dump());
    }
}
