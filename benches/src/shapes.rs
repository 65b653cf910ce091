//! Specs of any number of guests, in the shapes that hosts have. What guests share grows with them: bridges, groups.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use guestnet::HostSpec;
use serde_json::{Value, json};

/// How many guests have a bridge or a group together.
const TOGETHER: usize = 8;

/// A name, and what makes a spec of so many guests.
type Shape = (&'static str, fn(usize) -> Value);

const ALL: [Shape; 6] = [
    ("host", |count| host(count, |n| in_host(routed(n)))),
    ("namespaces", |count| host(count, routed)),
    ("tunnels", |count| host(count, |n| with_tunnels(n, routed(n)))),
    ("bridges", |count| with_bridges(count, host(count, bridged))),
    ("firewall", |count| with_firewall(count, host(count, |n| with_access(n, in_host(routed(n)))))),
    ("mixed", |count| {
        let guest = |n: usize| match n % 4 {
            0 => in_host(routed(n)),
            1 => bridged(n),
            2 => routed(n),
            _ => with_tunnels(n, routed(n)),
        };
        with_firewall(count, with_bridges(count, host(count, |n| with_access(n, guest(n)))))
    }),
];

/// A spec of `guests` guests in the shape that is called `name`.
pub fn spec(name: &str, guests: usize) -> Result<HostSpec> {
    let (_, make) =
        ALL.iter().find(|(shape, _)| *shape == name).with_context(|| format!("what is {name:?}?"))?;
    Ok(HostSpec::from_json(&make(guests).to_string())?)
}

/// Names of the shapes, a line each.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

fn host(count: usize, guest: impl Fn(usize) -> Value) -> Value {
    json!({ "version": 1, "uplink": "uplink", "guests": (0..count).map(guest).collect::<Vec<_>>() })
}

fn ipv6(prefix: u128, n: usize) -> String {
    format!("{}/64", Ipv6Addr::from(prefix << 96 | (n as u128) << 64))
}

fn ipv4(first: [u8; 4], n: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::from(first)) + n as u32)
}

fn endpoint(n: usize) -> String {
    format!("2001:db8:ffff::{n:x}")
}

fn interface(n: usize) -> Value {
    json!({
        "name": format!("tap{n}"),
        "mac": format!("02:00:5e:00:{:02x}:{:02x}", n >> 8, n & 0xff),
        "public_ipv4": ipv4([11, 0, 0, 1], n),
        "private_ipv4": ipv4([10, 1, 0, 1], n),
    })
}

fn routed(n: usize) -> Value {
    let mut interface = interface(n);
    interface["public_ipv6"] = ipv6(0x2001_0db8, n).into();
    interface["private_ipv6"] = ipv6(0xfd00_0001, n).into();
    json!({ "name": format!("vm{n}"), "endpoint": endpoint(n), "proxied": [endpoint(n)], "interfaces": [interface] })
}

fn in_host(mut guest: Value) -> Value {
    guest["placement"] = "host".into();
    guest.as_object_mut().into_iter().for_each(|fields| drop(fields.remove("endpoint")));
    guest
}

fn with_tunnels(n: usize, mut guest: Value) -> Value {
    let tunnel = |m: u8| {
        json!({
            "local": endpoint(n),
            "remote": format!("2001:db8:eeee:{m}::{n:x}"),
            "secret": "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd",
            "pairs": [{"local": ipv6(0xfd00_0001, n), "remote": ipv6(0xfd00_0002 + u128::from(m), n)}],
        })
    };
    guest["tunnels"] = json!([tunnel(0), tunnel(1)]);
    guest
}

fn bridged(n: usize) -> Value {
    let mut interface = interface(n);
    interface["bridge"] = format!("br{}", n / TOGETHER).into();
    interface["private_ipv4"] = ipv4([10, 2, 0, 2], n + 8 * (n / TOGETHER)).to_string().into();
    json!({ "name": format!("vm{n}"), "placement": "host", "interfaces": [interface] })
}

/// A bridge for each eight guests, which have eight of the sixteen addresses of its network.
fn with_bridges(count: usize, mut spec: Value) -> Value {
    let bridge = |b: usize| {
        let address = ipv4([10, 2, 0, 1], 2 * TOGETHER * b);
        json!({ "name": format!("br{b}"), "addresses": [format!("{address}/28")] })
    };
    spec["bridges"] = (0..count.div_ceil(TOGETHER)).map(bridge).collect();
    spec
}

fn group(n: usize) -> String {
    format!("g{}", n / TOGETHER)
}

fn with_access(n: usize, mut guest: Value) -> Value {
    guest["access"] = json!({
        "groups": [group(n)],
        "ingress": [{"protocol": "tcp", "ports": ["443"], "groups": [group(n)]}],
    });
    guest
}

fn with_firewall(count: usize, mut spec: Value) -> Value {
    let list = |b: usize| json!({ "name": format!("g{b}"), "egress": [{}], "ingress": [{"protocol": "tcp", "ports": ["22"]}] });
    spec["firewall"] = json!({ "groups": (0..count.div_ceil(TOGETHER)).map(list).collect::<Vec<_>>() });
    spec
}
