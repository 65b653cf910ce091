//! How much of a packet a tunnel carries, from guest to guest through two hosts: exactly so much, and of one byte more the
//! guest is told; and a real guest that talks through one. A kernel with ESP and AES-GCM.

mod lab;
mod real;

use anyhow::{Context as _, Result, ensure};
use guestnet::HostSpec;
use guestnet_lab::{Capability, Echoed, Guest, Netns, lab_test, need, need_program, ping, ping_of_size};
use serde_json::json;

use lab::{Lab, PUBLIC, PUBLIC_PORT, Way, ip};

/// That a connection through the tunnel has segments of `wanted` bytes, in each family. The headers of IP and TCP take 40
/// or 60 bytes of a packet, timestamps 12.
fn mss(clamp: bool, wanted: [u16; 2]) -> Result<()> {
    need(Capability::Esp);
    need_program("ss");
    let lab = Way { tunnel: json!({ "clamp_mss": clamp }), ..Way::default() }.set_up()?;
    for ((source, address), wanted) in Lab::addresses(1).into_iter().zip(Lab::addresses(2)).zip(wanted) {
        let [here, there] = [0, 1].map(|n| lab.guests[n].netns());
        ping(here, Some(source), address)?;
        let _listener = there.run(|| std::net::TcpListener::bind((address, 7)))?;
        let _connection = here.run(|| std::net::TcpStream::connect((address, 7)))?;
        let said = guestnet_lab::output(here.command("ss").args(["-Htin", "dport", "=", ":7"]))?;
        ensure!(said.contains(&format!(" mss:{wanted} ")), "{wanted} with clamp_mss {clamp}: {said}");
    }
    Ok(())
}

/// That the first packet that is too large is not answered as it should be, once the route says nothing of the path.
fn without_the_mtu_of_the_route(family: &str) -> Result<()> {
    need(Capability::Esp);
    let tunnel = json!({ "path_mtu": 1400 });
    let lab = Way { link: 9000, narrow: 1400, tunnel, ..Way::default() }.set_up()?;
    let (inside, guest) = (Netns::open("g1")?, lab.guests[0].netns());
    let [source, address] = [1, 2].map(|n| Lab::addresses(n)[usize::from(family == "-6")]);
    ping(guest, Some(source), address)?;
    let routes = inside.ip(&format!("{family} route show"))?;
    let narrow = routes.lines().find(|line| line.contains(" mtu 1326"));
    let route = narrow.context("a route with an MTU")?.replace(" mtu 1326", "");
    inside.ip(&format!("{family} route del {route}"))?;
    inside.ip(&format!("{family} route add {route}"))?;
    let echoed = ping_of_size(guest, Some(source), address, 1327)?;
    ensure!(echoed != Echoed::TooBig(1326), "it is told without the route's MTU too");
    Ok(())
}

