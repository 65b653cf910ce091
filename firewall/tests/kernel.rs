//! The tables on the running kernel.

mod support;

use anyhow::{Result, ensure};
use guestnet_core::Set;
use guestnet_firewall::{Access, Entry, FirewallSpec};
use guestnet_lab::{Netns, lab_test};
use guestnet_nft::{Chain, Family, Rule, Table, meta};
use support::{apply, changes, full, guest, plan, send};

/// A spec without what this kernel may lack: connections on bridges.
fn everywhere() -> FirewallSpec {
    let mut spec = full();
    spec.guests
        .iter_mut()
        .filter(|guest| guest.bridge.is_some())
        .for_each(|guest| guest.access.stateless = true);
    spec
}

lab_test! {
    fn the_kernel_takes_it_and_gives_it_back() -> Result<()> {
        let netns = Netns::here()?;
        netns.ip("link add uplink type veth peer name tap3")?;
        apply(&everywhere())?;
        let listed = netns.command("nft").args(["list", "ruleset"]).output()?;
        ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let listed = String::from_utf8(listed.stdout)?;
        for words in ["2.1 the MAC address is the guest's", "counter packets 0", "@own_in_port16", "jump in_web"] {
            ensure!(listed.contains(words), "{words} in {listed}");
        }
        // Each rule says its paragraph.
        for line in listed.lines().filter(|line| line.contains(" accept") || line.contains(" goto ")) {
            ensure!(line.contains("policy") || line.contains("comment \""), "{line}");
        }
        Ok(())
    }

    fn a_guest_more_changes_elements_only() -> Result<()> {
        let netns = Netns::here()?;
        netns.ip("link add uplink type veth peer name tap3")?;
        let mut spec = everywhere();
        apply(&spec)?;
        let mut new = guest(7);
        new.access = spec.guests[0].access.clone();
        spec.guests.push(new);
        for change in plan(&spec)? {
            let text = change.text();
            ensure!(text.contains("guests: +tap7") && !text.contains("chain ") && !text.contains("set "), "{text}");
        }
        apply(&spec)?;
        spec.guests.pop();
        apply(&spec)
    }

    fn a_refused_filter_leaves_the_old_one() -> Result<()> {
        let mut spec = FirewallSpec { guests: vec![guest(1)], ..FirewallSpec::default() };
        apply(&spec)?;
        spec.guests[0].access.egress = vec![Entry::default()];
        let mut tables: Set<Table> = spec.lower().into_iter().collect();
        // One rule of the transaction asks a set that is not there.
        let rule = Rule::new().with(meta::iifname().is_in("nowhere".parse().unwrap()));
        let chain = Chain::regular("broken".parse().unwrap()).rule(rule);
        tables.insert(Table::new(Family::Inet, "guestnet_broken".parse().unwrap()).chain(chain));
        let refused = send(&changes(&tables)?)?;
        ensure!(!refused.is_empty(), "the kernel took it");
        spec.guests[0].access = Access::default();
        ensure!(plan(&spec)?.is_empty(), "the old filter is not as it was");
        Ok(())
    }
}
