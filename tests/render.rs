//! What is rendered can be done: ip, sysctl and nft take every line.

mod support;

use std::fs;
use std::process::Command;

use guestnet::{HostSpec, render};
use guestnet_lab::{Capability, lab_test, need};
use serde_json::json;
use support::spec;

/// Does what `rendered` says, in a host's namespace made for it, but for the keys of IPsec, which are not shown. What was
/// said against it.
fn done(rendered: &str) -> Result<(), String> {
    let is_key = |line: &&str| line.contains(" xfrm state ") || line.contains(" xfrm policy ");
    // Of a kind that every kernel has: what others are made with has words of its own.
    let common = |line: &str| match line.split_once(" type xfrm").or_else(|| line.split_once(" type dummy")) {
        Some((link, _)) => format!("{link} type bridge\n"),
        None => format!("{line}\n"),
    };
    let lines: String = rendered.lines().filter(|line| !is_key(line)).map(common).collect();
    let there = "for link in eth0 lan0 uplink; do ip link add $link type bridge; ip link set $link up; done";
    let script = format!("set -e\n{there}\n{lines}");
    let output = Command::new("unshare").args(["-n", "sh", "-c", &script]).output().unwrap();
    assert!(Command::new("ip").args(["-all", "netns", "delete"]).status().unwrap().success());
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

lab_test! {
    fn every_line_is_taken() {
        need(Capability::Tap);
        need(Capability::Bridge);
        need(Capability::Conntrack);
        let mut wrong = Vec::new();
        for case in fs::read_dir("tests/golden").unwrap() {
            let case = case.unwrap().path();
            let spec = HostSpec::from_json(&fs::read_to_string(case.join("spec.json")).unwrap()).unwrap();
            if let Err(error) = done(&render(&spec.objects().unwrap())) {
                wrong.push(format!("{}: {error}", case.display()));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// To a shell, and to ip, some of them mean something.
    fn every_name_is_taken() {
        need(Capability::Bridge);
        let links = ["up", "type", "dev", "x@y", "@a", "a*b", "$HOME", "`id`", "a|b", "a&b", "a>b", "!x", "~", "[ab]", "(x)", "-x", "a?", "^x", "=", "+", "address"];
        let of = |names: &[&str]| -> Vec<serde_json::Value> {
            names.iter().map(|name| json!({"name": name, "kind": "dummy"})).collect()
        };
        for link in links {
            let addresses = json!([{"dev": link, "address": "10.1.0.1/24"}, {"dev": link, "address": "2001:db8::1/64"}]);
            let routes = json!([{"to": "10.2.0.0/16", "dev": link}, {"to": "2001:db8:2::/48", "dev": link}]);
            let host = json!({
                "links": of(&[link]), "addresses": addresses, "routes": routes,
                "neighbours": [{"dev": link, "address": "2001:db8::9"}],
                "sysctls": [{"key": format!("net/ipv4/conf/{link}/forwarding"), "value": "1"}],
            });
            let spec = spec(&json!({"version": 1, "objects": {"host": host, "namespaces": {"a@b.c-d": {"links": of(&[link])}}}}));
            let rendered = render(&spec.objects().unwrap());
            if let Err(error) = done(&rendered) {
                panic!("{link}: {error}\n{rendered}");
            }
        }
    }
}
