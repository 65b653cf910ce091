//! Many tunnels: a full mesh of 100 hosts with 10 guests each, as one of the hosts has it.

use anyhow::{Result, ensure};
use guestnet_core::{Kind, Namespace, Protocol, Set};
use guestnet_lab::{Capability, lab_test, need};
use guestnet_xfrm::threshold::Family;
use guestnet_xfrm::{HashThreshold, PairSecret, Policy, Spd, State, Tunnel};
use ipnet::IpNet;

use crate::host::{apply, changes, ip, messages, own};

const HOSTS: u16 = 100;
const GUESTS: u16 = 10;

/// What the first host has of the mesh: a tunnel to each other host; in it a policy for each pair of guests, or one for
/// all that have their hosts' prefixes.
fn mesh(generation: u32, by_prefix: bool) -> Result<(Set<State>, Set<Policy>)> {
    let (mut states, mut policies) = (Set::new(), Set::new());
    let ipv4 = |host: u16, guest: u16| -> Result<IpNet> { Ok(format!("10.{host}.0.{guest}/32").parse()?) };
    let ipv6 =
        |host: u16, guest: u16| -> Result<IpNet> { Ok(format!("fd00:{host:x}:{guest:x}::/64").parse()?) };
    for peer in 1..HOSTS {
        let secret = PairSecret::new((0..32).map(|n| n ^ peer as u8).collect())?;
        let ends = ("2001:db8::1".parse()?, format!("2001:db8:{peer:x}::1").parse()?);
        let mut tunnel = Tunnel::between(ends.0, ends.1).secret(secret).generation(generation);
        if by_prefix {
            tunnel = tunnel.carry("10.0.0.0/24".parse()?, format!("10.{peer}.0.0/24").parse()?);
            tunnel = tunnel.carry("fd00::/48".parse()?, format!("fd00:{peer:x}::/48").parse()?);
        }
        for here in (1..=GUESTS).filter(|_| !by_prefix) {
            for there in 1..=GUESTS {
                tunnel = tunnel
                    .carry(ipv4(0, here)?, ipv4(peer, there)?)
                    .carry(ipv6(0, here)?, ipv6(peer, there)?);
            }
        }
        let (new_states, new_policies) = tunnel.ends().0.lower()?;
        states.extend(new_states);
        policies.extend(new_policies);
    }
    Ok((states, policies))
}

fn load<K: Kind>(what: &str, namespace: &mut Namespace, wanted: &Set<K>) -> Result<()> {
    let (plan, conflicts) = changes(namespace, wanted)?;
    ensure!(conflicts.is_empty());
    namespace.request(Protocol::Xfrm, &mut messages(&plan)?, what)?;
    Ok(())
}

lab_test! {
    fn a_mesh_is_loaded_in_bulk_and_found_by_a_hash() -> Result<()> {
        need(Capability::XfrmPolicy);
        let mut namespace = own()?;
        let (_, policies) = mesh(0, false)?;
        let threshold = HashThreshold::fitting(Family::Ipv6, &policies);
        assert_eq!(threshold, Some(HashThreshold { family: Family::Ipv6, local: 64, remote: 64 }));
        let thresholds: Set<HashThreshold> = threshold.into_iter().collect();
        assert_eq!(apply(&mut namespace, &thresholds)?, ["+ xfrm policy hthresh6 64 64"]);
        assert_eq!(apply(&mut namespace, &thresholds)?, [""; 0]);
        let shown = ip("-s -s xfrm policy count")?;
        ensure!(shown.contains("64"), "{shown}");

        load("policies of a mesh", &mut namespace, &policies)?;
        load("the same again", &mut namespace, &policies)?;
        let crowded = Spd::read(&mut namespace)?.expect("IPsec");
        assert_eq!(crowded.policies() as usize, policies.len());
        assert_eq!(crowded.outbound, crowded.forwarded);
        let buckets = Spd::grow(&mut namespace)?;
        ensure!(buckets as usize >= policies.len(), "{buckets} buckets for {} policies", policies.len());
        assert_eq!(changes(&mut namespace, &policies)?.0.len(), 0, "it left nothing behind");

        let mut one_more = policies.clone();
        let first = policies.iter().find(|policy| policy.selector.src.addr().is_ipv6()).expect("a policy").clone();
        let far = "fd01::/64".parse()?;
        one_more.insert(Policy { selector: guestnet_xfrm::Selector { dst: far, ..first.selector.clone() }, ..first });
        load("one more", &mut namespace, &one_more)?;
        load("one less", &mut namespace, &policies)?;
        assert_eq!(apply(&mut namespace, &Set::<HashThreshold>::new())?, [""; 0], "it stays: nobody asks");
        load("none", &mut namespace, &Set::<Policy>::new())?;
        Ok(())
    }

    fn thresholds_of_others_stay() -> Result<()> {
        need(Capability::XfrmPolicy);
        let mut namespace = Namespace::current()?;
        let wanted = |local| -> Set<HashThreshold> {
            std::iter::once(HashThreshold { family: Family::Ipv6, local, remote: 64 }).collect()
        };
        guestnet_lab::sh("ip xfrm policy set hthresh6 56 56")?;
        assert_eq!(apply(&mut namespace, &wanted(64))?, [""; 0]);
        assert_eq!(Spd::read(&mut namespace)?.expect("IPsec").thresholds[0].local, 56);
        guestnet_lab::sh("ip xfrm policy set hthresh6 128 128")?;
        assert_eq!(apply(&mut namespace, &wanted(64))?.len(), 1);
        Ok(())
    }

    fn esp_a_mesh_changes_its_keys_in_bulk() -> Result<()> {
        need(Capability::Esp);
        let mut namespace = own()?;
        let (states, policies) = mesh(0, true)?;
        load("states of a mesh", &mut namespace, &states)?;
        load("its policies", &mut namespace, &policies)?;
        load("the same again", &mut namespace, &states)?;
        let (next, switched) = mesh(1, true)?;
        let mut both = states.clone();
        both.extend(next.clone());
        load("rekey: new states beside the old", &mut namespace, &both)?;
        load("rekey: policies switched", &mut namespace, &switched)?;
        load("rekey: old states gone", &mut namespace, &next)?;
        assert_eq!(changes(&mut namespace, &next)?.0.len() + changes(&mut namespace, &switched)?.0.len(), 0);
        Ok(())
    }
}
