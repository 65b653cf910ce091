//! Real clients of a real dnsmasq: what a guest has got in the end.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guestnet_core::{Path, Problems};
use guestnet_dhcpconf::DnsmasqSpec;
use guestnet_dhcpconf::dnsmasq::{Addressing, DhcpOption, Guest, OptionValue};
use guestnet_lab::{Netns, lab_test, need_program, output, scratch, skip, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);
/// Something beyond the host, which a guest reaches by its default route only.
const BEYOND: &str = "203.0.113.1";
const MAC: &str = "02:00:5e:00:53:01";

/// A host and guests, each behind an interface `tapN` of the host, as `eth0` in a namespace `guestN`.
fn links(guests: usize) -> Result<(Netns, Vec<Netns>)> {
    let host = Netns::make("host")?;
    host.ip(&format!("address add {BEYOND}/32 dev lo"))?;
    let guests = (0..guests).map(|n| {
        let guest = Netns::make(&format!("guest{n}"))?;
        host.ip(&format!("link add tap{n} type veth peer name eth0 netns guest{n}"))?;
        host.ip(&format!("link set tap{n} up"))?;
        Ok(guest)
    });
    let guests = guests.collect::<Result<Vec<_>>>()?;
    guests[0].ip(&format!("link set eth0 address {MAC}"))?;
    Ok((host, guests))
}

/// A running dnsmasq. It ends with the test.
struct Dnsmasq(Child);

