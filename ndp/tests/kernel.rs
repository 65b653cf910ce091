//! Proxied neighbours in a real kernel.

use std::net::{Ipv6Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use guestnet_core::diff::diff;
use guestnet_core::netlink::Refusal;
use guestnet_core::{Context, Kind, LinkName, Namespace, Outbox, Phase, Protocol, Set, Step};
use guestnet_lab::{Netns, lab_test, wait_until};
use guestnet_ndp::{ProxyNeighbour, sysctls};

const DEADLINE: Duration = Duration::from_secs(20);

/// A router with an uplink `uplink`, and the segment on which others ask, joined by a veth pair.
fn router() -> Result<(Netns, Netns)> {
    let (router, segment) = (Netns::make("router")?, Netns::make("segment")?);
    router.ip("link add uplink type veth peer name peer netns segment")?;
    router.ip("link add inside type veth peer name guest")?;
    for link in ["uplink", "inside", "guest"] {
        router.ip(&format!("link set {link} up"))?;
    }
    segment.ip("link set peer up")?;
    Ok((router, segment))
}

fn open(netns: &Netns) -> Result<Namespace> {
    Ok(Namespace::named(&netns.name().parse()?)?)
}

fn set(neighbours: &[(&str, &str)]) -> Result<Set<ProxyNeighbour>> {
    neighbours.iter().map(|(ip, dev)| Ok(ProxyNeighbour::new(ip.parse()?, dev.parse()?))).collect()
}

/// Makes the namespace as wanted. Returns how many changes that took, and what was refused.
fn apply(namespace: &mut Namespace, wanted: &Set<ProxyNeighbour>) -> Result<(usize, Vec<Refusal>)> {
    namespace.refresh_links()?;
    let (changes, conflicts) = diff(wanted, &ProxyNeighbour::observe(namespace, wanted)?);
    ensure!(conflicts.is_empty(), "{conflicts:?}");
    let context =
        Context { netns: namespace.netns().clone(), links: namespace.link_indexes(), ..Context::default() };
    let mut out = Outbox::new();
    for change in &changes {
        ProxyNeighbour::encode(change, Phase::Neighbours, &context, &mut out)?;
    }
    let mut messages = Vec::new();
    for (_, step) in out.into_steps() {
        let Step::Send(Protocol::Route, message) = step else { panic!("not a message: {step:?}") };
        messages.push(message);
    }
    let refused = match messages.is_empty() {
        true => Vec::new(),
        false => namespace.exchange(Protocol::Route, &mut messages)?,
    };
    Ok((changes.len(), refused.into_iter().map(|(_, refusal)| refusal).collect()))
}

fn set_sysctls(netns: &Netns, dev: &LinkName) -> Result<()> {
    for sysctl in sysctls(dev)? {
        netns.set_sysctl(&sysctl.key.to_string(), &sysctl.value.to_string())?;
    }
    netns.set_sysctl("net/ipv6/conf/all/forwarding", "1")
}

lab_test! {
    fn what_was_made_is_found_equal_and_goes_again() -> Result<()> {
        let (router, _segment) = router()?;
        let mut namespace = open(&router)?;
        let wanted = set(&[("2001:db8::1", "uplink"), ("2001:db8::1", "inside"), ("198.51.100.7", "uplink")])?;

        assert_eq!(apply(&mut namespace, &wanted)?, (3, vec![]));
        let found = ProxyNeighbour::observe(&mut namespace, &wanted)?;
        assert_eq!(found.ours, wanted);
        assert!(found.foreign.is_empty());
        assert_eq!(apply(&mut namespace, &wanted)?.0, 0, "the second apply changes nothing");

        let shown = router.ip("-6 neigh show proxy dev uplink")?;
        assert!(shown.contains("2001:db8::1") && shown.contains("proto 103"), "{shown}");

        let fewer = set(&[("2001:db8::1", "inside")])?;
        assert_eq!(apply(&mut namespace, &fewer)?, (2, vec![]));
        assert_eq!(ProxyNeighbour::observe(&mut namespace, &wanted)?.ours, fewer);
        Ok(())
    }

    fn entries_of_others_stay() -> Result<()> {
        let (router, _segment) = router()?;
        router.ip("neigh add proxy 2001:db8::1 dev uplink")?;
        router.ip("neigh add proxy 2001:db8::2 dev uplink protocol 42")?;
        let before = router.ip("-6 neigh show proxy")?;
        let mut namespace = open(&router)?;

        let wanted = set(&[("2001:db8::1", "uplink"), ("2001:db8::3", "uplink")])?;
        let found = ProxyNeighbour::observe(&mut namespace, &wanted)?;
        let foreign: Vec<_> = found.foreign.values().map(|f| (f.what.as_str(), f.satisfies)).collect();
        assert_eq!(foreign, [("2001:db8::1 dev uplink", true)], "only what holds a wanted key is noted");
        assert!(found.ours.is_empty());

        assert_eq!(apply(&mut namespace, &wanted)?, (1, vec![]));
        assert_eq!(apply(&mut namespace, &Set::new())?, (1, vec![]));
        assert_eq!(router.ip("-6 neigh show proxy")?, before);
        Ok(())
    }

    fn a_solicitation_on_the_wire_is_answered() -> Result<()> {
        let (router, segment) = router()?;
        let dev: LinkName = "uplink".parse()?;
        let mut namespace = open(&router)?;
        let asked = "2001:db8::1:1";
        apply(&mut namespace, &set(&[(asked, "uplink")])?)?;
        set_sysctls(&router, &dev)?;
        router.ip("address add 2001:db8::fe/120 dev uplink nodad")?;
        // The kernel proxies only for what it would forward to another interface.
        router.ip("route add 2001:db8::1:0/112 dev inside")?;
        segment.ip("address add 2001:db8::ff/64 dev peer nodad")?;

        let ask = |ip: &str| -> Result<()> {
            let ip: Ipv6Addr = ip.parse()?;
            segment.run(|| UdpSocket::bind("[::]:0")?.send_to(b"?", (ip, 9)).map(drop)).context("ask")
        };
        let heard = |ip: &str| segment.ip(&format!("-6 neigh show {ip} dev peer")).unwrap_or_default();
        let mac = router.ip("-br link show dev uplink")?;
        let mac = mac.split_whitespace().nth(2).context("the MAC address of the uplink")?.to_owned();
        wait_until("the answer", DEADLINE, || {
            ask(asked).is_ok() && heard(asked).contains(&format!("lladdr {mac}"))
        })?;
        // For the address beside it nobody answers.
        let other = "2001:db8::1:2";
        ask(other)?;
        wait_until("the failure", DEADLINE, || heard(other).contains("FAILED"))
    }

    fn an_entry_survives_the_loss_of_the_carrier() -> Result<()> {
        let (router, segment) = router()?;
        let mut namespace = open(&router)?;
        let wanted = set(&[("2001:db8::1", "uplink")])?;
        apply(&mut namespace, &wanted)?;
        let carrier = |is: &str| {
            let is = is.to_owned();
            wait_until("the carrier", DEADLINE, || {
                router.ip("link show dev uplink").is_ok_and(|line| line.contains("NO-CARRIER") == (is == "off"))
            })
        };
        segment.ip("link set peer down")?;
        carrier("off")?;
        segment.ip("link set peer up")?;
        carrier("on")?;
        assert_eq!(ProxyNeighbour::observe(&mut namespace, &wanted)?.ours, wanted);
        Ok(())
    }

    fn a_refusal_comes_with_its_number() -> Result<()> {
        let (router, _segment) = router()?;
        let mut namespace = open(&router)?;
        apply(&mut namespace, &set(&[("2001:db8::1", "uplink")])?)?;
        let context = Context { links: namespace.link_indexes(), ..Context::default() };
        let mut out = Outbox::new();
        let gone = ProxyNeighbour::new("2001:db8::2".parse()?, "uplink".parse()?);
        ProxyNeighbour::encode(&guestnet_core::Change::Delete(gone), Phase::Neighbours, &context, &mut out)?;
        let Some((_, Step::Send(_, message))) = out.into_steps().pop() else { panic!("no message") };
        let refused = namespace.exchange(Protocol::Route, &mut [message])?;
        assert_eq!(refused.iter().map(|(_, r)| r.errno).collect::<Vec<_>>(), [libc::ENOENT]);
        Ok(())
    }
}
