//! Beside a stateful firewall.

mod support;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use guestnet_lab::{Echo, echo, lab_test, path_mtu, ping};
use guestnet_nat::Mode;
use support::errors::udp_error;
use support::{FAMILIES, Family, GUESTS, Lab, SHAPES, Shape};

/// Guests may begin anything, others only what is told; what was begun, and errors about it, may go on.
fn firewall(ports: &str) -> String {
    format!(
        "table inet firewall
         delete table inet firewall
         table inet firewall {{
            chain forward {{
                type filter hook forward priority 0; policy drop;
                ct state invalid counter drop
                ct state established,related accept
                iifname != \"uplink\" accept
                icmp type echo-request accept
                icmpv6 type echo-request accept
                ip daddr 10.0.0.0/16 th dport {{ {ports} }} accept
                ip6 daddr fd00::/16 th dport {{ {ports} }} accept
            }}
         }}"
    )
}

/// Conntrack works where a rule asks it.
const ASK: &str =
    "table inet ask { chain forward { type filter hook forward priority 0; ct state new counter; }; }";

fn entries(lab: &Lab) -> Result<u32> {
    Ok(lab.router.sysctl("net/netfilter/nf_conntrack_count")?.parse()?)
}

/// Traffic of every kind from, to and between public addresses.
fn traffic(lab: &Lab, family: Family) -> Result<()> {
    let near = SocketAddr::new(family.near(), 7);
    let _near = Echo::start(&lab.near, family.any(7))?;
    for n in GUESTS {
        let (guest, public) = (lab.guest(n), lab.public(n, family));
        let _guest = Echo::start(guest, family.any(7))?;
        let other = lab.guest(n % 3 + 1);
        for (from, to) in
            [(guest, near), (&lab.near, SocketAddr::new(public, 7)), (other, SocketAddr::new(public, 7))]
        {
            echo::tcp(from, None, to, 1000)?;
            echo::udp(from, None, to, b"hello")?;
            ping(from, None, to.ip())?;
        }
        udp_error(guest, SocketAddr::new(family.near(), 9), 64)?;
        udp_error(&lab.near, SocketAddr::new(public, 9), 64)?;
        udp_error(&lab.near, SocketAddr::new(public, 9), 2)?;
    }
    path_mtu(lab.guest(1), None, family.far(), 1500).map(drop)
}

lab_test! {
    fn without_tracking_there_is_no_entry() -> Result<()> {
        for shape in SHAPES {
            let lab = Lab::build(Mode::Notrack, shape)?;
            lab.router.nft(ASK)?;
            for family in FAMILIES {
                traffic(&lab, family)?;
                assert_eq!(entries(&lab)?, 0, "{family:?}");
            }
        }
        Ok(())
    }

    fn with_tracking_there_are_entries() -> Result<()> {
        for family in FAMILIES {
            let lab = Lab::build(Mode::Tracked, Shape::Addresses)?;
            traffic(&lab, family)?;
            assert_eq!(entries(&lab)?, 0, "nobody asked conntrack");
            lab.router.nft(ASK)?;
            traffic(&lab, family)?;
            assert!(entries(&lab)? >= 27, "one for each flow: {}", entries(&lab)?);
        }
        Ok(())
    }

    fn a_stateful_firewall_lets_through_what_was_begun_and_no_more() -> Result<()> {
        for shape in SHAPES {
            let lab = Lab::build(Mode::Tracked, shape)?;
            for family in FAMILIES {
                lab.router.nft(&firewall("7, 9"))?;
                beside_the_firewall(&lab, family).with_context(|| format!("{shape:?}, {family:?}"))?;
                assert_eq!(lab.bad_checksums()?, 0);
            }
        }
        Ok(())
    }
}

fn beside_the_firewall(lab: &Lab, family: Family) -> Result<()> {
    traffic(lab, family)?;
    assert_eq!(path_mtu(lab.guest(1), None, family.far(), 1500)?, 1300);
    // What the guest did not ask for, until it is allowed.
    let (guest, server) = (lab.guest(1), SocketAddr::new(lab.public(1, family), 8));
    let _guest = Echo::start(guest, family.any(8))?;
    assert!(echo::udp(&lab.near, None, server, b"hello").is_err(), "port 8 is not allowed");
    lab.router.nft(&firewall("7, 8, 9"))?;
    echo::udp(&lab.near, None, server, b"hello")?;
    echo::tcp(&lab.near, None, server, 1000)?;
    let rules = guestnet_lab::output(lab.router.command("nft").args(["list", "table", "inet", "firewall"]))?;
    assert!(
        rules.contains("invalid counter packets 0 bytes 0"),
        "packets that conntrack did not know: {rules}"
    );
    Ok(())
}
