//! What passes, and what does not, with a guest on a routed link. (The suite of frames of every kind is in the root
//! package's tests.)

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guestnet_core::Namespace;
use guestnet_firewall::{Entry, FirewallSpec, Guard, HostAccess, Paragraph, Transport, drops};
use guestnet_lab::{
    Capability, Echo, Netns, arp, echo, lab_test, need, ping, ping_of_size, solicit, wait_until,
};
use nix::net::if_::if_nametoindex;
use support::{apply, guest, plan, tcp};

/// A guest behind tap1, a host, and the world behind its uplink.
struct Lab {
    host: Netns,
    guest: Netns,
    world: Netns,
}

const WORLD: [&str; 2] = ["192.0.2.10", "2001:db8:f::10"];
const HOST: [&str; 2] = ["192.0.2.1", "2001:db8:f::1"];
const GUEST: [&str; 2] = ["192.168.0.1", "2001:db8:1::2"];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Lab {
    fn build() -> Result<Self> {
        let (host, guest, world) = (Netns::here()?, Netns::make("fw-guest")?, Netns::make("fw-world")?);
        for netns in [&host, &guest, &world] {
            netns.skip_dad()?;
        }
        host.set_sysctl("net/ipv4/ip_forward", "1")?;
        host.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
        host.ip("link add tap1 type veth peer name eth0 netns fw-guest")?;
        host.ip("link add uplink type veth peer name eth0 netns fw-world")?;
        guest.ip("link set eth0 address 02:00:5e:00:53:01")?;
        for netns in [&guest, &world] {
            netns.ip("link set eth0 up")?;
        }
        for link in ["tap1", "uplink"] {
            host.ip(&format!("link set {link} up"))?;
        }
        host.ip("addr add 169.254.1.1/32 dev tap1")?;
        host.ip("route add 192.168.0.1 dev tap1")?;
        host.ip("addr add 2001:db8:1::1/64 dev tap1")?;
        host.ip("addr add 192.0.2.1/24 dev uplink")?;
        host.ip("addr add 2001:db8:f::1/64 dev uplink")?;
        guest.ip("addr add 192.168.0.1/32 dev eth0")?;
        guest.ip("route add 169.254.1.1 dev eth0")?;
        guest.ip("route add default via 169.254.1.1")?;
        guest.ip("addr add 2001:db8:1::2/64 dev eth0")?;
        guest.ip("route add default via 2001:db8:1::1")?;
        world.ip("addr add 192.0.2.10/24 dev eth0")?;
        world.ip("addr add 2001:db8:f::10/64 dev eth0")?;
        world.ip("route add default via 192.0.2.1")?;
        world.ip("route add default via 2001:db8:f::1")?;
        Ok(Self { host, guest, world })
    }

    /// How many packets have been dropped by `paragraph`.
    fn dropped(&self, paragraph: Paragraph) -> Result<u64> {
        let found = self.host.run(|| drops(&mut Namespace::current()?))?;
        Ok(found.iter().filter(|drops| drops.paragraph == paragraph).map(|drops| drops.packets).sum())
    }

    /// How many packets have been dropped in all.
    fn dropped_by_any(&self) -> Result<u64> {
        Ok(self.host.run(|| drops(&mut Namespace::current()?))?.iter().map(|drops| drops.packets).sum())
    }

    /// Sees that `act` fails, and that it is for `paragraph`.
    fn denied<T>(&self, paragraph: Paragraph, act: impl FnOnce() -> Result<T>) -> Result<()> {
        let before = self.dropped(paragraph)?;
        ensure!(act().is_err(), "{paragraph} let it pass");
        ensure!(self.dropped(paragraph)? > before, "dropped, but not by {paragraph}");
        Ok(())
    }
}

fn spec() -> FirewallSpec {
    let mut one = guest(1);
    one.access.egress = vec![Entry::default()];
    one.access.ingress = vec![tcp("80-90")];
    FirewallSpec {
        guests: vec![one],
        host: Some(HostAccess { services: vec![tcp("22")] }),
        ..FirewallSpec::default()
    }
}

