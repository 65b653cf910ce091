//! The lab's own tests: guests on cables, probes and captures.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use guestnet_lab::{
    Capability, Capture, Echo, Echoed, Frame, Guest, Mac, Netns, arp, dhcp, dnsmasq, echo, frame, lab_test,
    need, need_program, path_mtu, ping, ping_of_size, scratch, send_frame, solicit,
};

const PATIENCE: Duration = Duration::from_secs(5);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Two namespaces with a router between them, whose link to `right` has an MTU of 1300.
fn routed() -> Result<(Netns, Netns, Netns)> {
    let (left, router, right) = (Netns::make("left")?, Netns::make("router")?, Netns::make("right")?);
    for netns in [&left, &router, &right] {
        netns.skip_dad()?;
    }
    for (end, network, mtu) in [(&left, 1, 1500), (&right, 2, 1300)] {
        let name = end.name();
        router.ip(&format!("link add {name} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {name}"))?;
        router.ip(&format!("address add 10.0.{network}.1/24 dev {name}"))?;
        router.ip(&format!("address add fd00:{network}::1/64 dev {name}"))?;
        router.ip(&format!("link set {name} up"))?;
        end.ip(&format!("address add 10.0.{network}.2/24 dev eth0"))?;
        end.ip(&format!("address add fd00:{network}::2/64 dev eth0"))?;
        end.ip("link set eth0 up")?;
        end.ip(&format!("route add default via 10.0.{network}.1"))?;
        end.ip(&format!("-6 route add default via fd00:{network}::1"))?;
    }
    router.set_sysctl("net/ipv4/ip_forward", "1")?;
    router.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
    Ok((left, router, right))
}

/// A host with a tap that has `10.0.0.1/24` and `fd00::1/64`, and a guest behind it.
fn cabled(flags: &str) -> Result<(Netns, Guest)> {
    need(Capability::Tap);
    let host = Netns::make("host")?;
    host.ip(&format!("tuntap add tap0 mode tap {flags}"))?;
    host.ip("address add 10.0.0.1/24 dev tap0")?;
    host.ip("address add fd00::1/64 dev tap0 nodad")?;
    host.ip("link set tap0 up")?;
    let guest = Guest::plug("guest", &host, "tap0", Some("02:00:00:00:00:07".parse()?))?;
    Ok((host, guest))
}

fn frames_pass(flags: &str) -> Result<()> {
    let (host, guest) = cabled(flags)?;
    let before = host.ip("-d link show tap0")?;
    guest.netns().ip("address add 10.0.0.2/24 dev eth0")?;
    ping(guest.netns(), None, ip("10.0.0.1"))?;
    ping(&host, None, ip("10.0.0.2"))?;
    let server: SocketAddr = "10.0.0.1:7".parse()?;
    let _echo = Echo::start(&host, server)?;
    let seen = echo::tcp(guest.netns(), None, server, 1 << 20)?;
    assert_eq!(seen.ip(), ip("10.0.0.2"));
    assert_eq!(Mac::of(guest.netns(), "eth0")?.to_string(), "02:00:00:00:00:07");
    // A tap's flags are part of what guestnet compares.
    for flag in ["vnet_hdr on", "vnet_hdr off", " multi_queue"] {
        assert_eq!(before.contains(flag), host.ip("-d link show tap0")?.contains(flag), "{flag}");
    }
    Ok(())
}

