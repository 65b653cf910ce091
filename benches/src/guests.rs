//! Specs of any number of guests.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use anyhow::Result;
use guestnet::HostSpec;
use serde_json::{Value, json};

/// Where guests are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Each in a namespace of its own.
    Own,
    /// All in the host's.
    Host,
}

/// A host with `count` guests.
pub fn spec(count: usize, place: Place) -> Result<HostSpec> {
    Ok(HostSpec::from_json(&json(count, place).to_string())?)
}

/// The same as JSON.
pub fn json(count: usize, place: Place) -> Value {
    of(0..count, place)
}

/// A host with guest `n` only.
pub fn only(n: usize, place: Place) -> Result<HostSpec> {
    Ok(HostSpec::from_json(&of(n..n + 1, place).to_string())?)
}

fn of(numbers: Range<usize>, place: Place) -> Value {
    let guests: Vec<Value> = numbers.map(|n| guest(n, place)).collect();
    json!({ "version": 1, "nat": { "mode": "notrack", "untranslated": ["10.0.0.0/8"] }, "guests": guests })
}

/// One guest as the first seed's orchestrator provisions it: a namespace, a pair, a tap, both families, translation,
/// an address for which the uplink answers. Without its tunnels, which not every kernel has.
pub fn seed() -> Result<HostSpec> {
    let mut spec = json(1, Place::Own);
    spec["uplink"] = "uplink".into();
    let guest = &mut spec["guests"][0];
    guest["endpoint"] = "2001:db8:1::a1".into();
    guest["proxied"] = json!(["2001:db8:1::a1"]);
    guest["interfaces"][0]["kind"] = json!({ "tap": { "multi_queue": true } });
    Ok(HostSpec::from_json(&spec.to_string())?)
}

fn guest(n: usize, place: Place) -> Value {
    let name = format!("vm{n:05}");
    let mut guest = json!({
        "name": name,
        "interfaces": [{
            "name": format!("tap{n:05}"),
            "mac": format!("02:00:5e:{:02x}:{:02x}:{:02x}", n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff),
            "public_ipv4": public(n),
            "private_ipv4": private(n),
            "public_ipv6": format!("{}/64", Ipv6Addr::from(0x2001_0db8_u128 << 96 | (n as u128 + 16) << 64)),
        }],
    });
    if place == Place::Host {
        guest["placement"] = "host".into();
    }
    guest
}

/// The public address of guest `n`.
pub fn public(n: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x0b00_0001 + n as u32)
}

/// The private address of guest `n`.
pub fn private(n: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0001 + n as u32)
}