lab_test! {
    fn what_a_guest_is_allowed_passes_and_nothing_else() -> Result<()> {
        let lab = Lab::build()?;
        for (world, guest) in WORLD.into_iter().zip(GUEST) {
            ping(&lab.guest, None, address(world)).context("without a filter")?;
            ping(&lab.world, None, address(guest)).context("without a filter")?;
        }
        apply(&spec())?;
        for n in 0..2 {
            let (world, guest) = (address(WORLD[n]), address(GUEST[n]));
            ping(&lab.guest, None, world)?;
            ping(&lab.world, None, guest)?;
            // As fragments, which are put together on the way.
            ping_of_size(&lab.guest, None, world, 3000)?;
            let _echo = Echo::start(&lab.world, (world, 443).into())?;
            echo::tcp(&lab.guest, None, (world, 443).into(), 10_000)?;
            echo::udp(&lab.guest, None, (world, 443).into(), b"hello")?;
            let _open = Echo::start(&lab.guest, (guest, 85).into())?;
            echo::tcp(&lab.world, None, (guest, 85).into(), 10_000)?;
            let _shut = Echo::start(&lab.guest, (guest, 22).into())?;
            lab.denied(Paragraph::LIST, || echo::udp(&lab.world, None, (guest, 22).into(), b"hello"))?;
        }
        Ok(())
    }

    fn a_guest_cannot_be_another() -> Result<()> {
        let lab = Lab::build()?;
        lab.guest.ip("addr add 192.168.0.99/32 dev eth0")?;
        lab.guest.ip("addr add 2001:db8:99::2/64 dev eth0 nodad")?;
        lab.host.ip("route add 192.168.0.99 dev tap1")?;
        lab.host.ip("route add 2001:db8:99::/64 dev tap1")?;
        ping(&lab.guest, Some(address("192.168.0.99")), address(WORLD[0])).context("without a filter")?;
        ping(&lab.guest, Some(address("2001:db8:99::2")), address(WORLD[1])).context("without a filter")?;
        apply(&spec())?;
        for (from, world, paragraph) in [
            ("192.168.0.99", WORLD[0], Paragraph::SOURCE_IPV4),
            ("2001:db8:99::2", WORLD[1], Paragraph::SOURCE_IPV6),
        ] {
            lab.denied(paragraph, || ping(&lab.guest, Some(address(from)), address(world)))?;
        }
        for world in WORLD {
            ping(&lab.guest, None, address(world))?;
        }
        lab.guest.ip("link set eth0 address 02:00:5e:00:53:99")?;
        lab.guest.ip("route replace default via 2001:db8:1::1")?;
        for world in WORLD {
            lab.denied(Paragraph::MAC, || ping(&lab.guest, None, address(world)))?;
        }
        lab.guest.ip("link set eth0 address 02:00:5e:00:53:01")?;
        for world in WORLD {
            ping(&lab.guest, None, address(world))?;
        }
        Ok(())
    }

    fn shared_addresses_are_not_told_of_outside() -> Result<()> {
        let lab = Lab::build()?;
        lab.host.ip("addr add 10.5.5.254/32 dev tap1")?;
        lab.host.ip("addr add 2001:db8:f::fe/64 dev uplink")?;
        let (ipv4, ipv6) = ("10.5.5.254".parse()?, "2001:db8:f::fe".parse()?);
        let asks = |patience| -> Result<[bool; 2]> {
            let asker = "192.0.2.10".parse()?;
            let answers = arp(&lab.world, "eth0", asker, ipv4, patience)?;
            Ok([answers.is_some(), solicit(&lab.world, "eth0", ipv6, patience)?.is_some()])
        };
        ensure!(asks(Duration::from_secs(5))? == [true, true], "without a guard");
        let mut spec = spec();
        spec.guard = Some(Guard { links: ["uplink".parse()?].into(), addresses: vec![ipv4.into(), ipv6.into()] });
        apply(&spec)?;
        ensure!(asks(Duration::from_millis(500))? == [false, false], "with it");
        ensure!(lab.dropped(Paragraph::GUARD_ARP)? > 0 && lab.dropped(Paragraph::GUARD_DISCOVERY)? > 0);
        // What only this host has is told of.
        let own = arp(&lab.world, "eth0", "192.0.2.10".parse()?, "192.0.2.1".parse()?, Duration::from_secs(5))?;
        ensure!(own.is_some(), "it says nothing at all");
        ping(&lab.world, None, address(HOST[1]))
    }

    fn the_host_takes_what_it_serves() -> Result<()> {
        let lab = Lab::build()?;
        let mut spec = spec();
        spec.guest_services =
            vec![Entry { protocol: Some(Transport::UDP), ports: vec![53.into()], ..Entry::default() }];
        apply(&spec)?;
        for host in HOST.map(address) {
            let _echoes = [22, 23, 53].map(|port| Echo::start(&lab.host, (host, port).into()).unwrap());
            ping(&lab.world, None, host)?;
            ping(&lab.guest, None, host)?;
            echo::tcp(&lab.world, None, (host, 22).into(), 1000)?;
            lab.denied(Paragraph::HOST, || echo::udp(&lab.world, None, (host, 23).into(), b"hello"))?;
            echo::udp(&lab.guest, None, (host, 53).into(), b"hello")?;
            let refused = || echo::udp(&lab.guest, None, (host, 23).into(), b"hello");
            lab.denied(Paragraph::HOST_FROM_GUEST, refused)?;
        }
        Ok(())
    }

    fn the_host_hears_itself() -> Result<()> {
        let lab = Lab::build()?;
        apply(&spec())?;
        let before = lab.dropped_by_any()?;
        // An address of its own in the prefix of a guest.
        for own in HOST.into_iter().chain(["2001:db8:1::1", "169.254.1.1"]).map(address) {
            ping(&lab.host, None, own)?;
            let _echo = Echo::start(&lab.host, (own, 99).into())?;
            echo::udp(&lab.host, None, (own, 99).into(), b"hello")?;
        }
        // Multicast DNS between programs of the host, on the guest's link and on another. The port is not served.
        let own = [("uplink", HOST[0]), ("tap1", "169.254.1.1"), ("uplink", HOST[1]), ("tap1", "2001:db8:1::1")];
        for (link, own) in own.map(|(link, own)| (link, address(own))) {
            let listener = Listener::start(&lab.host, link, own)?;
            say(&lab.host, link, own)?;
            listener.hears(Duration::from_secs(5)).with_context(|| format!("{own} on {link}"))?;
        }
        ensure!(lab.dropped_by_any()? == before, "what the host said to itself was counted as dropped");
        // Another host that takes one of its addresses.
        lab.world.ip("address add 2001:db8:f::1/64 dev eth0 nodad")?;
        let own = address(HOST[1]);
        let listener = Listener::start(&lab.host, "uplink", own)?;
        lab.denied(Paragraph::OWNED, || {
            say(&lab.world, "eth0", own)?;
            listener.hears(Duration::from_millis(500))
        })
    }

    fn an_entry_with_a_limit_fits_no_faster() -> Result<()> {
        let lab = Lab::build()?;
        let mut spec = spec();
        let limit = Some(serde_json::from_str(r#"{"rate": "1/day", "burst": 3}"#)?);
        spec.guests[0].access.ingress = vec![Entry { limit, ..tcp("85") }, tcp("86")];
        spec.host = Some(HostAccess { services: vec![Entry { limit, ..tcp("22") }] });
        apply(&spec)?;
        for (netns, to) in [(&lab.guest, (address(GUEST[0]), 85)), (&lab.host, (address(HOST[0]), 22))] {
            let to = to.into();
            let _open = Echo::start(netns, to)?;
            // What belongs to a connection is not counted.
            for _ in 0..3 {
                echo::tcp(&lab.world, None, to, 10_000)?;
            }
            let paragraph = if to.port() == 22 { Paragraph::HOST } else { Paragraph::LIST };
            lab.denied(paragraph, || connect(&lab.world, to))?;
        }
        let unlimited = (address(GUEST[0]), 86).into();
        let _open = Echo::start(&lab.guest, unlimited)?;
        for _ in 0..5 {
            echo::tcp(&lab.world, None, unlimited, 1000)?;
        }
        ensure!(plan(&spec)?.is_empty(), "what was counted is taken for a difference");
        Ok(())
    }

    fn a_guest_has_no_more_connections_than_it_may() -> Result<()> {
        need(Capability::Connlimit);
        let lab = Lab::build()?;
        let mut spec = spec();
        spec.guests[0].access.connections = NonZeroU32::new(2);
        apply(&spec)?;
        let (inward, outward) = ((address(GUEST[0]), 85).into(), (address(WORLD[0]), 443).into());
        let _open = [Echo::start(&lab.guest, inward)?, Echo::start(&lab.world, outward)?];
        // The kernel forgets who has no connection, and not how many it may have.
        drop(connect(&lab.world, inward)?);
        std::thread::sleep(Duration::from_secs(3));
        let mut first = connect(&lab.world, inward)?;
        let second = connect(&lab.guest, outward)?;
        lab.denied(Paragraph::CONNECTIONS, || connect(&lab.world, inward))?;
        lab.denied(Paragraph::CONNECTIONS, || connect(&lab.guest, outward))?;
        lab.denied(Paragraph::CONNECTIONS, || ping(&lab.world, None, address(GUEST[1])))?;
        first.write_all(b"on")?;
        first.read_exact(&mut [0; 2]).context("the connections that it has go on")?;
        ensure!(plan(&spec)?.is_empty(), "what was counted is taken for a difference");
        drop(second);
        wait_until("another one", Duration::from_secs(10), || connect(&lab.guest, outward).is_ok())
    }
}

/// Opens a connection, which takes a second at most.
fn connect(netns: &Netns, to: SocketAddr) -> Result<TcpStream> {
    Ok(netns.run(|| TcpStream::connect_timeout(&to, Duration::from_secs(1)))?)
}

/// A program that listens to multicast DNS on a link.
struct Listener(UdpSocket);

impl Listener {
    /// In `netns`, which has the address `own` on `link`.
    fn start(netns: &Netns, link: &str, own: IpAddr) -> Result<Self> {
        netns.run(|| {
            let socket = UdpSocket::bind(group(link, own)?)?;
            match own {
                IpAddr::V4(own) => socket.join_multicast_v4(&GROUP4, &own)?,
                IpAddr::V6(_) => socket.join_multicast_v6(&GROUP6, if_nametoindex(link)?)?,
            }
            Ok(Self(socket))
        })
    }

    fn hears(&self, patience: Duration) -> Result<()> {
        self.0.set_read_timeout(Some(patience))?;
        self.0.recv(&mut [0; 16]).context("nothing was heard").map(drop)
    }
}

const GROUP4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// Where programs on `link` listen that speak the protocol of `own`.
fn group(link: &str, own: IpAddr) -> Result<SocketAddr> {
    Ok(match own {
        IpAddr::V4(_) => (GROUP4, 5353).into(),
        IpAddr::V6(_) => SocketAddrV6::new(GROUP6, 5353, 0, if_nametoindex(link)?).into(),
    })
}

/// Says something on `link` to all who listen, from the address `own`.
fn say(netns: &Netns, link: &str, own: IpAddr) -> Result<()> {
    netns.run(|| Ok(UdpSocket::bind((own, 0))?.send_to(b"hello", group(link, own)?).map(drop)?))
}
