//! What an orchestrator that spawns processes does for one guest today: the steps of the first seed's, in their order.
//! It asks before it makes, reads back what the kernel chose, and sets each thing by a process of its own. Its last step
//! reloads the ruleset of the host by `systemctl`, for which `nft -f` stands here.

use std::process::Command;

use anyhow::Result;
use guestnet_lab::output;

use crate::ip::run;
use crate::peak;

/// The commands, a line each. They run without a shell but for those that begin with `sh`, which is called as well.
fn commands(vetho_ll: &str, vethi_ll: &str) -> Vec<String> {
    const VM: &str = "vm00000";
    let inside = |line: &str| format!("ip netns exec {VM} {line}");
    let of = |line: &str| format!("ip -n {VM} {line}");
    vec![
        "ip addr replace 169.254.0.1/32 dev vethovm".to_owned(),
        "ip link set dev vethovm up".to_owned(),
        format!("ip -6 route replace 2001:db8:0:10::/65 via {vethi_ll} dev vethovm"),
        format!("ip -6 route replace 2001:db8:0:10:8000::/65 via {vethi_ll} dev vethovm"),
        "ip -j route show".to_owned(),
        "ip -6 neigh add proxy 2001:db8:0:10::2 dev uplink".to_owned(),
        of("addr replace 169.254.0.2/32 dev vethivm"),
        of("link set dev vethivm up"),
        of(&format!("-6 route replace 2000::/3 via {vetho_ll} dev vethivm")),
        of("addr replace 2001:db8:0:10:8000::/65 dev vethivm"),
        of("link set dev tap00000 up"),
        of("addr replace 2001:db8:0:10::1/65 dev tap00000"),
        of("-6 route replace 2001:db8:0:10::/65 dev tap00000"),
        of("addr replace fd00:0:0:10::1/64 dev tap00000"),
        of("addr replace 10.0.0.254/24 dev tap00000"),
        "ip route replace 11.0.0.1/32 dev vethovm".to_owned(),
        of("route replace 169.254.0.1 dev vethivm"),
        of("route replace default via 169.254.0.1 dev vethivm"),
        of("route del 10.0.0.0/24 dev tap00000"),
        of("route replace 10.0.0.1/32 dev tap00000"),
        inside("sh -c 'echo 1 > /proc/sys/net/ipv4/conf/vethivm/proxy_arp'"),
        inside("sh -c 'echo 1 > /proc/sys/net/ipv4/conf/tap00000/proxy_arp'"),
        inside("nft -f /run/vm.nft"),
        inside("sysctl -qw net.ipv6.conf.all.forwarding=1"),
        inside("sysctl -qw net.ipv4.conf.all.forwarding=1"),
        inside("sysctl -qw net.ipv4.ip_forward=1"),
        "nft -f /run/host.nft".to_owned(),
    ]
}

const RULES: &str = "\
table ip raw {
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    ip daddr 11.0.0.1 ip daddr set 10.0.0.1 notrack
    ip saddr 10.0.0.1 ip daddr != 10.0.0.0/8 ip saddr set 11.0.0.1 notrack
  }
}
";

const UNBLOCK: &str = "\
table inet unblocked {
  set guests {
    type ipv4_addr
    elements = { 11.0.0.1 }
  }
}
";

/// Writes the files that are only read.
pub fn prepare() -> Result<()> {
    std::fs::write("/run/vm.nft", RULES)?;
    Ok(std::fs::write("/run/host.nft", UNBLOCK)?)
}

/// Provisions the guest; how many processes that took.
pub fn provision() -> Result<usize> {
    let mut count = 0;
    let mut ask = |line: &str, may_fail: bool| -> Result<String> {
        count += 1;
        let words: Vec<String> = split(line);
        let said = output(&mut peak::weighed(Command::new(&words[0]).args(&words[1..])));
        if may_fail { Ok(said.unwrap_or_default()) } else { said }
    };
    // What an earlier try may have left.
    ask("ip netns del vm00000", true)?;
    ask("ip link del vethovm", true)?;
    ask("ip netns add vm00000", false)?;
    ask(
        "ip link add vethovm addr 02:00:00:00:00:01 type veth peer name vethivm addr 02:00:00:00:00:02 netns vm00000",
        false,
    )?;
    ask("ip -n vm00000 tuntap add dev tap00000 mode tap user root multi_queue", false)?;
    ask("ip -n vm00000 link set dev tap00000 address 02:00:00:00:00:03", false)?;
    ask("ip netns exec vm00000 cat /sys/class/net/vethivm/address", true)?;
    ask("cat /sys/class/net/vethovm/address", true)?;
    ask("ip -6 neigh show proxy", false)?;
    ask("ip -j link show vethovm", false)?;
    ask("ip -n vm00000 -j link show vethivm", false)?;
    for line in commands("fe80::ff:fe00:1", "fe80::ff:fe00:2") {
        let words = split(&line);
        run(Command::new(&words[0]).args(&words[1..]), "")?;
        count += 1;
    }
    Ok(count)
}

/// Words at blanks; what is between single quotes is one.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (n, part) in line.split('\'').enumerate() {
        if n % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