impl Dnsmasq {
    fn start(host: &Netns, spec: &DnsmasqSpec) -> Result<Self> {
        need_program("dnsmasq");
        let mut problems = Problems::new();
        spec.check(&Path::root(), &mut problems);
        ensure!(problems.is_empty(), "{problems}");
        let (file, log) = (scratch().join("dnsmasq.conf"), scratch().join("dnsmasq.log"));
        fs::write(&file, spec.to_file("dnsmasq.conf".parse()?).content)?;
        let mut command = host.command("dnsmasq");
        // Without a daemon it stays the user it is, which in a user namespace is the only one.
        command.args(["--no-daemon", "--log-dhcp", "-C"]).arg(&file);
        let child = command.stdout(Stdio::null()).stderr(fs::File::create(&log)?).spawn()?;
        let dnsmasq = Self(child);
        wait_until("dnsmasq's start", DEADLINE, || {
            fs::read_to_string(&log).is_ok_and(|log| log.contains("started"))
        })
        .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(dnsmasq)
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs udhcpc with Debian's script; what it was told, by udhcpc's own names.
fn udhcpc(guest: &Netns, more: &[&str]) -> Result<BTreeMap<String, String>> {
    need_program("udhcpc");
    let Ok(debian) = fs::read_to_string("/etc/udhcpc/default.script") else {
        skip("udhcpc has no /etc/udhcpc/default.script here");
    };
    // The machine's own resolv.conf is not the guest's.
    let debian = debian.replace("/etc/resolv.conf", &scratch().join("resolv.conf").to_string_lossy());
    let (script, wrapper) = (scratch().join("default.script"), scratch().join("script"));
    let lease = scratch().join(format!("{}.lease", guest.name()));
    let _ = fs::remove_file(&lease);
    fs::write(&script, debian)?;
    let save = format!("#!/bin/sh\n[ \"$1\" != bound ] || env > {}\n", lease.display());
    fs::write(&wrapper, format!("{save}. {}\n", script.display()))?;
    output(std::process::Command::new("chmod").arg("+x").arg(&wrapper))?;
    let mut client = guest.command("udhcpc");
    client.args(["-f", "-q", "-n", "-t", "5", "-i", "eth0", "-s"]).arg(&wrapper).args(more);
    output(&mut client)
        .with_context(|| fs::read_to_string(scratch().join("dnsmasq.log")).unwrap_or_default())?;
    let told = fs::read_to_string(&lease)?;
    Ok(told.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect())
}

/// Whether the guest reaches what is beyond the host, and as whom it is seen there.
fn seen_beyond(host: &Netns, guest: &Netns) -> Result<IpAddr> {
    let listener = host.run(|| TcpListener::bind((BEYOND, 0)))?;
    let to = listener.local_addr()?;
    let hear = std::thread::spawn(move || -> Result<SocketAddr> {
        let (mut stream, from) = listener.accept()?;
        stream.write_all(b"hello")?;
        Ok(from)
    });
    let mut said = String::new();
    guest.run(|| TcpStream::connect_timeout(&to, DEADLINE))?.read_to_string(&mut said)?;
    ensure!(said == "hello", "{said:?}");
    Ok(hear.join().expect("the listener")?.ip())
}

fn guest(n: usize, address: Ipv4Addr, addressing: Addressing) -> Result<Guest> {
    let interface = format!("tap{n}").parse()?;
    Ok(Guest { address: Some(address), addressing, ..Guest::new(interface) })
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 85);
const ROUTER: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 1);
const POINT_TO_POINT: Addressing = Addressing::PointToPoint { router: ROUTER };

lab_test! {
    fn a_guest_with_a_32_reaches_the_world_through_a_router_outside_of_it() -> Result<()> {
        let (host, guests) = links(1)?;
        host.ip(&format!("address add {ROUTER}/32 dev tap0"))?;
        host.ip(&format!("route add {ADDRESS} dev tap0"))?;
        let guest = Guest {
            mtu: Some(1426),
            mac: Some(MAC.parse()?),
            hostname: Some("vm7m86kv".parse()?),
            dns: vec!["9.9.9.9".parse()?, "2620:fe::fe".parse()?],
            ..guest(0, ADDRESS, POINT_TO_POINT)?
        };
        let _dnsmasq = Dnsmasq::start(&host, &DnsmasqSpec::default().guest(&guest))?;

        let told = udhcpc(&guests[0], &["-O", "staticroutes", "-O", "mtu"])?;
        let told = |name: &str| told.get(name).map(String::as_str);
        assert_eq!(told("ip"), Some("192.168.0.85"));
        assert_eq!(told("subnet"), Some("255.255.255.255"));
        assert_eq!(told("router"), Some("169.254.0.1"));
        assert_eq!(told("staticroutes"), Some("169.254.0.1/32 0.0.0.0 0.0.0.0/0 169.254.0.1"));
        assert_eq!((told("mtu"), told("dns")), (Some("1426"), Some("9.9.9.9")));
        assert_eq!((told("hostname"), told("lease")), (Some("vm7m86kv"), Some("43200")));

        let routes = guests[0].ip("route")?;
        assert!(routes.contains("default via 169.254.0.1 dev eth0 onlink"), "{routes}");
        assert!(guests[0].ip("link show eth0")?.contains("mtu 1426"));
        assert_eq!(seen_beyond(&host, &guests[0])?, ADDRESS);
        Ok(())
    }

    fn the_routes_of_option_121_alone_suffice() -> Result<()> {
        let (host, guests) = links(1)?;
        host.ip(&format!("address add {ROUTER}/32 dev tap0"))?;
        host.ip(&format!("route add {ADDRESS} dev tap0"))?;
        let _dnsmasq = Dnsmasq::start(&host, &DnsmasqSpec::default().guest(&guest(0, ADDRESS, POINT_TO_POINT)?))?;
        let told = udhcpc(&guests[0], &["-O", "staticroutes"])?;

        // As RFC 3442 has it: option 3 is ignored, and 0.0.0.0 is on the link.
        guests[0].ip("route flush dev eth0")?;
        let routes: Vec<&str> = told.get("staticroutes").context("no routes")?.split(' ').collect();
        for route in routes.chunks(2) {
            let [to, via] = route else { panic!("{routes:?}") };
            let via = if *via == "0.0.0.0" { String::new() } else { format!("via {via}") };
            guests[0].ip(&format!("route add {to} {via} dev eth0"))?;
        }
        assert_eq!(seen_beyond(&host, &guests[0])?, ADDRESS);
        Ok(())
    }

    fn a_guest_in_the_subnet_of_the_interface_has_its_mask_and_router() -> Result<()> {
        let (host, guests) = links(1)?;
        host.ip("address add 192.168.0.1/24 dev tap0")?;
        host.set_sysctl("net/ipv4/conf/tap0/proxy_arp", "1")?;
        host.set_sysctl("net/ipv4/ip_forward", "1")?;
        let _dnsmasq = Dnsmasq::start(&host, &DnsmasqSpec::default().guest(&guest(0, ADDRESS, Addressing::Subnet)?))?;

        let told = udhcpc(&guests[0], &[])?;
        let told = |name: &str| told.get(name).map(String::as_str);
        assert_eq!((told("ip"), told("subnet")), (Some("192.168.0.85"), Some("255.255.255.0")));
        assert_eq!((told("router"), told("staticroutes")), (Some("192.168.0.1"), None));
        assert_eq!(told("lease"), Some("43200"));
        assert_eq!(seen_beyond(&host, &guests[0])?, ADDRESS);
        Ok(())
    }

    fn a_lease_is_as_long_as_it_is_said_to_be() -> Result<()> {
        let (host, guests) = links(1)?;
        host.ip("address add 192.168.0.1/24 dev tap0")?;
        let guest = |lease| Ok::<_, anyhow::Error>(Guest { lease, ..guest(0, ADDRESS, Addressing::Subnet)? });
        let bare = Guest { bare_prefix_len: true, ..guest(Guest::LEASE)? };
        for (guest, seconds) in [
            (guest("2m".parse()?)?, "120"),
            (guest("7d".parse()?)?, "604800"),
            (guest("infinite".parse()?)?, "4294967295"),
            // What looks like a prefix length is a lease time in seconds.
            (bare, "120"),
        ] {
            let _dnsmasq = Dnsmasq::start(&host, &DnsmasqSpec::default().guest(&guest))?;
            let told = udhcpc(&guests[0], &[])?;
            assert_eq!(told.get("lease").map(String::as_str), Some(seconds), "{guest:?}");
        }
        Ok(())
    }

    fn guests_behind_one_router_address_get_their_own_addresses() -> Result<()> {
        let (host, guests) = links(3)?;
        let mut spec = DnsmasqSpec::default();
        for n in 0..3_u8 {
            host.ip(&format!("address add {ROUTER}/32 dev tap{n}"))?;
            let mtu = Some(1400 + u16::from(n));
            spec = spec.guest(&Guest { mtu, ..guest(n.into(), [192, 168, 0, 90 + n].into(), POINT_TO_POINT)? });
        }
        let _dnsmasq = Dnsmasq::start(&host, &spec)?;
        // In this order each range before would have an address to give away.
        for n in (0..3).rev() {
            let told = udhcpc(&guests[n], &["-O", "mtu"])?;
            assert_eq!(told.get("ip"), Some(&format!("192.168.0.{}", 90 + n)));
            assert_eq!(told.get("mtu"), Some(&format!("{}", 1400 + n)));
        }
        Ok(())
    }

    fn an_address_belongs_to_the_mac_whatever_the_client_identifier() -> Result<()> {
        let (host, guests) = links(1)?;
        host.ip(&format!("address add {ROUTER}/32 dev tap0"))?;
        let guest = Guest { mac: Some(MAC.parse()?), ..guest(0, ADDRESS, POINT_TO_POINT)? };
        let _dnsmasq = Dnsmasq::start(&host, &DnsmasqSpec::default().guest(&guest))?;
        for client_id in ["0x3d:ff0001", "0x3d:ff0002"] {
            let told = udhcpc(&guests[0], &["-x", client_id])?;
            assert_eq!(told.get("ip"), Some(&ADDRESS.to_string()), "{client_id}");
        }
        guests[0].ip("link set eth0 down")?;
        guests[0].ip("link set eth0 address 02:00:5e:00:53:99")?;
        assert!(udhcpc(&guests[0], &["-t", "2", "-T", "1"]).is_err(), "a stranger on the link gets nothing");
        Ok(())
    }

    fn options_are_told_as_they_are_written() -> Result<()> {
        let (host, guests) = links(1)?;
        host.ip("address add 10.0.0.1/24 dev tap0")?;
        let options = r#"[
            {"value": {"router": []}},
            {"value": {"domain": "example.org"}},
            {"value": {"search": ["a.example.org", "example.org"]}},
            {"value": {"ntp": ["192.0.2.123"]}},
            {"value": {"number": {"code": 67, "value": {"text": "boot/file.efi"}}}},
            {"value": {"number": {"code": 252, "value": {"text": "12"}}}},
            {"value": {"number": {"code": 23, "value": {"u8": 42}}}}
        ]"#;
        let options: Vec<DhcpOption> = serde_json::from_str(options)?;
        let spec = DnsmasqSpec::default().guest(&guest(0, [10, 0, 0, 9].into(), Addressing::Subnet)?);
        let _dnsmasq = Dnsmasq::start(&host, &DnsmasqSpec { options, ..spec })?;

        let asked = ["search", "ntpsrv", "bootfile", "wpad", "ipttl", "router"].map(|name| ["-O", name]);
        let told = udhcpc(&guests[0], asked.as_flattened())?;
        let told = |name: &str| told.get(name).map(String::as_str);
        assert_eq!(told("router"), None, "suppressed");
        assert_eq!((told("domain"), told("search")), (Some("example.org"), Some("a.example.org example.org")));
        assert_eq!((told("ntpsrv"), told("bootfile")), (Some("192.0.2.123"), Some("boot/file.efi")));
        assert_eq!((told("wpad"), told("ipttl")), (Some("12"), Some("42")));
        Ok(())
    }