lab_test! {
    fn esp_1426_of_1500_bytes_between_namespaces_of_guests() -> Result<()> {
        need(Capability::Esp);
        let lab = Way::default().set_up()?;
        let capture = guestnet_lab::Capture::start(&lab.internet, "host1")?;
        lab.carries_exactly(1426, 1500)?;
        let frames = capture.stop();
        ensure!(frames.iter().any(guestnet_lab::Frame::is_esp));
        for address in Lab::addresses(1).into_iter().chain(Lab::addresses(2)) {
            ensure!(!frames.iter().any(|frame| frame.mentions(address)), "{address} is on the wire");
        }
        Ok(())
    }

    fn esp_1426_of_1500_bytes_between_hosts() -> Result<()> {
        need(Capability::Esp);
        Way { placement: "host", ..Way::default() }.set_up()?.carries_exactly(1426, 1500)
    }

    fn esp_8926_of_9000_bytes() -> Result<()> {
        need(Capability::Esp);
        Way { link: 9000, narrow: 9000, ..Way::default() }.set_up()?.carries_exactly(8926, 9000)
    }

    fn esp_1326_where_the_path_is_known_to_be_narrower_than_the_link() -> Result<()> {
        need(Capability::Esp);
        let tunnel = json!({ "path_mtu": 1400 });
        let way = Way { link: 9000, narrow: 1400, tunnel, ..Way::default() };
        way.set_up()?.carries_exactly(1326, 9000)
    }

    fn esp_1326_between_hosts_where_the_path_is_known_to_be_narrower_than_the_link() -> Result<()> {
        need(Capability::Esp);
        let tunnel = json!({ "path_mtu": 1400 });
        let way = Way { placement: "host", link: 9000, narrow: 1400, tunnel, ..Way::default() };
        way.set_up()?.carries_exactly(1326, 9000)
    }

    fn esp_it_is_the_mtu_of_the_route_that_tells_of_a_narrow_path_in_ipv4() -> Result<()> {
        without_the_mtu_of_the_route("-4")
    }

    fn esp_it_is_the_mtu_of_the_route_that_tells_of_a_narrow_path_in_ipv6() -> Result<()> {
        without_the_mtu_of_the_route("-6")
    }

    fn esp_what_has_the_mark_is_encrypted_and_what_is_encrypted_gets_the_other() -> Result<()> {
        need(Capability::Esp);
        let marks = json!({ "out": { "value": 1, "mask": 15 }, "set_out": { "value": 4, "mask": 15 } });
        let lab = Way { tunnel: json!({ "marks": marks }), ..Way::default() }.set_up()?;
        let [source, address] = [1, 2].map(|n| Lab::addresses(n)[0]);
        let unmarked = ping_of_size(lab.guests[0].netns(), Some(source), address, 100)?;
        ensure!(unmarked != Echoed::Reply, "what has no mark has no policy");
        for n in [1, 2] {
            Netns::open(&format!("g{n}"))?.nft(&format!(
                "table inet marks {{
                    chain inner {{ type filter hook prerouting priority mangle;
                        ip daddr 192.168.7.{0} meta mark set 1; ip6 daddr fd00:{0}::/64 meta mark set 1; }}
                    chain outer {{ type filter hook postrouting priority mangle;
                        meta l4proto esp meta mark != 4 drop; meta l4proto esp counter; }}
                }}",
                3 - n
            ))?;
        }
        lab.carries_exactly(1426, 1500)?;
        let counted = Netns::open("g1")?.nft("list table inet marks")?;
        ensure!(!counted.contains("packets 0 "), "{counted}");
        Ok(())
    }

    fn esp_the_mss_is_what_the_link_leaves_where_nobody_asks_for_less() -> Result<()> {
        mss(false, [1448, 1428])
    }

    fn esp_the_mss_is_lowered_to_what_the_tunnel_leaves_where_it_is_asked_for() -> Result<()> {
        mss(true, [1374, 1354])
    }

    fn esp_a_path_that_is_narrower_than_was_said_is_learned() -> Result<()> {
        need(Capability::Esp);
        let lab = Way { narrow: 1400, ..Way::default() }.set_up()?;
        for address in Lab::addresses(2) {
            let found = guestnet_lab::path_mtu(lab.guests[0].netns(), None, address, 1500)?;
            ensure!(found == 1326, "{address}: {found}");
        }
        Ok(())
    }

    fn esp_1418_of_1500_bytes_in_udp() -> Result<()> {
        need(Capability::Esp);
        Way { tunnel: json!({ "udp": {} }), ..Way::default() }.set_up()?.carries_exactly(1418, 1500)
    }

    fn esp_1438_of_1500_bytes_in_udp_over_ipv4_between_hosts() -> Result<()> {
        need(Capability::Esp);
        let way = Way { placement: "host", ipv4: true, tunnel: json!({ "udp": {} }), ..Way::default() };
        way.set_up()?.carries_exactly(1438, 1500)
    }

    fn esp_a_host_behind_nat_is_reached_at_the_address_that_the_nat_gives_it() -> Result<()> {
        need(Capability::Esp);
        need(Capability::Conntrack);
        let way = Way { placement: "host", ipv4: true, nat: true, ..Way::default() };
        let lab = way.set_up()?;
        let inside = way.outer(1);
        lab.internet.nft(&format!(
            "table ip nat {{
                chain inward {{ type nat hook prerouting priority dstnat;
                    ip daddr {PUBLIC} udp dport {PUBLIC_PORT} dnat to {inside}:4500; }}
                chain outward {{ type nat hook postrouting priority srcnat;
                    ip saddr {inside} udp sport 4500 snat to {PUBLIC}:{PUBLIC_PORT}; }}
            }}"
        ))?;
        let capture = guestnet_lab::Capture::start(&lab.internet, "host2")?;
        lab.carries_exactly(1438, 1500)?;
        let frames = capture.stop();
        ensure!(frames.iter().any(|frame| frame.mentions(ip(PUBLIC))));
        ensure!(!frames.iter().any(|frame| frame.mentions(ip(&inside))), "{inside} is known outside");
        Ok(())
    }

    fn esp_guests_who_speak_with_nobody_else_are_told_what_fits_the_tunnel() -> Result<()> {
        need(Capability::Esp);
        need_program("dnsmasq");
        need_program("udhcpc");
        let way = Way { tunnel: json!({ "path_mtu": 1400 }), ..Way::default() };
        let internet = Netns::make("internet")?;
        let (_netns, mut host) = way.host(&internet, 1)?;
        let mut spec = way.spec(1);
        let interface = spec["guests"][0]["interfaces"][0].as_object_mut().context("an interface")?;
        for word in ["serve", "mtu", "public_ipv4", "public_ipv6"] {
            interface.remove(word);
        }
        host.apply(&HostSpec::from_json(&spec.to_string())?)?;
        let netns = Netns::open("g1")?;
        let _dnsmasq = guestnet_lab::dnsmasq(&netns, &host.directory().join("g1/dnsmasq.conf"))?;
        let guest = Guest::plug("vm1", &netns, "tap1", Some("02:00:5e:00:53:01".parse()?))?;
        ensure!(guestnet_lab::dhcp(guest.netns(), "eth0")?.mtu == Some(1326));
        guestnet_lab::wait_until("the MTU is advertised", std::time::Duration::from_secs(30), || {
            guest.netns().sysctl("net/ipv6/conf/eth0/mtu").is_ok_and(|mtu| mtu == "1326")
        })
    }

    fn esp_1426_of_1500_bytes_through_an_xfrm_interface() -> Result<()> {
        need(Capability::Esp);
        let marks = json!({ "set_in": { "value": 2, "mask": 15 }, "in": { "value": 2, "mask": 15 } });
        let lab = Way { tunnel: json!({ "if_id": 7, "marks": marks }), ..Way::default() }.set_up()?;
        lab.carries_exactly(1426, 1500)?;
        ensure!(Netns::open("g1")?.ip("-s link show xfrm7")?.contains("xfrm7"));
        for (_, mut host) in lab.hosts {
            host.remove_all()?;
        }
        Ok(())
    }

    fn esp_1446_of_1500_bytes_through_an_xfrm_interface_over_ipv4_between_hosts() -> Result<()> {
        need(Capability::Esp);
        let way = Way { placement: "host", ipv4: true, tunnel: json!({ "if_id": 7 }), ..Way::default() };
        way.set_up()?.carries_exactly(1446, 1500)
    }
}
