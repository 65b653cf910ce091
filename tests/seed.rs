//! The seed's own example, whole: after its spec is applied, `ip xfrm` and `nft list` print what the seed shows.

use anyhow::{Result, ensure};
use guestnet::{Host, HostSpec};
use guestnet_lab::{Capability, Netns, lab_test, need, output};

/// What `ip xfrm` prints, block by block and in a fixed order: the kernel lists in its own. Sequence numbers count, and
/// newer versions of `ip` say the type of a policy.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line = line.trim_end().replace(" ptype main", "");
        let line = line.split(", oseq").next().unwrap_or_default().to_owned();
        match blocks.last_mut().filter(|_| line.starts_with(char::is_whitespace)) {
            Some(block) => block.push_str(&format!("\n{line}")),
            None => blocks.push(line),
        }
    }
    blocks.sort();
    blocks
}

lab_test! {
    fn the_seed_comes_out_as_it_is_printed() -> Result<()> {
        need(Capability::Esp);
        let spec = HostSpec::from_json(include_str!("../examples/seed.json"))?;
        let mut host = Host::open()?;
        host.apply(&spec)?;
        let guest = Netns::open("vm7m86kv")?;
        assert_eq!(blocks(&guest.ip("xfrm state")?), blocks(include_str!("../xfrm/tests/seed/state.txt")));
        assert_eq!(blocks(&guest.ip("xfrm policy")?), blocks(include_str!("../xfrm/tests/seed/policy.txt")));

        let table = output(guest.command("nft").args(["list", "table", "ip", "guestnet_nat"]))?;
        for line in ["203.0.113.7 : 192.168.0.85", "192.168.0.85 : 203.0.113.7", "192.168.0.0/16", "notrack"] {
            ensure!(table.contains(line), "{line:?} is not in the table:\n{table}");
        }
        let conf = std::fs::read_to_string("/run/guestnet/vm7m86kv/dnsmasq.conf")?;
        for line in [
            "dhcp-range=tapvm7m86kv,192.168.0.85,192.168.0.85,32",
            "dhcp-range=tapvm7m86kv,fdfe:62d4:efc4:ef3b::2,fdfe:62d4:efc4:ef3b::2,slaac,64,12h",
        ] {
            ensure!(conf.lines().any(|l| l == line), "{line:?} is not in the file:\n{conf}");
        }
        ensure!(guest.ip("-6 address show dev tapvm7m86kv")?.contains("fdfe:62d4:efc4:ef3b::1/64"));
        assert_eq!(guest.sysctl("net/ipv4/conf/tapvm7m86kv/proxy_arp")?, "1");

        ensure!(host.verify(&spec)?.is_empty());
        assert_eq!(host.apply(&spec)?.changes, 0);
        // What is shown can be applied: keys are named by their fingerprints, and the kernel has them.
        let shown = serde_json::to_string(&HostSpec { objects: host.observe()?, ..HostSpec::default() })?;
        for key in ["f330d5810712412b", "c15cd35dbb66ecc5"] {
            ensure!(!shown.contains(key), "a key is shown");
        }
        assert_eq!(host.apply(&HostSpec::from_json(&shown)?)?.changes, 0);
        host.remove_all()?;
        ensure!(Netns::open("vm7m86kv").is_err());
        Ok(())
    }
}
