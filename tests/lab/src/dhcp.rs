//! Real DHCP clients in a guest.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::daemon::fresh_file;
use crate::{Netns, die_with_parent, output, wait_until};

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
pub(crate) const SCRIPT: &str = r#"#!/bin/sh
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
    for name in ip mask router dns mtu lease; do eval echo "$name=\$$name"; done > "$LEASE.new"
    mv "$LEASE.new" "$LEASE"
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

/// What dhclient runs when it has news: the routes are the router advertisements' to tell.
const SCRIPT6: &str = r#"#!/bin/sh
PATH=$PATH:/usr/sbin:/sbin
[ "$reason" = BOUND6 ] || exit 0
ip address replace $new_ip6_address/128 dev $interface nodad
echo "$new_ip6_address" > "$LEASE.new"
mv "$LEASE.new" "$LEASE"
"#;

/// Gets `link` an address from the network's DHCPv6 server with the real dhclient, and sets it. How long dhclient holds it
/// is not told: it asks for two hours, whatever it is offered.
///
/// # Errors
/// When no server answers.
pub fn dhcpv6(netns: &Netns, link: &str) -> Result<Ipv6Addr> {
    let (script, lease) = (fresh_file("dhclient6.sh"), fresh_file("lease6"));
    fs::write(&script, SCRIPT6)?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    wait_until("a link-local address", Duration::from_secs(5), || {
        let shown =
            netns.ip(&format!("-6 address show dev {link} scope link -tentative")).unwrap_or_default();
        shown.contains("inet6 fe80")
    })?;
    let mut client = netns.command("dhclient");
    client.args(["-6", "-d", "-1", "-sf"]).arg(&script).arg("-lf").arg(fresh_file("dhclient6.leases"));
    client.arg("-pf").arg(fresh_file("dhclient6.pid")).args([
        "-e",
        &format!("LEASE={}", lease.display()),
        link,
    ]);
    client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    die_with_parent(&mut client);
    let mut client = client.spawn().context("start dhclient")?;
    let waited = wait_until("an address by DHCPv6", Duration::from_secs(20), || lease.exists());
    // Without a word to the server: the guest goes on with what it has.
    let _ = client.kill();
    let _ = client.wait();
    waited.with_context(|| format!("in the namespace {}", netns.name()))?;
    let text = fs::read_to_string(&lease)?;
    text.trim().parse().with_context(|| format!("dhclient told of a strange address: {text}"))
}

pub(crate) fn parse(text: &str) -> Option<Lease> {
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
