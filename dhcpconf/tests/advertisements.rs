//! Router advertisements of a real dnsmasq, byte by byte (RFC 4861, sections 4.2 and 4.6.2).

use std::fs;
use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guestnet_core::{Path, Problems};
use guestnet_dhcpconf::DnsmasqSpec;
use guestnet_dhcpconf::dnsmasq::{Dhcpv6, Guest, STAND_IN};
use guestnet_lab::{Capture, Frame, Netns, dhcpv6, dnsmasq, lab_test, need_program, scratch};

const ROUTER_ADVERTISEMENT: u8 = 134;
/// Of DHCPv6, and the option of an address with its length.
const ADVERTISE: u8 = 2;
const IAADDR: [u8; 4] = [0, 5, 0, 24];
const PREFIX: u8 = 3;
const MTU: u8 = 5;
const RDNSS: u8 = 25;

/// What an advertisement says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Advertisement {
    /// M, O.
    flags: (bool, bool),
    lifetime: u16,
    prefixes: Vec<Prefix>,
    mtu: Option<u32>,
    /// The lifetime of DNS servers.
    dns: Option<u32>,
}

#[derive(Debug, PartialEq, Eq)]
struct Prefix {
    prefix: Ipv6Addr,
    length: u8,
    /// L, A.
    flags: (bool, bool),
    valid: u32,
    preferred: u32,
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn read(frame: &Frame) -> Option<Advertisement> {
    let packet = frame.packet()?;
    let [ROUTER_ADVERTISEMENT, 0, _, _, _, flags, a, b, _, _, _, _, _, _, _, _, options @ ..] =
        packet.payload
    else {
        return None;
    };
    let mut told = Advertisement {
        flags: (flags & 0x80 != 0, flags & 0x40 != 0),
        lifetime: u16::from_be_bytes([*a, *b]),
        ..Advertisement::default()
    };
    let mut rest = options;
    while let [kind, length, ..] = rest {
        let (option, behind) = rest.split_at_checked(usize::from(*length).max(1) * 8)?;
        match *kind {
            PREFIX => told.prefixes.push(Prefix {
                prefix: Ipv6Addr::from(*option[16..].first_chunk::<16>()?),
                length: option[2],
                flags: (option[3] & 0x80 != 0, option[3] & 0x40 != 0),
                valid: number(&option[4..])?,
                preferred: number(&option[8..])?,
            }),
            MTU => told.mtu = number(&option[4..]),
            RDNSS => told.dns = number(&option[4..]),
            _ => {}
        }
        rest = behind;
    }
    Some(told)
}

/// The address that a server offers (RFC 8415, section 21.6), and for how many seconds it is preferred, and valid.
fn offer(frame: &Frame) -> Option<(Ipv6Addr, u32)> {
    // Behind the header of UDP.
    let [_, _, _, _, _, _, _, _, ADVERTISE, message @ ..] = frame.packet()?.payload else { return None };
    let start = message.windows(IAADDR.len()).position(|bytes| bytes == IAADDR)? + IAADDR.len();
    let address = Ipv6Addr::from(*message.get(start..)?.first_chunk::<16>()?);
    let (preferred, valid) = (number(message.get(start + 16..)?)?, number(message.get(start + 20..)?)?);
    (preferred == valid).then_some((address, valid))
}

/// The first advertisement that `guest` gets behind `tap0`, which has `address`; and its address by DHCPv6, if it is
/// to ask.
fn told(guest: &Guest, address: &str) -> Result<(Advertisement, Option<(Ipv6Addr, u32)>)> {
    need_program("dnsmasq");
    let (host, inside) = (Netns::make("host")?, Netns::make("guest")?);
    host.skip_dad()?;
    inside.skip_dad()?;
    host.ip("link add tap0 type veth peer name eth0 netns guest")?;
    host.ip("link set tap0 up")?;
    host.ip(&format!("address add {address} dev tap0 nodad noprefixroute"))?;
    let spec = DnsmasqSpec::default().guest(guest);
    let mut problems = Problems::new();
    spec.check(&Path::root(), &mut problems);
    ensure!(problems.is_empty(), "{problems}");
    let file = scratch().join("dnsmasq.conf");
    fs::write(&file, spec.to_file("dnsmasq.conf".parse()?).content)?;
    let _dnsmasq = dnsmasq(&host, &file)?;
    let capture = Capture::start(&host, "tap0")?;
    inside.ip("link set eth0 up")?;
    let advertisement = capture.wait_for("an advertisement", Duration::from_secs(10), read)?;
    if guest.dhcpv6 != Dhcpv6::Addresses {
        return Ok((advertisement, None));
    }
    need_program("dhclient");
    let address = dhcpv6(&inside, "eth0")?;
    let (offered, seconds) = capture.wait_for("an offer", Duration::from_secs(1), offer)?;
    assert_eq!(address, offered);
    Ok((advertisement, Some((address, seconds))))
}

fn guest(prefix: &str) -> Result<Guest> {
    Ok(Guest { prefixes: vec![prefix.parse()?], ..Guest::new("tap0".parse()?) })
}

fn prefix(prefix: &str, flags: (bool, bool), seconds: u32) -> Result<Vec<Prefix>> {
    let prefix: ipnet::Ipv6Net = prefix.parse()?;
    let length = prefix.prefix_len();
    Ok(vec![Prefix { prefix: prefix.addr(), length, flags, valid: seconds, preferred: seconds }])
}

lab_test! {
    fn a_64_is_advertised_for_45_minutes_and_its_address_lent_for_12_hours() -> Result<()> {
        let (told, lease) = told(&guest("2001:db8:0:1::/64")?, "2001:db8:0:1::1/64")?;
        let prefixes = prefix("2001:db8:0:1::/64", (true, true), 2700)?;
        assert_eq!(told, Advertisement { flags: (true, true), lifetime: 1800, prefixes, mtu: Some(1500), dns: None });
        assert_eq!(lease.context("a lease")?, ("2001:db8:0:1::2".parse()?, 43_200));
        Ok(())
    }

    fn one_time_for_both_is_one_range_as_orchestrators_write_it() -> Result<()> {
        let guest = Guest { prefix_lifetime: Guest::LEASE, ..guest("2001:db8:0:1::/64")? };
        let text = DnsmasqSpec::default().guest(&guest).to_string();
        ensure!(text.contains("\ndhcp-range=tap0,2001:db8:0:1::2,2001:db8:0:1::2,slaac,64,12h\n"), "{text}");
        let (told, lease) = told(&guest, "2001:db8:0:1::1/64")?;
        assert_eq!(told.prefixes, prefix("2001:db8:0:1::/64", (true, true), 43_200)?);
        assert_eq!((told.flags, lease.context("a lease")?.1), ((true, true), 43_200));
        Ok(())
    }

    fn without_addresses_by_dhcpv6_the_flag_m_is_not_set() -> Result<()> {
        let dns = vec!["2001:db8::53".parse()?];
        for (dhcpv6, other) in [(Dhcpv6::Nothing, false), (Dhcpv6::Options, true)] {
            let guest = Guest { dhcpv6, dns: dns.clone(), ..guest("2001:db8:0:1::/64")? };
            let (told, _) = told(&guest, "2001:db8:0:1::1/64")?;
            let prefixes = prefix("2001:db8:0:1::/64", (true, true), 2700)?;
            let wanted =
                Advertisement { flags: (false, other), lifetime: 1800, prefixes, mtu: Some(1500), dns: Some(2700) };
            assert_eq!(told, wanted, "{dhcpv6:?}");
        }
        Ok(())
    }

    fn times_and_mtu_are_said_as_they_are_given() -> Result<()> {
        let guest = Guest {
            prefix_lifetime: "90m".parse()?,
            lease: "2h".parse()?,
            interval: Some(300),
            router_lifetime: Some(2700),
            mtu: Some(1400),
            ..guest("2001:db8:0:1::/64")?
        };
        let (told, lease) = told(&guest, "2001:db8:0:1::1/64")?;
        let prefixes = prefix("2001:db8:0:1::/64", (true, true), 5400)?;
        assert_eq!(told, Advertisement { flags: (true, true), lifetime: 2700, prefixes, mtu: Some(1400), dns: None });
        assert_eq!(lease.context("a lease")?.1, 7200);
        Ok(())
    }

    fn a_longer_prefix_is_on_the_link_and_nobody_makes_an_address_of_it() -> Result<()> {
        let (told, lease) = told(&guest("2001:db8:0:1:2::/80")?, "2001:db8:0:1:2::1/80")?;
        assert_eq!(told.prefixes, prefix("2001:db8:0:1:2::/80", (true, false), 43_200)?);
        assert_eq!((told.flags, lease.context("a lease")?.0), ((true, true), "2001:db8:0:1:2::2".parse()?));
        Ok(())
    }

    fn an_address_in_no_prefix_of_the_router_comes_by_dhcpv6_and_the_route_by_advertisement() -> Result<()> {
        let address: Ipv6Addr = "2001:db8:7::9".parse()?;
        let guest = Guest { addresses6: vec![address], ..Guest::new("tap0".parse()?) };
        let (told, lease) = told(&guest, &STAND_IN.to_string())?;
        // Neither on the link nor for addresses.
        assert_eq!(told.prefixes, prefix("fdcd:4f7e:6fd0::/64", (false, false), 2700)?);
        assert_eq!((told.flags, told.lifetime), ((true, true), 1800));
        assert_eq!(lease.context("a lease")?, (address, 43_200));
        Ok(())
    }
}