    fn a_guest_makes_its_ipv6_address_from_advertisements() -> Result<()> {
        let (host, guests) = links(1)?;
        host.ip("address add fdfe:62d4:efc4:ef3b::1/64 dev tap0 nodad")?;
        let guest = Guest {
            prefixes: vec!["fdfe:62d4:efc4:ef3b::/64".parse()?],
            mtu: Some(1426),
            ..Guest::new("tap0".parse()?)
        };
        let spec = DnsmasqSpec::default().guest(&guest).option(OptionValue::Dns6(vec!["2620:fe::9".parse()?]));
        let _dnsmasq = Dnsmasq::start(&host, &spec)?;

        guests[0].set_sysctl("net/ipv6/conf/eth0/accept_ra", "1")?;
        guests[0].ip("link set eth0 up")?;
        let address = "fdfe:62d4:efc4:ef3b:0:5eff:fe00:5301/64";
        wait_until("the address", DEADLINE, || {
            guests[0].ip("-6 address show dev eth0 -tentative").is_ok_and(|lines| lines.contains(address))
        })
        .with_context(|| guests[0].ip("-6 address").unwrap_or_default())?;
        assert_eq!(guests[0].sysctl("net/ipv6/conf/eth0/mtu")?, "1426");
        let routes = guests[0].ip("-6 route")?;
        assert!(routes.contains("default via fe80::") && routes.contains("proto ra"), "{routes}");
        Ok(())
    }
}
