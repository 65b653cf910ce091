//! A real DHCP client in a guest.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};

use crate::daemon::fresh_file;
use crate::{Netns, output};

/// What a DHCP server has given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The guest's address.
    pub address: Ipv4Addr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// Where everything else goes.
    pub router: Option<Ipv4Addr>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// MTU of the link.
    pub mtu: Option<u16>,
    /// For how long, in seconds.
    pub seconds: u32,
}

/// What udhcpc runs when it has news. Sets what a guest's system would set.
const SCRIPT: &str = r#"#!/bin/sh
PATH=$PATH:/usr/sbin:/sbin
case $1 in
deconfig)
    ip -4 address flush dev $interface
    ;;
bound | renew)
    [ -z "$mtu" ] || ip link set $interface mtu $mtu
    ip address replace $ip/${mask:-32} dev $interface
    # A router outside of the prefix is on the link all the same (RFC 3442 has clients do this).
    for r in $router; do ip route replace default via $r dev $interface onlink; break; done
    set -- $staticroutes
    while [ $# -ge 2 ]; do
        if [ $2 = 0.0.0.0 ]; then ip route replace $1 dev $interface
        else ip route replace $1 via $2 dev $interface onlink; fi
        shift 2
    done
    for name in ip mask router dns mtu lease; do eval echo "$name=\$$name"; done > "$LEASE"
    ;;
esac
"#;

/// Gets `link` an address from the network's DHCP server with the real udhcpc, and sets it.
///
/// # Errors
/// When no server answers.
pub fn dhcp(netns: &Netns, link: &str) -> Result<Lease> {
    let (script, lease) = (fresh_file("udhcpc.sh"), fresh_file("lease"));
    fs::write(&script, SCRIPT)?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    let mut client = netns.command("udhcpc");
    client.args([
        "-i",
        link,
        "-f",
        "-q",
        "-n",
        "-t",
        "10",
        "-T",
        "1",
        "-O",
        "mtu",
        "-O",
        "staticroutes",
        "-s",
    ]);
    output(client.arg(&script).env("LEASE", &lease))
        .with_context(|| format!("in the namespace {}", netns.name()))?;
    let text = fs::read_to_string(&lease).context("udhcpc told of no lease")?;
    parse(&text).with_context(|| format!("udhcpc told of a strange lease:\n{text}"))
}

fn parse(text: &str) -> Option<Lease> {
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Some(Lease {
        address: value("ip")?.parse().ok()?,
        prefix: value("mask")?.parse().unwrap_or(32),
        router: value("router")?.split(' ').next()?.parse().ok(),
        dns: value("dns")?.split(' ').filter_map(|server| server.parse().ok()).collect(),
        mtu: value("mtu")?.parse().ok(),
        seconds: value("lease")?.parse().ok()?,
    })
}