lab_test! {
    fn a_plain_tap_is_cabled() -> Result<()> {
        frames_pass("")
    }

    fn a_tap_with_virtio_headers_is_cabled() -> Result<()> {
        frames_pass("vnet_hdr")
    }

    fn a_tap_with_all_flags_is_cabled() -> Result<()> {
        frames_pass("multi_queue vnet_hdr")
    }

    fn an_unplugged_guest_is_silent() -> Result<()> {
        let (host, guest) = cabled("")?;
        guest.netns().ip("address add 10.0.0.2/24 dev eth0")?;
        ping(&host, None, ip("10.0.0.2"))?;
        drop(guest);
        assert!(ping(&host, None, ip("10.0.0.2")).is_err());
        Ok(())
    }

    fn a_guest_gets_its_address_by_dhcp() -> Result<()> {
        need_program("dnsmasq");
        need_program("udhcpc");
        let (host, guest) = cabled("vnet_hdr")?;
        let conf = scratch().join("dnsmasq.conf");
        let lines = ["port=0", "interface=tap0", "bind-interfaces", "dhcp-range=10.0.0.5,10.0.0.5,6h",
            "dhcp-option=option:mtu,1420", "enable-ra", "dhcp-range=fd00::2,fd00::2,slaac,64,12h"];
        std::fs::write(&conf, lines.join("\n"))?;
        let daemon = dnsmasq(&host, &conf)?;
        let lease = dhcp(guest.netns(), "eth0")?;
        assert_eq!((lease.address.into(), lease.prefix), (ip("10.0.0.5"), 24));
        assert_eq!(lease.router.map(IpAddr::from), Some(ip("10.0.0.1")));
        assert_eq!((lease.mtu, lease.seconds), (Some(1420), 6 * 3600));
        assert!(daemon.log().contains("DHCPACK"), "{}", daemon.log());
        assert_eq!(ping_of_size(guest.netns(), None, ip("10.0.0.1"), 1421)?, Echoed::TooBig(1420));
        has_address_by_slaac(&guest)
    }

    fn dnsmasq_tells_why_it_does_not_start() -> Result<()> {
        need_program("dnsmasq");
        let conf = scratch().join("dnsmasq.conf");
        std::fs::write(&conf, "no-such-option\n")?;
        let words = dnsmasq(&Netns::here()?, &conf).err().expect("refused");
        assert!(format!("{words:#}").contains("bad option"), "{words:#}");
        Ok(())
    }

    fn the_path_mtu_is_found_in_both_families() -> Result<()> {
        let (left, _router, _right) = routed()?;
        for to in ["10.0.2.2", "fd00:2::2"].map(ip) {
            assert_eq!(ping_of_size(&left, None, to, 1300)?, Echoed::Reply);
            assert_eq!(path_mtu(&left, None, to, 1500)?, 1300);
        }
        Ok(())
    }

    fn a_black_hole_is_no_path() -> Result<()> {
        need(Capability::Conntrack);
        let (left, router, _right) = routed()?;
        router.nft("table inet t {\nchain c {\ntype filter hook output priority 0\nmeta l4proto icmp drop\n}\n}\n")?;
        let words = path_mtu(&left, None, ip("10.0.2.2"), 1500).unwrap_err().to_string();
        assert!(words.contains("vanish"), "{words}");
        Ok(())
    }

    fn the_server_tells_how_it_sees_its_client() -> Result<()> {
        let (left, _router, right) = routed()?;
        left.ip("address add 10.0.1.77/24 dev eth0")?;
        let server: SocketAddr = "10.0.2.2:4000".parse()?;
        let _echo = Echo::start(&right, server)?;
        assert_eq!(echo::udp(&left, Some(ip("10.0.1.77")), server, b"hello")?.ip(), ip("10.0.1.77"));
        assert_eq!(echo::tcp(&left, Some(ip("10.0.1.77")), server, 100_000)?.ip(), ip("10.0.1.77"));
        assert!(echo::udp(&left, None, "10.0.2.2:4001".parse()?, b"hello").is_err());
        Ok(())
    }

    fn a_capture_sees_what_passes() -> Result<()> {
        let (left, router, _right) = routed()?;
        let capture = Capture::start(&router, "left")?;
        ping(&left, None, ip("fd00:2::2"))?;
        let frames = capture.stop();
        let echoes: Vec<_> = frames.iter().filter_map(Frame::packet).filter(|p| matches!(p.payload, [128 | 129, ..])).collect();
        let ends = [ip("fd00:1::2"), ip("fd00:2::2")];
        assert_eq!(echoes.len(), 2, "{frames:?}");
        assert_eq!([echoes[0].source, echoes[0].destination], ends);
        assert_eq!([echoes[1].destination, echoes[1].source], ends);
        assert!(echoes.iter().all(|p| p.protocol == frame::ICMPV6));
        assert!(frames.iter().any(|f| f.mentions(ends[0])) && !frames.iter().any(|f| f.mentions(ip("10.0.2.2"))));
        assert!(!frames.iter().any(Frame::is_esp));
        Ok(())
    }

    fn a_frame_made_by_hand_arrives() -> Result<()> {
        let (left, router, _right) = routed()?;
        let capture = Capture::start(&router, "left")?;
        let made = Frame([&[2; 12][..], &[0x88, 0xb5], b"experiment"].concat());
        send_frame(&left, "eth0", &made)?;
        let found = capture.wait_for("the frame", PATIENCE, |f| (f.ethertype() == Some(0x88b5)).then(|| f.clone()))?;
        assert!(found.payload().starts_with(b"experiment"));
        Ok(())
    }

    fn neighbours_answer_for_their_own_and_for_proxied_addresses() -> Result<()> {
        let (left, router, _right) = routed()?;
        let mac = Mac::of(&router, "left")?;
        assert_eq!(solicit(&left, "eth0", "fd00:1::1".parse()?, PATIENCE)?, Some(mac));
        assert_eq!(solicit(&left, "eth0", "fd00:1::99".parse()?, Duration::from_millis(300))?, None);
        router.set_sysctl("net/ipv6/conf/left/proxy_ndp", "1")?;
        router.ip("-6 neighbour add proxy fd00:1::99 dev left")?;
        router.ip("-6 route add fd00:1::99/128 dev right")?;
        assert_eq!(solicit(&left, "eth0", "fd00:1::99".parse()?, PATIENCE)?, Some(mac));

        let asker = "10.0.1.2".parse()?;
        assert_eq!(arp(&left, "eth0", asker, "10.0.1.1".parse()?, PATIENCE)?, Some(mac));
        assert_eq!(arp(&left, "eth0", asker, "10.0.1.99".parse()?, Duration::from_millis(300))?, None);
        Ok(())
    }

    fn esp_is_seen_as_esp() -> Result<()> {
        need(Capability::Esp);
        let (left, router, right) = routed()?;
        let key = "0x0102030405060708090a0b0c0d0e0f1011121314 128";
        let ends = [(&left, "fd00:1::2", "fd00:2::2"), (&right, "fd00:2::2", "fd00:1::2")];
        for (netns, here, there) in ends {
            for (from, to, direction, spi) in [(here, there, "out", here), (there, here, "in", there)] {
                let spi = if spi == "fd00:1::2" { 0x1001 } else { 0x1002 };
                let ends = format!("src {from} dst {to}");
                let state = format!("xfrm state add {ends} proto esp spi {spi:#x} reqid 1 mode transport aead rfc4106(gcm(aes)) {key}");
                netns.ip(&state)?;
                netns.ip(&format!("xfrm policy add {ends} dir {direction} tmpl {ends} proto esp reqid 1 mode transport"))?;
            }
        }
        let capture = Capture::start(&router, "left")?;
        // To addresses on other links, so neighbours are asked for only in clear.
        ping(&left, None, ip("fd00:2::2"))?;
        let frames = capture.stop();
        assert!(frames.iter().any(Frame::is_esp), "{frames:?}");
        assert!(frames.iter().filter_map(Frame::packet).all(|p| !matches!(p.payload, [128 | 129, ..])), "{frames:?}");
        Ok(())
    }
}

/// The guest makes itself an address from the prefix that the router advertises.
fn has_address_by_slaac(guest: &Guest) -> Result<()> {
    guestnet_lab::wait_until("the guest has an address of fd00::/64", Duration::from_secs(15), || {
        let said = guest.netns().ip("-6 address show dev eth0 scope global -tentative");
        said.is_ok_and(|said| said.contains("fd00::ff:fe00:7/64"))
    })?;
    ping(guest.netns(), None, ip("fd00::1"))
}
