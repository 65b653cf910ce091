//! A real guest: Debian's kernel in QEMU, on a tap of the first host. It needs no ESP, so it always runs on this kernel:
//! emulation in emulation takes minutes.

use std::fs;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use guestnet_lab::{Daemon, Netns, Pings, Vm, dnsmasq, scratch};
use serde_json::Value;

use super::SPECS;
use super::command::{expect, file};
use super::guests::MEMBERS;
use super::table::Table;
use super::topology::{SERVER_IPV4, SERVER_IPV6, Topology};
use crate::place;

/// The rows of the real guest, in namespaces of their own; exit code 0 when all was shown.
pub fn inside() -> Result<u8> {
    guestnet_lab::enter()?;
    let topology = Topology::build()?;
    let host = &topology.hosts[0];
    let mut table = Table::begin();
    let mut real = None;
    table.row(
        "a real guest boots in QEMU, gets IPv4 by DHCP and IPv6 by SLAAC, and pings through NAT",
        || {
            let (guest, said) = Real::boot(host)?;
            real = Some(guest);
            Ok(said)
        },
    );
    if let Some(real) = &real {
        table.row("it loses nothing while its host is applied again, and gets and loses a guest", || {
            real.stays(host, &topology.internet)
        });
        table.row(
            "somebody flushes the rulesets: verify sees it, apply repairs it, the guest goes on",
            || real.is_repaired(host, &topology.internet),
        );
    }
    Ok(table.end())
}

/// The first guest of the first host.
struct Real {
    vm: Vm,
    netns: Netns,
    public_ipv6: IpAddr,
    _dnsmasq: Daemon,
}

/// The spec of the first host without tunnels, with so many of its guests.
fn spec(guests: usize) -> Result<String> {
    let text = fs::read_to_string(place::repository().join(SPECS[0]))?;
    let mut value: Value = serde_json::from_str(&text)?;
    let all = value["guests"].as_array_mut().context("the spec has guests")?;
    all.truncate(guests);
    for guest in all {
        guest.as_object_mut().context("a guest")?.remove("tunnels");
    }
    let path = scratch().join(format!("real-{guests}.json"));
    fs::write(&path, value.to_string())?;
    Ok(path.to_string_lossy().into_owned())
}

impl Real {
    fn boot(host: &Netns) -> Result<(Self, String)> {
        expect(host, &["apply", "-f", &spec(1)?], 0)?;
        let member = &MEMBERS[0];
        let netns = Netns::open(member.name)?;
        let dnsmasq = dnsmasq(&netns, &file(host, &format!("{}/dnsmasq.conf", member.name)))?;
        let vm = Vm::boot(&netns, &format!("tap{}", member.name), member.mac.parse()?)?;
        let lease = vm.lease()?;
        ensure!(lease.address == member.private_ipv4, "the lease is for {}", lease.address);
        let public_ipv6 = vm.ipv6(member.public_ipv6)?;
        for server in [SERVER_IPV4, SERVER_IPV6] {
            vm.ping(server.parse()?)?;
        }
        let said = format!(
            "{} boots in {:.1} s; {}/{} by DHCP, {public_ipv6} by SLAAC; {SERVER_IPV4} and {SERVER_IPV6} answer",
            member.name,
            vm.boot_time().as_secs_f32(),
            lease.address,
            lease.prefix
        );
        Ok((Self { vm, netns, public_ipv6, _dnsmasq: dnsmasq }, said))
    }

    /// Echo requests of both families, out and back.
    fn talk(&self, internet: &Netns) -> Result<Vec<Pings<'_>>> {
        let mut all = Vec::new();
        for server in [SERVER_IPV4, SERVER_IPV6] {
            all.push(self.vm.pings(server.parse()?)?);
        }
        for public in [MEMBERS[0].public_ipv4.into(), self.public_ipv6] {
            all.push(Pings::start(internet, public)?);
        }
        Ok(all)
    }

    fn stays(&self, host: &Netns, internet: &Netns) -> Result<String> {
        let mut talk = self.talk(internet)?;
        for guests in [1, 2, 1] {
            expect(host, &["apply", "-f", &spec(guests)?], 0)?;
            let lost = talk.iter_mut().map(Pings::lost).collect::<Result<Vec<_>>>()?;
            ensure!(lost == [0; 4], "with {guests} guests: {lost:?} lost");
        }
        Ok("0 of 20 pings a second lost, from the guest and to it, by IPv4 and by IPv6".to_owned())
    }

    fn is_repaired(&self, host: &Netns, internet: &Netns) -> Result<String> {
        let mut talk = self.talk(internet)?;
        self.netns.nft("flush ruleset")?;
        let spec = spec(1)?;
        let found = expect(host, &["verify", "-f", &spec], 1)?;
        let report = expect(host, &["apply", "-f", &spec], 0)?;
        talk.iter_mut().try_for_each(|pings| pings.lost().map(drop))?;
        let lost = talk.iter_mut().map(Pings::lost).collect::<Result<Vec<_>>>()?;
        ensure!(lost == [0; 4], "after the repair: {lost:?} lost");
        let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        Ok(format!("verify: {}\napply: {}", last(&found), first(&report)))
    }
}
